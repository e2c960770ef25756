mod accept;
mod encoder;
mod stream;

use crate::frames::{followed_by, put_back};
use crate::media_type::{BadMediaType, MediaType};
use crate::omit;
use accept::{Choice, Coding, Offer};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
};
use http::{Method, Version};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;
use stream::{Encoded, measured, short};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Response, Step, sniff};

/// A server says by it that gzip is not wanted; it is not passed on.
const NO_GZIP: HeaderName = HeaderName::from_static("no-gzip-compression");
/// Bodies below are not worth it, where the configuration says nothing.
const WORTH: u64 = 1024;
const GRPC: &str = "application/grpc";

/// Compresses responses for clients that can take it.
pub struct Compress;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Media types of requests and responses that are left as they are, beside `application/grpc`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub excluded_content_types: Vec<String>,
    /// If set, only responses of these media types are compressed.
    #[serde(skip_serializing_if = "omit::empty")]
    pub included_content_types: Vec<String>,
    /// Shorter bodies are left as they are; 1024. 0 and below mean the same.
    #[serde(skip_serializing_if = "omit::empty")]
    pub min_response_body_bytes: i64,
    /// `gzip`, `br` and `zstd`: which are offered, the first is preferred where a client likes several as much.
    #[serde(skip_serializing_if = "omit::empty", deserialize_with = "codings")]
    pub encodings: Vec<String>,
    /// For clients that do not send `Accept-Encoding`, or like `*` best; one of `encodings`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub default_encoding: String,
}

fn all_codings() -> Vec<String> {
    Coding::ALL.map(|c| c.name().to_owned()).to_vec()
}

/// An empty list means all, as one that is not there.
fn codings<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let given = Vec::deserialize(d)?;
    Ok(if given.is_empty() { all_codings() } else { given })
}

impl Default for Config {
    fn default() -> Self {
        Config {
            excluded_content_types: Vec::new(),
            included_content_types: Vec::new(),
            min_response_body_bytes: 0,
            encodings: all_codings(),
            default_encoding: String::new(),
        }
    }
}

impl MiddlewareSpec for Compress {
    const NAME: &'static str = "compress";
    const EXAMPLE: &'static str = "excludedContentTypes: [text/event-stream]\nminResponseBodyBytes: 1200\nencodings: [zstd, br, gzip]\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if !config.excluded_content_types.is_empty() && !config.included_content_types.is_empty() {
            return Err(BuildError::new("includedContentTypes", "it cannot be used beside `excludedContentTypes`").hint("remove one of them"));
        }
        let mut excluded = types(&config.excluded_content_types, "excludedContentTypes")?;
        excluded.push(GRPC.to_owned());
        let included = types(&config.included_content_types, "includedContentTypes")?;
        let coding = |name: &str, key: String| {
            let unknown = || BuildError::new(key, format!("there is no coding `{name}` here")).hint("known are `gzip`, `br` and `zstd`");
            Coding::named(name).ok_or_else(unknown)
        };
        let codings = config.encodings.iter().enumerate().map(|(i, name)| coding(name, format!("encodings[{i}]")));
        let codings = codings.collect::<Result<Vec<_>, _>>()?;
        let default = match &*config.default_encoding {
            "" => None,
            name => {
                let known = coding(name, "defaultEncoding".into())?;
                if !codings.contains(&known) {
                    return Err(BuildError::new("defaultEncoding", format!("`{name}` is not among `encodings`")));
                }
                Some(known)
            }
        };
        let worth = u64::try_from(config.min_response_body_bytes).unwrap_or(0);
        Ok(vec![Step::around(Runtime {
            offer: Offer { codings, default },
            excluded,
            included,
            worth: if worth == 0 { WORTH } else { worth },
        })])
    }
}

/// Parameters do not count, as in Traefik.
fn types(list: &[String], key: &str) -> Result<Vec<String>, BuildError> {
    let parse = |(i, text): (usize, &String)| match MediaType::parse(text) {
        Ok(m) => Ok(m.essence),
        Err(why) => {
            let why = match why {
                BadMediaType::Type(why) => why,
                BadMediaType::Parameter(_) => "its parameters cannot be read",
            };
            Err(BuildError::new(format!("{key}[{i}]"), format!("`{text}` is not a media type: {why}")).hint("write for example `text/html`"))
        }
    };
    list.iter().enumerate().map(parse).collect()
}

struct Runtime {
    offer: Offer,
    excluded: Vec<String>,
    included: Vec<String>,
    /// Bytes from which on a body is compressed.
    worth: u64,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let choice = self.choose(exchange);
            let version = exchange.request.version;
            let mut response = next.run(exchange).await;
            if choice != Choice::Nothing {
                vary(response.headers_mut());
            }
            let Choice::Code(coding) = choice else {
                if choice == Choice::Vary {
                    response.headers_mut().remove(NO_GZIP);
                }
                return response;
            };
            // What the server sent stands in the access log, where there is one.
            if let Some(origin) = &mut exchange.origin {
                let size = origin.size.get_or_insert_default().clone();
                let body = std::mem::take(response.body_mut());
                *response.body_mut() = measured(body, size);
            }
            self.encode(&mut response, coding, version).await;
            if coding == Coding::Gzip {
                response.headers_mut().remove(NO_GZIP);
            }
            response
        })
    }
}

impl Runtime {
    fn choose(&self, exchange: &Exchange) -> Choice {
        let request = &exchange.request;
        let sent = request.headers.get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let excluded = sent.and_then(|t| MediaType::essence_of(&t)).is_some_and(|t| self.excluded.contains(&t));
        if request.method == Method::HEAD || excluded { Choice::Nothing } else { self.offer.choose(&request.headers) }
    }

    async fn encode(&self, response: &mut Response, coding: Coding, version: Version) {
        let Some(eager) = self.wants(response, coding) else { return };
        let mut body = std::mem::take(response.body_mut());
        let length = body.length();
        // Whether there is anything to compress is known when it comes.
        let first = loop {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => break data,
                    Err(trailers) => {
                        *response.body_mut() = followed_by([Ok(trailers)], Body::Empty);
                        return;
                    }
                },
                Some(Err(e)) => {
                    *response.body_mut() = followed_by([Err(e)], Body::Empty);
                    return;
                }
                None => return,
            }
        };
        // Traefik's gzip looks at the content where nothing is said of it.
        let unsaid = coding == Coding::Gzip && content_type(response.headers()).is_none();
        if unsaid && !self.fits(sniff::kind(&first[..first.len().min(sniff::LOOKED_AT)]), coding) {
            *response.body_mut() = put_back(first, body, length);
            return;
        }
        match start(coding, first, body, eager, version).await {
            Ok(encoded) => *response.body_mut() = encoded,
            Err(e) => {
                tracing::error!(error = %e, "compress: no encoder");
                *response = torana_http::respond::status_text(http::StatusCode::INTERNAL_SERVER_ERROR);
                return;
            }
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        headers.remove(CONTENT_LENGTH);
        if coding == Coding::Gzip {
            headers.remove(ACCEPT_RANGES);
        }
    }

    /// Whether the lists allow a content type.
    fn fits(&self, kind: &str, coding: Coding) -> bool {
        match (MediaType::parse(kind), self.included.is_empty()) {
            (Ok(m), true) => !self.excluded.contains(&m.essence),
            (Ok(m), false) => self.included.contains(&m.essence),
            // Traefik's gzip takes what is excluded by no name.
            (Err(_), without_list) => coding == Coding::Gzip && without_list,
        }
    }

    /// Whether a response is to be compressed, and then whether each of its pieces goes out at once.
    fn wants(&self, response: &Response, coding: Coding) -> Option<bool> {
        let headers = response.headers();
        let length = match response.body() {
            Body::Empty | Body::Tunnel(_) => return None,
            body => body.length(),
        };
        let set = |name: HeaderName| headers.get(name).is_some_and(|v| !v.is_empty());
        if set(CONTENT_ENCODING) || coding == Coding::Gzip && (set(CONTENT_RANGE) || headers.contains_key(NO_GZIP)) {
            return None;
        }
        let kind = content_type(headers);
        let events = kind.as_deref().and_then(MediaType::essence_of).is_some_and(|e| e == "text/event-stream");
        let fits = kind.is_none_or(|kind| self.fits(&kind, coding));
        let eager = length.is_none() || events;
        let worth = match length {
            Some(n) if coding == Coding::Gzip || !events => n >= self.worth,
            _ => true,
        };
        (fits && worth).then_some(eager)
    }
}

/// What a response says that it is.
fn content_type(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers.get(CONTENT_TYPE).filter(|t| !t.is_empty()).map(|t| String::from_utf8_lossy(t.as_bytes()))
}

async fn start(coding: Coding, first: Bytes, rest: Body, eager: bool, version: Version) -> io::Result<Body> {
    let encoded = Encoded::new(coding, first, rest, eager)?;
    if eager {
        return Ok(Body::stream(encoded, None));
    }
    // What Go's server sends with a length.
    Ok(short(encoded, if version >= Version::HTTP_2 { 4096 } else { 2048 }).await)
}

/// Says first that the coding is a matter of taste; what the server says of others follows.
fn vary(headers: &mut HeaderMap) {
    let others: Vec<HeaderValue> = headers.get_all(VARY).iter().cloned().collect();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    for other in others {
        headers.append(VARY, other);
    }
}

#[cfg(test)]
mod tests;
