//! Bytes of a connection: heads, chunked bodies and paths. Nothing panics; a head means the same whether it
//! comes whole or in pieces, and a body the same however it is cut.
#![no_main]

use bytes::BytesMut;
use http::Method;
use libfuzzer_sys::fuzz_target;
use torana_http::h1::framing::Decoded;
use torana_http::h1::{Decoder, Framing, RequestHead, ResponseHead};
use torana_http::path;

/// Data and the number of bytes left, or `None` for a body that is refused or cut off.
fn body(framing: Framing, text: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let mut decoder = Decoder::new(framing);
    let (mut buf, mut fed, mut data) = (BytesMut::new(), 0, Vec::new());
    loop {
        match decoder.decode(&mut buf) {
            Ok(Decoded::Data(d)) => data.extend_from_slice(&d),
            Ok(Decoded::Trailers(_)) => {}
            Ok(Decoded::End) => return Some((data, buf.len() + text.len() - fed)),
            Ok(Decoded::More) if fed == text.len() => return None,
            Ok(Decoded::More) => {
                let n = step.min(text.len() - fed);
                buf.extend_from_slice(&text[fed..fed + n]);
                fed += n;
            }
            Err(_) => return None,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let whole = RequestHead::parse(data, 0);
    if let Ok(Some((head, length))) = &whole {
        assert!(*length <= data.len());
        // In pieces: nothing but "more" before the end, then the same head.
        let mut scanned = 0;
        for cut in (0..*length).step_by((*length / 16).max(1)) {
            match RequestHead::parse(&data[..cut], scanned) {
                Ok(None) => scanned = cut,
                Ok(Some(_)) => panic!("a head ends {cut} bytes early"),
                Err(e) => panic!("a part of a good head is refused: {e:?}"),
            }
        }
        let (again, n) = RequestHead::parse(&data[..*length], scanned).unwrap().unwrap();
        assert_eq!((n, &again.target, &again.host, again.framing), (*length, &head.target, &head.host, head.framing));
        for name in ["host", "content-length", "transfer-encoding"] {
            assert!(!head.headers.contains_key(name), "{name} is left in the map");
        }
        let rest = &data[*length..];
        assert_eq!(body(head.framing, rest, 1), body(head.framing, rest, rest.len().max(1)), "a body depends on how it is cut");
        if let Ok(p) = path::normalize(&head.target) {
            let clean = path::sanitize(&p);
            assert_eq!(path::sanitize(&clean), clean, "sanitize is not final");
            if clean.starts_with('/') {
                assert!(!clean.split('/').any(|s| s == ".."), "{clean:?} climbs");
            }
            assert_eq!(path::normalize(&p).ok().as_deref(), Some(&*p), "normalize is not final");
            let _ = (path::decode(&p), path::escape(&p), path::is_well_escaped(&p));
        }
    }
    for method in [Method::GET, Method::HEAD] {
        if let Ok(Some((head, length))) = ResponseHead::parse(data, 0, &method) {
            let rest = &data[length..];
            if head.framing != Framing::UntilClose {
                assert_eq!(body(head.framing, rest, 1), body(head.framing, rest, rest.len().max(1)));
            }
        }
    }
    assert_eq!(body(Framing::Chunked, data, 1), body(Framing::Chunked, data, data.len().max(1)), "a body depends on how it is cut");
});
