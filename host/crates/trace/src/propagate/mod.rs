//! How a context travels in headers (`OTEL_PROPAGATORS`).

mod b3;
mod baggage;
mod jaeger;
mod ottrace;
mod w3c;
mod xray;

use crate::context::Context;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What a request brought.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    pub parent: Option<Context>,
    /// `baggage` as it goes on.
    baggage: Option<HeaderValue>,
    /// B3's debug flag.
    debug: bool,
}

/// A form of the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagator {
    /// `traceparent` and `tracestate` (W3C Trace Context).
    TraceContext,
    /// `baggage` (W3C Baggage).
    Baggage,
    /// `b3`
    B3,
    /// `x-b3-traceid` and its kin
    B3Multi,
    /// `uber-trace-id`
    Jaeger,
    /// `x-amzn-trace-id`
    Xray,
    /// `ot-tracer-traceid` and its kin
    OtTrace,
}

impl Propagator {
    /// By its name in `OTEL_PROPAGATORS`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "tracecontext" => Propagator::TraceContext,
            "baggage" => Propagator::Baggage,
            "b3" => Propagator::B3,
            "b3multi" => Propagator::B3Multi,
            "jaeger" => Propagator::Jaeger,
            "xray" => Propagator::Xray,
            "ottrace" => Propagator::OtTrace,
            _ => return None,
        })
    }

    /// Reads what it finds; a later propagator's parent takes the place of an earlier one's.
    pub(crate) fn extract(self, headers: &HeaderMap, carried: &mut Carried) {
        let parent = match self {
            Propagator::TraceContext => w3c::extract(headers),
            Propagator::Baggage => {
                carried.baggage = baggage::extract(headers).or(carried.baggage.take());
                None
            }
            Propagator::B3 | Propagator::B3Multi => b3::extract(headers, &mut carried.debug),
            Propagator::Jaeger => jaeger::extract(headers),
            Propagator::Xray => xray::extract(headers),
            Propagator::OtTrace => ottrace::extract(headers),
        };
        carried.parent = parent.or(carried.parent.take());
    }

    pub(crate) fn inject(self, context: &Context, carried: &Carried, headers: &mut HeaderMap) {
        match self {
            Propagator::TraceContext => w3c::inject(context, headers),
            Propagator::Baggage => {
                if let Some(value) = &carried.baggage {
                    headers.insert(baggage::NAME, value.clone());
                }
            }
            Propagator::B3 => b3::inject(context, carried.debug, headers),
            Propagator::B3Multi => b3::inject_multi(context, carried.debug, headers),
            Propagator::Jaeger => jaeger::inject(context, headers),
            Propagator::Xray => xray::inject(context, headers),
            Propagator::OtTrace => ottrace::inject(context, headers),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|v| !v.is_empty())
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
