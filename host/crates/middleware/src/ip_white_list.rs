use crate::ip_allow_list::Runtime;
use crate::ip_strategy::IpStrategyConfig;
use crate::omit;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::Step;

/// The old name of `ipAllowList`; deprecated.
pub struct IpWhiteList;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Addresses and networks that are let through; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub source_range: Vec<String>,
    /// How the client's address is found; unset: the connection's peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_strategy: Option<IpStrategyConfig>,
}

impl MiddlewareSpec for IpWhiteList {
    const NAME: &'static str = "ipWhiteList";
    const EXAMPLE: &'static str = "sourceRange:\n  - 192.0.2.0/24\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        Runtime::build(&config.source_range, config.ip_strategy.as_ref(), StatusCode::FORBIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, run};

    #[test]
    fn works_as_the_new_name_does() {
        assert_eq!(run(&build::<IpWhiteList>("sourceRange: [10.0.0.0/8]"), "GET", "/").status(), 403);
        assert!(run(&build::<IpWhiteList>("sourceRange: [192.0.2.0/24]"), "GET", "/").reached);
    }
}
