//! `return` and `rewrite`.

use super::phases::{Ending, State};
use crate::replace_path_regex::is_clean;
use crate::{go_regex, go_url};
use http::StatusCode;
use regex::Regex;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use torana_http::variables::{Template, Values};
use torana_http::{Exchange, path};

/// What a query cannot hold as it is.
const NO_QUERY: &AsciiSet = &CONTROLS.add(b' ');

#[derive(Debug)]
pub(super) struct Return {
    status: StatusCode,
    what: What,
}

#[derive(Debug)]
enum What {
    Url(Template),
    Text(Template),
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

impl Return {
    pub(super) fn read(parameters: &[String]) -> Result<Return, String> {
        let first = parameters.first().ok_or("a status or a URL belongs here")?;
        let Ok(code) = first.parse::<u16>() else {
            return Ok(Return { status: StatusCode::FOUND, what: What::Url(Template::new(first)) });
        };
        let status = StatusCode::from_u16(code).ok().filter(|s| s.as_u16() >= 200).ok_or_else(|| format!("an answer cannot have the status {code}"))?;
        let rest = Template::new(parameters.get(1).map_or("", String::as_str));
        let what = if is_redirect(status) && !rest.is_empty() { What::Url(rest) } else { What::Text(rest) };
        Ok(Return { status, what })
    }

    pub(super) fn run(&self, exchange: &Exchange, state: &mut State) {
        let ending = match &self.what {
            What::Url(url) => Ending::Redirect(self.status, url.fill(state.values(exchange))),
            What::Text(text) => Ending::Text(self.status, text.fill(state.values(exchange))),
        };
        state.end(ending);
    }
}

#[derive(Debug)]
pub(super) struct Rewrite {
    regex: Regex,
    replacement: Template,
    /// Clients are sent to the new URL.
    redirect: Option<StatusCode>,
    /// The query is not kept.
    no_query: bool,
    stop: Stop,
}

#[derive(Clone, Copy, Debug)]
enum Stop {
    None,
    /// The block ends.
    Last,
    /// All rewriting ends.
    Break,
}

impl Rewrite {
    pub(super) fn read(parameters: &[String]) -> Result<Rewrite, String> {
        let [pattern, replacement, rest @ ..] = parameters else { return Err("a regular expression and what it becomes belong here".into()) };
        let (redirect, stop) = match rest.first().map_or("", String::as_str) {
            "" => (None, Stop::None),
            "last" => (None, Stop::Last),
            "break" => (None, Stop::Break),
            "redirect" => (Some(StatusCode::FOUND), Stop::None),
            "permanent" => (Some(StatusCode::MOVED_PERMANENTLY), Stop::None),
            other => return Err(format!("`{other}` is none of last, break, redirect and permanent")),
        };
        let (replacement, no_query) = replacement.strip_suffix('?').map_or((replacement.as_str(), false), |r| (r, true));
        let absolute = ["http://", "https://", "$scheme"].iter().any(|p| replacement.starts_with(p));
        let redirect = redirect.or(absolute.then_some(StatusCode::FOUND));
        Ok(Rewrite { regex: go_regex::compile(pattern)?, replacement: Template::new(replacement), redirect, no_query, stop })
    }

    /// Whether the request has ended.
    pub(super) fn run(&self, exchange: &mut Exchange, state: &mut State) -> bool {
        let path = path::decode(&exchange.request.path).into_owned();
        let Some(groups) = self.regex.captures(&path) else { return false };
        // Groups are values: a client's `$` in one is no variable, else it would read those of the snippet.
        let mut own = state.values(exchange).own.clone();
        own.extend(groups.iter().enumerate().skip(1).map(|(i, g)| (format!("${i}"), g.map_or("", |g| g.as_str()).to_owned())));
        let new = self.replacement.fill(Values { own: &own, ..state.values(exchange) });
        if let Some(status) = self.redirect {
            state.end(Ending::Redirect(status, new));
            return true;
        }
        let request = &mut exchange.request;
        let (path, query) = new.split_once('?').map_or((new.as_str(), None), |(p, q)| (p, Some(q)));
        let escaped = go_url::escape_path(path.as_bytes());
        if !is_clean(&escaped) {
            state.end(Ending::Text(StatusCode::BAD_REQUEST, String::new()));
            return true;
        }
        request.path = escaped.into();
        match query {
            // What was decoded must not end the line of the request.
            Some(query) => request.query = Some(utf8_percent_encode(query, NO_QUERY).to_string().into()),
            None if self.no_query => request.query = None,
            None => {}
        }
        match self.stop {
            Stop::None => {}
            Stop::Last => state.stop_block(),
            Stop::Break => state.stop_all(),
        }
        false
    }
}
