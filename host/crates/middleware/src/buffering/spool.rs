//! A body that is kept: its beginning in memory, the rest in a temporary file without a name. Files are read and
//! written on blocking threads; the worker goes on meanwhile.

use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;
use torana_http::{Body, BodyError, Frame};

/// What goes to a file, and comes from it, at once.
const PIECE: usize = 256 << 10;

/// How much of a body may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes in memory; what is more goes to a file.
    pub(super) memory: u64,
    /// Bytes in all.
    pub(super) most: Option<u64>,
}

/// Why a body could not be kept.
#[derive(Debug)]
pub(super) enum Spill {
    TooLarge,
    /// Its sender failed.
    Body(BodyError),
    /// The temporary file did.
    File(io::Error),
}

/// A body that was read to its end.
pub(super) struct Spool {
    memory: Bytes,
    file: Option<Arc<File>>,
    pub(super) length: u64,
    pub(super) trailers: Option<http::HeaderMap>,
}

impl Spool {
    pub(super) async fn read(mut body: Body, limits: Limits) -> Result<Self, Spill> {
        let too_large = |length: u64| limits.most.is_some_and(|most| length > most);
        if body.length().is_some_and(too_large) {
            return Err(Spill::TooLarge);
        }
        if let Some(Body::Full(bytes)) = body.replayable().filter(|b| b.length().is_some_and(|n| n <= limits.memory)) {
            return Ok(Spool { length: bytes.len() as u64, memory: bytes, file: None, trailers: None });
        }
        let (mut memory, mut length, mut file, mut waiting, mut trailers) = (BytesMut::new(), 0, None, BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let mut data = match frame.map_err(Spill::Body)?.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    trailers = frame.into_trailers().ok();
                    continue;
                }
            };
            length += data.len() as u64;
            if too_large(length) {
                return Err(Spill::TooLarge);
            }
            let room = usize::try_from(limits.memory.saturating_sub(memory.len() as u64)).unwrap_or(usize::MAX);
            memory.extend_from_slice(&data.split_to(room.min(data.len())));
            waiting.extend_from_slice(&data);
            if waiting.len() >= PIECE {
                file = Some(append(file, waiting.split().freeze()).await.map_err(Spill::File)?);
            }
        }
        if !waiting.is_empty() {
            file = Some(append(file, waiting.freeze()).await.map_err(Spill::File)?);
        }
        Ok(Spool { memory: memory.freeze(), file: file.map(Arc::new), length, trailers })
    }

    /// What was kept, from its beginning; may be asked for again.
    pub(super) fn body(&self) -> Body {
        match &self.file {
            None if self.length == 0 => Body::Empty,
            None => Body::Full(self.memory.clone()),
            Some(_) => self.stream(Some(self.length)),
        }
    }

    /// The same, with trailers, and of the length that its receiver is to be told.
    pub(super) fn stream(&self, length: Option<u64>) -> Body {
        let rest = self.length - self.memory.len() as u64;
        let file = self.file.clone().map(|file| Tail { file, at: 0, rest, reading: None });
        Body::stream(Reader { memory: self.memory.clone(), file, trailers: self.trailers.clone() }, length)
    }
}

async fn append(file: Option<File>, data: Bytes) -> io::Result<File> {
    let write = move || {
        let mut file = file.map_or_else(tempfile::tempfile, Ok)?;
        file.write_all(&data)?;
        Ok(file)
    };
    tokio::task::spawn_blocking(write).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

struct Reader {
    memory: Bytes,
    file: Option<Tail>,
    trailers: Option<http::HeaderMap>,
}

struct Tail {
    file: Arc<File>,
    at: u64,
    rest: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Tail {
    /// The next piece of the file, `None` at its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.rest == 0 {
            return Poll::Ready(None);
        }
        let (file, at, size) = (&self.file, self.at, self.rest.min(PIECE as u64) as usize);
        let reading = self.reading.get_or_insert_with(|| {
            let file = file.clone();
            tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; size];
                file.read_exact_at(&mut piece, at)?;
                Ok(piece.into())
            })
        });
        let piece = ready!(Pin::new(reading).poll(cx)).unwrap_or_else(|e| Err(io::Error::other(e)));
        self.reading = None;
        self.at += size as u64;
        self.rest -= size as u64;
        Poll::Ready(Some(piece))
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if !self.memory.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.memory)))));
        }
        if let Some(tail) = &mut self.file
            && let Some(piece) = ready!(tail.poll_piece(cx))
        {
            return Poll::Ready(Some(piece.map(Frame::data).map_err(BodyError::Io)));
        }
        Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, pieces};

    async fn text(body: Body) -> String {
        String::from_utf8(body.collect(1 << 30).await.unwrap().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn what_is_more_goes_to_a_file() {
        for (memory, in_file) in [(0, true), (1, true), (5, true), (6, false), (1000, false)] {
            block_on(async {
                let spool = Spool::read(pieces(&["ab", "cd", "", "ef"], None), Limits { memory, most: Some(6) }).await.unwrap();
                assert_eq!((spool.length, spool.file.is_some()), (6, in_file), "{memory}");
                assert_eq!(spool.memory.len() as u64, memory.min(6));
                for _ in 0..2 {
                    assert_eq!(spool.body().length(), Some(6));
                    assert_eq!(text(spool.body()).await, "abcdef");
                    assert_eq!(text(spool.stream(None)).await, "abcdef");
                }
            });
        }
        block_on(async {
            let large = Body::from("x".repeat(3 * PIECE + 7));
            let spool = Spool::read(large, Limits { memory: 10, most: None }).await.unwrap();
            assert_eq!(text(spool.body()).await.len(), 3 * PIECE + 7);
            assert!(Spool::read(Body::Empty, Limits { memory: 1, most: Some(1) }).await.unwrap().body().is_empty());
        });
    }

    #[test]
    fn too_large() {
        block_on(async {
            for body in [pieces(&["abc", "d"], None), pieces(&["never read"], Some(4)), Body::from("abcd")] {
                let read = Spool::read(body, Limits { memory: 2, most: Some(3) }).await;
                assert!(matches!(read, Err(Spill::TooLarge)));
            }
        });
    }
}
