//! `torana plugin`: for the authors of plugins.

use crate::cli::print;
use crate::plugin_test;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use torana_base::{Diagnostic, closest};
use torana_devkit::{Build, DEFAULT_KIND, DEFAULT_LANG, New};
use torana_extend::Manifest;

const USAGE: &str = "\
Usage: torana plugin COMMAND [OPTIONS]

Commands:
  new NAME      write a new plugin's project
  build         make the component of a project
  dev           serve a project, and build it again after each change
  test          run transcripts of HTTP against a plugin
  inspect FILE  say what a .wasm file is, needs and offers

`torana plugin COMMAND --help` tells more.
";

const NEW: &str = "\
Usage: torana plugin new NAME [OPTIONS]

Writes a project that builds and runs as it is, with all that it needs: the contract (wit/), a test, and a
configuration of the gateway that uses it.

Options:
  --lang=LANG   language of the project; default rust
  --kind=KIND   middleware (the default), provider, matcher, balancer, dns-challenge or service
  --path=DIR    where to; default ./NAME

";

const BUILD: &str = "\
Usage: torana plugin build [DIR]

Runs the build command of the project in DIR (default: this folder, or the nearest one above with a plugin.toml),
makes a component of what it made, embeds the manifest, checks the component, and puts it into <name>.wasm in one
step: a gateway that uses the file takes it over.

In plugin.toml, below [build]:
  command     run by the shell; default for Rust: cargo build --release --target wasm32-wasip2
  output      what the command makes: a component, or a core module
  component   where the plugin goes; default <name>.wasm
";

const DEV: &str = "\
Usage: torana plugin dev [DIR]

Builds the project in DIR (default: this folder), serves its torana.yml, and builds again whenever one of its
files changes: the running gateway takes the new component over. Ends with the gateway, or by Ctrl-C.
";

const TEST: &str = "\
Usage: torana plugin test [FILE...] [OPTIONS]

Plays transcripts against a plugin: in the engine of a gateway, with its limits and permissions, but with a clock
that stands still, an empty store of values, and only those answers from outside that the transcript has.
FILE is a transcript, the folder of a plugin (all of its tests/*.yml), or the component to use (.wasm). Default: the
plugin of this folder. It is built first when a source is newer. Exit status 1 when something is not as written.

Options:
  --name=TEXT   only transcripts with TEXT in their name, or in that of their file
  --json        results as JSON

What stands in a transcript: docs/plugins/testing.md.
";

const INSPECT: &str = "\
Usage: torana plugin inspect FILE [--json]

Says of a .wasm file: what it is, its manifest and schema, what it imports and exports, what it can use and asks for.
Nothing of it is run. Exit status 1 if it is no whole WebAssembly file.

Options:
  --json        the same as JSON
";

pub(crate) fn main(args: &[String]) -> ExitCode {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    let asks_help = rest.iter().any(|a| matches!(a.as_str(), "--help" | "-h" | "-help"));
    match command {
        "help" | "--help" | "-h" | "-help" => help(USAGE),
        "new" if asks_help => help(&format!("{NEW}There are templates in: {}\n", torana_devkit::languages().join(", "))),
        "build" if asks_help => help(BUILD),
        "dev" if asks_help => help(DEV),
        "test" if asks_help => help(TEST),
        "inspect" if asks_help => help(INSPECT),
        "new" => done(new(rest)),
        "build" => done(build(rest)),
        "dev" => done(dev(rest)),
        "test" => test(rest),
        "inspect" => done(inspect(rest)),
        other => {
            eprintln!("error: there is no command `plugin {other}`");
            if let Some(near) = closest(other, ["new", "build", "dev", "test", "inspect", "help"]) {
                eprintln!("  hint: did you mean `{near}`?");
            }
            eprintln!("\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn help(text: &str) -> ExitCode {
    print(text);
    ExitCode::SUCCESS
}

fn done(result: Result<(), Vec<Diagnostic>>) -> ExitCode {
    let wrong = result.err().unwrap_or_default();
    for d in &wrong {
        eprintln!("{d}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn new(args: &[String]) -> Result<(), Vec<Diagnostic>> {
    let given = Args::read(args, &["--lang", "--kind", "--path"], &[])?;
    let name = given.one("NAME", "as in `torana plugin new jwt-auth`")?.ok_or_else(|| {
        vec![Diagnostic::error("NAME", "the new plugin has no name").hint("as in `torana plugin new jwt-auth`; --help tells more")]
    })?;
    let folder = PathBuf::from(given.value("--path").unwrap_or(name));
    let what = New {
        folder: &folder,
        name,
        lang: given.value("--lang").unwrap_or(DEFAULT_LANG),
        kind: given.value("--kind").unwrap_or(DEFAULT_KIND),
    };
    torana_devkit::new(&what, &mut std::io::stdout().lock()).map_err(|d| vec![d])
}

fn build(args: &[String]) -> Result<(), Vec<Diagnostic>> {
    let given = Args::read(args, &[], &[])?;
    let folder = given.one("DIR", "as in `torana plugin build plugins/auth`")?.unwrap_or(".");
    let mut out = std::io::stdout();
    torana_devkit::build(&Build { folder: Path::new(folder), describe: &describe, aside: false }, &mut out)?;
    let _ = out.flush();
    Ok(())
}

/// Pause between two looks at the files of a project.
const LOOK: Duration = Duration::from_millis(300);

fn dev(args: &[String]) -> Result<(), Vec<Diagnostic>> {
    let given = Args::read(args, &[], &[])?;
    let folder = given.one("DIR", "as in `torana plugin dev plugins/auth`")?.unwrap_or(".");
    let project = torana_devkit::Project::find(Path::new(folder))?;
    let folder = project.folder.clone();
    let config = folder.join("torana.yml");
    if !config.is_file() {
        let d = Diagnostic::error("", format!("there is no torana.yml in {}", folder.display()));
        return Err(vec![d.hint("write one; `torana plugin new` shows how")]);
    }
    let again = || {
        let built = torana_devkit::build(&Build { folder: &folder, describe: &describe, aside: false }, &mut std::io::stdout());
        if let Err(wrong) = built {
            wrong.iter().for_each(|d| eprintln!("{d}"));
        }
    };
    let mut seen = newest(&folder);
    again();
    let cannot = |e: std::io::Error| vec![Diagnostic::error("", format!("cannot start the gateway: {e}"))];
    let own = std::env::current_exe().map_err(cannot)?;
    let mut gateway =
        std::process::Command::new(own).arg(format!("--configfile={}", config.display())).current_dir(&folder).spawn().map_err(cannot)?;
    loop {
        std::thread::sleep(LOOK);
        if gateway.try_wait().map_err(cannot)?.is_some() {
            return Err(vec![Diagnostic::error("", "the gateway has ended")]);
        }
        let now = newest(&folder);
        if now != seen {
            seen = now;
            again();
            // What the build itself touched is no change.
            seen = seen.max(newest(&folder));
        }
    }
}

fn test(args: &[String]) -> ExitCode {
    let tested = Args::read(args, &["--name"], &["--json"]).and_then(|given| {
        let asked = plugin_test::Asked { what: &given.rest, name: given.value("--name"), json: given.words.contains(&"--json") };
        plugin_test::run(&asked, &|project| plugin_test::build(project, &describe))
    });
    match tested {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(wrong) => done(Err(wrong)),
    }
}

/// When a source of a project was changed last. What builds make is left out, and what only tests read.
pub(crate) fn newest(folder: &Path) -> Option<SystemTime> {
    const MADE: [&str; 7] = ["target", "node_modules", "build", "dist", "__pycache__", "wit", "tests"];
    let entries = std::fs::read_dir(folder).ok()?;
    let times = entries.flatten().filter_map(|e| {
        let name = e.file_name();
        let name = name.to_string_lossy();
        let made =
            name.starts_with('.') || MADE.contains(&&*name) || name.ends_with(".wasm") || name.ends_with(".lock") || name.ends_with(".tmp");
        let meta = if made { None } else { e.metadata().ok() }?;
        if meta.is_dir() { newest(&e.path()) } else { meta.modified().ok() }
    });
    times.max()
}

/// Asks a component for its manifest; it is run with nothing granted.
fn describe(component: &[u8]) -> Result<Option<Manifest>, String> {
    torana_wasm::describe(component)
}

fn inspect(args: &[String]) -> Result<(), Vec<Diagnostic>> {
    let given = Args::read(args, &[], &["--json"])?;
    let hint = "as in `torana plugin inspect auth.wasm`";
    let file = given.one("FILE", hint)?.ok_or_else(|| vec![Diagnostic::error("FILE", "no file is named").hint(hint)])?;
    let json = given.words.contains(&"--json");
    torana_devkit::inspect(Path::new(file), json, &mut std::io::stdout().lock()).map(|_| ()).map_err(|d| vec![d])
}

/// Arguments of a command: options with a value (`--lang rust` or `--lang=rust`), words (`--json`), and the rest.
struct Args<'a> {
    values: Vec<(&'a str, &'a str)>,
    words: Vec<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Args<'a> {
    fn read(args: &'a [String], values: &[&str], words: &[&str]) -> Result<Self, Vec<Diagnostic>> {
        let mut read = Args { values: Vec::new(), words: Vec::new(), rest: Vec::new() };
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let (name, value) = arg.split_once('=').map_or((arg, None), |(n, v)| (n, Some(v)));
            if !arg.starts_with('-') {
                read.rest.push(arg);
            } else if words.contains(&arg) {
                read.words.push(arg);
            } else if !values.contains(&name) {
                let known: Vec<_> = values.iter().chain(words).copied().collect();
                let d = Diagnostic::error("", format!("there is no option `{name}` here"));
                return Err(vec![match closest(name, known.iter().copied()) {
                    Some(near) => d.hint(format!("did you mean `{near}`?")),
                    None if known.is_empty() => d.hint("there are none; --help tells more"),
                    None => d.hint(format!("known here: {}", known.join(", "))),
                }]);
            } else if let Some(value) = value.or_else(|| args.next()) {
                read.values.push((name, value));
            } else {
                return Err(vec![Diagnostic::error("", format!("`{name}` has no value")).hint(format!("write `{name}=...`"))]);
            }
        }
        Ok(read)
    }

    /// The last value of an option.
    fn value(&self, name: &str) -> Option<&'a str> {
        self.values.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// The one argument that is no option, if it is there.
    fn one(&self, what: &str, hint: &str) -> Result<Option<&'a str>, Vec<Diagnostic>> {
        match self.rest[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [_, second, ..] => Err(vec![Diagnostic::error(what, format!("`{second}` is one too many")).hint(hint)]),
        }
    }
}
