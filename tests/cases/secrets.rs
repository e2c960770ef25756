//! Values by reference: `${file:...}` and `${env:...}`.

use crate::harness::{Backend, Setup, eventually, route, run, service, within};
use std::fs;
use std::time::Duration;

/// Files are looked at once a second, and have to be at rest.
const FOLLOWED: Duration = Duration::from_secs(5);

fn header(value: &str, server: &str) -> String {
    format!(
        "http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [key]}}\n  middlewares:\n    \
         key: {{headers: {{customRequestHeaders: {{X-Key: '{value}'}}}}}}\n{}",
        service("s", &[server])
    )
}

#[test]
fn a_secret_that_is_replaced_is_live_and_is_shown_nowhere() {
    let backend = Backend::named("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "correct-horse-battery\n").unwrap();
    let routing = header(&format!("Bearer ${{file:{}}} ${{env:SECOND_PART}}", file.display()), &backend.url());
    let gateway = Setup::new().file("routing.yml", routing).env("SECOND_PART", "staple-of-paper").flag("--log.level=debug").start();
    let sent = || {
        assert_eq!(gateway.get("/").status, 200);
        backend.requests().last().unwrap().header("x-key").unwrap_or_default().to_owned()
    };
    assert_eq!(sent(), "Bearer correct-horse-battery staple-of-paper");
    let new = folder.path().join("new");
    fs::write(&new, "Tr0ub4dor-and-3\n").unwrap();
    fs::rename(&new, &file).unwrap();
    within(FOLLOWED, "the new secret is live", || (sent() == "Bearer Tr0ub4dor-and-3 staple-of-paper").then_some(()));
    // In place, as `echo > file` does; and gone, which leaves what was there.
    fs::write(&file, "third-of-its-kind").unwrap();
    within(FOLLOWED, "the third secret is live", || (sent() == "Bearer third-of-its-kind staple-of-paper").then_some(()));
    fs::remove_file(&file).unwrap();
    gateway.wait_log("a warning", |l| l.contains("cannot be read") && l.contains("routing.yml:5:"));
    assert_eq!(sent(), "Bearer third-of-its-kind staple-of-paper");
    let reference = format!("Bearer ${{file:{}}} ${{env:SECOND_PART}}", file.display());
    let shown = gateway.admin("/api/http/middlewares/key@file");
    assert!(shown.text().contains(&reference), "{}", shown.text());
    let pages = ["/api/rawdata", "/api/http/middlewares", "/api/http/routers", "/api/http/services", "/api/overview", "/api/entrypoints"];
    for page in pages {
        let text = gateway.admin(page);
        for secret in ["correct-horse", "Tr0ub4dor", "third-of", "staple-of"] {
            assert!(!text.text().contains(secret), "{page} shows {secret}");
        }
    }
    for secret in ["correct-horse", "Tr0ub4dor", "third-of", "staple-of"] {
        assert!(!gateway.log().contains(secret), "the log shows {secret}");
    }
}

#[test]
fn a_missing_secret_disables_its_object_alone_until_it_comes() {
    let backend = Backend::named("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let gateway = Setup::new()
        .file("a.yml", header(&format!("${{file:{}}}", file.display()), &backend.url()).replace("PathPrefix(`/`)", "Path(`/key`)"))
        .file("b.yml", "http: {routers: {plain: {rule: 'Path(`/plain`)', service: s}}}\n")
        .start();
    assert_eq!((gateway.get("/key").status, gateway.get("/plain").status), (404, 200));
    let shown = gateway.admin("/api/http/middlewares/key@file");
    assert!(
        shown.text().contains("disabled") && shown.text().contains(&format!("the file `{}` cannot be read", file.display())),
        "{}",
        shown.text()
    );
    fs::write(&file, "x").unwrap();
    within(FOLLOWED, "the router is there", || (gateway.get("/key").status == 200).then_some(()));
    assert_eq!(backend.requests().last().unwrap().header("x-key"), Some("x"));
}

#[test]
fn check_names_the_place_and_not_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let (good, missing) = (folder.path().join("good"), folder.path().join("missing"));
    fs::write(&good, "correct-horse-battery").unwrap();
    let text = format!(
        "http:\n  middlewares:\n    a: {{headers: {{customRequestHeaders: {{X: '${{file:{}}}'}}}}}}\n    \
         b: {{rateLimit: {{average: '${{file:{}}}'}}}}\n    c: {{headers: {{customRequestHeaders: {{X: '${{env:NOT_SET}}'}}}}}}\n",
        missing.display(),
        good.display()
    );
    fs::write(folder.path().join("routing.yml"), text).unwrap();
    for more in [&[][..], &["--json"]] {
        let args = [&["check", "--providers.file.filename=routing.yml"], more].concat();
        let out = run(folder.path(), &args, &[]);
        assert_eq!(out.status.code(), Some(1));
        let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(!told.contains("correct-horse"), "{told}");
        assert!(told.contains("http.middlewares.a.headers.customRequestHeaders.X"), "{told}");
        assert!(told.contains(&format!("the file `{}` cannot be read", missing.display())), "{told}");
        assert!(told.contains(&format!("not `${{file:{}}}`", good.display())), "{told}");
        assert!(told.contains("the environment variable `NOT_SET` is not set"), "{told}");
        if more.is_empty() {
            assert!(told.contains("routing.yml:3:45") && told.contains("routing.yml:4:") && told.contains("routing.yml:5:"), "{told}");
        }
    }
    // The install configuration: torana does not start.
    let out = run(folder.path(), &["--providers.file.filename=${env:NOT_SET}"], &[]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1));
    assert!(told.contains("at  providers.file.filename  (flag ") && told.contains("hint: set `NOT_SET`"), "{told}");
}

#[test]
fn what_only_looks_like_a_reference_stays_as_it_is() {
    let backend = Backend::named("a");
    let text = "http:
  routers:
    r: {rule: 'PathPrefix(`/`)', service: s, middlewares: [head]}
    moved: {rule: 'PathPrefix(`/one`)', service: noop@internal, middlewares: [moved]}
  middlewares:
    moved: {redirectRegex: {regex: '^http://([^/]*)/(.*)/(.*)$', replacement: 'http://x.test/${3}/$2'}}
    head: {headers: {customRequestHeaders: {A: '$${env:HOME}', B: '${HOME}', C: '${x'}}}
";
    let gateway = Setup::new().file("routing.yml", format!("{text}{}", service("s", &[&backend.url()]))).start();
    assert_eq!(gateway.get("/one/two").header("location"), Some("http://x.test/two/one"));
    assert_eq!(gateway.get("/").status, 200);
    let request = backend.request(0);
    assert_eq!([request.header("a"), request.header("b"), request.header("c")], [Some("${env:HOME}"), Some("${HOME}"), Some("${x")]);
}

#[test]
fn flags_and_entry_points_take_references() {
    let backend = Backend::named("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "127.0.0.1:0").unwrap();
    let gateway = Setup::new()
        .file("routing.yml", route("PathPrefix(`/`)", &[&backend.url()]))
        .flag(format!("--entrypoints.web.address=${{file:{}}}", file.display()))
        .flag("--api.dashboardname=${env:NAME_OF_IT}")
        .env("NAME_OF_IT", "correct-horse-battery")
        .start();
    assert_eq!(gateway.get("/").status, 200);
    let version = eventually("the API", || Some(gateway.admin("/api/version")).filter(|r| r.status == 200));
    assert!(!version.text().contains("correct-horse") && version.text().contains("${env:NAME_OF_IT}"), "{}", version.text());
    assert!(!gateway.log().contains("correct-horse"));
}
