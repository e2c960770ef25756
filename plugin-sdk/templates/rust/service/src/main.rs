//! The handler of wasi:http, which is the same everywhere; only the configuration comes from Torana.

#[cfg(target_arch = "wasm32")]
use torana_plugin_sdk::bindings::hosts::torana::plugin::config;
#[cfg(target_arch = "wasm32")]
use wstd::http::{Body, Error, Request, Response};

/// Called for each request, in an instance of its own or in one that served others before.
#[cfg(target_arch = "wasm32")]
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let config = serde_json::from_str(&config::json())?;
    let (status, body) = {{ident}}::answer(&config, request.uri().path());
    Ok(Response::builder()
        .status(status)
        .header("content-type", "text/plain")
        .body(body.into())?)
}

/// Only tests are built natively.
#[cfg(not(target_arch = "wasm32"))]
fn main() {}
