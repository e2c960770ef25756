//! `prometheus@internal`: everything that is measured, in the text format of Prometheus.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use torana_control::{AcmeStatus, Published, Resolvers, RuntimeStatus};
use torana_extend::{PluginHost, PluginStatus, ProviderStatus};
use torana_http::{Body, Endpoint, Exchange, LocalFuture, Response, exchange};
use torana_telemetry::access_log::AccessLog;
use torana_telemetry::metrics::{Metrics, Reader, Text, View, begin, write_process};
use torana_telemetry::names::{self, Family, label};

/// The endpoint of `prometheus@internal`.
pub struct Prometheus {
    shared: Arc<Shared>,
}

struct Shared {
    metrics: Arc<Metrics>,
    view: View,
    published: Published,
    plugins: Arc<dyn PluginHost>,
    resolvers: Resolvers,
    access_log: Option<Arc<AccessLog>>,
}

impl Prometheus {
    pub fn new(
        metrics: Arc<Metrics>,
        view: View,
        published: Published,
        plugins: Arc<dyn PluginHost>,
        resolvers: Resolvers,
        access_log: Option<Arc<AccessLog>>,
    ) -> Self {
        Prometheus { shared: Arc::new(Shared { metrics, view, published, plugins, resolvers, access_log }) }
    }
}

impl Endpoint for Prometheus {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        let headers = &exchange.request.headers;
        let content_type = content_type(headers);
        let gzip = takes_gzip(headers);
        let shared = self.shared.clone();
        Box::pin(async move {
            // Ten thousand services take their time: not that of the requests of this worker.
            let Ok(body) = tokio::task::spawn_blocking(move || shared.body(gzip)).await else {
                return exchange::status(StatusCode::INTERNAL_SERVER_ERROR);
            };
            let mut response = Response::new(Body::from(bytes::Bytes::from(body)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            response
        })
    }
}

impl Shared {
    fn body(&self, gzip: bool) -> Vec<u8> {
        let mut text = Text::default();
        self.metrics.read(&mut text, &self.view);
        let status = self.published.status.load();
        servers(&mut text, &status);
        begin(&mut text, names::BUILD);
        text.sample("", &[(label::VERSION, env!("CARGO_PKG_VERSION"))], 1.0);
        begin(&mut text, names::SNAPSHOT_GENERATION);
        text.sample("", &[], status.generation as f64);
        providers(&mut text, &self.published.providers.load());
        plugins(&mut text, &self.plugins.status());
        let resolving = self.resolvers.status();
        resolvers(&mut text, &resolving);
        on_demand(&mut text, &resolving);
        if let Some(log) = &self.access_log {
            begin(&mut text, names::ACCESS_LOG_LOST);
            text.sample("", &[], log.lost() as f64);
        }
        write_process(&mut text);
        let text = text.finish().into_bytes();
        if !gzip {
            return text;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(&text);
        encoder.finish().unwrap_or_default()
    }
}

/// Servers that a health check has said something of.
pub fn servers(text: &mut dyn Reader, status: &RuntimeStatus) {
    let mut begun = false;
    for service in status.services.values() {
        let Some(lb) = service.balancer.as_ref() else { continue };
        for (i, server) in lb.servers.iter().enumerate() {
            // The same server twice is one series.
            if lb.servers[..i].iter().any(|s| s.url == server.url) {
                continue;
            }
            let Some(up) = lb.known_up(i) else { continue };
            if !std::mem::replace(&mut begun, true) {
                text.family(names::SERVER_UP);
            }
            text.value(&[(label::SERVICE, &service.name), (label::URL, &server.url)], f64::from(up));
        }
    }
}

/// How the sources of configuration are doing.
fn providers(text: &mut Text, all: &BTreeMap<&'static str, ProviderStatus>) {
    type Figure = fn(&ProviderStatus) -> f64;
    let figures: [(Family, Figure); 4] = [
        (names::PROVIDER_CONNECTED, |p| f64::from(p.connected_since.is_some())),
        (names::PROVIDER_CHANGES, |p| p.changes as f64),
        (names::PROVIDER_FAILURES, |p| p.failures as f64),
        (names::PROVIDER_LAST_CHANGE, |p| {
            p.last_change.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |t| t.as_secs_f64().floor())
        }),
    ];
    if all.is_empty() {
        return;
    }
    for (family, figure) in figures {
        begin(text, family);
        all.values().for_each(|p| text.sample("", &[(label::PROVIDER, p.provider)], figure(p)));
    }
    begin(text, names::PROVIDER_OBJECTS);
    for p in all.values() {
        let rejected = p.objects.rejected.len();
        let states = [("accepted", p.objects.seen.saturating_sub(rejected)), ("rejected", rejected)];
        for (state, n) in states {
            text.sample("", &[(label::PROVIDER, p.provider), (label::STATE, state)], n as f64);
        }
    }
}

/// How ordering certificates goes; a failure is seen for the names that it is about.
fn resolvers(text: &mut Text, all: &[Arc<AcmeStatus>]) {
    if all.is_empty() {
        return;
    }
    begin(text, names::ACME_OBTAINED);
    all.iter().for_each(|r| text.sample("", &[(label::RESOLVER, &r.resolver)], r.obtained as f64));
    begin(text, names::ACME_FAILED);
    all.iter().for_each(|r| text.sample("", &[(label::RESOLVER, &r.resolver)], r.failed as f64));
    begin(text, names::ACME_FAILURES);
    for r in all {
        // Two resolvers' own names never meet, and of one each set of names stands once.
        for c in &r.certificates {
            // Of thousands of names those that are well are not told one by one.
            if c.on_demand && c.failures == 0 {
                continue;
            }
            let state = c.state.name();
            let labels = [(label::DOMAINS, &*c.domains.join(",")), (label::RESOLVER, &r.resolver), (label::STATE, state)];
            text.sample("", &labels, f64::from(c.failures));
        }
    }
}

/// What handshakes asked of resolvers.
fn on_demand(text: &mut Text, all: &[Arc<AcmeStatus>]) {
    let all: Vec<_> = all.iter().filter_map(|r| Some((&*r.resolver, r.on_demand.as_ref()?))).collect();
    if all.is_empty() {
        return;
    }
    begin(text, names::ACME_ON_DEMAND_CERTIFICATES);
    all.iter().for_each(|(r, o)| text.sample("", &[(label::RESOLVER, r)], o.certificates as f64));
    begin(text, names::ACME_ON_DEMAND_PENDING);
    all.iter().for_each(|(r, o)| text.sample("", &[(label::RESOLVER, r)], o.pending.len() as f64));
    begin(text, names::ACME_ON_DEMAND);
    for (r, o) in &all {
        let outcomes = [("obtained", o.obtained), ("failed", o.failures)].into_iter().chain(o.refused.iter().map(|(w, n)| (*w, *n)));
        outcomes.for_each(|(outcome, n)| text.sample("", &[(label::OUTCOME, outcome), (label::RESOLVER, r)], n as f64));
    }
}

type Figure = fn(&PluginStatus) -> u64;

fn plugins(text: &mut Text, all: &[PluginStatus]) {
    if all.is_empty() {
        return;
    }
    begin(text, names::PLUGIN_CALLS);
    for p in all {
        for by in &p.calls_by {
            for (hook, n) in &by.hooks {
                text.sample("", &[(label::HOOK, hook), (label::PLUGIN, &p.name), (label::VERSION, &by.version)], *n as f64);
            }
        }
    }
    let figures: [(Family, Figure); 8] = [
        (names::PLUGIN_DEADLINES, |p| p.deadline_hits),
        (names::PLUGIN_INSTANCES, |p| p.instances),
        (names::PLUGIN_LOADS, |p| p.loads),
        (names::PLUGIN_MEMORY, |p| p.memory),
        (names::PLUGIN_REFUSED, |p| p.refused),
        (names::PLUGIN_RELOAD_FAILURES, |p| p.load_failures),
        (names::PLUGIN_TRAPS, |p| p.traps),
        (names::PLUGIN_INFO, |_| 1),
    ];
    for (family, figure) in figures {
        begin(text, family);
        for p in all {
            let value = figure(p) as f64;
            if family.name == names::PLUGIN_INFO.name {
                let labels =
                    [(label::DIGEST, &*p.digest), (label::KIND, &*p.kind), (label::PLUGIN, &*p.name), (label::VERSION, &*p.version)];
                text.sample("", &labels, value);
            } else {
                text.sample("", &[(label::PLUGIN, &p.name)], value);
            }
        }
    }
    begin(text, names::PLUGIN_DURATION);
    for p in all.iter().filter(|p| !p.duration.buckets.is_empty()) {
        let bounds: Vec<f64> = p.duration.buckets.iter().map(|b| b.0).collect();
        let mut before = 0;
        let below = p.duration.buckets.iter().map(|b| b.1).chain([p.duration.count]);
        let buckets: Vec<u64> = below.map(|n| n.saturating_sub(std::mem::replace(&mut before, n))).collect();
        text.histogram(&[(label::PLUGIN, &p.name)], &bounds, &buckets, p.duration.sum);
    }
    if all.iter().any(|p| !p.metrics.is_empty()) {
        begin(text, names::PLUGIN_METRIC);
        for p in all {
            for (name, value) in &p.metrics {
                text.sample("", &[(label::NAME, name), (label::PLUGIN, &p.name)], *value);
            }
        }
    }
}

/// Items of a header line with their weight, as written.
fn weighted(value: Option<&HeaderValue>) -> Vec<(&str, f64)> {
    let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut items: Vec<(&str, f64)> = text
        .split(',')
        .map(|item| {
            let q = item.split(';').skip(1).find_map(|p| p.trim().strip_prefix("q="));
            (item.trim(), q.and_then(|q| q.trim().parse().ok()).unwrap_or(1.0))
        })
        .collect();
    items.sort_by(|a, b| b.1.total_cmp(&a.1));
    items
}

/// Always the text format; how names are escaped is said as the client asks, there being nothing to escape.
fn content_type(headers: &HeaderMap) -> &'static str {
    let mut escaping = "underscores";
    for (item, _) in weighted(headers.get(ACCEPT)) {
        let parameter = |name: &str| item.split(';').skip(1).find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='));
        escaping = match parameter("escaping") {
            Some("allow-utf-8") => "allow-utf-8",
            Some("underscores") => "underscores",
            Some("dots") => "dots",
            Some("values") => "values",
            _ => escaping,
        };
        if item.split(';').next().is_some_and(|t| t.trim() == "text/plain") && matches!(parameter("version"), None | Some("0.0.4")) {
            break;
        }
    }
    match escaping {
        "allow-utf-8" => "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
        "dots" => "text/plain; version=0.0.4; charset=utf-8; escaping=dots",
        "values" => "text/plain; version=0.0.4; charset=utf-8; escaping=values",
        _ => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
    }
}

pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    weighted(headers.get(ACCEPT_ENCODING)).iter().any(|(item, q)| {
        let coding = item.split(';').next().unwrap_or_default().trim();
        *q > 0.0 && coding.eq_ignore_ascii_case("gzip")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_as_traefik_answers_them() {
        // Recorded from Traefik 3.7.15.
        for (accept, escaping) in [
            ("", "underscores"),
            ("application/openmetrics-text", "underscores"),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", "allow-utf-8"),
            ("text/html", "underscores"),
            ("text/plain;version=0.0.4;escaping=values", "values"),
            ("text/plain, a/b;escaping=dots;q=0.1", "underscores"),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(content_type(&headers), format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}"), "{accept}");
        }
    }

    #[test]
    fn gzip_for_those_that_take_it() {
        for (accept, taken) in [("gzip, zstd", true), ("gzip;q=0", false), ("", false), ("br, GZIP;q=0.5", true)] {
            assert_eq!(takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))])), taken, "{accept}");
        }
    }

    #[test]
    fn plugins_have_their_families() {
        let p = PluginStatus {
            name: "p@file".into(),
            version: "1.2".into(),
            calls: 5,
            calls_by: vec![torana_extend::CallStatus { version: "1.2".into(), hooks: [("on-request", 5)].into() }],
            traps: 1,
            load_failures: 2,
            duration: torana_extend::Histogram { buckets: vec![(1e-6, 1), (2e-6, 4)], count: 5, sum: 0.5 },
            metrics: [("seen".to_owned(), 2.5)].into(),
            ..PluginStatus::default()
        };
        let mut text = Text::default();
        plugins(&mut text, &[p]);
        let text = text.finish();
        for line in [
            "torana_plugin_calls_total{hook=\"on-request\",plugin=\"p@file\",version=\"1.2\"} 5",
            "torana_plugin_reload_failures_total{plugin=\"p@file\"} 2",
            "torana_plugin_call_duration_seconds_bucket{plugin=\"p@file\",le=\"0.000002\"} 4",
            "torana_plugin_call_duration_seconds_bucket{plugin=\"p@file\",le=\"+Inf\"} 5",
            "torana_plugin_call_duration_seconds_count{plugin=\"p@file\"} 5",
            "torana_plugin_metric{name=\"seen\",plugin=\"p@file\"} 2.5",
            "torana_plugin_info{digest=\"\",kind=\"\",plugin=\"p@file\",version=\"1.2\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
        }
    }
}
