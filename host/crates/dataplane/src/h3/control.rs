//! The client's streams in one direction (RFC 9114, 6.2). What is read of them is looked at and dropped.

use super::close;
use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};
use std::cell::Cell;
use std::rc::Rc;
use torana_http::h3::frame::{Frames, Piece, SETTINGS, of_control, varint};
use torana_http::h3::{code, settings_are_good, stream};

/// Bytes of settings; what browsers send takes a hundred.
const MOST_SETTINGS: usize = 4096;
/// Of a read.
const ROOM: usize = 1024;
/// The instruction of an encoder that sets the size of the dynamic table to the only one allowed, 0 (RFC 9204, 4.3.1).
const NO_TABLE: u8 = 0x20;

/// Reads them all until the connection ends.
pub(super) async fn read(quic: quinn::Connection) {
    let seen = Rc::new(Cell::new(0u8));
    while let Ok(stream) = quic.accept_uni().await {
        let (quic, seen) = (quic.clone(), seen.clone());
        tokio::task::spawn_local(async move {
            if let Some((code, why)) = one(stream, &seen).await {
                close(&quic, code, why);
            }
        });
    }
}

/// The next bytes; `Some(None)` when the stream has ended, `None` when the connection has.
async fn more(recv: &mut RecvStream) -> Option<Option<Bytes>> {
    match recv.read_chunk(ROOM, true).await {
        Ok(chunk) => Some(chunk.map(|c| c.bytes)),
        Err(ReadError::ConnectionLost(_)) => None,
        Err(_) => Some(None),
    }
}

/// An error of the connection.
type Broken = Option<(u32, &'static str)>;

async fn one(mut recv: RecvStream, seen: &Cell<u8>) -> Broken {
    let mut head = Vec::with_capacity(8);
    let kind = loop {
        match recv.read_chunk(1, true).await {
            Ok(Some(chunk)) => head.extend_from_slice(&chunk.bytes),
            // A stream may end before it says what it is.
            _ => return None,
        }
        if let Some((kind, _)) = varint(&head) {
            break kind;
        }
    };
    if matches!(kind, stream::CONTROL | stream::QPACK_ENCODER | stream::QPACK_DECODER) {
        if seen.get() & 1 << kind != 0 {
            return Some((code::STREAM_CREATION_ERROR, "the same stream twice"));
        }
        seen.set(seen.get() | 1 << kind);
    }
    match kind {
        stream::CONTROL => control(recv).await,
        stream::QPACK_ENCODER => {
            while let Some(bytes) = more(&mut recv).await? {
                if bytes.iter().any(|b| *b != NO_TABLE) {
                    return Some((code::QPACK_ENCODER_STREAM_ERROR, "a dynamic table was not allowed"));
                }
            }
            Some((code::CLOSED_CRITICAL_STREAM, "the encoder's stream ended"))
        }
        // It acknowledges what we never send.
        stream::QPACK_DECODER => {
            while more(&mut recv).await?.is_some() {}
            Some((code::CLOSED_CRITICAL_STREAM, "the decoder's stream ended"))
        }
        stream::PUSH => Some((code::STREAM_CREATION_ERROR, "clients push nothing")),
        _ => {
            let _ = recv.stop(VarInt::from_u32(code::STREAM_CREATION_ERROR));
            None
        }
    }
}

async fn control(mut recv: RecvStream) -> Broken {
    let mut frames = Frames::new(of_control, MOST_SETTINGS);
    let mut settled = false;
    loop {
        let Some(mut input) = more(&mut recv).await? else {
            return Some((code::CLOSED_CRITICAL_STREAM, "the control stream ended"));
        };
        loop {
            match frames.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Whole(SETTINGS, payload))) => {
                    if settled {
                        return Some((code::FRAME_UNEXPECTED, "settings twice"));
                    }
                    if !settings_are_good(&payload) {
                        return Some((code::SETTINGS_ERROR, "settings"));
                    }
                    settled = true;
                }
                Ok(Some(_)) if !settled => return Some((code::MISSING_SETTINGS, "no settings")),
                Ok(Some(_)) => {}
                Err(_) => return Some((code::FRAME_UNEXPECTED, "a frame that does not belong to the control stream")),
            }
        }
    }
}
