use crate::{ip_strategy, omit};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use torana_extend::{BuildError, TcpMiddlewareSpec};
use torana_http::{Admission, TcpFilter};

/// Lets only some addresses connect.
pub struct IpAllowList;

/// Of both names of this middleware.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Addresses and networks that may connect; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub source_range: Vec<String>,
}

impl TcpMiddlewareSpec for IpAllowList {
    const NAME: &'static str = "ipAllowList";
    const EXAMPLE: &'static str = "sourceRange:\n  - 10.0.0.0/8\n  - 192.0.2.7\n";
    type Config = Config;

    fn build(config: Config) -> Result<Arc<dyn TcpFilter>, BuildError> {
        if config.source_range.is_empty() {
            return Err(BuildError::new("sourceRange", "no address is let through").hint("list addresses or networks such as `10.0.0.0/8`"));
        }
        Ok(Arc::new(Runtime { allowed: ip_strategy::networks(&config.source_range, "sourceRange")? }))
    }
}

struct Runtime {
    allowed: Vec<IpNet>,
}

impl TcpFilter for Runtime {
    fn admit(&self, peer: IpAddr) -> Admission {
        if ip_strategy::contains(&self.allowed, peer) { Admission::Admit } else { Admission::Refuse("the address is not in sourceRange") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_through_what_is_listed() {
        let list = IpAllowList::build(Config { source_range: vec!["192.0.2.0/24".into(), "::1".into()] }).ok().unwrap();
        for (peer, passes) in [("192.0.2.9", true), ("::ffff:192.0.2.9", true), ("::1", true), ("192.0.3.9", false), ("::2", false)] {
            assert_eq!(matches!(list.admit(peer.parse().unwrap()), Admission::Admit), passes, "{peer}");
        }
    }

    #[test]
    fn refuses_bad_lists() {
        assert_eq!(IpAllowList::build(Config::default()).err().unwrap().key, "sourceRange");
        assert_eq!(IpAllowList::build(Config { source_range: vec!["::1".into(), "x".into()] }).err().unwrap().key, "sourceRange[1]");
    }
}
