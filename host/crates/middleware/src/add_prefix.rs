use crate::{go_url, omit};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step};

/// Puts a prefix before the path.
pub struct AddPrefix;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// What goes before the path, not escaped; required. A missing slash at the beginning is added.
    #[serde(skip_serializing_if = "omit::empty")]
    pub prefix: String,
}

impl MiddlewareSpec for AddPrefix {
    const NAME: &'static str = "addPrefix";
    const EXAMPLE: &'static str = "prefix: /api\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config.prefix.is_empty() {
            return Err(BuildError::new("prefix", "the prefix is empty").hint("write a path such as `/api`"));
        }
        let plain = with_slash(config.prefix);
        let escaped = go_url::escape_path(plain.as_bytes());
        Ok(vec![Step::filter(Runtime { plain, escaped })])
    }
}

fn with_slash(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

struct Runtime {
    plain: String,
    escaped: String,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let path = &exchange.request.path;
        // Escapes that Go would not write itself stay only if the whole still decodes to the same.
        exchange.request.path = if go_url::is_default(path) {
            [&*self.escaped, path].concat().into()
        } else {
            let decoded = [self.plain.as_bytes(), &go_url::decode(path)].concat();
            go_url::encode(&decoded, &with_slash([&*self.plain, path].concat())).into()
        };
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, run};

    /// Each row was observed with Traefik 3.7.15.
    #[test]
    fn keeps_escapes_like_traefik() {
        for (prefix, path, sent) in [
            ("/api", "/x", "/api/x"),
            ("/api", "/", "/api/"),
            ("/api", "", "/api"),
            ("noslash", "/x", "/noslash/x"),
            ("/end/", "/x", "/end//x"),
            ("/api", "/a%2Fb", "/api/a%2Fb"),
            ("/api", "/a%20b", "/api/a%20b"),
            ("/sp ace%20é", "/x", "/sp%20ace%2520%C3%A9/x"),
            ("/sp ace%20é", "/a%2Fb", "/sp%20ace%2520%C3%A9/a/b"),
            ("/x%2Fy", "/a%2Fb", "/x%252Fy/a/b"),
            ("/x%2Fy", "/x%20y", "/x%252Fy/x%20y"),
            ("/q?x", "/a%2Fb", "/q%3Fx/a/b"),
            ("/..", "/a%2Fb", "/../a%2Fb"),
        ] {
            let steps = build::<AddPrefix>(&format!("prefix: '{prefix}'"));
            assert_eq!(run(&steps, "GET", path).request.path, sent, "{prefix} {path}");
        }
    }

    #[test]
    fn needs_a_prefix() {
        assert_eq!(crate::testing::build_error::<AddPrefix>("prefix: ''").key, "prefix");
    }
}
