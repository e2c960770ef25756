//! `forwardAuth`: another server decides whether a request may pass.

mod address;
mod answer;
mod cookies;
mod question;
mod span;

use crate::frames::without_length;
use crate::{go_regex, omit};
pub(crate) use address::Address;
use answer::Verdict;
use cookies::Cookies;
use http::header::HeaderName;
use http::{Method, StatusCode};
use question::Headers;
pub(crate) use question::request_uri;
use regex::Regex;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use std::time::Duration;
use torana_base::Secret;
use torana_config::routing::{CertificateConfig, ServersTransportConfig};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, BodyError, Client, Exchange, LocalFuture, Next, Request, Response, Step, WholeBody, exchange};

/// How long the question and its answer may take (fixed in Traefik too).
const PATIENCE: Duration = Duration::from_secs(30);
/// Idle connections to the server that is asked, over all workers: Go's limit for all servers together.
const MAX_IDLE: i64 = 100;

pub struct ForwardAuth;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// URL of the server that is asked; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// What the question says of the client: with `true` what came is kept and completed; with `false` all of it is
    /// our own. Not said, some of it is our own and the rest stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_forward_header: Option<bool>,
    /// Headers of the answer that replace those of the request; a request passes with none of these of its own.
    #[serde(skip_serializing_if = "omit::empty")]
    pub auth_response_headers: Vec<String>,
    /// The same, for all headers whose names match.
    #[serde(skip_serializing_if = "omit::empty")]
    pub auth_response_headers_regex: String,
    /// Headers of the request that the question has; all where none is listed.
    #[serde(skip_serializing_if = "omit::empty")]
    pub auth_request_headers: Vec<String>,
    /// Bytes that an answer may have; more is a no. Below 0 or not said: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_response_body_size: Option<i64>,
    /// Cookies of the answer that the client gets, in place of the server's of the same names.
    #[serde(skip_serializing_if = "omit::empty")]
    pub add_auth_cookies_to_response: Vec<String>,
    /// A header of the answer that names the user.
    #[serde(skip_serializing_if = "omit::empty")]
    pub header_field: String,
    /// Whether the question has the request's body, which is kept in memory for that.
    #[serde(skip_serializing_if = "omit::empty")]
    pub forward_body: bool,
    /// Bytes that a request may then have; more is a no. Below 0, as by default: any number.
    pub max_body_size: i64,
    /// Whether a `Location` of the answer stays as it is; else it is seen from `address`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub preserve_location_header: bool,
    /// Whether the question has the request's method; else it is a GET.
    #[serde(skip_serializing_if = "omit::empty")]
    pub preserve_request_method: bool,
    /// Where clients are sent when the answer is 401.
    #[serde(rename = "authSigninURL", skip_serializing_if = "omit::empty")]
    pub auth_signin_url: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: String::new(),
            tls: None,
            trust_forward_header: None,
            auth_response_headers: Vec::new(),
            auth_response_headers_regex: String::new(),
            auth_request_headers: Vec::new(),
            max_response_body_size: None,
            add_auth_cookies_to_response: Vec::new(),
            header_field: String::new(),
            forward_body: false,
            max_body_size: -1,
            preserve_location_header: false,
            preserve_request_method: false,
            auth_signin_url: String::new(),
        }
    }
}

/// How an `https` server is asked. Texts are the path of a file, or PEM.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsConfig {
    /// Authorities in place of the system's.
    #[serde(skip_serializing_if = "omit::empty")]
    pub ca: String,
    /// Accepted for old configurations; means nothing.
    #[serde(skip_serializing_if = "omit::empty")]
    pub ca_optional: Option<bool>,
    /// Comes together with `key`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub cert: String,
    /// Shown only where it is the path of a file.
    #[serde(skip_serializing_if = "is_no_path", serialize_with = "show_path")]
    pub key: Secret,
    #[serde(skip_serializing_if = "omit::empty")]
    pub insecure_skip_verify: bool,
}

fn is_no_path(key: &Secret) -> bool {
    key.expose().is_empty() || key.expose().contains("-----BEGIN") || key.expose().contains('\n')
}

fn show_path<S: Serializer>(key: &Secret, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(key.expose())
}

impl TlsConfig {
    fn transport(&self) -> Result<ServersTransportConfig, BuildError> {
        let key_file = self.key.clone();
        let certificates = match (self.cert.is_empty(), key_file.expose().is_empty()) {
            (true, true) => Vec::new(),
            (false, false) => vec![CertificateConfig { cert_file: self.cert.clone(), key_file }],
            (true, false) => return Err(BuildError::new("tls.key", "there is a key without its certificate").hint("set `tls.cert` too")),
            (false, true) => return Err(BuildError::new("tls.cert", "there is a certificate without its key").hint("set `tls.key` too")),
        };
        Ok(ServersTransportConfig {
            insecure_skip_verify: self.insecure_skip_verify,
            root_cas: Some(self.ca.clone()).filter(|ca| !ca.is_empty()).into_iter().collect(),
            certificates,
            ..ServersTransportConfig::default()
        })
    }
}

impl MiddlewareSpec for ForwardAuth {
    const NAME: &'static str = "forwardAuth";
    const EXAMPLE: &'static str = "address: http://auth.internal/verify\nauthResponseHeaders: [X-User]\ntrustForwardHeader: false\n";
    type Config = Config;

    fn build(config: Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let regex = match config.auth_response_headers_regex.as_str() {
            "" => None,
            r => Some(go_regex::compile(r).map_err(|e| BuildError::new("authResponseHeadersRegex", e))?),
        };
        let address = Address::parse(&config.address);
        if address.is_none() {
            tracing::warn!(middleware = cx.name(), "forwardAuth: each request is refused, as `address` is no URL of http or https");
        }
        let transport = config.tls.as_ref().map_or_else(|| Ok(ServersTransportConfig::default()), TlsConfig::transport)?;
        let transport = ServersTransportConfig { max_idle_conns_per_host: MAX_IDLE, ..transport };
        let client = cx.client(address.as_ref().map_or("", |a| &a.base), &transport).map_err(|e| {
            let key = if e.key == "certificates" { "tls.cert" } else { "tls.ca" };
            BuildError { key: key.into(), ..e }
        })?;
        Ok(vec![Step::around(Runtime {
            name: cx.name().into(),
            headers: Headers::new(config.trust_forward_header, &config.auth_request_headers),
            address,
            client,
            method: (!config.preserve_request_method).then_some(Method::GET),
            body: config.forward_body.then(|| usize::try_from(config.max_body_size).ok()),
            answer: config.max_response_body_size.and_then(|n| usize::try_from(n).ok()),
            replaced: names(&config.auth_response_headers),
            replaced_regex: regex,
            cookies: Cookies::new(config.add_auth_cookies_to_response),
            user: names(std::slice::from_ref(&config.header_field)).pop(),
            preserve_location: config.preserve_location_header,
            signin: Some(config.auth_signin_url).filter(|url| !url.is_empty()),
        })])
    }
}

/// What no header can be called stands in no message.
pub(crate) fn names(list: &[String]) -> Vec<HeaderName> {
    list.iter().filter_map(|n| HeaderName::from_bytes(n.as_bytes()).ok()).collect()
}

struct Runtime {
    /// Qualified, for the log.
    name: Arc<str>,
    headers: Headers,
    /// `None` where no server can be asked.
    address: Option<Address>,
    client: Arc<dyn Client>,
    /// `None` for that of the request.
    method: Option<Method>,
    /// Whether the question has the body, and its limit.
    body: Option<Option<usize>>,
    /// Limit of an answer.
    answer: Option<usize>,
    replaced: Vec<HeaderName>,
    replaced_regex: Option<Regex>,
    cookies: Cookies,
    user: Option<HeaderName>,
    preserve_location: bool,
    signin: Option<String>,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let answer = match self.ask(exchange).await {
                Ok(Verdict::Pass(answer)) => answer,
                Ok(Verdict::Answer(response)) => return *response,
                Err(status) => return exchange::status(status),
            };
            self.let_pass(exchange, &answer.headers);
            let cookies = self.cookies.of(&answer.headers);
            let mut response = next.run(exchange).await;
            self.cookies.put(cookies, response.headers_mut());
            response
        })
    }
}

impl Runtime {
    /// Asks, and gives what is to be done; or the status of an answer without a body.
    async fn ask(&self, exchange: &mut Exchange) -> Result<Verdict, StatusCode> {
        let body = self.question_body(exchange).await?;
        let address = self.address.as_ref().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let mut question = Request {
            method: self.method.clone().unwrap_or_else(|| exchange.request.method.clone()),
            path: address.path.clone(),
            query: address.query.clone(),
            headers: self.headers.of(exchange, address.authorization.as_ref()),
            body,
            ..Request::default()
        };
        let depth = span::begin(exchange, address, &mut question);
        let asked = async {
            let answer = self.client.send(&mut question).await.map_err(|e| e.to_string())?;
            self.verdict(answer, exchange).await
        };
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        span::end(exchange, depth);
        match asked {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(reason)) => Err(self.failed(&reason)),
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    /// A request that nobody has judged does not pass.
    fn failed(&self, reason: &str) -> StatusCode {
        tracing::debug!(middleware = &*self.name, reason, "forwardAuth: the server could not be asked");
        StatusCode::INTERNAL_SERVER_ERROR
    }

    async fn question_body(&self, exchange: &mut Exchange) -> Result<Body, StatusCode> {
        let (Some(limit), false) = (self.body, matches!(exchange.request.body, Body::Tunnel(_))) else { return Ok(Body::Empty) };
        let body = &mut exchange.request.body;
        let kept = match WholeBody::read(std::mem::take(body), limit.unwrap_or(usize::MAX)).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(_)) => return Err(StatusCode::UNAUTHORIZED),
            Err(BodyError::Timeout) => return Err(self.failed("the client's body did not come in time")),
            Err(e) => return Err(self.failed(&e.to_string())),
        };
        *body = kept.body();
        Ok(match (kept.bytes.is_empty(), &self.method) {
            (false, _) => kept.body(),
            // As Go: it sends nothing in pieces, unless the method seldom has a body.
            (true, None) if limit.is_none() && !seldom_has_body(&exchange.request.method) => {
                without_length(Body::Empty)
            }
            (true, _) => Body::Empty,
        })
    }

    /// What the answer has to say to the server.
    fn let_pass(&self, exchange: &mut Exchange, answer: &http::HeaderMap) {
        if let Some(user) = self.user.as_ref().and_then(|name| answer.get(name)) {
            exchange.user = Some(String::from_utf8_lossy(user.as_bytes()).into_owned());
        }
        let headers = &mut exchange.request.headers;
        for name in &self.replaced {
            headers.remove(name);
            for value in answer.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let Some(regex) = &self.replaced_regex else { return };
        let mut spelled = Vec::new();
        let mut matches = |name: &HeaderName| {
            spelled.clear();
            torana_http::h1::head::write_name(&mut spelled, name);
            std::str::from_utf8(&spelled).is_ok_and(|name| regex.is_match(name))
        };
        let gone: Vec<HeaderName> = headers.keys().filter(|n| matches(n)).cloned().collect();
        for name in gone {
            headers.remove(name);
        }
        for name in answer.keys().filter(|n| matches(n)) {
            headers.remove(name);
            for value in answer.get_all(name) {
                headers.append(name, value.clone());
            }
        }
    }
}

/// Methods whose empty bodies Go leaves out altogether.
fn seldom_has_body(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS" | "PROPFIND" | "SEARCH")
}

#[cfg(test)]
mod tests;
