//! From documents to a snapshot: `cargo bench -p torana-control`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use torana_config::install::InstallConfig;
use torana_config::parse::{Format, parse};
use torana_config::routing::{RoutingConfig, decode};
use torana_control::{Compiler, Internals, Parts};

/// The allocator that the gateway has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

/// `n` routers of one service; `touched` has another path.
fn routing(n: usize, touched: Option<usize>) -> RoutingConfig {
    let mut text = String::from("http:\n  services:\n    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:1\"}]}}\n  routers:\n");
    for i in 0..n {
        let path = if touched == Some(i) { "/new" } else { "/" };
        let _ = writeln!(text, "    r{i}: {{entryPoints: [web], rule: \"Host(`h{i}.test`) && PathPrefix(`{path}`)\", service: s}}");
    }
    let node = parse(&text, Format::Yaml, "bench.yml".into()).unwrap_or_else(|d| panic!("{d}"));
    decode(&node).value
}

fn compiler() -> Compiler {
    let mut install = InstallConfig::default();
    install.entry_points.insert("web".into(), Default::default());
    let parts = Parts {
        install: Arc::new(install),
        kinds: |_| None,
        tcp_kinds: |_| None,
        internals: Internals::new(),
        plugins: Arc::new(torana_extend::NoPlugins),
        tracer: None,
        metrics: None,
        access_log: None,
        resolvers: torana_control::Resolvers::default(),
        stapler: None,
        spiffe: None,
    };
    Compiler::new(parts).unwrap_or_else(|d| panic!("{d}"))
}

/// Nothing is known yet: every rule is compiled.
#[divan::bench(args = [1, 100, 10_000], sample_count = 20)]
fn first(bencher: divan::Bencher<'_, '_>, n: usize) {
    let inputs = BTreeMap::from([("file", Arc::new(routing(n, None)))]);
    bencher.with_inputs(compiler).bench_local_values(|mut c| c.compile(&inputs).snapshot);
}

/// One router changes, back and forth; the others are taken over.
#[divan::bench(args = [100, 10_000], sample_count = 50)]
fn touch_one(bencher: divan::Bencher<'_, '_>, n: usize) {
    let before = routing(n, None);
    let mut after = before.clone();
    let name = format!("r{}", n / 2);
    after.http.routers.extend(routing(n, Some(n / 2)).http.routers.remove_entry(&name));
    let inputs = [before, after].map(|config| BTreeMap::from([("file", Arc::new(config))]));
    let mut compiler = compiler();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        compiler.compile(&inputs[turn % 2]).snapshot
    });
}
