//! What came of a step against what was expected.

use super::Miss;
use http::{HeaderMap, HeaderName};
use torana_devkit::transcript::{Expect, Head, Rule, Step, Wanted};
use torana_wasm::Stage;
use tracing::Level;

/// A message as its receiver sees it.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Request line or status, for a reader.
    pub(crate) line: String,
    /// `method`, `url`, `host`, `status`.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What came of a step.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) backend: Option<Message>,
    pub(crate) response: Option<Message>,
    pub(crate) user: Option<String>,
    /// Of a matcher or a balancer.
    pub(crate) verdict: Option<String>,
    /// Of a provider or a solver.
    pub(crate) error: Option<String>,
    pub(crate) document: Option<String>,
    pub(crate) again: Option<String>,
    /// Calls of the plugin that failed or did not happen.
    pub(crate) failed: bool,
    pub(crate) log: Vec<(Level, String)>,
}

/// The lines of a header.
pub(crate) fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect()
}

/// A text that is not there is no line.
fn line(text: Option<&str>) -> Vec<String> {
    text.map(|t| vec![t.to_owned()]).unwrap_or_default()
}

/// All that is otherwise than expected.
pub(crate) fn check(step: &Step, h: &Happened, stage: &Stage) -> Vec<Miss> {
    let e: &Expect = &step.expect;
    let mut misses = Vec::new();
    let mut all = |wanted: &Wanted, got: &[String]| misses.extend(Miss::unless(wanted, got));
    if let Some((reached, wanted, head)) = &e.backend {
        match (&h.backend, reached) {
            (Some(seen), true) => {
                if let Some(head) = head {
                    message(head, seen, &mut all);
                }
            }
            (None, false) => {}
            (seen, _) => {
                let got = match (seen, &h.response) {
                    (Some(seen), _) => format!("it was asked: {}", seen.line),
                    (None, Some(r)) => format!("it was not asked; the answer is {}", r.line),
                    (None, None) => "it was not asked".to_owned(),
                };
                let wanted_text = if *reached { "the backend is asked" } else { "the backend is not asked" };
                misses.push(Miss { key: wanted.key.clone(), place: Some(wanted.place.clone()), wanted: wanted_text.to_owned(), got });
            }
        }
    }
    let mut all = |wanted: &Wanted, got: &[String]| misses.extend(Miss::unless(wanted, got));
    if let Some(head) = &e.response {
        message(head, h.response.as_ref().unwrap_or(&Message::default()), &mut all);
    }
    for (wanted, got) in [(&e.user, &h.user), (&e.verdict, &h.verdict), (&e.error, &h.error), (&e.again, &h.again)] {
        if let Some(wanted) = wanted {
            all(wanted, &line(got.as_deref()));
        }
    }
    e.document.iter().for_each(|wanted| all(wanted, &line(h.document.as_deref())));
    for (namespace, key, wanted) in &e.kv {
        let value = stage.value(namespace, key).map(|v| String::from_utf8_lossy(&v).into_owned());
        all(wanted, &line(value.as_deref()));
    }
    let metrics = stage.metrics();
    for (name, wanted) in &e.metrics {
        all(wanted, &line(Some(&metrics.get(name).copied().unwrap_or(0.0).to_string())));
    }
    let why = h.log.iter().rev().find(|(level, _)| *level == Level::ERROR).map_or("it failed", |(_, text)| text);
    let failure = line(h.failed.then_some(why));
    e.failure.iter().for_each(|wanted| all(wanted, &failure));
    if h.failed && e.failure.is_empty() {
        let (key, wanted) = (format!("{}.expect.failure", step.key), "the plugin does not fail".to_owned());
        misses.push(Miss { key, place: Some(step.place.clone()), wanted, got: why.to_owned() });
    }
    if let Some(wanted) = &e.log {
        let written = super::log::shown(&h.log);
        let got = || if written.is_empty() { "no line".to_owned() } else { written.join("\n") };
        for w in wanted.iter().filter(|w| !written.iter().any(|l| w.rule.holds(std::slice::from_ref(l)))) {
            misses.push(Miss { key: w.key.clone(), place: Some(w.place.clone()), wanted: format!("a line: {}", w.rule), got: got() });
        }
        if wanted.is_empty() && !written.is_empty() {
            let key = format!("{}.expect.log", step.key);
            misses.push(Miss { key, place: Some(step.place.clone()), wanted: "no line".to_owned(), got: got() });
        }
    }
    if let (Some(error), None, false) = (&h.error, &e.error, h.failed) {
        let (key, wanted) = (format!("{}.expect.error", step.key), "no error".to_owned());
        misses.push(Miss { key, place: Some(step.place.clone()), wanted, got: error.clone() });
    }
    misses
}

fn message(head: &Head, seen: &Message, all: &mut impl FnMut(&Wanted, &[String])) {
    for (fact, wanted) in &head.facts {
        let got = seen.facts.iter().find(|(name, _)| name == fact).map(|(_, v)| v.as_str());
        all(wanted, &line(got));
    }
    for (name, wanted) in &head.headers {
        all(wanted, &lines(&seen.headers, name));
    }
    for wanted in &head.body {
        // No body and an empty one are the same.
        let none = seen.body.is_empty() && matches!(wanted.rule, Rule::Absent | Rule::Present);
        all(wanted, &line((!none).then_some(seen.body.as_str())));
    }
}
