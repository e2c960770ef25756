//! A node of a transcript and where it stands, with the ways to read it. Mistakes are collected.

use super::rule::{Rule, Wanted};
use std::cell::RefCell;
use std::str::FromStr;
use std::time::Duration;
use torana_base::{Diagnostic, GoDuration, closest};
use torana_config::node::{Node, Value};

/// Mistakes so far.
#[derive(Default)]
pub(super) struct Found(pub(super) RefCell<Vec<Diagnostic>>);

/// A node, and where it stands.
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    pub(super) key: String,
    pub(super) found: &'a Found,
}

impl<'a> At<'a> {
    pub(super) fn wrong(&self, message: impl Into<String>, hint: &str) {
        let d = Diagnostic::error(&self.key, message).at(&self.node.place);
        self.found.0.borrow_mut().push(if hint.is_empty() { d } else { d.hint(hint) });
    }

    pub(super) fn below(&self, name: &str, node: &'a Node) -> At<'a> {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) };
        At { node, key, found: self.found }
    }

    /// The entry, also when it is null.
    pub(super) fn entry(&self, name: &str) -> Option<At<'a>> {
        self.node.child(name).map(|n| self.below(name, n))
    }

    /// The entry, unless it is null.
    pub(super) fn child(&self, name: &str) -> Option<At<'a>> {
        self.entry(name).filter(|at| !at.node.is_null())
    }

    /// The items of a list; a value that is none is a list of one.
    pub(super) fn items(&self) -> Vec<At<'a>> {
        let at = |(i, node)| At { node, key: format!("{}[{i}]", self.key), found: self.found };
        match &self.node.value {
            Value::List(items) => items.iter().enumerate().map(at).collect(),
            Value::Null => Vec::new(),
            _ => vec![At { node: self.node, key: self.key.clone(), found: self.found }],
        }
    }

    pub(super) fn list(&self, name: &str) -> Vec<At<'a>> {
        self.child(name).map(|c| c.items()).unwrap_or_default()
    }

    /// Name and value of a block.
    pub(super) fn pairs(&self) -> Vec<(&'a str, At<'a>)> {
        if !matches!(self.node.value, Value::Map(_)) && !self.node.is_null() {
            self.wrong("this is a block of names and values", "write `name: value` below it");
        }
        self.node.entries().iter().map(|(k, v)| (k.text.as_str(), self.below(&k.text, v))).collect()
    }

    /// Refuses what is no block, and all keys but these.
    pub(super) fn block(&self, known: &[&str]) {
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

    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.node.as_str();
        if text.is_none() {
            self.wrong("a text belongs here", "");
        }
        text
    }

    /// What a text spells, or the value for when it does not.
    pub(super) fn spelled<T: FromStr>(&self, what: &str, hint: &str, otherwise: T) -> T {
        let Some(text) = self.text() else { return otherwise };
        text.parse().unwrap_or_else(|_| {
            self.wrong(format!("`{text}` is not {what}"), hint);
            otherwise
        })
    }

    pub(super) fn duration(&self) -> Duration {
        let d = self.spelled("a duration", "write `30s`, `200us` or the like", GoDuration::default());
        if d.0 < 0 {
            self.wrong("the clock goes forward only", "write a duration of 0 or more");
        }
        d.as_duration()
    }

    pub(super) fn wanted(&self, rule: Rule) -> Wanted {
        Wanted { key: self.key.clone(), place: self.node.place.clone(), rule }
    }

    /// What a value has to be: a text, null for none, or a block of rules.
    pub(super) fn rules(&self) -> Vec<Wanted> {
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
