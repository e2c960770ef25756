//! The same keys in Torana and in the real Traefik, and the same answers.

use super::server::{Kind, Server};
use crate::harness::{Backend, Conn, Peer, Reply, eventually, traefik};
use std::path::Path;

/// Both gateways at one store, asked the same.
struct Both([Peer; 2]);

impl Both {
    fn start(server: &Server, traefik: &Path) -> Both {
        let flags = [server.flag(), "--providers.providersthrottleduration=0s".to_owned()];
        Both([None, Some(traefik)].map(|program| Peer::start(program, &flags, &[])))
    }

    /// The status and the body of each, once they are the same.
    #[track_caller]
    fn same(&self, what: &str, targets: &[&str], expected: &[u16]) {
        let ask = |peer: &Peer| -> Vec<(u16, String)> {
            let get = |target: &&str| {
                let r = Conn::open(peer.web).get("test.local", target);
                (r.status, r.text().to_owned())
            };
            targets.iter().map(get).collect()
        };
        let mut last = None;
        let mut asked = 0;
        eventually(&format!("{what}: both answer the same"), || {
            let answers = self.0.each_ref().map(ask);
            let right = answers[0] == answers[1] && answers[0].iter().map(|a| a.0).eq(expected.iter().copied());
            asked += 1;
            if !right && asked % 500 == 0 {
                eprintln!("{what}: {answers:?}");
            }
            last = Some(answers);
            right.then_some(())
        });
    }
}

fn agree(kind: Kind) {
    let (Some(server), Some(traefik)) = (Server::start(kind), traefik()) else { return };
    let named = |name: &'static str| Backend::http(move |r| Reply::ok(format!("{name} {}", r.target)));
    let (a, b) = (named("a"), named("b"));
    server.put(&[
        ("http/services/s/loadBalancer/servers/2/url", &a.url()),
        ("http/services/S2/LOADBALANCER/Servers/0/URL", &b.url()),
        ("http/services/w/weighted/services/0/name", "s"),
        ("http/services/w/weighted/services/0/weight", "1"),
        ("http/middlewares/strip/stripPrefix/prefixes", "/one, /two"),
        ("http/middlewares/both/chain/middlewares/0", "strip"),
        ("http/middlewares/both/chain/middlewares/1", "add"),
        ("http/middlewares/add/addPrefix/prefix", "/added"),
        ("http/routers/a/service", "s"),
        ("http/routers/a/middlewares", "both"),
        ("http/routers/a/rule", "PathPrefix(`/one`) || PathPrefix(`/two`)"),
        ("http/routers/b/service", "S2"),
        ("http/routers/b/priority", "1000"),
        ("http/routers/b/entryPoints/0", "web"),
        ("http/routers/b/rule", "PathPrefix(`/two/b`)"),
        ("http/routers/w/service", "w"),
        ("http/routers/w/rule", "Path(`/w`)"),
        ("http/routers/half/rule", "Path(`/half`)"),
        ("unknown/key", "1"),
    ]);
    let both = Both::start(&server, &traefik);
    both.same("at the start", &["/one/x", "/two/y", "/two/b", "/w", "/nothing", "/half"], &[200, 200, 200, 200, 404, 404]);
    server.put(&[("http/routers/b/priority", "1"), ("http/services/s/loadBalancer/servers/2/url", &b.url())]);
    both.same("after a change", &["/one/x", "/two/b", "/w"], &[200, 200, 200]);
    server.delete(&["http/routers/w/rule", "http/routers/w/service", "http/middlewares/add/addPrefix/prefix"]);
    both.same("after keys have gone", &["/w", "/two/b"], &[404, 200]);
    if kind == Kind::Etcd {
        server.clear();
        both.same("after all keys have gone", &["/one/x", "/two/b", "/w"], &[404, 404, 404]);
    }
}

#[test]
fn etcd_as_traefik_reads_it() {
    agree(Kind::Etcd);
}

#[test]
fn redis_as_traefik_reads_it() {
    agree(Kind::Redis);
}
