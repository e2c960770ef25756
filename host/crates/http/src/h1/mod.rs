//! HTTP/1: heads, body framing, and the buffered connection that both sides of the gateway use.
//!
//! Our own codec, because the gateway must see what a library hides: the raw target, `Content-Length`
//! beside `Transfer-Encoding`, interim responses; and because an idle connection must hold no buffer.
//! Stricter than RFC 9112 asks where leniency is how requests are smuggled.

pub mod conn;
pub mod framing;
pub mod head;

pub use conn::{Io, fill_size};
pub use framing::{Decoder, Encoder, Framing};
pub use head::{HeadError, RequestHead, ResponseHead};
