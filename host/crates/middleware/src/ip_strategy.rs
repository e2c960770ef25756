//! Which address counts as the client's (Traefik `ipStrategy`).

use crate::omit;
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};
use torana_extend::BuildError;
use torana_http::Exchange;
use torana_http::forwarded::X_FORWARDED_FOR;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpStrategyConfig {
    /// Takes the n-th address from the right of `X-Forwarded-For`; with fewer there is none. 0 and below:
    /// not used. Wins over `excludedIPs`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub depth: i64,
    /// Takes the first address of `X-Forwarded-For`, from the right, that is none of these addresses and
    /// networks.
    #[serde(rename = "excludedIPs", skip_serializing_if = "omit::empty")]
    pub excluded_ips: Vec<String>,
    /// Bits, 1 to 128: IPv6 addresses of one such network count as one. Not used with `excludedIPs`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub ipv6_subnet: Option<i64>,
}

/// A compiled strategy.
#[derive(Clone, Debug)]
pub enum IpStrategy {
    /// The connection's peer.
    Peer {
        subnet: Option<u8>,
    },
    /// `depth` is at least 1.
    Depth {
        depth: usize,
        subnet: Option<u8>,
    },
    Excluded(Vec<IpNet>),
}

/// The client as a strategy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    Ip(IpAddr),
    /// An entry of `X-Forwarded-For` as it was written; empty if there is none.
    Text(&'a str),
}

impl IpStrategy {
    pub const PEER: IpStrategy = IpStrategy::Peer { subnet: None };

    /// `key` is where the strategy stands; none at all is the peer.
    pub fn build(config: Option<&IpStrategyConfig>, key: &str) -> Result<Self, BuildError> {
        let Some(config) = config else { return Ok(Self::PEER) };
        let subnet = match config.ipv6_subnet {
            None => None,
            Some(n @ 1..=128) => Some(n as u8),
            Some(n) => return Err(BuildError::new(format!("{key}.ipv6Subnet"), format!("{n} is not between 1 and 128"))),
        };
        if config.depth > 0 {
            return Ok(IpStrategy::Depth { depth: usize::try_from(config.depth).unwrap_or(usize::MAX), subnet });
        }
        if !config.excluded_ips.is_empty() {
            return Ok(IpStrategy::Excluded(networks(&config.excluded_ips, &format!("{key}.excludedIPs"))?));
        }
        Ok(IpStrategy::Peer { subnet })
    }

    pub fn client<'a>(&self, exchange: &'a Exchange) -> Client<'a> {
        let forwarded = || exchange.request.header(X_FORWARDED_FOR.as_str()).unwrap_or("").rsplit(',').map(str::trim);
        match self {
            IpStrategy::Peer { subnet } => Client::Ip(collapse(exchange.peer.ip(), *subnet)),
            IpStrategy::Depth { depth, subnet } => {
                let text = forwarded().nth(depth - 1).unwrap_or("");
                match (subnet, text.parse::<Ipv6Addr>()) {
                    (Some(_), Ok(ip)) => Client::Ip(collapse(ip.into(), *subnet)),
                    _ => Client::Text(text),
                }
            }
            IpStrategy::Excluded(nets) => {
                let known = |t: &&str| !t.parse().is_ok_and(|ip| contains(nets, ip));
                Client::Text(forwarded().filter(|t| !t.is_empty()).find(known).unwrap_or(""))
            }
        }
    }
}

impl Client<'_> {
    /// The address, without the port that an entry may carry.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Client::Ip(ip) => Some(ip),
            Client::Text(text) => text.parse().ok().or_else(|| {
                let host = text.rsplit_once(':')?.0;
                host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
            }),
        }
    }
}

fn collapse(ip: IpAddr, subnet: Option<u8>) -> IpAddr {
    match (ip, subnet) {
        (IpAddr::V6(v6), Some(bits)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
        _ => ip,
    }
}

/// Addresses and networks; a bare address is a network of its own.
pub(crate) fn networks(list: &[String], key: &str) -> Result<Vec<IpNet>, BuildError> {
    let parse = |(i, text): (usize, &String)| {
        let text = text.trim();
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let bad = || {
            BuildError::new(format!("{key}[{i}]"), format!("`{text}` is not an address or a network"))
                .hint("write `10.0.0.0/8` or `192.0.2.1`")
        };
        net.map(canonical).ok_or_else(bad)
    };
    list.iter().enumerate().map(parse).collect()
}

/// A network of IPv4 addresses written in IPv6 is an IPv4 network.
fn canonical(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).map_or(net, IpNet::V4),
            None => net,
        },
        _ => net,
    }
}

pub(crate) fn contains(nets: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    nets.iter().any(|n| n.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;

    fn ip(config: IpStrategyConfig, forwarded: &str) -> Option<String> {
        let mut x = exchange("GET", "/");
        x.request.headers.insert(X_FORWARDED_FOR, forwarded.parse().unwrap());
        IpStrategy::build(Some(&config), "ipStrategy").unwrap().client(&x).ip().map(|i| i.to_string())
    }

    #[test]
    fn depth_counts_from_the_right() {
        let depth = |depth, ipv6_subnet| IpStrategyConfig { depth, ipv6_subnet, ..Default::default() };
        for (forwarded, found) in [
            ("10.1.1.1, 1.1.1.1", Some("10.1.1.1")),
            ("1.1.1.1", None),
            ("10.0.0.1 , 9.9.9.9", Some("10.0.0.1")),
            ("10.1.1.1:80, 1.1.1.1", Some("10.1.1.1")),
            ("", None),
        ] {
            assert_eq!(ip(depth(2, None), forwarded).as_deref(), found, "{forwarded}");
        }
        for (forwarded, found) in [
            ("2001:db8::1:2:3:4", Some("2001:db8::")),
            ("1.2.3.4", Some("1.2.3.4")),
            ("[2001:db8::5]:80", Some("2001:db8::5")),
            ("[2001:db8::5]", None),
        ] {
            assert_eq!(ip(depth(1, Some(64)), forwarded).as_deref(), found, "{forwarded}");
        }
        assert_eq!(ip(depth(-1, None), "1.1.1.1").as_deref(), Some("192.0.2.7"), "the peer");
    }

    #[test]
    fn excluded_addresses_are_passed_over() {
        let config = || IpStrategyConfig { excluded_ips: vec!["127.0.0.1/32".into(), " 192.168.0.0/16".into()], ..Default::default() };
        for (forwarded, found) in [
            ("10.1.1.1, 192.168.3.4", Some("10.1.1.1")),
            ("127.0.0.1, 192.168.1.1", None),
            ("10.1.1.1, junk, 127.0.0.1", None),
            ("10.1.1.1,,127.0.0.1", Some("10.1.1.1")),
            ("10.1.1.1, 127.0.0.1:80", Some("127.0.0.1")),
        ] {
            assert_eq!(ip(config(), forwarded).as_deref(), found, "{forwarded}");
        }
    }

    #[test]
    fn refuses_what_traefik_refuses() {
        let with = |c: IpStrategyConfig| IpStrategy::build(Some(&c), "s").unwrap_err().key;
        for n in [0, 129, -1] {
            assert_eq!(with(IpStrategyConfig { ipv6_subnet: Some(n), ..Default::default() }), "s.ipv6Subnet");
        }
        assert_eq!(with(IpStrategyConfig { excluded_ips: vec!["::1".into(), "bad".into()], ..Default::default() }), "s.excludedIPs[1]");
        let nets = networks(&["::ffff:127.0.0.1".into(), "10.1.2.3/8".into()], "").unwrap();
        assert!(contains(&nets, "127.0.0.1".parse().unwrap()) && contains(&nets, "10.9.9.9".parse().unwrap()));
    }
}
