//! HTTP as the gateway sees it: messages, bodies, the chain of middlewares, the HTTP/1 codec, and the
//! only place that turns an error into a status. Runs on one thread: nothing here is `Send` per request.

pub mod body;
pub mod chain;
mod client;
pub mod error;
pub mod exchange;
pub mod forwarded;
pub mod h1;
pub mod h2io;
pub mod h3;
pub mod hop;
pub mod path;
pub mod peer;
pub mod proxy_protocol;
pub mod respond;
mod saved;
pub mod sniff;
pub mod tcp;
pub mod variables;
mod whole;

pub use body::{Body, BodyError, Frame, Tunnel};
pub use chain::{Around, Endpoint, Filter, Flow, LocalFuture, Next, Step, run};
pub use client::{Client, Clients};
pub use error::{ErrorKind, ProxyError, Side};
pub use exchange::{Exchange, Origin, Request, Response};
pub use peer::{Attached, Interim, Peer, TlsFacts};
pub use saved::SavedHead;
pub use tcp::{Admission, TcpFilter};
pub use whole::WholeBody;
