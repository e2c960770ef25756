//! The host that servers are told, as ingress-nginx has it. Only providers use this kind.

use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use http::StatusCode;
use torana_http::h1::head::is_host_byte;
use torana_http::respond::status_text;
use torana_http::variables::{OwnVariables, Template, Values};
use torana_http::{Exchange, Filter, Flow, Step};

/// Changes the host of the request.
pub struct UpstreamVHost;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// The host, with variables of nginx; required.
    #[serde(rename = "vHost")]
    pub vhost: String,
    /// More variables, by their name with its `$`.
    #[serde(skip_serializing_if = "OwnVariables::is_empty")]
    pub vars: OwnVariables,
}

impl MiddlewareSpec for UpstreamVHost {
    const NAME: &'static str = "upstreamVHost";
    const EXAMPLE: &'static str = "vHost: $service_name.internal\nvars: {$service_name: web}\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config.vhost.is_empty() {
            return Err(BuildError::new("vHost", "the host is missing"));
        }
        Ok(vec![Step::filter(Runtime { host: Template::new(&config.vhost), own: config.vars })])
    }
}

struct Runtime {
    host: Template,
    own: OwnVariables,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let host = self.host.fill(Values { exchange, upstream: None, own: &self.own });
        if host.is_empty() || !host.bytes().all(is_host_byte) {
            return Flow::respond(status_text(StatusCode::BAD_REQUEST));
        }
        exchange.request.host = host.into();
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, run_exchange};

    #[test]
    fn the_host_is_made_of_variables() {
        let steps = build::<UpstreamVHost>("{vHost: '$service_name.$host', vars: {$service_name: web}}");
        let ran = run_exchange(&steps, exchange("GET", "/"));
        assert_eq!(&*ran.request.host, "web.a.test");
        // What a client has decoded into it ends no line.
        let steps = build::<UpstreamVHost>("{vHost: $arg_t.internal}");
        for (query, host) in [("t=a", Some("a.internal")), ("t=a%0d%0aX:%20y", None), ("t=a%20b", None)] {
            let ran = run_exchange(&steps, exchange("GET", &format!("/?{query}")));
            assert_eq!((&*ran.request.host == "a.internal").then_some("a.internal"), host, "{query}");
        }
        assert_eq!(build_error::<UpstreamVHost>("{}").key, "vHost");
    }
}
