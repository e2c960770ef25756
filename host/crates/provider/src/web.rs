//! An HTTP client of sources that have an API: one address, headers that go with each request, bounded answers,
//! errors that can be read.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::time::Duration;
use torana_base::shown;
use torana_config::install::ClientTlsConfig;

/// An answer is longer than any catalogue: something is wrong.
const LONGEST: usize = 256 << 20;
/// What is longer is decoded on a thread of its own.
const DECODED_AT_ONCE: usize = 64 << 10;
/// Characters of an error's body that are shown, at most.
const WORDS: usize = 300;
/// Of a connection, its handshake included.
const CONNECT: Duration = Duration::from_secs(10);
/// Silence after which a connection is asked whether it still stands.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Web {
    client: Client,
    base: Url,
    headers: HeaderMap,
}

/// Why there is no answer that can be used.
#[derive(Clone, Debug)]
pub(crate) enum WebError {
    /// Nobody answers.
    Away(String),
    /// An error is the answer.
    Status(StatusCode, String),
    /// The answer is not what it should be.
    Content(String),
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebError::Away(e) | WebError::Content(e) => f.write_str(e),
            WebError::Status(status, words) => write!(f, "{status}: {words}"),
        }
    }
}

/// A whole answer with a status below 300.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn json<T: DeserializeOwned + Send + 'static>(self) -> Result<T, WebError> {
        let Answer { body, .. } = self;
        if body.len() <= DECODED_AT_ONCE {
            return decode(&body);
        }
        tokio::task::spawn_blocking(move || decode(&body))
            .await
            .unwrap_or_else(|_| Err(WebError::Content("the answer cannot be read".into())))
    }

    /// A header that is a number.
    pub(crate) fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.trim().parse().ok()
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, WebError> {
    serde_json::from_slice(body).map_err(|e| WebError::Content(format!("the answer cannot be read: {e}")))
}

/// A client for HTTP/1.1. TLS is set up only where it is `wanted`, as it may read the system's authorities; files are
/// read again by each new client.
pub(crate) async fn client(tls: Option<&ClientTlsConfig>, wanted: bool, socket: Option<String>) -> Result<Client, String> {
    let tls = tls.cloned().unwrap_or_default();
    let config = tokio::task::spawn_blocking(move || if wanted { torana_trust::client_config(&tls) } else { no_tls() });
    let config = config.await.map_err(|e| format!("TLS cannot be set up: {e}"))??;
    let mut builder = Client::builder().tls_backend_preconfigured(config).connect_timeout(CONNECT).tcp_keepalive(KEEP_ALIVE);
    if let Some(path) = socket {
        builder = builder.unix_socket(path);
    }
    builder.build().map_err(described)
}

/// Trusts nobody.
fn no_tls() -> Result<rustls::ClientConfig, String> {
    rustls::ClientConfig::builder_with_provider(torana_trust::crypto())
        .with_safe_default_protocol_versions()
        .map(|b| b.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        .map_err(|e| e.to_string())
}

impl Web {
    pub(crate) fn new(client: Client, base: &str, headers: HeaderMap) -> Result<Web, String> {
        let said = shown(base);
        let base: Url = base.parse().map_err(|e| format!("`{said}` is no URL: {e}"))?;
        if base.cannot_be_a_base() || !base.has_host() {
            return Err(format!("`{said}` is no URL of a server"));
        }
        Ok(Web { client, base, headers })
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The head of an answer that is no error; its body is read by the caller.
    pub(crate) async fn open(&self, path: &[&str], query: &[(&str, &str)]) -> Result<reqwest::Response, WebError> {
        let request = self.client.request(Method::GET, self.url(path, query)).headers(self.headers.clone());
        accepted(request.send().await.map_err(away)?).await
    }

    /// The whole answer, within `limit`.
    pub(crate) async fn read(&self, path: &[&str], query: &[(&str, &str)], limit: Duration) -> Result<Answer, WebError> {
        let all = async { whole(self.open(path, query).await?).await };
        tokio::time::timeout(limit, all).await.unwrap_or_else(|_| Err(WebError::Away(format!("no answer within {limit:?}"))))
    }
}

fn away(error: reqwest::Error) -> WebError {
    WebError::Away(described(error))
}

/// With what is behind it, without the URL.
fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let (mut text, mut source) = (String::new(), error.source());
    while let Some(e) = source {
        // An error that wraps another often says the same.
        let said = e.to_string();
        if !text.ends_with(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        source = e.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

/// An error's body becomes its words.
pub(crate) async fn accepted(response: reqwest::Response) -> Result<reqwest::Response, WebError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = tokio::time::timeout(CONNECT, whole(response)).await;
    let body = body.ok().and_then(Result::ok).map(|a| a.body).unwrap_or_default();
    let words: String = String::from_utf8_lossy(&body).trim().chars().filter(|c| !c.is_control()).take(WORDS).collect();
    Err(WebError::Status(status, if words.is_empty() { "it says nothing more".into() } else { words }))
}

/// All of a body.
pub(crate) async fn whole(mut response: reqwest::Response) -> Result<Answer, WebError> {
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > LONGEST {
            return Err(WebError::Content(format!("the answer is longer than {LONGEST} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { headers, body: body.into() })
}
