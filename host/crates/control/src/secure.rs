//! Certificates and TLS options of all providers, compiled; kept while nothing that they are made of changes.

use crate::references::reason;
use crate::resolve::{Inputs, known};
use crate::tls_plan::{DEFAULT, Hosts};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use torana_base::{Diagnostic, Place, Secret};
use torana_config::routing::{DomainConfig, Item, RoutingConfig, TlsOptionsConfig};
use torana_dataplane::{Handshake, Router, Secure};
use torana_router::{Route, RouteTable};
use torana_telemetry::metrics;
use torana_tls::acme::ObtainedCertificate;
use torana_tls::{Certificate, Loaded, SessionShared, Stapler, Store, TlsOptions, quic_config, server_config};

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        Stamp(std::fs::metadata(path).ok().and_then(|m| Some((m.modified().ok()?, m.len(), m.ino()))))
    }
}

/// The files that certificates and options were read from.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<(PathBuf, Stamp)>);

impl Files {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they are now; comparing two of these says whether something changed.
    pub(crate) fn now(&self) -> Files {
        Files(self.0.iter().map(|(p, _)| (p.clone(), Stamp::of(p))).collect())
    }

    pub(crate) fn same(&self, other: &Files) -> bool {
        self.0 == other.0
    }

    /// Whether these are its paths.
    pub(crate) fn are(&self, paths: FxHashSet<&PathBuf>) -> bool {
        self.0.len() == paths.len() && self.0.iter().all(|(p, _)| paths.contains(p))
    }

    /// Files with what each was just before it was read.
    pub(crate) fn of(files: impl IntoIterator<Item = (PathBuf, Stamp)>) -> Files {
        Files(files.into_iter().collect())
    }

    /// PEM text stands for itself; everything else is a path.
    fn note(&mut self, text: &str) {
        if !text.is_empty() && !text.contains("-----BEGIN") {
            let path = PathBuf::from(text);
            let stamp = Stamp::of(&path);
            self.0.push((path, stamp));
        }
    }
}

/// By certificate and key as written.
type Certificates = FxHashMap<(String, String), Arc<Certificate>>;

#[derive(Default)]
pub(crate) struct TlsState {
    /// Of everything that the rest was made from.
    digest: Option<u64>,
    files: Arc<Files>,
    /// The last good ones.
    certificates: Certificates,
    handshakes: Arc<FxHashMap<Arc<str>, Arc<Handshake>>>,
    /// The certificates that the configuration names.
    configured: Arc<Store>,
    /// Each that was named or ordered, once.
    shown: Vec<Arc<Certificate>>,
    broken: FxHashMap<Arc<str>, Diagnostic>,
    diagnostics: Vec<Diagnostic>,
    loaded: Loaded,
    shared: SessionShared,
    stapler: Option<Arc<Stapler>>,
    /// Certificates whose OCSP answers are wanted.
    stapled: watch::Sender<Vec<Arc<Certificate>>>,
}

impl TlsState {
    pub(crate) fn new(stapler: Option<Arc<Stapler>>) -> Self {
        TlsState { stapler, ..TlsState::default() }
    }

    /// The work of fetching OCSP answers; `changed` is called when there are new ones.
    pub(crate) fn stapling<F: Fn() + 'static>(&self, changed: F) -> Option<impl Future<Output = ()> + use<F>> {
        let (stapler, certificates) = (self.stapler.clone()?, self.stapled.subscribe());
        Some(async move { stapler.run(certificates, changed).await })
    }

    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// What handshakes choose from; `None` where no options can be used.
    pub(crate) fn what_is_served(&self) -> Option<&Arc<Store>> {
        self.handshakes.values().next().map(|h| &h.store)
    }

    pub(crate) fn configured(&self) -> &Arc<Store> {
        &self.configured
    }

    /// What clients may be shown, without the one that Torana signs itself.
    pub(crate) fn shown(&self) -> &[Arc<Certificate>] {
        &self.shown
    }

    /// Whether the certificate for names that nobody has is to be made again.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.loaded.self_signed_due(now)
    }

    pub(crate) fn forget_digest(&mut self) {
        self.digest = None;
    }

    /// What is wrong with certificates, stores and options.
    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    /// `None` for options that are not there, or cannot be used.
    pub(crate) fn handshake(&self, options: &str) -> Option<&Arc<Handshake>> {
        self.handshakes.get(options)
    }

    /// Those that are served, for metrics.
    pub(crate) fn served(&self) -> Vec<metrics::Certificate> {
        let seconds =
            |c: &Certificate| c.not_after().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        let all = self.what_is_served().into_iter().flat_map(|s| s.certificates());
        all.map(|c| {
            let mut sans = c.sans().to_vec();
            sans.sort_unstable();
            metrics::Certificate { cn: c.common_name().into(), serial: c.serial().into(), sans: sans.join(","), not_after: seconds(c) }
        })
        .collect()
    }

    pub(crate) fn handshakes(&self) -> &Arc<FxHashMap<Arc<str>, Arc<Handshake>>> {
        &self.handshakes
    }

    /// Message and hint for a router whose options there are not.
    pub(crate) fn why_not<C>(&self, options: &str, router: &Item<C>) -> (String, Option<String>) {
        match self.broken.get(options) {
            Some(d) => (format!("building TLS config: {}", d.message), d.hint.clone()),
            None => {
                let all: Vec<String> = self.handshakes.keys().chain(self.broken.keys()).map(|n| n.to_string()).collect();
                let d = Diagnostic::error("", format!("unknown TLS options: {options}")).hint(known(options, &all, "TLS options"));
                reason(router, d)
            }
        }
    }

    /// Takes over what all documents say of TLS.
    pub(crate) fn update(&mut self, inputs: &Inputs, obtained: &[Arc<ObtainedCertificate>]) {
        let digest = digest(inputs, obtained);
        if self.digest == Some(digest) {
            return;
        }
        let mut read = Files::default();
        let mut wrong = Vec::new();
        for config in inputs.values() {
            let items = config.tls.options.values().map(|i| &i.diagnostics).chain(config.tls.stores.values().map(|i| &i.diagnostics));
            wrong.extend(items.chain(config.tls.certificates.iter().map(|i| &i.diagnostics)).flatten().cloned());
        }
        let store = Arc::new(self.store(inputs, obtained, &mut read, &mut wrong));
        self.handshakes = Arc::new(self.options(inputs, &store, &mut read, &mut wrong));
        self.files = Arc::new(read);
        self.diagnostics = wrong;
        self.loaded.sweep();
        self.shared.sweep();
        // Last: what breaks off is done again.
        self.digest = Some(digest);
    }
}

impl TlsState {
    /// The store `default`: the only one that clients are served from, as in Traefik.
    fn store(&mut self, inputs: &Inputs, obtained: &[Arc<ObtainedCertificate>], read: &mut Files, wrong: &mut Vec<Diagnostic>) -> Store {
        let mut kept = FxHashMap::default();
        let mut all = Vec::new();
        for config in inputs.values() {
            for (i, item) in config.tls.certificates.iter().enumerate() {
                if item.has_errors() || !item.config.is_served() {
                    continue;
                }
                let key = format!("tls.certificates[{i}]");
                let certificate = self.take(&item.config.cert_file, &item.config.key_file, (&key, ""), item, &mut kept, read, wrong);
                all.extend(certificate);
            }
        }
        self.configured = Arc::new(Store::new(all.iter().cloned(), None));
        // By what was asked for, to find the default one.
        let mut by_domains = Vec::new();
        for c in obtained {
            let before = self.certificates.get(&(c.chain.clone(), String::new()));
            let certificate = match before {
                Some(same) => same.clone(),
                None => match Certificate::from_pem(c.chain.as_bytes(), c.key.expose().as_bytes()) {
                    Ok(certificate) => Arc::new(certificate.noting(c.used.clone())),
                    Err(e) => {
                        let text = format!("the certificate of {} cannot be used: {}", c.domains.join(", "), e.message);
                        wrong.push(Diagnostic::error(format!("certificatesResolvers.{}", c.resolver), text));
                        continue;
                    }
                },
            };
            kept.insert((c.chain.clone(), String::new()), certificate.clone());
            by_domains.push((c, certificate.clone()));
            all.push(certificate);
        }
        let (mut default, mut broken) = (None, false);
        if let Some(item) = only("tls.stores.default", inputs, |c| c.tls.stores.get(DEFAULT), wrong) {
            if let Some(pair) = &item.config.default_certificate {
                let at = ("tls.stores.default", "defaultCertificate.");
                default = self.take(&pair.cert_file, &pair.key_file, at, item, &mut kept, read, wrong);
                // Then handshakes that need it fail, as in Traefik: a certificate that nobody trusts would hide the mistake.
                broken = default.is_none();
            } else if let Some(generated) = &item.config.default_generated_cert {
                // Until it is there the self-signed one does.
                let names = |d: &DomainConfig| std::iter::once(&d.main).chain(&d.sans).cloned().collect::<Vec<_>>();
                let wanted = generated.domain.as_ref().map(names).unwrap_or_default();
                let wanted = torana_tls::acme::as_ordered(&wanted).unwrap_or_default();
                let fits = |c: &ObtainedCertificate| *c.resolver == *generated.resolver && c.domains == wanted;
                default = by_domains.iter().find(|(c, _)| fits(c)).map(|(_, certificate)| certificate.clone());
            }
        }
        self.certificates = kept;
        let mut seen = FxHashSet::default();
        self.shown = all.iter().chain(&default).filter(|c| seen.insert(*c.digest())).cloned().collect();
        if let Some(stapler) = &self.stapler {
            self.stapled.send_replace(all.iter().chain(&default).cloned().collect());
            all = all.into_iter().map(|c| stapler.staple(c)).collect();
            default = default.map(|c| stapler.staple(c));
        }
        let default = default.or_else(|| {
            if broken {
                return None;
            }
            let made = self.loaded.self_signed();
            made.map_err(|e| wrong.push(Diagnostic::error("tls.stores.default", format!("no self-signed certificate: {}", e.message)))).ok()
        });
        Store::new(all, default)
    }

    /// A certificate that is written in the object at a path, in it below a prefix of options; tells what is wrong
    /// with it.
    #[expect(clippy::too_many_arguments, reason = "three of them collect")]
    fn take<T>(
        &self,
        cert: &str,
        key: &Secret,
        (at, below): (&str, &str),
        item: &Item<T>,
        kept: &mut Certificates,
        read: &mut Files,
        wrong: &mut Vec<Diagnostic>,
    ) -> Option<Arc<Certificate>> {
        read.note(cert);
        read.note(key.expose());
        let by = (cert.to_owned(), key.expose().to_owned());
        let before = self.certificates.get(&by);
        let certificate = match self.loaded.load(cert, key) {
            Ok(new) => {
                let old = new.out_of_date(SystemTime::now());
                let option = format!("{below}certFile");
                wrong.extend(old.map(|(message, hint)| {
                    item.conceal_in(Diagnostic::warning(format!("{at}.{option}"), message).at(&item.place_of(&option)).hint(hint))
                }));
                new
            }
            Err(e) => {
                let kept = if before.is_some() { "; the last good one stays in use" } else { "" };
                let path = if e.option == "keyFile" { key.expose() } else { cert };
                // What is no path may be a key: only what looks like a path is shown.
                let is_path = path.len() <= 256 && path.contains('.') && !path.contains('\n') && !path.contains("-----");
                let path = if !is_path || e.message.contains(path) { String::new() } else { format!("{path}: ") };
                let option = format!("{below}{}", e.option);
                let d = Diagnostic::error(format!("{at}.{option}"), format!("{path}{}{kept}", e.message)).at(&item.place_of(&option));
                wrong.push(item.conceal_in(Diagnostic { hint: e.hint.map(str::to_owned), ..d }));
                before?.clone()
            }
        };
        kept.insert(by, certificate.clone());
        Some(certificate)
    }

    /// All options that can be used, by qualified name.
    fn options(
        &mut self,
        inputs: &Inputs,
        store: &Arc<Store>,
        read: &mut Files,
        wrong: &mut Vec<Diagnostic>,
    ) -> FxHashMap<Arc<str>, Arc<Handshake>> {
        self.broken.clear();
        let built_in = Item::new(TlsOptionsConfig::default(), Place::whole("built in"), 0);
        let mut all: Vec<(Arc<str>, &Item<TlsOptionsConfig>)> = Vec::new();
        for (provider, config) in inputs {
            let named = config.tls.options.iter().filter(|(n, _)| *n != DEFAULT);
            // A name with `@` is part of a name here: it does not reach into another provider.
            all.extend(named.map(|(n, item)| (format!("{n}@{provider}").into(), &**item)));
        }
        let said = inputs.values().any(|c| c.tls.options.contains_key(DEFAULT));
        match only("tls.options.default", inputs, |c| c.tls.options.get(DEFAULT), wrong) {
            Some(item) => all.push((DEFAULT.into(), item)),
            None if !said => all.push((DEFAULT.into(), &built_in)),
            None => {
                let d = Diagnostic::error("tls.options.default", "several providers define the TLS options `default`: nobody gets them");
                self.broken.insert(DEFAULT.into(), d.hint("keep one of them"));
            }
        }
        let mut handshakes = FxHashMap::default();
        for (name, item) in all {
            let key = format!("tls.options.{}", torana_base::unqualified(&name));
            item.config.client_auth.ca_files.iter().for_each(|f| read.note(f));
            let built = TlsOptions::build(&name, item, &key);
            let told: Vec<Diagnostic> = built.diagnostics.into_iter().map(|d| item.conceal_in(d)).collect();
            wrong.extend(told.iter().cloned());
            match built.value {
                Some(options) => {
                    let config = server_config(&options, store.clone(), &self.shared);
                    handshakes.insert(name, Arc::new(Handshake { options, store: store.clone(), quic: quic_config(&config), config }));
                }
                None => {
                    let all = item.diagnostics.iter().chain(&told);
                    let first = all.into_iter().find(|d| d.is_error()).cloned();
                    self.broken.insert(name, first.unwrap_or_else(|| Diagnostic::error(key, "they cannot be used")));
                }
            }
        }
        handshakes
    }
}

/// An object that at most one provider may define; where several do, none counts.
fn only<'a, T>(
    key: &str,
    inputs: &'a Inputs,
    find: impl Fn(&'a RoutingConfig) -> Option<&'a Arc<Item<T>>>,
    wrong: &mut Vec<Diagnostic>,
) -> Option<&'a Item<T>> {
    let mut found = inputs.iter().filter_map(|(p, c)| Some((*p, find(c)?)));
    let (first, item) = found.next()?;
    let others: Vec<&str> = found.map(|(p, _)| p).collect();
    if others.is_empty() {
        return Some(item);
    }
    let d = Diagnostic::error(key, format!("defined by several providers ({first}, {}): none of them counts", others.join(", ")));
    wrong.push(d.at(&item.place).hint("keep one of them"));
    None
}

fn digest(inputs: &Inputs, obtained: &[Arc<ObtainedCertificate>]) -> u64 {
    let mut hasher = FxHasher::default();
    for c in obtained {
        (&c.resolver, &c.domains, &c.chain).hash(&mut hasher);
    }
    for (provider, config) in inputs {
        provider.hash(&mut hasher);
        for c in &config.tls.certificates {
            (c.digest, c.has_errors()).hash(&mut hasher);
        }
        for (name, o) in &config.tls.options {
            (name, o.digest).hash(&mut hasher);
        }
        for (name, s) in &config.tls.stores {
            (name, s.digest).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// What each entry point serves with TLS.
pub(crate) fn secure(
    routes: FxHashMap<Arc<str>, Vec<Route<Arc<Router>>>>,
    hosts: FxHashMap<Arc<str>, Hosts>,
    tls: &TlsState,
) -> FxHashMap<Arc<str>, Secure> {
    let mut all: FxHashMap<Arc<str>, Secure> = FxHashMap::default();
    for (entry_point, hosts) in hosts {
        let secure = all.entry(entry_point).or_default();
        secure.any = hosts.any;
        for (host, options) in hosts.options {
            let handshake = tls.handshake(&options).cloned();
            match host.strip_prefix("*.") {
                _ if &*host == "*" => (secure.any, secure.star) = (true, Some(handshake)),
                Some(tail) => drop(secure.wildcard.insert(tail.into(), handshake)),
                None => drop(secure.exact.insert(host, handshake)),
            }
        }
    }
    for (entry_point, routes) in routes {
        all.entry(entry_point).or_default().routes = RouteTable::new(routes);
    }
    all
}
