//! Routing configuration changes while the gateway serves (PRV-01, PRV-02).

use crate::harness::{Backend, Conn, Gate, Gateway, Reply, Setup, eventually, free_port, route, service, within};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ONE_SECOND: Duration = Duration::from_secs(1);

/// Everything to `server`, with a response header that says which version of the file answered.
fn version(v: impl std::fmt::Display, server: &str) -> String {
    format!(
        "http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [v]}}\n  middlewares:\n    \
         v: {{headers: {{customResponseHeaders: {{X-Version: 'v{v}'}}}}}}\n{}",
        service("s", &[server])
    )
}

/// The status of a path, and which backend answered.
fn seen(gateway: &Gateway, path: &str) -> (u16, String) {
    let r = gateway.get(path);
    (r.status, r.text().to_owned())
}

#[test]
fn an_atomic_rename_is_live_within_a_second() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Gateway::start(&route("Path(`/`)", &[&a.url()]));
    assert_eq!(gateway.get("/").text(), "a");
    gateway.reload("routing.yml", &route("Path(`/`)", &[&b.url()]));
    within(ONE_SECOND, "the new file is live", || (gateway.get("/").text() == "b").then_some(()));
}

#[test]
fn a_rewrite_in_place_is_live_within_a_second() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Gateway::start(&route("Path(`/`)", &[&a.url()]));
    assert_eq!(gateway.get("/").text(), "a");
    fs::write(gateway.dynamic("routing.yml"), route("Path(`/`)", &[&b.url()])).unwrap();
    within(ONE_SECOND, "the new content is live", || (gateway.get("/").text() == "b").then_some(()));
}

#[test]
fn a_single_file_is_followed_through_renames() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Setup::new()
        .file(
            "only.toml",
            format!("[http.routers.r]\nrule = 'Path(`/`)'\nservice = 's'\n[[http.services.s.loadBalancer.servers]]\nurl = '{}'\n", a.url()),
        )
        .flag("--providers.file.directory=")
        .flag("--providers.file.filename=dynamic/only.toml")
        .start();
    assert_eq!(gateway.get("/").text(), "a");
    let toml = fs::read_to_string(gateway.dynamic("only.toml")).unwrap();
    for (server, name) in [(&b, "b"), (&a, "a")] {
        gateway.reload("only.toml", &toml.replace(&a.url(), &server.url()));
        within(ONE_SECOND, "the new file is live", || (gateway.get("/").text() == name).then_some(()));
    }
}

#[test]
fn a_deleted_file_takes_its_routes_along_and_no_others() {
    let a = Backend::named("a");
    let other = format!("http:\n  routers:\n    o: {{rule: 'Path(`/other`)', service: t}}\n{}", service("t", &[&a.url()]));
    let gateway = Setup::new().file("a.yml", route("Path(`/`)", &[&a.url()])).file("b.yml", other).start();
    assert_eq!((gateway.get("/").status, gateway.get("/other").status), (200, 200));
    fs::remove_file(gateway.dynamic("a.yml")).unwrap();
    within(ONE_SECOND, "the file's routes are gone", || (gateway.get("/").status == 404).then_some(()));
    assert_eq!(seen(&gateway, "/other"), (200, "a".into()));
}

#[test]
fn a_file_in_a_new_directory_is_found() {
    let a = Backend::named("a");
    let gateway = Setup::new().start();
    assert_eq!(gateway.get("/").status, 404);
    fs::create_dir_all(gateway.dynamic("deep/er")).unwrap();
    fs::write(gateway.dynamic("deep/er/a.yaml"), route("Path(`/`)", &[&a.url()])).unwrap();
    within(ONE_SECOND, "the file is found", || (gateway.get("/").status == 200).then_some(()));
    fs::remove_dir_all(gateway.dynamic("deep")).unwrap();
    within(ONE_SECOND, "the directory is gone", || (gateway.get("/").status == 404).then_some(()));
}

#[test]
fn of_two_objects_with_one_name_the_first_file_wins() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Setup::new().file("b.yml", route("Path(`/`)", &[&b.url()])).start();
    assert_eq!(gateway.get("/").text(), "b");
    gateway.reload("a.yml", &route("Path(`/`)", &[&a.url()]));
    within(ONE_SECOND, "the first file wins", || (gateway.get("/").text() == "a").then_some(()));
    gateway.wait_log("the second is named", |l| l.contains("b.yml") && l.contains("http.routers.r"));
}

#[test]
fn a_bad_file_keeps_its_last_good_version_and_hurts_no_other() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let other = |server: &str| format!("http:\n  routers:\n    o: {{rule: 'Path(`/other`)', service: t}}\n{}", service("t", &[server]));
    let gateway = Setup::new().file("a.yml", route("Path(`/`)", &[&a.url()])).file("b.yml", other(&a.url())).start();
    gateway.assert_not_reloaded(
        || (seen(&gateway, "/"), seen(&gateway, "/other")),
        || {
            gateway.reload("a.yml", "http:\n  routers: [oh: {no\n");
            gateway.wait_log("what is wrong, and where", |l| l.contains(r#""level":"error""#) && l.contains("a.yml:3:1"));
        },
    );
    // The other file goes on being followed, and so does the broken one.
    gateway.reload("b.yml", &other(&b.url()));
    within(ONE_SECOND, "the good file is followed", || (seen(&gateway, "/other").1 == "b").then_some(()));
    assert_eq!(seen(&gateway, "/"), (200, "a".into()));
    gateway.reload("a.yml", &route("Path(`/`)", &[&b.url()]));
    within(ONE_SECOND, "the mended file is live", || (seen(&gateway, "/").1 == "b").then_some(()));
}

#[test]
fn a_file_that_is_bad_from_the_start_leaves_the_others_serving() {
    let a = Backend::named("a");
    let gateway = Setup::new().file("a.yml", "http: {routers: [").file("b.yml", route("Path(`/`)", &[&a.url()])).start();
    assert_eq!(seen(&gateway, "/"), (200, "a".into()));
}

/// RTR-02
#[test]
fn a_bad_router_is_disabled_alone() {
    let a = Backend::named("a");
    let gateway = Gateway::start(&format!(
        "http:\n  routers:\n    good: {{rule: 'PathPrefix(`/`)', service: s}}\n    \
         rule: {{rule: 'Pth(`/rule`)', service: s}}\n    \
         service: {{rule: 'Path(`/service`)', service: nowhere}}\n    \
         middleware: {{rule: 'Path(`/middleware`)', service: s, middlewares: [nothing]}}\n    \
         key: {{rule: 'Path(`/key`)', service: s, rul: x}}\n    \
         teapot: {{rule: 'Path(`/teapot`)', service: noop@internal, priority: 99}}\n{}",
        service("s", &[&a.url()])
    ));
    // Traffic of the disabled ones falls through to the good one.
    for path in ["/", "/rule", "/service", "/middleware", "/key"] {
        assert_eq!(seen(&gateway, path), (200, "a".into()), "{path}");
    }
    assert_eq!(gateway.get("/teapot").status, 418);
    for (name, state) in
        [("good", "enabled"), ("teapot", "enabled"), ("service", "disabled"), ("middleware", "disabled"), ("rule", "disabled")]
    {
        let shown = gateway.admin(&format!("/api/http/routers/{name}@file")).json();
        assert_eq!(shown["status"], state, "{name}: {shown}");
    }
    for (router, problem) in [("service", "nowhere"), ("middleware", "nothing"), ("rule", "Pth"), ("key", "rul")] {
        gateway.wait_log("what is wrong", |l| l.contains(&format!("http.routers.{router}")) && l.contains(problem));
    }
}

/// Editors and scripts truncate first and write then.
#[test]
fn a_file_that_is_empty_for_a_moment_wipes_nothing() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Gateway::start(&route("Path(`/`)", &[&a.url()]));
    let mut file = fs::File::create(gateway.dynamic("routing.yml")).unwrap();
    let begin = Instant::now();
    let mut c = gateway.connect();
    while begin.elapsed() < Duration::from_millis(300) {
        assert_eq!(c.get("test.local", "/").text(), "a");
    }
    file.write_all(route("Path(`/`)", &[&b.url()]).as_bytes()).unwrap();
    drop(file);
    let next = within(ONE_SECOND, "the new content is live", || Some(c.get("test.local", "/")).filter(|r| r.text() != "a"));
    assert_eq!((next.status, next.text()), (200, "b"));
    // What stays empty is meant so.
    fs::write(gateway.dynamic("routing.yml"), "").unwrap();
    within(2 * ONE_SECOND, "the emptied file's routes are gone", || (c.get("test.local", "/").status == 404).then_some(()));
}

/// CFG-07
#[test]
fn sighup_reads_what_is_not_watched() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Setup::new().file("routing.yml", route("Path(`/`)", &[&a.url()])).flag("--providers.file.watch=false").start();
    gateway.reload("routing.yml", &route("Path(`/`)", &[&b.url()]));
    // Half of what a watched file may take at most; it takes some milliseconds.
    let (begin, mut c) = (Instant::now(), gateway.connect());
    while begin.elapsed() < ONE_SECOND / 2 {
        assert_eq!(c.get("test.local", "/").text(), "a");
    }
    gateway.signal(libc::SIGHUP);
    within(ONE_SECOND, "the file is read", || (c.get("test.local", "/").text() == "b").then_some(()));
}

#[test]
fn what_says_the_same_is_not_applied_again() {
    let a = Backend::named("a");
    let gateway = Gateway::start(&route("Path(`/`)", &[&a.url()]));
    gateway.settle();
    let before = gateway.generation();
    gateway.reload("routing.yml", &format!("# a comment\n\n{}", route("Path(`/`)", &[&a.url()])));
    gateway.reload("notes.txt", "no configuration at all");
    gateway.settle();
    assert_eq!(gateway.generation(), before + 1, "only the settling itself was applied");
}

/// PRV-01
#[test]
fn changes_are_throttled_and_the_newest_wins() {
    let a = Backend::named("a");
    let gateway = Setup::new().file("routing.yml", version(0, &a.url())).flag("--providers.providersthrottleduration=500ms").start();
    // Lets the first period pass: what is measured begins with a change that acts at once.
    gateway.reload("routing.yml", &version(1, &a.url()));
    let live = |v: &str| (gateway.get("/").header("x-version") == Some(v)).then_some(());
    eventually("the first change is live", || live("v1"));
    let before = gateway.generation();
    let begin = Instant::now();
    for v in 2..=30 {
        gateway.reload("routing.yml", &version(v, &a.url()));
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let wrote = begin.elapsed();
    eventually("the newest is live", || live("v30"));
    let most = wrote.as_millis() as usize / 500 + 2;
    let applied = gateway.generation() - before;
    assert!(applied <= most, "{applied} in {wrote:?}, at most {most} were allowed");
}

/// Goal 2 and 3 of the design: a hundred changes under traffic cost no request and no connection.
#[test]
fn a_hundred_reloads_under_traffic_lose_nothing() {
    let a = Backend::named("a");
    let gateway = Gateway::start(&version(0, &a.url()));
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let web = gateway.web();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, asked) = (stop.clone(), asked.clone());
            std::thread::spawn(move || {
                let mut c = Conn::open(web);
                let mut last = 0;
                while !stop.load(Ordering::SeqCst) {
                    let r = c.get("test.local", "/x?y=1");
                    assert_eq!((r.status, r.text()), (200, "a"));
                    // A connection never sees an older version behind a newer one.
                    let v = r.header("x-version").unwrap()[1..].parse::<usize>().unwrap();
                    assert!(v >= last, "version {v} behind {last}");
                    last = v;
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut c = gateway.connect();
    for v in 1..=100 {
        gateway.reload("routing.yml", &version(v, &a.url()));
        let wanted = format!("v{v}");
        within(ONE_SECOND, "the change is live", || (c.get("test.local", "/").header("x-version") == Some(&wanted)).then_some(()));
    }
    stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|c| c.join().expect("a client lost a request"));
    assert!(asked.load(Ordering::SeqCst) >= 400, "too little traffic to tell");
    // The service never changed: its connections were kept, one for each client at most.
    assert!(a.connections() <= 5, "{} connections to the backend", a.connections());
}

#[test]
fn a_reload_keeps_the_connections_of_a_service_it_does_not_touch() {
    let a = Backend::named("a");
    let gateway = Gateway::start(&version(0, &a.url()));
    // One client connection is one worker, which has one pool.
    let mut c = gateway.connect();
    c.get("test.local", "/");
    assert_eq!(a.connections(), 1);
    for v in 1..=10 {
        gateway.reload("routing.yml", &version(v, &a.url()));
        let wanted = format!("v{v}");
        eventually("the change is live", || (c.get("test.local", "/").header("x-version") == Some(&wanted)).then_some(()));
    }
    assert_eq!((a.connections(), a.open()), (1, 1));
}

/// Connections belong to servers: a service that gains or loses others keeps those it has.
#[test]
fn a_server_keeps_its_connections_when_its_service_changes() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&a.url()]));
    let mut c = gateway.connect();
    assert_eq!(c.get("test.local", "/").text(), "a");
    gateway.reload("routing.yml", &route("PathPrefix(`/`)", &[&a.url(), &b.url()]));
    eventually("the second server is used", || (c.get("test.local", "/").text() == "b").then_some(()));
    gateway.reload("routing.yml", &route("PathPrefix(`/`)", &[&a.url()]));
    eventually("the second server is out", || (0..4).all(|_| c.get("test.local", "/").text() == "a").then_some(()));
    assert_eq!((a.connections(), a.open()), (1, 1));
}

/// LB-07
#[test]
fn a_reload_keeps_what_health_checks_found_out() {
    let (a, b) = (Backend::named("a"), Backend::http(|r| if r.path() == "/health" { Reply::status(503) } else { Reply::ok("b") }));
    let text = |extra: &str| {
        format!(
            "http:\n  routers:\n    r: {{rule: 'Path(`/`)', service: s}}\n{extra}  services:\n    s: {{loadBalancer: {{healthCheck: {{path: /health, interval: 300ms}}, servers: [{{url: '{}'}}, {{url: '{}'}}]}}}}\n",
            a.url(),
            b.url()
        )
    };
    let gateway = Gateway::start(&text(""));
    let mut c = gateway.connect();
    eventually("the bad server is out", || (0..8).all(|_| c.get("test.local", "/").text() == "a").then_some(()));
    for n in 0..5 {
        let path = format!("/new{n}");
        gateway.reload("routing.yml", &text(&format!("    n: {{rule: 'Path(`{path}`)', service: noop@internal}}\n")));
        eventually("the change is live", || (c.get("test.local", &path).status == 418).then_some(()));
        for _ in 0..8 {
            assert_eq!(c.get("test.local", "/").text(), "a", "the server that is down was forgotten");
        }
    }
    // Nor is it forgotten when the service itself changes.
    gateway.reload(
        "routing.yml",
        &text("    m: {rule: 'Path(`/m`)', service: noop@internal}\n").replace("interval: 300ms", "interval: 290ms"),
    );
    eventually("the change is live", || (c.get("test.local", "/m").status == 418).then_some(()));
    assert!((0..8).all(|_| c.get("test.local", "/").text() == "a"), "the server that is down was forgotten");
}

#[test]
fn a_request_in_flight_finishes_on_the_old_snapshot() {
    let gate = Arc::new(Gate::default());
    let (held, b) = (gate.clone(), Backend::named("b"));
    let a = Backend::http(move |r| {
        if r.path() == "/slow" {
            held.wait();
        }
        Reply::ok("a")
    });
    let gateway = Gateway::start(&version("old", &a.url()));
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: test.local\r\n\r\n");
    a.request(0);
    gateway.reload("routing.yml", &version("new", &b.url()));
    eventually("the change is live", || (gateway.get("/").text() == "b").then_some(()));
    gate.open();
    let r = slow.response();
    assert_eq!((r.status, r.text(), r.header("x-version")), (200, "a", Some("vold")));
    // The same connection sees the new one next.
    let r = slow.get("test.local", "/");
    assert_eq!((r.text(), r.header("x-version")), ("b", Some("vnew")));
}

/// A service whose servers are gone is not served from a pool.
#[test]
fn a_server_that_is_taken_out_gets_nothing_more() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Gateway::start(&route("Path(`/`)", &[&a.url(), &b.url()]));
    let mut c = gateway.connect();
    for _ in 0..4 {
        c.get("test.local", "/");
    }
    gateway.reload("routing.yml", &route("Path(`/`)", &[&b.url()]));
    eventually("the server is out", || (0..4).all(|_| c.get("test.local", "/").text() == "b").then_some(()));
    let before = a.requests().len();
    for _ in 0..10 {
        assert_eq!(c.get("test.local", "/").text(), "b");
    }
    assert_eq!(a.requests().len(), before);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    gateway.reload("routing.yml", &route("Path(`/`)", &[&nobody]));
    eventually("nobody is there", || (c.get("test.local", "/").status == 502).then_some(()));
}

/// As Kubernetes mounts a ConfigMap: the file is a link through a link that is swapped.
#[test]
fn a_swapped_link_is_followed() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = Setup::new().start();
    for (version, server) in [("v1", &a), ("v2", &b)] {
        fs::create_dir(gateway.dynamic(&format!("..{version}"))).unwrap();
        fs::write(gateway.dynamic(&format!("..{version}/routing.yml")), route("Path(`/`)", &[&server.url()])).unwrap();
    }
    symlink("..v1", gateway.dynamic("..data")).unwrap();
    symlink("..data/routing.yml", gateway.dynamic("routing.yml")).unwrap();
    within(ONE_SECOND, "the link is followed", || (gateway.get("/").text() == "a").then_some(()));
    symlink("..v2", gateway.dynamic("..data_tmp")).unwrap();
    fs::rename(gateway.dynamic("..data_tmp"), gateway.dynamic("..data")).unwrap();
    within(ONE_SECOND, "the swap is seen", || (gateway.get("/").text() == "b").then_some(()));
}

/// What would block or fill the memory is not read; the rest is.
#[test]
fn what_is_no_file_stops_nobody() {
    let a = Backend::named("a");
    let gateway = Setup::new().start();
    let pipe = std::process::Command::new("mkfifo").arg(gateway.dynamic("a.yml")).status().unwrap();
    assert!(pipe.success());
    symlink("nowhere", gateway.dynamic("b.yml")).unwrap();
    fs::create_dir(gateway.dynamic("c.yml")).unwrap();
    fs::write(gateway.dynamic("d.yml"), b"http: \xff\xfe").unwrap();
    gateway.reload("e.yml", &route("Path(`/`)", &[&a.url()]));
    within(ONE_SECOND, "the good file is live", || (gateway.get("/").text() == "a").then_some(()));
    for name in ["a.yml", "b.yml", "d.yml"] {
        gateway.wait_log("what is wrong", |l| l.contains(name) && l.contains(r#""level":"error""#));
    }
}

/// LB-07: a service that is gone is not asked how it is.
#[test]
fn health_checks_end_with_their_service() {
    let a = Backend::named("a");
    let checked =
        route("Path(`/`)", &[&a.url()]).replace("loadBalancer: {", "loadBalancer: {healthCheck: {path: /health, interval: 100ms}, ");
    let gateway = Gateway::start(&checked);
    let checks = || a.requests().iter().filter(|r| r.path() == "/health").count();
    // One series of checks, however often it is reloaded.
    for n in 0..20 {
        let path = format!("/n{n}");
        gateway.reload("other.yml", &format!("http: {{routers: {{n: {{rule: 'Path(`{path}`)', service: noop@internal}}}}}}\n"));
        eventually("the change is live", || (gateway.get(&path).status == 418).then_some(()));
    }
    let (begin, before) = (Instant::now(), checks());
    eventually("the checks go on", || (checks() >= before + 5).then_some(()));
    assert!(begin.elapsed() >= Duration::from_millis(350), "five checks within {:?}", begin.elapsed());
    gateway.reload("routing.yml", "http: {routers: {gone: {rule: 'Path(`/gone`)', service: noop@internal}}}\n");
    eventually("the change is live", || (gateway.get("/gone").status == 418).then_some(()));
    // The last one may be under way; after a quiet time as long as many intervals none comes.
    let mut last = (checks(), Instant::now());
    eventually("no more checks come", || {
        if checks() != last.0 {
            last = (checks(), Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(600)).then_some(())
    });
}
