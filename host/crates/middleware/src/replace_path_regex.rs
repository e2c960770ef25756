use crate::regex_replace::Replacement;
use crate::replace_path::X_REPLACED_PATH;
use crate::{go_regex, go_url, omit};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step, path, respond};

/// Replaces parts of the path; what it was goes to `X-Replaced-Path`. The query stays.
pub struct ReplacePathRegex;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Looked for in the escaped path; each match is replaced.
    #[serde(skip_serializing_if = "omit::empty")]
    pub regex: String,
    /// What each match becomes, escaped; `$1`, `${1}` and `${name}` are groups.
    #[serde(skip_serializing_if = "omit::empty")]
    pub replacement: String,
}

impl MiddlewareSpec for ReplacePathRegex {
    const NAME: &'static str = "replacePathRegex";
    const EXAMPLE: &'static str = "regex: ^/old/(.*)\nreplacement: /new/$1\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let regex = go_regex::compile(config.regex.trim()).map_err(|e| BuildError::new("regex", e))?;
        Ok(vec![Step::filter(Runtime { replacement: Replacement::new(regex, config.replacement.trim()) })])
    }
}

struct Runtime {
    replacement: Replacement,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &mut exchange.request;
        let Some(raw) = self.replacement.replace_all(&request.path) else { return Flow::Continue };
        if let Some(bad) = go_url::bad_escape(&raw) {
            return Flow::respond(respond::error_text(StatusCode::INTERNAL_SERVER_ERROR, format!("invalid URL escape {bad:?}")));
        }
        let new = go_url::encode(&go_url::decode(&raw), &raw);
        if !is_clean(&new) {
            return Flow::respond(respond::error_text(StatusCode::BAD_REQUEST, "Bad Request"));
        }
        let old = std::mem::replace(&mut request.path, new.into());
        if let Ok(value) = HeaderValue::from_maybe_shared(old.into_bytes()) {
            request.headers.append(X_REPLACED_PATH, value);
        }
        Flow::Continue
    }
}

/// Whether a path has neither dot segments nor doubled slashes.
pub(crate) fn is_clean(path: &str) -> bool {
    if path.is_empty() || path.starts_with('/') {
        return path.is_empty() || path::sanitize(path) == path;
    }
    let rooted = format!("/{path}");
    path::sanitize(&rooted) == rooted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, run};

    /// Each row was observed with Traefik 3.7.15. An empty path leaves as `/`.
    #[test]
    fn replaces_like_traefik() {
        for (regex, replacement, path, result) in [
            ("^/foo/(.*)", "/new/$1", "/foo/%2Fx", Ok("/new/%2Fx")),
            ("^/foo/(.*)", " /trim/$1 ", "/foo/a b", Ok("/trim/a%20b")),
            (" ^/foo/(.*) ", "/x/$2", "/foo/bar", Ok("/x/")),
            ("^/foo/(?P<rest>.*)$", "/r/${rest}/$rest", "/foo/bar", Ok("/r/bar/bar")),
            ("o", "0", "/foo", Ok("/f00")),
            ("%2F", "-", "/foo/%2Fx", Ok("/foo/-x")),
            ("^/foo", "noslash", "/foo/bar", Ok("noslash/bar")),
            (".*", "", "/foo", Ok("")),
            ("^/foo/(.*)", "/a b/$1?x=1", "/foo/bar", Ok("/a%20b/bar%3Fx=1")),
            ("^/foo/(.*)", "/a b/$1", "/foo/%2Fx", Err((400, "Bad Request\n"))),
            ("^/foo/(.*)", "/../$1", "/foo/x", Err((400, "Bad Request\n"))),
            ("^/foo/(.*)", "/a//$1", "/foo/x", Err((400, "Bad Request\n"))),
            ("^/foo/(.*)", "/%zz/$1", "/foo/x", Err((500, "invalid URL escape \"%zz\"\n"))),
            ("", "/pre", "/foo", Err((400, "Bad Request\n"))),
        ] {
            let steps = build::<ReplacePathRegex>(&format!("{{regex: '{regex}', replacement: '{replacement}'}}"));
            let ran = run(&steps, "GET", path);
            match result {
                Ok(sent) => {
                    assert_eq!((ran.reached, &*ran.request.path), (true, sent), "{regex} {replacement}");
                    assert_eq!(ran.request.headers[X_REPLACED_PATH], path);
                }
                Err((status, body)) => assert_eq!((ran.reached, ran.status(), &*ran.body), (false, status, body), "{replacement}"),
            }
        }
        let ran = run(&build::<ReplacePathRegex>("{regex: nope, replacement: /x}"), "GET", "/foo");
        assert_eq!((&*ran.request.path, ran.request.headers.len()), ("/foo", 0));
        assert_eq!(build_error::<ReplacePathRegex>("regex: '('").key, "regex");
    }
}
