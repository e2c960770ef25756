//! `httpreq`: two small HTTP calls to a service of one's own (lego's protocol).

use super::super::AcmeError;
use super::super::http::{HttpClient, HttpOptions, without_credentials};
use super::Settings;
use base64::Engine;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use torana_extend::{DnsChallenge, SendFuture};

struct HttpReq {
    client: HttpClient,
    endpoint: String,
    authorization: Option<String>,
    timing: (Duration, Duration),
}

pub(super) fn build(s: &Settings) -> Result<Arc<dyn DnsChallenge>, AcmeError> {
    let endpoint = s.required("HTTPREQ_ENDPOINT")?;
    let uri: Option<http::Uri> = endpoint.parse().ok();
    if !uri.is_some_and(|u| matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some()) {
        return Err(AcmeError::lasting(format!("`HTTPREQ_ENDPOINT`: `{endpoint}` is no URL")));
    }
    s.refuse("HTTPREQ_MODE", "is not built (RAW): the service gets `fqdn` and `value`")?;
    let authorization = match (s.value("HTTPREQ_USERNAME")?, s.value("HTTPREQ_PASSWORD")?) {
        (None, None) => None,
        (user, password) => {
            let both = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
            Some(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(both)))
        }
    };
    let limit = s.time("HTTPREQ_HTTP_TIMEOUT", 30)?;
    let options = HttpOptions { timeout: limit, header_timeout: limit, ..HttpOptions::default() }.with_proxy(&|name| (s.env)(name))?;
    Ok(Arc::new(HttpReq {
        client: HttpClient::new(options)?,
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        authorization,
        timing: (s.time("HTTPREQ_PROPAGATION_TIMEOUT", 60)?, s.time("HTTPREQ_POLLING_INTERVAL", 2)?),
    }))
}

impl HttpReq {
    async fn call(&self, what: &str, fqdn: &str, value: &str) -> Result<(), String> {
        let body = Bytes::from(serde_json::json!({ "fqdn": fqdn, "value": value }).to_string());
        let url = format!("{}/{what}", self.endpoint);
        let headers: Vec<_> = self.authorization.iter().map(|a| ("authorization", a.as_str())).collect();
        let sent = self.client.send_with(http::Method::POST, &url, Some(("application/json", body)), &headers);
        let answer = sent.await.map_err(|e| e.to_string())?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        let words: String = String::from_utf8_lossy(&answer.body).chars().filter(|c| !c.is_control()).take(200).collect();
        Err(format!("`{}` answered with status {}: {words}", without_credentials(&url).0, answer.status))
    }
}

impl DnsChallenge for HttpReq {
    fn timing(&self) -> (Duration, Duration) {
        self.timing
    }

    fn present<'a>(&'a self, _: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>> {
        Box::pin(self.call("present", fqdn, value))
    }

    fn clean_up<'a>(&'a self, _: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>> {
        Box::pin(self.call("cleanup", fqdn, value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings;
    use super::*;

    #[test]
    fn settings_are_checked() {
        for (pairs, told) in [
            (&[][..], "`HTTPREQ_ENDPOINT` is missing"),
            (&[("HTTPREQ_ENDPOINT", "x")], "is no URL"),
            (&[("HTTPREQ_ENDPOINT", "http://x"), ("HTTPREQ_MODE", "RAW")], "not built (RAW)"),
        ] {
            let said = build(&settings(pairs)).map(|_| ()).unwrap_err().to_string();
            assert!(said.contains(told), "{told}: {said}");
        }
    }
}
