//! From text to a transcript. Every mistake is told, with its place.

use super::at::{At, Found};
use super::expect::{budget, expect, wanted_headers};
use super::{Act, Answer, Asked, Canned, Content, Record, Reply, Server, Step, Transcript, time};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use torana_base::{Diagnostic, Place};
use torana_config::node::{Node, Value};
use torana_config::parse::{Format, parse};
use torana_extend::PluginKind;

/// What the clock says at first, unless a transcript does: the same in each run.
const START: &str = "2026-01-01T00:00:00Z";
const DECLARED: [&str; 3] = ["permissions", "limits", "failure"];

pub(super) fn read(text: &str, source: &str, kind: PluginKind) -> Result<Transcript, Vec<Diagnostic>> {
    let format = Format::of_path(Path::new(source)).unwrap_or(Format::Yaml);
    let root = parse(text, format, source.into()).map_err(|d| vec![d])?;
    let found = Found::default();
    let top = At { node: &root, key: String::new(), found: &found };
    let transcript = transcript(&top, source, kind);
    let wrong = found.0.into_inner();
    if wrong.is_empty() { Ok(transcript) } else { Err(wrong) }
}

fn transcript(top: &At<'_>, source: &str, kind: PluginKind) -> Transcript {
    let steps = match kind {
        PluginKind::Provider => "polls",
        PluginKind::DnsChallenge => "records",
        _ => "exchanges",
    };
    let mut known = vec!["name", "config", "clock", "kv", steps];
    known.extend(DECLARED);
    match kind {
        PluginKind::Matcher => known.extend(["args", "budget"]),
        PluginKind::Balancer => known.extend(["servers", "budget"]),
        PluginKind::Provider | PluginKind::DnsChallenge => known.push("outgoing"),
        _ => known.extend(["outgoing", "budget"]),
    }
    top.block(&known);
    let servers = top.list("servers").iter().map(server).collect::<Vec<_>>();
    let all = top.list(steps);
    if all.is_empty() {
        top.wrong(format!("there are no {steps}"), &format!("write at least one below `{steps}`"));
    }
    let stem = Path::new(source).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Transcript {
        source: source.into(),
        name: top.child("name").and_then(|at| at.text().map(str::to_owned)).unwrap_or(stem),
        config: top.child("config").map_or_else(|| Node::empty(Place::whole(source)), |at| at.node.clone()),
        args: top.list("args").iter().filter_map(|at| at.text().map(str::to_owned)).collect(),
        clock: clock(top.child("clock")),
        kv: top.child("kv").map(|at| stored(&at)).unwrap_or_default(),
        outgoing: top.list("outgoing").iter().filter_map(canned).collect(),
        steps: all.iter().map(|at| step(at, kind, &servers)).collect(),
        budget: top.child("budget").map(|at| budget(&at)),
        declared: top.node.entries().iter().filter(|(k, v)| DECLARED.contains(&k.text.as_str()) && !v.is_null()).cloned().collect(),
    }
}

fn clock(written: Option<At<'_>>) -> u64 {
    let start = time::parse(START).unwrap_or_default();
    let Some(at) = written else { return start };
    let Some(text) = at.text() else { return start };
    let seconds = text.parse::<u64>().ok().and_then(|s| s.checked_mul(1_000_000_000));
    time::parse(text).or(seconds).unwrap_or_else(|| {
        at.wrong(format!("`{text}` is not a point in time"), "write `2026-01-01T12:00:00Z`, or seconds since 1970");
        start
    })
}

fn stored(at: &At<'_>) -> Vec<(String, String, Vec<u8>)> {
    let mut all = Vec::new();
    for (namespace, values) in at.pairs() {
        for (key, value) in values.pairs() {
            // A value is bytes: blocks become JSON.
            let bytes = match &value.node.value {
                Value::Scalar { text, .. } => text.clone(),
                _ => value.node.to_json().to_string(),
            };
            all.push((namespace.to_owned(), key.to_owned(), bytes.into_bytes()));
        }
    }
    all
}

fn server(at: &At<'_>) -> Server {
    if let Some(url) = at.node.as_str() {
        return Server { url: url.to_owned(), weight: 1, up: true, in_flight: 0 };
    }
    at.block(&["url", "weight", "up", "inFlight"]);
    let number = |name: &str, default: u32| at.child(name).map_or(default, |n| n.spelled("a number", "", default));
    let url = at.child("url").and_then(|u| u.text().map(str::to_owned));
    if url.is_none() {
        at.wrong("the server has no `url`", "write `url: http://10.0.0.1`");
    }
    let up = at.child("up").is_none_or(|u| {
        u.node.as_bool().unwrap_or_else(|| {
            u.wrong("`up` is true or false", "");
            true
        })
    });
    Server { url: url.unwrap_or_default(), weight: number("weight", 1), up, in_flight: number("inFlight", 0) }
}

fn step(at: &At<'_>, kind: PluginKind, servers: &[Server]) -> Step {
    let mut known = vec!["name", "advance", "expect"];
    let request = || at.child("request").map_or_else(default_request, |r| asked(&r));
    let act = match kind {
        PluginKind::Middleware => {
            known.extend(["request", "backend", "outgoing", "budget"]);
            let reply = at.child("backend").map_or_else(default_reply, |r| reply(&r));
            Act::Request(Box::new(request()), reply)
        }
        PluginKind::Service => {
            known.extend(["request", "outgoing", "budget"]);
            Act::Request(Box::new(request()), default_reply())
        }
        PluginKind::Matcher => {
            known.extend(["request", "budget"]);
            Act::Request(Box::new(request()), default_reply())
        }
        PluginKind::Balancer => {
            known.extend(["request", "servers", "budget"]);
            let own: Vec<Server> = at.list("servers").iter().map(server).collect();
            Act::Pick(Box::new(request()), if own.is_empty() { servers.to_vec() } else { own })
        }
        PluginKind::Provider => {
            known.push("outgoing");
            Act::Poll
        }
        PluginKind::DnsChallenge => {
            known.extend(["present", "cleanUp", "outgoing"]);
            match (at.child("present"), at.child("cleanUp")) {
                (Some(r), None) => Act::Present(record(&r)),
                (None, Some(r)) => Act::CleanUp(record(&r)),
                _ => {
                    at.wrong("a record is made or removed", "write one of `present` and `cleanUp`");
                    Act::Poll
                }
            }
        }
    };
    at.block(&known);
    let name = at.child("name").and_then(|n| n.text().map(str::to_owned)).unwrap_or_else(|| act.name());
    Step {
        key: at.key.clone(),
        place: at.node.place.clone(),
        name,
        advance: at.child("advance").map_or(Duration::ZERO, |d| d.duration()),
        act,
        outgoing: at.list("outgoing").iter().filter_map(canned).collect(),
        expect: at.child("expect").map(|e| expect(&e, kind)).unwrap_or_default(),
        budget: at.child("budget").map(|b| budget(&b)),
    }
}

impl Act {
    /// For who reads of it.
    fn name(&self) -> String {
        let target = |r: &Asked| match &r.query {
            Some(q) => format!("{} {}?{q}", r.method, r.path),
            None => format!("{} {}", r.method, r.path),
        };
        match self {
            Act::Request(r, _) | Act::Pick(r, _) => target(r),
            Act::Poll => "poll".to_owned(),
            Act::Present(r) => format!("present {}", r.name),
            Act::CleanUp(r) => format!("clean up {}", r.name),
        }
    }
}

fn record(at: &At<'_>) -> Record {
    at.block(&["domain", "name", "value"]);
    let part = |name: &str, default: String| at.child(name).and_then(|t| t.text().map(str::to_owned)).unwrap_or(default);
    let domain = part("domain", String::new());
    if domain.is_empty() {
        at.wrong("the record has no `domain`", "write `domain: example.com`");
    }
    Record { name: part("name", format!("_acme-challenge.{domain}.")), value: part("value", "token".to_owned()), domain }
}

fn default_request() -> Asked {
    Asked {
        method: Method::GET,
        https: false,
        host: "localhost".to_owned(),
        path: "/".to_owned(),
        query: None,
        headers: HeaderMap::new(),
        body: Content::Whole(String::new()),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        router: "test@file".to_owned(),
        entry_point: "web".to_owned(),
    }
}

fn default_reply() -> Reply {
    Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Content::Whole(String::new()) }
}

const URL: &str = "write `/path?query`, or `http://host/path`";

fn asked(at: &At<'_>) -> Asked {
    let mut r = default_request();
    let target = |at: &At<'_>, text: &str, r: &mut Asked| match Uri::from_str(text) {
        Ok(uri) if text.starts_with('/') || uri.host().is_some() => {
            r.https = uri.scheme_str() == Some("https");
            if let Some(a) = uri.authority() {
                r.host = a.as_str().to_owned();
            }
            r.path = if uri.path().is_empty() { "/" } else { uri.path() }.to_owned();
            r.query = uri.query().map(str::to_owned);
        }
        _ => at.wrong(format!("`{text}` is neither a path nor a URL"), URL),
    };
    if let Some(line) = at.node.as_str() {
        let (method, url) = line.split_once(' ').unwrap_or(("GET", line));
        r.method = Method::from_str(method).unwrap_or_else(|_| {
            at.wrong(format!("`{method}` is not a method"), "write `GET /path`");
            Method::GET
        });
        target(at, url.trim(), &mut r);
        return r;
    }
    at.block(&["method", "url", "path", "headers", "body", "json", "chunks", "client", "router", "entryPoint"]);
    match (at.child("url"), at.child("path")) {
        (Some(_), Some(path)) => path.wrong("`url` is written as well", "write one of `url` and `path`"),
        (Some(url), None) | (None, Some(url)) => target(&url, url.text().unwrap_or("/"), &mut r),
        (None, None) => {}
    }
    if let Some(m) = at.child("method") {
        r.method = m.spelled("a method", "", Method::GET);
    }
    (r.headers, r.body) = message(at);
    if let Some(host) = r.headers.remove(http::header::HOST) {
        r.host = host.to_str().unwrap_or_default().to_owned();
    }
    if let Some(c) = at.child("client") {
        r.client = c.spelled("an IP address", "write `192.0.2.1`", r.client);
    }
    for (name, to) in [("router", &mut r.router), ("entryPoint", &mut r.entry_point)] {
        if let Some(text) = at.child(name).and_then(|t| t.text()) {
            *to = text.to_owned();
        }
    }
    r
}

/// Headers and body.
fn message(at: &At<'_>) -> (HeaderMap, Content) {
    let mut headers = HeaderMap::new();
    for (name, value) in at.child("headers").map(|h| h.pairs()).unwrap_or_default() {
        let Some(name) = header_name(name, &value) else { continue };
        for line in value.items() {
            match line.text().map(HeaderValue::from_str) {
                Some(Ok(v)) => _ = headers.append(name.clone(), v),
                Some(Err(_)) => line.wrong("this is not a header value", "it may not hold control characters"),
                None => {}
            }
        }
    }
    let written: Vec<_> = ["body", "json", "chunks"].iter().filter_map(|n| Some((*n, at.child(n)?))).collect();
    let body = match written.as_slice() {
        [] => Content::Whole(String::new()),
        [("json", json)] => {
            headers.entry(http::header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Content::Whole(json.node.to_json().to_string())
        }
        [("chunks", list)] => Content::Pieces(list.items().iter().filter_map(|p| p.text().map(str::to_owned)).collect()),
        [(_, body)] => Content::Whole(body.text().unwrap_or_default().to_owned()),
        [_, (_, second), ..] => {
            second.wrong("the message has more than one body", "write one of `body`, `json` and `chunks`");
            Content::Whole(String::new())
        }
    };
    (headers, body)
}

pub(super) fn header_name(name: &str, at: &At<'_>) -> Option<HeaderName> {
    let parsed = HeaderName::from_str(name).ok();
    if parsed.is_none() {
        at.wrong(format!("`{name}` is not a header"), "");
    }
    parsed
}

fn status(at: &At<'_>) -> StatusCode {
    at.spelled("a status", "write a number from 100 to 999", StatusCode::OK)
}

/// A response that is given; a lone status is one.
fn reply(at: &At<'_>) -> Reply {
    if at.node.as_str().is_some() {
        return Reply { status: status(at), ..default_reply() };
    }
    at.block(&["status", "headers", "body", "json", "chunks"]);
    let (headers, body) = message(at);
    Reply { status: at.child("status").map_or(StatusCode::OK, |s| status(&s)), headers, body }
}

fn canned(at: &At<'_>) -> Option<Canned> {
    at.block(&["request", "response", "error"]);
    let Some(request) = at.child("request") else {
        at.wrong("it is not said which request this answers", "write `request: GET https://host/path`");
        return None;
    };
    let (mut method, mut url) = (Method::GET, String::new());
    let (mut headers, mut body) = (Vec::new(), Vec::new());
    match request.node.as_str() {
        Some(line) => {
            let (m, u) = line.split_once(' ').unwrap_or(("GET", line));
            method = Method::from_str(m).unwrap_or_else(|_| {
                request.wrong(format!("`{m}` is not a method"), "write `GET https://host/path`");
                Method::GET
            });
            url = u.trim().to_owned();
        }
        None => {
            request.block(&["method", "url", "headers", "body"]);
            if let Some(m) = request.child("method") {
                method = m.spelled("a method", "", Method::GET);
            }
            url.push_str(request.child("url").and_then(|u| u.text()).unwrap_or_default());
            headers = wanted_headers(&request);
            body = request.entry("body").map(|b| b.rules()).unwrap_or_default();
        }
    }
    if Uri::from_str(&url).ok().and_then(|u| u.host().map(str::len)).is_none_or(|n| n == 0) {
        request.wrong(format!("`{url}` is not a URL"), "write `GET https://host/path`");
    }
    let answer = match (at.child("response"), at.child("error")) {
        (_, None) => Answer::Reply(at.child("response").map_or_else(default_reply, |r| reply(&r))),
        (None, Some(error)) => match error.text().unwrap_or_default() {
            "timeout" => Answer::Timeout,
            "too-large" => Answer::TooLarge,
            other => Answer::Failed(other.to_owned()),
        },
        (Some(_), Some(error)) => {
            error.wrong("`response` is written as well", "write one of `response` and `error`");
            return None;
        }
    };
    Some(Canned { key: at.key.clone(), place: at.node.place.clone(), method, url, headers, body, answer })
}
