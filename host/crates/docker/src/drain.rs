//! Servers that are going away get no new requests, where others can take them.

use std::collections::HashSet;
use std::sync::Arc;
use torana_config::routing::{Item, Items, RoutingConfig};

/// Where those that are going away are reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Going {
    /// Addresses of their own: any port.
    pub hosts: HashSet<String>,
    /// Ports of addresses that they share with others.
    pub places: HashSet<(String, u16)>,
}

impl Going {
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.places.is_empty()
    }

    /// `http://10.0.0.2:80/x`, `10.0.0.2:80`
    fn has(&self, server: &str) -> bool {
        let rest = server.split_once("://").map_or(server, |(_, r)| r);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let Some((host, port)) = authority.rsplit_once(':') else { return self.hosts.contains(authority) };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.hosts.contains(host) || port.parse().is_ok_and(|p| self.places.contains(&(host.to_owned(), p)))
    }

    /// Takes them out of each service that has other servers too. The last ones stay until they have ended: they are
    /// better than none.
    pub(crate) fn leave(&self, config: &mut RoutingConfig) {
        if self.is_empty() {
            return;
        }
        each(
            &mut config.http.services,
            |s| s.load_balancer.as_ref().map(|l| &l.servers),
            |s| &s.url,
            self,
            |s, keep| {
                if let Some(l) = &mut s.load_balancer {
                    l.servers.retain(|s| keep(&s.url));
                }
            },
        );
        each(
            &mut config.tcp.services,
            |s| s.load_balancer.as_ref().map(|l| &l.servers),
            |s| &s.address,
            self,
            |s, keep| {
                if let Some(l) = &mut s.load_balancer {
                    l.servers.retain(|s| keep(&s.address));
                }
            },
        );
        each(
            &mut config.udp.services,
            |s| s.load_balancer.as_ref().map(|l| &l.servers),
            |s| &s.address,
            self,
            |s, keep| {
                if let Some(l) = &mut s.load_balancer {
                    l.servers.retain(|s| keep(&s.address));
                }
            },
        );
    }
}

fn each<T: Clone, S>(
    services: &mut Items<T>,
    servers: impl Fn(&T) -> Option<&Vec<S>>,
    at: impl Fn(&S) -> &str,
    going: &Going,
    retain: impl Fn(&mut T, &dyn Fn(&str) -> bool),
) {
    for item in services.values_mut() {
        let Some(servers) = servers(&item.config) else { continue };
        let leaving: Vec<u64> = servers.iter().map(&at).filter(|s| going.has(s)).map(digest).collect();
        if leaving.is_empty() || leaving.len() == servers.len() {
            continue;
        }
        let mut changed: Item<T> = (**item).clone();
        retain(&mut changed.config, &|s| !going.has(s));
        changed.digest = leaving.iter().fold(changed.digest, |d, l| d.rotate_left(5) ^ l);
        *item = Arc::new(changed);
    }
}

fn digest(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut h = DefaultHasher::new();
    ("leaves", text).hash(&mut h);
    h.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_base::Place;
    use torana_config::routing::{LoadBalancerConfig, ServerConfig, ServiceConfig};

    fn left(servers: &[&str], going: &Going) -> (Vec<String>, bool) {
        let servers = servers.iter().map(|u| ServerConfig { url: (*u).to_owned(), ..ServerConfig::default() }).collect();
        let config = ServiceConfig { load_balancer: Some(LoadBalancerConfig { servers, ..Default::default() }), ..Default::default() };
        let mut all = RoutingConfig::default();
        all.http.services.insert("s".into(), Arc::new(Item::new(config, Place::whole("t"), 7)));
        going.leave(&mut all);
        let item = &all.http.services["s"];
        (item.config.load_balancer.as_ref().unwrap().servers.iter().map(|s| s.url.clone()).collect(), item.digest == 7)
    }

    #[test]
    fn the_last_ones_stay() {
        let going = Going {
            hosts: HashSet::from(["10.0.0.2".to_owned(), "2001:db8::2".into()]),
            places: HashSet::from([("127.0.0.1".to_owned(), 81)]),
        };
        let (a, b, six) = ("http://10.0.0.2:80", "http://10.0.0.3:80", "https://[2001:db8::2]:443/x");
        let shared = ["http://127.0.0.1:81", "http://127.0.0.1:82"];
        assert_eq!(left(&[a, b], &going), (vec![b.to_owned()], false));
        assert_eq!(left(&[a, six], &going), (vec![a.to_owned(), six.to_owned()], true));
        assert_eq!(left(&[six, b], &going).0, [b]);
        assert_eq!(left(&shared, &going).0, [shared[1]]);
        assert_eq!(left(&[b], &going), (vec![b.to_owned()], true));
    }
}
