use crate::omit;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use torana_extend::{BuildError, TcpMiddlewareSpec};
use torana_http::{Admission, TcpFilter};

/// Limits the connections that are open at the same time for each client address.
pub struct InFlightConn;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Connections of one address, at most; 0 and below refuse all.
    #[serde(skip_serializing_if = "omit::empty")]
    pub amount: i64,
}

impl TcpMiddlewareSpec for InFlightConn {
    const NAME: &'static str = "inFlightConn";
    const EXAMPLE: &'static str = "amount: 10\n";
    type Config = Config;

    fn build(config: Config) -> Result<Arc<dyn TcpFilter>, BuildError> {
        let most = usize::try_from(config.amount).unwrap_or(0);
        Ok(Arc::new(Runtime { most, open: Arc::new(Open::default()) }))
    }
}

/// Workers lock a part of the addresses, once when a connection comes and once when it goes.
const PARTS: usize = 16;

struct Runtime {
    most: usize,
    open: Arc<Open>,
}

/// Open connections by client; only clients that have one stand here.
#[derive(Default)]
struct Open {
    keys: RandomState,
    parts: [Mutex<HashMap<IpAddr, usize>>; PARTS],
}

impl Open {
    fn with<R>(&self, ip: IpAddr, work: impl FnOnce(&mut HashMap<IpAddr, usize>) -> R) -> R {
        let part = self.keys.hash_one(ip) as usize % PARTS;
        work(&mut self.parts[part].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that counts.
struct Counted {
    open: Arc<Open>,
    ip: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.with(self.ip, |all| match all.get_mut(&self.ip) {
            Some(n) if *n > 1 => *n -= 1,
            _ => _ = all.remove(&self.ip),
        });
    }
}

impl TcpFilter for Runtime {
    fn admit(&self, peer: IpAddr) -> Admission {
        let ip = peer.to_canonical();
        let free = self.open.with(ip, |all| {
            let free = all.get(&ip).copied().unwrap_or(0) < self.most;
            if free {
                *all.entry(ip).or_insert(0) += 1;
            }
            free
        });
        if free {
            Admission::Hold(Box::new(Counted { open: self.open.clone(), ip }))
        } else {
            Admission::Refuse("too many connections of this address")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_address_until_connections_end() {
        let limit = InFlightConn::build(Config { amount: 2 }).ok().unwrap();
        let admit = |ip: &str| match limit.admit(ip.parse().unwrap()) {
            Admission::Hold(held) => Some(held),
            _ => None,
        };
        let first = admit("10.0.0.1").unwrap();
        let _second = admit("::ffff:10.0.0.1").unwrap();
        assert!(admit("10.0.0.1").is_none());
        let _other = admit("10.0.0.2").unwrap();
        drop(first);
        assert!(admit("10.0.0.1").is_some());
        assert!(admit("10.0.0.1").is_some());
    }

    #[test]
    fn none_refuses_all() {
        for amount in [0, -1] {
            assert!(matches!(InFlightConn::build(Config { amount }).ok().unwrap().admit(IpAddr::from([10, 0, 0, 1])), Admission::Refuse(_)));
        }
    }
}
