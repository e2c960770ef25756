//! Another path on the way to the server, as ingress-nginx makes it. Only providers use this kind.

use crate::app_root::redirect_to;
use crate::regex_replace::Replacement;
use crate::replace_path_regex::is_clean;
use crate::{go_regex, go_url, omit};
use bytestring::ByteString;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step, respond};

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Replaces the path, or sends the client to another URL.
pub struct RewriteTarget;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Looked for in the escaped path, in any case; empty for the whole path.
    #[serde(skip_serializing_if = "omit::empty")]
    pub regex: String,
    /// What each match becomes, escaped; `$1` is a group. A whole URL sends the client there. Required.
    pub replacement: String,
    /// Sent as `X-Forwarded-Prefix`, with groups too.
    #[serde(skip_serializing_if = "omit::empty")]
    pub x_forwarded_prefix: String,
}

impl MiddlewareSpec for RewriteTarget {
    const NAME: &'static str = "rewriteTarget";
    const EXAMPLE: &'static str = "regex: /old(/|$)(.*)\nreplacement: /new/$2\nxForwardedPrefix: /old\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config.replacement.is_empty() {
            return Err(BuildError::new("replacement", "what a path becomes is missing"));
        }
        let absolute = has_scheme(&config.replacement);
        let pattern = config.regex.trim();
        let compile = |pattern: &str| go_regex::compile(&format!("(?i){pattern}")).map_err(|e| BuildError::new("regex", e));
        let mut regex = compile(pattern)?;
        if absolute && !pattern.is_empty() && regex.captures_len() == 1 {
            // What is not matched would stand behind the URL.
            regex = compile(&format!("{pattern}.*"))?;
        }
        let target = match pattern {
            "" => Target::Whole(without_groups(config.replacement.trim())),
            _ => Target::Match(Replacement::new(regex.clone(), config.replacement.trim())),
        };
        let prefix = Some(config.x_forwarded_prefix).filter(|p| !p.is_empty()).map(|p| match pattern {
            "" => Target::Whole(p),
            _ => Target::Match(Replacement::new(regex, &p)),
        });
        Ok(vec![Step::filter(Runtime { target, prefix, absolute })])
    }
}

fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(s, _)| s);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Groups mean nothing where nothing is matched.
fn without_groups(text: &str) -> String {
    let mut parts = text.split('$');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| match part.trim_start_matches(|c: char| c.is_ascii_digit()) {
        rest if rest.len() < part.len() => out + rest,
        rest => out + "$" + rest,
    })
}

enum Target {
    Whole(String),
    Match(Replacement),
}

impl Target {
    /// `None` for a path that does not match.
    fn of(&self, path: &str) -> Option<String> {
        match self {
            Target::Whole(text) => Some(text.clone()),
            Target::Match(replacement) => replacement.replace_all(path),
        }
    }
}

struct Runtime {
    target: Target,
    prefix: Option<Target>,
    absolute: bool,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &mut exchange.request;
        let Some(new) = self.target.of(&request.path) else { return Flow::Continue };
        let failed = |status: StatusCode| Flow::respond(respond::error_text(status, respond::text_of(status)));
        if new.is_empty() {
            return failed(StatusCode::INTERNAL_SERVER_ERROR);
        }
        if self.absolute {
            let Some(mut url) = go_url::reprint(&new) else { return failed(StatusCode::INTERNAL_SERVER_ERROR) };
            if let Some(query) = request.query.as_ref().filter(|q| !q.is_empty() && url.split_once('?').is_none_or(|(_, own)| own.is_empty())) {
                let fragment = url.split_once('#').map(|(_, f)| f.to_owned());
                url.truncate(url.find(['?', '#']).unwrap_or(url.len()));
                url = format!("{url}?{query}{}", fragment.map(|f| format!("#{f}")).unwrap_or_default());
            }
            return Flow::respond(redirect_to(&url, StatusCode::FOUND));
        }
        if let Some(prefix) = self.prefix.as_ref().and_then(|p| p.of(&request.path)).and_then(|p| HeaderValue::try_from(p).ok()) {
            request.headers.insert(X_FORWARDED_PREFIX, prefix);
        }
        if let Some(bad) = go_url::bad_escape(&new) {
            return Flow::respond(respond::error_text(StatusCode::INTERNAL_SERVER_ERROR, format!("invalid URL escape {bad:?}")));
        }
        let path: ByteString = go_url::encode(&go_url::decode(&new), &new).into();
        if !is_clean(&path) {
            return failed(StatusCode::BAD_REQUEST);
        }
        request.path = path;
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, run_exchange};

    #[test]
    fn paths_are_rewritten() {
        for (config, target, sent, prefix) in [
            ("{regex: '/old(/|$)(.*)', replacement: '/new/$2', xForwardedPrefix: '/p$1x'}", "/OLD/a%2Fb?q=1", "/new/a%2Fb", Some("/p")),
            ("{regex: '/old', replacement: '/new'}", "/other", "/other", None),
            ("{regex: '/old', replacement: '/new'}", "/old/x", "/new/x", None),
            ("{replacement: '/a$1b$c'}", "/any", "/ab$c", None),
        ] {
            let ran = run_exchange(&build::<RewriteTarget>(config), exchange("GET", target));
            assert!(ran.reached, "{config}");
            assert_eq!((&*ran.request.path, ran.request.header("x-forwarded-prefix")), (sent, prefix), "{config}");
        }
    }

    #[test]
    fn urls_and_nonsense_are_answered() {
        for (config, target, status, location) in [
            ("{regex: '/old', replacement: 'https://new.test/x'}", "/old/rest?q=1", 302, Some("https://new.test/x?q=1")),
            ("{regex: '/old/(.*)', replacement: 'https://new.test/$1?own=1'}", "/old/a?q=1", 302, Some("https://new.test/a?own=1")),
            ("{regex: '/old(.*)', replacement: '$1'}", "/old", 500, None),
            ("{regex: '/old/(.*)', replacement: '/$1'}", "/old//x", 400, None),
            ("{regex: '/old', replacement: '/%zz'}", "/old", 500, None),
        ] {
            let ran = run_exchange(&build::<RewriteTarget>(config), exchange("GET", target));
            assert_eq!((ran.status(), ran.header("location")), (status, location), "{config}");
        }
        assert_eq!(build_error::<RewriteTarget>("regex: x").key, "replacement");
        assert_eq!(build_error::<RewriteTarget>("{regex: '(', replacement: x}").key, "regex");
    }
}
