use crate::{go_url, omit};
use bytestring::ByteString;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step};

/// Where the path goes that is replaced.
pub const X_REPLACED_PATH: HeaderName = HeaderName::from_static("x-replaced-path");

/// Puts another path in the place of the request's, which goes to `X-Replaced-Path`. The query stays.
pub struct ReplacePath;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// The new path; percent escapes are kept, a `?` is escaped.
    #[serde(skip_serializing_if = "omit::empty")]
    pub path: String,
}

impl MiddlewareSpec for ReplacePath {
    const NAME: &'static str = "replacePath";
    const EXAMPLE: &'static str = "path: /new/path\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if let Some(bad) = go_url::bad_escape(&config.path) {
            return Err(BuildError::new("path", format!("`{bad}` is not an escape")).hint("write `%25` for a percent sign"));
        }
        let path = go_url::encode(&go_url::decode(&config.path), &config.path).into();
        Ok(vec![Step::filter(Runtime { path })])
    }
}

struct Runtime {
    path: ByteString,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &mut exchange.request;
        let old = std::mem::replace(&mut request.path, self.path.clone());
        if let Ok(value) = HeaderValue::from_maybe_shared(old.into_bytes()) {
            request.headers.append(X_REPLACED_PATH, value);
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, run_exchange};

    /// Each row was observed with Traefik 3.7.15.
    #[test]
    fn replaces_like_traefik() {
        for (path, sent) in [
            ("/new", "/new"),
            ("/new?x=1", "/new%3Fx=1"),
            ("/n%20w/%2F", "/n%20w/%2F"),
            ("/n%20w/%2F é", "/n%20w//%20%C3%A9"),
            ("", ""),
            ("/a/../b", "/a/../b"),
            ("noslash", "noslash"),
        ] {
            let mut x = exchange("GET", "/old%20x%2F");
            x.request.query = Some("q=1".into());
            x.request.headers.insert(X_REPLACED_PATH, HeaderValue::from_static("evil"));
            let ran = run_exchange(&build::<ReplacePath>(&format!("path: '{path}'")), x);
            assert_eq!((&*ran.request.path, ran.request.query.as_deref()), (sent, Some("q=1")));
            assert_eq!(ran.request.headers.get_all(X_REPLACED_PATH).iter().collect::<Vec<_>>(), ["evil", "/old%20x%2F"]);
        }
        assert_eq!(build_error::<ReplacePath>("path: /bad%zz").key, "path");
    }
}
