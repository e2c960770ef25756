//! The access log as a file (LOG-04): rotation, stop, disks that fail.

use crate::harness::{Backend, Gateway, Reply, Setup, eventually, route, run};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

fn backend() -> Backend {
    Backend::http(|_| Reply::ok("done"))
}

fn setup(backend: &Backend, file: &str) -> Setup {
    Setup::new()
        .file("routing.yml", route("PathPrefix(`/`)", &[&backend.url()]))
        .flag("--accesslog")
        .flag(format!("--accesslog.filepath={file}"))
}

/// The paths of the lines in all files whose names begin with `access.log`, and how often each is there.
fn logged(gateway: &Gateway) -> BTreeMap<String, usize> {
    let files = std::fs::read_dir(gateway.folder.path()).unwrap().map(|f| f.unwrap().path());
    let logs = files.filter(|f| f.file_name().unwrap().to_str().unwrap().starts_with("access.log"));
    let mut paths = BTreeMap::new();
    for line in logs.flat_map(|f: PathBuf| std::fs::read_to_string(f).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()) {
        let path = line.split(' ').nth(6).unwrap_or_else(|| panic!("half a line: {line}"));
        assert!(line.ends_with("ms"), "half a line: {line}");
        *paths.entry(path.to_owned()).or_default() += 1;
    }
    paths
}

fn expected(count: u32) -> BTreeMap<String, usize> {
    (0..count).map(|n| (format!("/{n}"), 1)).collect()
}

#[test]
fn rotation_under_load_loses_no_line() {
    let backend = backend();
    let mut gateway = setup(&backend, "access.log").start();
    let (next, done) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|s| {
        for _ in 0..3 {
            let (gateway, next, done) = (&gateway, &next, &done);
            s.spawn(move || {
                let mut c = gateway.connect();
                while !done.load(SeqCst) {
                    let n = next.fetch_add(1, SeqCst);
                    assert_eq!(c.get("a", &format!("/{n}")).status, 200);
                }
            });
        }
        let file = gateway.folder.path().join("access.log");
        for i in 0..5 {
            let before = next.load(SeqCst);
            eventually("requests go on", || (next.load(SeqCst) > before + 20).then_some(()));
            std::fs::rename(&file, file.with_extension(format!("log.{i}"))).unwrap();
            gateway.signal(libc::SIGUSR1);
            eventually("the file is there again", || file.exists().then_some(()));
        }
        done.store(true, SeqCst);
    });
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(logged(&gateway), expected(next.load(SeqCst)));
}

#[test]
fn sigterm_loses_no_line() {
    let backend = backend();
    let mut gateway = setup(&backend, "access.log").flag("--accesslog.bufferingsize=1000").start();
    let mut c = gateway.connect();
    for n in 0..200 {
        assert_eq!(c.get("a", &format!("/{n}")).status, 200);
    }
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(logged(&gateway), expected(200));
}

/// Somebody who looks at the file sees a request at once.
#[test]
fn a_line_is_there_as_soon_as_its_request_has_ended() {
    let backend = backend();
    let gateway = setup(&backend, "access.log").start();
    for n in 0..3 {
        gateway.get(&format!("/{n}"));
        eventually("the line is written", || (logged(&gateway) == expected(n + 1)).then_some(()));
    }
}

#[test]
fn tries_are_counted_where_that_is_asked_for() {
    let backend = Backend::http(|_| Reply::status(503));
    let routing = format!(
        "http: {{routers: {{r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [m]}}}}, \
         middlewares: {{m: {{retry: {{attempts: 3, initialInterval: 1ms, status: ['503']}}}}}}, \
         services: {{s: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}}}}}\n",
        backend.url()
    );
    for (option, count) in [("", None), ("--accesslog.countretries", Some(2))] {
        let mut setup = Setup::new().file("routing.yml", &*routing).flag("--accesslog.filepath=access.log").flag("--accesslog.format=json");
        setup = setup.flag("--accesslog.filters.retryattempts");
        if !option.is_empty() {
            setup = setup.flag(option);
        }
        let mut gateway = setup.start();
        assert_eq!(gateway.get("/x").status, 503);
        assert_eq!(gateway.stop(), Some(0));
        let lines = std::fs::read_to_string(gateway.folder.path().join("access.log")).unwrap();
        let found = lines.lines().next().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["RetryAttempts"].as_u64().unwrap());
        assert_eq!(found, count);
        assert_eq!(gateway.log().contains("no request is ever taken for a retried one"), count.is_none(), "{}", gateway.log());
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let out = run(folder.path(), &["--entrypoints.web.address=127.0.0.1:0", "--accesslog.filepath=file/access.log"], &[]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && text.contains("accessLog.filePath") && text.contains("file/access.log"), "{text}");
}

#[test]
fn a_full_disk_is_told_of_once_and_serves_on() {
    let backend = backend();
    let mut gateway = setup(&backend, "/dev/full").flag("--metrics.prometheus").start();
    for _ in 0..5 {
        assert_eq!(gateway.get("/").status, 200);
    }
    eventually("the lost lines are counted", || {
        gateway.admin("/metrics").text().contains("torana_access_log_lost_lines_total 5").then_some(())
    });
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(gateway.log().matches("access log cannot be written").count(), 1, "{}", gateway.log());
    assert!(!gateway.log().contains("dropped"));
}

/// A compressed answer has two sizes, and traced requests say so in JSON.
#[test]
fn lines_name_the_trace_and_what_compression_made_of_a_body() {
    let backend = Backend::http(|_| Reply::ok("0123456789".repeat(500)).header("Content-Type", "text/plain"));
    let routing = format!(
        "http:\n  routers: {{r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [z]}}}}\n  middlewares: {{z: {{compress: {{}}}}}}\n  \
         services: {{s: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}}}\n",
        backend.url()
    );
    let mut gateway = Setup::new()
        .file("routing.yml", routing)
        .flag("--accesslog.format=json")
        .flag("--accesslog.filepath=access.log")
        .flag("--tracing.otlp.http.endpoint=http://127.0.0.1:9/v1/traces")
        .start();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n");
    assert_eq!(gateway.ask(request).status, 200);
    assert_eq!(gateway.stop(), Some(0));
    let text = std::fs::read_to_string(gateway.folder.path().join("access.log")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let sent = line["DownstreamContentSize"].as_u64().unwrap();
    assert!(line["OriginContentSize"] == 5000 && sent < 1000, "{line}");
    assert!((line["GzipRatio"].as_f64().unwrap() - 5000.0 / sent as f64).abs() < 0.001, "{line}");
    assert!(line["TraceId"] == trace && line["trace_id"] == trace && line["SpanId"].as_str().is_some_and(|s| s.len() == 16), "{line}");
}
