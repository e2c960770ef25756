//! `torana plugin test`: the transcripts of our own plugins and of the templates, and what it says when one fails.

use super::plugin_examples::{Ready, c, go, js, python, tools};
use crate::harness::{binary, first_party, guests, root};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// In a folder; compiled code is kept where other tests find it.
fn test_in(folder: &Path, args: &[&str]) -> Output {
    let mut c = Command::new(binary());
    c.args(["plugin", "test"]).args(args).current_dir(folder).stdin(Stdio::null());
    c.env("XDG_CACHE_HOME", root().join("target/guests/cache")).output().unwrap()
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// A transcript against a plugin of our own.
#[track_caller]
fn play(package: &str, transcript: &str, args: &[&str]) -> Option<Output> {
    let component = first_party(package)?;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.yml"), transcript).unwrap();
    Some(test_in(folder.path(), &[&["t.yml", component.to_str().unwrap()], args].concat()))
}

fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("tests")).into_iter().flatten();
    entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "yml")).collect()
}

#[test]
fn first_party_plugins_keep_their_transcripts() {
    let plugins = fs::read_dir(root().join("plugins")).unwrap().map(|e| e.unwrap().path());
    let plugins: Vec<_> = plugins.filter(|p| p.join("Cargo.toml").is_file() && !p.ends_with("support")).collect();
    assert!(plugins.len() >= 9);
    for folder in plugins {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let files = transcripts(&folder);
        assert!(!files.is_empty(), "plugins/{name} has no transcript");
        let Some(component) = first_party(name) else { return };
        let mut args: Vec<_> = files.iter().map(|f| f.to_str().unwrap()).collect();
        args.push(component.to_str().unwrap());
        let out = test_in(&folder, &args);
        assert!(out.status.success(), "{name}: {}", said(&out));
        assert!(said(&out).contains(&format!("{} passed", files.len())), "{name}: {}", said(&out));
    }
}

/// A new project, built and tested by one command.
fn template(ready: &Ready, lang: &str, kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    assert!(ready.torana(folder.path(), &["plugin", "new", "fresh", "--lang", lang, "--kind", kind]).status().unwrap().success());
    ready.adapt(&folder.path().join("fresh"));
    let mut test = ready.torana(folder.path(), &["plugin", "test", "fresh"]);
    let out = test.env("CARGO_TARGET_DIR", root().join("target/guests/templates")).output().unwrap();
    assert!(out.status.success() && said(&out).contains("1 passed"), "{lang}/{kind}: {}", said(&out));
    // Standard output is the result alone, whatever the tools of the language say.
    assert!(out.stdout.starts_with(b"ok    fresh/tests/example.yml: "), "{}", String::from_utf8_lossy(&out.stdout));
    // A second time nothing is built.
    let built = |p: &str| fs::metadata(folder.path().join(p)).unwrap().modified().unwrap();
    let before = built("fresh/fresh.wasm");
    assert!(test_in(&folder.path().join("fresh"), &[]).status.success());
    assert_eq!(built("fresh/fresh.wasm"), before);
}

#[test]
fn templates_in_rust_pass_their_transcripts() {
    if first_party("whoami").is_some() {
        ["middleware", "matcher", "balancer", "provider", "dns-challenge", "service"]
            .iter()
            .for_each(|kind| template(&Ready::default(), "rust", kind));
    }
}

#[test]
fn templates_in_js_pass_their_transcripts() {
    if let Some(ready) = tools(js()) {
        ["middleware", "matcher", "balancer", "provider"].iter().for_each(|kind| template(&ready, "js", kind));
    }
}

#[test]
fn a_template_in_python_passes_its_transcript() {
    if let Some(ready) = tools(python()) {
        template(&ready, "python", "middleware");
    }
}

#[test]
fn the_template_in_c_passes_its_transcript() {
    if let Some(ready) = tools(c()) {
        template(&ready, "c", "middleware");
    }
}

#[test]
fn the_template_in_go_passes_its_transcript() {
    if let Some(ready) = tools(go()) {
        template(&ready, "go", "middleware");
    }
}

const WRONG: &str = "\
name: wrong on purpose
config:
  request: {x-via: torana}
exchanges:
  - request: GET /
    backend: {body: hello}
    expect:
      backend: {url: /, headers: {x-via: other, x-gone: {present: true}}}
      response:
        status: 404
        body: |
          hello
          world
";

#[test]
fn a_transcript_that_fails_says_where_and_how() {
    let Some(out) = play("add-headers", WRONG, &[]) else { return };
    assert_eq!(out.status.code(), Some(1));
    let expected = "\
FAIL  t.yml: wrong on purpose
  exchanges[0]  GET /
    expect.backend.headers.x-via  (t.yml:8:42)
      expected  other
      got       torana
    expect.backend.headers.x-gone.present  (t.yml:8:67)
      expected  something
      got       nothing
    expect.response.status  (t.yml:10:17)
      expected  404
      got       200
    expect.response.body  (t.yml:12:11)
      - expected, + got
        hello
      - world

0 passed, 1 failed
";
    assert_eq!(String::from_utf8(out.stdout).unwrap(), expected);
    let out = play("add-headers", WRONG, &["--json"]).unwrap();
    assert_eq!(out.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&shown["passed"], &shown["failed"]), (&0.into(), &1.into()), "{shown:#}");
    let miss = &shown["transcripts"][0]["failures"][0];
    assert_eq!((&miss["key"], &miss["line"]), (&"exchanges[0].expect.backend.headers.x-via".into(), &8.into()), "{shown:#}");
    assert_eq!((&miss["expected"], &miss["got"]), (&"other".into(), &"torana".into()), "{shown:#}");
}

#[test]
fn a_budget_that_cannot_be_met_fails() {
    let budget = "config: {request: {a: b}}\nexchanges: [{request: GET /}]\nbudget: {calls: 50, p50: 1ns, max: 1h}\n";
    let Some(out) = play("add-headers", budget, &[]) else { return };
    let said = said(&out);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for part in ["    budget.p50  (t.yml:3:26)\n      expected  p50 at most 1ns\n", "over 50 calls", "budget: p50 ", "0 passed, 1 failed"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert!(!said.contains("budget.max"), "{said}");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (transcript, expected) in [
        (
            "exchanges:\n  - requst: GET /\n",
            "error: unknown option `requst`\n    at  exchanges[0].requst  (t.yml:2:5)\n    hint: did you mean `request`?",
        ),
        ("config: {reqest: {a: b}}\nexchanges: [{}]\n", "at  config.reqest  (t.yml:1:10)\n    hint: did you mean `request`?"),
        ("config: {}\nexchanges: [{}]\n", "error: sets no header\n    at  config  (t.yml:1:9)"),
        ("config: {request: {a: b}}\nlimits: {deadline: 0}\nexchanges: [{}]\n", "at  limits.deadline  (t.yml:2:20)"),
        ("exchanges: []\n", "there are no exchanges"),
    ] {
        let Some(out) = play("add-headers", transcript, &[]) else { return };
        let said = said(&out);
        assert!(out.status.code() == Some(1) && said.contains(expected), "{transcript}: {said}");
    }
}

/// What the world is asked that the transcript does not know, and what it knows and nobody asks.
#[test]
fn requests_of_the_plugin_are_accounted_for() {
    let transcript = "\
config: {url: https://a.test/x}
permissions: {http: [a.test]}
polls:
  - outgoing: [{request: GET https://a.test/y}]
    expect: {error: {contains: the transcript has no answer}}
";
    let Some(out) = play("json-provider", transcript, &[]) else { return };
    let said = said(&out);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("expected  the plugin sends GET https://a.test/y\n      got       no such request"), "{said}");
    assert!(said.contains("expected  no other request of the plugin\n      got       GET https://a.test/x"), "{said}");
    assert!(!said.contains("expect.error"), "{said}");
}

#[test]
fn the_store_and_the_figures_are_seen() {
    let transcript = "\
config: {}
kv: {cache: {other: text}}
exchanges:
  - request: GET http://a.test/
    backend: {headers: {cache-control: max-age=60}, body: one}
    expect:
      kv: {cache: {other: text, gone: null}}
      metrics: {misses: 1, hits: 0}
      log: []
  - request: GET http://a.test/
    expect: {backend: false, metrics: {hits: 2}, kv: {cache: {other: {contains: x, matches: '^z'}}}}
";
    let Some(out) = play("http-cache", transcript, &[]) else { return };
    let said = said(&out);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(!said.contains("exchanges[0]"), "{said}");
    assert!(said.contains("expect.metrics.hits  (t.yml:11:46)\n      expected  2\n      got       1"), "{said}");
    assert!(said.contains("expect.kv.cache.other.matches") && !said.contains("other.contains"), "{said}");
}

#[test]
fn what_is_tested_can_be_chosen() {
    let Some(component) = first_party("ab-test") else { return };
    let folder = root().join("plugins/ab-test");
    let test = |args: &[&str]| {
        let out = test_in(&folder, &[&["tests/share.yml", "tests/larger-share.yml", component.to_str().unwrap()], args].concat());
        (out.status.code(), said(&out))
    };
    let (code, said) = test(&["--name=stays in"]);
    assert!(code == Some(0) && said.contains("1 passed") && said.contains("larger-share.yml"), "{said}");
    let (code, said) = test(&["--name=nothing"]);
    assert!(code == Some(1) && said.contains("error: no transcript has `nothing`"), "{said}");
    let (code, said) = test(&["--nam=x"]);
    assert!(code == Some(1) && said.contains("did you mean `--name`?"), "{said}");
    let (code, said) = test(&["nowhere.yml"]);
    assert!(code == Some(1) && said.contains("cannot read nowhere.yml"), "{said}");
}

/// Why it panics stands in its log.
#[test]
fn a_plugin_that_cannot_be_configured_says_why() {
    let Some(guests) = guests() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.yml"), "config: {mode: panic-in-configure}\nexchanges: [{}]\n").unwrap();
    let out = test_in(folder.path(), &["t.yml", guests.path("bad").to_str().unwrap()]);
    let said = said(&out);
    assert!(out.status.code() == Some(1) && said.contains("it trapped while it was configured"), "{said}");
    assert!(said.contains("  the plugin wrote\n    ERROR panicked at "), "{said}");
}

/// A trap is a failure of the transcript, unless it is expected.
#[test]
fn a_call_that_fails_has_to_be_expected() {
    let Some(guests) = guests() else { return };
    let component = guests.path("bad");
    let folder = tempfile::tempdir().unwrap();
    let transcript = "\
config: {mode: MODE}
limits: {deadline: 20ms}
exchanges:
  - request: GET /
    expect: {response: 500, failure: {contains: 'WHY'}}
  - request: GET /
    expect: {response: 500}
";
    for (mode, why) in [("trap", "trapped"), ("loop", "ran longer than limits.deadline")] {
        fs::write(folder.path().join("t.yml"), transcript.replace("MODE", mode).replace("WHY", why)).unwrap();
        let out = test_in(folder.path(), &["t.yml", component.to_str().unwrap()]);
        let said = said(&out);
        assert!(out.status.code() == Some(1) && !said.contains("exchanges[0]"), "{said}");
        assert!(
            said.contains("exchanges[1]  GET /\n    expect.failure  (t.yml:6:5)\n      expected  the plugin does not fail\n"),
            "{said}"
        );
        assert!(said.contains(why), "{said}");
    }
}
