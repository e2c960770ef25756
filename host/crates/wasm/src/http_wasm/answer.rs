//! The response as a guest has it in hand: as Go's `http.ResponseWriter`, or held back whole.

use super::message::Refusal;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

/// Interim answers (1xx) that a guest may give to a request; each has a copy of the headers.
const MOST_INTERIM: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    /// Informational responses that go before it.
    pub(super) interim: Vec<(StatusCode, HeaderMap)>,
    held_back: bool,
    status: Option<StatusCode>,
    /// Status and headers are settled: what is not held back goes with the first byte.
    sent: Option<(StatusCode, HeaderMap)>,
    /// Written before the response was held back.
    early: BytesMut,
    body: BytesMut,
    /// Body of the response that was asked for.
    fetched: Bytes,
    /// The guest has begun to write.
    written: bool,
    /// The body is the guest's own, not the one that was asked for.
    replaced: bool,
    unread: Option<Bytes>,
    /// The guest has taken the type of the content away: Go finds one out then.
    pub(super) untyped: bool,
    /// Bytes of a body, at most.
    limit: usize,
}

/// A response that is ready to go.
#[derive(Debug)]
pub(super) struct Finished {
    /// None where nobody has said any.
    pub(super) status: Option<StatusCode>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Status and headers of whatever comes later do not count.
    pub(super) settled: bool,
    /// The guest wrote it piece by piece: Traefik sends it so.
    pub(super) flushed: bool,
    pub(super) replaced: bool,
    pub(super) untyped: bool,
}

impl Answer {
    pub(super) fn new(held_back: bool, limit: usize) -> Answer {
        Answer { held_back, limit, ..Answer::default() }
    }

    pub(super) fn held_back(&self) -> bool {
        self.held_back
    }

    pub(super) fn hold_back(&mut self) {
        if !self.held_back {
            self.held_back = true;
            self.early = std::mem::take(&mut self.body);
        }
    }

    pub(super) fn status(&self) -> Result<StatusCode, Refusal> {
        if !self.held_back {
            return Err(
                "it asks for the status of a response that is not held back: it has to enable the feature buffer_response".to_owned()
            );
        }
        Ok(self.status.unwrap_or(StatusCode::OK))
    }

    pub(super) fn set_status(&mut self, code: u32) -> Result<(), Refusal> {
        let status = u16::try_from(code).ok().and_then(|c| StatusCode::from_u16(c).ok());
        let status =
            status.filter(|s| *s != StatusCode::SWITCHING_PROTOCOLS).ok_or_else(|| format!("{code} is not the status of an answer"))?;
        if status.is_informational() {
            if self.interim.len() == MOST_INTERIM {
                return Err(format!("it gives more than {MOST_INTERIM} answers of the kind {code}"));
            }
            self.interim.push((status, self.headers.clone()));
        } else if self.held_back {
            self.status = Some(status);
        } else {
            self.settle(status);
        }
        Ok(())
    }

    fn settle(&mut self, status: StatusCode) {
        if self.sent.is_none() {
            self.sent = Some((status, self.headers.clone()));
        }
    }

    pub(super) fn write(&mut self, body: &[u8]) -> Result<(), Refusal> {
        if !self.held_back {
            self.settle(StatusCode::OK);
        } else if !self.written {
            self.replaced = true;
            self.body.clear();
            self.fetched = Bytes::new();
        }
        self.written = true;
        if self.body.len() + body.len() > self.limit {
            return Err("it writes a body longer than limits.body".to_owned());
        }
        self.body.extend_from_slice(body);
        Ok(())
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<(usize, bool), Refusal> {
        if !self.held_back {
            return Err("it reads a response that is not held back: it has to enable the feature buffer_response".to_owned());
        }
        let unread = match &mut self.unread {
            Some(unread) => unread,
            none if self.fetched.is_empty() => none.insert(Bytes::copy_from_slice(&self.body)),
            none => none.insert(self.fetched.clone()),
        };
        let n = buf.len().min(unread.len());
        buf[..n].copy_from_slice(&unread.split_to(n));
        // Its end is told with the last byte only to who has asked for more.
        Ok((n, n < buf.len()))
    }

    /// The status, and the body read to its end, of the response that was asked for.
    pub(super) fn fetched(&mut self, body: Bytes) {
        if self.body.is_empty() && !self.written {
            self.fetched = body;
        } else {
            self.body.extend_from_slice(&body);
            // What was written before it is no longer all of it.
            self.replaced = true;
        }
    }

    pub(super) fn asked_for(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn finish(&mut self) -> Finished {
        let settled = self.sent.is_some();
        let (status, headers) = match self.sent.take() {
            Some((status, headers)) => (Some(status), headers),
            None => (self.status, std::mem::take(&mut self.headers)),
        };
        let mut body = std::mem::take(&mut self.early);
        let flushed = (self.written && !self.held_back) || !body.is_empty();
        let body = if body.is_empty() && self.body.is_empty() {
            std::mem::take(&mut self.fetched)
        } else {
            body.extend_from_slice(&self.body);
            body.extend_from_slice(&self.fetched);
            body.freeze()
        };
        Finished { status, headers, body, settled, flushed, replaced: self.replaced || flushed, untyped: self.untyped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_first_byte_settles_the_head() {
        let mut a = Answer::new(false, 20);
        a.headers.insert("a", HeaderValue::from_static("1"));
        a.set_status(103).unwrap();
        a.set_status(403).unwrap();
        a.headers.insert("a", HeaderValue::from_static("2"));
        a.set_status(200).unwrap();
        a.write(b"x").unwrap();
        a.write(b"y").unwrap();
        assert_eq!(a.interim[0].0.as_u16(), 103);
        let f = a.finish();
        assert_eq!(
            (f.status.unwrap().as_u16(), f.headers["a"].as_bytes(), &f.body[..], f.settled, f.flushed),
            (403, &b"1"[..], &b"xy"[..], true, true)
        );
    }

    #[test]
    fn bad_statuses_and_long_bodies() {
        let mut a = Answer::new(false, 3);
        for bad in [0, 99, 101, 1000, 65_736] {
            assert!(a.set_status(bad).is_err(), "{bad}");
        }
        assert!(a.write(b"abc").is_ok() && a.write(b"d").is_err());
        assert!(a.status().is_err() && a.read(&mut [0]).is_err());
    }

    #[test]
    fn what_is_held_back_can_be_read_and_replaced() {
        let mut a = Answer::new(true, 20);
        a.asked_for(StatusCode::NOT_FOUND);
        a.fetched(Bytes::from_static(b"hello"));
        let mut buf = [0; 3];
        assert_eq!(a.status().unwrap().as_u16(), 404);
        assert_eq!((a.read(&mut buf), &buf), (Ok((3, false)), b"hel"));
        a.write(b"other").unwrap();
        assert_eq!((a.read(&mut buf), &buf[..2]), (Ok((2, true)), &b"lo"[..]));
        a.write(b"!").unwrap();
        a.set_status(201).unwrap();
        let f = a.finish();
        assert_eq!((f.status.unwrap().as_u16(), &f.body[..], f.replaced, f.flushed), (201, &b"other!"[..], true, false));
    }

    #[test]
    fn written_before_and_after() {
        let mut a = Answer::new(true, 20);
        a.write(b"mine, ").unwrap();
        a.fetched(Bytes::from_static(b"yours"));
        a.write(b"!").unwrap();
        assert_eq!(&a.finish().body[..], b"mine, yours!");
        let mut a = Answer::new(false, 20);
        a.write(b"early ").unwrap();
        a.hold_back();
        a.fetched(Bytes::from_static(b"late"));
        let f = a.finish();
        assert_eq!((&f.body[..], f.settled, f.replaced), (&b"early late"[..], true, true));
        let mut a = Answer::new(true, 20);
        a.fetched(Bytes::from_static(b"same"));
        let f = a.finish();
        assert_eq!((&f.body[..], f.status, f.replaced), (&b"same"[..], None, false));
    }
}
