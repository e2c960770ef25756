//! Time from text to routing configuration: `cargo bench -p torana-config`.

use std::fmt::Write;
use torana_config::node::Node;
use torana_config::parse::{Format, parse};
use torana_config::routing::decode;

fn main() {
    divan::main();
}

/// As many routers with as many services, six lines each and more.
fn routers(n: usize) -> String {
    let mut text = String::from("http:\n  routers:\n");
    for i in 0..n {
        let _ = writeln!(
            text,
            "    router-{i}:\n      rule: \"Host(`host-{i}.example.com`) && PathPrefix(`/api/{i}`)\"\n      service: service-{i}\n      entryPoints:\n        - web\n      middlewares: [strip, auth@file]"
        );
    }
    text.push_str("  services:\n");
    for i in 0..n / 10 {
        let _ = writeln!(
            text,
            "    service-{i}:\n      loadBalancer:\n        servers:\n          - url: http://10.0.{}.{}:8080",
            i / 250,
            i % 250
        );
    }
    text
}

fn tree(text: &str) -> Node {
    parse(text, Format::Yaml, "bench.yml".into()).unwrap_or_else(|d| panic!("{d}"))
}

#[divan::bench(args = [100, 10_000])]
fn parse_yaml(bencher: divan::Bencher<'_, '_>, n: usize) {
    let text = routers(n);
    bencher.bench_local(|| tree(&text));
}

#[divan::bench(args = [100, 10_000])]
fn decode_tree(bencher: divan::Bencher<'_, '_>, n: usize) {
    let node = tree(&routers(n));
    bencher.bench_local(|| decode(&node));
}

#[divan::bench(args = [10_000])]
fn parse_and_decode(bencher: divan::Bencher<'_, '_>, n: usize) {
    let text = routers(n);
    bencher.bench_local(|| decode(&tree(&text)));
}

/// One router of ten thousand changes in place, back and forth.
#[divan::bench]
fn touch_one_of_10000(bencher: divan::Bencher<'_, '_>) {
    let texts = [routers(10_000), routers(10_000).replace("host-5000.", "host-x.")];
    assert_ne!(texts[0], texts[1]);
    let mut reader = torana_config::routing::Incremental::default();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        reader.decode(&texts[turn % 2], Format::Yaml, "routing.yml".into())
    });
}
