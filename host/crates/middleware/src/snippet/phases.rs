//! Running a block: what acts at once, and what is kept for later phases.

use super::access::Rule;
use super::directive::{Action, AddHeader, Block, Content, Input, Output};
use crate::app_root::redirect_to;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use torana_http::variables::{OwnVariables, Values};
use torana_http::{Body, Exchange, Response};

/// Actions of later phases, of blocks whose conditions hold.
#[derive(Default)]
pub(super) struct Collected<'a> {
    pub(super) input: Vec<&'a Input>,
    pub(super) access: Vec<&'a Rule>,
    pub(super) content: Vec<&'a Content>,
    /// Those of the innermost block that has any.
    add_headers: Vec<&'a AddHeader>,
    output: Vec<&'a Output>,
    depth: usize,
    add_depth: usize,
}

/// How a request ends without a server.
#[derive(Debug)]
pub(super) enum Ending {
    Redirect(StatusCode, String),
    Text(StatusCode, String),
}

/// What is known while a request goes through the phases.
#[derive(Default)]
pub(super) struct State {
    variables: OwnVariables,
    /// Headers of the answer about the client.
    pub(super) auth: Option<HeaderMap>,
    ending: Option<Ending>,
    block_ends: bool,
    all_ends: bool,
}

impl State {
    pub(super) fn values<'a>(&'a self, exchange: &'a Exchange) -> Values<'a> {
        Values { exchange, upstream: None, own: &self.variables }
    }

    pub(super) fn set(&mut self, name: String, value: String) {
        self.variables.insert(name, value);
    }

    pub(super) fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    pub(super) fn stop_block(&mut self) {
        self.block_ends = true;
    }

    pub(super) fn stop_all(&mut self) {
        self.all_ends = true;
    }

    /// Another snippet begins.
    pub(super) fn begin(&mut self) {
        (self.block_ends, self.all_ends) = (false, false);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.all_ends
    }

    /// The answer that the snippet itself gives.
    pub(super) fn answer(&mut self) -> Response {
        match self.ending.take() {
            Some(Ending::Redirect(status, url)) => redirect_to(&url, status),
            Some(Ending::Text(status, text)) => {
                let mut response = Response::new(if text.is_empty() { Body::Empty } else { Body::from(text) });
                *response.status_mut() = status;
                response
            }
            None => Response::new(Body::Empty),
        }
    }
}

impl Block {
    /// Runs what acts at once and collects the rest; whether the request ends here.
    pub(super) fn collect<'a>(&'a self, exchange: &mut Exchange, state: &mut State, into: &mut Collected<'a>) -> bool {
        let mut ended = false;
        for action in &self.0 {
            let ends = match action {
                Action::Set { .. } | Action::Return(_) | Action::Rewrite(_) if ended => false,
                Action::Set { name, value } => {
                    let value = value.fill(state.values(exchange));
                    state.set(name.clone(), value);
                    false
                }
                Action::Return(r) => {
                    r.run(exchange, state);
                    true
                }
                Action::Rewrite(r) => r.run(exchange, state),
                Action::If(condition, block) => condition.holds(exchange, state) && block.within(exchange, state, into),
                Action::Location(path, block) => path.holds(exchange) && block.within(exchange, state, into),
                other => {
                    into.take(other);
                    false
                }
            };
            ended |= ends;
            if !ended && (state.block_ends || state.all_ends) {
                return false;
            }
        }
        ended
    }

    fn within<'a>(&'a self, exchange: &mut Exchange, state: &mut State, into: &mut Collected<'a>) -> bool {
        into.depth += 1;
        let ended = self.collect(exchange, state, into);
        into.depth -= 1;
        ended
    }
}

impl<'a> Collected<'a> {
    fn take(&mut self, action: &'a Action) {
        match action {
            Action::Input(i) => self.input.push(i),
            Action::Access(r) => self.access.push(r),
            Action::Content(c) => self.content.push(c),
            Action::Output(o) => self.output.push(o),
            Action::AddHeader(h) => {
                if self.depth > self.add_depth {
                    self.add_headers.clear();
                    self.add_depth = self.depth;
                }
                if self.depth == self.add_depth {
                    self.add_headers.push(h);
                }
            }
            _ => {}
        }
    }
}

impl Input {
    pub(super) fn apply(&self, exchange: &mut Exchange, state: &State) {
        let mut headers = std::mem::take(&mut exchange.request.headers);
        // Values are those of the request as it was when the directive began.
        match self {
            Input::Set(set) => {
                let before = headers.clone();
                exchange.request.headers = before;
                set.apply(&mut headers, None, &state.values(exchange));
            }
            Input::Clear(clear) => clear.apply(&mut headers, None),
        }
        // The host is no header here.
        if let Some(host) = headers.remove(HOST) {
            exchange.request.host = String::from_utf8_lossy(host.as_bytes()).as_ref().into();
        }
        exchange.request.headers = headers;
    }
}

/// Changes the request to the server.
pub(super) fn prepare(actions: &[&Content], exchange: &mut Exchange, state: &mut State) {
    for action in actions {
        match action {
            Content::AuthRequestSet { name, value } => {
                let value = value.fill(Values { exchange, upstream: state.auth.as_ref(), own: &state.variables });
                state.set(name.clone(), value);
            }
            Content::SetHeader { name, value } => {
                let value = value.fill(state.values(exchange));
                match HeaderValue::try_from(value).ok().filter(|v| !v.is_empty()) {
                    // It stands beside the headers; nginx would send none where the value is empty.
                    Some(value) if *name == HOST => exchange.request.host = String::from_utf8_lossy(value.as_bytes()).as_ref().into(),
                    Some(value) => _ = exchange.request.headers.insert(name.clone(), value),
                    None => _ = exchange.request.headers.remove(name),
                }
            }
            Content::Method(method) => {
                let method = method.fill(state.values(exchange));
                if let Ok(method) = Method::from_bytes(method.as_bytes()) {
                    exchange.request.method = method;
                }
            }
        }
    }
}

/// Statuses for which `add_header` without `always` holds.
const ADDED_TO: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

/// Changes the headers of the response.
pub(super) fn finish(exchange: &Exchange, state: &State, response: &mut Response, server: &Collected<'_>, location: &Collected<'_>) {
    let status = response.status();
    let values = state.values(exchange);
    let added = if location.add_headers.is_empty() { &server.add_headers } else { &location.add_headers };
    let headers = response.headers_mut();
    for header in added.iter().filter(|h| h.always || ADDED_TO.contains(&status.as_u16())) {
        if let Ok(value) = HeaderValue::try_from(header.value.fill(values)) {
            headers.append(header.name.clone(), value);
        }
    }
    for output in server.output.iter().chain(&location.output) {
        match output {
            Output::Set(set) => set.apply(headers, Some(status), &values),
            Output::Clear(clear) => clear.apply(headers, Some(status)),
            Output::Hide(name) => _ = headers.remove(name),
            Output::Expires(expires) => expires.apply(headers),
        }
    }
}
