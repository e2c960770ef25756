//! The command line (CFG-01 to CFG-06).

use crate::harness::{Gateway, command, free_port, run};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

const INSTALL: &str = "entryPoints:\n  web:\n    address: 127.0.0.1:0\nproviders:\n  file:\n    filename: routing.yml\n";
const ROUTING: &str = "http:\n  routers:\n    r:\n      rule: Path(`/`)\n      service: s\n  services:\n    s:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:1\n";

fn folder(install: &str, routing: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("torana.yml"), install).unwrap();
    fs::write(folder.path().join("routing.yml"), routing).unwrap();
    folder
}

fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8(out.stderr.clone()).unwrap()
}

fn check(folder: &Path, more: &[&str]) -> Output {
    run(folder, &[&["check", "--configfile=torana.yml"], more].concat(), &[])
}

/// One mistake: message, key, place and a word of the hint, in the text and in the JSON.
#[track_caller]
fn assert_found(install: &str, routing: &str, message: &str, key: &str, place: (&str, u32, u32), hint: &str) {
    let folder = folder(install, routing);
    let out = check(folder.path(), &[]);
    let text = stdout(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(stderr(&out).contains("errors: 1, warnings: 0"), "{text}{}", stderr(&out));
    let (file, line, column) = place;
    let at = if key.is_empty() { format!("{file}:{line}:{column}") } else { format!("{key}  (") };
    for wanted in [format!("error: {message}"), at, format!("{file}:{line}:{column}"), "hint: ".to_owned(), hint.to_owned()] {
        assert!(text.contains(&wanted), "{wanted:?} is missing in:\n{text}");
    }
    let out = check(folder.path(), &["--json"]);
    assert_eq!(out.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&shown["errors"], &shown["warnings"]), (&1.into(), &0.into()), "{shown:#}");
    let d = &shown["diagnostics"][0];
    assert_eq!(
        (&d["severity"], &d["key"], &d["line"], &d["column"]),
        (&"error".into(), &key.into(), &line.into(), &column.into()),
        "{d:#}"
    );
    assert!(d["message"].as_str().unwrap().starts_with(message) && d["hint"].as_str().unwrap().contains(hint), "{d:#}");
    assert!(d["source"].as_str().unwrap().ends_with(file), "{d:#}");
}

/// CFG-02
#[test]
fn check_finds_an_unknown_static_key() {
    let install = INSTALL.replace("    address:", "    addres: x\n    address:");
    assert_found(&install, ROUTING, "unknown option `addres`", "entryPoints.web.addres", ("torana.yml", 3, 5), "did you mean `address`?");
}

#[test]
fn check_finds_bad_yaml() {
    let out = {
        let folder = folder(INSTALL, "http:\n  routers:\n    r: {rule: x\n    s: [\n");
        check(folder.path(), &[])
    };
    let text = stdout(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("error: not valid YAML") && text.contains("routing.yml:4:"), "{text}");
}

/// RTR-02
#[test]
fn check_finds_an_unknown_middleware() {
    let routing = ROUTING.replace("      service: s\n", "      service: s\n      middlewares: [auht]\n")
        + "  middlewares:\n    auth:\n      addPrefix:\n        prefix: /x\n";
    assert_found(
        INSTALL,
        &routing,
        "unknown middleware `auht@file`",
        "http.routers.r.middlewares[0]",
        ("routing.yml", 6, 21),
        "did you mean `auth@file`?",
    );
}

/// RUL-01
#[test]
fn check_finds_a_bad_rule() {
    let routing = ROUTING.replace("Path(`/`)", "Pth(`/`)");
    assert_found(INSTALL, &routing, "unknown matcher `Pth`", "http.routers.r.rule", ("routing.yml", 4, 13), "did you mean `Path`?");
}

/// What is not built is refused, never ignored.
#[test]
fn check_finds_an_option_that_is_not_built() {
    let install = INSTALL.to_owned() + "experimental:\n  fastProxy: {}\n";
    let folder = folder(&install, ROUTING);
    let out = check(folder.path(), &[]);
    let text = stdout(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("experimental.fastProxy") && text.contains("not built") && text.contains("torana.yml:8:3"), "{text}");
}

#[test]
fn check_finds_a_bad_duration() {
    let install = INSTALL.replace("    address:", "    transport:\n      lifeCycle:\n        graceTimeOut: 10x\n    address:");
    let folder = folder(&install, ROUTING);
    let out = check(folder.path(), &[]);
    let text = stdout(&out);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("10x") && text.contains("entryPoints.web.transport.lifeCycle.graceTimeOut  (torana.yml:5:23)"), "{text}");
}

#[test]
fn check_tells_all_mistakes_at_once() {
    let folder = folder(INSTALL, &ROUTING.replace("Path(`/`)", "Path(`/`").replace("service: s\n", "service: z\n      midlewares: [x]\n"));
    let shown: Value = serde_json::from_slice(&check(folder.path(), &["--json"]).stdout).unwrap();
    assert!(shown["errors"].as_u64() >= Some(2), "{shown:#}");
}

#[test]
fn check_is_content_with_what_is_good() {
    let folder = folder(INSTALL, ROUTING);
    let out = check(folder.path(), &[]);
    assert_eq!((out.status.code(), stdout(&out).as_str()), (Some(0), "the configuration is good\n"), "{}", stderr(&out));
    let shown: Value = serde_json::from_slice(&check(folder.path(), &["--json"]).stdout).unwrap();
    assert_eq!(shown, serde_json::json!({"errors": 0, "warnings": 0, "diagnostics": []}));
}

/// A gateway does not start with what `check` refuses.
#[test]
fn run_refuses_a_bad_install_configuration() {
    let folder = folder(&INSTALL.replace("address", "addres"), ROUTING);
    let out = run(folder.path(), &["--configfile=torana.yml"], &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("torana.yml:3:5") && stderr(&out).contains("torana does not start"), "{}", stderr(&out));
}

/// CFG-01
#[test]
fn a_missing_file_that_was_named_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["--configfile=nowhere.yml"][..], &["check", "--configfile=nowhere.yml"], &["healthcheck", "--configfile=nowhere.yml"]] {
        let out = run(folder.path(), args, &[]);
        let said = stdout(&out) + &stderr(&out);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("cannot read `nowhere.yml`") && said.contains("--configfile"), "{args:?}: {said}");
    }
}

/// CFG-01, CFG-03, CFG-04: each source has a loopback address of its own.
#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |name: &str| format!("  {name}: {{address: '127.0.0.1:0'}}\n");
    let install = format!("entryPoints:\n{}log: {{level: info, format: json}}\n", ["file", "theirs", "ours", "flag"].map(entry).concat());
    fs::write(folder.path().join("traefik.yml"), install).unwrap();
    let mut c = command(folder.path());
    c.env("TRAEFIK_ENTRYPOINTS_THEIRS_ADDRESS", "127.0.0.2:0").env("TRAEFIK_ENTRYPOINTS_OURS_ADDRESS", "127.0.0.2:0");
    c.env("TORANA_ENTRYPOINTS_OURS_ADDRESS", "127.0.0.3:0").env("TORANA_ENTRYPOINTS_FLAG_ADDRESS", "127.0.0.3:0");
    c.arg("--entryPoints.flag.address=127.0.0.4:0");
    let mut gateway = Gateway::spawn(c, folder);
    let seen = ["file", "theirs", "ours", "flag"].map(|e| gateway.address(e).ip().to_string());
    assert_eq!(seen, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn unknown_flags_and_commands_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (args, hint) in [
        (&["chek"][..], "did you mean `check`?"),
        (&["--entrypoints.web.addres=:1"], "did you mean"),
        (&["--log.levle", "info"], "did you mean"),
    ] {
        let out = run(folder.path(), args, &[]);
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        assert!(stderr(&out).contains(hint), "{args:?}: {}", stderr(&out));
    }
}

/// PNG: for containers, whose health check asks the process itself.
#[test]
fn healthcheck_tells_by_its_exit_code() {
    let port = free_port();
    let address = format!("--entrypoints.traefik.address=127.0.0.1:{port}");
    let folder = tempfile::tempdir().unwrap();
    let health = |args: &[&str]| {
        let out = run(Path::new("/"), &[&["healthcheck"], args].concat(), &[]);
        (out.status.code(), stdout(&out), stderr(&out))
    };
    let (code, _, said) = health(&[&address, "--ping"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("Error calling healthcheck: "), "{said}");
    let mut c = command(folder.path());
    c.args([&address, "--ping", "--log.level=info", "--log.format=json"]);
    let mut gateway = Gateway::spawn(c, folder);
    gateway.wait_serving();
    assert_eq!(health(&[&address, "--ping"]), (Some(0), format!("OK: http://127.0.0.1:{port}/ping\n"), String::new()));
    let (code, _, said) = health(&[&address]);
    assert_eq!(code, Some(1));
    assert!(said.contains("please enable `ping`"), "{said}");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn healthcheck_fails_when_ping_does() {
    let port = free_port();
    let flags = [
        format!("--entrypoints.traefik.address=127.0.0.1:{port}"),
        "--entrypoints.traefik.transport.lifecycle.requestacceptgracetimeout=2s".to_owned(),
        "--ping".to_owned(),
        "--log.level=info".to_owned(),
        "--log.format=json".to_owned(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut c = command(folder.path());
    c.args(&flags);
    let mut gateway = Gateway::spawn(c, folder);
    gateway.wait_serving();
    gateway.signal(libc::SIGTERM);
    gateway.wait_log("it stops", |l| l.contains("stopping"));
    let args: Vec<&str> = std::iter::once("healthcheck").chain(flags.iter().map(String::as_str)).collect();
    let out = run(Path::new("/"), &args, &[]);
    assert_eq!((out.status.code(), stderr(&out).as_str()), (Some(1), "Bad healthcheck status: 503\n"));
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn version_and_help_say_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(folder.path(), &["version"], &[]);
    assert_eq!(out.status.code(), Some(0));
    assert!(stdout(&out).starts_with(&format!("Version:      {}\n", env!("CARGO_PKG_VERSION"))), "{}", stdout(&out));
    for args in [&["help"][..], &["--help"], &["-h"], &["check", "--help"]] {
        let out = run(folder.path(), args, &[]);
        let text = stdout(&out);
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        for option in ["--entrypoints.<name>.address", "--providers.file.directory", "--log.level", "healthcheck", "demo"] {
            assert!(text.contains(option), "{option} is missing in the help");
        }
    }
}

/// A closed pipe (`torana help | head`) is no reason to panic.
#[test]
fn help_survives_a_closed_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut c = command(folder.path());
    let mut child = c.arg("help").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(!stderr(&out).contains("panicked"), "{}", stderr(&out));
    assert_ne!(out.status.code(), Some(101));
}
