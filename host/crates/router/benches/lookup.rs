//! `cargo bench -p torana-router`: the cost of a lookup by number of hosts and by number of paths, of
//! building a table, and of reading a rule.

use divan::{AllocProfiler, Bencher, black_box};
use http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use torana_router::{CompiledRule, RequestView, Route, RouteTable, compile, default_priority, parse};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn compiled(rule: &str) -> Arc<CompiledRule> {
    Arc::new(compile(&parse(rule).expect("a rule")).expect("a rule"))
}

fn route(name: &str, rule: &str, target: u32) -> Route<u32> {
    Route { rule: compiled(rule), priority: default_priority(rule), rank: 0, name: name.into(), target }
}

fn host_routes(n: u32) -> Vec<Route<u32>> {
    (0..n).map(|i| route(&format!("router-{i:05}@file"), &format!("Host(`host-{i}.example.com`)"), i)).collect()
}

fn request<'a>(host: &'a str, path: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    RequestView::new(host, path, "GET", headers, None, IpAddr::V4(Ipv4Addr::LOCALHOST))
}

const COUNTS: [u32; 3] = [1, 100, 10_000];

#[divan::bench(args = COUNTS)]
fn find_host(b: Bencher<'_, '_>, n: u32) {
    let (table, headers) = (RouteTable::new(host_routes(n)), HeaderMap::new());
    // Every call asks for another host, so that nothing is warm but what always is.
    let hosts: Vec<String> = (0..n).map(|i| format!("host-{}.example.com", (u64::from(i) * 7919) % u64::from(n))).collect();
    let mut next = hosts.iter().cycle();
    b.bench_local(|| next.next().map(|host| table.find(black_box(&request(host, "/", &headers))).copied()));
}

#[divan::bench(args = COUNTS)]
fn find_unknown_host(b: Bencher<'_, '_>, n: u32) {
    let (table, headers) = (RouteTable::new(host_routes(n)), HeaderMap::new());
    b.bench_local(|| table.find(black_box(&request("elsewhere.example.com", "/", &headers))).copied());
}

#[divan::bench(args = COUNTS)]
fn find_path_under_one_host(b: Bencher<'_, '_>, n: u32) {
    let routes = (0..n).map(|i| route(&i.to_string(), &format!("Host(`a.example.com`) && PathPrefix(`/service-{i}/`)"), i));
    let (table, headers) = (RouteTable::new(routes), HeaderMap::new());
    let path = format!("/service-{}/items/7", n / 2);
    b.bench_local(|| table.find(black_box(&request("a.example.com", &path, &headers))).copied());
}

#[divan::bench(args = COUNTS)]
fn find_regexp_under_one_host(b: Bencher<'_, '_>, n: u32) {
    let n = n.min(1000);
    let routes = (0..n).map(|i| route(&i.to_string(), &format!("Host(`a.example.com`) && PathRegexp(`^/service-{i}/[0-9]+$`)"), i));
    let (table, headers) = (RouteTable::new(routes), HeaderMap::new());
    let path = format!("/service-{}/7", n / 2);
    b.bench_local(|| table.find(black_box(&request("a.example.com", &path, &headers))).copied());
}

/// From rules that are compiled already, as a reload that touched one of them does it.
#[divan::bench(args = COUNTS)]
fn build_table(b: Bencher<'_, '_>, n: u32) {
    let routes = host_routes(n);
    b.bench_local(|| RouteTable::new(routes.iter().cloned()));
}

/// The same, with the routes in no order at all.
#[divan::bench]
fn build_table_shuffled(b: Bencher<'_, '_>) {
    let n = 10_000;
    let mut routes = host_routes(n);
    routes.sort_by_key(|r| r.target.wrapping_mul(2_654_435_761));
    b.bench_local(|| RouteTable::new(routes.iter().cloned()));
}

#[divan::bench]
fn drop_table_10_000(b: Bencher<'_, '_>) {
    let routes = host_routes(10_000);
    b.with_inputs(|| RouteTable::new(routes.iter().cloned())).bench_local_values(drop);
}

/// Everything from text; `max alloc` is what 10,000 routers keep in memory.
#[divan::bench(args = COUNTS)]
fn everything(b: Bencher<'_, '_>, n: u32) {
    b.bench_local(|| RouteTable::new(host_routes(n)));
}

#[divan::bench(args = ["Host(`a.example.com`)", "Host(`a.example.com`) && (PathPrefix(`/api`) || !Method(`GET`))", "PathRegexp(`^/v[0-9]+/items/[a-z]+$`)"])]
fn compile_rule(b: Bencher<'_, '_>, rule: &str) {
    b.bench_local(|| compiled(black_box(rule)));
}

#[divan::bench(args = ["a.example.com", "A.Example.com:8443"])]
fn canonical_host(b: Bencher<'_, '_>, host: &str) {
    b.bench_local(|| torana_router::canonical_host(black_box(host)).len());
}

#[divan::bench(args = ["/service/items/7", "/service/it%65ms/%2F"])]
fn routing_path(b: Bencher<'_, '_>, path: &str) {
    b.bench_local(|| torana_router::routing_path(black_box(path)).len());
}
