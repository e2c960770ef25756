//! The allocation budget of a proxied GET: one router, no middleware, keep-alive on both sides.

#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stdout)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use torana_dataplane::{Drain, EntryPoint, EntryPointMeter, Live, Router, Snapshot, Workers, bind};
use torana_router::{Route, RouteTable};
use torana_telemetry::metrics::{self, Metrics, Total};
use torana_upstream::balance::{Balancer, Candidate, Strategy};
use torana_upstream::{LoadBalancer, Options, Server, ServerUrl, ServiceMeter, Target, Transport};

/// Allocations that a request may cost, with the eight headers of a browser.
const BUDGET: u64 = 18;
const REQUESTS: u64 = 2_000;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting touches an atomic only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers every head with the same bytes, without allocating.
fn backend() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut s, _) = listener.accept().unwrap();
        s.set_nodelay(true).unwrap();
        let mut buf = [0; 4096];
        while s.read(&mut buf).is_ok_and(|n| n > 0) {
            s.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello",
            )
            .unwrap();
        }
    });
    address
}

#[test]
fn a_proxied_get_stays_within_its_budget() {
    let plain = each(None);
    // What is counted is counted where there is room already.
    let metrics = Metrics::new(metrics::Options {
        views: vec![metrics::View {
            buckets: vec![0.1, 0.3, 1.2, 5.0],
            entry_points: true,
            routers: true,
            services: true,
            ..Default::default()
        }],
        internals: false,
        header_labels: Default::default(),
        workers: 1,
    });
    let metered = each(Some(Arc::new(metrics)));
    println!("allocations for a proxied GET: {plain}, with metrics {metered} (budget {BUDGET})");
    assert!(plain <= BUDGET, "{plain} allocations for a proxied GET, {BUDGET} are allowed");
    assert_eq!(metered, plain, "metrics allocate");
}

/// Allocations for a request; all metrics there are, if any.
fn each(metrics: Option<Arc<Metrics>>) -> u64 {
    let url: ServerUrl = format!("http://{}", backend()).parse().unwrap();
    let transport = Arc::new(Transport::build(&Default::default()));
    let server = Server { url: "s".into(), target: Arc::new(Target::new(&url, transport)), prefix: String::new() };
    let balancer = Balancer::new(Strategy::Wrr, vec![Candidate { name: "s".into(), weight: 1, fenced: false }]);
    let mut service = LoadBalancer::new(
        "s@file".into(),
        Arc::new(balancer),
        vec![server],
        None,
        Options { pass_host_header: true, redispatch: false },
        None,
    );
    let name: Arc<str> = "s@file".into();
    service.meter = metrics.as_ref().map(|m| ServiceMeter { metrics: m.clone(), requests: m.service(&name).unwrap() });
    let meter = metrics.as_ref().and_then(|m| m.router(&"r@file".into(), &name));
    let rule = torana_router::compile(&torana_router::parse("Host(`h.test`)").unwrap()).unwrap();
    let router = Arc::new(Router {
        name: "r@file".into(),
        steps: Vec::new(),
        service: Arc::new(service),
        recursion_mark: None,
        denied_escapes: 0,
        tls_options: None,
        logged: false,
        layered: false,
        metered: true,
        meter,
        traced: None,
    });
    let route = Route { rule: Arc::new(rule), priority: 1, rank: 0, name: "r@file".into(), target: router };
    let mut snapshot = Snapshot::default();
    snapshot.routes.insert("web".into(), RouteTable::new([route]));
    let live = Live::default();
    live.publish(Arc::new(snapshot));
    let mut entry_point = EntryPoint::new("web", "127.0.0.1:0".parse().unwrap());
    entry_point.meter = metrics.as_ref().map(|m| EntryPointMeter {
        metrics: m.clone(),
        requests: m.entry_point(&entry_point.name),
        connections: m.connections(&entry_point.name),
        unrouted: true,
    });
    let entry_point = Arc::new(entry_point);
    let socket = bind(&entry_point).unwrap();
    let address = socket.local_addr().unwrap();
    let drain = Drain::default();
    let workers =
        Workers::spawn(1, vec![(entry_point, socket)], &[], Vec::new(), &live, &drain, http::HeaderValue::from_static("host")).unwrap();

    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    let mut buf = [0; 4096];
    let mut ask = |client: &mut TcpStream| {
        client
            .write_all(b"GET /path?x=1 HTTP/1.1\r\nHost: h.test\r\nUser-Agent: test\r\nAccept: */*\r\nAccept-Language: en\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\nReferer: http://h.test/\r\nX-Request-Id: 1234\r\n\r\n")
            .unwrap();
        let n = client.read(&mut buf).unwrap();
        assert!(buf[..n].starts_with(b"HTTP/1.1 200 OK\r\n") && buf[..n].ends_with(b"hello"));
    };
    (0..100).for_each(|_| ask(&mut client));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..REQUESTS).for_each(|_| ask(&mut client));
    let each = (ALLOCATIONS.load(Ordering::Relaxed) - before).div_ceil(REQUESTS);
    drop(client);
    drain.start();
    workers.join();
    if let Some(m) = metrics {
        let counted: u64 = m.service(&name).unwrap().totals().values().map(Total::requests).sum();
        assert_eq!(counted, 100 + REQUESTS);
    }
    each
}
