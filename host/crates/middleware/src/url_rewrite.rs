//! Another host or path on the way to the server, as routes of the Gateway API describe it. Only providers use this
//! kind.

use crate::go_url;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step};

/// Changes the host, the path, or both.
pub struct UrlRewrite;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The whole path, or what takes the place of `pathPrefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
}

impl MiddlewareSpec for UrlRewrite {
    const NAME: &'static str = "URLRewrite";
    const EXAMPLE: &'static str = "hostname: b.test\npath: /new\npathPrefix: /old\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let path = NewPath::new(config.path.as_deref(), config.path_prefix.as_deref());
        Ok(vec![Step::filter(Runtime { host: config.hostname.map(ByteString::from), path })])
    }
}

/// What becomes of a path.
pub(crate) enum NewPath {
    Whole(String),
    Prefix { old: String, new: String },
}

impl NewPath {
    pub(crate) fn new(path: Option<&str>, prefix: Option<&str>) -> Option<NewPath> {
        let escaped = |p: &str| go_url::encode(&go_url::decode(p), p);
        match (path, prefix) {
            (None, _) => None,
            (Some(path), None) => Some(NewPath::Whole(escaped(path))),
            (Some(path), Some(prefix)) => {
                let trimmed = |p: &str| escaped(p).trim_end_matches('/').to_owned();
                Some(NewPath::Prefix { old: trimmed(prefix), new: trimmed(path) })
            }
        }
    }

    /// The new path; a slash at the end stays.
    pub(crate) fn of<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        match self {
            NewPath::Whole(whole) => whole.into(),
            NewPath::Prefix { old, new } => {
                let rest = path.strip_prefix(old.as_str()).unwrap_or(path);
                match (rest, new.as_str()) {
                    ("", "") => "/".into(),
                    ("", new) => new.into(),
                    (rest, new) if rest.starts_with('/') => format!("{new}{rest}").into(),
                    (rest, new) => format!("{new}/{rest}").into(),
                }
            }
        }
    }
}

struct Runtime {
    host: Option<ByteString>,
    path: Option<NewPath>,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &mut exchange.request;
        if let Some(host) = &self.host {
            request.host = host.clone();
        }
        if let Some(path) = &self.path {
            let new: ByteString = path.of(&request.path).into_owned().into();
            request.path = new;
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, exchange, run_exchange};

    #[test]
    fn hosts_and_paths() {
        for (config, path, host, sent) in [
            ("hostname: b.test", "/p", "b.test", "/p"),
            ("path: /full", "/p/x", "a.test", "/full"),
            ("path: /new\npathPrefix: /old", "/old/a%2Fb/", "a.test", "/new/a%2Fb/"),
            ("path: /new\npathPrefix: /old", "/old", "a.test", "/new"),
            ("path: /new/\npathPrefix: /old/", "/old/x", "a.test", "/new/x"),
            ("path: /\npathPrefix: /old", "/old", "a.test", "/"),
            ("path: /\npathPrefix: /old", "/old/x", "a.test", "/x"),
            ("path: /new\npathPrefix: /", "/x", "a.test", "/new/x"),
            ("path: /new\npathPrefix: /", "/", "a.test", "/new/"),
        ] {
            let request = run_exchange(&build::<UrlRewrite>(config), exchange("GET", path)).request;
            assert_eq!((&*request.host, &*request.path), (host, sent), "{config} {path}");
        }
    }
}
