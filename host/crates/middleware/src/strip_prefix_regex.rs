use crate::strip_prefix::{split, take_off};
use crate::{go_regex, go_url, omit};
use http::HeaderValue;
use regex::Regex;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step};

/// Takes off the path what it begins with and fits a regular expression, and says so in `X-Forwarded-Prefix`.
pub struct StripPrefixRegex;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// The first of these whose first match in the decoded path stands at its beginning and is not empty counts.
    #[serde(skip_serializing_if = "omit::empty")]
    pub regex: Vec<String>,
}

impl MiddlewareSpec for StripPrefixRegex {
    const NAME: &'static str = "stripPrefixRegex";
    const EXAMPLE: &'static str = "regex:\n  - ^/api/v[0-9]+\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let compile = |(i, r): (usize, &String)| go_regex::compile(r.trim()).map_err(|e| BuildError::new(format!("regex[{i}]"), e));
        let regexes = config.regex.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(vec![Step::filter(Runtime { regexes })])
    }
}

struct Runtime {
    regexes: Vec<Regex>,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let decoded = go_url::decode(&exchange.request.path);
        let text = String::from_utf8_lossy(&decoded);
        let found = self.regexes.iter().find_map(|r| {
            let prefix = r.find(&text).filter(|m| m.start() == 0 && !m.is_empty())?.as_str();
            Some((split(&exchange.request.path, prefix)?, HeaderValue::from_bytes(prefix.as_bytes()).ok()?))
        });
        match found {
            Some((stripped, prefix)) => take_off(exchange, stripped, prefix),
            None => Flow::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, run};

    /// Each row was observed with Traefik 3.7.15. An empty path leaves as `/`.
    #[test]
    fn strips_like_traefik() {
        for (regex, path, sent, prefix) in [
            ("[/strip]", "/strip", "", Some("/strip")),
            ("[/strip]", "/stripa", "/a", Some("/strip")),
            ("[/strip]", "/strip/a%2Fb", "/a%2Fb", Some("/strip")),
            ("[/strip]", "/strip%2Fb", "/b", Some("/strip")),
            ("[/strip]", "/x/strip/a", "/x/strip/a", None),
            ("['/api/v[0-9]+']", "/api/v22/users", "/users", Some("/api/v22")),
            ("[/nope, ' /a/?b ']", "/a%2Fb/c", "/c", Some("/a/b")),
            ("['']", "/strip", "/strip", None),
            ("[strip]", "/strip", "/strip", None),
            ("['(?i)/strip']", "/STRIP/x", "/x", Some("/STRIP")),
            ("['/strip$']", "/strip/a", "/strip/a", None),
            ("['/strip/a b']", "/strip/a%20b", "", Some("/strip/a b")),
            ("[]", "/a", "/a", None),
        ] {
            let ran = run(&build::<StripPrefixRegex>(&format!("regex: {regex}")), "GET", path);
            let named = ran.request.headers.get("x-forwarded-prefix").map(|v| v.to_str().unwrap());
            assert_eq!((ran.reached, &*ran.request.path, named), (true, sent, prefix), "{regex} {path}");
        }
        assert_eq!(run(&build::<StripPrefixRegex>("regex: [/a]"), "GET", "/a%2F..%2Fx").status(), 400);
        assert_eq!(build_error::<StripPrefixRegex>("regex: [/a, '(']").key, "regex[1]");
    }
}
