//! A client connection that sends bytes as they are and reads what comes back.

use super::PATIENCE;
use super::message::{self, Headers};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The status line as it came.
    pub(crate) line: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    /// Status and headers of the 1xx that came first.
    pub(crate) interim: Vec<(u16, Headers)>,
}

impl Response {
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

pub(crate) struct Conn {
    pub(crate) io: BufReader<TcpStream>,
}

impl Conn {
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Conn {
        Conn::try_open(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"))
    }

    pub(crate) fn try_open(address: SocketAddr) -> io::Result<Conn> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Conn { io: BufReader::new(stream) })
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.get_mut().write_all(bytes)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).unwrap();
    }

    /// Tells the other side that nothing more comes.
    #[track_caller]
    pub(crate) fn finish(&self) {
        self.io.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn try_response(&mut self, head: bool) -> io::Result<Option<Response>> {
        let mut interim = Vec::new();
        loop {
            let Some((line, headers)) = message::head(&mut self.io)? else { return Ok(None) };
            let status =
                line.get(9..12).and_then(|s| s.parse().ok()).ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
            if (100..200).contains(&status) && status != 101 {
                interim.push((status, headers));
                continue;
            }
            let bodiless = head || matches!(status, 101 | 204 | 304);
            let (body, trailers) = if bodiless { Default::default() } else { message::body(&mut self.io, &headers, true)? };
            return Ok(Some(Response { status, line, headers, body, trailers, interim }));
        }
    }

    /// The next response, to anything but HEAD.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.try_response(false).unwrap_or_else(|e| panic!("no response: {e}")).expect("the connection ended without a response")
    }

    /// Start line and headers only.
    #[track_caller]
    pub(crate) fn head(&mut self) -> (String, Headers) {
        message::head(&mut self.io).unwrap().expect("the connection ended without a response")
    }

    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        message::chunk(&mut self.io).unwrap()
    }

    #[track_caller]
    pub(crate) fn exact(&mut self, n: usize) -> Vec<u8> {
        let mut buf = vec![0; n];
        self.io.read_exact(&mut buf).unwrap();
        buf
    }

    /// Sends a request without a body and reads its response.
    #[track_caller]
    pub(crate) fn get(&mut self, host: &str, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        self.response()
    }

    /// Whether the other side ends the connection, with nothing more to say.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        match self.io.fill_buf() {
            Ok([]) => {}
            Ok(more) => panic!("more comes: {:?}", String::from_utf8_lossy(more)),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Err(e) => panic!("still open: {e}"),
        }
    }

    /// Everything up to the end of the connection.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.io.read_to_end(&mut all).unwrap();
        all
    }
}
