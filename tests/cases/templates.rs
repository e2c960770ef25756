//! Files of routing configuration that are Go templates (PRV-03).

use crate::harness::{Backend, Setup, run, within};
use std::fs;
use std::time::Duration;

const TEMPLATE: &str = r#"{{- $servers := split (env "SERVERS") "," -}}
http:
  routers:
{{- range $i := until 3 }}
    r{{ $i }}:
      rule: 'Path(`/{{ $i }}`)'
      service: s
{{- end }}
  services:
    s:
      loadBalancer:
        passHostHeader: {{ env "PASS" | default "false" }}
        servers:
        {{- range $servers }}
          - url: {{ . | trim | quote }}
        {{- end }}
"#;

#[test]
fn a_template_is_rendered_and_followed() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Setup::new()
        .file("routing.yml", TEMPLATE)
        .env("SERVERS", format!("{}, {}", a.url(), b.url()))
        .flag("--providers.file.debugloggeneratedtemplate")
        .flag("--log.level=debug")
        .start();
    for path in ["/0", "/1", "/2"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
    }
    assert_eq!(gateway.get("/3").status, 404);
    assert!(!a.requests().is_empty() && !b.requests().is_empty());
    gateway.wait_log("the rendered text", |l| l.contains("rendered:") && l.contains("/2`"));
    gateway.reload("routing.yml", &TEMPLATE.replace("until 3", "until 4"));
    within(Duration::from_secs(2), "the new template is live", || (gateway.get("/3").status == 200).then_some(()));
    // A mistake leaves the last good version.
    gateway.reload("routing.yml", &TEMPLATE.replace("until 3", "untl 9"));
    gateway.wait_log("the mistake", |l| l.contains("unknown function `untl`") && l.contains("routing.yml:4:17"));
    assert_eq!((gateway.get("/3").status, gateway.get("/8").status), (200, 404));
}

#[test]
fn a_template_in_toml_and_what_check_says_of_one() {
    let a = Backend::named("a");
    let toml = "[http.routers.r]\nrule = 'Path(`{{ env \"WHERE\" }}`)'\nservice = 's'\n[[http.services.s.loadBalancer.servers]]\nurl = '{{ list (env \"SERVER\") | first }}'\n";
    let gateway = Setup::new().file("routing.toml", toml).env("WHERE", "/here").env("SERVER", a.url()).start();
    assert_eq!((gateway.get("/here").status, gateway.get("/").status), (200, 404));

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("routing.yml"), "http:\n  routers:\n    r: {rule: '{{ nosuch 1 }}'}\n").unwrap();
    let out = run(folder.path(), &["check", "--providers.file.filename=routing.yml"], &[]);
    let told = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        told.contains("error: the template cannot be rendered: unknown function `nosuch`") && told.contains("routing.yml:3:19"),
        "{told}"
    );
}
