//! `cargo bench -p torana-tls`: choosing a certificate by number of certificates, and a look at a first message.

use divan::{AllocProfiler, Bencher, black_box};
use rcgen::{CertificateParams, KeyPair};
use std::sync::Arc;
use torana_tls::{Certificate, Peeker, Store};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn store(n: usize) -> Store {
    let key = KeyPair::generate().expect("a key");
    let one = |i: usize| {
        let names = vec![format!("host-{i}.example.test"), format!("*.wild-{i}.example.test")];
        let cert = CertificateParams::new(names).and_then(|p| p.self_signed(&key)).expect("a certificate");
        Arc::new(Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).expect("a pair"))
    };
    Store::new((0..n).map(one), None)
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn exact(bencher: Bencher<'_, '_>, n: usize) {
    let store = store(n);
    let name = format!("host-{}.example.test", n / 2);
    assert!(store.find(Some(&name), None).is_some());
    bencher.bench_local(|| store.find(black_box(Some(&name)), None).is_some());
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn wildcard(bencher: Bencher<'_, '_>, n: usize) {
    let store = store(n);
    let name = format!("x.wild-{}.example.test", n / 2);
    assert!(store.find(Some(&name), None).is_some());
    bencher.bench_local(|| store.find(black_box(Some(&name)), None).is_some());
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn none(bencher: Bencher<'_, '_>, n: usize) {
    let store = store(n);
    bencher.bench_local(|| store.find(black_box(Some("nothing.example.test")), None).is_some());
}

#[divan::bench]
fn first_message(bencher: Bencher<'_, '_>) {
    let hello = include_bytes!("../../../fuzz/corpus/hello/openssl-tls13");
    bencher.bench_local(|| Peeker::default().peek(black_box(hello)));
}
