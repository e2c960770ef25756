//! Containers are replaced while requests go on: none is lost.

use super::{Engine, ask, served_by};
use crate::harness::{Conn, eventually};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Requests without a pause, each on a connection of its own, while `change` runs: how many, and what was lost.
pub(super) fn under_load(at: SocketAddr, host: &str, change: impl FnOnce()) -> (usize, Vec<String>) {
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let one = || {
        let mut lost = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let answer = Conn::try_open(at).and_then(|mut c| {
                c.try_send(format!("GET /cgi-bin/whoami HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
                c.try_response(false)
            });
            match answer {
                Ok(Some(r)) if r.status == 200 => {}
                other => lost.push(format!("{other:?}")),
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
        lost
    };
    let lost = std::thread::scope(|s| {
        let threads: Vec<_> = (0..3).map(|_| s.spawn(one)).collect();
        change();
        over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    (sent.into_inner(), lost)
}

#[test]
fn a_rolling_update_loses_no_request() {
    let Some(engine) = Engine::start() else { return };
    let gateway = engine.gateway(&[]);
    let labels = ["-l", "traefik.http.routers.web.rule=Host(`web.test`)", "-l", "traefik.http.services.web.loadbalancer.server.port=8080"];
    let check = ["--health-cmd", "wget -q -O /dev/null http://127.0.0.1:8080/health", "--health-interval", "0.3s"];
    let options = [&labels[..], &check].concat();
    let start = |name: &str| {
        engine.run(name, &options);
        served_by(&gateway, "web.test", name);
    };
    start("old1");
    start("old2");
    let (sent, lost) = under_load(gateway.web(), "web.test", || {
        for (old, new) in [("old1", "new1"), ("old2", "new2")] {
            start(new);
            // This server ends when it is killed, five seconds after it was told to: a machine with much to do needs
            // some of them to see what it was told.
            engine.docker(&["stop", "-t", "5", old]);
            engine.docker(&["rm", old]);
        }
    });
    assert!(lost.is_empty(), "{} of {sent}: {:?}", lost.len(), &lost[..lost.len().min(3)]);
    assert!(sent > 50, "{sent}");
    for name in ["new1", "new2"] {
        served_by(&gateway, "web.test", name);
    }
}

#[test]
fn a_request_under_way_ends_before_its_container() {
    let Some(engine) = Engine::start() else { return };
    let labels = ["-l", "traefik.http.routers.web.rule=Host(`web.test`)", "-l", "traefik.http.services.web.loadbalancer.server.port=8080"];
    engine.run("one", &labels);
    engine.run("two", &labels);
    // The throttle of changes does not hold up those that take a server out.
    let gateway = engine.gateway(&["--providers.providersthrottleduration=1h"]);
    served_by(&gateway, "web.test", "one");
    served_by(&gateway, "web.test", "two");
    std::thread::scope(|s| {
        // One to each, of two seconds.
        let slow: Vec<_> = (0..2).map(|_| s.spawn(|| gateway.connect().get("web.test", "/cgi-bin/slow"))).collect();
        std::thread::sleep(Duration::from_millis(300));
        let stop = s.spawn(|| engine.docker(&["stop", "-t", "8", "one"]));
        eventually("the one that is told to end gets nothing new", || (super::servers(&gateway, "web@docker").len() == 1).then_some(()));
        for _ in 0..10 {
            assert!(ask(&gateway, "web.test").text().contains("Name: two"));
        }
        for answer in slow {
            let answer = answer.join().unwrap();
            assert_eq!((answer.status, answer.text()), (200, "slow"));
        }
        stop.join().unwrap();
    });
    // The last one is taken out when it has ended, not before.
    std::thread::scope(|s| {
        let stop = s.spawn(|| engine.docker(&["stop", "-t", "5", "two"]));
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(ask(&gateway, "web.test").status, 200);
        stop.join().unwrap();
    });
    super::gone(&gateway, "web.test", 404);
}
