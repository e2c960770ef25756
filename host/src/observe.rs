//! What is told to OpenTelemetry collectors, Datadog, StatsD and InfluxDB, from configuration and environment. A block that cannot be used is told
//! in the log, and switches off itself alone.

use http::HeaderName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use torana_base::Diagnostic;
use torana_config::install::{InfluxDb2Config, InstallConfig, OtlpLogConfig, OtlpMetricsConfig, StatsdConfig, TracingConfig};
use torana_control::Published;
use torana_otlp::{Destination, Environment, Exporters, Resource, Signal};
use torana_report::{BOUNDS, Push};
use torana_telemetry::Records;
use torana_telemetry::metrics::{Audience, Metrics, Source, View};
use torana_trace::{Calls, Options, Tracer};

/// Tells of what cannot be used.
pub(crate) fn told<T>(what: &str, made: Result<T, Diagnostic>) -> Option<T> {
    made.inspect_err(|d| tracing::error!("{what}: {}", d.to_string().replace('\n', " "))).ok()
}

fn resource(key: &str, name: &str, attributes: &BTreeMap<String, String>, environment: &Environment) -> Result<Resource, Diagnostic> {
    Resource::new(name, attributes, env!("CARGO_PKG_VERSION"), environment).map_err(|e| Diagnostic::error(key, e))
}

/// What traces requests, if that is configured.
pub(crate) fn tracer(install: &InstallConfig, environment: &Environment, exporters: &mut Exporters) -> Option<Arc<Tracer>> {
    let config = install.tracing.as_ref()?;
    let made = told("requests are not traced", tracing(config, environment, exporters))?;
    let (_, unknown) = environment.propagators();
    for name in unknown {
        tracing::error!(propagator = name, "OTEL_PROPAGATORS names one that there is not: it is left out");
    }
    Some(made)
}

fn tracing(config: &TracingConfig, environment: &Environment, exporters: &mut Exporters) -> Result<Arc<Tracer>, Diagnostic> {
    let otlp = config.otlp.clone().unwrap_or_default();
    let attributes = if config.resource_attributes.is_empty() { &config.global_attributes } else { &config.resource_attributes };
    let resource = resource("tracing", &config.service_name, attributes, environment)?;
    let sink = exporters.spans(Destination::new(&otlp, Signal::Traces, "tracing.otlp")?, resource, environment);
    let options = Options {
        sample_rate: config.sample_rate,
        request_headers: headers(&config.captured_request_headers, "tracing.capturedRequestHeaders"),
        response_headers: headers(&config.captured_response_headers, "tracing.capturedResponseHeaders"),
        safe_query: config.safe_query_params.clone(),
        internals: config.add_internals,
        propagators: environment.propagators().0,
        limits: environment.span_limits(),
    };
    Ok(Arc::new(Tracer::new(options, sink)))
}

/// Sends what is put into what is given back.
fn records(
    config: &OtlpLogConfig,
    key: &str,
    environment: &Environment,
    exporters: &mut Exporters,
) -> Result<Arc<dyn Records>, Diagnostic> {
    let to = Destination::new(&config.to(), Signal::Logs, key)?;
    let resource = resource(key, &config.service_name, &config.resource_attributes, environment)?;
    Ok(exporters.logs(to, resource, environment))
}

/// Sends the log of the gateway itself, if that is configured. What is wrong cannot be logged yet.
pub(crate) fn log(
    install: &InstallConfig,
    environment: &Environment,
    exporters: &mut Exporters,
) -> Result<Option<Arc<dyn Records>>, Diagnostic> {
    install.log.otlp.as_ref().map(|c| records(c, "log.otlp", environment, exporters)).transpose()
}

/// Sends the access log, if that is configured.
pub(crate) fn access_log(install: &InstallConfig, environment: &Environment, exporters: &mut Exporters) -> Option<Arc<dyn Records>> {
    let config = install.access_log.as_ref()?.otlp.as_ref()?;
    told("the access log is not sent, and written instead", records(config, "accessLog.otlp", environment, exporters))
}

/// What `metrics.otlp` reports.
pub(crate) fn view(install: &InstallConfig) -> Option<View> {
    install.metrics.as_ref()?.otlp.as_ref().map(|o| View {
        audience: Audience::Otlp,
        // As in Traefik, none means those by default.
        buckets: match &o.explicit_boundaries[..] {
            [] => OtlpMetricsConfig::default().explicit_boundaries,
            bounds => bounds.to_vec(),
        },
        entry_points: o.add_entry_points_labels,
        routers: o.add_routers_labels,
        services: o.add_services_labels,
    })
}

/// What the receivers that are reported to in other forms are told.
pub(crate) fn pushed(install: &InstallConfig) -> impl Iterator<Item = View> {
    let metrics = install.metrics.as_ref();
    let view = |audience, (entry_points, routers, services)| View { audience, buckets: BOUNDS.to_vec(), entry_points, routers, services };
    let lines = |c: &StatsdConfig| (c.add_entry_points_labels, c.add_routers_labels, c.add_services_labels);
    let points = |c: &InfluxDb2Config| (c.add_entry_points_labels, c.add_routers_labels, c.add_services_labels);
    let datadog = metrics.and_then(|m| m.datadog.as_ref()).map(|c| view(Audience::Datadog, lines(c)));
    let statsd = metrics.and_then(|m| m.statsd.as_ref()).map(|c| view(Audience::StatsD, lines(c)));
    let influxdb = metrics.and_then(|m| m.influxdb2.as_ref()).map(|c| view(Audience::InfluxDb, points(c)));
    [datadog, statsd, influxdb].into_iter().flatten()
}

/// Reports what is counted in other forms than OpenTelemetry's, if that is configured.
pub(crate) fn reports(install: &InstallConfig, exporters: &mut Exporters, counted: &Arc<Metrics>, published: &Published) {
    let Some(metrics) = &install.metrics else { return };
    for view in pushed(install) {
        let made = match view.audience {
            Audience::Datadog => metrics.datadog.as_ref().map(|c| Push::datadog(c, |name| std::env::var(name).ok())),
            Audience::StatsD => metrics.statsd.as_ref().map(Push::statsd),
            _ => metrics.influxdb2.as_ref().map(Push::influxdb2),
        };
        let Some(push) = made.and_then(|made| told("metrics are not reported", made)) else {
            counted.never_told(view.audience);
            continue;
        };
        let source = source(counted, published, view);
        exporters.other(push.name(), Box::new(move |stop| Box::pin(push.run(source, stop))));
    }
}

/// All that a view has.
fn source(counted: &Arc<Metrics>, published: &Published, view: View) -> Source {
    let (counted, published) = (counted.clone(), published.clone());
    Arc::new(move |reader| {
        counted.read(reader, &view);
        if view.services {
            torana_api::servers(reader, &published.status.load());
        }
    })
}

/// Reports what is counted, if that is configured.
pub(crate) fn metrics(
    install: &InstallConfig,
    environment: &Environment,
    exporters: &mut Exporters,
    counted: &Arc<Metrics>,
    published: &Published,
    calls: Arc<Calls>,
) {
    let (Some(config), Some(view)) = (install.metrics.as_ref().and_then(|m| m.otlp.as_ref()), view(install)) else { return };
    let made = Destination::new(&config.to(), Signal::Metrics, "metrics.otlp")
        .and_then(|to| Ok((to, resource("metrics.otlp", &config.service_name, &config.resource_attributes, environment)?)));
    let Some((destination, resource)) = told("metrics are not sent", made) else { return counted.never_told(view.audience) };
    let source = source(counted, published, view);
    let interval = config.push_interval.positive().unwrap_or(Duration::from_secs(60));
    exporters.metrics(destination, resource, interval, source, calls);
}

/// Names that are none match no header.
fn headers(names: &[String], key: &str) -> Vec<HeaderName> {
    let one = |name: &String| {
        let header = name.parse().ok();
        if header.is_none() {
            tracing::warn!("{key}: `{name}` is not a header name: nothing is captured by it");
        }
        header
    };
    names.iter().filter_map(one).collect()
}
