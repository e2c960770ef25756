//! Metrics as OTLP has them.

use crate::batch::Courier;
use crate::destination::Destination;
use crate::resource::{Resource, SCHEMA, pair, text};
use crate::spans::{SCOPE, nanos};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as proto;
use proto::metric::Data;
use proto::number_data_point::Value as Number;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use torana_telemetry::metrics::{Reader, Source};
use torana_telemetry::names::{self, Family};
use torana_trace::{Call, Calls, Durations};

/// Reports every `interval`, and once more at `stop`.
pub(crate) async fn run(
    destination: Destination,
    resource: Resource,
    interval: Duration,
    source: Source,
    calls: Arc<Calls>,
    mut stop: watch::Receiver<bool>,
) {
    let started = nanos(SystemTime::now());
    let mut courier = Courier::new(destination);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|s| *s) => true,
        };
        let (source, calls) = (source.clone(), calls.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut points = Points { started, now: nanos(SystemTime::now()), metrics: Vec::new() };
            source(&mut points);
            points.calls(&calls);
            points.metrics
        });
        if let Ok(metrics) = read.await
            && !metrics.is_empty()
        {
            let report = request(metrics, &resource);
            courier.deliver::<_, ExportMetricsServiceResponse>(&report, 1, &mut stop).await;
        }
        if last {
            return;
        }
    }
}

fn request(metrics: Vec<proto::Metric>, resource: &Resource) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope { name: SCOPE.into(), ..Default::default() };
    let scope_metrics = vec![proto::ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![proto::ResourceMetrics { resource: Some(resource.message()), scope_metrics, schema_url: SCHEMA.into() }],
    }
}

/// What was read, as messages.
struct Points {
    started: u64,
    now: u64,
    metrics: Vec<proto::Metric>,
}

fn attributes(labels: &[(&str, &str)]) -> Vec<KeyValue> {
    labels.iter().map(|(k, v)| pair(*k, text(v))).collect()
}

/// As Traefik gives them, which is not right of the moment of a reload.
fn unit(family: Family) -> &'static str {
    match family.kind {
        "histogram" => "s",
        _ if family.name == names::CONFIG_LAST_RELOAD.name => "ms",
        _ => "1",
    }
}

const CUMULATIVE: i32 = proto::AggregationTemporality::Cumulative as i32;

impl Reader for Points {
    fn family(&mut self, family: Family) {
        let data = match family.kind {
            "counter" => Data::Sum(proto::Sum { data_points: Vec::new(), aggregation_temporality: CUMULATIVE, is_monotonic: true }),
            "histogram" => Data::Histogram(proto::Histogram { data_points: Vec::new(), aggregation_temporality: CUMULATIVE }),
            _ => Data::Gauge(proto::Gauge { data_points: Vec::new() }),
        };
        let (name, unit) = (family.name.to_owned(), unit(family).to_owned());
        self.metrics.push(proto::Metric { name, description: family.help.into(), unit, data: Some(data), ..Default::default() });
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        let point = proto::NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.started,
            time_unix_nano: self.now,
            value: Some(Number::AsDouble(value)),
            ..Default::default()
        };
        match self.metrics.last_mut().and_then(|m| m.data.as_mut()) {
            Some(Data::Sum(sum)) => sum.data_points.push(point),
            Some(Data::Gauge(gauge)) => gauge.data_points.push(proto::NumberDataPoint { start_time_unix_nano: 0, ..point }),
            _ => {}
        }
    }

    fn durations(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], seconds: f64) {
        self.histogram(attributes(labels), bounds, buckets, seconds);
    }
}

impl Points {
    fn histogram(&mut self, attributes: Vec<KeyValue>, bounds: &[f64], buckets: &[u64], sum: f64) {
        let point = proto::HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.started,
            time_unix_nano: self.now,
            count: buckets.iter().sum(),
            sum: Some(sum),
            bucket_counts: buckets.to_vec(),
            explicit_bounds: bounds.to_vec(),
            ..Default::default()
        };
        if let Some(Data::Histogram(h)) = self.metrics.last_mut().and_then(|m| m.data.as_mut()) {
            h.data_points.push(point);
        }
    }

    /// The two histograms of OpenTelemetry's own names.
    fn calls(&mut self, calls: &Calls) {
        let totals = calls.totals();
        for (received, family) in [(true, names::HTTP_SERVER_DURATION), (false, names::HTTP_CLIENT_DURATION)] {
            let of = |key: &Result<Call, bool>| match key {
                Ok(call) => call.received,
                Err(overflow) => *overflow,
            };
            let own: Vec<&(Result<Call, bool>, Durations)> = totals.iter().filter(|(key, _)| of(key) == received).collect();
            if own.is_empty() {
                continue;
            }
            self.family(family);
            for (key, d) in own {
                let attributes = key.as_ref().map_or_else(|_| vec![pair("otel.metric.overflow", Value::BoolValue(true))], described);
                self.histogram(attributes, calls.bounds(), &d.buckets, d.seconds);
            }
        }
    }
}

/// The attributes of a kind of requests, as Traefik words them.
fn described(call: &Call) -> Vec<KeyValue> {
    let strange = if call.received { "Invalid HTTP status code ;" } else { "Invalid HTTP status code" };
    let error = match call.status {
        s if !(100..600).contains(&s) => Some(format!("{strange} {s}")),
        s if s >= 400 => Some(s.to_string()),
        _ => None,
    };
    let version = match call.version {
        v @ ("1.0" | "1.1") => v.to_owned(),
        v => format!("HTTP/{v}"),
    };
    let mut all: Vec<KeyValue> = error.into_iter().map(|e| pair("error.type", Value::StringValue(e))).collect();
    all.push(pair("http.request.method", text(call.method.as_str())));
    all.push(pair("http.response.status_code", Value::IntValue(call.status.into())));
    all.push(pair("network.protocol.name", Value::StringValue(format!("http/{}", call.version))));
    all.push(pair("network.protocol.version", Value::StringValue(version)));
    all.push(pair("server.address", text(&call.address)));
    all.extend(call.port.map(|p| pair("server.port", Value::IntValue(p.into()))));
    all.push(pair("url.scheme", text(&call.scheme)));
    all
}
