use crate::{go_url, omit};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::forwarded::X_FORWARDED_PREFIX;
use torana_http::{Exchange, Filter, Flow, Step, path, respond};

/// Takes a prefix off the path and says so in `X-Forwarded-Prefix`.
pub struct StripPrefix;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// The first of these that the decoded path begins with is taken off; not escaped. They are plain
    /// text: `/a` also fits `/ab`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub prefixes: Vec<String>,
    /// Deprecated: `true` makes an empty path `/` at once, and not only on its way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_slash: Option<bool>,
}

impl MiddlewareSpec for StripPrefix {
    const NAME: &'static str = "stripPrefix";
    const EXAMPLE: &'static str = "prefixes:\n  - /api\n  - /v1\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        // Blanks around a prefix do not count, as in Traefik.
        let prefix = |(i, text): (usize, String)| match HeaderValue::from_str(text.trim()).or_else(|_| HeaderValue::from_bytes(text.trim().as_bytes())) {
            Ok(value) => Ok((text.trim().to_owned(), value)),
            Err(_) => Err(BuildError::new(format!("prefixes[{i}]"), "the prefix holds a control character")),
        };
        let prefixes = config.prefixes.into_iter().enumerate().map(prefix).collect::<Result<_, _>>()?;
        Ok(vec![Step::filter(Runtime { prefixes, force_slash: config.force_slash.unwrap_or(false) })])
    }
}

struct Runtime {
    prefixes: Vec<(String, HeaderValue)>,
    force_slash: bool,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let found = self.prefixes.iter().find_map(|(p, value)| Some((split(&request.path, p)?, value)));
        let Some((stripped, value)) = found else { return Flow::Continue };
        let stripped = match stripped {
            s if s.is_empty() && self.force_slash => "/".to_owned(),
            s => s,
        };
        let value = value.clone();
        take_off(exchange, stripped, value)
    }
}

/// Goes on with what is left of the path, unless there are dot segments or doubled slashes in it.
pub(crate) fn take_off(exchange: &mut Exchange, stripped: String, prefix: HeaderValue) -> Flow {
    if !stripped.is_empty() && path::sanitize(&stripped) != stripped {
        return Flow::respond(respond::error_text(StatusCode::BAD_REQUEST, "Bad Request"));
    }
    exchange.request.path = stripped.into();
    exchange.request.headers.append(X_FORWARDED_PREFIX, prefix);
    Flow::Continue
}

/// What follows `prefix` in the escaped `path`, or `None` when the decoded path does not begin with it.
pub(crate) fn split(path: &str, prefix: &str) -> Option<String> {
    let rest = match path.strip_prefix(prefix).filter(|_| !prefix.contains('%')) {
        Some(rest) => rest,
        None if path.contains('%') => path.get(escaped_length(path, prefix.as_bytes())?..)?,
        None => return None,
    };
    let slash = |t: &str| if t.is_empty() || t.starts_with('/') { t.to_owned() } else { format!("/{t}") };
    let mut decoded = go_url::decode(rest).into_owned();
    if !decoded.is_empty() && !decoded.starts_with(b"/") {
        decoded.insert(0, b'/');
    }
    Some(go_url::encode(&decoded, &slash(rest)))
}

/// How many bytes of the escaped `path` decode to `prefix`.
fn escaped_length(path: &str, prefix: &[u8]) -> Option<usize> {
    let bytes = path.as_bytes();
    let mut i = 0;
    for want in prefix {
        let (b, len) = match bytes.get(i)? {
            b'%' => (u8::from_str_radix(path.get(i + 1..i + 3)?, 16).ok()?, 3),
            b => (*b, 1),
        };
        if b != *want {
            return None;
        }
        i += len;
    }
    Some(i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, run};

    /// Each row was observed with Traefik 3.7.15. An empty path leaves as `/`.
    #[test]
    fn strips_like_traefik() {
        for (prefixes, path, sent) in [
            ("[/strip, /a/b]", "/strip", Ok("")),
            ("[' /strip ']", "/strip/x", Ok("/x")),
            ("[/strip, /a/b]", "/strip/", Ok("/")),
            ("[/strip, /a/b]", "/stripa", Ok("/a")),
            ("[/strip, /a/b]", "/strip/a%2Fb", Ok("/a%2Fb")),
            ("[/strip, /a/b]", "/strip%2Fb", Ok("/b")),
            ("[/strip, /a/b]", "/a/b/c", Ok("/c")),
            ("[/strip, /a/b]", "/a%2Fb/c", Ok("/c")),
            ("[/strip]", "/strip%2F../x", Err(())),
            ("[/strip]", "/strip..%2Fx", Ok("/..%2Fx")),
            ("[/strip]", "/strip/a%5Bb", Ok("/a%5Bb")),
            ("['/a b']", "/a%20b%2Fc", Ok("/c")),
            ("[/]", "/", Ok("")),
            ("[/]", "/x%2Fy", Ok("/x%2Fy")),
            ("[/strip/]", "/strip/x", Ok("/x")),
            ("[/é]", "/%C3%A9/x", Ok("/x")),
            ("['', /x]", "/x/y", Ok("/x/y")),
            ("[/a]", "/a%2F..%2Fx", Err(())),
            ("[/a]", "/a.", Err(())),
            ("[/a]", "/a%2F", Ok("/")),
            ("[/a]", "/a%2F%2Fx", Err(())),
            ("[/a]", "/a%2F.%2Fx", Err(())),
            ("[/a]", "/ab%2F..%2Fx", Ok("/b%2F..%2Fx")),
            ("[/a]", "/a/b/", Ok("/b/")),
        ] {
            let steps = build::<StripPrefix>(&format!("prefixes: {prefixes}"));
            let ran = run(&steps, "GET", path);
            match sent {
                Ok(sent) => assert_eq!((ran.reached, &*ran.request.path), (true, sent), "{prefixes} {path}"),
                Err(()) => assert_eq!((ran.reached, ran.response.status().as_u16(), &*ran.body), (false, 400, "Bad Request\n"), "{path}"),
            }
        }
    }

    #[test]
    fn names_the_prefix_and_appends() {
        let steps = build::<StripPrefix>("prefixes: [/a b]");
        let mut x = crate::testing::exchange("GET", "/a%20b/c");
        x.request.headers.insert(X_FORWARDED_PREFIX, HeaderValue::from_static("/old"));
        let ran = crate::testing::run_exchange(&steps, x);
        let lines: Vec<_> = ran.request.headers.get_all(X_FORWARDED_PREFIX).iter().collect();
        assert_eq!(lines, ["/old", "/a b"]);
    }

    #[test]
    fn leaves_other_paths_alone() {
        for (prefixes, path) in [("[/strip]", "/Strip/x"), ("[/a%20b]", "/a%20b/c"), ("[strip]", "/strip"), ("[/strip/]", "/strip"), ("[]", "/x")] {
            let ran = run(&build::<StripPrefix>(&format!("prefixes: {prefixes}")), "GET", path);
            assert_eq!(&*ran.request.path, path);
            assert!(!ran.request.headers.contains_key(X_FORWARDED_PREFIX), "{prefixes} {path}");
        }
    }

    #[test]
    fn force_slash_is_for_what_comes_after() {
        assert_eq!(run(&build::<StripPrefix>("{prefixes: [/foo], forceSlash: true}"), "GET", "/foo").request.path, "/");
    }
}
