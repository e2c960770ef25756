//! Metrics. A [`Scope`] is resolved when a configuration is compiled; counting then needs no lock that workers
//! share and allocates nothing once a kind of request has been seen. [`Metrics::write`] adds up and writes out.

mod kind;
mod process;
mod scope;
mod text;

pub use kind::{Kind, MethodLabel, Protocol};
pub use process::write as write_process;
pub(crate) use scope::worker;
pub use scope::{Ended, Level, Scope, Total, enter_worker};
pub use text::{Text, is_label_name};

use crate::names::{self, Family, ScopeFamilies, label};
use http::{HeaderMap, HeaderName, HeaderValue};
use scope::{SEPARATOR, Shape};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Who reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Comes by itself, or never.
    #[default]
    Prometheus,
    /// The others are told at intervals.
    Otlp,
    Datadog,
    StatsD,
    InfluxDb,
}

impl Audience {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What one reader of metrics is told (`metrics.prometheus`, `metrics.otlp` and the like).
#[derive(Clone, Debug, Default)]
pub struct View {
    pub audience: Audience,
    /// Upper bounds of durations in seconds, rising.
    pub buckets: Vec<f64>,
    pub entry_points: bool,
    pub routers: bool,
    pub services: bool,
}

/// Says everything that is counted.
pub type Source = Arc<dyn Fn(&mut dyn Reader) + Send + Sync>;

/// Takes families and the values of each.
pub trait Reader {
    fn family(&mut self, family: Family);

    /// What the values that follow were counted in. One that comes back under the same labels after it was dropped has
    /// another number, and began at zero.
    fn counted_in(&mut self, _scope: u64) {}

    fn value(&mut self, labels: &[(&str, &str)], value: f64);

    /// A histogram. `buckets`: how many fell into each, and one more for what is above the last of `bounds`.
    fn durations(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], seconds: f64);
}

/// `metrics` of the install configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// What its readers are told: counted is what any of them wants.
    pub views: Vec<View>,
    /// Count what `*@internal` answers too.
    pub internals: bool,
    /// Header by label.
    pub header_labels: BTreeMap<String, HeaderName>,
    pub workers: usize,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    pub cn: String,
    /// Decimal, as Go writes it.
    pub serial: String,
    /// All names, sorted, joined by commas.
    pub sans: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

#[derive(Debug)]
struct Kept {
    scope: Arc<Scope>,
    /// Not in the newest configuration: shown once more to each who is told at intervals, then dropped. These were told.
    gone: Option<u8>,
}

impl Kept {
    /// In a new configuration, or not.
    fn seen(&mut self, there: bool) {
        self.gone = if there { None } else { Some(self.gone.unwrap_or(0)) };
    }
}

type Scopes<K> = Mutex<BTreeMap<K, Kept>>;

/// Everything that is counted in a process.
#[derive(Debug)]
pub struct Metrics {
    options: Options,
    /// Upper bounds of all views.
    buckets: Vec<f64>,
    shape: Arc<Shape>,
    entry_points: Scopes<Arc<str>>,
    /// By name and service.
    routers: Scopes<(Arc<str>, Arc<str>)>,
    services: Scopes<Arc<str>>,
    connections: Mutex<BTreeMap<Arc<str>, Arc<Level>>>,
    reloads: AtomicU64,
    last_reload: AtomicU64,
    certificates: Mutex<Vec<Certificate>>,
    /// Of the next scope.
    number: AtomicU64,
    /// Who is told of routers at intervals; those that are gone wait for them.
    routers_awaited: AtomicU8,
    /// The same of services.
    services_awaited: AtomicU8,
}

/// Whether something is still to be told after `audience` was. Nobody knows whether anybody scrapes: who is told at
/// intervals is waited for, and no other.
fn stays(kept: &mut Kept, audience: Audience, awaited: u8) -> bool {
    let Some(told) = &mut kept.gone else { return true };
    *told |= audience.bit();
    *told & awaited != awaited
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    pub fn new(options: Options) -> Self {
        let mut buckets: Vec<f64> = options.views.iter().flat_map(|v| v.buckets.iter().copied()).collect();
        buckets.sort_by(f64::total_cmp);
        buckets.dedup();
        let awaited = |reads: fn(&View) -> bool| {
            let told = options.views.iter().filter(|v| reads(v) && v.audience != Audience::Prometheus);
            AtomicU8::new(told.fold(0, |all, v| all | v.audience.bit()))
        };
        let (routers_awaited, services_awaited) = (awaited(|v| v.routers), awaited(|v| v.services));
        let shape = Arc::new(Shape::new(&buckets, options.workers, options.header_labels.len()));
        Metrics {
            options,
            buckets,
            shape,
            entry_points: Mutex::default(),
            routers: Mutex::default(),
            services: Mutex::default(),
            connections: Mutex::default(),
            reloads: AtomicU64::new(0),
            last_reload: AtomicU64::new(0),
            certificates: Mutex::default(),
            number: AtomicU64::new(1),
            routers_awaited,
            services_awaited,
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether some reader wants it.
    pub fn any(&self, wants: impl Fn(&View) -> bool) -> bool {
        self.options.views.iter().any(wants)
    }

    fn scope<K: Ord>(&self, all: &Scopes<K>, key: K) -> Arc<Scope> {
        let mut all = lock(all);
        let made = || Scope::new(self.shape.clone(), self.number.fetch_add(1, Relaxed));
        let kept = all.entry(key).or_insert_with(|| Kept { scope: Arc::new(made()), gone: None });
        kept.gone = None;
        kept.scope.clone()
    }

    /// `None` without `addEntryPointsLabels`.
    pub fn entry_point(&self, name: &Arc<str>) -> Option<Arc<Scope>> {
        self.any(|v| v.entry_points).then(|| self.scope(&self.entry_points, name.clone()))
    }

    /// `name` and `service` are qualified. `None` without `addRoutersLabels`.
    pub fn router(&self, name: &Arc<str>, service: &Arc<str>) -> Option<Arc<Scope>> {
        self.any(|v| v.routers).then(|| self.scope(&self.routers, (name.clone(), service.clone())))
    }

    /// `None` without `addServicesLabels`.
    pub fn service(&self, name: &Arc<str>) -> Option<Arc<Scope>> {
        self.any(|v| v.services).then(|| self.scope(&self.services, name.clone()))
    }

    /// Open connections of an entry point.
    pub fn connections(&self, entry_point: &Arc<str>) -> Arc<Level> {
        lock(&self.connections).entry(entry_point.clone()).or_insert_with(|| Arc::new(Level::new(self.options.workers))).clone()
    }

    /// A configuration was applied. What it does not have any more is shown once more and then dropped. Of routers it is
    /// asked by name and service: one that has another service now is another series.
    pub fn reloaded(&self, has_router: impl Fn(&str, &str) -> bool, has_service: impl Fn(&str) -> bool) {
        self.reloads.fetch_add(1, Relaxed);
        self.last_reload.store(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()), Relaxed);
        lock(&self.routers).iter_mut().for_each(|((name, service), kept)| kept.seen(has_router(name, service)));
        lock(&self.services).iter_mut().for_each(|(name, kept)| kept.seen(has_service(name)));
    }

    /// The certificates that there are now, in place of those before.
    pub fn set_certificates(&self, certificates: Vec<Certificate>) {
        *lock(&self.certificates) = certificates;
    }

    /// The values of the header labels for [`Ended::headers`]; empty without such labels.
    pub fn header_values(&self, headers: &HeaderMap) -> String {
        let mut joined = String::new();
        for (i, name) in self.options.header_labels.values().enumerate() {
            if i > 0 {
                joined.push(SEPARATOR);
            }
            joined.push_str(&String::from_utf8_lossy(headers.get(name).map_or(b"", HeaderValue::as_bytes)));
        }
        joined
    }

    /// This audience will not be told anything: nothing waits for it.
    pub fn never_told(&self, audience: Audience) {
        for awaited in [&self.routers_awaited, &self.services_awaited] {
            awaited.fetch_and(!audience.bit(), Relaxed);
        }
    }

    /// Tells a reader all families that its view has. What is gone is told and then forgotten.
    pub fn read(&self, text: &mut dyn Reader, view: &View) {
        text.family(names::CONFIG_LAST_RELOAD);
        text.value(&[], self.last_reload.load(Relaxed) as f64);
        text.family(names::CONFIG_RELOADS);
        text.value(&[], self.reloads.load(Relaxed) as f64);
        if view.entry_points {
            // These never go.
            let awaited = AtomicU8::new(0);
            self.write_scopes(text, view, (&self.entry_points, &awaited), names::ENTRY_POINT_METRICS, |name| {
                vec![(label::ENTRY_POINT, name.clone())]
            });
        }
        let connections = lock(&self.connections).clone();
        if !connections.is_empty() {
            text.family(names::OPEN_CONNECTIONS);
            for (name, level) in &connections {
                text.value(&[(label::ENTRY_POINT, name), (label::PROTOCOL, "TCP")], level.value() as f64);
            }
        }
        if view.routers {
            self.write_scopes(text, view, (&self.routers, &self.routers_awaited), names::ROUTER_METRICS, |(name, service)| {
                vec![(label::ROUTER, name.clone()), (label::SERVICE, service.clone())]
            });
        }
        if view.services {
            self.write_retries(text);
            self.write_scopes(text, view, (&self.services, &self.services_awaited), names::SERVICE_METRICS, |name| {
                vec![(label::SERVICE, name.clone())]
            });
        }
        let certificates = lock(&self.certificates).clone();
        if !certificates.is_empty() {
            text.family(names::CERTS_NOT_AFTER);
            for c in &certificates {
                text.value(&[(label::CN, &c.cn), (label::SANS, &c.sans), (label::SERIAL, &c.serial)], c.not_after as f64);
            }
        }
    }

    fn write_retries(&self, text: &mut dyn Reader) {
        let services: Vec<_> = lock(&self.services).iter().map(|(name, kept)| (name.clone(), kept.scope.retries())).collect();
        if services.iter().any(|s| s.1 > 0) {
            text.family(names::SERVICE_RETRIES);
            for (name, n) in services.iter().filter(|s| s.1 > 0) {
                text.value(&[(label::SERVICE, name)], *n as f64);
            }
        }
    }

    fn write_scopes<K: Ord + Clone>(
        &self,
        text: &mut dyn Reader,
        view: &View,
        (all, awaited): (&Scopes<K>, &AtomicU8),
        families: ScopeFamilies,
        labels: impl Fn(&K) -> Vec<(&'static str, Arc<str>)>,
    ) {
        // The lock is not held while adding up: a compile may want it.
        let scopes: Vec<_> = {
            let mut all = lock(all);
            let scopes = all.iter().map(|(k, kept)| (labels(k), kept.scope.clone())).collect();
            all.retain(|_, kept| stays(kept, view.audience, awaited.load(Relaxed)));
            scopes
        };
        let mut series = Vec::new();
        let mut tls = Vec::new();
        for (labels, scope) in &scopes {
            let number = scope.number();
            for ((kind, code), total) in scope.totals() {
                let code = code.to_string();
                let all: Vec<(&str, String)> = labels
                    .iter()
                    .map(|(n, v)| (*n, v.to_string()))
                    .chain([
                        (label::CODE, code),
                        (label::METHOD, kind.method.as_str().to_owned()),
                        (label::PROTOCOL, kind.protocol.as_str().to_owned()),
                    ])
                    .collect();
                series.push((sorted(all), total, number));
            }
            for ((version, cipher), n) in scope.tls_totals() {
                let own = [(label::TLS_CIPHER, cipher.to_owned()), (label::TLS_VERSION, version.to_owned())];
                tls.push((sorted(labels.iter().map(|(n, v)| (*n, v.to_string())).chain(own).collect()), n, number));
            }
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        tls.sort_by(|a, b| a.0.cmp(&b.0));
        if !series.is_empty() {
            text.family(families.duration);
            for (labels, total, number) in &series {
                text.counted_in(*number);
                text.durations(&borrowed(labels), &view.buckets, &folded(&self.buckets, &total.buckets, &view.buckets), total.seconds);
            }
            text.family(families.received);
            for (labels, total, number) in &series {
                text.counted_in(*number);
                text.value(&borrowed(labels), total.received as f64);
            }
        }
        if !tls.is_empty() {
            text.family(families.requests_tls);
            for (labels, n, number) in &tls {
                text.counted_in(*number);
                text.value(&borrowed(labels), *n as f64);
            }
        }
        if !series.is_empty() {
            text.family(families.requests);
            for (labels, total, number) in &series {
                text.counted_in(*number);
                if self.options.header_labels.is_empty() {
                    text.value(&borrowed(labels), total.requests() as f64);
                }
                for (values, n) in &total.by_headers {
                    let own = self.options.header_labels.keys().map(String::as_str).zip(values.split(SEPARATOR).map(str::to_owned));
                    let all = sorted(labels.iter().cloned().chain(own).collect());
                    text.value(&borrowed(&all), *n as f64);
                }
            }
            text.family(families.sent);
            for (labels, total, number) in &series {
                text.counted_in(*number);
                text.value(&borrowed(labels), total.sent as f64);
            }
        }
    }
}

/// Counts by `bounds` as counts by fewer of them.
fn folded(bounds: &[f64], counts: &[u64], wanted: &[f64]) -> Vec<u64> {
    let mut out = vec![0; wanted.len() + 1];
    for (i, n) in counts.iter().enumerate() {
        let bucket = bounds.get(i).and_then(|b| wanted.iter().position(|w| b <= w)).unwrap_or(wanted.len());
        out[bucket] += n;
    }
    out
}

/// Begins a family.
pub fn begin(text: &mut Text, family: Family) {
    Reader::family(text, family);
}

fn sorted(mut labels: Vec<(&str, String)>) -> Vec<(&str, String)> {
    labels.sort();
    labels
}

fn borrowed<'a>(labels: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    labels.iter().map(|(n, v)| (*n, v.as_str())).collect()
}

#[cfg(test)]
mod tests;
