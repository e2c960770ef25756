//! Frames (RFC 9114, 7) and the numbers in front of them (RFC 9000, 16).

use bytes::{Buf, Bytes, BytesMut};

pub const DATA: u64 = 0;
pub const HEADERS: u64 = 1;
pub const CANCEL_PUSH: u64 = 3;
pub const SETTINGS: u64 = 4;
pub const PUSH_PROMISE: u64 = 5;
pub const GOAWAY: u64 = 7;
pub const MAX_PUSH_ID: u64 = 13;

pub const MAX_VARINT: u64 = (1 << 62) - 1;
/// Longest header of a frame: two numbers.
const HEADER: usize = 16;

/// The number at the front, and its length; `None` if more bytes are needed.
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1usize << (first >> 6);
    let rest = bytes.get(1..length)?;
    Some((rest.iter().fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b)), length))
}

/// `n` is at most [`MAX_VARINT`].
pub fn write_varint(n: u64, out: &mut Vec<u8>) {
    match n {
        0..0x40 => out.push(n as u8),
        0x40..0x4000 => out.extend((n as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend((n as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend((n | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// What stands before the payload of a frame.
pub fn write_header(kind: u64, length: u64, out: &mut Vec<u8>) {
    write_varint(kind, out);
    write_varint(length, out);
}

/// What is done with frames of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Gathered, if it is no longer than this.
    Whole(usize),
    /// Handed on as it comes.
    Parts,
    Skip,
    /// It has no place there.
    Refuse,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Whole(u64, Bytes),
    /// Empty for a frame that is.
    Part(Bytes),
}

#[derive(Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Of this type.
    Refused(u64),
    TooLong(u64),
}

enum State {
    Header,
    Skipped(u64),
    Parts(u64),
    Whole { kind: u64, left: usize, held: BytesMut },
}

/// Takes the frames of one stream apart. Keeps nothing but what must be whole.
pub struct Frames {
    take: fn(u64, usize) -> Take,
    limit: usize,
    header: ([u8; HEADER], usize),
    state: State,
}

impl Frames {
    /// `take` is given the type of a frame and `limit`.
    pub fn new(take: fn(u64, usize) -> Take, limit: usize) -> Self {
        Frames { take, limit, header: ([0; HEADER], 0), state: State::Header }
    }

    /// Whether a frame may begin here, and the stream may end.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Header) && self.header.1 == 0
    }

    /// The next piece of what has arrived, which is taken from `input`; `None` when nothing is left of it.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, FrameError> {
        loop {
            match &mut self.state {
                State::Header => {
                    let Some((kind, length)) = self.read_header(input) else { return Ok(None) };
                    self.state = match (self.take)(kind, self.limit) {
                        Take::Refuse => return Err(FrameError::Refused(kind)),
                        Take::Skip => State::Skipped(length),
                        Take::Parts if length == 0 => return Ok(Some(Piece::Part(Bytes::new()))),
                        Take::Parts => State::Parts(length),
                        Take::Whole(limit) => match usize::try_from(length) {
                            Ok(left) if left <= limit => State::Whole { kind, left, held: BytesMut::new() },
                            _ => return Err(FrameError::TooLong(kind)),
                        },
                    };
                }
                State::Skipped(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    input.advance(n);
                    *left -= n as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Parts(left) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= n as u64;
                    if *left == 0 {
                        self.state = State::Header;
                    }
                    return Ok(Some(Piece::Part(input.split_to(n))));
                }
                State::Whole { kind, left, held } => {
                    let part = input.split_to((*left).min(input.len()));
                    *left -= part.len();
                    let whole = match (*left, held.is_empty()) {
                        (0, true) => part,
                        (0, false) => {
                            held.extend_from_slice(&part);
                            std::mem::take(held).freeze()
                        }
                        _ => {
                            held.extend_from_slice(&part);
                            return Ok(None);
                        }
                    };
                    let kind = *kind;
                    self.state = State::Header;
                    return Ok(Some(Piece::Whole(kind, whole)));
                }
            }
        }
    }

    fn read_header(&mut self, input: &mut Bytes) -> Option<(u64, u64)> {
        let (bytes, n) = &mut self.header;
        loop {
            let so_far = &bytes[..*n];
            if let Some((kind, used)) = varint(so_far)
                && let Some((length, _)) = varint(&so_far[used..])
            {
                *n = 0;
                return Some((kind, length));
            }
            if input.is_empty() {
                return None;
            }
            bytes[*n] = input.get_u8();
            *n += 1;
        }
    }
}

/// On a stream of a request, before its message has ended.
pub fn of_request(kind: u64, limit: usize) -> Take {
    match kind {
        DATA => Take::Parts,
        HEADERS => Take::Whole(limit),
        CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID => Take::Refuse,
        _ => unknown(kind),
    }
}

/// On the client's control stream.
pub fn of_control(kind: u64, limit: usize) -> Take {
    match kind {
        SETTINGS => Take::Whole(limit),
        CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => Take::Whole(8),
        DATA | HEADERS | PUSH_PROMISE => Take::Refuse,
        _ => unknown(kind),
    }
}

/// Types of HTTP/2 without a meaning here are errors, all others are passed over (RFC 9114, 7.2.8 and 9).
fn unknown(kind: u64) -> Take {
    if matches!(kind, 2 | 6 | 8 | 9) { Take::Refuse } else { Take::Skip }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(kind, payload.len() as u64, &mut out);
        out.extend(payload);
        out
    }

    /// All pieces, those of one frame joined.
    fn read(bytes: &[u8], cut: usize) -> (Vec<Piece>, bool) {
        let mut frames = Frames::new(of_request, 100);
        let mut all: Vec<Piece> = Vec::new();
        for part in bytes.chunks(cut) {
            let mut input = Bytes::copy_from_slice(part);
            while let Some(piece) = frames.next(&mut input).unwrap() {
                match (piece, all.last_mut()) {
                    (Piece::Part(b), Some(Piece::Part(a))) => *a = [&a[..], &b[..]].concat().into(),
                    (piece, _) => all.push(piece),
                }
            }
            assert!(input.is_empty());
        }
        (all, frames.is_between())
    }

    #[test]
    fn numbers() {
        for (n, bytes) in [
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ] {
            let mut out = Vec::new();
            write_varint(n, &mut out);
            assert_eq!((out.as_slice(), varint(bytes)), (bytes, Some((n, bytes.len()))));
            assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(varint(&[0x40, 0x25]), Some((37, 2)));
    }

    #[test]
    fn frames_however_they_are_cut() {
        let bytes = [
            frame(0x21, &[7; 300]),
            frame(HEADERS, b"head"),
            frame(DATA, b"some "),
            frame(0x4444, b""),
            frame(DATA, b""),
            frame(DATA, &[b'x'; 70]),
            frame(HEADERS, b"tail"),
        ]
        .concat();
        let data = [&b"some "[..], &[b'x'; 70]].concat();
        let wanted = [Piece::Whole(HEADERS, "head".into()), Piece::Part(data.into()), Piece::Whole(HEADERS, "tail".into())];
        for cut in 1..bytes.len() {
            assert_eq!(read(&bytes, cut), (wanted.iter().map(again).collect(), true), "{cut}");
        }
        assert!(!read(&bytes[..bytes.len() - 1], 9).1);
        assert!(!read(&[0x40], 1).1);
    }

    fn again(piece: &Piece) -> Piece {
        match piece {
            Piece::Whole(k, b) => Piece::Whole(*k, b.clone()),
            Piece::Part(b) => Piece::Part(b.clone()),
        }
    }

    #[test]
    fn what_has_no_place_or_no_end_is_refused() {
        let first = |bytes: Vec<u8>| Frames::new(of_request, 100).next(&mut bytes.into());
        assert_eq!(first(frame(SETTINGS, b"")), Err(FrameError::Refused(SETTINGS)));
        assert_eq!(first(frame(6, b"")), Err(FrameError::Refused(6)));
        assert_eq!(first(frame(HEADERS, &[0; 101])), Err(FrameError::TooLong(HEADERS)));
        assert_eq!(first(vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::TooLong(HEADERS)));
        // Without an end, but nothing of it is kept.
        assert_eq!(first(vec![0x21, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), Ok(None));
        assert_eq!(Frames::new(of_control, 9).next(&mut frame(DATA, b"x").into()), Err(FrameError::Refused(DATA)));
        assert_eq!(Frames::new(of_control, 9).next(&mut frame(GOAWAY, &[0; 9]).into()), Err(FrameError::TooLong(GOAWAY)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, cut in 1usize..40) {
            let mut frames = Frames::new(of_request, 100);
            for part in bytes.chunks(cut) {
                let mut input = Bytes::copy_from_slice(part);
                while let Ok(Some(_)) = frames.next(&mut input) {}
            }
        }
    }
}
