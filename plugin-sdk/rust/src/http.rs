//! Requests to other servers. The host has to be granted (`permissions.http`).
//!
//! ```no_run
//! # use torana_plugin_sdk::http;
//! # fn main() -> Result<(), http::Error> {
//! let answer = http::get("https://api.example.com/users/7").header("accept", "application/json").send()?;
//! # let _ = answer; Ok(()) }
//! ```

use std::time::Duration;

use crate::bindings::hosts::torana::plugin::outgoing_http::{HttpError, Request};
use crate::host::outgoing_http;
use crate::{Answer, Header};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host is not granted; the text names it.
    Denied(String),
    /// The answer did not come in time.
    Timeout,
    /// The answer is longer than the plugin's `limits.body`.
    TooLarge,
    /// The URL is no URL, the server does not answer, or not in HTTP.
    Failed(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Denied(host) => write!(f, "{host} is not granted; add it to permissions.http of the plugin"),
            Error::Timeout => f.write_str("no answer in time"),
            Error::TooLarge => f.write_str("the answer is longer than limits.body of the plugin"),
            Error::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

/// A request being put together. See [`get`] and [`request`].
#[must_use = "nothing is sent before `send`"]
pub struct RequestBuilder(Request);

/// A `GET` request.
pub fn get(url: impl Into<String>) -> RequestBuilder {
    request("GET", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> RequestBuilder {
    request("POST", url)
}

/// A request with any method; the URL begins with `http://` or `https://`.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> RequestBuilder {
    RequestBuilder(Request { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new(), timeout_ms: None })
}

impl RequestBuilder {
    /// Adds a header line.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> RequestBuilder {
        self.0.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.0.body = body.into();
        self
    }

    /// Sets the body to JSON, with its `Content-Type`.
    pub fn json(self, body: &serde_json::Value) -> RequestBuilder {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// How long the answer may take. Default and upper bound: the plugin's `limits.timeout`.
    pub fn timeout(mut self, timeout: Duration) -> RequestBuilder {
        self.0.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends the request and waits for the whole answer; other requests of the gateway go on meanwhile. Redirects are not followed.
    pub fn send(self) -> Result<Answer, Error> {
        outgoing_http::send(&self.0).map_err(|error| match error {
            HttpError::Denied(host) => Error::Denied(host),
            HttpError::Timeout => Error::Timeout,
            HttpError::TooLarge => Error::TooLarge,
            HttpError::Failed(why) => Error::Failed(why),
        })
    }
}
