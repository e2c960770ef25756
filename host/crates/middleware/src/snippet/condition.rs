//! When the blocks of `if` and `location` hold.

use super::phases::State;
use crate::go_regex;
use regex::Regex;
use torana_http::variables::Template;
use torana_http::{Exchange, path};

/// Of an `if`.
#[derive(Debug)]
pub(super) struct Condition {
    value: Template,
    /// The value as written, which is what an unknown variable has.
    written: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// Neither empty nor `0`.
    Truth,
    Equal(Template, bool),
    Match(Regex, bool),
}

impl Condition {
    pub(super) fn read(parameters: &[String]) -> Result<Condition, String> {
        let text = parameters.join(" ");
        let text = text.trim();
        let text = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text).trim();
        let (value, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if value.is_empty() {
            return Err("the condition is empty".into());
        }
        let rest = rest.trim();
        let (operator, operand) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let operand = operand.trim();
        let operand = ['"', '\''].iter().find_map(|q| operand.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(operand);
        let regex = |text: String| go_regex::compile(&text);
        let test = match operator {
            "" => Test::Truth,
            "=" => Test::Equal(Template::new(operand), true),
            "!=" => Test::Equal(Template::new(operand), false),
            "~" => Test::Match(regex(operand.to_owned())?, true),
            "!~" => Test::Match(regex(operand.to_owned())?, false),
            "~*" => Test::Match(regex(format!("(?i){operand}"))?, true),
            "!~*" => Test::Match(regex(format!("(?i){operand}"))?, false),
            other => return Err(format!("`{other}` is none of =, !=, ~, ~*, !~ and !~*")),
        };
        Ok(Condition { value: Template::new(value), written: value.to_owned(), test })
    }

    /// Whether it holds; what a regular expression has found goes to `$1` and so on.
    pub(super) fn holds(&self, exchange: &Exchange, state: &mut State) -> bool {
        let value = self.value.fill(state.values(exchange));
        match &self.test {
            Test::Truth => value != self.written && !value.is_empty() && value != "0",
            Test::Equal(other, wanted) => (value == other.fill(state.values(exchange))) == *wanted,
            Test::Match(regex, false) => !regex.is_match(&value),
            Test::Match(regex, true) => match regex.captures(&value) {
                Some(groups) => {
                    for (i, group) in groups.iter().enumerate().skip(1) {
                        state.set(format!("${i}"), group.map_or("", |g| g.as_str()).to_owned());
                    }
                    true
                }
                None => false,
            },
        }
    }
}

/// Of a `location`.
#[derive(Debug)]
pub(super) enum Path {
    Exact(String),
    Prefix(String),
    Match(Regex),
}

impl Path {
    pub(super) fn read(parameters: &[String]) -> Result<Path, String> {
        let text = parameters.concat();
        if text.is_empty() {
            return Err("the path is missing".into());
        }
        Ok(if let Some(pattern) = text.strip_prefix("~*") {
            Path::Match(go_regex::compile(&format!("(?i){}", pattern.trim()))?)
        } else if let Some(pattern) = text.strip_prefix('~') {
            Path::Match(go_regex::compile(pattern.trim())?)
        } else if let Some(exact) = text.strip_prefix('=') {
            Path::Exact(exact.trim().to_owned())
        } else {
            Path::Prefix(text)
        })
    }

    pub(super) fn holds(&self, exchange: &Exchange) -> bool {
        let path = path::decode(&exchange.request.path);
        match self {
            Path::Exact(p) => path == *p,
            Path::Prefix(p) => path.starts_with(p.as_str()),
            Path::Match(regex) => regex.is_match(&path),
        }
    }
}
