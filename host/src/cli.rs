use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use torana_base::Diagnostic;
use torana_config::install::{self, Loaded, Sources};

const USAGE: &str = "\
torana: a programmable gateway that reads Traefik configuration

Usage: torana [COMMAND] [OPTIONS]

Commands:
  run           serve; the command when none is given
  check         say what is wrong with the configuration, without serving   [--json]
  healthcheck   ask the running gateway's /ping; exit status 0 if it answers 200
  plugin        new, build, dev, test, inspect: for the authors of plugins; see torana plugin --help
  demo          serve a small example with a backend of its own, on loopback
  version       print the version
  help          print this

Options of run, check and healthcheck may also stand in a file (--configfile, YAML or TOML) or in the
environment (TORANA_ or TRAEFIK_, as in TRAEFIK_ENTRYPOINTS_WEB_ADDRESS). Flags go over the environment,
the environment over the file.

Example:
  torana --entrypoints.web.address=:8000 --providers.file.filename=routing.yml --log.level=info
";

pub(crate) fn main(args: Vec<String>) -> ExitCode {
    let (command, rest) = match args.first() {
        Some(first) if !first.starts_with('-') => (first.as_str(), &args[1..]),
        _ => ("run", &args[..]),
    };
    let asks_help = rest.iter().any(|a| matches!(a.as_str(), "--help" | "-h" | "-help"));
    match command {
        _ if asks_help && command != "plugin" => help(),
        "help" => help(),
        "version" => version(),
        "run" => run(rest),
        "check" => check(rest),
        "healthcheck" => crate::healthcheck::run(&sources(rest)),
        "demo" => crate::demo::run(rest),
        "plugin" => crate::plugin::main(rest),
        other => {
            eprintln!("error: there is no command `{other}`");
            let known = ["run", "check", "healthcheck", "plugin", "demo", "version", "help"];
            if let Some(near) = torana_base::closest(other, known) {
                eprintln!("  hint: did you mean `{near}`?");
            }
            eprintln!("\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn sources(args: &[String]) -> Sources {
    Sources {
        args: args.to_vec(),
        env: std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect(),
        cwd_lookup: true,
    }
}

/// Writes to standard output; a closed pipe is no reason to panic.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn help() -> ExitCode {
    let width = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(100);
    print(&format!("{USAGE}\nOptions:\n{}", install::help(width)));
    ExitCode::SUCCESS
}

fn version() -> ExitCode {
    print(&format!(
        "Version:      {}\nCodename:     {}\nOS/Arch:      {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_NAME"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ));
    ExitCode::SUCCESS
}

fn run(args: &[String]) -> ExitCode {
    let loaded = match install::load(&sources(args)) {
        Ok(l) => l,
        Err(wrong) => return refused(&wrong),
    };
    serve(loaded)
}

pub(crate) fn serve(loaded: Loaded) -> ExitCode {
    match crate::wire::serve(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => refused(&wrong),
    }
}

/// Prints why the gateway does not start.
pub(crate) fn refused(wrong: &[Diagnostic]) -> ExitCode {
    for d in wrong {
        eprintln!("{d}\n");
    }
    let errors = wrong.iter().filter(|d| d.is_error()).count();
    eprintln!("torana does not start: {errors} {}", if errors == 1 { "error" } else { "errors" });
    ExitCode::FAILURE
}

/// Everything that is wrong, install and routing configuration alike, without opening a port.
fn check(args: &[String]) -> ExitCode {
    let json = args.iter().any(|a| a == "--json");
    let rest: Vec<String> = args.iter().filter(|a| *a != "--json").cloned().collect();
    let found = match install::load(&sources(&rest)) {
        Err(wrong) => wrong,
        Ok(loaded) => {
            let mut all = loaded.warnings.clone();
            all.extend(crate::wire::check(loaded));
            all
        }
    };
    let errors = found.iter().filter(|d| d.is_error()).count();
    let warnings = found.len() - errors;
    if json {
        let list: Vec<_> = found.iter().map(Diagnostic::to_json).collect();
        print(&format!("{:#}\n", serde_json::json!({ "errors": errors, "warnings": warnings, "diagnostics": list })));
    } else {
        for d in &found {
            print(&format!("{d}\n\n"));
        }
        let verdict = match (errors, warnings) {
            (0, 0) => "the configuration is good\n".to_owned(),
            (0, w) => format!("the configuration can be served; warnings: {w}\n"),
            (e, w) => format!("errors: {e}, warnings: {w}\n"),
        };
        if std::io::stdout().is_terminal() || errors == 0 { print(&verdict) } else { eprint!("{verdict}") }
    }
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
