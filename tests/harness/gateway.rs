//! The gateway under test: the real binary, in a folder of its own, on ports that the kernel chooses.

use super::client::{Conn, Response};
use super::{PATIENCE, eventually, lock, root};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The `torana` binary: `TORANA_BIN`, or beside the test's own, built if it is not there yet.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TORANA_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("torana");
    if !path.exists() {
        eprintln!("{} is missing: building it (cargo build --workspace)", path.display());
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let built = Command::new(cargo).args(["build", "--workspace"]).current_dir(root()).status();
        assert!(built.is_ok_and(|s| s.success()) && path.exists(), "{} is missing: run `cargo build --workspace`", path.display());
    }
    path
}

/// A command of `torana`, with nothing of this machine's environment, in `folder`.
pub(crate) fn command(folder: &Path) -> Command {
    let mut c = Command::new(binary());
    c.current_dir(folder).env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    die_with_parent(&mut c);
    c
}

/// Runs `torana` to its end.
#[track_caller]
pub(crate) fn run(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    command(folder).args(args).envs(env.iter().copied()).output().unwrap()
}

/// No gateway outlives a test that is killed.
#[allow(unsafe_code)]
fn die_with_parent(c: &mut Command) {
    // SAFETY: prctl is async-signal-safe and touches nothing but the new process.
    unsafe {
        c.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// What a gateway starts with.
pub(crate) struct Setup {
    files: Vec<(String, String)>,
    flags: Vec<String>,
    env: Vec<(String, String)>,
    directory: bool,
    wait: bool,
}

impl Setup {
    /// Entry points `web` and `traefik` on any port, the file provider on the folder `dynamic`, ping, API.
    pub(crate) fn new() -> Setup {
        Setup { files: Vec::new(), flags: Vec::new(), env: Vec::new(), directory: true, wait: true }
    }

    /// A file of the folder that the gateway watches.
    pub(crate) fn file(mut self, name: &str, text: impl Into<String>) -> Setup {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// Flags, which go over what [`Setup::new`] sets.
    pub(crate) fn flag(mut self, flag: impl Into<String>) -> Setup {
        self.flags.push(flag.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Setup {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The watched folder is not made.
    pub(crate) fn without_directory(mut self) -> Setup {
        self.directory = false;
        self
    }

    /// [`Setup::start`] returns before the gateway listens.
    pub(crate) fn without_waiting(mut self) -> Setup {
        self.wait = false;
        self
    }

    #[track_caller]
    pub(crate) fn start(self) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let dynamic = folder.path().join("dynamic");
        if self.directory {
            std::fs::create_dir(&dynamic).unwrap();
            for (name, text) in &self.files {
                std::fs::write(dynamic.join(name), text).unwrap();
            }
        }
        let mut c = command(folder.path());
        c.args([
            "--entrypoints.web.address=127.0.0.1:0",
            "--entrypoints.traefik.address=127.0.0.1:0",
            "--providers.file.directory=dynamic",
            "--providers.providersthrottleduration=0s",
            "--ping",
            "--api.insecure",
            "--api.dashboard=false",
            "--log.level=info",
            "--log.format=json",
        ]);
        c.args(&self.flags).envs(self.env);
        let gateway = Gateway::spawn(c, folder);
        if self.wait {
            gateway.wait_serving();
        }
        gateway
    }
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn follow(self: &Arc<Self>, from: impl std::io::Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                lock(&log.lines).push(line);
                log.more.notify_all();
            }
        });
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        let lines = lock(&self.lines);
        let _lines = self.more.wait_timeout_while(lines, PATIENCE, |lines| {
            found = lines.iter().find_map(|l| find(l));
            found.is_none()
        });
        drop(_lines);
        found.unwrap_or_else(|| panic!("the log does not say: {what}"))
    }
}

pub(crate) struct Gateway {
    child: Child,
    log: Arc<Log>,
    addresses: Mutex<HashMap<String, SocketAddr>>,
    pub(crate) folder: tempfile::TempDir,
}

impl Gateway {
    /// With one file of routing configuration, `routing.yml`.
    #[track_caller]
    pub(crate) fn start(routing: &str) -> Gateway {
        Setup::new().file("routing.yml", routing).start()
    }

    /// Any command that serves.
    #[track_caller]
    pub(crate) fn spawn(mut command: Command, folder: tempfile::TempDir) -> Gateway {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        Gateway { child, log, addresses: Mutex::default(), folder }
    }

    #[track_caller]
    pub(crate) fn wait_serving(&self) {
        self.wait_log("serving", |l| l.contains(r#""message":"serving""#));
    }

    /// Where an entry point listens, as the log says.
    #[track_caller]
    pub(crate) fn address(&self, entry_point: &str) -> SocketAddr {
        if let Some(a) = lock(&self.addresses).get(entry_point) {
            return *a;
        }
        let address = self.log.wait("where it listens", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening" && line["entryPointName"] == entry_point).then(|| line["address"].as_str()?.parse().ok())?
        });
        lock(&self.addresses).insert(entry_point.to_owned(), address);
        address
    }

    /// For gateways whose log does not say where they listen.
    pub(crate) fn listens(&self, entry_point: &str, at: SocketAddr) {
        lock(&self.addresses).insert(entry_point.to_owned(), at);
    }

    #[track_caller]
    pub(crate) fn web(&self) -> SocketAddr {
        self.address("web")
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Conn {
        Conn::open(self.web())
    }

    /// One request to `web` on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.connect().get("test.local", target)
    }

    /// Sends a request as it is, on a connection of its own, and reads the response.
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut c = self.connect();
        c.send(request);
        c.response()
    }

    /// One request to the entry point `traefik`: API, ping, readiness.
    #[track_caller]
    pub(crate) fn admin(&self, target: &str) -> Response {
        Conn::open(self.address("traefik")).get("test.local", target)
    }

    pub(crate) fn dynamic(&self, name: &str) -> PathBuf {
        self.folder.path().join("dynamic").join(name)
    }

    /// Replaces a file of routing configuration in one step, as careful writers do.
    #[track_caller]
    pub(crate) fn reload(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.dynamic(name)).unwrap();
    }

    /// Times that a configuration was applied.
    pub(crate) fn generation(&self) -> usize {
        lock(&self.log.lines).iter().filter(|l| l.contains("configuration applied")).count()
    }

    /// What was seen on disk before this call has been dealt with: a router of our own went through the
    /// same queue and is live.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let name = format!("/settled-{}", self.generation());
        self.reload(
            "zz-settled.yml",
            &format!("http: {{routers: {{zz-settled: {{rule: 'Path(`{name}`)', service: noop@internal, priority: 9000}}}}}}\n"),
        );
        eventually("the configuration has settled", || (self.get(&name).status == 418).then_some(()));
    }

    /// `change` neither ends what `probe` sees nor alters it.
    #[track_caller]
    pub(crate) fn assert_not_reloaded<T: PartialEq + std::fmt::Debug>(&self, probe: impl Fn() -> T, change: impl FnOnce()) {
        let before = probe();
        change();
        self.settle();
        assert_eq!(probe(), before, "the change was taken over");
    }

    #[track_caller]
    pub(crate) fn wait_log(&self, what: &str, test: impl Fn(&str) -> bool) -> String {
        self.log.wait(what, |l| test(l).then(|| l.to_owned()))
    }

    pub(crate) fn log(&self) -> String {
        lock(&self.log.lines).join("\n")
    }

    #[allow(unsafe_code)]
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for yet, so its id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the gateway ends", || self.child.try_wait().unwrap())
    }

    /// SIGTERM and the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(libc::SIGTERM);
        self.wait().code()
    }

    /// Resident memory in bytes.
    #[track_caller]
    pub(crate) fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap() * 1024
    }

    /// Resident memory once it does not fall any more: what was freed has gone back.
    #[track_caller]
    pub(crate) fn settled_rss(&self) -> u64 {
        let mut least = self.rss();
        for _ in 0..20 {
            std::thread::park_timeout(Duration::from_millis(50));
            least = least.min(self.rss());
        }
        least
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let tail = &lines[lines.len().saturating_sub(200)..];
            eprintln!("--- log of the gateway ({ended:?})\n{}\n---", tail.join("\n"));
        }
    }
}
