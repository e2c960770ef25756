//! W3C Trace Context.

use super::{put, text};
use crate::context::Context;
use crate::id::{SpanId, TraceId};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// Members of `tracestate` (3.3.1.1).
const MOST_MEMBERS: usize = 32;

pub(super) fn extract(headers: &HeaderMap) -> Option<Context> {
    let (trace, span, flags) = parent(text(headers, &PARENT)?)?;
    Some(Context { trace, span, flags, state: state(headers).unwrap_or_default() })
}

fn parent(value: &str) -> Option<(TraceId, SpanId, u8)> {
    if !value.bytes().all(|b| b == b'-' || b.is_ascii_digit() || b.is_ascii_lowercase()) {
        return None;
    }
    let mut parts = value.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let more = parts.next().is_some();
    if version.len() != 2 || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let version = u8::from_str_radix(version, 16).ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let known = Context::SAMPLED | Context::RANDOM;
    // A later version may say more than is understood (4).
    if version == 0xff || version == 0 && (more || flags > known) {
        return None;
    }
    Some((TraceId::from_hex(trace)?, SpanId::from_hex(span)?, flags & known))
}

/// All of it, or nothing if a member is wrong.
fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    let value = text(headers, &STATE)?;
    let mut members: Vec<(&str, &str)> = Vec::new();
    for member in value.split(',').map(|m| m.trim_matches([' ', '\t'])).filter(|m| !m.is_empty()) {
        let (key, value) = member.split_once('=')?;
        if !is_key(key) || !is_value(value) || members.iter().any(|m| m.0 == key) || members.len() == MOST_MEMBERS {
            return None;
        }
        members.push((key, value));
    }
    let joined: Vec<String> = members.iter().map(|(k, v)| format!("{k}={v}")).collect();
    Some(joined.join(",").into())
}

fn is_key(key: &str) -> bool {
    let part = |text: &str, most: usize, digit_first: bool| {
        !text.is_empty()
            && text.len() <= most
            && text.starts_with(|c: char| c.is_ascii_lowercase() || digit_first && c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/".contains(&b))
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
        None => part(key, 256, true),
    }
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b',' && b != b'=')
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    if !context.state.is_empty() {
        put(headers, STATE, context.state.to_string());
    }
    put(headers, PARENT, format!("00-{}-{}-{:02x}", context.trace, context.span, context.flags));
}
