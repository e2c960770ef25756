//! Requests to the engine: JSON by GET, and its stream of events.

use crate::api::Event;
use crate::endpoint::{Endpoint, Io};
use crate::piped::Said;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use torana_config::install::DockerConfig;

/// When `httpClientTimeout` is 0: an engine that takes longer for one answer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a connection to come about.
const CONNECT: Duration = Duration::from_secs(30);
/// No answer is larger; a list of 5,000 containers has 15 MB.
const ANSWER_LIMIT: usize = 512 << 20;
/// Not worth a thread.
const SMALL: usize = 64 << 10;
/// No event is larger.
const EVENT_LIMIT: usize = 1 << 20;
/// From the first API with all that is read here to the newest one that was looked at.
const API: (Version, Version) = (Version(1, 24), Version(1, 51));
/// Connections that are kept open between requests.
const IDLE: usize = 8;

/// Of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub u16, pub u16);

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let (major, minor) = text.split_once('.')?;
        Some(Version(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What the engine says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub name: String,
    pub api: Version,
    /// Its lists say less than those of Docker.
    pub podman: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 404: it is gone.
    Missing,
    Other(String),
}

impl Failure {
    pub(crate) fn text(self) -> String {
        match self {
            Failure::Missing => "the engine does not know it".to_owned(),
            Failure::Other(text) => text,
        }
    }
}

/// A client of one engine. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    /// `/v1.41`, empty before [`Client::hello`].
    prefix: Arc<str>,
}

struct Shared {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    credentials: Option<HeaderValue>,
    limit: Duration,
    /// By `ssh`.
    said: Said,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
}

impl Client {
    /// Reads files of certificates: blocks.
    pub(crate) fn build(config: &DockerConfig) -> Result<Client, String> {
        let endpoint = Endpoint::parse(&config.endpoint)?;
        let tls = match &config.tls {
            Some(tls) if endpoint.takes_tls() => Some(Arc::new(torana_trust::client_config(tls)?)),
            None if endpoint.wants_tls() => Some(Arc::new(torana_trust::client_config(&Default::default())?)),
            _ => None,
        };
        let (user, password) = (&config.username, config.password.expose());
        let credentials = (!user.is_empty() && !password.is_empty()).then(|| {
            let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{user}:{password}"));
            let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).unwrap_or(HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        });
        let limit = config.http_client_timeout.positive().unwrap_or(PATIENCE);
        let shared = Shared { endpoint, tls, credentials, limit, said: Said::default(), idle: Mutex::default() };
        Ok(Client { shared: Arc::new(shared), prefix: "".into() })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Asks the engine who it is; what is asked from now on is in words that it understands.
    pub(crate) async fn hello(&mut self) -> Result<Engine, String> {
        self.prefix = "".into();
        let v: crate::api::VersionAnswer = self.json("/version").await.map_err(Failure::text)?;
        let api = Version::parse(&v.api_version).ok_or_else(|| format!("`{}` answers, but not as an engine does", self.endpoint()))?;
        // All that is read here has been the same since the oldest: of an engine that has dropped it, its own oldest will do.
        let oldest = Version::parse(&v.min_api_version).unwrap_or(API.0);
        let agreed = api.min(API.1).max(oldest);
        if agreed < API.0 {
            return Err(format!("the engine speaks API {api}: Torana needs 1.24, which came with Docker 1.12"));
        }
        self.prefix = format!("/v{agreed}").into();
        let podman = v.components.iter().any(|c| c.name.to_ascii_lowercase().contains("podman"));
        Ok(Engine { name: format!("{} {}", if podman { "Podman" } else { "Docker" }, v.version), api: agreed, podman })
    }

    /// GET, and the answer as what it is; large ones are read on a thread of their own.
    pub(crate) async fn json<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Result<T, Failure> {
        let limit = self.shared.limit;
        let late = |_| Failure::Other(format!("`{}` did not answer within {limit:?}", self.endpoint()));
        let body = timeout(limit, self.bytes(path)).await.map_err(late)??;
        let large = body.len() > SMALL;
        let read = move || serde_json::from_slice::<T>(&body).map_err(|e| e.to_string());
        let read = match large {
            true => tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err("reading it was broken off".into())),
            false => read(),
        };
        read.map_err(|e| Failure::Other(format!("the answer to {path} cannot be read: {e}")))
    }

    async fn bytes(&self, path: &str) -> Result<Bytes, Failure> {
        // A connection that was kept may have ended meanwhile.
        while let Some(mut kept) = self.kept() {
            if kept.is_closed() || kept.ready().await.is_err() {
                continue;
            }
            if let Ok(answer) = kept.send_request(self.request(path)?).await {
                return self.collect(answer, kept, path).await;
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender.send_request(self.request(path)?).await.map_err(|e| self.broken(&e))?;
        self.collect(answer, sender, path).await
    }

    fn kept(&self) -> Option<SendRequest<Empty<Bytes>>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn collect(&self, answer: http::Response<Incoming>, sender: SendRequest<Empty<Bytes>>, path: &str) -> Result<Bytes, Failure> {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await
            .map_err(|e| Failure::Other(format!("the answer of `{}` broke off: {e}", self.endpoint())))?
            .to_bytes();
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE && !sender.is_closed() {
            idle.push(sender);
        }
        drop(idle);
        match status.as_u16() {
            200..=299 => Ok(body),
            404 => Err(Failure::Missing),
            code => Err(Failure::Other(refused(code, &body, path))),
        }
    }

    fn request(&self, path: &str) -> Result<http::Request<Empty<Bytes>>, Failure> {
        let endpoint = &self.shared.endpoint;
        let mut request = http::Request::get(format!("{}{}{path}", endpoint.base, self.prefix))
            .header(HOST, endpoint.authority())
            .header(USER_AGENT, concat!("Torana/", env!("CARGO_PKG_VERSION")));
        if let Some(credentials) = &self.shared.credentials {
            request = request.header(AUTHORIZATION, credentials);
        }
        request.body(Empty::new()).map_err(|e| Failure::Other(format!("{path}: {e}")))
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let endpoint = &self.shared.endpoint;
        let stream = timeout(CONNECT, endpoint.dial(self.shared.tls.clone(), &self.shared.said))
            .await
            .map_err(|_| Failure::Other(format!("no connection to `{endpoint}` within {CONNECT:?}")))?
            .map_err(|e| Failure::Other(format!("cannot connect to `{endpoint}`: {e}")))?;
        let (sender, connection) = handshake(Io(stream)).await.map_err(|e| self.broken(&e))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn broken(&self, e: &hyper::Error) -> Failure {
        let cause = std::error::Error::source(e).map(|c| format!(": {c}")).unwrap_or_default();
        let endpoint = self.endpoint();
        if endpoint.is_ssh() {
            let said = self.shared.said.last();
            let why = said.as_ref().map_or_else(|| format!("{e}{cause}"), |s| format!("ssh says: {s}"));
            return Failure::Other(format!("`{endpoint}`: {why}; {}", ssh_hint(said.as_deref().unwrap_or_default())));
        }
        let hint = if endpoint.takes_tls() && self.shared.tls.is_none() { "; does it want TLS (`tls`, or `https://`)?" } else { "" };
        Failure::Other(format!("`{endpoint}`: {e}{cause}{hint}"))
    }

    /// Events from now on: everything that happens after this has returned is in them.
    pub(crate) async fn events(&self, filters: &str) -> Result<Events, String> {
        let path = format!("/events?filters={}", escape(filters));
        let limit = self.shared.limit;
        let open = async {
            let mut sender = self.connect().await?;
            let answer = sender.send_request(self.request(&path)?).await.map_err(|e| self.broken(&e))?;
            let (parts, body) = answer.into_parts();
            if parts.status.is_success() {
                return Ok(Events { body, buffer: BytesMut::new(), skipping: false, _sender: sender });
            }
            let body = Limited::new(body, 64 << 10).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            Err(Failure::Other(refused(parts.status.as_u16(), &body, "/events")))
        };
        let late = |_| format!("`{}` did not begin to tell events within {limit:?}", self.endpoint());
        timeout(limit, open).await.map_err(late)?.map_err(Failure::text)
    }
}

/// What to do about what `ssh` says.
fn ssh_hint(said: &str) -> &'static str {
    if said.contains("Host key verification failed") || said.contains("host key is known") {
        "is it the right machine? Then put its key into `known_hosts` of the gateway's user, in the place of an old one"
    } else if said.contains("Permission denied") {
        "the gateway's user needs a key without a passphrase, or an agent, that the machine takes"
    } else {
        "does `ssh` reach the machine without asking, and is `docker` there?"
    }
}

fn refused(code: u16, body: &[u8], path: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_slice::<Said>(body).map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |s| s.message);
    let said: String = said.trim().chars().take(300).collect();
    let hint = match code {
        401 => "; are `username` and `password` right?",
        403 => {
            "; a proxy in front of the engine must allow /version, /events, /containers, and for a swarm /services, /tasks, /nodes and /networks"
        }
        503 if path.starts_with("/services") || path.starts_with("/tasks") => "; `providers.swarm` needs a manager of a swarm",
        _ => "",
    };
    format!("the engine answers {path} with {code}: {said}{hint}")
}

/// The stream of events, one JSON object after the other.
pub(crate) struct Events {
    body: Incoming,
    buffer: BytesMut,
    /// Until the next line: this one is too long.
    skipping: bool,
    _sender: SendRequest<Empty<Bytes>>,
}

impl Events {
    /// The next event; an error when the stream has ended. Safe to be dropped halfway. What cannot be read is left out.
    pub(crate) async fn next(&mut self) -> Result<Event, String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(event) => return Ok(event),
                    Err(_) => continue,
                }
            }
            if self.buffer.len() > EVENT_LIMIT {
                self.buffer.clear();
                self.skipping = true;
            }
            // The last one may come without an end of its line.
            if !self.skipping
                && self.buffer.last() == Some(&b'}')
                && let Ok(event) = serde_json::from_slice(&self.buffer)
            {
                self.buffer.clear();
                return Ok(event);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        while data.has_remaining() {
                            let chunk = data.chunk();
                            let n = chunk.len();
                            self.buffer.extend_from_slice(chunk);
                            data.advance(n);
                        }
                    }
                }
                Some(Err(e)) => return Err(format!("the stream of events broke off: {e}")),
                None => return Err("the engine has ended the stream of events".to_owned()),
            }
        }
    }
}

/// For a value in a query.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(b as char),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert!(Version::parse("1.9").unwrap() < Version::parse("1.41").unwrap());
        assert_eq!(Version::parse("1"), None);
    }

    #[test]
    fn what_an_engine_says_is_told() {
        let text = refused(503, br#"{"message":"This node is not a swarm manager."}"#, "/services");
        assert!(text.contains("not a swarm manager") && text.contains("needs a manager"), "{text}");
        assert_eq!(escape(r#"{"a":["b c"]}"#), "%7B%22a%22%3A%5B%22b%20c%22%5D%7D");
    }
}
