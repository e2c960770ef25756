//! `http2.maxEncoderHeaderTableSize`: the h2 crate lets its HPACK encoder grow to what the client allows in
//! its SETTINGS, and has no limit of its own. Here the client's allowance is lowered on its way in; an
//! encoder may always use less (RFC 7541, 4.2).

use std::cmp::Ordering;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const HEADER_TABLE_SIZE: u16 = 1;
const PREFACE: usize = 24;
/// An identifier and its value.
const SETTING: usize = 6;

/// A connection whose SETTINGS allow the encoder at most `limit` bytes.
pub(crate) struct EncoderLimit<S> {
    inner: S,
    limit: u32,
    /// Bytes to pass on before the next frame head: the preface, then payloads.
    skip: usize,
    /// Bytes of SETTINGS that are left of the current frame.
    settings: usize,
    /// Position in a frame head or a setting, and its bytes.
    at: usize,
    bytes: [u8; FRAME_HEAD],
    /// How the value read so far stands to the limit.
    order: Ordering,
    /// The beginning of the connection, while it is collected, and then what of it is not passed on yet.
    begin: Vec<u8>,
    begun: bool,
}

/// What an encoder may use of a client that does not say (RFC 9113, 6.5.2).
const DEFAULT: u32 = 4096;

impl<S> EncoderLimit<S> {
    pub(crate) fn new(inner: S, limit: u32) -> Self {
        EncoderLimit {
            inner,
            limit,
            skip: PREFACE,
            settings: 0,
            at: 0,
            bytes: [0; FRAME_HEAD],
            order: Ordering::Equal,
            begin: Vec::new(),
            begun: limit >= DEFAULT,
        }
    }

    /// For a client that does not say: its first SETTINGS begin with our limit, which a value of its own
    /// further on replaces.
    fn say(&mut self) {
        self.begun = true;
        let Some([a, b, c, SETTINGS, flags]) = self.begin.get_mut(PREFACE..PREFACE + 5) else { return };
        let length = u32::from_be_bytes([0, *a, *b, *c]) + SETTING as u32;
        if *flags & ACK != 0 || length > 0xff_ffff {
            return;
        }
        [_, *a, *b, *c] = length.to_be_bytes();
        let [d, e, f, g] = self.limit.to_be_bytes();
        let at = PREFACE + FRAME_HEAD;
        self.begin.splice(at..at, [0, HEADER_TABLE_SIZE as u8, d, e, f, g]);
    }

    /// Follows the frames through `data`, however they are cut, and lowers what is above the limit.
    fn pass(&mut self, data: &mut [u8]) {
        let mut i = 0;
        while let Some(b) = data.get_mut(i) {
            if self.skip > 0 {
                let n = self.skip.min(data.len() - i);
                self.skip -= n;
                i += n;
                continue;
            }
            if self.settings > 0 {
                match self.at {
                    0 | 1 => self.bytes[self.at] = *b,
                    _ if u16::from_be_bytes([self.bytes[0], self.bytes[1]]) == HEADER_TABLE_SIZE => *b = self.lowered(*b),
                    _ => {}
                }
                self.at = (self.at + 1) % SETTING;
                self.settings -= 1;
                i += 1;
                continue;
            }
            self.bytes[self.at] = *b;
            self.at += 1;
            i += 1;
            if self.at == FRAME_HEAD {
                self.at = 0;
                let [a, b, c, kind, flags, ..] = self.bytes;
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                let ours = kind == SETTINGS && flags & ACK == 0 && length.is_multiple_of(SETTING);
                (self.settings, self.skip) = if ours { (length, 0) } else { (0, length) };
            }
        }
    }

    /// The next byte of the lesser of value and limit. Decided from the left: the first byte that differs
    /// tells whose bytes follow.
    fn lowered(&mut self, byte: u8) -> u8 {
        let limit = self.limit.to_be_bytes()[self.at - 2];
        if self.at == 2 {
            self.order = Ordering::Equal;
        }
        self.order = self.order.then(byte.cmp(&limit));
        if self.order == Ordering::Greater { limit } else { byte }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EncoderLimit<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.begun {
            let mut room = [0; PREFACE + FRAME_HEAD];
            let mut more = ReadBuf::new(&mut room[this.begin.len().min(PREFACE + FRAME_HEAD - 1)..]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut more))?;
            this.begin.extend_from_slice(more.filled());
            if more.filled().is_empty() {
                this.begun = true;
            } else if this.begin.len() >= PREFACE + FRAME_HEAD {
                this.say();
            }
        }
        if !this.begin.is_empty() {
            let n = this.begin.len().min(buf.remaining());
            let mut piece: Vec<u8> = this.begin.drain(..n).collect();
            this.pass(&mut piece);
            buf.put_slice(&piece);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.pass(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EncoderLimit<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(value: u32) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS with another setting before the one that counts, then its acknowledgement, then DATA.
        bytes.extend([0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 0, 1]);
        bytes.extend(value.to_be_bytes());
        bytes.extend([0, 0, 0, 4, 1, 0, 0, 0, 0]);
        bytes.extend([0, 0, 6, 0, 0, 0, 0, 0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        bytes
    }

    #[tokio::test]
    async fn speaks_for_clients_that_do_not_say() {
        let silent = {
            let mut bytes = client(0);
            // Another setting in place of the one that counts.
            bytes[PREFACE + FRAME_HEAD + 7] = 5;
            bytes
        };
        for (sent, says) in [(silent, false), (client(100), true), (client(9000), true)] {
            let mut limit = EncoderLimit::new(std::io::Cursor::new(sent.clone()), 512);
            let mut got = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut limit, &mut got).await.unwrap();
            assert_eq!(got.len(), sent.len() + SETTING);
            assert_eq!(got[PREFACE..PREFACE + 3], [0, 0, 18]);
            assert_eq!(got[PREFACE + FRAME_HEAD..][..SETTING], [0, 1, 0, 0, 2, 0]);
            if says {
                let own = u32::from_be_bytes(got[PREFACE + FRAME_HEAD + 14..][..4].try_into().unwrap());
                assert!(own <= 512, "{own}");
            }
        }
    }

    #[test]
    fn lowers_the_allowance_however_the_bytes_are_cut() {
        for (value, expected) in
            [(0, 0), (4095, 4095), (4096, 4096), (4097, 4096), (65536, 4096), (u32::MAX, 4096), (0x10ff, 4096), (0x0fff, 0x0fff)]
        {
            for step in 1..60 {
                let mut bytes = client(value);
                let mut limit = EncoderLimit::new((), 4096);
                bytes.chunks_mut(step).for_each(|piece| limit.pass(piece));
                assert_eq!(bytes, client(expected), "{value} in pieces of {step}");
            }
        }
    }
}
