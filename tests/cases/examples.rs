//! Every folder of `examples/`, and `torana demo`: their configuration is clean, and their requests get what
//! `requests.txt` says.

use crate::harness::{Backend, Conn, Gateway, Reply, command, eventually, first_party, free_port, greeter, root, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

macro_rules! examples {
    ($($test:ident: $folder:literal,)*) => {
        $(#[test] fn $test() { example($folder); })*

        const FOLDERS: &[&str] = &[$($folder),*];
    };
}

examples! {
    acme_dns: "acme-dns",
    basic_auth_and_rate_limit: "basic-auth-and-rate-limit",
    http_wasm: "http-wasm",
    on_demand_tls: "on-demand-tls",
    quickstart: "quickstart",
    systemd: "systemd",
    tcp_udp: "tcp-udp",
    toml: "toml",
    tracing: "tracing",
    weighted_canary: "weighted-canary",
}

/// Folders whose requests other tests send, as they need more than a gateway: cases/docker/compose.rs.
const ELSEWHERE: [&str; 1] = ["docker-compose"];

#[test]
fn every_example_has_its_test() {
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|e| e.unwrap());
    // Plugins in other languages need their tools to be built first; their cases are in `expected.json`.
    let (plugins, folders): (Vec<_>, Vec<_>) =
        folders.filter(|e| e.path().is_dir()).partition(|e| e.path().join("expected.json").is_file());
    for plugin in plugins {
        for file in ["README.md", "plugin.toml", "schema.json", "torana.yml", "routing.yml"] {
            assert!(plugin.path().join(file).is_file(), "{:?}: {file} is missing", plugin.path());
        }
        let cases = fs::read_to_string(plugin.path().join("expected.json")).unwrap();
        let cases: serde_json::Value = serde_json::from_str(&cases).unwrap();
        assert!(cases.as_array().is_some_and(|c| !c.is_empty()), "{:?}: no cases", plugin.path());
    }
    // Stores have to run: cases/kv/examples.rs. What needs a cluster is tried in `k8s.rs`.
    let folders = folders.into_iter().filter(|e| !["keys.txt", "kustomization.yaml"].iter().any(|f| e.path().join(f).is_file()));
    let found: BTreeSet<String> =
        folders.map(|e| e.file_name().into_string().unwrap()).filter(|f| !ELSEWHERE.contains(&f.as_str())).collect();
    assert_eq!(found, FOLDERS.iter().map(|f| (*f).to_owned()).collect(), "one word in `examples!` for each folder of examples/");
    for folder in found {
        let at = root().join("examples").join(&folder);
        for file in ["README.md", "requests.txt"] {
            assert!(at.join(file).is_file(), "{folder}/{file} is missing");
        }
    }
}

/// The ports of an example, which are fixed, and those that stand for them here.
#[derive(Default)]
pub(super) struct Ports(BTreeMap<u16, u16>);

impl Ports {
    /// Each `127.0.0.1:port` of `text`.
    fn of(text: &str) -> BTreeSet<u16> {
        let digits = |t: &str| t.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().ok();
        text.split("127.0.0.1:").skip(1).filter_map(digits).collect()
    }

    /// Servers are at the ports that `backend` gives, each of them once; the rest are entry points.
    pub(super) fn moved<'a>(texts: impl Iterator<Item = &'a str> + Clone, mut backend: impl FnMut() -> u16) -> Ports {
        let mut ports = Ports::default();
        for text in texts.clone() {
            let server = |l: &&str| ["- url:", "url:", "url =", "- address:"].iter().any(|key| l.trim_start().starts_with(key));
            for port in text.lines().filter(server).flat_map(Ports::of) {
                ports.0.entry(port).or_insert_with(&mut backend);
            }
        }
        for port in texts.flat_map(Ports::of) {
            ports.0.entry(port).or_insert_with(free_port);
        }
        ports
    }

    pub(super) fn rewrite(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |t, (from, to)| t.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}")))
    }
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

/// What examples take from the environment.
const ENVIRONMENT: [(&str, &str); 1] = [("CLOUDFLARE_TOKEN", "none")];

/// Puts a plugin where a README wants it; whether there is one.
fn with_plugin(at: &Path, built: Option<PathBuf>) -> bool {
    let Some(component) = built else { return false };
    let new = tempfile::NamedTempFile::new_in(at).unwrap();
    fs::copy(&component, new.path()).unwrap();
    new.persist(at.join(component.file_name().unwrap())).unwrap();
    true
}

fn example(name: &str) {
    let root = root();
    let at = root.join("examples").join(name);
    let ready = match name {
        "acme-dns" => with_plugin(&at, first_party("dns-cloudflare")),
        "http-wasm" => with_plugin(&at, greeter()),
        _ => true,
    };
    if !ready {
        return;
    }
    let install = ["torana.yml", "torana.toml"].into_iter().find(|f| at.join(f).is_file()).expect("no install configuration");
    let config = format!("--configfile=examples/{name}/{install}");

    // As it stands, from the root of the repository, as its README says.
    let out = run(&root, &["check", &config], &ENVIRONMENT);
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!((out.status.code(), &*said), (Some(0), "the configuration is good\n"), "{}", String::from_utf8_lossy(&out.stderr));

    // And in a copy with ports of its own: servers are backends, the rest are entry points.
    let copy = tempfile::tempdir().unwrap();
    let here = |p: &Path| p.strip_prefix(&root).unwrap().to_owned();
    let (components, texts): (Vec<_>, Vec<_>) = files(&at).into_iter().partition(|p| p.extension().is_some_and(|e| e == "wasm"));
    let texts: Vec<(PathBuf, String)> = texts.into_iter().map(|p| (here(&p), fs::read_to_string(&p).unwrap())).collect();
    let mut backends = Vec::new();
    let ports = Ports::moved(texts.iter().map(|(_, text)| text.as_str()), || {
        backends.push(Backend::http(|r| Reply::ok(format!("{} {}", r.method, r.target))));
        backends.last().unwrap().address.port()
    });
    for (path, text) in &texts {
        let path = copy.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, ports.rewrite(text)).unwrap();
    }
    for component in components {
        fs::copy(&component, copy.path().join(here(&component))).unwrap();
    }
    let mut c = command(copy.path());
    c.envs(ENVIRONMENT).args([&config, "--log.level=info", "--log.format=json"]);
    let gateway = Gateway::spawn(c, copy);
    gateway.wait_serving();

    let requests = ports.rewrite(&fs::read_to_string(at.join("requests.txt")).unwrap());
    let mut asked = 0;
    for line in requests.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (request, status) = line.split_once(" -> ").unwrap_or_else(|| panic!("not `METHOD URL -> STATUS`: {line}"));
        let (method, url) = request.split_once(' ').unwrap();
        let r = ask(method, url, "");
        assert_eq!(r.status.to_string(), status.trim(), "{line}: {r:?}");
        asked += 1;
    }
    assert!(asked > 0, "no request is listed");
}

/// One request; `headers` with their line ends.
pub(super) fn ask(method: &str, url: &str, headers: &str) -> crate::harness::Response {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.find('/').map_or((rest, "/"), |i| rest.split_at(i));
    let mut c = Conn::open(host.parse::<SocketAddr>().unwrap());
    c.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"));
    c.try_response(method == "HEAD").unwrap().unwrap()
}

/// What it prints, it answers. Its entry points are moved out of the way of others.
#[test]
fn the_demo_answers_what_it_tells_to_ask() {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports([(8000, free_port()), (8080, free_port())].into());
    let mut c = command(folder.path());
    c.arg("demo").args([
        format!("--entrypoints.web.address=127.0.0.1:{}", ports.0[&8000]),
        format!("--entrypoints.traefik.address=127.0.0.1:{}", ports.0[&8080]),
    ]);
    c.env("TMPDIR", folder.path());
    let mut gateway = Gateway::spawn(c, folder);
    gateway.wait_log("what to ask", |l| l.contains("Ctrl-C stops"));
    eventually("it serves", || {
        (Conn::try_open(([127, 0, 0, 1], ports.0[&8080]).into()).ok()?.get("a", "/ready").status == 200).then_some(())
    });
    let printed = gateway.log();
    let mut seen = Vec::new();
    for line in printed.lines().filter_map(|l| l.trim().strip_prefix("curl ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let url = words.iter().find(|w| w.starts_with("http://")).unwrap();
        // demo:test
        let headers = if words.contains(&"-u") { "Authorization: Basic ZGVtbzp0ZXN0\r\n" } else { "" };
        let r = ask("GET", &ports.rewrite(url), headers);
        seen.push((url.trim_start_matches("http://127.0.0.1:").to_owned(), r.status, r.header("x-served-by").is_some()));
    }
    let wanted = [
        ("8000/", 200, false),
        ("8000/api/users", 200, true),
        ("8000/private", 200, false),
        ("8000/old", 302, false),
        ("8080/api/http/routers", 200, false),
        ("8080/api/plugins", 200, false),
        ("8080/ready", 200, false),
    ];
    assert_eq!(seen, wanted.map(|(u, s, h)| (u.to_owned(), s, h)));
    assert_eq!(ask("GET", &format!("http://127.0.0.1:{}/private", ports.0[&8000]), "").status, 401);
    let names: BTreeSet<String> = (0..4)
        .map(|_| ask("GET", &format!("http://127.0.0.1:{}/", ports.0[&8000]), "").text().lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 2, "two services in turn: {names:?}");
    let answer = ask("GET", &format!("http://127.0.0.1:{}/api/users", ports.0[&8000]), "");
    let seen = answer.text();
    assert!(seen.contains("x-tenant: demo") && seen.contains("GET /users "), "a plugin sets it, after the prefix is off: {seen}");
    assert_eq!(gateway.stop(), Some(0));
    // But for what the user's cache keeps of compiled plugins.
    let left: Vec<_> = fs::read_dir(gateway.folder.path()).unwrap().map(|e| e.unwrap().file_name()).filter(|n| n != ".cache").collect();
    assert!(left.is_empty(), "the demo leaves something behind: {left:?}");
}
