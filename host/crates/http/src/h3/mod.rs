//! HTTP/3 (RFC 9114) and QPACK (RFC 9204), without the streams: bytes in, messages out and back. There is no
//! dynamic table, in either direction: it would hold memory for each connection and let one lost packet hold up
//! every stream.

mod fields;
pub mod frame;
mod huffman;
mod qpack;
mod static_table;

pub use fields::{Head, HeadError, request, response, trailers, write_trailers};

/// Codes of errors (RFC 9114, 8.1; RFC 9204, 6).
pub mod code {
    pub const NO_ERROR: u32 = 0x100;
    pub const INTERNAL_ERROR: u32 = 0x102;
    pub const STREAM_CREATION_ERROR: u32 = 0x103;
    pub const CLOSED_CRITICAL_STREAM: u32 = 0x104;
    pub const FRAME_UNEXPECTED: u32 = 0x105;
    pub const FRAME_ERROR: u32 = 0x106;
    pub const EXCESSIVE_LOAD: u32 = 0x107;
    pub const SETTINGS_ERROR: u32 = 0x109;
    pub const MISSING_SETTINGS: u32 = 0x10a;
    pub const REQUEST_REJECTED: u32 = 0x10b;
    pub const REQUEST_CANCELLED: u32 = 0x10c;
    pub const REQUEST_INCOMPLETE: u32 = 0x10d;
    pub const MESSAGE_ERROR: u32 = 0x10e;
    pub const QPACK_DECOMPRESSION_FAILED: u32 = 0x200;
    pub const QPACK_ENCODER_STREAM_ERROR: u32 = 0x201;
}

/// Types of streams in one direction (RFC 9114, 6.2; RFC 9204, 4.2).
pub mod stream {
    pub const CONTROL: u64 = 0;
    pub const PUSH: u64 = 1;
    pub const QPACK_ENCODER: u64 = 2;
    pub const QPACK_DECODER: u64 = 3;
}

/// What the server's control stream begins with: its type and the settings (RFC 9114, 7.2.4).
/// `max_field_section` is what the fields of a request may take, each counted with 32 bytes more.
pub fn control_stream(max_field_section: u64) -> Vec<u8> {
    const MAX_FIELD_SECTION_SIZE: u64 = 6;
    let mut settings = Vec::with_capacity(16);
    frame::write_varint(MAX_FIELD_SECTION_SIZE, &mut settings);
    frame::write_varint(max_field_section.min(frame::MAX_VARINT), &mut settings);
    let mut all = Vec::with_capacity(24);
    frame::write_varint(stream::CONTROL, &mut all);
    frame::write_header(frame::SETTINGS, settings.len() as u64, &mut all);
    all.extend(settings);
    all
}

/// Whether these are settings; those that HTTP/2 had must not come back (RFC 9114, 7.2.4.1).
pub fn settings_are_good(mut payload: &[u8]) -> bool {
    while !payload.is_empty() {
        let Some((id, n)) = frame::varint(payload) else { return false };
        payload = &payload[n..];
        let Some((_, n)) = frame::varint(payload) else { return false };
        payload = &payload[n..];
        if (2..=5).contains(&id) {
            return false;
        }
    }
    true
}

/// Requests with this number and all after it are not served (RFC 9114, 5.2).
pub fn goaway(first: u64) -> Vec<u8> {
    let (mut id, mut all) = (Vec::with_capacity(8), Vec::with_capacity(10));
    frame::write_varint(first, &mut id);
    frame::write_header(frame::GOAWAY, id.len() as u64, &mut all);
    all.extend(id);
    all
}

/// The last number a request could have.
pub const LAST_REQUEST: u64 = frame::MAX_VARINT - 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        assert_eq!(control_stream(16_384), [0, 4, 5, 6, 0x80, 0, 0x40, 0]);
        assert!(settings_are_good(&control_stream(9)[3..]));
        assert!(settings_are_good(&[]));
        for bad in [&[6][..], &[2, 0], &[5, 0], &[0x40]] {
            assert!(!settings_are_good(bad), "{bad:?}");
        }
        assert_eq!(goaway(4), [7, 1, 4]);
        assert_eq!(goaway(LAST_REQUEST)[2..], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc]);
    }
}
