//! What connections and reloads cost in memory.

use crate::harness::{Backend, Conn, Gateway, eventually, route, service};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Two ends of each connection need a descriptor; the gateway inherits the limit.
#[allow(unsafe_code)]
fn raise_descriptors(n: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid structure of this process.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_cur.max(n.min(limit.rlim_max));
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    assert!(limit.rlim_cur >= n, "{n} descriptors are needed, {} allowed", limit.rlim_max);
}

#[test]
fn an_idle_connection_costs_less_than_10_kib() {
    const CONNECTIONS: usize = 2000;
    raise_descriptors(4096);
    let backend = Backend::named("a");
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let open = |n: usize| -> Vec<Conn> {
        (0..n)
            .map(|_| {
                let mut c = gateway.connect();
                assert_eq!(c.get("a", "/").text(), "a");
                c
            })
            .collect()
    };
    // What is needed once, however many there are.
    let warm = open(50);
    let before = gateway.settled_rss();
    let idle = open(CONNECTIONS);
    let each = gateway.settled_rss().saturating_sub(before) / CONNECTIONS as u64;
    assert!(each < 10 * KIB, "{each} bytes each");
    // They are all alive still.
    for mut c in idle.into_iter().chain(warm) {
        assert_eq!(c.get("a", "/").text(), "a");
    }
}

#[test]
fn reloads_of_a_large_file_do_not_pile_up() {
    let backend = Backend::named("a");
    let mut routers = String::new();
    for i in 0..1000 {
        routers += &format!("    r{i}: {{rule: 'Host(`h{i}.test`) && PathPrefix(`/`)', service: s{i}, middlewares: [m]}}\n");
    }
    let mut services = String::from("  services:\n");
    for i in 0..1000 {
        services += service(&format!("s{i}"), &[&backend.url()]).strip_prefix("  services:\n").unwrap();
    }
    // Each version is another middleware, which every router uses.
    let text = |v: usize| {
        format!(
            "http:\n  routers:\n{routers}  middlewares:\n    m: {{headers: {{customResponseHeaders: {{X-Version: v{v}}}}}}}\n{services}"
        )
    };
    let gateway = Gateway::start(&text(0));
    let mut c = gateway.connect();
    let mut load = |v: usize| {
        gateway.reload("routing.yml", &text(v));
        let wanted = format!("v{v}");
        eventually("the change is live", || (c.get("h999.test", "/").header("x-version") == Some(&wanted)).then_some(()));
    };
    // Two versions are there at once now and then: that much is reached soon.
    (1..=20).for_each(&mut load);
    let before = gateway.settled_rss();
    (21..=220).for_each(&mut load);
    let after = gateway.settled_rss();
    let grown = after.saturating_sub(before);
    assert!(grown < 8 * MIB, "grew by {} KiB from {} KiB", grown / KIB, before / KIB);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let come_and_go = |n: usize| (0..n).for_each(|_| assert_eq!(gateway.get("/").text(), "a"));
    // The allocator's caches fill first, and breathe by a MiB or two afterwards.
    come_and_go(2000);
    let before = gateway.settled_rss();
    come_and_go(6000);
    let grown = gateway.settled_rss().saturating_sub(before);
    assert!(grown < 4 * MIB, "grew by {} KiB", grown / KIB);
    assert!(backend.connections() <= 4, "{} connections to the backend", backend.connections());
}
