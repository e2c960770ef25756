//! Zipkin's B3, in one header or several. Both are read, the single one first.

use super::{put, text};
use crate::context::Context;
use crate::id::{SpanId, TraceId};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// `debug` is set if the headers say so, with or without a context.
pub(super) fn extract(headers: &HeaderMap, debug: &mut bool) -> Option<Context> {
    text(headers, &SINGLE).and_then(|v| single(v, debug)).or_else(|| multi(headers, debug))
}

fn context(trace: &str, span: &str, sampled: bool) -> Option<Context> {
    if !matches!(trace.len(), 16 | 32) || span.len() != 16 {
        return None;
    }
    let flags = if sampled { Context::SAMPLED } else { 0 };
    Some(Context { trace: TraceId::from_hex(trace)?, span: SpanId::from_hex(span)?, flags, state: Arc::default() })
}

/// `{trace}-{span}[-{sampled}[-{parent}]]`; the state of sampling alone says nothing to us but "debug".
fn single(value: &str, debug: &mut bool) -> Option<Context> {
    let parts: Vec<&str> = value.split('-').collect();
    let state = |s: &str| matches!(s, "" | "0" | "1" | "d" | "true" | "false");
    match parts[..] {
        [alone] => {
            *debug |= alone == "d";
            None
        }
        [trace, span] => context(trace, span, false),
        [trace, span, sampled] | [trace, span, sampled, _] if state(sampled) => {
            let found = context(trace, span, matches!(sampled, "1" | "d" | "true"))?;
            *debug |= sampled == "d";
            Some(found)
        }
        _ => None,
    }
}

fn multi(headers: &HeaderMap, debug: &mut bool) -> Option<Context> {
    *debug |= text(headers, &FLAGS) == Some("1");
    let sampled = match text(headers, &SAMPLED).map(str::to_ascii_lowercase).as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true") => true,
        Some(_) => return None,
    };
    context(text(headers, &TRACE)?, text(headers, &SPAN)?, sampled || *debug)
}

pub(super) fn inject(context: &Context, debug: bool, headers: &mut HeaderMap) {
    let sampled = match (debug, context.is_sampled()) {
        (true, _) => "d",
        (false, true) => "1",
        (false, false) => "0",
    };
    put(headers, SINGLE, format!("{}-{}-{sampled}", context.trace, context.span));
}

pub(super) fn inject_multi(context: &Context, debug: bool, headers: &mut HeaderMap) {
    put(headers, TRACE, context.trace.to_string());
    put(headers, SPAN, context.span.to_string());
    if debug {
        put(headers, FLAGS, "1".into());
    } else {
        put(headers, SAMPLED, u8::from(context.is_sampled()).to_string());
    }
}
