//! The command line.

use crate::harness::{guests, run};
use std::fs;
use std::path::Path;

/// `torana check` of a dynamic file with a plugin and one middleware; the configuration of it begins in line 7.
fn checked(component: &Path, declaration: &str, config: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("torana.yml"),
        "entryPoints:\n  web:\n    address: 127.0.0.1:0\nproviders:\n  file:\n    filename: routing.yml\n",
    )
    .unwrap();
    let routing = format!(
        "plugins:\n  p:\n    path: {}\n{declaration}http:\n  middlewares:\n    m:\n      plugin:\n        p:\n{config}  routers:\n    r:\n      \
         rule: Path(`/`)\n      service: s\n      middlewares: [m]\n  services:\n    s:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:1\n",
        component.display()
    );
    fs::write(folder.path().join("routing.yml"), routing).unwrap();
    run(folder.path(), &["check", "--configfile=torana.yml"], &[])
}

#[track_caller]
fn assert_checked(out: &std::process::Output, wanted: &[&str]) {
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{text}");
    for w in wanted {
        assert!(text.contains(w), "{w:?} is missing in:\n{text}");
    }
}

#[test]
fn check_finds_a_configuration_against_the_schema() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "", "          mode: fine\n          cuont: 7\n");
    assert_checked(
        &out,
        &["error: unknown option `cuont`", "http.middlewares.m.plugin.p.cuont", "routing.yml:10:11", "hint: did you mean `count`?"],
    );
    let out = checked(&guests.path("bad"), "", "          count: 7\n");
    assert_checked(&out, &["error: `mode` is missing", "http.middlewares.m.plugin.p", "routing.yml:", "hint: add `mode:`"]);
}

#[test]
fn check_asks_the_plugin() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "", "          mode: refuse\n");
    assert_checked(&out, &["error: refused", "http.middlewares.m.plugin.p.mode", "routing.yml:9:17", "hint: any other"]);
}

#[test]
fn check_finds_a_file_that_is_no_plugin() {
    let out = checked(Path::new("nothing.wasm"), "", "          mode: fine\n");
    assert_checked(&out, &["error: cannot read `nothing.wasm`", "plugins.p.path", "routing.yml:3:11", "hint: a relative path begins at"]);
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("wrong-world"), "", "          mode: fine\n");
    assert_checked(&out, &["is not a plugin", "plugins.p.path", "routing.yml:3:11", "hint: a middleware exports"]);
}

#[test]
fn check_finds_a_bad_limit() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "    limits:\n      deadlin: 1s\n", "          mode: fine\n");
    assert_checked(
        &out,
        &["error: unknown option `deadlin`", "plugins.p.limits.deadlin", "routing.yml:5:7", "hint: did you mean `deadline`?"],
    );
}

#[test]
fn check_is_content_with_a_good_one() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "", "          mode: fine\n");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stdout));
}
