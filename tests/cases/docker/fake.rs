//! An engine that is made up: as many containers as one likes, and events by the thousand.

use crate::harness::lock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Inner {
    /// By id: name, labels, whether it runs.
    containers: Mutex<BTreeMap<String, (String, Value, bool)>>,
    listeners: Mutex<Vec<UnixStream>>,
    looks: std::sync::atomic::AtomicUsize,
}

/// Ends with the process.
#[derive(Clone)]
pub(super) struct Fake {
    inner: Arc<Inner>,
    pub(super) dir: Arc<tempfile::TempDir>,
}

impl Fake {
    pub(super) fn start() -> Fake {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let fake = Fake { inner: Arc::default(), dir: Arc::new(dir) };
        let inner = fake.inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let inner = inner.clone();
                std::thread::spawn(move || inner.serve(stream));
            }
        });
        fake
    }

    pub(super) fn endpoint(&self) -> String {
        format!("unix://{}", self.dir.path().join("docker.sock").display())
    }

    /// How often one container was looked at alone.
    pub(super) fn looks(&self) -> usize {
        self.inner.looks.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// All at once, as a list.
    pub(super) fn set(&self, all: impl Iterator<Item = (String, Value)>) {
        *lock(&self.inner.containers) = all.map(|(name, labels)| (id(&name), (name, labels, true))).collect();
    }

    /// A container starts or ends, and the events say so.
    pub(super) fn running(&self, name: &str, labels: Value, running: bool) {
        lock(&self.inner.containers).insert(id(name), (name.to_owned(), labels, running));
        self.event(if running { "start" } else { "die" }, name, json!({}));
    }

    pub(super) fn event(&self, action: &str, name: &str, attributes: Value) {
        let event = json!({"Type": "container", "Action": action, "Actor": {"ID": id(name), "Attributes": attributes}});
        let line = format!("{event}\n");
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        lock(&self.inner.listeners).retain_mut(|l| l.write_all(chunk.as_bytes()).is_ok());
    }
}

fn id(name: &str) -> String {
    name.bytes().map(|b| format!("{b:02x}")).collect::<String>() + "00000000000000000000"
}

fn network() -> Value {
    json!({"Networks": {"bridge": {"NetworkID": "b", "IPAddress": "127.0.0.1"}}})
}

impl Inner {
    fn serve(&self, stream: UnixStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first).is_ok_and(|n| n == 0) {
                return;
            }
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let path = path.split_once("/v1.41").map_or(path.as_str(), |(_, p)| p);
            if path.starts_with("/events") {
                _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
                lock(&self.listeners).push(stream);
                return;
            }
            let (status, body) = self.answer(path);
            let text = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            let body = if first.starts_with("HEAD ") { "" } else { &text };
            if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
                return;
            }
        }
    }

    fn answer(&self, path: &str) -> (u16, Value) {
        match path {
            "/_ping" => return (200, json!("OK")),
            "/version" => return (200, json!({"Version": "20.10.0", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux"})),
            _ => {}
        }
        let all = lock(&self.containers);
        if path.starts_with("/containers/json") {
            let listed = all.iter().map(|(id, (name, labels, running))| {
                let state = if *running { "running" } else { "exited" };
                json!({"Id": id, "Names": [format!("/{name}")], "Labels": labels, "State": state, "Status": "Up 1 second",
                    "Ports": [{"PrivatePort": 80, "Type": "tcp"}], "HostConfig": {"NetworkMode": "default"}, "NetworkSettings": network(),
                    "Image": "torana-test/web:latest", "ImageID": format!("sha256:{id}"), "Command": "/bin/httpd -f -p 8080 -h /www",
                    "Created": 1_763_900_000, "Mounts": []})
            });
            return (200, listed.collect());
        }
        let id = path.trim_start_matches("/containers/").trim_end_matches("/json");
        self.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match all.get(id) {
            Some((name, labels, running)) => {
                let state = if *running { "running" } else { "exited" };
                let mut network = network();
                network["Ports"] = json!({"80/tcp": null});
                let found = json!({"Id": id, "Name": format!("/{name}"), "State": {"Status": state, "Running": running},
                    "Config": {"Labels": labels}, "HostConfig": {"NetworkMode": "default"}, "NetworkSettings": network});
                (200, found)
            }
            None => (404, json!({"message": "No such container"})),
        }
    }
}
