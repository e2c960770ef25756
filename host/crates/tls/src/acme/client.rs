//! The protocol with a CA (RFC 8555), and renewal information (RFC 9773).

use super::AcmeError;
use super::http::{Answer, HttpClient, without_credentials};
use super::keys::{AccountKey, b64, un_b64};
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Nonces kept for the next requests.
const NONCES: usize = 32;
/// Characters of a CA's words that are shown, at most.
const WORDS: usize = 1000;

/// What a CA offers (RFC 8555, 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    pub(crate) renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    external_account_required: bool,
    profiles: std::collections::BTreeMap<String, Value>,
}

/// A CA.
pub(crate) struct Client {
    http: Arc<HttpClient>,
    pub(crate) directory: Directory,
    nonces: Mutex<Vec<String>>,
}

/// An account with a CA: its address there, and the key that it signs with.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) client: Arc<Client>,
    pub(crate) key: Arc<AccountKey>,
    pub(crate) uri: String,
}

/// What a registration answers, to be stored.
pub(crate) struct Registration {
    pub(crate) uri: String,
    pub(crate) body: Value,
}

/// RFC 8555, 7.1.3.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) authorizations: Vec<String>,
    #[serde(default)]
    pub(crate) finalize: String,
    pub(crate) certificate: Option<String>,
    pub(crate) error: Option<Problem>,
}

/// RFC 8555, 7.1.4.
#[derive(Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) status: String,
    pub(crate) identifier: Identifier,
    #[serde(default)]
    pub(crate) challenges: Vec<Challenge>,
    #[serde(default)]
    pub(crate) wildcard: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Identifier {
    pub(crate) value: String,
}

/// RFC 8555, 7.1.5.
#[derive(Debug, Deserialize)]
pub(crate) struct Challenge {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) token: String,
    pub(crate) error: Option<Problem>,
}

/// RFC 8555, 6.7, and RFC 7807.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    detail: Option<String>,
    subproblems: Vec<Subproblem>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Subproblem {
    detail: Option<String>,
    identifier: Option<Value>,
}

impl Problem {
    pub(crate) fn into_error(self) -> AcmeError {
        let mut message = self.detail.unwrap_or_else(|| "the CA refused without a reason".to_owned());
        for sub in self.subproblems {
            let name = sub.identifier.as_ref().and_then(|i| i["value"].as_str()).unwrap_or_default();
            message.push_str(&format!("; {name}: {}", sub.detail.unwrap_or_default()));
        }
        AcmeError { kind: self.kind.map(|k| printable(&k)), ..AcmeError::local(printable(&message)) }
    }
}

/// When a certificate should be renewed (RFC 9773, 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenewalWindow {
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    pub(crate) explanation: Option<String>,
}

impl Client {
    /// Reads the directory at `url`.
    pub(crate) async fn discover(http: Arc<HttpClient>, url: &str) -> Result<Arc<Client>, AcmeError> {
        let answer = http.send(Method::GET, url, None).await?;
        let directory = read(&answer, url)?;
        Ok(Arc::new(Client { http, directory, nonces: Mutex::default() }))
    }

    fn keep_nonce(&self, answer: &Answer) {
        if let Some(nonce) = answer.header("replay-nonce") {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            if nonces.len() < NONCES {
                nonces.push(nonce.to_owned());
            }
        }
    }

    async fn nonce(&self) -> Result<String, AcmeError> {
        let kept = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(nonce) = kept {
            return Ok(nonce);
        }
        let url = &self.directory.new_nonce;
        let answer = self.http.send(Method::HEAD, url, None).await?;
        match answer.header("replay-nonce") {
            Some(nonce) if answer.status < 300 => Ok(nonce.to_owned()),
            _ => Err(refusal(&answer, url)),
        }
    }

    /// Signs `payload` (nothing for POST-as-GET) and sends it, again when only the nonce was too old.
    async fn post(&self, key: &AccountKey, kid: Option<&str>, url: &str, payload: Option<&Value>) -> Result<Answer, AcmeError> {
        let mut tries = 0;
        loop {
            let nonce = self.nonce().await?;
            let mut header = json!({ "alg": key.algorithm(), "nonce": nonce, "url": url });
            match kid {
                Some(kid) => header["kid"] = kid.into(),
                None => header["jwk"] = key.jwk(),
            }
            let body = sign(&header, payload, |m| key.sign(m))?;
            let answer = self.http.send(Method::POST, url, Some(("application/jose+json", Bytes::from(body.to_string())))).await?;
            self.keep_nonce(&answer);
            if answer.status < 300 {
                return Ok(answer);
            }
            let e = refusal(&answer, url);
            tries += 1;
            if !e.is("badNonce") || tries > 5 {
                return Err(e);
            }
        }
    }

    /// Makes an account, or finds the one that the key has (RFC 8555, 7.3).
    pub(crate) async fn register(&self, key: &AccountKey, email: &str, eab: Option<(&str, &str)>) -> Result<Registration, AcmeError> {
        let mut payload = json!({ "termsOfServiceAgreed": true });
        if !email.is_empty() {
            payload["contact"] = json!([format!("mailto:{email}")]);
        }
        let url = &self.directory.new_account;
        match eab {
            Some((kid, secret)) => {
                let secret = un_b64(secret).ok_or_else(|| AcmeError::lasting("`eab.hmacEncoded` is no base64"))?;
                let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
                let header = json!({ "alg": "HS256", "kid": kid, "url": url });
                let binding = sign(&header, Some(&key.jwk()), |m| Ok(hmac::sign(&secret, m).as_ref().to_vec()))?;
                payload["externalAccountBinding"] = binding;
            }
            None if self.directory.meta.external_account_required => {
                return Err(AcmeError::lasting("the CA wants an account that it knows already: write `eab.kid` and `eab.hmacEncoded`"));
            }
            None => {}
        }
        let answer = self.post(key, None, url, Some(&payload)).await?;
        let uri = location(&answer, url)?;
        let mut body: Value = read(&answer, url)?;
        if let Some(body) = body.as_object_mut() {
            body.retain(|k, _| matches!(k.as_str(), "status" | "contact" | "termsOfServiceAgreed" | "orders"));
        }
        Ok(Registration { uri, body })
    }

    /// The window for the certificate `id`, and how long it holds.
    pub(crate) async fn renewal_window(&self, id: &str) -> Result<Option<(RenewalWindow, Duration)>, AcmeError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Info {
            suggested_window: Window,
            #[serde(rename = "explanationURL")]
            explanation: Option<String>,
        }
        #[derive(Deserialize)]
        struct Window {
            start: String,
            end: String,
        }
        let Some(base) = &self.directory.renewal_info else { return Ok(None) };
        let url = format!("{}/{id}", base.trim_end_matches('/'));
        let answer = self.http.send(Method::GET, &url, None).await?;
        let info: Info = read(&answer, &url)?;
        let time = |text: &str| humantime::parse_rfc3339_weak(text).map_err(|_| AcmeError::local(format!("`{url}`: `{text}` is no time")));
        let (start, end) = (time(&info.suggested_window.start)?, time(&info.suggested_window.end)?);
        if end <= start {
            return Err(AcmeError::local(format!("`{url}`: the window ends before it begins")));
        }
        let wait = retry_after(&answer).and_then(|t| t.duration_since(SystemTime::now()).ok()).unwrap_or(Duration::from_secs(6 * 3600));
        // RFC 9773, 4.3.2: from a minute to a day
        let wait = wait.clamp(Duration::from_secs(60), Duration::from_secs(86_400));
        Ok(Some((RenewalWindow { start, end, explanation: info.explanation.map(|e| printable(&e)) }, wait)))
    }

    /// The profiles that there are, when `profile` is none of them.
    pub(crate) fn unknown_profile(&self, profile: &str) -> Option<AcmeError> {
        let known = &self.directory.meta.profiles;
        if profile.is_empty() || known.contains_key(profile) {
            return None;
        }
        let names = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let has = if names.is_empty() { "none".to_owned() } else { names };
        Some(AcmeError::lasting(format!("the CA has no profile `{}`, it has: {has}", printable(profile))))
    }
}

impl Account {
    async fn post(&self, url: &str, payload: Option<&Value>) -> Result<Answer, AcmeError> {
        self.client.post(&self.key, Some(&self.uri), url, payload).await
    }

    /// What stands at `url`, and when to look again.
    pub(crate) async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<(T, Option<Duration>), AcmeError> {
        let answer = self.post(url, None).await?;
        let after = retry_after(&answer).and_then(|t| t.duration_since(SystemTime::now()).ok());
        Ok((read(&answer, url)?, after))
    }

    /// Begins an order; the address is where it is to be looked at.
    pub(crate) async fn new_order(&self, names: &[String], profile: &str, replaces: Option<&str>) -> Result<(String, Order), AcmeError> {
        let identifiers: Vec<Value> =
            names.iter().map(|n| json!({ "type": if n.parse::<IpAddr>().is_ok() { "ip" } else { "dns" }, "value": n })).collect();
        let mut payload = json!({ "identifiers": identifiers });
        if !profile.is_empty() {
            payload["profile"] = profile.into();
        }
        if let Some(id) = replaces {
            payload["replaces"] = id.into();
        }
        let url = &self.client.directory.new_order;
        let answer = self.post(url, Some(&payload)).await?;
        Ok((location(&answer, url)?, read(&answer, url)?))
    }

    /// Tells the CA that a challenge can be looked at.
    pub(crate) async fn ready(&self, challenge: &str) -> Result<(), AcmeError> {
        self.post(challenge, Some(&json!({}))).await.map(|_| ())
    }

    pub(crate) async fn finalize(&self, url: &str, csr: &[u8]) -> Result<Order, AcmeError> {
        let answer = self.post(url, Some(&json!({ "csr": b64(csr) }))).await?;
        read(&answer, url)
    }

    /// The chain, PEM: of those that the CA offers the one whose topmost issuer is `preferred`, else the first.
    pub(crate) async fn certificate(&self, url: &str, preferred: &str) -> Result<String, AcmeError> {
        let answer = self.post(url, None).await?;
        let first = pem(&answer, url)?;
        if preferred.is_empty() || super::pem::topmost_issuer(&first).as_deref() == Some(preferred) {
            return Ok(first);
        }
        for other in alternates(&answer).into_iter().take(8) {
            let chain = pem(&self.post(&other, None).await?, &other)?;
            if super::pem::topmost_issuer(&chain).as_deref() == Some(preferred) {
                return Ok(chain);
            }
        }
        tracing::warn!(chain = preferred, "the CA has no such chain (preferredChain): its default is used");
        Ok(first)
    }
}

fn pem(answer: &Answer, url: &str) -> Result<String, AcmeError> {
    let text = std::str::from_utf8(&answer.body).ok().filter(|t| t.contains("-----BEGIN CERTIFICATE-----"));
    text.map(str::to_owned).ok_or_else(|| AcmeError::local(format!("the CA answered at `{}` with what is no certificate", shown(url))))
}

/// `Link` headers with `rel="alternate"` (RFC 8555, 7.4.2).
fn alternates(answer: &Answer) -> Vec<String> {
    let links = answer.headers.get_all("link").iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    links
        .filter(|l| l.split(';').skip(1).any(|p| p.trim().replace('"', "").eq_ignore_ascii_case("rel=alternate")))
        .filter_map(|l| Some(l.trim().strip_prefix('<')?.split_once('>')?.0.to_owned()))
        .collect()
}

/// A signed message (RFC 7515, flattened JSON).
fn sign(header: &Value, payload: Option<&Value>, by: impl Fn(&[u8]) -> Result<Vec<u8>, AcmeError>) -> Result<Value, AcmeError> {
    let protected = b64(header.to_string().as_bytes());
    let payload = payload.map(|p| b64(p.to_string().as_bytes())).unwrap_or_default();
    let signature = b64(&by(format!("{protected}.{payload}").as_bytes())?);
    Ok(json!({ "protected": protected, "payload": payload, "signature": signature }))
}

fn shown(url: &str) -> String {
    without_credentials(url).0
}

fn location(answer: &Answer, url: &str) -> Result<String, AcmeError> {
    answer
        .header("location")
        .map(str::to_owned)
        .ok_or_else(|| AcmeError::local(format!("the CA answered at `{}` without a Location", shown(url))))
}

/// The body of a good answer.
fn read<T: DeserializeOwned>(answer: &Answer, url: &str) -> Result<T, AcmeError> {
    if answer.status >= 300 {
        return Err(refusal(answer, url));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|e| AcmeError::local(format!("the CA answered at `{}` with what is no ACME: {e}; is `caServer` a directory?", shown(url))))
}

/// The CA's own words when it has some.
fn refusal(answer: &Answer, url: &str) -> AcmeError {
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok().filter(|p| p.kind.is_some() || p.detail.is_some());
    let e =
        problem.map_or_else(|| AcmeError::local(format!("`{}` answered with status {}", shown(url), answer.status)), Problem::into_error);
    AcmeError { status: Some(answer.status), retry_after: retry_after(answer), ..e }
}

/// Seconds or a date.
fn retry_after(answer: &Answer) -> Option<SystemTime> {
    let text = answer.header("retry-after")?;
    match text.parse::<u32>() {
        Ok(seconds) => SystemTime::now().checked_add(Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}

/// Without what could break a line of the log, and not endless.
fn printable(text: &str) -> String {
    text.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap())).collect();
        Answer { status, headers, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_refusal_has_the_words_of_the_ca() {
        let text = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many\ncertificates","subproblems":[{"identifier":{"type":"dns","value":"a.test"},"detail":"no"}]}"#;
        let e = refusal(&answer(429, &[("retry-after", "3600")], text), "u");
        assert_eq!(e.to_string(), "too many certificates; a.test: no (urn:ietf:params:acme:error:rateLimited)");
        assert!(e.is_rate_limit() && e.is("rateLimited"));
        let wait = e.retry_after.unwrap().duration_since(SystemTime::now()).unwrap().as_secs();
        assert!((3590..=3600).contains(&wait), "{wait}");
        let dated = refusal(&answer(503, &[("retry-after", "Wed, 21 Oct 2065 07:28:00 GMT")], "<html>"), "u");
        assert_eq!((dated.to_string().as_str(), dated.retry_after.is_some()), ("`u` answered with status 503", true));
    }

    #[test]
    fn nonsense_is_told() {
        let e = read::<Directory>(&answer(200, &[], "<html>welcome"), "https://x/").unwrap_err();
        assert!(e.to_string().starts_with("the CA answered at `https://x/` with what is no ACME: expected value"), "{e}");
    }

    #[test]
    fn links_to_other_chains() {
        let a = answer(
            200,
            &[("link", r#"<https://x/1>;rel="alternate", <https://x/2>; rel=index"#), ("link", "<https://x/3>;rel=\"alternate\"")],
            "",
        );
        let found = alternates(&a);
        assert!(found == ["https://x/1"] || found == ["https://x/1", "https://x/3"] || found == ["https://x/3"], "{found:?}");
    }
}
