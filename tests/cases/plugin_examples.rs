//! Plugins as a user meets them: what the `expected.json` of plugins/ and examples/ promise, and the way from
//! `torana plugin new` to a gateway that uses the result.

use super::examples::{Ports, files};
use crate::harness::{
    Backend, Conn, Gateway, Reply, Request, Response, Setup, binary, command, first_party, lock, root, toolchains, within,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The debug build of the gateway compiles 19 MB of Python, while others build beside it.
const COMPILED: Duration = Duration::from_secs(240);

macro_rules! first_party {
    ($($test:ident: $folder:literal, $run:ident;)*) => {
        $(#[test] fn $test() { $run($folder); })*

        const FIRST_PARTY: &[&str] = &[$($folder),*];
    };
}

first_party! {
    ab_test: "ab-test", placed;
    add_headers: "add-headers", promised;
    api_key: "api-key", promised;
    canary_by_header: "canary-by-header", placed;
    http_cache: "http-cache", promised;
    json_provider: "json-provider", placed;
    jwt_auth: "jwt-auth", promised;
    request_validator: "request-validator", promised;
}

macro_rules! languages {
    ($($test:ident: $folder:literal, $tools:expr;)*) => {
        $(#[test] fn $test() { example($folder, $tools); })*

        const LANGUAGES: &[&str] = &[$($folder),*];
    };
}

languages! {
    example_in_c: "plugin-c", c;
    example_in_go: "plugin-go", go;
    example_in_js: "plugin-js", js;
    example_in_python: "plugin-python", python;
}

#[test]
fn every_promise_has_its_test() {
    for (folder, listed) in [("plugins", FIRST_PARTY), ("examples", LANGUAGES)] {
        let all = fs::read_dir(root().join(folder)).unwrap().map(|e| e.unwrap());
        let found: BTreeSet<String> =
            all.filter(|e| e.path().join("expected.json").is_file()).map(|e| e.file_name().into_string().unwrap()).collect();
        assert_eq!(found, listed.iter().map(|f| (*f).to_owned()).collect(), "a line above for each expected.json of {folder}/");
    }
}

fn read(folder: &str) -> Value {
    serde_json::from_slice(&fs::read(root().join(folder).join("expected.json")).unwrap()).unwrap()
}

/// Name and value; a value that is null is `None`.
fn headers(of: &Value) -> Vec<(&str, Option<&str>)> {
    of.as_object().map(|all| all.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()).unwrap_or_default()
}

/// Sends the requests of a list in order, each on a connection of its own.
fn cases(gateway: &Gateway, backend: &Backend, cases: &Value, mut before: impl FnMut(&Value), upstream: bool) {
    let cases = cases.as_array().unwrap();
    assert!(!cases.is_empty(), "no request is listed");
    for (n, case) in cases.iter().enumerate() {
        before(case);
        let seen = backend.requests().len();
        let (asked, wanted) = (&case["request"], &case["response"]);
        let (method, body) = (asked["method"].as_str().unwrap(), asked["body"].as_str().unwrap_or_default());
        let mut request = format!("{method} {} HTTP/1.1\r\nHost: test.local\r\n", asked["path"].as_str().unwrap());
        for (name, value) in headers(&asked["headers"]) {
            request += &format!("{name}: {}\r\n", value.unwrap());
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut c = Conn::open(gateway.web());
        c.send(request + "\r\n" + body);
        let r = c.try_response(method == "HEAD").unwrap().expect("a response");
        let what = format!("case {n}, {method} {}: {r:?}", asked["path"]);
        assert_eq!(json!(r.status), wanted["status"], "{what}");
        for (name, value) in headers(&wanted["headers"]) {
            assert_eq!(r.header(name), value, "{name} of the response to {what}");
        }
        assert!(String::from_utf8_lossy(&r.body).contains(wanted["body_contains"].as_str().unwrap_or_default()), "the body of {what}");
        let requests: Vec<Request> = backend.requests().split_off(seen);
        match case.get("upstream").filter(|_| upstream) {
            None => {}
            Some(Value::Null) => assert!(requests.is_empty(), "the service sees {requests:?} of {what}"),
            Some(wanted) => {
                assert_eq!(requests.len(), 1, "the service does not see one request of {what}");
                for (name, value) in headers(&wanted["headers"]) {
                    assert_eq!(requests[0].header(name), value, "{name} of what the service sees of {what}");
                }
            }
        }
    }
}

/// A plugin of plugins/ in front of a service.
fn promised(name: &str) {
    let Some(path) = first_party(name) else { return };
    let file = read(&format!("plugins/{name}"));
    // A cache lives by what the service answers: there `upstream` says that, not what the service sees.
    let answers = name == "http-cache";
    let added = Arc::new(Mutex::new(Vec::<(String, String)>::new()));
    let handler = {
        let added = added.clone();
        move |r: &Request| {
            let reply = Reply::ok(format!("{} {}", r.method, r.target));
            lock(&added).iter().fold(reply, |reply, (name, value)| reply.header(name, value))
        }
    };
    let backend = Backend::http(handler);
    let mut declared = file["plugin"].clone();
    declared["path"] = json!(path);
    let document = json!({
        "plugins": {name: declared},
        "http": {
            "routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "middlewares": ["m"]}},
            "middlewares": {"m": {"plugin": {name: file["config"]}}},
            "services": {"s": {"loadBalancer": {"servers": [{"url": backend.url()}]}}},
        },
    });
    let gateway = Setup::new().file("routing.yml", document.to_string()).start();
    within(COMPILED, "the plugin is loaded and its router serves", || {
        let enabled = |target: &str| {
            let r = gateway.admin(target);
            r.status == 200 && r.json()["status"] == "enabled"
        };
        (enabled(&format!("/api/plugins/{name}@file")) && enabled("/api/http/routers/r@file")).then_some(())
    });
    gateway.settle();
    let before = |case: &Value| {
        if answers {
            *lock(&added) = headers(&case["upstream"]["headers"]).iter().map(|(n, v)| ((*n).to_owned(), v.unwrap().to_owned())).collect();
        }
    };
    cases(&gateway, &backend, &file["cases"], before, !answers);
}

/// A plugin of plugins/ that is no middleware: the file has a whole routing configuration, flags beside it, and what the server of a provider
/// gives. `{{path}}` is the component, `{{a}}` and `{{b}}` are services that say who they are, `{{config}}` is that server.
fn placed(name: &str) {
    let Some(path) = first_party(name) else { return };
    let file = read(&format!("plugins/{name}"));
    let [a, b] = ["a", "b"].map(|who| Backend::http(move |r| Reply::ok(format!("{who}: {} {}", r.method, r.target))));
    let fill = |text: String| text.replace("{{path}}", path.to_str().unwrap()).replace("{{a}}", &a.url()).replace("{{b}}", &b.url());
    let served = Arc::new(Mutex::new(fill(file["served"].to_string())));
    let config = {
        let (served, needs) = (served.clone(), file["config-needs"].clone());
        Backend::http(move |r| match headers(&needs).iter().all(|(name, value)| r.header(name) == *value) {
            true => Reply::ok(lock(&served).clone()),
            false => Reply::status(401),
        })
    };
    let fill = |text: String| fill(text).replace("{{config}}", &config.url()).replace("{{config-host}}", &config.address.to_string());
    let mut setup = Setup::new().file("routing.yml", fill(file["document"].to_string()));
    for flag in file["flags"].as_array().into_iter().flatten() {
        setup = setup.flag(fill(flag.as_str().unwrap().to_owned()));
    }
    let gateway = setup.start();
    let first = |cases: &Value| {
        let (case, wanted) = (&cases[0], cases[0]["response"]["body_contains"].as_str().unwrap());
        let lines: String = headers(&case["request"]["headers"]).iter().map(|(n, v)| format!("{n}: {}\r\n", v.unwrap())).collect();
        let ask = format!("GET {} HTTP/1.1\r\nHost: test.local\r\n{lines}\r\n", case["request"]["path"].as_str().unwrap());
        within(COMPILED, "the plugin is loaded and does its part", || gateway.ask(&ask).text().contains(wanted).then_some(()));
    };
    first(&file["cases"]);
    gateway.settle();
    cases(&gateway, &a, &file["cases"], |_| {}, false);
    if !file["served-next"].is_null() {
        *lock(&served) = fill(file["served-next"].to_string());
        first(&file["cases-next"]);
        cases(&gateway, &b, &file["cases-next"], |_| {}, false);
    }
}

// --- other languages ---

/// What a build needs here beside what the machine has.
#[derive(Default)]
pub(super) struct Ready {
    /// The command for plugin.toml in place of `make`.
    command: Option<String>,
    /// Where programs are looked for first.
    path: Option<PathBuf>,
}

/// Or what is missing.
pub(super) type Tools = Result<Ready, String>;

fn works(program: &str, args: &[&str]) -> bool {
    let done = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|s| s.success())
}

fn needs(there: bool, what: &str) -> Tools {
    if there { Ok(Ready::default()) } else { Err(what.to_owned()) }
}

pub(super) fn js() -> Tools {
    needs(works("node", &["--version"]) && works("npm", &["--version"]), "node and npm")
}

pub(super) fn python() -> Tools {
    needs(works("python3", &["-c", "import venv, ensurepip"]), "python3 with venv")
}

pub(super) fn go() -> Tools {
    if works("go", &["version"]) {
        return Ok(Ready::default());
    }
    let path = toolchains().map_err(|e| format!("go, or python3 to install it ({e})"))?;
    Ok(Ready { path: Some(path.to_owned()), ..Ready::default() })
}

pub(super) fn c() -> Tools {
    needs(works("make", &["--version"]), "make")?;
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("a.c"), folder.path().join("a.wasm"));
    fs::write(&source, "#include <stdlib.h>\nint main(void) { return malloc(1) == NULL; }\n").unwrap();
    if works("clang", &["--target=wasm32-wasi", "-o", out.to_str().unwrap(), source.to_str().unwrap()]) {
        return Ok(Ready::default());
    }
    let python = match works("python3", &["-m", "ziglang", "version"]) {
        true => PathBuf::from("python3"),
        false => {
            let installed = toolchains().map_err(|e| format!("clang with wasm-ld and wasi-libc, or python3 to install Zig ({e})"))?;
            installed.join("python3")
        }
    };
    Ok(Ready { command: Some(format!("make CC='{} -m ziglang cc'", python.display())), ..Ready::default() })
}

/// `None`: the test is skipped.
pub(super) fn tools(tools: Tools) -> Option<Ready> {
    match tools {
        Ok(ready) => Some(ready),
        Err(missing) => {
            assert!(std::env::var_os("CI").is_none(), "a plugin in another language needs {missing}");
            eprintln!("SKIPPED: a plugin in another language needs {missing}");
            None
        }
    }
}

impl Ready {
    /// `torana` in a folder, with the machine's environment, as its builds need it.
    pub(super) fn torana(&self, folder: &Path, args: &[&str]) -> Command {
        let mut c = Command::new(binary());
        // Flags of the host's build are not for guests.
        c.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
        if let Some(first) = &self.path {
            let rest = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(first.clone()).chain(std::env::split_paths(&rest));
            c.env("PATH", std::env::join_paths(all).unwrap());
        }
        c.args(args).current_dir(folder).stdin(Stdio::null());
        c
    }

    /// Has a project built as it is possible here.
    pub(super) fn adapt(&self, project: &Path) {
        let Some(other) = &self.command else { return };
        let path = project.join("plugin.toml");
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replace("command = \"make\"", &format!("command = \"{other}\""));
        assert_ne!(changed, text);
        fs::write(path, changed).unwrap();
    }
}

/// [`Ready::torana`], which has to end well.
#[track_caller]
fn torana(ready: &Ready, folder: &Path, args: &[&str]) {
    let out = ready.torana(folder, args).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "torana {args:?}: {}\n{said}\n{wrong}", out.status);
}

/// The gateway of a folder with `torana.yml` and `routing.yml`, on ports of its own.
fn serve(copy: tempfile::TempDir, project: &str, working_directory: &str, config: &str) -> (Gateway, Backend) {
    let backend = Backend::http(|r| Reply::ok(format!("{} {}", r.method, r.target)));
    let at = copy.path().join(project);
    let texts = ["torana.yml", "routing.yml"].map(|f| (at.join(f), fs::read_to_string(at.join(f)).unwrap()));
    let ports = Ports::moved(texts.iter().map(|(_, t)| t.as_str()), || backend.address.port());
    for (path, text) in &texts {
        fs::write(path, ports.rewrite(text)).unwrap();
    }
    let mut c = command(&copy.path().join(working_directory));
    c.args([config, "--log.level=info", "--log.format=json"]);
    let gateway = Gateway::spawn(c, copy);
    gateway.wait_serving();
    (gateway, backend)
}

/// The first answer that is not 404, as there is while the plugin is being compiled.
fn first(gateway: &Gateway, target: &str) -> Response {
    within(COMPILED, "the plugin is loaded and its router serves", || Some(gateway.get(target)).filter(|r| r.status != 404))
}

fn example(name: &str, needed: fn() -> Tools) {
    let Some(ready) = tools(needed()) else { return };
    let (root, copy) = (root(), tempfile::tempdir().unwrap());
    let project = format!("examples/{name}");
    let made = ["build", "node_modules", ".venv", "__pycache__"];
    // Some take the layer below the plugin from the templates.
    for from in [root.join("wit"), root.join("plugin-sdk/templates"), root.join(&project)].iter().flat_map(|folder| files(folder)) {
        let path = from.strip_prefix(&root).unwrap();
        let is_made = path.components().any(|c| made.iter().any(|m| c.as_os_str() == *m)) || path.extension().is_some_and(|e| e == "wasm");
        if !is_made {
            let to = copy.path().join(path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, to).unwrap();
        }
    }
    ready.adapt(&copy.path().join(&project));
    torana(&ready, copy.path(), &["plugin", "build", &project]);
    let (gateway, backend) = serve(copy, &project, "", &format!("--configfile={project}/torana.yml"));
    first(&gateway, "/");
    cases(&gateway, &backend, &read(&project), |_| {}, true);
}

// --- from nothing to a live plugin ---

/// The three commands of docs/plugins/README.md.
fn hello(lang: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let ready = Ready::default();
    torana(&ready, folder.path(), &[&["plugin", "new", "hello"], lang].concat());
    torana(&ready, folder.path(), &["plugin", "build", "hello"]);
    let (gateway, backend) = serve(folder, "hello", "hello", "--configFile=torana.yml");
    let r = first(&gateway, "/");
    assert_eq!((r.status, r.header("x-hello"), r.text()), (200, Some("200"), "GET /"), "{r:?}");
    let r = gateway.get("/admin");
    assert!(r.status == 403 && r.text().contains("blocked"), "{r:?}");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn hello_in_rust() {
    // The same target as the plugins of this repository need: skipped as they are.
    if first_party("whoami").is_some() {
        hello(&[]);
    }
}

#[test]
fn hello_in_js() {
    if tools(js()).is_some() {
        hello(&["--lang", "js"]);
    }
}
