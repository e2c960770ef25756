//! Certificate resolvers between the configuration, which says what is wanted, and TLS, which serves what they
//! obtain.

use crate::expand::Models;
use crate::resolve::{Inputs, known};
use crate::tls_plan::DEFAULT;
use arc_swap::ArcSwap;
use http::StatusCode;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use torana_base::{Diagnostic, unqualified};
use torana_config::install::InstallConfig;
use torana_config::routing::{DomainConfig, Item};
use torana_extend::{PluginHost, Stop};
use torana_http::{Body, Endpoint, Exchange, LocalFuture, Response, respond};
use torana_router::canonical_host;
use torana_tls::Store;
use torana_tls::acme::{AcmeResolver, AcmeShared, AcmeStatus, Challenges, ObtainedCertificate, OnDemandNames, Wanted};

/// Where authorities ask for the answer to a challenge (RFC 8555, 8.3).
pub(crate) const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

struct Entry {
    resolver: Arc<AcmeResolver>,
    wanted: watch::Sender<Vec<Wanted>>,
}

/// All `certificatesResolvers`; by default none.
#[derive(Clone, Default)]
pub struct Resolvers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    all: BTreeMap<String, Entry>,
    /// Named in the configuration; some of them may not be usable.
    names: Vec<String>,
    challenges: Arc<Challenges>,
    /// Some of them answers inside TLS handshakes.
    in_handshakes: bool,
    /// The certificates that the configuration names.
    configured: Arc<ArcSwap<Store>>,
    /// Counts changes of what they have.
    changed: watch::Sender<u64>,
}

impl Resolvers {
    /// Reads what they have in store. Those that cannot be used are left out, as in Traefik.
    pub fn open(install: &InstallConfig, plugins: Arc<dyn PluginHost>) -> (Resolvers, Vec<Diagnostic>) {
        let configured: Arc<ArcSwap<Store>> = Arc::default();
        let seen = configured.clone();
        let shared = AcmeShared::new(Arc::new(move |names| seen.load().covers(names)), plugins);
        let (mut all, mut wrong, mut in_handshakes) = (BTreeMap::new(), Vec::new(), false);
        for (name, config) in &install.certificates_resolvers {
            let Some(acme) = &config.acme else { continue };
            in_handshakes |= acme.tls_challenge.is_some();
            match AcmeResolver::open(name, acme, shared.clone()) {
                Ok(resolver) => drop(all.insert(name.clone(), Entry { resolver, wanted: watch::Sender::default() })),
                Err(e) => wrong.push(Diagnostic::error(format!("certificatesResolvers.{name}.acme"), e.to_string())),
            }
        }
        let names = install.certificates_resolvers.keys().cloned().collect();
        let changed = watch::Sender::new(0);
        (Resolvers(Arc::new(Inner { all, names, challenges: shared.challenges, in_handshakes, configured, changed })), wrong)
    }

    /// What is wrong with them; writes nothing, and asks nobody. Plugins have been loaded.
    pub fn check(install: &InstallConfig, plugins: Arc<dyn PluginHost>) -> Vec<Diagnostic> {
        let shared = AcmeShared::new(Arc::new(|_| false), plugins);
        let all = install.certificates_resolvers.iter().filter_map(|(name, c)| Some((name, c.acme.as_ref()?)));
        all.flat_map(|(name, acme)| AcmeResolver::check(name, acme, &shared)).collect()
    }

    /// Resolvers that know their names and do nothing, for a configuration that is only looked at.
    pub fn idle(install: &InstallConfig) -> Resolvers {
        let names = install.certificates_resolvers.keys().cloned().collect();
        Resolvers(Arc::new(Inner { names, ..Inner::default() }))
    }

    /// Starts their work, which is to be waited for when `stop` was said: a certificate may just have come. Must
    /// run on a local runtime.
    #[must_use]
    pub fn spawn(&self, stop: &Stop) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for entry in self.0.all.values() {
            running.spawn_local(entry.resolver.clone().run(entry.wanted.subscribe(), stop.clone()));
            let (mut certificates, changed) = (entry.resolver.certificates(), self.0.changed.clone());
            tokio::task::spawn_local(async move {
                while certificates.changed().await.is_ok() {
                    changed.send_modify(|n| *n += 1);
                }
            });
        }
        running
    }

    /// Changes with the certificates that they have.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    pub fn status(&self) -> Vec<Arc<AcmeStatus>> {
        self.0.all.values().map(|e| e.resolver.status_now()).collect()
    }

    /// `acme-http@internal`: answers challenges over HTTP.
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        Arc::new(Http01(self.0.challenges.clone()))
    }

    /// Answers to challenges inside TLS handshakes, if some resolver uses them.
    pub(crate) fn in_handshakes(&self) -> Option<Arc<Challenges>> {
        self.0.in_handshakes.then(|| self.0.challenges.clone())
    }

    pub(crate) fn certificates(&self) -> Vec<Arc<ObtainedCertificate>> {
        self.0.all.values().flat_map(|e| e.resolver.certificates().borrow().to_vec()).collect()
    }

    /// Tells them what is wanted, and which certificates there are without them.
    pub(crate) fn want(&self, mut wishes: Wishes, configured: Arc<Store>) {
        self.0.configured.store(configured);
        for (name, entry) in &self.0.all {
            let wanted = wishes.by_resolver.remove(name).unwrap_or_default();
            entry.wanted.send_if_modified(|before| {
                let other = *before != wanted;
                *before = wanted;
                other
            });
        }
    }

    /// Tells those who wait for certificates on demand what handshakes see from now on.
    pub(crate) fn served(&self, store: &Arc<Store>) {
        self.0.all.values().filter_map(|e| e.resolver.on_demand()).for_each(|o| o.serve(store));
    }

    /// What is wrong with the name of a resolver.
    fn unknown(&self, name: &str) -> Option<String> {
        (!self.0.names.iter().any(|n| n == name)).then(|| known(name, &self.0.names, "certificate resolvers"))
    }
}

/// What routers and stores want of the resolvers.
#[derive(Default)]
pub(crate) struct Wishes {
    by_resolver: BTreeMap<String, Vec<Wanted>>,
    /// By entry point.
    pub on_demand: FxHashMap<Arc<str>, OnDemandNames>,
    pub diagnostics: Vec<Diagnostic>,
}

impl Wishes {
    /// Of a router or a store at `key`: a certificate for each of `domains`, or else one for all `hosts`. Where a router
    /// on some of `entry_points` names no host by which one could be ordered, handshakes may ask for it.
    #[expect(clippy::too_many_arguments, reason = "what a router says")]
    pub(crate) fn add<T>(
        &mut self,
        resolvers: &Resolvers,
        resolver: &str,
        domains: &[DomainConfig],
        hosts: impl FnOnce() -> Vec<String>,
        entry_points: &[Arc<str>],
        item: &Item<T>,
        key: &str,
    ) {
        if resolver.is_empty() {
            return;
        }
        if let Some(hint) = resolvers.unknown(resolver) {
            let message = format!("Router uses a nonexistent certificate resolver `{resolver}`");
            let d = Diagnostic::warning(key, item.conceal(message)).at(&item.place_of("tls.certResolver")).hint(hint);
            if !self.diagnostics.contains(&d) {
                self.diagnostics.push(d);
            }
            return;
        }
        let sets = if domains.is_empty() {
            vec![self.known_before(resolvers, resolver, hosts(), entry_points)]
        } else {
            domains.iter().map(|d| std::iter::once(&d.main).chain(&d.sans).filter(|n| !n.is_empty()).cloned().collect()).collect()
        };
        let all = self.by_resolver.entry(resolver.to_owned()).or_default();
        for domains in sets.into_iter().filter(|s| !s.is_empty()) {
            let wanted = Wanted { domains, store: DEFAULT.to_owned() };
            if !all.contains(&wanted) {
                all.push(wanted);
            }
        }
    }

    /// Those of `hosts` that can be ordered without a handshake; the others are left to handshakes, if the resolver
    /// lets them ask.
    fn known_before(&mut self, resolvers: &Resolvers, resolver: &str, hosts: Vec<String>, entry_points: &[Arc<str>]) -> Vec<String> {
        let Some((resolver, on_demand)) = resolvers.0.all.get(resolver).and_then(|e| Some((&e.resolver, e.resolver.on_demand()?))) else {
            return hosts;
        };
        let any = hosts.is_empty();
        let (wildcards, names): (Vec<_>, Vec<_>) = hosts.into_iter().partition(|h| h.starts_with("*.") && !resolver.proves_wildcards());
        let tails = wildcards.iter().filter_map(|w| w.strip_prefix("*.")).map(Some).chain(any.then_some(None));
        for tail in tails {
            for e in entry_points {
                self.on_demand.entry(e.clone()).or_default().add(tail, on_demand);
            }
        }
        names
    }

    /// `tls.stores.default.defaultGeneratedCert`, and TCP routers.
    pub(crate) fn add_others(&mut self, resolvers: &Resolvers, inputs: &Inputs, models: &Models) {
        for config in inputs.values() {
            for (name, item) in &config.tls.stores {
                let Some(generated) = item.config.default_generated_cert.as_ref().filter(|_| item.config.default_certificate.is_none())
                else {
                    continue;
                };
                let domains: Vec<DomainConfig> = generated.domain.iter().cloned().collect();
                let key = format!("tls.stores.{name}.defaultGeneratedCert.resolver");
                self.add(resolvers, &generated.resolver, &domains, Vec::new, &[], item, &key);
            }
            for (name, item) in &config.tcp.routers {
                let Some(tls) = item.config.tls.as_ref().filter(|t| !t.passthrough) else { continue };
                let hosts = || {
                    let syntax = models.tcp_syntax(&item.config);
                    let rule = syntax.parse_tcp(&item.config.rule).and_then(|r| syntax.compile_tcp(&r));
                    rule.iter().flat_map(|r| r.sni_values()).filter(|n| *n != "*").map(str::to_owned).collect()
                };
                let key = format!("tcp.routers.{}.tls.certResolver", unqualified(name));
                let (entry_points, _) = models.effective(&item.config.entry_points);
                self.add(resolvers, &tls.cert_resolver, &tls.domains, hosts, &entry_points, item, &key);
            }
        }
    }
}

struct Http01(Arc<Challenges>);

impl Endpoint for Http01 {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        let request = &exchange.request;
        let token = request.path.strip_prefix(CHALLENGE_PATH).filter(|t| !t.is_empty());
        let found = token.and_then(|token| self.0.http01(&canonical_host(&request.host), token));
        let response = match found {
            Some(authorization) => {
                let mut r = Response::new(Body::from(authorization));
                *r.status_mut() = StatusCode::OK;
                r
            }
            None => respond::not_found(),
        };
        Box::pin(std::future::ready(response))
    }
}
