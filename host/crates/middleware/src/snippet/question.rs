//! `auth-url`: another server decides whether a request may pass.

use super::AuthConfig;
use super::directive::{Block, Content};
use super::phases::{Collected, State, prepare};
use crate::app_root::redirect_to;
use crate::forward_auth::{Address, names, request_uri};
use crate::go_url;
use http::header::{self, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use std::mem::swap;
use std::sync::Arc;
use std::time::Duration;
use torana_config::routing::ServersTransportConfig;
use torana_extend::{BuildCx, BuildError};
use torana_http::forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use torana_http::variables::{OwnVariables, Template, Values};
use torana_http::{Body, Client, Clients, Exchange, Request, Response, exchange, hop};

/// How long the question and its answer may take (fixed in Traefik too).
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are waited for before the client gets the first of them.
const WHOLE: usize = 1 << 20;
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// What a client wanted to see, where the address for signing in does not say so itself.
const RETURN_TO: &str = "rd=$scheme://$best_http_host$escaped_request_uri";

pub(super) struct Question {
    name: Arc<str>,
    address: Template,
    /// To the server of an address whose host has no variables.
    fixed: Option<Arc<dyn Client>>,
    clients: Arc<dyn Clients>,
    method: Method,
    snippet: Option<Block>,
    copied: Vec<HeaderName>,
    signin: Option<Template>,
}

impl Question {
    pub(super) fn new(config: &AuthConfig, snippet: Option<Block>, cx: &dyn BuildCx) -> Result<Question, BuildError> {
        if config.address.is_empty() {
            return Err(BuildError::new("auth.address", "the URL of the server that is asked is missing"));
        }
        let method = match config.method.as_str() {
            "" => Method::GET,
            m => Method::from_bytes(m.as_bytes()).map_err(|_| BuildError::new("auth.method", format!("`{m}` is no method")))?,
        };
        let transport = ServersTransportConfig { max_idle_conns_per_host: 100, ..ServersTransportConfig::default() };
        let authority = config.address.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
        let fixed = match Address::parse(&config.address.replace('$', "_")).filter(|_| !authority.contains('$')) {
            Some(address) => Some(cx.client(&address.base, &transport)?),
            None => None,
        };
        let signin = (!config.auth_signin_url.is_empty()).then(|| {
            let url = &config.auth_signin_url;
            let mark = if url.contains('?') { '&' } else { '?' };
            Template::new(&if url.contains("rd=") { url.clone() } else { format!("{url}{mark}{RETURN_TO}") })
        });
        Ok(Question {
            name: cx.name().into(),
            address: Template::new(&config.address),
            fixed,
            clients: cx.clients(&transport)?,
            method,
            snippet,
            copied: names(&config.auth_response_headers),
            signin,
        })
    }

    /// The answer that the client gets; `None` for a request that may pass.
    pub(super) async fn ask(&self, exchange: &mut Exchange, state: &mut State) -> Option<Response> {
        let url = self.address.fill(state.values(exchange));
        let Some(address) = Address::parse(&url) else { return Some(self.failed("its address is no URL of http or https")) };
        let client = self.fixed.clone().unwrap_or_else(|| self.clients.to(&address.base));
        let mut question = Request {
            method: self.method.clone(),
            path: address.path.clone(),
            query: address.query.clone(),
            headers: headers(exchange),
            ..Request::default()
        };
        if let (Some(own), false) = (&address.authorization, question.headers.contains_key(header::AUTHORIZATION)) {
            question.headers.insert(header::AUTHORIZATION, own.clone());
        }
        if let Some(response) = self.change(&mut question, exchange, state) {
            return Some(response);
        }
        let asked = async {
            let answer = client.send(&mut question).await.map_err(|e| e.to_string())?;
            self.verdict(answer, &address, exchange, state).await
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(response)) => response,
            Ok(Err(reason)) => Some(self.failed(&reason)),
            Err(_) => Some(self.failed("no answer in time")),
        }
    }

    /// `auth-snippet`. Conditions and values are about the question, whose place the request lends to it.
    fn change(&self, question: &mut Request, exchange: &mut Exchange, state: &mut State) -> Option<Response> {
        let block = self.snippet.as_ref()?;
        let mut collected = Collected::default();
        state.begin();
        let ended = block.collect(exchange, state, &mut collected);
        if ended {
            return Some(state.answer());
        }
        // Directives read the client's request and write the question; host and method are none of its headers.
        let (method, host) = (exchange.request.method.clone(), exchange.request.host.clone());
        swap(&mut exchange.request.headers, &mut question.headers);
        for input in &collected.input {
            input.apply(exchange, state);
        }
        swap(&mut exchange.request.headers, &mut question.headers);
        let content: Vec<&Content> = collected.content;
        let before = exchange.request.headers.clone();
        prepare(&content, exchange, state);
        // What was set goes to the question alone.
        let after = std::mem::replace(&mut exchange.request.headers, before);
        let before = &exchange.request.headers;
        for name in after.keys().chain(before.keys()) {
            if after.get_all(name).iter().ne(before.get_all(name)) {
                question.headers.remove(name);
                for value in after.get_all(name) {
                    question.headers.append(name.clone(), value.clone());
                }
            }
        }
        if exchange.request.host != host {
            question.host = std::mem::replace(&mut exchange.request.host, host);
        }
        if exchange.request.method != method {
            question.method = std::mem::replace(&mut exchange.request.method, method);
        }
        None
    }

    async fn verdict(&self, answer: Response, address: &Address, exchange: &mut Exchange, state: &mut State) -> Result<Option<Response>, String> {
        let (parts, mut body) = answer.into_parts();
        if parts.status.is_success() {
            while let Some(frame) = body.frame().await {
                frame.map_err(|e| e.to_string())?;
            }
            for name in &self.copied {
                exchange.request.headers.remove(name);
                for value in parts.headers.get_all(name) {
                    exchange.request.headers.append(name.clone(), value.clone());
                }
            }
            state.auth = Some(parts.headers);
            return Ok(None);
        }
        if let (Some(signin), StatusCode::UNAUTHORIZED) = (&self.signin, parts.status) {
            let url = signin.fill(Values { exchange, upstream: None, own: &OwnVariables::new() });
            return Ok(Some(redirect_to(&url, StatusCode::FOUND)));
        }
        let announces_trailers = body.length().is_none();
        let mut response = Response::new(match body.collect(WHOLE).await.map_err(|e| e.to_string())? {
            Ok(bytes) if bytes.is_empty() => Body::Empty,
            Ok(bytes) => Body::Full(bytes),
            Err(more) => more,
        });
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        let headers = response.headers_mut();
        for name in [header::CONNECTION, KEEP_ALIVE, header::TE, header::TRANSFER_ENCODING, header::UPGRADE, header::CONTENT_LENGTH] {
            headers.remove(name);
        }
        if announces_trailers {
            headers.remove(header::TRAILER);
        }
        if let Some(location) = headers.get(LOCATION).filter(|l| !l.is_empty()) {
            let location = String::from_utf8_lossy(location.as_bytes());
            let resolved = go_url::resolve(&address.base, &address.path, address.query.as_deref(), &location);
            let resolved = resolved.ok_or("its `Location` is no URL")?;
            headers.extend(HeaderValue::try_from(resolved).ok().map(|l| (LOCATION, l)));
        }
        Ok(Some(response))
    }

    /// A request that nobody has judged does not pass.
    fn failed(&self, reason: &str) -> Response {
        tracing::debug!(middleware = &*self.name, reason, "auth-url: the server could not be asked");
        exchange::status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The headers of the question: those of the request, and what is known of the client.
fn headers(exchange: &Exchange) -> HeaderMap {
    let request = &exchange.request;
    let named: Vec<HeaderName> =
        hop::tokens(&request.headers, &header::CONNECTION).filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok()).collect();
    let hops = [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::UPGRADE, KEEP_ALIVE];
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 5);
    for (name, value) in request.headers.iter().filter(|(n, _)| !hops.contains(n) && !named.contains(n)) {
        headers.append(name.clone(), value.clone());
    }
    if headers.get(header::USER_AGENT).is_some_and(HeaderValue::is_empty) {
        headers.remove(header::USER_AGENT);
    }
    headers.insert(X_FORWARDED_FOR, exchange.peer.ip_value.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(exchange.scheme()));
    let host = HeaderValue::from_maybe_shared(request.host.as_bytes().clone()).ok().filter(|h| !h.is_empty());
    let told = [(X_FORWARDED_METHOD, HeaderValue::from_str(request.method.as_str()).ok()), (X_FORWARDED_HOST, host), (X_FORWARDED_URI, request_uri(request))];
    for (name, value) in told {
        match value {
            Some(value) => _ = headers.insert(name, value),
            None => _ = headers.remove(name),
        }
    }
    headers
}
