use std::fmt;

/// What went wrong with a request, in the gateway's terms. `respond` maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server could not be reached: refused, reset, no such host, closed before answering.
    Unreachable,
    /// Dialling, the handshake or the response head took too long.
    Timeout,
    /// No server is left to choose from.
    NoServer,
    /// The server answered something that is not HTTP, or its certificate does not verify.
    Protocol,
    /// The client went away.
    ClientGone,
    /// The request body broke its framing.
    BadRequest,
    /// Our own fault.
    Internal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// Left as an extension on the response that it became, so that `retry` and the logs can see it.
#[derive(Clone, Debug)]
pub struct ProxyError {
    pub kind: ErrorKind,
    pub side: Side,
    /// No byte of the request reached a server: it may be sent again, whatever the method.
    pub retry: bool,
    pub cause: String,
}

impl ProxyError {
    pub fn server(kind: ErrorKind, retry: bool, cause: impl fmt::Display) -> Self {
        ProxyError { kind, side: Side::Server, retry, cause: cause.to_string() }
    }

    pub fn client(kind: ErrorKind, cause: impl fmt::Display) -> Self {
        ProxyError { kind, side: Side::Client, retry: false, cause: cause.to_string() }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?} side): {}", self.kind, self.side, self.cause)
    }
}

impl std::error::Error for ProxyError {}
