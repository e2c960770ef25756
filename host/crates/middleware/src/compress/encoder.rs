//! The encoders behind one face. Those that can begin anew are kept by the thread that used them: making one costs
//! more than a small body.
//!
//! Levels are chosen by what bodies become: as small as Traefik's (gzip 6, Brotli 6, zstd 3), for less work. A page of
//! 20 kB takes about 100, 460 and 45 microseconds, where Traefik takes 160, 710 and 225.

use super::accept::Coding;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::cell::RefCell;
use std::io::{self, Write};
use zstd::stream::raw::{self, CParameter, InBuffer, Operation, OutBuffer};

const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
/// Bits of the window: half a megabyte for each running response, at most.
const WINDOW: u32 = 19;
/// Encoders of a kind that a thread keeps.
const KEPT: usize = 16;
/// What is asked of an encoder's output at once.
const ROOM: usize = 8 << 10;

thread_local! {
    static GZIP: RefCell<Vec<Compress>> = const { RefCell::new(Vec::new()) };
    static ZSTD: RefCell<Vec<raw::Encoder<'static>>> = const { RefCell::new(Vec::new()) };
}

/// A gzip member without name and time (RFC 1952, 2.3).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A running coding; `out` collects what it gives.
pub(super) struct Encoder {
    pub(super) out: Vec<u8>,
    state: State,
}

enum State {
    Gzip { deflate: Compress, sum: Crc },
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(raw::Encoder<'static>),
}

impl Encoder {
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        let mut out = Vec::new();
        let state = match coding {
            Coding::Gzip => {
                out.extend_from_slice(&GZIP_HEADER);
                let kept = GZIP.with_borrow_mut(Vec::pop);
                State::Gzip { deflate: kept.unwrap_or_else(|| Compress::new(Compression::new(GZIP_LEVEL), false)), sum: Crc::new() }
            }
            Coding::Brotli => State::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), ROOM, BROTLI_QUALITY, WINDOW))),
            Coding::Zstd => State::Zstd(match ZSTD.with_borrow_mut(Vec::pop) {
                Some(kept) => kept,
                None => {
                    let mut encoder = raw::Encoder::new(ZSTD_LEVEL)?;
                    encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
                    encoder
                }
            }),
        };
        Ok(Encoder { out, state })
    }

    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let out = &mut self.out;
        match &mut self.state {
            State::Gzip { deflate, sum } => {
                sum.update(data);
                deflate_all(deflate, data, out, FlushCompress::None)
            }
            State::Brotli(writer) => {
                writer.write_all(data)?;
                out.append(writer.get_mut());
                Ok(())
            }
            State::Zstd(encoder) => {
                let mut input = InBuffer::around(data);
                while input.pos() < data.len() {
                    into_room(out, |room| encoder.run(&mut input, room))?;
                }
                Ok(())
            }
        }
    }

    /// Gives out all that was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let out = &mut self.out;
        match &mut self.state {
            State::Gzip { deflate, .. } => deflate_all(deflate, &[], out, FlushCompress::Sync),
            State::Brotli(writer) => {
                writer.flush()?;
                out.append(writer.get_mut());
                Ok(())
            }
            State::Zstd(encoder) => {
                while into_room(out, |room| encoder.flush(room))? > 0 {}
                Ok(())
            }
        }
    }

    /// The end; gives what is left.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        let mut out = self.out;
        match self.state {
            State::Gzip { mut deflate, sum } => {
                deflate_all(&mut deflate, &[], &mut out, FlushCompress::Finish)?;
                out.extend_from_slice(&sum.sum().to_le_bytes());
                out.extend_from_slice(&sum.amount().to_le_bytes());
                deflate.reset();
                keep(&GZIP, deflate);
            }
            State::Brotli(writer) => out.append(&mut writer.into_inner()),
            State::Zstd(mut encoder) => {
                while into_room(&mut out, |room| encoder.finish(room, true))? > 0 {}
                encoder.reinit()?;
                keep(&ZSTD, encoder);
            }
        }
        Ok(out)
    }
}

fn keep<T>(kept: &'static std::thread::LocalKey<RefCell<Vec<T>>>, encoder: T) {
    kept.with_borrow_mut(|all| {
        if all.len() < KEPT {
            all.push(encoder);
        }
    });
}

/// Has `work` write behind what is in `out`.
fn into_room(out: &mut Vec<u8>, mut work: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>) -> io::Result<usize> {
    out.reserve(ROOM);
    let at = out.len();
    let mut room = OutBuffer::around_pos(out, at);
    work(&mut room)
}

fn deflate_all(deflate: &mut Compress, data: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> io::Result<()> {
    let begin = deflate.total_in();
    loop {
        out.reserve(ROOM);
        let rest = &data[(deflate.total_in() - begin) as usize..];
        let status = deflate.compress_vec(rest, out, flush).map_err(io::Error::other)?;
        let all_in = (deflate.total_in() - begin) as usize == data.len();
        // Room that is left says that there is no more to come.
        if status == Status::StreamEnd || (all_in && out.len() < out.capacity() && flush != FlushCompress::Finish) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    pub(crate) fn decoded(coding: Coding, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(data).read_to_end(&mut out).unwrap(),
            Coding::Brotli => brotli::Decompressor::new(data, 4096).read_to_end(&mut out).unwrap(),
            Coding::Zstd => zstd::stream::read::Decoder::new(data).unwrap().read_to_end(&mut out).unwrap(),
        };
        out
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..length).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn what_is_written_can_be_read() {
        for coding in Coding::ALL {
            // More than once: encoders are used again.
            for _ in 0..3 {
                for data in [vec![], b"x".to_vec(), b"abc ".repeat(5000), noise(100_000)] {
                    let mut encoder = Encoder::new(coding).unwrap();
                    for piece in data.chunks(7000) {
                        encoder.write(piece).unwrap();
                    }
                    assert_eq!(decoded(coding, &encoder.finish().unwrap()), data, "{coding:?}");
                }
            }
        }
    }

    #[test]
    fn a_flush_gives_out_all() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            encoder.write(b"first piece").unwrap();
            encoder.flush().unwrap();
            let mut seen = vec![0; 11];
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&*encoder.out).read_exact(&mut seen).unwrap(),
                Coding::Brotli => brotli::Decompressor::new(&*encoder.out, 4096).read_exact(&mut seen).unwrap(),
                Coding::Zstd => zstd::stream::read::Decoder::new(&*encoder.out).unwrap().read_exact(&mut seen).unwrap(),
            }
            assert_eq!(seen, b"first piece", "{coding:?}");
        }
    }

    #[test]
    fn an_encoder_that_was_dropped_midway_is_not_kept() {
        for _ in 0..3 {
            let mut encoder = Encoder::new(Coding::Gzip).unwrap();
            encoder.write(&noise(50_000)).unwrap();
            drop(encoder);
        }
        let mut encoder = Encoder::new(Coding::Gzip).unwrap();
        encoder.write(b"whole").unwrap();
        assert_eq!(decoded(Coding::Gzip, &encoder.finish().unwrap()), b"whole");
    }
}
