//! Which requests are traced, and the marks that their ways through the gateway have.

use crate::expand::Model;
use std::sync::Arc;
use torana_config::install::{EntryPointConfig, ObservabilityConfig, TraceVerbosity};
use torana_config::routing::RouterConfig;
use torana_dataplane::trace::entry_point_metrics;
use torana_dataplane::{EntryPointTracer, Verbosity};
use torana_http::Step;
use torana_telemetry::metrics::Metrics;
use torana_trace::{Mark, Tracer};

fn verbosity(of: TraceVerbosity) -> Verbosity {
    match of {
        TraceVerbosity::Minimal => Verbosity::Minimal,
        TraceVerbosity::Detailed => Verbosity::Detailed,
    }
}

/// What `entryPoints.<name>.observability` says of traces, for routers that say nothing.
pub(crate) fn of_entry_point(config: &EntryPointConfig) -> Option<Verbosity> {
    let default = ObservabilityConfig::default();
    let o = config.observability.as_ref().unwrap_or(&default);
    o.tracing.then(|| verbosity(o.trace_verbosity))
}

/// How an entry point traces.
pub(crate) fn entry_point(tracer: &Arc<Tracer>, config: &EntryPointConfig) -> EntryPointTracer {
    EntryPointTracer { tracer: tracer.clone(), unrouted: of_entry_point(config) }
}

/// How a router's requests are traced: it says so, or else its entry point.
pub(crate) fn of_router(tracer: Option<&Tracer>, config: &RouterConfig, model: Option<&Model>, service: &str) -> Option<Verbosity> {
    let tracer = tracer?;
    if service.ends_with("@internal") && !tracer.options().internals {
        return None;
    }
    let own = config.observability.as_ref();
    let inherited = model.map_or(Some(Verbosity::Minimal), |m| m.traced);
    let traced = own.and_then(|o| o.tracing).unwrap_or(inherited.is_some());
    let detail = own.and_then(|o| o.trace_verbosity).map(verbosity).or(inherited).unwrap_or(Verbosity::Minimal);
    traced.then_some(detail)
}

/// The steps of a router with the marks that its detail asks for, and no others. `metrics`: where its requests are
/// counted.
pub(crate) fn marked(
    mut steps: Vec<Step>,
    traced: Option<Verbosity>,
    router: &Arc<str>,
    service: &Arc<str>,
    rule: &str,
    metrics: Option<&Metrics>,
) -> Vec<Step> {
    if traced != Some(Verbosity::Detailed) {
        steps.retain(|s| !matches!(s, Step::Span(_)));
        return steps;
    }
    let own = Mark {
        name: "Router",
        attributes: vec![
            ("traefik.service.name".into(), service.clone().into()),
            ("traefik.router.name".into(), router.clone().into()),
            ("http.route".into(), rule.to_owned().into()),
        ],
    };
    let counted = |wanted: bool, mark: Mark| (metrics.is_some() && wanted).then_some(mark);
    let first = counted(metrics.is_some_and(|m| m.any(|v| v.entry_points)), entry_point_metrics());
    let after = counted(metrics.is_some_and(|m| m.any(|v| v.routers)), named("Metrics", "metrics-router"));
    let marks = first.into_iter().chain([own]).chain(after);
    marks.map(|m| Step::Span(Arc::new(m))).chain(steps).collect()
}

/// The mark of a middleware, if its kind has spans. The names are Traefik's.
pub(crate) fn middleware(kind: &str, name: &str) -> Option<Step> {
    let span = match kind.to_ascii_lowercase().as_str() {
        "addprefix" => "AddPrefix",
        "basicauth" => "BasicAuth",
        "buffering" => "Buffer",
        "circuitbreaker" => "CircuitBreaker",
        "compress" => "Compress",
        "digestauth" => "digestAuth",
        "encodedcharacters" => "EncodedCharacters",
        "errors" => "CustomError",
        "forwardauth" => "ForwardAuth",
        "headers" => "Headers",
        "inflightreq" => "InFlightReq",
        "ipallowlist" => "IPAllowLister",
        "ipwhitelist" => "IPWhiteLister",
        "passtlsclientcert" => "PassClientTLSCert",
        "plugin" => "Plugin",
        "ratelimit" => "RateLimiter",
        "redirectregex" => "Redirect",
        "replacepath" => "ReplacePath",
        "replacepathregex" => "ReplacePathRegex",
        "retry" => "Retry",
        "stripprefix" => "StripPrefix",
        "stripprefixregex" => "StripPrefixRegex",
        // Others, such as `chain` and `redirectScheme`, have none in Traefik.
        _ => return None,
    };
    Some(Step::Span(Arc::new(named(span, name))))
}

fn named(span: &'static str, middleware: &str) -> Mark {
    Mark { name: span, attributes: vec![("traefik.middleware.name".into(), middleware.to_owned().into())] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_there_for_those_who_want_them() {
        let (name, service) = (Arc::from("r@file"), Arc::from("s@file"));
        let steps = || vec![middleware("stripPrefix", "m@file").unwrap()];
        let names =
            |steps: Vec<Step>| -> Vec<&'static str> { steps.iter().map(|s| if let Step::Span(m) = s { m.name } else { "" }).collect() };
        assert_eq!(names(marked(steps(), Some(Verbosity::Detailed), &name, &service, "rule", None)), ["Router", "StripPrefix"]);
        for traced in [Some(Verbosity::Minimal), None] {
            assert!(names(marked(steps(), traced, &name, &service, "rule", None)).is_empty());
        }
        assert!(middleware("chain", "c@file").is_none());
    }
}
