//! The headers of OpenTracing's basic tracer. Of a trace's id the lower half goes out.

use super::{put, text};
use crate::context::Context;
use crate::id::{SpanId, TraceId};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

const TRACE: HeaderName = HeaderName::from_static("ot-tracer-traceid");
const SPAN: HeaderName = HeaderName::from_static("ot-tracer-spanid");
const SAMPLED: HeaderName = HeaderName::from_static("ot-tracer-sampled");

pub(super) fn extract(headers: &HeaderMap) -> Option<Context> {
    let flags = match text(headers, &SAMPLED) {
        None | Some("0" | "false") => 0,
        Some("1" | "true") => Context::SAMPLED,
        Some(_) => return None,
    };
    let trace = text(headers, &TRACE).filter(|t| matches!(t.len(), 16 | 32))?;
    let span = text(headers, &SPAN).filter(|s| s.len() == 16)?;
    Some(Context { trace: TraceId::from_hex(trace)?, span: SpanId::from_hex(span)?, flags, state: Arc::default() })
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    put(headers, TRACE, format!("{:016x}", context.trace.low()));
    put(headers, SPAN, context.span.to_string());
    put(headers, SAMPLED, context.is_sampled().to_string());
}
