//! Spans as OTLP has them.

use crate::batch::{Batches, Queue, queue};
use crate::destination::Destination;
use crate::environment::Environment;
use crate::resource::{Resource, SCHEMA, list, pair};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1 as proto;
use proto::span::SpanKind;
use proto::status::StatusCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use torana_trace::{Kind, Sink, Span, Status, Value};

/// What the spans are called after: Traefik's, by which they are found where it was before.
pub(crate) const SCOPE: &str = "github.com/traefik/traefik";

impl Sink for Queue<Span> {
    fn take(&self, span: Span) {
        self.put(span);
    }
}

pub(crate) fn spans(destination: Destination, environment: &Environment) -> (Queue<Span>, Batches<Span>) {
    queue(destination, environment.batches("BSP", Duration::from_secs(5)))
}

pub(crate) async fn run(batches: Batches<Span>, resource: Resource, stop: watch::Receiver<bool>) {
    let message = |spans| request(spans, &resource);
    batches.run::<ExportTraceServiceRequest, ExportTraceServiceResponse>(message, stop).await;
}

fn request(spans: Vec<Span>, resource: &Resource) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: SCOPE.into(), ..Default::default() };
    let scope_spans =
        vec![proto::ScopeSpans { scope: Some(scope), spans: spans.into_iter().map(span).collect(), schema_url: String::new() }];
    ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans { resource: Some(resource.message()), scope_spans, schema_url: SCHEMA.into() }],
    }
}

fn span(s: Span) -> proto::Span {
    let kind = match s.kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    };
    let status = match s.status {
        Status::Unset => proto::Status::default(),
        Status::Error(why) => proto::Status { message: why.into_owned(), code: StatusCode::Error.into() },
    };
    proto::Span {
        trace_id: s.context.trace.0.to_vec(),
        span_id: s.context.span.0.to_vec(),
        trace_state: s.context.state.to_string(),
        parent_span_id: s.parent.map_or_else(Vec::new, |p| p.0.to_vec()),
        flags: s.context.flags.into(),
        name: s.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(s.start),
        end_time_unix_nano: nanos(s.end),
        attributes: s.attributes.into_iter().map(|(k, v)| pair(k, value(v))).collect(),
        dropped_attributes_count: s.dropped,
        status: Some(status),
        ..Default::default()
    }
}

pub(crate) fn value(v: Value) -> any_value::Value {
    match v {
        Value::Text(t) => any_value::Value::StringValue(t.into_owned()),
        Value::Shared(t) => any_value::Value::StringValue(t.to_string()),
        Value::Texts(all) => list(all.into_iter().map(any_value::Value::StringValue)),
        Value::Int(n) => any_value::Value::IntValue(n),
        Value::Float(n) => any_value::Value::DoubleValue(n),
        Value::Bool(b) => any_value::Value::BoolValue(b),
    }
}

pub(crate) fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
