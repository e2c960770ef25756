//! From text to a transcript. Every mistake is told, with its place.

use super::rule::{Rule, Wanted};
use super::{Act, Answer, Asked, Budget, Canned, Content, Expect, Head, Record, Reply, Server, Step, Transcript, time};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use torana_base::{Diagnostic, GoDuration, Place, closest};
use torana_config::node::{Node, Value};
use torana_config::parse::{Format, parse};
use torana_extend::PluginKind;

/// What the clock says at first, unless a transcript does: the same in each run.
const START: &str = "2026-01-01T00:00:00Z";
/// Most calls that a budget may ask for.
const MAX_CALLS: usize = 10_000_000;
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

#[derive(Default)]
struct Found(RefCell<Vec<Diagnostic>>);

/// A node, and where it stands.
struct At<'a> {
    node: &'a Node,
    key: String,
    found: &'a Found,
}

impl<'a> At<'a> {
    fn wrong(&self, message: impl Into<String>, hint: &str) {
        let d = Diagnostic::error(&self.key, message).at(&self.node.place);
        self.found.0.borrow_mut().push(if hint.is_empty() { d } else { d.hint(hint) });
    }

    fn below(&self, name: &str, node: &'a Node) -> At<'a> {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) };
        At { node, key, found: self.found }
    }

    /// The entry, also when it is null.
    fn entry(&self, name: &str) -> Option<At<'a>> {
        self.node.child(name).map(|n| self.below(name, n))
    }

    /// The entry, unless it is null.
    fn child(&self, name: &str) -> Option<At<'a>> {
        self.entry(name).filter(|at| !at.node.is_null())
    }

    /// The items of a list; a value that is none is a list of one.
    fn items(&self) -> Vec<At<'a>> {
        let at = |(i, node)| At { node, key: format!("{}[{i}]", self.key), found: self.found };
        match &self.node.value {
            Value::List(items) => items.iter().enumerate().map(at).collect(),
            Value::Null => Vec::new(),
            _ => vec![At { node: self.node, key: self.key.clone(), found: self.found }],
        }
    }

    fn list(&self, name: &str) -> Vec<At<'a>> {
        self.child(name).map(|c| c.items()).unwrap_or_default()
    }

    /// Name and value of a block.
    fn pairs(&self) -> Vec<(&'a str, At<'a>)> {
        if !matches!(self.node.value, Value::Map(_)) && !self.node.is_null() {
            self.wrong("this is a block of names and values", "write `name: value` below it");
        }
        self.node.entries().iter().map(|(k, v)| (k.text.as_str(), self.below(&k.text, v))).collect()
    }

    /// Refuses what is no block, and all keys but these.
    fn block(&self, known: &[&str]) {
        if !matches!(self.node.value, Value::Map(_)) {
            return self.wrong("this is a block of options", &format!("known here: {}", known.join(", ")));
        }
        for (key, _) in self.node.entries().iter().filter(|(k, _)| !known.contains(&k.text.as_str())) {
            let d = Diagnostic::error(self.below(&key.text, self.node).key, format!("unknown option `{}`", key.text)).at(&key.place);
            self.found.0.borrow_mut().push(match closest(&key.text, known.iter().copied()) {
                Some(near) => d.hint(format!("did you mean `{near}`?")),
                None => d.hint(format!("known here: {}", known.join(", "))),
            });
        }
    }

    fn text(&self) -> Option<&'a str> {
        let text = self.node.as_str();
        if text.is_none() {
            self.wrong("a text belongs here", "");
        }
        text
    }

    /// What a text spells, or the value for when it does not.
    fn spelled<T: FromStr>(&self, what: &str, hint: &str, otherwise: T) -> T {
        let Some(text) = self.text() else { return otherwise };
        text.parse().unwrap_or_else(|_| {
            self.wrong(format!("`{text}` is not {what}"), hint);
            otherwise
        })
    }

    fn duration(&self) -> Duration {
        let d = self.spelled("a duration", "write `30s`, `200us` or the like", GoDuration::default());
        if d.0 < 0 {
            self.wrong("the clock goes forward only", "write a duration of 0 or more");
        }
        d.as_duration()
    }

    fn wanted(&self, rule: Rule) -> Wanted {
        Wanted { key: self.key.clone(), place: self.node.place.clone(), rule }
    }

    /// What a value has to be: a text, null for none, or a block of rules.
    fn rules(&self) -> Vec<Wanted> {
        match &self.node.value {
            Value::Null => vec![self.wanted(Rule::Absent)],
            Value::Scalar { text, .. } => vec![self.wanted(Rule::Is(text.clone()))],
            Value::List(items) => {
                let lines: Option<Vec<String>> = items.iter().map(|i| i.as_str().map(str::to_owned)).collect();
                if lines.is_none() {
                    self.wrong("texts belong into this list", "");
                }
                vec![self.wanted(Rule::Lines(lines.unwrap_or_default()))]
            }
            Value::Map(_) => {
                self.block(&["is", "contains", "matches", "json", "present"]);
                let mut all = Vec::new();
                all.extend(self.child("is").and_then(|at| Some(at.wanted(Rule::Is(at.text()?.to_owned())))));
                all.extend(self.list("contains").iter().filter_map(|at| Some(at.wanted(Rule::Contains(at.text()?.to_owned())))));
                all.extend(self.list("matches").iter().filter_map(|at| match regex::Regex::new(at.text()?) {
                    Ok(regex) => Some(at.wanted(Rule::Matches(regex))),
                    Err(e) => {
                        at.wrong("this is not a regular expression", e.to_string().lines().last().unwrap_or_default());
                        None
                    }
                }));
                all.extend(self.child("json").map(|at| at.wanted(Rule::Json(at.node.to_json()))));
                all.extend(self.child("present").map(|at| match at.node.as_bool() {
                    Some(false) => at.wanted(Rule::Absent),
                    Some(true) => at.wanted(Rule::Present),
                    None => {
                        at.wrong("`present` is true or false", "");
                        at.wanted(Rule::Present)
                    }
                }));
                all
            }
        }
    }
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

fn header_name(name: &str, at: &At<'_>) -> Option<HeaderName> {
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
            method = Method::from_str(m).ok()?;
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

fn wanted_headers(at: &At<'_>) -> Vec<(HeaderName, Wanted)> {
    let mut all = Vec::new();
    for (name, value) in at.child("headers").map(|h| h.pairs()).unwrap_or_default() {
        if let Some(name) = header_name(name, &value) {
            all.extend(value.rules().into_iter().map(|w| (name.clone(), w)));
        }
    }
    all
}

/// What is expected of a message: a block, or the one fact alone.
fn head(at: &At<'_>, facts: &[&'static str]) -> Head {
    let mut head = Head::default();
    if at.node.as_str().is_some() {
        head.facts.extend(at.rules().into_iter().map(|w| (facts[0], w)));
        return head;
    }
    let known: Vec<&str> = facts.iter().copied().chain(["headers", "body"]).collect();
    at.block(&known);
    for fact in facts {
        let rules = at.child(fact).map(|f| f.rules()).unwrap_or_default();
        head.facts.extend(rules.into_iter().map(|w| (*fact, w)));
    }
    head.headers = wanted_headers(at);
    head.body = at.entry("body").map(|b| b.rules()).unwrap_or_default();
    head
}

fn expect(at: &At<'_>, kind: PluginKind) -> Expect {
    let mut known = vec!["failure", "kv", "log", "metrics"];
    known.extend(match kind {
        PluginKind::Middleware => ["backend", "response", "user"].as_slice(),
        PluginKind::Service => &["response"],
        PluginKind::Matcher => &["match"],
        PluginKind::Balancer => &["server"],
        PluginKind::Provider => &["document", "again", "error"],
        PluginKind::DnsChallenge => &["error"],
    });
    at.block(&known);
    let first = |name: &str| at.entry(name).and_then(|e| e.rules().into_iter().next());
    let rules = |name: &str| at.entry(name).map(|e| e.rules()).unwrap_or_default();
    Expect {
        backend: at.child("backend").map(|b| match b.node.as_bool() {
            Some(reached) => (reached, b.wanted(Rule::Present), None),
            None => (true, b.wanted(Rule::Present), Some(head(&b, &["url", "method", "host"]))),
        }),
        response: at.child("response").map(|r| head(&r, &["status"])),
        verdict: first("match").or_else(|| first("server")),
        error: first("error"),
        document: at.entry("document").map(|d| document(&d)).unwrap_or_default(),
        again: at.child("again").map(|a| a.wanted(Rule::Is(format!("{:?}", a.duration())))),
        user: first("user"),
        failure: rules("failure"),
        kv: at.child("kv").map(|k| wanted_values(&k)).unwrap_or_default(),
        log: at.child("log").map(|l| l.items().iter().flat_map(log_rule).collect()),
        metrics: at
            .child("metrics")
            .map(|m| m.pairs().into_iter().filter_map(|(n, v)| Some((n.to_owned(), number(&v)?))).collect())
            .unwrap_or_default(),
    }
}

/// A provider's document is written as what it says, not as its text.
fn document(at: &At<'_>) -> Vec<Wanted> {
    let rules = ["contains", "matches", "json", "is", "present"];
    match &at.node.value {
        Value::Map(entries) if !entries.iter().all(|(k, _)| rules.contains(&k.text.as_str())) || entries.is_empty() => {
            vec![at.wanted(Rule::Json(at.node.to_json()))]
        }
        _ => at.rules(),
    }
}

/// A text stands in a line.
fn log_rule(at: &At<'_>) -> Vec<Wanted> {
    match at.node.as_str() {
        Some(text) => vec![at.wanted(Rule::Contains(text.to_owned()))],
        None => at.rules(),
    }
}

fn number(at: &At<'_>) -> Option<Wanted> {
    let n = at.spelled("a number", "", f64::NAN);
    (!n.is_nan()).then(|| at.wanted(Rule::Is(n.to_string())))
}

fn wanted_values(at: &At<'_>) -> Vec<(String, String, Wanted)> {
    let mut all = Vec::new();
    for (namespace, values) in at.pairs() {
        for (key, value) in values.pairs() {
            all.extend(value.rules().into_iter().map(|w| (namespace.to_owned(), key.to_owned(), w)));
        }
    }
    all
}

fn budget(at: &At<'_>) -> Budget {
    const LIMITS: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];
    at.block(&["calls", "p50", "p90", "p99", "max"]);
    let calls = at.child("calls").map_or(1000, |c| c.spelled("a number of calls", "", 1000));
    if !(1..=MAX_CALLS).contains(&calls) {
        at.wrong(format!("{calls} calls cannot be measured"), "write a number from 1 to 10000000");
    }
    let limit = |(name, part): (&'static str, f64)| {
        let l = at.child(name)?;
        Some((name, part, l.duration(), l.key, l.node.place.clone()))
    };
    let limits: Vec<_> = LIMITS.into_iter().filter_map(limit).collect();
    if limits.is_empty() {
        at.wrong("the budget has no limit", "write `p50: 20us`, `p99: 200us` or the like");
    }
    Budget { calls, limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, kind: PluginKind) -> String {
        match read(text, "t.yml", kind) {
            Ok(t) => format!("good: {t:?}"),
            Err(wrong) => wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn short_and_long_forms_are_the_same() {
        let short = "exchanges: [{request: GET http://a.test/x?y, backend: 204, expect: {backend: /x?y, response: 204}}]";
        let long = "
exchanges:
  - request: {method: GET, url: /x?y, headers: {host: a.test}}
    backend: {status: 204}
    expect:
      backend: {url: /x?y}
      response: {status: 204}
";
        let of = |text| {
            let t = read(text, "dir/t.yml", PluginKind::Middleware).unwrap();
            assert_eq!(t.name, "t");
            let s = &t.steps[0];
            let Act::Request(asked, reply) = &s.act else { panic!("{s:?}") };
            let facts = |h: &Head| h.facts.iter().map(|(n, w)| format!("{n} {}", w.rule)).collect::<Vec<_>>();
            let (reached, _, backend) = s.expect.backend.clone().unwrap();
            let expected = (reached, facts(&backend.unwrap()), facts(s.expect.response.as_ref().unwrap()));
            (s.name.clone(), asked.host.clone(), asked.path.clone(), asked.query.clone(), reply.status, expected)
        };
        assert_eq!(of(short), of(long));
        assert_eq!(of(short).0, "GET /x?y");
    }

    #[test]
    fn mistakes_have_places() {
        use PluginKind::{Balancer, DnsChallenge, Matcher, Middleware, Provider};
        for (text, kind, expected) in [
            ("exchanges: []", Middleware, "there are no exchanges"),
            ("polls: [{}]", Middleware, "unknown option `polls`"),
            ("exchangse: [{}]", Middleware, "exchangse  (t.yml:1:1)\n  hint: did you mean `exchanges`?"),
            ("exchanges:\n- requets: GET /", Middleware, "exchanges[0].requets  (t.yml:2:3)\n  hint: did you mean `request`?"),
            ("exchanges:\n- request: GET a b", Middleware, "`a b` is neither a path nor a URL\n  at  exchanges[0].request  (t.yml:2:12)"),
            ("exchanges: [{request: {url: /, path: /}}]", Middleware, "write one of `url` and `path`"),
            ("exchanges: [{request: {body: a, json: b}}]", Middleware, "more than one body"),
            ("exchanges: [{request: {headers: {a b: c}}}]", Middleware, "`a b` is not a header"),
            ("exchanges: [{backend: 99}]", Middleware, "`99` is not a status"),
            ("exchanges: [{expect: {respons: 200}}]", Middleware, "did you mean `response`?"),
            ("exchanges: [{expect: {response: {body: {matches: '('}}}}]", Middleware, "not a regular expression"),
            ("exchanges: [{expect: {response: {body: {contain: x}}}}]", Middleware, "did you mean `contains`?"),
            ("exchanges: [{expect: {match: true}}]", Balancer, "unknown option `match`"),
            ("exchanges: [{outgoing: []}]", Matcher, "unknown option `outgoing`"),
            ("exchanges: [{advance: soon}]", Middleware, "`soon` is not a duration"),
            ("exchanges: [{advance: -1s}]", Middleware, "the clock goes forward only"),
            ("clock: noon\nexchanges: [{}]", Middleware, "`noon` is not a point in time\n  at  clock  (t.yml:1:8)"),
            ("budget: {calls: 10}\nexchanges: [{}]", Middleware, "the budget has no limit"),
            ("budget: {calls: 0, p50: 1us}\nexchanges: [{}]", Middleware, "0 calls cannot be measured"),
            ("polls: [{outgoing: [{request: GET /a}]}]", Provider, "`/a` is not a URL"),
            ("polls: [{outgoing: [{response: 200}]}]", Provider, "which request this answers"),
            ("records: [{}]", DnsChallenge, "write one of `present` and `cleanUp`"),
            ("servers: [{weight: 1}]\nexchanges: [{}]", Balancer, "the server has no `url`"),
            ("a: [", Middleware, "t.yml"),
        ] {
            let told = told(text, kind);
            assert!(told.starts_with("error") && told.contains(expected), "{text}: {told}");
        }
    }

    #[test]
    fn what_is_granted() {
        let read = |permissions: &str| {
            let text = format!("{permissions}\nexchanges: [{{outgoing: [{{request: GET https://a.test:81/x}}]}}]");
            let manifest = r#"{"name": "a", "version": "0.1.0", "kind": "middleware", "capabilities": {"kv": ["n"]}}"#;
            let manifest = serde_json::from_str(manifest).unwrap();
            let t = read(&text, "t.yml", PluginKind::Middleware).unwrap();
            t.declaration(PluginKind::Middleware, "a.wasm", Some(&manifest))
        };
        let by_itself = read("").unwrap().config;
        assert_eq!(
            (by_itself.path.as_str(), by_itself.permissions.http, by_itself.permissions.kv),
            ("a.wasm", vec!["a.test:81".to_owned()], vec!["n".to_owned()])
        );
        let written = read("permissions: {kv: [m]}\nlimits: {deadline: 5ms}").unwrap().config;
        assert_eq!((written.permissions.http, written.permissions.kv), (vec![], vec!["m".to_owned()]));
        assert_eq!(written.limits.deadline.to_string(), "5ms");
        let wrong = read("permissions:\n  kvs: [m]").unwrap_err();
        assert!(wrong[0].to_string().contains("permissions.kvs  (t.yml:2:3)\n  hint: did you mean `kv`?"), "{wrong:?}");
    }
}
