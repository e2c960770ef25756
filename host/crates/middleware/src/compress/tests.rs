use super::*;
use crate::testing::{Fake, block_on, build, build_error, exchange, pieces, shown};
use std::io::Read;

struct Got {
    response: Response,
    /// The body as it was before the coding.
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> Vec<&str> {
        self.response.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect()
    }

    fn coding(&self) -> Option<&str> {
        self.header("content-encoding").first().copied()
    }
}

fn decode(coding: Option<&str>, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        Some("gzip") => flate2::read::GzDecoder::new(data).read_to_end(&mut out).unwrap(),
        Some("br") => brotli::Decompressor::new(data, 4096).read_to_end(&mut out).unwrap(),
        Some("zstd") => zstd::stream::read::Decoder::new(data).unwrap().read_to_end(&mut out).unwrap(),
        _ => return data.to_vec(),
    };
    out
}

fn get(config: &str, accept: &str, make: impl Fn() -> Response + Send + Sync + 'static) -> Got {
    let mut x = exchange("GET", "/");
    x.request.headers.insert("accept-encoding", accept.parse().unwrap());
    send(config, x, make)
}

fn send(config: &str, mut x: Exchange, make: impl Fn() -> Response + Send + Sync + 'static) -> Got {
    block_on(async {
        let fake = Fake(Box::new(move |_| make()));
        let mut response = torana_http::run(&build::<Compress>(config), &fake, &mut x).await;
        let coding = response.headers().get("content-encoding").map(|v| v.to_str().unwrap().to_owned());
        let body = std::mem::take(response.body_mut());
        let bytes = body.collect(1 << 30).await.unwrap().unwrap();
        Got { response, text: String::from_utf8(decode(coding.as_deref(), &bytes)).unwrap() }
    })
}

fn with(body: Body, headers: &[(&'static str, &'static str)]) -> Response {
    let mut r = Response::new(body);
    for (name, value) in headers {
        r.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    r
}

#[test]
fn by_length_and_type() {
    for (coding, length, headers, coded) in [
        ("gzip", 2000, &[("content-type", "text/html")][..], true),
        ("br", 2000, &[("content-type", "text/html")], true),
        ("zstd", 2000, &[("content-type", "text/html")], true),
        ("gzip", 1023, &[], false),
        ("br", 1023, &[], false),
        ("gzip", 1024, &[], true),
        ("gzip", 2000, &[("content-encoding", "x")], false),
        ("br", 2000, &[("content-encoding", "x")], false),
        ("gzip", 2000, &[("content-range", "bytes 0-1/2")], false),
        ("br", 2000, &[("content-range", "bytes 0-1/2")], true),
        ("gzip", 2000, &[("no-gzip-compression", "1")], false),
        ("gzip", 2000, &[("content-type", "application/grpc")], false),
        ("br", 2000, &[("content-type", "application/grpc; x=y")], false),
        ("gzip", 2000, &[("content-type", "not a type")], true),
        ("br", 2000, &[("content-type", "not a type")], false),
        ("br", 10, &[("content-type", "text/event-stream")], true),
        ("gzip", 10, &[("content-type", "text/event-stream")], false),
    ] {
        let body = "x".repeat(length);
        let text = body.clone();
        let got = get("{}", coding, move || with(Body::from(text.clone()), headers));
        assert_eq!(got.coding() == Some(coding), coded, "{coding} {length} {headers:?}");
        assert_eq!(got.text, body);
        assert_eq!(got.header("vary"), ["Accept-Encoding"]);
        assert!(got.header("no-gzip-compression").is_empty());
    }
}

#[test]
fn lists_of_types() {
    for (config, kind, coded) in [
        ("includedContentTypes: [text/html]", "text/html; charset=utf-8", true),
        ("includedContentTypes: ['text/html; charset=utf-8']", "text/html", true),
        ("includedContentTypes: [text/html]", "text/css", false),
        ("includedContentTypes: [application/grpc]", "application/grpc", true),
        ("excludedContentTypes: [TEXT/html]", "text/html", false),
        ("excludedContentTypes: [text/html]", "text/css", true),
    ] {
        for coding in ["gzip", "br"] {
            let got = get(config, coding, move || {
                let mut r = Response::new(Body::from("x".repeat(2000)));
                r.headers_mut().insert("content-type", HeaderValue::from_static(kind));
                r
            });
            assert_eq!(got.coding().is_some(), coded, "{config} {kind}");
        }
    }
    // What the request carries counts too.
    let mut x = exchange("POST", "/");
    x.request.headers.insert("accept-encoding", "gzip".parse().unwrap());
    x.request.headers.insert("content-type", "text/html; bad".parse().unwrap());
    let got = send("excludedContentTypes: [text/html]", x, || Response::new(Body::from("x".repeat(2000))));
    assert!(got.response.headers().is_empty());
}

#[test]
fn gzip_looks_at_content_without_a_type() {
    for (config, coded) in [
        ("includedContentTypes: [text/plain]", true),
        ("includedContentTypes: [text/html]", false),
        ("excludedContentTypes: [text/plain]", false),
    ] {
        let whole = || Response::new(Body::from("plain text ".repeat(200)));
        let streamed = || Response::new(pieces(&["plain text"], None));
        for got in [get(config, "gzip", whole), get(config, "gzip", streamed)] {
            assert_eq!(got.coding().is_some(), coded, "{config}");
            assert!(got.text.starts_with("plain text"));
        }
        assert!(get(config, "br", whole).coding().is_some());
    }
}

#[test]
fn streams_are_compressed_from_their_first_byte() {
    for coding in ["gzip", "br", "zstd"] {
        let got = get("{}", coding, || with(pieces(&["", "a", "b"], None), &[("vary", "Origin"), ("accept-ranges", "bytes"), ("etag", "\"e\"")]));
        assert_eq!((got.coding(), &*got.text), (Some(coding), "ab"));
        assert_eq!(got.header("vary"), ["Accept-Encoding", "Origin"]);
        assert_eq!(got.header("accept-ranges").is_empty(), coding == "gzip");
        assert_eq!(got.header("etag"), ["\"e\""]);
        let got = get("{}", coding, || with(pieces(&[""], None), &[]));
        assert_eq!((got.coding(), &*got.text), (None, ""));
    }
}

#[test]
fn each_piece_of_a_stream_goes_at_once() {
    for coding in ["gzip", "br", "zstd"] {
        block_on(async {
            let mut x = exchange("GET", "/");
            x.request.headers.insert("accept-encoding", coding.parse().unwrap());
            let fake = Fake(Box::new(|_| Response::new(pieces(&["one", "two"], None))));
            let mut response = torana_http::run(&build::<Compress>("{}"), &fake, &mut x).await;
            let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
            let mut seen = [0; 3];
            match coding {
                "gzip" => flate2::read::GzDecoder::new(&*first).read_exact(&mut seen).unwrap(),
                "br" => brotli::Decompressor::new(&*first, 4096).read_exact(&mut seen).unwrap(),
                _ => zstd::stream::read::Decoder::new(&*first).unwrap().read_exact(&mut seen).unwrap(),
            }
            assert_eq!(&seen, b"one");
        });
    }
}

#[test]
fn short_results_have_a_length() {
    let noise = || {
        let mut random = fastrand::Rng::with_seed(3);
        std::iter::repeat_with(|| random.alphanumeric()).take(6000).collect::<String>()
    };
    for (body, short) in [("x".repeat(100_000), true), (noise(), false)] {
        block_on(async {
            let mut x = exchange("GET", "/");
            x.request.headers.insert("accept-encoding", "gzip".parse().unwrap());
            let sent = body.clone();
            let fake = Fake(Box::new(move |_| Response::new(Body::from(sent.clone()))));
            let response = torana_http::run(&build::<Compress>("{}"), &fake, &mut x).await;
            assert_eq!(response.body().length().is_some(), short);
            let bytes = response.into_body().collect(1 << 20).await.unwrap().unwrap();
            assert_eq!(decode(Some("gzip"), &bytes), body.as_bytes());
        });
    }
}

#[test]
fn what_is_not_asked_for_stays() {
    let long = || Response::new(Body::from("x".repeat(2000)));
    for (accept, vary) in [("identity", false), ("", false), ("*", true), ("deflate", false)] {
        let got = get("{}", accept, long);
        assert_eq!((got.coding(), !got.header("vary").is_empty()), (None, vary), "{accept}");
    }
    let mut x = exchange("HEAD", "/");
    x.request.headers.insert("accept-encoding", "gzip".parse().unwrap());
    assert!(send("{}", x, long).response.headers().is_empty());
    assert!(send("{}", exchange("GET", "/"), long).response.headers().is_empty());
    assert_eq!(send("defaultEncoding: br", exchange("GET", "/"), long).coding(), Some("br"));
}

#[test]
fn options() {
    for (text, key) in [
        ("{includedContentTypes: [a/b], excludedContentTypes: [c/d]}", "includedContentTypes"),
        ("excludedContentTypes: [a/b, 'c d']", "excludedContentTypes[1]"),
        ("includedContentTypes: ['']", "includedContentTypes[0]"),
        ("excludedContentTypes: ['text/html; charset']", "excludedContentTypes[0]"),
        ("encodings: [gzip, foo]", "encodings[1]"),
        ("encodings: [GZIP]", "encodings[0]"),
        ("{encodings: [gzip], defaultEncoding: br}", "defaultEncoding"),
        ("defaultEncoding: identity", "defaultEncoding"),
    ] {
        assert_eq!(build_error::<Compress>(text).key, key, "{text}");
    }
    for (text, json) in [
        ("{}", r#"{"encodings":["gzip","br","zstd"]}"#),
        ("{encodings: [], minResponseBodyBytes: -1}", r#"{"minResponseBodyBytes":-1,"encodings":["gzip","br","zstd"]}"#),
        ("{encodings: [br], defaultEncoding: br}", r#"{"encodings":["br"],"defaultEncoding":"br"}"#),
    ] {
        assert_eq!(shown::<Compress>(text), json);
    }
}
