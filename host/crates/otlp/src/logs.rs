//! Log records as OTLP has them.

use crate::batch::{Batches, Queue, queue};
use crate::destination::Destination;
use crate::environment::Environment;
use crate::resource::{Resource, SCHEMA, pair, text};
use crate::spans::{nanos, value};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1 as proto;
use std::time::Duration;
use tokio::sync::watch;
use torana_telemetry::{Record, Records};

/// What the records are called after, as in Traefik.
const SCOPE: &str = "traefik";
/// `SAMPLED` of the flags of a trace (W3C Trace Context, section 3.2.2.5.1).
const SAMPLED: u32 = 1;

impl Records for Queue<Record> {
    fn take(&self, record: Record) {
        self.put(record);
    }
}

pub(crate) fn logs(destination: Destination, environment: &Environment) -> (Queue<Record>, Batches<Record>) {
    queue(destination, environment.batches("BLRP", Duration::from_secs(1)))
}

pub(crate) async fn run(batches: Batches<Record>, resource: Resource, stop: watch::Receiver<bool>) {
    let message = |records| request(records, &resource);
    batches.run::<ExportLogsServiceRequest, ExportLogsServiceResponse>(message, stop).await;
}

fn request(records: Vec<Record>, resource: &Resource) -> ExportLogsServiceRequest {
    let scope = InstrumentationScope { name: SCOPE.into(), ..Default::default() };
    let log_records = records.into_iter().map(record).collect();
    let scope_logs = vec![proto::ScopeLogs { scope: Some(scope), log_records, schema_url: String::new() }];
    ExportLogsServiceRequest {
        resource_logs: vec![proto::ResourceLogs { resource: Some(resource.message()), scope_logs, schema_url: SCHEMA.into() }],
    }
}

fn record(r: Record) -> proto::LogRecord {
    proto::LogRecord {
        time_unix_nano: nanos(r.at),
        observed_time_unix_nano: nanos(r.observed),
        severity_number: r.severity as i32,
        severity_text: r.level.unwrap_or_default().into(),
        body: Some(AnyValue { value: Some(text(&r.body)) }),
        attributes: r.attributes.into_iter().map(|(name, v)| pair(name, value(v))).collect(),
        flags: r.trace.map_or(0, |t| if t.sampled { SAMPLED } else { 0 }),
        trace_id: r.trace.map_or_else(Vec::new, |t| t.id.to_vec()),
        span_id: r.trace.map_or_else(Vec::new, |t| t.span.to_vec()),
        ..Default::default()
    }
}
