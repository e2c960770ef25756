//! Traces and metrics for OpenTelemetry collectors (TRC-01, TRC-02, MET-02).

use crate::harness::{Backend, Setup, collector, eventually, free_port, grpc_collector, messages, route};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;

fn spans(collector: &Backend, path: &str) -> Vec<Span> {
    let requests: Vec<ExportTraceServiceRequest> = messages(collector, path);
    requests.into_iter().flat_map(|r| r.resource_spans).flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn setup(routing: &str) -> Setup {
    Setup::new().file("routing.yml", routing).env("OTEL_BSP_SCHEDULE_DELAY", "50")
}

#[test]
fn a_request_is_one_trace_from_the_client_to_the_server() {
    let (server, collector) = (Backend::named("a"), collector());
    let gateway =
        setup(&route("PathPrefix(`/`)", &[&server.url()])).flag(format!("--tracing.otlp.http.endpoint={}", collector.url())).start();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    gateway.ask(format!("GET /x HTTP/1.1\r\nhost: test.local\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"));
    let all = eventually("both spans", || Some(spans(&collector, "/v1/traces")).filter(|s| s.len() == 2));
    let of = |name: &str| all.iter().find(|s| s.name == name).unwrap();
    let (received, sent) = (of("GET"), of("ReverseProxy"));
    assert_eq!((hex(&received.trace_id), hex(&received.parent_span_id)), (trace.into(), "b7ad6b7169203331".into()));
    assert_eq!((&sent.trace_id, &sent.parent_span_id), (&received.trace_id, &received.span_id));
    assert!(received.start_time_unix_nano <= sent.start_time_unix_nano && sent.end_time_unix_nano <= received.end_time_unix_nano);
    let brought = server.request(0).headers.one("traceparent").unwrap().to_owned();
    assert_eq!(brought, format!("00-{trace}-{}-01", hex(&sent.span_id)));
}

#[test]
fn a_stop_sends_what_waits() {
    let (server, collector) = (Backend::named("a"), collector());
    let endpoint = format!("--tracing.otlp.http.endpoint={}/own/path", collector.url());
    let setup = Setup::new().file("routing.yml", route("PathPrefix(`/`)", &[&server.url()])).env("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut gateway = setup.flag(endpoint).flag("--tracing.otlp.http.headers.x-key=hidden").flag("--log.level=TRACE").start();
    for _ in 0..3 {
        gateway.get("/");
    }
    assert_eq!(collector.requests().len(), 0);
    gateway.stop();
    assert_eq!(spans(&collector, "/own/path").iter().filter(|s| s.name == "GET").count(), 3);
    assert_eq!(collector.request(0).headers.one("x-key"), Some("hidden"));
    assert!(!gateway.log().contains("hidden"));
}

#[test]
fn a_collector_that_is_away_harms_nothing() {
    let server = Backend::named("a");
    let away = format!("--tracing.otlp.grpc.endpoint=127.0.0.1:{}", free_port());
    let gateway = setup(&route("PathPrefix(`/`)", &[&server.url()]));
    let gateway = gateway.env("OTEL_BSP_MAX_QUEUE_SIZE", "2").flag(away).flag("--tracing.otlp.grpc.insecure").start();
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.wait_log("that it is away", |l| l.contains("the OpenTelemetry collector takes nothing"));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    let told = gateway.log().lines().filter(|l| l.contains("OpenTelemetry collector")).count();
    assert_eq!(told, 1, "{}", gateway.log());
}

#[test]
fn spans_and_metrics_go_over_grpc() {
    let (server, collector) = (Backend::named("a"), grpc_collector());
    let address = collector.url().rsplit('/').next().unwrap().to_owned();
    let mut gateway = setup(&route("PathPrefix(`/`)", &[&server.url()]));
    for block in ["tracing.otlp.grpc", "metrics.otlp.grpc"] {
        gateway = gateway
            .flag(format!("--{block}.endpoint={address}"))
            .flag(format!("--{block}.insecure"))
            .flag(format!("--{block}.headers.x-key=k"));
    }
    let gateway = gateway.flag("--metrics.otlp.pushinterval=100ms").start();
    gateway.get("/");
    let traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    eventually("both spans", || Some(spans(&collector, traces)).filter(|s| s.len() == 2));
    let counted = || {
        let all: Vec<ExportMetricsServiceRequest> = messages(&collector, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
        let metrics = all.into_iter().flat_map(|r| r.resource_metrics).flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics);
        let names: Vec<String> = metrics.map(|m| m.name).collect();
        ["traefik_entrypoint_requests_total", "http.server.request.duration", "http.client.request.duration"]
            .iter()
            .all(|n| names.iter().any(|m| m == n))
            .then_some(())
    };
    eventually("metrics", counted);
    assert!(collector.requests().iter().all(|r| r.headers.one("x-key") == Some("k")));
}

#[test]
fn a_block_that_cannot_be_used_switches_off_itself_alone() {
    let server = Backend::named("a");
    let setup = setup(&route("PathPrefix(`/`)", &[&server.url()])).flag("--tracing.otlp.http.endpoint=no-url");
    let gateway = setup.start();
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(server.request(0).headers.one("traceparent"), None);
    gateway.wait_log("what is wrong", |l| l.contains("requests are not traced") && l.contains("tracing.otlp.http.endpoint"));
}
