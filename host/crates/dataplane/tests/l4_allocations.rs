//! A relayed chunk and a datagram of an open session allocate nothing.

#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stdout)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use torana_dataplane::{
    Drain, EntryPoint, Live, Snapshot, TcpRouter, TcpRoutes, TcpTls, UdpEntryPoint, UdpRouter, Workers, bind, bind_udp,
};
use torana_router::{TcpRoute, TcpTable, compile_tcp, parse_tcp};
use torana_upstream::l4::{TcpLoadBalancer, TcpServer, TcpService, TcpTransport, UdpLoadBalancer, UdpService};

const ROUNDS: u64 = 2_000;
/// What the runtime's own housekeeping may take meanwhile.
const SLACK: u64 = 100;

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

fn during(work: impl Fn()) -> u64 {
    (0..100).for_each(|_| work());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..ROUNDS).for_each(|_| work());
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn bytes_pass_without_allocating() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_server = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut s, _) = listener.accept().unwrap();
        s.set_nodelay(true).unwrap();
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = s.read(&mut buf) {
            s.write_all(&buf[..n]).unwrap();
        }
    });
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_server = echo.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok((n, from)) = echo.recv_from(&mut buf) {
            echo.send_to(&buf[..n], from).unwrap();
        }
    });

    let transport = Arc::new(TcpTransport::build(&Default::default()).unwrap());
    let server = TcpServer { name: tcp_server.clone(), address: tcp_server.parse().unwrap(), tls: false, redispatch: false, transport };
    let service = TcpService::LoadBalancer(Arc::new(TcpLoadBalancer::new("s@file".into(), vec![server], None)));
    let rule = Arc::new(compile_tcp(&parse_tcp("HostSNI(`*`)").unwrap()).unwrap());
    let target = Arc::new(TcpRouter { name: "r@file".into(), middlewares: Vec::new(), service, tls: TcpTls::None });
    let plain = TcpTable::new([TcpRoute { rule, priority: -1, rank: 0, name: "r@file".into(), target }]);
    let udp = UdpService::LoadBalancer(Arc::new(UdpLoadBalancer::new("u@file".into(), vec![udp_server.parse().unwrap()])));
    let mut snapshot = Snapshot::default();
    snapshot.tcp.insert("tcp".into(), TcpRoutes { plain, ..TcpRoutes::default() });
    snapshot.udp.insert("udp".into(), Arc::new(UdpRouter { name: "u@file".into(), service: udp }));
    let live = Live::default();
    live.publish(Arc::new(snapshot));
    let tcp_point = Arc::new(EntryPoint::new("tcp", "127.0.0.1:0".parse().unwrap()));
    let udp_point = Arc::new(UdpEntryPoint {
        name: "udp".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        reuse_port: false,
        timeout: Duration::from_secs(3),
        accept_grace: Duration::ZERO,
        grace: Duration::ZERO,
    });
    let (tcp_socket, udp_socket) = (bind(&tcp_point).unwrap(), bind_udp(&udp_point).unwrap());
    let addresses = (tcp_socket.local_addr().unwrap(), udp_socket.local_addr().unwrap());
    let drain = Drain::default();
    let host = http::HeaderValue::from_static("host");
    let workers = Workers::spawn(1, vec![(tcp_point, tcp_socket)], &[(udp_point, udp_socket)], Vec::new(), &live, &drain, host).unwrap();

    let client = TcpStream::connect(addresses.0).unwrap();
    client.set_nodelay(true).unwrap();
    let relayed = during(|| {
        let mut buf = [0; 5];
        (&client).write_all(b"hello").unwrap();
        (&client).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello");
    });
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(addresses.1).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let datagrams = during(|| {
        let mut buf = [0; 16];
        client.send(b"hello").unwrap();
        assert_eq!(client.recv(&mut buf).unwrap(), 5);
    });
    println!("allocations in {ROUNDS} rounds: {relayed} for TCP, {datagrams} for UDP");
    assert!(relayed <= SLACK && datagrams <= SLACK, "{relayed} and {datagrams} allocations in {ROUNDS} rounds");
    drain.start();
    drop(workers);
}
