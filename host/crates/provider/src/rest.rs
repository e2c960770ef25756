//! `providers.rest`: routing configuration that is put to the gateway itself, `PUT /api/providers/rest`. It is kept in
//! memory only: after a restart it has to be put again, as in Traefik.

use crate::objects::objects;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use torana_base::Diagnostic;
use torana_config::node::{Node, Value};
use torana_config::parse::{self, Format};
use torana_config::routing;
use torana_config::schema::{self, Branch};
use torana_extend::{Document, Provider, ProviderOut, ProviderRun};
use torana_http::{Body, Endpoint, Exchange, LocalFuture, Response, respond};

/// Behind `@` in references.
pub const NAME: &str = "rest";

/// Bytes of a request, at most.
const LARGEST: usize = 64 << 20;

type Put = (Document, oneshot::Sender<()>);

/// Both ends of the provider: what answers requests, and what publishes what they bring.
pub struct Rest {
    sender: mpsc::Sender<Put>,
    receiver: Mutex<Option<mpsc::Receiver<Put>>>,
}

impl Default for Rest {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Rest { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Rest {
    /// `rest@internal`.
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        Arc::new(Door { sender: self.sender.clone() })
    }

    /// `None` when it was taken before.
    pub fn provider(&self) -> Option<Box<dyn Provider>> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Box::new(RestProvider { receiver }))
    }
}

struct RestProvider {
    receiver: mpsc::Receiver<Put>,
}

impl Provider for RestProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move {
            // Nobody has to wait for a request that may never come.
            if out.publish(Document { provider: NAME, ..Document::default() }).await.is_err() {
                return;
            }
            while let Some((document, taken)) = self.receiver.recv().await {
                if out.publish(document).await.is_err() {
                    return;
                }
                let _ = taken.send(());
            }
        })
    }
}

struct Door {
    sender: mpsc::Sender<Put>,
}

impl Endpoint for Door {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move { self.answer(exchange).await.unwrap_or_else(|refusal| refusal) })
    }
}

impl Door {
    async fn answer(&self, exchange: &mut Exchange) -> Result<Response, Response> {
        let path = exchange.request.path.split_once("/api/providers/").map(|(_, name)| name.to_owned());
        let Some(name) = path.filter(|name| !name.is_empty() && !name.contains('/')) else { return Err(respond::not_found()) };
        if exchange.request.method != Method::PUT {
            return Err(torana_http::exchange::status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let wrong = |text: String| respond::error_text(StatusCode::BAD_REQUEST, text);
        if name != NAME {
            return Err(wrong("Only 'rest' provider can be updated through the REST API".into()));
        }
        let body = std::mem::replace(&mut exchange.request.body, Body::Empty);
        let body = match body.collect(LARGEST).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Err(respond::error_text(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {LARGEST} bytes"))),
            Err(e) => return Err(wrong(format!("the request broke off: {e}"))),
        };
        let work = tokio::task::spawn_blocking(move || read(&body)).await;
        let read = work.map_err(|_| torana_http::exchange::status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let (document, echo) = read.map_err(|all| wrong(all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        if let Some(document) = document {
            let (tell, taken) = oneshot::channel();
            let gone = |_| respond::error_text(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping");
            self.sender.send((document, tell)).await.map_err(|_| gone(()))?;
            taken.await.map_err(|_| gone(()))?;
        }
        let mut response = Response::new(Body::from(echo));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        Ok(response)
    }
}

/// What to publish, unless it is nothing at all, and what was understood. The error is all that is wrong: nothing of
/// the request is taken over then.
fn read(body: &[u8]) -> Result<(Option<Document>, String), Vec<Diagnostic>> {
    let text = std::str::from_utf8(body).map_err(|_| vec![Diagnostic::error("", "the request is not UTF-8")])?;
    let mut node = parse::parse(text, Format::Json, "the request".into()).map_err(|d| vec![d])?;
    if !matches!(node.value, Value::Map(_)) {
        return Err(vec![Diagnostic::error("", "a routing configuration is an object: `{\"http\": {…}}`")]);
    }
    let root = &schema::routing().root;
    let mut ignored = Vec::new();
    strip(&mut node, root, "", &mut ignored);
    schema::canonicalise(&mut node, root);
    let echo = root.to_json(&node).to_string();
    // As in Traefik, nothing at all changes nothing; empty sections, as in `{"http": {}}`, do neither.
    if node.entries().iter().all(|(_, tree)| tree.entries().is_empty()) {
        return Ok((None, echo));
    }
    let decoded = routing::decode(&node);
    let objects = objects(&decoded.value);
    let mut wrong: Vec<Diagnostic> = decoded.diagnostics.iter().filter(|d| d.is_error()).cloned().collect();
    let reasons = objects.rejected.iter().flat_map(|r| r.reasons.iter().map(|reason| Diagnostic::error(r.name.clone(), reason.clone())));
    wrong.extend(reasons);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut diagnostics = decoded.diagnostics;
    diagnostics.extend(ignored);
    Ok((Some(Document { provider: NAME, config: decoded.value, diagnostics, objects, ..Document::default() }), echo))
}

/// Takes away what is no option: Traefik passes over it, as of a request that came from a later version.
fn strip(node: &mut Node, branch: &Branch, path: &str, ignored: &mut Vec<Diagnostic>) {
    if branch.is_free() {
        return;
    }
    match &mut node.value {
        Value::Map(entries) if branch.any.is_some() || !branch.children.is_empty() => entries.retain_mut(|(key, value)| {
            let below = branch.known(&key.text).or(branch.any.as_deref());
            let path = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
            match below {
                Some(below) => strip(value, below, &path, ignored),
                None => ignored.push(Diagnostic::warning(path, format!("unknown option `{}` is ignored", key.text)).at(&key.place)),
            }
            below.is_some()
        }),
        Value::List(items) => {
            if let Some(item) = branch.item.as_deref() {
                items.iter_mut().enumerate().for_each(|(i, node)| strip(node, item, &format!("{path}[{i}]"), ignored));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood_or_refused_as_a_whole() {
        let (document, echo) =
            read(br#"{"http":{"routers":{"r":{"rule":"Path(`/x`)","service":"s","bogus":1,"Priority":3}}},"zzz":{}}"#).unwrap();
        let document = document.unwrap();
        assert_eq!(document.config.http.routers["r"].config.priority, 3);
        assert_eq!(echo, r#"{"http":{"routers":{"r":{"rule":"Path(`/x`)","service":"s","priority":3}}}}"#);
        let ignored: Vec<&str> = document.diagnostics.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(ignored, ["http.routers.r.bogus", "zzz"]);
        for bad in ["", "{", "[]", "\u{ff}", r#"{"http":{"routers":{"r":{"priority":"x"}}}}"#, "{} trailing"] {
            let read = read(bad.as_bytes());
            // Traefik takes `{} trailing`; it is a mistake all the same
            assert!(read.is_err(), "{bad}");
        }
        assert!(read(b"{}").unwrap().0.is_none() && read(b"{\"http\":{}}").unwrap().0.is_none());
        // this is how everything is taken away
        assert!(read(br#"{"http":{"routers":{}}}"#).unwrap().0.is_some());
    }

    #[test]
    fn options_of_plugins_are_left_as_they_are() {
        let (document, _) = read(br#"{"http":{"middlewares":{"m":{"plugin":{"p":{"Any":{"thing":1}}}}}}}"#).unwrap();
        assert!(document.unwrap().diagnostics.is_empty());
    }
}
