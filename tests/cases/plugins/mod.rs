//! Plugins in a running gateway: what they do, how they are replaced, and what bad ones cannot do.

mod bad;
mod check;
mod granted;
mod http_wasm;
mod replaced;
mod work;

use crate::harness::{Gateway, Setup, binary, eventually};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;

/// A changed plugin is live in that time. The debug build of the gateway compiles guests more slowly.
fn soon() -> Duration {
    let debug = binary().parent().is_some_and(|p| p.ends_with("debug"));
    Duration::from_secs(if debug { 3 } else { 1 })
}

/// A document with a router `/<m>` for each middleware `m`, and `/other` without any; all to `server`.
fn document(server: &str, plugins: Value, middlewares: &[(&str, Value)]) -> Value {
    let mut routers = json!({"other": {"rule": "Path(`/other`)", "service": "s"}});
    let mut uses = json!({});
    for (name, plugin) in middlewares {
        routers[name] = json!({"rule": format!("PathPrefix(`/{name}`)"), "service": "s", "middlewares": [name]});
        uses[name] = json!({"plugin": plugin});
    }
    json!({
        "plugins": plugins,
        "http": {
            "routers": routers,
            "middlewares": uses,
            "services": {"s": {"loadBalancer": {"servers": [{"url": server}]}}},
        },
    })
}

fn start(document: &Value) -> Gateway {
    loaded(Setup::new().file("routing.yml", document.to_string()))
}

/// Starts, and waits for the plugins: a gateway serves before slow ones are loaded.
fn loaded(setup: Setup) -> Gateway {
    let gateway = setup.start();
    let loading = || gateway.admin("/api/plugins").json().as_array().is_some_and(|all| all.iter().any(|p| p["status"] == "loading"));
    eventually("the plugins are loaded", || (!loading()).then_some(()));
    if gateway.log().contains("still being loaded") {
        gateway.settle();
    }
    gateway
}

/// One plugin `p` and one middleware `m` with it.
fn one(server: &str, declaration: Value, config: Value) -> Gateway {
    start(&document(server, json!({"p": declaration}), &[("m", json!({"p": config}))]))
}

/// What the API says of a plugin.
fn status(gateway: &Gateway, plugin: &str) -> Value {
    let r = gateway.admin(&format!("/api/plugins/{plugin}@file"));
    assert_eq!(r.status, 200, "{r:?}");
    r.json()
}

fn says(shown: &Value, words: &str) -> bool {
    shown["error"].as_array().is_some_and(|all| all.iter().any(|e| e.as_str().is_some_and(|e| e.contains(words))))
}

fn post(gateway: &Gateway, target: &str, body: &str) -> crate::harness::Response {
    gateway.ask(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A component that is replaced.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new(bytes: &[u8]) -> File {
        let file = File { folder: tempfile::tempdir().unwrap() };
        fs::write(file.path(), bytes).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    fn declared(&self) -> Value {
        json!({"path": self.path()})
    }

    /// With more time for a call than a busy machine takes away.
    fn declared_patient(&self) -> Value {
        json!({"path": self.path(), "limits": {"deadline": "5s"}})
    }

    /// In one step.
    fn replace(&self, bytes: &[u8]) {
        let new = self.folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

/// Does something while others use `/other`: each of their requests is answered with 200.
fn beside<T>(gateway: &Gateway, work: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let stop = AtomicBool::new(false);
    let address = gateway.web();
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let (mut count, mut slowest) = (0, Duration::ZERO);
            while count == 0 || !stop.load(Ordering::SeqCst) {
                let begin = Instant::now();
                // A connection for each: they come to all workers.
                let r = crate::harness::Conn::open(address).get("a", "/other");
                assert_eq!(r.status, 200, "the other route");
                slowest = slowest.max(begin.elapsed());
                count += 1;
                std::thread::park_timeout(Duration::from_millis(1));
            }
            (count, slowest)
        });
        let done = {
            let _stop = Stop(&stop);
            work()
        };
        let (count, slowest) = others.join().unwrap();
        eprintln!("the other route: {count} requests, the slowest {slowest:?}");
        done
    })
}
