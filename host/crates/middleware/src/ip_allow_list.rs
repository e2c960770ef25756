use crate::ip_strategy::{self, Client, IpStrategy, IpStrategyConfig};
use crate::omit;
use http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Response, Step, exchange, respond};

/// Lets only some addresses through.
pub struct IpAllowList;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Addresses and networks that are let through; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub source_range: Vec<String>,
    /// How the client's address is found; unset: the connection's peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_strategy: Option<IpStrategyConfig>,
    /// Status for the others; 0 means 403.
    #[serde(skip_serializing_if = "omit::empty")]
    pub reject_status_code: i64,
}

impl MiddlewareSpec for IpAllowList {
    const NAME: &'static str = "ipAllowList";
    const EXAMPLE: &'static str = "sourceRange:\n  - 10.0.0.0/8\n  - 192.0.2.7\nipStrategy:\n  depth: 1\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let code = if config.reject_status_code == 0 { 403 } else { config.reject_status_code };
        let reject = u16::try_from(code).ok().and_then(|c| StatusCode::from_u16(c).ok()).filter(|c| c.canonical_reason().is_some());
        let reject = reject.ok_or_else(|| BuildError::new("rejectStatusCode", format!("{code} is not a known status code")))?;
        Runtime::build(&config.source_range, config.ip_strategy.as_ref(), reject)
    }
}

/// What both names of this middleware run.
pub(crate) struct Runtime {
    allowed: Vec<IpNet>,
    strategy: IpStrategy,
    reject: StatusCode,
}

impl Runtime {
    pub(crate) fn build(range: &[String], strategy: Option<&IpStrategyConfig>, reject: StatusCode) -> Result<Vec<Step>, BuildError> {
        if range.is_empty() {
            return Err(BuildError::new("sourceRange", "no address is let through").hint("list addresses or networks such as `10.0.0.0/8`"));
        }
        let allowed = ip_strategy::networks(range, "sourceRange")?;
        Ok(vec![Step::filter(Runtime { allowed, strategy: IpStrategy::build(strategy, "ipStrategy")?, reject })])
    }

    fn refuse(&self) -> Response {
        let bodyless = self.reject.is_informational() || matches!(self.reject, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodyless { exchange::status(self.reject) } else { respond::status_text(self.reject) }
    }
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        match self.strategy.client(exchange).ip() {
            Some(ip) if ip_strategy::contains(&self.allowed, ip) => Flow::Continue,
            _ => {
                if exchange.trace.is_some() {
                    let shown = match self.strategy.client(exchange) {
                        Client::Ip(ip) => ip.to_string(),
                        Client::Text(text) => text.to_owned(),
                    };
                    exchange.trace_error(format!("Rejecting IP {shown}: \"{shown}\" matched none of the trusted IPs"));
                }
                Flow::respond(self.refuse())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, exchange_from, run_exchange, shown};

    #[test]
    fn lets_through_what_is_listed() {
        for (range, peer, passes) in [
            ("[192.0.2.7]", "192.0.2.7:1", true),
            ("['192.0.2.0/24', '::1']", "192.0.2.9:1", true),
            ("['10.1.2.3/8']", "10.9.9.9:1", true),
            ("['::ffff:192.0.2.7']", "192.0.2.7:1", true),
            ("[192.0.2.7]", "[::ffff:192.0.2.7]:1", true),
            ("['2001:db8::/64']", "[2001:db8::9]:1", true),
            ("[10.0.0.0/8]", "192.0.2.7:1", false),
        ] {
            let ran = run_exchange(&build::<IpAllowList>(&format!("sourceRange: {range}")), exchange_from(peer.parse().unwrap(), false, "GET", "/"));
            assert_eq!(ran.reached, passes, "{range} {peer}");
        }
    }

    #[test]
    fn refuses_with_the_status_asked_for() {
        for (code, body) in [(0, "Forbidden"), (404, "Not Found"), (204, "")] {
            let ran = run_exchange(&build::<IpAllowList>(&format!("{{sourceRange: [10.0.0.0/8], rejectStatusCode: {code}}}")), exchange("GET", "/"));
            assert_eq!((ran.status(), &*ran.body, ran.headers().len()), (if code == 0 { 403 } else { code }, body, 0));
        }
        for code in [999, 299, -1] {
            assert_eq!(build_error::<IpAllowList>(&format!("{{sourceRange: [::1], rejectStatusCode: {code}}}")).key, "rejectStatusCode");
        }
    }

    #[test]
    fn an_address_that_is_not_there_is_refused() {
        let steps = build::<IpAllowList>("{sourceRange: ['0.0.0.0/0', '::/0'], ipStrategy: {depth: 2}}");
        assert!(!run_exchange(&steps, exchange("GET", "/")).reached);
    }

    #[test]
    fn refuses_bad_lists() {
        assert_eq!(build_error::<IpAllowList>("rejectStatusCode: 403").key, "sourceRange");
        assert_eq!(build_error::<IpAllowList>("sourceRange: ['::1', foo]").key, "sourceRange[1]");
        assert_eq!(shown::<IpAllowList>("{sourceRange: ['::1'], ipStrategy: {depth: 0}}"), r#"{"sourceRange":["::1"],"ipStrategy":{}}"#);
    }
}
