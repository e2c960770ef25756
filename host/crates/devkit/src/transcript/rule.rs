//! What a text has to be.

use regex::Regex;
use serde_json::Value as Json;
use std::fmt;
use torana_base::Place;

/// An expectation, and where it stands.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As in `exchanges[0].expect.response.status`.
    pub key: String,
    pub place: Place,
    pub rule: Rule,
}

#[derive(Clone, Debug)]
pub enum Rule {
    Is(String),
    /// Of a header: these lines.
    Lines(Vec<String>),
    Contains(String),
    Matches(Regex),
    Json(Json),
    Present,
    Absent,
}

impl Rule {
    /// Whether a value is as it shall be; several lines are those of one header.
    pub fn holds(&self, lines: &[String]) -> bool {
        let joined = || lines.join(", ");
        match self {
            Rule::Absent => lines.is_empty(),
            Rule::Present => !lines.is_empty(),
            Rule::Lines(wanted) => lines == wanted,
            _ if lines.is_empty() => false,
            Rule::Is(text) => joined() == *text,
            Rule::Contains(part) => joined().contains(part),
            Rule::Matches(regex) => regex.is_match(&joined()),
            Rule::Json(json) => serde_json::from_str::<Json>(&joined()).is_ok_and(|got| got == *json),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Is(text) => f.write_str(text),
            Rule::Lines(lines) => write!(f, "{lines:?}"),
            Rule::Contains(part) => write!(f, "a text with {part:?} in it"),
            Rule::Matches(regex) => write!(f, "a text that matches {regex}"),
            Rule::Json(json) => write!(f, "{json:#}"),
            Rule::Present => f.write_str("something"),
            Rule::Absent => f.write_str("nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_or_not() {
        let lines = |all: &[&str]| all.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        for (rule, good, bad) in [
            (Rule::Is("a, b".into()), lines(&["a", "b"]), lines(&["a"])),
            (Rule::Lines(lines(&["a", "b"])), lines(&["a", "b"]), lines(&["a, b"])),
            (Rule::Contains("b".into()), lines(&["abc"]), lines(&[])),
            (Rule::Matches(Regex::new("^a+$").unwrap()), lines(&["aa"]), lines(&["ab"])),
            (Rule::Json(serde_json::json!({"a": [1]})), lines(&["{ \"a\": [1] }"]), lines(&["{}"])),
            (Rule::Present, lines(&[""]), lines(&[])),
            (Rule::Absent, lines(&[]), lines(&[""])),
        ] {
            assert!(rule.holds(&good) && !rule.holds(&bad), "{rule:?}");
        }
    }
}
