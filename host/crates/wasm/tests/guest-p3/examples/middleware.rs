//! A middleware that behaves as the path says.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_future;

wit_bindgen::generate!({
    path: "wit",
    world: "wrapped",
    with: { "wasi:http/types@0.3.2": wasip3::http::types },
});

use wasi::http::handler;

wasip3::http::service::export!(Middleware);

struct Middleware;

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        match target.as_str() {
            "/trap" => panic!(),
            "/denied" => {
                let (_, trailers) = wit_future::new(|| Ok(None));
                let (response, _) = Response::new(Fields::new(), None, trailers);
                let _ = response.set_status_code(403);
                return Ok(response);
            }
            "/twice" => {
                let (_, trailers) = wit_future::new(|| Ok(None));
                let (first, _) = Request::new(request.get_headers().clone(), None, trailers, None);
                let _ = first.set_authority(request.get_authority().as_deref());
                let _ = first.set_path_with_query(Some("/first"));
                handler::handle(first).await?;
            }
            _ => {}
        }
        // What comes in cannot be changed: a new one goes on, with the body of the old one.
        let headers = request.get_headers().clone();
        let _ = headers.append("x-seen", b"1");
        let method = request.get_method();
        let authority = request.get_authority();
        let (_, done) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, done);
        let (request, _) = Request::new(headers, Some(body), trailers, None);
        let _ = request.set_method(&method);
        let _ = request.set_authority(authority.as_deref());
        let _ = request.set_path_with_query(Some(&format!("/mid{target}")));
        let response = handler::handle(request).await?;
        if target == "/late-trap" {
            panic!();
        }
        let headers = response.get_headers().clone();
        let _ = headers.append("x-passed", b"1");
        let status = response.get_status_code();
        let (_, done) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(response, done);
        let (response, _) = Response::new(headers, Some(body), trailers);
        let _ = response.set_status_code(status);
        Ok(response)
    }
}
