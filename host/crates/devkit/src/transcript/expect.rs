//! What is expected, and how long it may take.

use super::at::At;
use super::read::header_name;
use super::rule::{Rule, Wanted};
use super::{Budget, Expect, Head};
use http::HeaderName;
use torana_config::node::Value;
use torana_extend::PluginKind;

/// Most calls that a budget may ask for.
const MAX_CALLS: usize = 10_000_000;

pub(super) fn wanted_headers(at: &At<'_>) -> Vec<(HeaderName, Wanted)> {
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

pub(super) fn expect(at: &At<'_>, kind: PluginKind) -> Expect {
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

pub(super) fn budget(at: &At<'_>) -> Budget {
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
