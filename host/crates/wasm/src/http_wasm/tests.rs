//! What is taken for a guest.

use crate::cache::Cache;
use crate::clock::Clock;
use crate::load::{Form, Lasting, Loader};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use torana_base::Place;
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Egress, EgressError, SendFuture};

struct NoWay;

impl Egress for NoWay {
    fn send(&self, _: http::Request<Bytes>, _: Duration, _: usize) -> SendFuture<'static, Result<http::Response<Bytes>, EgressError>> {
        Box::pin(std::future::ready(Err(EgressError::Failed("there is no network here".to_owned()))))
    }
}

/// The form of a module, or what is wrong with it.
fn load(module: &str) -> Result<Form, String> {
    let loader = Arc::new(Loader::new(Arc::new(NoWay), Cache::open(), 1, Clock::System).unwrap());
    let item = Item::new(PluginConfig { path: "g.wasm".to_owned(), ..PluginConfig::default() }, Place::whole("test"), 0);
    let loaded = loader.load(&"g@file".into(), &item, &wat::parse_str(module).unwrap(), &Lasting::default());
    loaded.map(|l| l.form).map_err(|wrong| wrong.into_iter().map(|d| d.message).collect())
}

const REQUEST: &str = r#"(func (export "handle_request") (result i64) (i64.const 1))"#;
const RESPONSE: &str = r#"(func (export "handle_response") (param i32 i32))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;

#[test]
fn guests_and_what_is_none() {
    let guest = |more: &str| load(&format!("(module {more} {REQUEST} {RESPONSE} {MEMORY})"));
    assert_eq!(guest(""), Ok(Form::HttpWasm));
    assert_eq!(guest(r#"(import "http_handler" "get_uri" (func (param i32 i32) (result i32)))"#), Ok(Form::HttpWasm));
    assert_eq!(guest(r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#), Ok(Form::HttpWasm));
    for (import, words) in [
        (r#"(import "env" "f" (func))"#, "env.f"),
        (r#"(import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))"#, "wasi_snapshot_preview1.sock_open"),
        (r#"(import "http_handler" "get_uri" (func))"#, "get_uri"),
        (r#"(import "http_handler" "get_path" (func))"#, "get_path"),
    ] {
        let wrong = guest(import).unwrap_err();
        assert!(wrong.contains(words), "{wrong}");
    }
    for (module, words) in [
        ("(module)".to_owned(), "is a WebAssembly module, not a component"),
        (format!("(module {REQUEST} {MEMORY})"), "exports no function `handle_response`"),
        (format!("(module {REQUEST} {RESPONSE})"), "exports no `memory`"),
        (
            format!(r#"(module (func (export "handle_request")) {RESPONSE} {MEMORY})"#),
            "exports `handle_request` otherwise than as a function () -> i64",
        ),
        (format!(r#"(module (global (export "handle_request") i32 (i32.const 0)) {RESPONSE} {MEMORY})"#), "otherwise than"),
    ] {
        let wrong = load(&module).unwrap_err();
        assert!(wrong.contains(words), "{wrong}");
    }
}
