//! What one deploys: the container image, the systemd units, and what the documentation says of both.

use crate::harness::{Conn, binary, eventually, root};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A Docker engine (`tests/services/docker.sh`) with the image of `.ci/image` in it.
struct Engine {
    dir: tempfile::TempDir,
}

const IMAGE: &str = "torana-test/torana:latest";
const BUILT: &str = "torana-test/built:latest";

impl Engine {
    fn start() -> Option<Engine> {
        let engine = Engine { dir: tempfile::tempdir().unwrap() };
        let script = root().join("tests/services/docker.sh");
        let output = Command::new("bash").arg(script).arg("start").arg(engine.dir.path()).output().unwrap();
        if output.status.success() {
            let made = engine.command(&root().join(".ci/image")).arg(binary()).arg(IMAGE).output().unwrap();
            assert!(made.status.success(), ".ci/image: {}", String::from_utf8_lossy(&made.stderr));
            eprintln!("{}", String::from_utf8_lossy(&made.stdout).trim());
            return Some(engine);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "docker.sh: {said}");
        eprintln!("SKIPPED: tests of the container image need a Docker engine: {said}");
        None
    }

    fn command(&self, program: &Path) -> Command {
        let mut c = Command::new(program);
        c.env("DOCKER_HOST", format!("unix://{}/docker.sock", self.dir.path().display()));
        c
    }

    fn try_docker(&self, args: &[&str]) -> Output {
        self.command(Path::new("docker")).args(args).output().unwrap()
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        let out = self.try_docker(args);
        assert!(out.status.success(), "docker {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    fn inspect(&self, what: &str, format: &str) -> String {
        self.docker(&["inspect", "-f", format, what])
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = Command::new("bash").arg(root().join("tests/services/docker.sh")).arg("stop").arg(self.dir.path()).output();
    }
}

/// What an image says of how it is run.
const CONFIG: &str = "{{.Config.User}} {{.Config.WorkingDir}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{json .Config.ExposedPorts}} \
                      {{json .Config.Healthcheck}} {{json .Config.Labels}}";

/// That of `.ci/image`, and that of the Dockerfile, which is built as it is but for the compiler: they are alike.
#[test]
fn the_images_serve_without_any_privilege() {
    let Some(engine) = Engine::start() else { return };
    let script = root().join("tests/services/dockerfile.sh");
    let built = engine.command(&script).arg(binary()).arg(BUILT).output().unwrap();
    assert!(built.status.success(), "dockerfile.sh: {}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(engine.inspect(BUILT, CONFIG), engine.inspect(IMAGE, CONFIG));
    let env = |image: &str| engine.inspect(image, "{{range .Config.Env}}{{println .}}{{end}}");
    for set in ["XDG_CACHE_HOME=/var/cache", "TORANA_PING=true"] {
        assert!([IMAGE, BUILT].iter().all(|i| env(i).lines().any(|l| l == set)), "{set}: {}", env(BUILT));
    }
    for image in [IMAGE, BUILT] {
        serves_without_any_privilege(&engine, image);
    }
}

/// As the documentation runs it: not root, nothing to write to, no capability; a secret in a file.
fn serves_without_any_privilege(engine: &Engine, image: &str) {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("conf");
    fs::create_dir_all(conf.join("routing")).unwrap();
    fs::write(
        conf.join("torana.yml"),
        "entryPoints: {web: {address: ':80'}}\nproviders: {file: {directory: /etc/torana/routing}}\nlog: {level: INFO}\n",
    )
    .unwrap();
    fs::write(
        conf.join("routing/r.yml"),
        "http:\n  routers: {r: {rule: 'PathPrefix(`/`)', service: ping@internal, middlewares: [m]}}\n  middlewares: {m: {headers: \
         {customResponseHeaders: {X-Token: '${file:/run/secrets/token}'}}}}\n",
    )
    .unwrap();
    fs::write(folder.path().join("token"), "from-a-file\n").unwrap();
    for path in [folder.path(), &conf, &conf.join("routing")] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let (conf, token) = (format!("{}:/etc/torana:ro", conf.display()), format!("{}/token:/run/secrets/token:ro", folder.path().display()));
    let hardened = ["--read-only", "--tmpfs=/tmp", "--tmpfs=/var/cache:exec,uid=65532,gid=65532", "--cap-drop=ALL"];
    let mut args =
        vec!["run", "-d", "--name=gate", "--security-opt=no-new-privileges", "--health-interval=500ms", "-v", &conf, "-v", &token];
    args.extend(hardened);
    args.push(image);
    engine.docker(&args);
    let begin = Instant::now();
    let health = loop {
        let health = engine.inspect("gate", "{{.State.Health.Status}}");
        if health != "starting" || begin.elapsed() > Duration::from_secs(60) {
            break health;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    };
    assert_eq!(health, "healthy", "{}", engine.docker(&["logs", "gate"]));

    let address = engine.inspect("gate", "{{.NetworkSettings.IPAddress}}");
    let response = Conn::open(format!("{address}:80").parse().unwrap()).get("a.test", "/");
    assert_eq!((response.status, response.header("x-token")), (200, Some("from-a-file")));
    let pid = engine.inspect("gate", "{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!(field("Uid:").split_whitespace().collect::<Vec<_>>(), ["65532"; 4]);
    assert_eq!((field("CapEff:").as_str(), field("CapBnd:").as_str()), ("0000000000000000", "0000000000000000"));
    // No shell, and nothing else to run.
    assert!(!engine.try_docker(&["exec", "gate", "/bin/sh", "-c", "true"]).status.success());

    let begin = Instant::now();
    engine.docker(&["stop", "-t", "15", "gate"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "it waits for SIGKILL");
    assert_eq!(engine.inspect("gate", "{{.State.ExitCode}}"), "0");
    assert!(!engine.docker(&["logs", "gate"]).contains("from-a-file"));
    let size: u64 = engine.inspect(image, "{{.Size}}").parse().unwrap();
    assert!(size < 400 << 20, "the image has {size} bytes");
    // What is to be written is its user's, with a volume on it or without.
    engine.docker(&[
        "run",
        "--rm",
        "--name=second",
        "--cap-drop=ALL",
        "-d",
        "-v",
        "/var/lib/torana",
        image,
        "--entrypoints.web.address=:80",
    ]);
    let pid = engine.inspect("second", "{{.State.Pid}}");
    let own = |path: &str| std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{pid}/root{path}")).unwrap());
    assert_eq!(["/var/lib/torana", "/var/cache/torana"].map(own), [65532; 2]);
    engine.docker(&["rm", "-f", "gate", "second"]);
}

/// The `yaml` blocks of a document that hold `text`.
fn block(document: &str, text: &str) -> String {
    let all = fs::read_to_string(root().join(document)).unwrap();
    let mut blocks = all.split("```yaml\n").skip(1).map(|b| b.split("```").next().unwrap());
    blocks.find(|b| b.contains(text)).unwrap_or_else(|| panic!("{document} has no block with {text}")).to_owned()
}

#[test]
fn the_compose_file_of_the_documentation_is_one() {
    let compose = Command::new("docker").args(["compose", "version"]).output();
    if !compose.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: the Compose file is not looked at without docker compose");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("compose.yml"), block("docs/operators/deployment.md", "stop_grace_period")).unwrap();
    fs::write(folder.path().join("upstream_token"), "x").unwrap();
    let out = Command::new("docker").args(["compose", "config"]).current_dir(folder.path()).output().unwrap();
    let (told, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && wrong.is_empty(), "{wrong}");
    assert!(told.contains("read_only: true") && told.contains("no-new-privileges:true"), "{told}");
}

#[test]
fn the_dockerfile_builds_with_our_toolchain_and_what_it_needs() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.lines().find_map(|l| l.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(dockerfile.contains(&format!("ARG RUST={channel}\n")), "the Dockerfile names another toolchain than {channel}");
    let last = dockerfile.rsplit("\nFROM ").next().unwrap();
    for line in ["USER 65532:65532", "EXPOSE 80/tcp", "CMD [\"/usr/local/bin/torana\", \"healthcheck\"]"] {
        assert!(last.contains(line), "{line}");
    }
    // What the workspace is made of has to reach the build.
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    for needed in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "host", "plugin-sdk", "plugins", "tests", "wit", ".cargo"] {
        assert!(root().join(needed).exists() && ignored.lines().any(|l| l.strip_prefix('!') == Some(needed)), "{needed}");
    }
}

/// Options of a unit by section.
fn unit(name: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections = BTreeMap::<String, Vec<_>>::new();
    let mut section = String::new();
    for line in fs::read_to_string(root().join("examples/systemd").join(name)).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if !line.is_empty() && !line.starts_with('#') {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            sections.entry(section.clone()).or_default().push((key.to_owned(), value.to_owned()));
        }
    }
    sections
}

#[test]
fn the_units_name_what_the_example_has() {
    let service = unit("torana.service");
    let value = |key: &str| service["Service"].iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(value("Type"), ["notify"]);
    assert_eq!(value("ProtectSystem"), ["strict"]);
    assert_eq!(value("NoNewPrivileges"), ["yes"]);
    assert_eq!(value("CapabilityBoundingSet"), ["CAP_NET_BIND_SERVICE"]);
    assert_eq!(value("AmbientCapabilities"), value("CapabilityBoundingSet"));
    assert_eq!(value("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let install = fs::read_to_string(root().join("examples/systemd/torana.yml")).unwrap();
    assert!(install.contains("ping: {}") && value("WatchdogSec") == ["30s"]);
    let socket = unit("torana.socket");
    let name = socket["Socket"].iter().find(|(k, _)| k == "FileDescriptorName").unwrap();
    assert!(install.contains(&format!("  {}:\n", name.1)), "the socket is of no entry point");
}

/// systemd's own eyes.
#[test]
fn systemd_understands_the_units_and_finds_them_closed() {
    let there = Command::new("systemd-analyze").arg("--version").output();
    if !there.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: the units are not looked at without systemd-analyze (package systemd)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["torana.service", "torana.socket"] {
        let text = fs::read_to_string(root().join("examples/systemd").join(name)).unwrap();
        // It wants to see the program.
        fs::write(folder.path().join(name), text.replace("/usr/local/bin/torana", "/bin/true")).unwrap();
    }
    let run = |args: &[&str]| {
        let out = Command::new("systemd-analyze").args(args).current_dir(folder.path()).output().unwrap();
        (out.status.success(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
    };
    let (good, told) = run(&["verify", "./torana.service", "./torana.socket"]);
    let about_ours: Vec<_> = told.lines().filter(|l| l.contains("torana.")).collect();
    assert!(good && about_ours.is_empty(), "{told}");
    // 1.6 in systemd 252; another systemd looks at more.
    let (good, told) = run(&["security", "--offline=true", "--threshold=25", "./torana.service"]);
    assert!(good || told.contains("unrecognized option") || told.contains("--offline"), "{told}");
}

/// What the kernel would refuse the service is nothing that it does: its system calls while it starts, serves
/// and stops are those that the unit allows.
#[test]
fn the_service_makes_no_system_call_that_its_unit_forbids() {
    let tools = ["strace", "setpriv", "systemd-analyze"]
        .iter()
        .all(|t| Command::new(t).arg("--version").output().is_ok_and(|o| o.status.success()));
    if !tools {
        eprintln!("SKIPPED: system calls are not looked at without strace, setpriv and systemd-analyze");
        return;
    }
    let set = |name: &str| -> Vec<String> {
        fn calls(name: &str, into: &mut Vec<String>) {
            let out = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
            for line in String::from_utf8_lossy(&out.stdout).lines().skip(1).map(str::trim) {
                match line.strip_prefix('@') {
                    Some(_) => calls(line, into),
                    None if line.is_empty() || line.starts_with('#') => {}
                    None => into.push(line.to_owned()),
                }
            }
        }
        let mut all = Vec::new();
        calls(name, &mut all);
        all
    };
    let mut allowed = set("@system-service");
    assert!(allowed.len() > 100);
    let denied: Vec<String> = ["@privileged", "@resources"].iter().flat_map(|n| set(n)).collect();
    allowed.retain(|c| !denied.contains(c));

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("dynamic")).unwrap();
    fs::write(folder.path().join("dynamic/r.yml"), "http: {routers: {r: {rule: 'PathPrefix(`/`)', service: ping@internal}}}\n").unwrap();
    // Not in a folder that the gateway watches: each look of it would be a change there.
    let traces = tempfile::tempdir().unwrap();
    let trace = traces.path().join("trace");
    let mut c = Command::new("strace");
    // The gateway goes with strace, whatever happens to that.
    c.args(["-f", "-qq", "-o"]).arg(&trace).args(["setpriv", "--pdeathsig", "KILL"]).arg(binary()).args([
        "--entrypoints.web.address=127.0.0.1:0",
        "--entrypoints.traefik.address=127.0.0.1:0",
        "--providers.file.directory=dynamic",
        "--ping",
        "--log.level=info",
        "--log.format=json",
    ]);
    c.current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path());
    let gateway = crate::harness::Gateway::spawn(c, folder);
    gateway.wait_serving();
    // Under strace all takes its time.
    eventually("the route is there", || (gateway.get("/").status == 200).then_some(()));
    // strace passes the end on.
    let traced = eventually("the traced process", || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", gateway.id())).ok()?;
        children.split_whitespace().next()?.parse::<i32>().ok()
    });
    let ended = Command::new("kill").arg(traced.to_string()).status().unwrap();
    assert!(ended.success());
    let mut gateway = gateway;
    gateway.wait();
    let text = fs::read_to_string(&trace).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    // Behind the start of the gateway itself.
    let own = text.rfind(" execve(").map_or(&*text, |at| &text[at + 1..]);
    for line in own.lines().skip(1).filter(|l| l.contains('(') && !l.contains("<... ")) {
        if let Some(call) = line.split_whitespace().nth(1).and_then(|w| w.split('(').next()) {
            seen.insert(call.to_owned());
        }
    }
    assert!(seen.contains("accept4") && seen.contains("socket"), "{seen:?}");
    let refused: Vec<_> = seen.iter().filter(|c| !allowed.contains(c)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
