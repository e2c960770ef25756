//! A service that behaves as the path says.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Service);

struct Service;

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        if target == "/trap" {
            panic!();
        }
        if target == "/spin" {
            loop {
                std::hint::black_box(0);
            }
        }
        if target == "/error" {
            return Err(ErrorCode::ConnectionTimeout);
        }
        let headers = Fields::new();
        if target == "/through" {
            let (_, result_rx) = wit_future::new(|| Ok(()));
            let (body, trailers) = Request::consume_body(request, result_rx);
            let (response, _) = Response::new(headers, Some(body), trailers);
            return Ok(response);
        }
        let (mut body_tx, body_rx) = wit_stream::new();
        let (body_result_tx, body_result_rx) = wit_future::new(|| Ok(None));
        let (response, _future_result) = Response::new(headers, Some(body_rx), body_result_rx);
        drop(body_result_tx);
        wit_bindgen::spawn_local(async move {
            let n = if target == "/large" { 300 } else { 1 };
            for _ in 0..n {
                let remaining = body_tx.write_all(format!("{:>10000}\n", target).into_bytes()).await;
                if !remaining.is_empty() {
                    return;
                }
                if target == "/late-trap" {
                    panic!();
                }
            }
        });
        Ok(response)
    }
}
