//! Puts the parts together: who is started in which order, and who stops whom.

use crate::access_log;
use crate::egress::Outgoing;
use crate::listen::{Sockets, listen};
use crate::local_plugins;
use crate::observe;
use crate::snippets;
use futures_util::FutureExt;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use torana_base::Diagnostic;
use torana_config::install::{InstallConfig, Loaded};
use torana_config::routing::RoutingConfig;
use torana_control::Stapler;
use torana_control::apply::{Apply, Throttle};
use torana_control::entry_points::Observers;
use torana_control::{Compiler, Parts, Published, Resolvers, internal_routing, internal_services};
use torana_dataplane::{Drain, Live, Workers};
use torana_extend::{Backoff, Egress, Event, PluginHost, Provider, ProviderOut};
use torana_otlp::{Environment, Exporters};
use torana_provider::rest::{self, Rest};
use torana_telemetry::Records;
use torana_telemetry::access_log::{AccessLog, AccessLogHandle};
use torana_telemetry::metrics::{Audience, Metrics, View};
use torana_trace::{Calls, Tracer};
use torana_upstream::{SpiffeSource, Transport};
use torana_wasm::Plugins;

/// How long connections wait for the first configuration before they are served whatever there is.
const FIRST_CONFIGURATION: Duration = Duration::from_secs(5);
/// How long `check` waits for a provider.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);
/// How long `check` waits for plugins to be compiled.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(120);
/// How long a stop waits for certificates that have just come.
const CERTIFICATES_WRITTEN: Duration = Duration::from_secs(5);
/// How long a stop waits for what collectors have not been told.
const LAST_REPORTS: Duration = Duration::from_secs(5);
/// A second signal within this time is taken for the first.
const SAME_SIGNAL: Duration = Duration::from_secs(1);
/// Documents on their way to the task that applies.
const CHANNEL: usize = 64;

/// What the compiler is made of.
struct Ingredients<'a> {
    install: &'a Arc<InstallConfig>,
    plugins: &'a Plugins,
    out: Arc<dyn Egress>,
    resolvers: &'a Resolvers,
    published: &'a Published,
    drain: &'a Drain,
    rest: &'a Rest,
    metrics: Option<Arc<Metrics>>,
    access_log: Option<Arc<AccessLog>>,
    tracer: Option<Arc<Tracer>>,
    spiffe: Option<Arc<SpiffeSource>>,
}

fn compiler(of: Ingredients<'_>) -> Result<Compiler, Diagnostic> {
    let Ingredients { install, plugins, out, resolvers, published, drain, rest, metrics, access_log, tracer, spiffe } = of;
    let ready = published.clone();
    let mut internals = internal_services(install, drain, move || ready.is_ready());
    if install.api.is_some() {
        let api = torana_api::Api::new(install.shown(), published.clone(), Arc::new(plugins.clone()), resolvers.clone());
        if let Some(dashboard) = api.dashboard() {
            internals.insert("dashboard", dashboard);
        }
        internals.insert("api", Arc::new(api));
    }
    internals.insert("acme-http", resolvers.endpoint());
    if install.providers.rest.is_some() {
        internals.insert(rest::NAME, rest.endpoint());
    }
    let plugins: Arc<dyn PluginHost> = Arc::new(plugins.clone());
    if let (Some(metrics), Some(view)) = (&metrics, prometheus_view(install)) {
        internals.insert(
            "prometheus",
            Arc::new(torana_api::Prometheus::new(
                metrics.clone(),
                view,
                published.clone(),
                plugins.clone(),
                resolvers.clone(),
                access_log.clone(),
            )),
        );
    }
    Compiler::new(Parts {
        install: install.clone(),
        kinds: torana_middleware::kind,
        tcp_kinds: torana_middleware::tcp::kind,
        internals,
        plugins,
        metrics,
        access_log,
        tracer,
        spiffe,
        resolvers: resolvers.clone(),
        stapler: install.ocsp.as_ref().map(|o| Arc::new(Stapler::new(out, o.responder_overrides.clone()))),
    })
}

/// The gateway's own SPIFFE identity and where it comes from, if that is configured.
fn spiffe(install: &InstallConfig) -> Result<Option<(Arc<SpiffeSource>, torana_spiffe::Endpoint)>, Diagnostic> {
    let Some(address) = install.spiffe.as_ref().map(|s| &s.workload_api_addr).filter(|a| !a.is_empty()) else { return Ok(None) };
    let endpoint = torana_spiffe::endpoint(address).map_err(|e| Diagnostic::error("spiffe.workloadAPIAddr", e))?;
    Ok(Some((Arc::default(), endpoint)))
}

/// Where everything is counted, if metrics are configured.
fn metrics(install: &InstallConfig) -> Option<Arc<Metrics>> {
    let views: Vec<View> = prometheus_view(install).into_iter().chain(observe::view(install)).chain(observe::pushed(install)).collect();
    if views.is_empty() {
        return None;
    }
    let labels = install.prometheus().map(|p| p.header_labels.clone()).unwrap_or_default();
    Some(Arc::new(Metrics::new(torana_telemetry::metrics::Options {
        views,
        internals: install.metrics.as_ref().is_some_and(|m| m.add_internals),
        // Names that are none were refused.
        header_labels: labels.into_iter().filter_map(|(label, header)| Some((label, header.parse().ok()?))).collect(),
        workers: workers(),
    })))
}

/// What `prometheus@internal` shows.
fn prometheus_view(install: &InstallConfig) -> Option<View> {
    install.prometheus().map(|p| View {
        audience: Audience::Prometheus,
        buckets: p.buckets.clone(),
        entry_points: p.add_entry_points_labels,
        routers: p.add_routers_labels,
        services: p.add_services_labels,
    })
}

/// What is there before the configuration is compiled.
struct Extensions {
    plugins: Plugins,
    /// What the install configuration says of routing.
    internal: RoutingConfig,
    wrong: Vec<Diagnostic>,
    /// Sends the requests of plugins, and those for OCSP.
    out: Arc<dyn Egress>,
}

/// The plugins of this process, what sends their requests, and what the install configuration says of them.
fn plugins(loaded: &Loaded) -> Result<Extensions, Diagnostic> {
    let transport = Transport::build(&loaded.config.servers_transport.transport());
    let out = Outgoing::spawn(transport).map_err(|e| Diagnostic::error("", format!("cannot start a thread: {e}")))?;
    let out: Arc<dyn Egress> = Arc::new(out);
    let (declared, wrong) = local_plugins::installed(loaded);
    let config = RoutingConfig { plugins: declared, ..internal_routing(&loaded.config) };
    Ok(Extensions { plugins: Plugins::new(out.clone(), workers()), internal: config, wrong, out })
}

/// `experimental.abortOnPluginFailure`: waits for the plugins of the install configuration.
fn started(plugins: &Plugins, internal: &RoutingConfig) -> Result<(), Vec<Diagnostic>> {
    plugins.declare(torana_control::declared_plugins(&BTreeMap::from([("internal", Arc::new(internal.clone()))])));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![Diagnostic::error("", format!("cannot start the runtime: {e}"))])?;
    let all = runtime.block_on(plugins.settled(PLUGIN_PATIENCE));
    let mut wrong: Vec<Diagnostic> = plugins.diagnostics().into_iter().filter(Diagnostic::is_error).collect();
    if !all {
        wrong.push(Diagnostic::error("experimental.abortOnPluginFailure", "not every plugin was compiled in time"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Native providers and those that are plugins.
fn providers(install: &InstallConfig, plugins: &Plugins, rest: &Rest) -> Vec<Box<dyn Provider>> {
    let mut all = torana_provider::configured(&install.providers);
    all.extend(install.providers.rest.as_ref().and_then(|_| rest.provider()));
    all.extend(torana_docker::configured(&install.providers));
    all.extend(torana_kubernetes::configured(&install.providers));
    all.extend(torana_kubernetes::gateway::configured(install));
    all.extend(torana_kubernetes::nginx::configured(install, snippets::check));
    all.extend(install.providers.plugin.iter().map(|(name, config)| plugins.provider(name, config.clone())));
    all
}

/// Serves until a signal to stop and everything that was open has ended.
pub(crate) fn serve(loaded: Loaded) -> Result<(), Vec<Diagnostic>> {
    let environment = Environment::new();
    let mut exporters = Exporters::default();
    let sent = observe::log(&loaded.config, &environment, &mut exporters);
    let log = start_log(&loaded.config, sent.as_ref().ok().cloned().flatten()).map_err(|d| vec![d])?;
    observe::told("the log is not sent", sent);
    for w in &loaded.warnings {
        tracing::warn!("{}", w.to_string().replace('\n', " "));
    }
    tracing::info!("configuration: {}", loaded.origins_summary());
    let Extensions { plugins, internal, wrong, out } = plugins(&loaded).map_err(|d| vec![d])?;
    for d in &wrong {
        tracing::error!("{}", d.to_string().replace('\n', " "));
    }
    if !wrong.is_empty() && loaded.config.experimental.abort_on_plugin_failure {
        return Err(wrong);
    }
    if loaded.config.experimental.abort_on_plugin_failure {
        started(&plugins, &internal)?;
    }
    let install = Arc::new(loaded.config);
    let metrics = metrics(&install);
    let calls = observe::view(&install).map(|v| Arc::new(Calls::new(v.buckets)));
    let tracer = observe::tracer(&install, &environment, &mut exporters);
    let records = observe::access_log(&install, &environment, &mut exporters);
    let (access_log, requests) = access_log::open(&install, workers(), records).map_err(|d| vec![d])?.unzip();
    let entry_points = torana_control::entry_points::compile(
        &install.entry_points,
        install.host_resolver.as_ref(),
        Observers { metrics: metrics.as_ref(), log: access_log.as_ref(), tracer: tracer.as_ref(), calls: calls.as_ref() },
    )?;
    let udp_entry_points = torana_control::entry_points::compile_udp(&install.entry_points)?;
    let sockets = listen(entry_points, udp_entry_points)?;
    let drain = Drain::default();
    let live = Live::default();
    let rest = Rest::default();
    let providers = providers(&install, &plugins, &rest);
    let published = Published::new(providers.iter().map(|p| p.name()));
    let (resolvers, wrong) = Resolvers::open(&install, Arc::new(plugins.clone()));
    for d in &wrong {
        tracing::error!("{}", d.to_string().replace('\n', " "));
    }
    if let Some(metrics) = &metrics {
        observe::reports(&install, &mut exporters, metrics, &published);
        if let Some(calls) = calls {
            observe::metrics(&install, &environment, &mut exporters, metrics, &published, calls);
        }
    }
    let (identity, agent) = spiffe(&install).map_err(|d| vec![d])?.unzip();
    let spiffe = identity.clone().zip(agent);
    let compiler = compiler(Ingredients {
        install: &install,
        plugins: &plugins,
        out,
        resolvers: &resolvers,
        published: &published,
        drain: &drain,
        rest: &rest,
        metrics,
        access_log,
        tracer,
        spiffe: identity,
    })
    .map_err(|d| vec![d])?;
    let startup = install.providers.startup_timeout.map(|t| t.as_duration());
    let apply = Apply {
        compiler,
        live: live.clone(),
        published: published.clone(),
        throttle: install.providers.providers_throttle_duration.map_or_else(Throttle::default, |t| Throttle::Fixed(t.as_duration())),
        inputs: BTreeMap::from([("internal", Arc::new(internal))]),
        waits_for_plugins: false,
        ready_by: startup.filter(|t| !t.is_zero()).map(|t| Instant::now() + t),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .map_err(|e| vec![Diagnostic::error("", format!("cannot start the runtime: {e}"))])?;
    let exporters = exporters.start().map_err(|e| vec![Diagnostic::error("", format!("cannot start a thread: {e}"))])?;
    let ended =
        runtime.block_on(run(Running { install, resolvers, apply, providers, published, sockets, live, drain, log, requests, spiffe }));
    exporters.finish(LAST_REPORTS);
    ended
}

struct Running {
    install: Arc<InstallConfig>,
    resolvers: Resolvers,
    apply: Apply,
    providers: Vec<Box<dyn Provider>>,
    published: Published,
    sockets: Sockets,
    live: Live,
    drain: Drain,
    log: torana_telemetry::log::LogHandle,
    requests: Option<AccessLogHandle>,
    spiffe: Option<(Arc<SpiffeSource>, torana_spiffe::Endpoint)>,
}

/// Runs a provider until the gateway stops. One that a bug ends is named where providers are shown, and begins anew.
async fn followed(mut provider: Box<dyn Provider>, out: ProviderOut, mut stopped: watch::Receiver<bool>) {
    let mut backoff = Backoff::default();
    let running = async {
        while AssertUnwindSafe(provider.run(out.clone())).catch_unwind().await.is_err() {
            let error = "a bug in Torana has ended this provider; what it delivered last stays in use, and it begins anew";
            if out.failed(provider.name(), error).await.is_err() {
                return;
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|s| *s) => {}
        () = running => {}
    }
}

async fn run(r: Running) -> Result<(), Vec<Diagnostic>> {
    let (stop, stopped) = watch::channel(false);
    let (out, events) = ProviderOut::channel(CHANNEL);
    for p in r.providers {
        tokio::task::spawn_local(followed(p, out.clone(), stopped.clone()));
    }
    drop(out);
    let resolvers = r.resolvers.spawn(&stopped);
    if let Some((identity, agent)) = r.spiffe {
        let tell = move |svid: torana_spiffe::Svid| identity.set(&svid.chain, &svid.key, &svid.bundles);
        tokio::task::spawn_local(torana_spiffe::follow(agent, tell, stopped.clone()));
    }
    let applying = tokio::task::spawn_local(r.apply.run(events));

    // Nobody is told 404 only because the gateway is younger than its configuration.
    let mut first = r.published.generation.subscribe();
    let configured = async {
        let _ = first.wait_for(|g| *g > 0).await;
        let mut ready = r.published.ready.subscribe();
        if !r.published.providers.load().is_empty() {
            let _ = ready.wait_for(|r| *r).await;
        }
    };
    let mut signals = Signals::new().map_err(|e| vec![Diagnostic::error("", format!("cannot listen for signals: {e}"))])?;
    tokio::select! {
        () = configured => {}
        () = tokio::time::sleep(FIRST_CONFIGURATION) => tracing::warn!("not every provider has delivered yet; serving what there is"),
        () = signals.stop() => return Ok(()),
    }
    let hostname = gethostname::gethostname();
    let hostname = HeaderValue::from_str(&hostname.to_string_lossy()).unwrap_or(HeaderValue::from_static("torana"));
    let count = workers();
    let Sockets { tcp, udp, quic } = r.sockets;
    for (e, l) in &tcp {
        let address = l.local_addr().map(|a| a.to_string()).unwrap_or_default();
        tracing::info!(entryPointName = &*e.name, address, "listening");
    }
    for (e, s) in &udp {
        let address = s.local_addr().map(|a| a.to_string()).unwrap_or_default();
        tracing::info!(entryPointName = &*e.name, address, protocol = "udp", "listening");
    }
    for (e, s) in &quic {
        tracing::info!(entryPointName = &*e.name, address = %s.address(), protocol = "http3", "listening");
    }
    let workers = Workers::spawn(count, tcp, &udp, quic, &r.live, &r.drain, hostname)
        .map_err(|e| vec![Diagnostic::error("", format!("cannot start the workers: {e}"))])?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), workers = count, "serving");
    let watchdog = tokio::task::spawn_local(crate::systemd::notify(r.install.clone()));
    loop {
        match signals.next().await {
            Signal::Stop => break,
            Signal::Reopen => {
                if let Err(error) = r.log.reopen() {
                    tracing::error!(%error, "cannot reopen the log file");
                }
                if let Some(requests) = &r.requests {
                    requests.reopen();
                }
            }
        }
    }
    tracing::info!("stopping: open requests finish first");
    watchdog.abort();
    r.drain.start();
    let _ = stop.send(true);
    let joined = tokio::task::spawn_blocking(move || workers.join());
    let at_once = async {
        // A signal to a process and one to its group arrive together and mean the same.
        let asked = std::time::Instant::now();
        loop {
            signals.stop().await;
            if asked.elapsed() > SAME_SIGNAL {
                return;
            }
        }
    };
    tokio::select! {
        _ = joined => {}
        () = at_once => {
            tracing::warn!("stopping at once");
            if let Some(requests) = r.requests {
                requests.close();
            }
            std::process::exit(1);
        }
    }
    // The last requests have ended: all of their lines are there.
    if let Some(requests) = r.requests {
        requests.close();
    }
    applying.abort();
    let _ = tokio::time::timeout(CERTIFICATES_WRITTEN, resolvers.join_all()).await;
    tracing::info!("stopped");
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Signal {
    Stop,
    Reopen,
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
    /// Listened for, so that it never ends the process; the file provider acts on it.
    _hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.user1.recv() => Signal::Reopen,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}

fn start_log(config: &InstallConfig, records: Option<Arc<dyn Records>>) -> Result<torana_telemetry::log::LogHandle, Diagnostic> {
    let l = &config.log;
    let wanted = torana_telemetry::log::LogConfig {
        level: format!("{:?}", l.level),
        format: l.format.clone(),
        no_color: l.no_color,
        file_path: l.file_path.clone(),
        rotation: torana_telemetry::log::Rotation {
            max_size: u64::try_from(l.max_size).ok().filter(|n| *n > 0).unwrap_or(100).saturating_mul(1 << 20),
            max_age: u64::try_from(l.max_age).ok().filter(|n| *n > 0).map(|days| Duration::from_secs(days.saturating_mul(86_400))),
            max_backups: usize::try_from(l.max_backups).ok().filter(|n| *n > 0),
            compress: l.compress.unwrap_or(true),
        },
    };
    torana_telemetry::log::init(&wanted, records).map_err(|e| {
        Diagnostic::error("log.filePath", format!("cannot write the log to `{}`: {e}", l.file_path))
            .hint("create the folder, or let torana's user write there")
    })
}

/// What is wrong with the routing configuration of every provider, each asked once.
pub(crate) fn check(loaded: Loaded) -> Vec<Diagnostic> {
    let Extensions { plugins, internal, wrong, out } = match plugins(&loaded) {
        Ok(p) => p,
        Err(d) => return vec![d],
    };
    let install = Arc::new(loaded.config);
    let mut found = match torana_control::entry_points::compile(&install.entry_points, install.host_resolver.as_ref(), Observers::default())
    {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong,
    };
    found.extend(torana_control::entry_points::compile_udp(&install.entry_points).err().into_iter().flatten());
    found.extend(access_log::check(&install));
    found.extend(wrong);
    let rest = Rest::default();
    let providers = providers(&install, &plugins, &rest);
    let published = Published::new(providers.iter().map(|p| p.name()));
    let resolvers = Resolvers::idle(&install);
    let identity = match spiffe(&install) {
        Ok(s) => s.map(|(identity, _)| identity),
        Err(d) => {
            found.push(d);
            None
        }
    };
    let drain = Drain::default();
    let compiler = compiler(Ingredients {
        install: &install,
        plugins: &plugins,
        out,
        resolvers: &resolvers,
        published: &published,
        drain: &drain,
        rest: &rest,
        metrics: metrics(&install),
        access_log: None,
        tracer: None,
        spiffe: identity,
    });
    let mut compiler = match compiler {
        Ok(c) => c,
        Err(d) => {
            found.push(d);
            return found;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
        Ok(r) => r,
        Err(e) => {
            found.push(Diagnostic::error("", format!("cannot start the runtime: {e}")));
            return found;
        }
    };
    let mut inputs = BTreeMap::from([("internal", Arc::new(internal))]);
    runtime.block_on(async {
        // Providers that are plugins wait for these.
        plugins.declare(torana_control::declared_plugins(&inputs));
        let (stop, stopped) = watch::channel(false);
        let (out, mut events) = ProviderOut::channel(CHANNEL);
        let mut waiting: Vec<&'static str> = providers.iter().map(|p| p.name()).collect();
        for p in providers {
            tokio::task::spawn_local(followed(p, out.clone(), stopped.clone()));
        }
        while !waiting.is_empty() {
            match tokio::time::timeout(CHECK_PATIENCE, events.recv()).await {
                Ok(Some(Event::Document(d))) => {
                    waiting.retain(|p| *p != d.provider);
                    found.extend(d.diagnostics);
                    inputs.insert(d.provider, Arc::new(d.config));
                }
                Ok(Some(Event::Connected { .. })) => {}
                Ok(Some(Event::Refused { provider, diagnostics })) => {
                    waiting.retain(|p| *p != provider);
                    found.extend(diagnostics);
                }
                Ok(Some(Event::Failed { provider, error })) => {
                    waiting.retain(|p| *p != provider);
                    found.push(Diagnostic::error(format!("providers.{provider}"), error));
                }
                Ok(None) => break,
                Err(_) => {
                    found.extend(
                        waiting.drain(..).map(|p| Diagnostic::error(format!("providers.{p}"), "the provider did not answer in time")),
                    );
                }
            }
        }
        let _ = stop.send(true);
        plugins.declare(torana_control::declared_plugins(&inputs));
        if !plugins.settled(PLUGIN_PATIENCE).await {
            found.push(Diagnostic::error("plugins", "not every plugin was compiled in time").hint("try again: what is compiled is kept"));
        }
    });
    found.extend(Resolvers::check(&install, Arc::new(plugins.clone())));
    for d in compiler.compile(&inputs).status.diagnostics.iter() {
        if !found.contains(d) {
            found.push(d.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_extend::{Document, ProviderRun};

    /// Falls over when it is run first.
    #[derive(Default)]
    struct Odd {
        runs: usize,
    }

    impl Provider for Odd {
        fn name(&self) -> &'static str {
            "odd"
        }

        fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
            self.runs += 1;
            let first = self.runs == 1;
            Box::pin(async move {
                assert!(!first, "odd");
                let _ = out.publish(Document { provider: "odd", ..Document::default() }).await;
                std::future::pending().await
            })
        }
    }

    #[test]
    fn a_provider_that_a_bug_ends_is_named_and_begins_anew() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (out, mut events) = ProviderOut::channel(4);
            let (stop, stopped) = watch::channel(false);
            let running = followed(Box::new(Odd::default()), out, stopped);
            let watching = async {
                let Some(Event::Failed { provider: "odd", error }) = events.recv().await else { panic!("nothing is told") };
                assert!(error.starts_with("a bug in Torana"), "{error}");
                assert!(matches!(events.recv().await, Some(Event::Document(_))));
                stop.send_replace(true);
            };
            tokio::join!(running, watching);
        });
    }
}
