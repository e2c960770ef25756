//! Logs for OpenTelemetry collectors (LOG-05).

use crate::harness::{Backend, Conn, Setup, collector, eventually, free_port, grpc_collector, messages, route};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::BTreeSet;
use std::fs;

/// The records that came to this path, with the service that they are of.
fn records(collector: &Backend, path: &str) -> Vec<(String, LogRecord)> {
    let requests: Vec<ExportLogsServiceRequest> = messages(collector, path);
    let mut all = Vec::new();
    for r in requests.into_iter().flat_map(|r| r.resource_logs) {
        let attributes = r.resource.unwrap().attributes;
        let service = attributes.into_iter().find(|a| a.key == "service.name").and_then(|a| text(a.value.unwrap().value));
        let service = service.unwrap();
        all.extend(r.scope_logs.into_iter().flat_map(|s| s.log_records).map(|l| (service.clone(), l)));
    }
    all
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::StringValue(text)) => Some(text),
        _ => None,
    }
}

fn body(record: &LogRecord) -> String {
    text(record.body.clone().unwrap().value).unwrap()
}

fn attribute(record: &LogRecord, name: &str) -> Option<Value> {
    record.attributes.iter().find(|a| a.key == name).and_then(|a| a.value.clone()?.value)
}

const GRPC: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn setup(server: &Backend) -> Setup {
    let setup = Setup::new().file("routing.yml", route("PathPrefix(`/`)", &[&server.url()]));
    setup.flag("--experimental.otlplogs").env("OTEL_BLRP_SCHEDULE_DELAY", "50")
}

#[test]
fn every_request_is_one_record_over_workers_reloads_and_a_stop() {
    let (server, collector) = (Backend::named("a"), collector());
    let setup = setup(&server).flag(format!("--accesslog.otlp.http.endpoint={}", collector.url())).flag("--accesslog.filepath=access.log");
    let mut gateway = setup.flag("--accesslog.otlp.servicename=mine").flag("--accesslog.otlp.http.headers.x-key=hidden").start();
    let web = gateway.web();
    let requests = || {
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(move || {
                    for _ in 0..5 {
                        Conn::open(web).get("test.local", "/x");
                    }
                });
            }
        });
    };
    requests();
    let before = gateway.generation();
    gateway.reload("routing.yml", &route("PathPrefix(`/x`)", &[&server.url()]));
    eventually("the reload", || (gateway.generation() > before).then_some(()));
    requests();
    gateway.stop();
    let all = records(&collector, "/v1/logs");
    let count = |r: &LogRecord| match attribute(r, "RequestCount") {
        Some(Value::IntValue(n)) => n,
        other => panic!("{other:?}"),
    };
    let counts: BTreeSet<i64> = all.iter().map(|(_, r)| count(r)).collect();
    assert_eq!((all.len(), counts.len()), (40, 40));
    for (service, record) in &all {
        assert_eq!((service.as_str(), record.severity_number, record.severity_text.as_str()), ("mine", 9, "info"));
        assert!(body(record).contains("\"GET /x HTTP/1.1\" 200") && body(record).ends_with("ms\n"), "{}", body(record));
        assert_eq!(attribute(record, "DownstreamStatus"), Some(Value::IntValue(200)));
        assert!(record.time_unix_nano > 0 && record.time_unix_nano <= record.observed_time_unix_nano);
        assert!(record.trace_id.is_empty());
    }
    assert_eq!(collector.request(0).header("x-key"), Some("hidden"));
    assert!(!gateway.log().contains("hidden"));
    assert_eq!(fs::read_to_string(gateway.folder.path().join("access.log")).unwrap(), "");
}

#[test]
fn both_the_file_and_the_collector_over_grpc() {
    let (server, collector) = (Backend::named("a"), grpc_collector());
    let address = collector.url().rsplit('/').next().unwrap().to_owned();
    let mut setup = setup(&server).flag("--accesslog.dualoutput").flag("--accesslog.filepath=access.log").flag("--accesslog.format=json");
    for flag in [format!("endpoint={address}"), "insecure".into()] {
        setup = setup.flag(format!("--accesslog.otlp.grpc.{flag}")).flag(format!("--tracing.otlp.grpc.{flag}"));
    }
    let mut gateway = setup.start();
    gateway.get("/x");
    gateway.stop();
    let all = records(&collector, GRPC);
    assert_eq!(all.len(), 1);
    let (_, record) = &all[0];
    assert_eq!(fs::read_to_string(gateway.folder.path().join("access.log")).unwrap(), body(record));
    let hex: String = record.trace_id.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(attribute(record, "trace_id"), Some(Value::StringValue(hex)));
    assert_eq!((record.span_id.len(), record.flags), (8, 1));
}

#[test]
fn the_log_goes_out_and_stays_where_it_is() {
    let (server, collector) = (Backend::named("a"), collector());
    let mut gateway = setup(&server).flag(format!("--log.otlp.http.endpoint={}", collector.url())).flag("--log.level=TRACE").start();
    gateway.get("/");
    gateway.stop();
    let all = records(&collector, "/v1/logs");
    let of = |text: &str| all.iter().find(|(_, r)| body(r) == text).unwrap_or_else(|| panic!("{text}"));
    let (_, listening) = of("listening");
    assert_eq!((listening.severity_number, listening.severity_text.as_str()), (9, ""));
    assert!(attribute(listening, "entryPointName").is_some() && attribute(listening, "caller").is_some());
    assert!(matches!(attribute(&of("serving").1, "workers"), Some(Value::IntValue(n)) if n > 0));
    of("stopped");
    // Sending makes lines of its own, which would never end.
    assert!(collector.requests().len() < 50, "{}", collector.requests().len());
    assert!(gateway.log().contains("listening"));
}

#[test]
fn a_collector_that_is_away_harms_nothing() {
    let server = Backend::named("a");
    let away = format!("http://127.0.0.1:{}", free_port());
    let setup = setup(&server).flag(format!("--accesslog.otlp.http.endpoint={away}")).env("OTEL_BLRP_MAX_QUEUE_SIZE", "2");
    let mut gateway = setup.flag(format!("--log.otlp.http.endpoint={away}")).flag("--log.level=DEBUG").start();
    for _ in 0..30 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.wait_log("that it is away", |l| l.contains("the OpenTelemetry collector takes nothing"));
    for _ in 0..30 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!(gateway.stop(), Some(0));
    let told = gateway.log().lines().filter(|l| l.contains("OpenTelemetry collector takes nothing")).count();
    assert!(told <= 2, "{}", gateway.log());
}

#[test]
fn a_collector_that_cannot_be_used_leaves_the_file() {
    let server = Backend::named("a");
    let gateway = setup(&server).flag("--accesslog.otlp.http.endpoint=no-url").flag("--accesslog.filepath=access.log").start();
    gateway.wait_log("what is wrong", |l| l.contains("accessLog.otlp.http.endpoint"));
    gateway.get("/");
    let file = gateway.folder.path().join("access.log");
    eventually("a line", || fs::read_to_string(&file).ok().filter(|text| text.contains("GET / HTTP/1.1")));
}
