//! The stream of an HTTP/3 request: frames however they are cut, and the fields in them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use torana_http::h3::frame::{Frames, Piece, of_control, of_request};
use torana_http::h3::{request, response, settings_are_good, trailers};

const LIMIT: usize = 4096;

/// The frames that are whole, all data as one, and whether a frame may begin behind it; `None` for an error.
fn read(bytes: &[u8], cut: usize) -> Option<(Vec<Bytes>, Vec<u8>, bool)> {
    let (mut frames, mut whole, mut data) = (Frames::new(of_request, LIMIT), Vec::new(), Vec::new());
    for part in bytes.chunks(cut.max(1)) {
        let mut input = Bytes::copy_from_slice(part);
        while let Some(piece) = frames.next(&mut input).ok()? {
            match piece {
                Piece::Whole(_, block) => {
                    assert!(block.len() <= LIMIT);
                    whole.push(block);
                }
                Piece::Part(part) => data.extend_from_slice(&part),
            }
        }
    }
    Some((whole, data, frames.is_between()))
}

fuzz_target!(|bytes: &[u8]| {
    let once = read(bytes, usize::MAX);
    assert_eq!(once, read(bytes, 1));
    assert_eq!(once, read(bytes, 7));
    for block in once.iter().flat_map(|(whole, _, _)| whole).map(|b| &b[..]).chain([bytes]) {
        if let Ok(head) = request(block, LIMIT) {
            assert!(head.headers.len() * 32 <= LIMIT);
            // What is written is read again as it was.
            let mut out = Vec::new();
            response(http::StatusCode::OK, &head.headers, &mut out);
        }
        if let Ok(fields) = trailers(block, LIMIT) {
            let mut out = Vec::new();
            torana_http::h3::write_trailers(&fields, &mut out);
            let (whole, _, _) = read(&out, usize::MAX).unwrap_or_default();
            if let Some(block) = whole.first() {
                assert_eq!(trailers(block, LIMIT).ok(), Some(fields));
            }
        }
    }
    settings_are_good(bytes);
    let mut control = Bytes::copy_from_slice(bytes);
    let mut frames = Frames::new(of_control, LIMIT);
    while let Ok(Some(_)) = frames.next(&mut control) {}
});
