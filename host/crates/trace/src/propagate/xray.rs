//! The header of AWS X-Ray.

use super::{put, text};
use crate::context::Context;
use crate::id::{SpanId, TraceId};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

const NAME: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// `Root=1-{8 digits}-{24 digits};Parent={span};Sampled={0|1}`, in any order.
pub(super) fn extract(headers: &HeaderMap) -> Option<Context> {
    let (mut trace, mut span, mut flags) = (None, None, 0);
    for part in text(headers, &NAME)?.split(';') {
        let (key, value) = part.trim().split_once('=')?;
        match key {
            "Root" => {
                let (time, rest) = value.strip_prefix("1-")?.split_once('-')?;
                trace = (time.len() == 8 && rest.len() == 24).then(|| TraceId::from_hex(&format!("{time}{rest}"))).flatten();
            }
            "Parent" => span = SpanId::from_hex(value).filter(|_| value.len() == 16),
            "Sampled" => flags = u8::from(value == "1"),
            _ => {}
        }
    }
    Some(Context { trace: trace?, span: span?, flags, state: Arc::default() })
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    let trace = context.trace.to_string();
    let (time, rest) = trace.split_at(8);
    put(headers, NAME, format!("Root=1-{time}-{rest};Parent={};Sampled={}", context.span, u8::from(context.is_sampled())));
}
