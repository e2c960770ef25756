//! Answers with what it was asked. `report` makes the answer; `handler` is the export of wasi:http.

// Natively there are only the tests.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

use serde::Deserialize;

/// What the operator writes under the plugin's name; schema.json says the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "default_name")]
    name: String,
}

fn default_name() -> String {
    "whoami".to_owned()
}

/// What the query asks for.
#[derive(Debug, Default, PartialEq)]
struct Wishes {
    /// Milliseconds to wait before the answer.
    wait: u64,
    status: Option<u16>,
    /// Bytes of the body instead of the report.
    size: Option<u64>,
}

impl Wishes {
    /// What is not a number, or none that is allowed, is not a wish.
    fn of(target: &str) -> Wishes {
        let mut wishes = Wishes::default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let Ok(number) = value.parse::<u64>() else { continue };
            match key {
                "wait" => wishes.wait = number.min(60_000),
                "status" if (200..600).contains(&number) => wishes.status = Some(number as u16),
                "size" => wishes.size = Some(number.min(1 << 30)),
                _ => {}
            }
        }
        wishes
    }
}

/// The text of the answer.
fn report(name: &str, line: &str, host: &str, headers: &[(String, Vec<u8>)], length: u64) -> String {
    let mut text = format!("backend {name}\n{line}\nhost: {host}\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value)));
    }
    text.push_str(&format!("body: {length} bytes\n"));
    text
}

#[cfg(target_arch = "wasm32")]
mod handler {
    use super::{Config, Wishes, report};
    use std::io::Write;
    use torana_plugin_sdk::bindings::hosts::torana::plugin::config;
    use torana_plugin_sdk::serde_json;
    use wasip2::clocks::monotonic_clock;
    use wasip2::exports::http::incoming_handler::Guest;
    use wasip2::http::types::{ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
    use wasip2::io::streams::StreamError;

    struct Whoami;

    wasip2::http::proxy::export!(Whoami);

    impl Guest for Whoami {
        fn handle(request: IncomingRequest, out: ResponseOutparam) {
            if let Err((out, problem)) = answer(request, out) {
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(problem))));
            }
        }
    }

    fn answer(request: IncomingRequest, out: ResponseOutparam) -> Result<(), (ResponseOutparam, String)> {
        let config: Config = match serde_json::from_str(&config::json()) {
            Ok(config) => config,
            Err(e) => return Err((out, format!("the configuration is not usable: {e}"))),
        };
        let target = request.path_with_query().unwrap_or_default();
        let wishes = Wishes::of(&target);
        let length = match count(&request) {
            Ok(length) => length,
            Err(problem) => return Err((out, problem)),
        };
        if wishes.wait > 0 {
            monotonic_clock::subscribe_duration(wishes.wait * 1_000_000).block();
        }
        let line = format!("{} {target} HTTP", name_of(&request.method()));
        let text = report(&config.name, &line, &request.authority().unwrap_or_default(), &request.headers().entries(), length);

        let headers = Fields::new();
        let mut length = wishes.size.unwrap_or(text.len() as u64);
        // Neither can be refused: the names are allowed, and the message is still ours.
        let _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let _ = headers.append("content-length", length.to_string().as_bytes());
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(wishes.status.unwrap_or(200));
        let Ok(body) = response.body() else { return Err((out, "there is no body to write to".to_owned())) };
        ResponseOutparam::set(out, Ok(response));
        // From here on an error means that the client is gone.
        if let Ok(mut stream) = body.write() {
            if wishes.size.is_none() {
                let _ = stream.write_all(text.as_bytes());
            } else {
                let block = [b'x'; 16 << 10];
                while length > 0 {
                    let n = length.min(block.len() as u64);
                    if stream.write_all(&block[..n as usize]).is_err() {
                        return Ok(());
                    }
                    length -= n;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
        Ok(())
    }

    /// Bytes of the request's body, which is read and forgotten.
    fn count(request: &IncomingRequest) -> Result<u64, String> {
        let body = request.consume().map_err(|()| "there is no body to read".to_owned())?;
        let stream = body.stream().map_err(|()| "the body cannot be read".to_owned())?;
        let mut length = 0;
        loop {
            match stream.blocking_read(64 << 10) {
                Ok(bytes) => length += bytes.len() as u64,
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(e)) => return Err(format!("the body ended early: {}", e.to_debug_string())),
            }
        }
        drop(stream);
        drop(IncomingBody::finish(body));
        Ok(length)
    }

    fn name_of(method: &Method) -> &str {
        match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        assert_eq!(Wishes::of("/a"), Wishes::default());
        assert_eq!(Wishes::of("/a?wait=5&status=404&size=3"), Wishes { wait: 5, status: Some(404), size: Some(3) });
        assert_eq!(Wishes::of("/?wait=x&status=101&status=9999&wait"), Wishes::default());
    }

    #[test]
    fn reports() {
        let headers = [("a".to_owned(), b"1".to_vec())];
        assert_eq!(report("n", "GET / HTTP", "h", &headers, 2), "backend n\nGET / HTTP\nhost: h\na: 1\nbody: 2 bytes\n");
        let config: Config = torana_plugin_sdk::serde_json::from_str("{}").unwrap();
        assert_eq!(config.name, "whoami");
    }
}
