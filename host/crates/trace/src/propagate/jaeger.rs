//! Jaeger's own header.

use super::{put, text};
use crate::context::Context;
use crate::id::{SpanId, TraceId};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

const NAME: HeaderName = HeaderName::from_static("uber-trace-id");

/// `{trace}:{span}:{parent}:{flags}`
pub(super) fn extract(headers: &HeaderMap) -> Option<Context> {
    let parts: Vec<&str> = text(headers, &NAME)?.split(':').collect();
    let [trace, span, _, flags] = parts[..] else { return None };
    let flags = u8::from_str_radix(flags, 16).ok()? & Context::SAMPLED;
    Some(Context { trace: TraceId::from_hex(trace)?, span: SpanId::from_hex(span)?, flags, state: Arc::default() })
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    put(headers, NAME, format!("{}:{}:0:{}", context.trace, context.span, u8::from(context.is_sampled())));
}
