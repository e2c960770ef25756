use super::ip_allow_list::{Config, IpAllowList};
use std::sync::Arc;
use torana_extend::{BuildError, TcpMiddlewareSpec};
use torana_http::TcpFilter;

/// The old name of `ipAllowList`; deprecated.
pub struct IpWhiteList;

impl TcpMiddlewareSpec for IpWhiteList {
    const NAME: &'static str = "ipWhiteList";
    const EXAMPLE: &'static str = "sourceRange:\n  - 192.0.2.0/24\n";
    type Config = Config;

    fn build(config: Config) -> Result<Arc<dyn TcpFilter>, BuildError> {
        IpAllowList::build(config)
    }
}
