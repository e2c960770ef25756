//! HTTP/3 with clients (EP-16): messages, TLS options by name, reloads, addresses that change, the stop.

use crate::harness::{Backend, Conn, Gate, Gateway, H3Conn, Pki, Reply, Setup, TlsClient, answer, binary, eventually, exchange, free_port};
use bytes::Bytes;
use http::{HeaderMap, Request};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

/// A router for everything with TLS, and what else the file says.
pub(super) fn everything(backend: &Backend, rest: &str) -> String {
    routers(backend, &[("all", "PathPrefix(`/`)", "{}")], rest)
}

fn routers(backend: &Backend, routers: &[(&str, &str, &str)], rest: &str) -> String {
    let mut text = "http:\n  routers:\n".to_owned();
    for (name, rule, tls) in routers {
        text.push_str(&format!("    {name}: {{ rule: \"{rule}\", service: s, tls: {tls} }}\n"));
    }
    format!("{text}  services:\n    s: {{ loadBalancer: {{ servers: [{{ url: \"{}\" }}] }} }}\n{rest}", backend.url())
}

pub(super) fn setup(text: impl Into<String>) -> Setup {
    Setup::new().file("r.yml", text).flag("--entrypoints.web.http3")
}

fn request(method: &str, uri: &str) -> Request<()> {
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

#[test]
fn messages_pass_whole_in_both_directions() {
    let backend = Backend::http(|r| match r.method.as_str() {
        "POST" => Reply::ok([b"got ", &r.body[..]].concat()).trailer("X-Sum", "7"),
        _ => Reply::ok("hello").header("X-Own", "1").header("Set-Cookie", "a=b").header("Set-Cookie", "c=d").header("Connection", "x-own2"),
    });
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let r = c.get("a.test", "/x/%20y?z=1&z=2");
    assert_eq!((r.status, r.text(), r.headers.one("content-length")), (200, "hello", Some("5")));
    assert_eq!((r.headers.all("set-cookie"), r.headers.one("connection")), (vec!["a=b", "c=d"], None));
    assert!(r.headers.one("date").is_some() && r.headers.one("alt-svc").is_none());
    let seen = backend.request(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.header("host")), ("GET", "/x/%20y?z=1&z=2", Some("a.test")));
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-real-ip")), (Some("https"), Some("127.0.0.1")));
    // A request without a body is one to the service too.
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (None, None));

    let pieces = (0..40).map(|i| Bytes::from(vec![b'a' + i % 26; 7000])).collect::<Vec<_>>();
    let mut announced = request("POST", "https://a.test/up");
    announced.headers_mut().insert("trailer", "x-tail".parse().unwrap());
    let mut trailers = HeaderMap::new();
    trailers.insert("x-tail", "t".parse().unwrap());
    let r = c.send(announced, pieces.clone(), Some(trailers));
    assert_eq!((r.status, r.body == [b"got ", &pieces.concat()[..]].concat(), r.trailers.one("x-sum")), (200, true, Some("7")));
    let seen = backend.request(1);
    // As with HTTP/1 and 2, trailers of requests are announced and end here.
    assert_eq!((seen.body == pieces.concat(), seen.header("trailer"), seen.trailers.0.len()), (true, Some("X-Tail"), 0));

    let r = c.send(request("HEAD", "https://a.test/"), vec![], None);
    assert_eq!((r.status, r.headers.one("content-length"), r.body.len()), (200, Some("5"), 0));
    let mut crumbs = request("GET", "https://a.test/");
    crumbs.headers_mut().append("cookie", "a=1".parse().unwrap());
    crumbs.headers_mut().append("cookie", "b=2".parse().unwrap());
    c.send(crumbs, vec![], None);
    assert_eq!(backend.requests().last().unwrap().header("cookie"), Some("a=1; b=2"));
    assert_eq!(backend.connections(), 1);
}

#[test]
fn http3_is_told_of_over_tls_and_nowhere_else() {
    let backend = Backend::http(|_| Reply::ok("a").header("Alt-Svc", "h2=\":1\""));
    let text = everything(&backend, "").replace("  routers:\n", "  routers:\n    plain: { rule: \"PathPrefix(`/`)\", service: s }\n");
    let gateway = setup(text.as_str()).flag("--entrypoints.other.address=127.0.0.1:0").start();
    let at = gateway.web();
    let own = format!("h3=\":{}\"; ma=2592000", at.port());
    // Before what the service says, as in Traefik.
    let over = TlsClient::new().open(at, "a.test").get("a.test", "/");
    assert_eq!(over.headers.all("alt-svc"), [own.as_str(), "h2=\":1\""]);
    assert_eq!(Conn::open(at).get("a.test", "/").headers.all("alt-svc"), ["h2=\":1\""]);
    assert_eq!(H3Conn::open(at, "a.test").get("a.test", "/").headers.all("alt-svc"), ["h2=\":1\""]);
    let other = gateway.address("other");
    assert_eq!(TlsClient::new().open(other, "a.test").get("a.test", "/").headers.all("alt-svc"), ["h2=\":1\""]);

    let gateway = setup(text).flag("--entrypoints.web.http3.advertisedport=4443").start();
    let told = TlsClient::new().open(gateway.web(), "a.test").get("nothing.test", "/");
    assert_eq!(told.headers.all("alt-svc")[0], "h3=\":4443\"; ma=2592000");
}

#[test]
fn a_hundred_requests_at_once() {
    let gate = Arc::new(Gate::default());
    let (wait, count) = (gate.clone(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let open = count.clone();
    let backend = Backend::http(move |r| {
        // No answer before all of them are there.
        if open.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 99 {
            wait.open();
        }
        wait.wait();
        Reply::ok(r.target.as_str())
    });
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let all: Vec<_> = (0..100)
        .map(|i| {
            let mut requests = c.requests();
            c.spawn(async move { exchange(&mut requests, request("GET", &format!("https://a.test/{i}")), vec![], None).await })
        })
        .collect();
    for (i, one) in all.into_iter().enumerate() {
        assert_eq!(c.run(one).unwrap().unwrap().text(), format!("/{i}"));
    }
}

#[test]
fn interim_answers_come_before_the_last_one() {
    let backend = Backend::raw(|mut raw| {
        while raw.head().is_some() {
            raw.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        }
    });
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let mut stream = c.begin(request("GET", "https://a.test/"));
    c.run(async {
        let early = stream.recv_response().await.unwrap();
        assert_eq!((early.status().as_u16(), early.headers()["link"].as_bytes()), (103, &b"</a>"[..]));
        let last = answer(&mut stream).await.unwrap();
        assert_eq!((last.status, last.text()), (200, "x"));
    });
}

#[test]
fn certificates_and_options_are_those_of_the_name() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let (one, two) = (pki.pair("one", &["open.test"]), pki.pair("two", &["mutual.test", "strict.test"]));
    let text = routers(
        &backend,
        &[
            ("open", "Host(`open.test`)", "{}"),
            ("mutual", "Host(`mutual.test`)", "{ options: mutual }"),
            ("old", "Host(`old.test`)", "{ options: old }"),
            ("strict", "Host(`strict.test`) || Host(`unnamed.test`)", "{ options: strict }"),
            ("nope", "Host(`nope.test`)", "{ options: missing }"),
        ],
        &format!(
            "tls:\n  certificates: [{}, {}]\n  options:\n    old: {{ maxVersion: VersionTLS12 }}\n    strict: {{ sniStrict: true }}\n    mutual: {{ clientAuth: {{ caFiles: [{}], \
             clientAuthType: RequireAndVerifyClientCert }} }}\n",
            one.yaml(),
            two.yaml(),
            pki.ca().display()
        ),
    );
    let gateway = setup(text).start();
    let at = gateway.web();
    let certificate = |c: &H3Conn| {
        let chain = c.quic.peer_identity().unwrap().downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
        chain[0].clone()
    };
    let open = H3Conn::open(at, "open.test");
    assert_eq!((certificate(&open), open.get("open.test", "/").status), (one.der, 200));
    // A name without client authentication does not lead to one with it.
    let r = open.get("mutual.test", "/");
    assert_eq!((r.status, r.text()), (421, "Misdirected Request\n"));
    assert_eq!(open.get("unknown.test", "/").status, 404);
    assert_eq!(H3Conn::open(at, "unknown.test").get("open.test", "/").status, 200);

    let mine = H3Conn::with(TlsClient::new().certificate(&pki.client("me")), at, "mutual.test").unwrap();
    assert_eq!((certificate(&mine), mine.get("mutual.test", "/").status), (two.der.clone(), 200));
    assert_eq!(mine.get("open.test", "/").status, 421);
    // The numbers are those of TLS alerts: certificate_required, unknown_ca or its kin, and so on.
    let refused = |tls: TlsClient, name: &str, alert: &str| {
        let why = H3Conn::refused(tls, at, name);
        assert!(why.contains(alert), "{name}: {why}");
    };
    refused(TlsClient::new(), "mutual.test", "116");
    refused(TlsClient::new().certificate(&Pki::new().client("stranger")), "mutual.test", "aborted by peer");
    refused(TlsClient::new(), "old.test", "70");
    refused(TlsClient::new(), "unnamed.test", "112");
    refused(TlsClient::new(), "nope.test", "40");
    assert_eq!(certificate(&H3Conn::open(at, "strict.test")), two.der);
    // A hello of one packet, where the others take two.
    let mut small = rustls::crypto::aws_lc_rs::default_provider();
    small.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let small = H3Conn::with(TlsClient::with_provider(small), at, "open.test").unwrap();
    assert_eq!(small.get("open.test", "/").status, 200);
}

#[test]
fn reloads_lose_no_request() {
    let backend = Backend::named("a");
    let text = |i: usize| {
        everything(&backend, &format!("  middlewares:\n    m: {{ addPrefix: {{ prefix: /{i} }} }}\n"))
            .replace("service: s, tls", "service: s, middlewares: [m], tls")
    };
    let gateway = setup(text(0)).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let mut last = 0;
    for i in 1..=5 {
        gateway.reload("r.yml", &text(i));
        let wanted = format!("/{i}/");
        eventually("the reload is live", || {
            assert_eq!(c.get("a.test", "/").status, 200);
            last += 1;
            (backend.request(last - 1).target == wanted).then_some(())
        });
    }
    assert_eq!(c.quic.close_reason(), None);
}

/// Packets come out at another worker's socket, most likely.
#[test]
fn a_client_may_move_to_another_address() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    for i in 0..12 {
        assert_eq!(c.get("a.test", &format!("/{i}")).status, 200, "{i}");
        c.move_away();
    }
    assert_eq!(c.get("a.test", "/end").text(), "a");
}

#[test]
fn a_request_that_is_taken_back_is_taken_back_from_the_service() {
    let backend = Backend::raw(|mut raw| {
        let _ = raw.head();
        // Until the gateway closes.
        let _ = std::io::Read::read(&mut raw.io, &mut [0]);
    });
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let mut stream = c.begin(request("GET", "https://a.test/"));
    eventually("the service has it", || (backend.open() == 1).then_some(()));
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
    eventually("the service is rid of it", || {
        c.run(async { tokio::time::sleep(std::time::Duration::from_millis(5)).await });
        (backend.open() == 0).then_some(())
    });
    assert_eq!(c.quic.close_reason(), None);
}

#[test]
fn an_answer_cut_short_is_not_taken_for_whole() {
    let backend = Backend::raw(|mut raw| {
        let _ = raw.head();
        raw.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let mut requests = c.requests();
    let r = c.run(async move { exchange(&mut requests, request("GET", "https://a.test/"), vec![], None).await });
    assert!(r.as_ref().is_err_and(|e| e.contains("H3_INTERNAL_ERROR")), "{r:?}");
}

#[test]
fn a_stop_lets_open_requests_finish() {
    let gate = Arc::new(Gate::default());
    let wait = gate.clone();
    let backend = Backend::http(move |r| {
        if r.target == "/slow" {
            wait.wait();
        }
        Reply::ok(vec![b'x'; 1 << 20])
    });
    let mut gateway = setup(everything(&backend, "")).start();
    let (c, idle) = (H3Conn::open(gateway.web(), "a.test"), H3Conn::open(gateway.web(), "a.test"));
    assert_eq!(idle.get("a.test", "/").status, 200);
    let mut stream = c.begin(request("GET", "https://a.test/slow"));
    backend.request(1);
    gateway.signal(libc::SIGTERM);
    assert!(idle.closed().contains("closed by peer"), "{}", idle.closed());
    assert!(gateway.is_running());
    gate.open();
    let r = c.run(answer(&mut stream)).unwrap();
    assert_eq!((r.status, r.body.len()), (200, 1 << 20));
    // `H3_NO_ERROR`, not silence.
    assert!(c.closed().contains("closed by peer"), "{}", c.closed());
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told() {
    // One that is free for TCP.
    let port = free_port();
    let _taken = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let mut gateway =
        Setup::new().flag(format!("--entrypoints.web.address=127.0.0.1:{port}")).flag("--entrypoints.web.http3").without_waiting().start();
    assert_eq!(gateway.wait().code(), Some(1));
    let log = gateway.log();
    assert!(log.contains("entryPoints.web.http3") && log.contains("for UDP"), "{log}");
}

/// systemd opened both sockets, under one name.
#[test]
fn sockets_that_systemd_opened_are_taken_over() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let at = udp.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut c = Command::new("sh");
    c.args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@""#]).arg(binary());
    pass(&mut c, tcp.as_raw_fd(), udp.as_raw_fd());
    c.args(["--entrypoints.web.address=127.0.0.1:1", "--entrypoints.web.http3", "--log.level=info", "--log.format=json"]);
    c.env_clear().env("PATH", "/usr/bin:/bin").env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "web:web").current_dir(folder.path());
    let mut gateway = Gateway::spawn(c, folder);
    gateway.wait_serving();
    assert_eq!(gateway.web(), tcp.local_addr().unwrap());
    for _ in 0..4 {
        let c = H3Conn::open(at, "a.test");
        c.move_away();
        assert_eq!(c.get("a.test", "/").status, 404);
    }
    assert_eq!(gateway.stop(), Some(0));
}

/// The new process has these as its descriptors 3 and 4.
#[allow(unsafe_code)]
fn pass(c: &mut Command, three: i32, four: i32) {
    // SAFETY: fcntl and dup2 are async-signal-safe and touch nothing but the new process.
    unsafe {
        c.pre_exec(move || {
            let away = [libc::fcntl(three, libc::F_DUPFD_CLOEXEC, 100), libc::fcntl(four, libc::F_DUPFD_CLOEXEC, 100)];
            libc::dup2(away[0], 3);
            libc::dup2(away[1], 4);
            Ok(())
        });
    }
}
