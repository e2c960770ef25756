//! Time from containers to a document: `cargo bench -p torana-discovery`.

use std::collections::BTreeMap;
use std::sync::Arc;
use torana_discovery::{Addresses, DEFAULT_RULE, Item, Rule, Source};

fn main() {
    divan::main();
}

fn source() -> Source {
    Source::new("docker", Rule::parse("providers.docker.defaultRule", DEFAULT_RULE).expect("it is the default"))
}

/// Containers with a router of six labels each, in groups of `replicas` that share one service.
fn items(n: usize, replicas: usize, port: &str) -> Vec<Item> {
    (0..n)
        .map(|i| {
            let name = format!("service-{}", i / replicas);
            let labels = [
                ("enable".to_owned(), "true".to_owned()),
                (format!("http.routers.{name}.rule"), format!("Host(`{name}.example.com`) && PathPrefix(`/api`)")),
                (format!("http.routers.{name}.entrypoints"), "web,websecure".to_owned()),
                (format!("http.routers.{name}.middlewares"), "strip,auth@file".to_owned()),
                (format!("http.middlewares.{name}.stripprefix.prefixes"), "/api".to_owned()),
                (format!("http.services.{name}.loadbalancer.server.port"), if i == 0 { port } else { "80" }.to_owned()),
            ];
            let labels: BTreeMap<String, String> = labels.into_iter().map(|(k, v)| (format!("traefik.{k}"), v)).collect();
            let addresses: Addresses = Arc::new(move |wanted| {
                Ok((format!("10.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255), wanted.port_label.unwrap_or("80").to_owned()))
            });
            Item::new(format!("container {name}-{i}"), name, Arc::new(labels), addresses)
        })
        .collect()
}

#[divan::bench(args = [(5000, 1), (5000, 5000)])]
fn all_of_5000(bencher: divan::Bencher<'_, '_>, (n, replicas): (usize, usize)) {
    bencher.with_inputs(|| (source(), items(n, replicas, "80"))).bench_local_values(|(mut source, items)| (source.build(items), source));
}

#[divan::bench(args = [(5000, 1), (5000, 10), (5000, 5000)])]
fn one_changed_of_5000(bencher: divan::Bencher<'_, '_>, (n, replicas): (usize, usize)) {
    let mut source = source();
    source.build(items(n, replicas, "80"));
    let variants = [items(n, replicas, "81"), items(n, replicas, "82")];
    let mut next = 0;
    bencher
        .with_inputs(|| {
            next += 1;
            variants[next % 2].clone()
        })
        .bench_local_values(|items| source.build(items));
}
