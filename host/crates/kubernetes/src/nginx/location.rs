//! Routers, services and what they need, of one ingress after the other.

use super::canary::{self, Canaries, Canary};
use super::chain::{self, Chain, Part};
use super::endpoints::{Endpoints, first_port, port_text};
use super::hosts::Hosts;
use super::options::Options;
use super::tls::{self, ClientAuth};
use super::{DEFAULT_BACKEND, Entry, NAME, NO_SERVICE, UNAVAILABLE, auth, redirects, rule};
use crate::backends::Server;
use crate::cluster::{Cluster, Key};
use crate::ingress::LAST;
use crate::made::Made;
use crate::tree::{node, place};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, IngressServiceBackend};
use serde_json::json;
use std::collections::BTreeSet;
use torana_base::{Place, normalize};
use torana_config::routing::{
    CookieConfig, LoadBalancerConfig, RouterConfig, RouterObservabilityConfig, RouterTlsConfig, ServerConfig, ServiceConfig, StickyConfig,
    Strategy, TcpRouterConfig, TcpRouterTlsConfig, TcpServerConfig, WeightedConfig, WeightedServiceConfig,
};

pub(super) struct Context<'a, 'm> {
    cluster: &'a Cluster,
    options: &'a Options,
    endpoints: Endpoints<'a>,
    canaries: Canaries<'a>,
    pub(super) made: &'m mut Made,
    /// Bytes of what was made of the ingress at hand.
    spent: usize,
    /// Secrets whose certificates are in the store.
    certificates: BTreeSet<Key>,
}

/// An ingress whose references were followed.
pub(super) struct Prepared<'a> {
    pub(super) entry: &'a Entry<'a>,
    /// How its servers are spoken to.
    transport: String,
    /// What it says of its hosts holds for all ingresses of them. Not where none of its own paths can be served.
    pub(super) governs: bool,
    /// Other names of its hosts.
    aliases: Vec<String>,
    pub(super) client_auth: Option<ClientAuth>,
}

/// A path of a host, or what a host gets that has no path.
pub(super) struct Location<'a> {
    pub(super) entry: &'a Entry<'a>,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// It is a path of a rule; else a default backend, which has no canary.
    of_rule: bool,
    exact: bool,
    /// The path is a regular expression, or stands beside one.
    pub(super) regex: bool,
    /// Name and port of the service, as written.
    pub(super) service: &'a str,
    pub(super) port: String,
    pub(super) servers: Vec<Server>,
    aliases: &'a [String],
    pub(super) server_snippet: Option<&'a str>,
    /// Of the TLS options of its routers: what the handshake was.
    pub(super) client_auth: Option<&'a ClientAuth>,
    /// What its own ingress says of that.
    wanted_auth: Option<&'a ClientAuth>,
    transport: &'a str,
    /// Names of the router and of the service.
    router: String,
    backend: String,
}

/// A router before its middlewares.
struct Route<'r> {
    name: String,
    rule: &'r str,
    service: &'r str,
    priority: i64,
    tls: bool,
}

impl<'a, 'm> Context<'a, 'm> {
    pub(super) fn new(cluster: &'a Cluster, options: &'a Options, endpoints: Endpoints<'a>, made: &'m mut Made) -> Self {
        Context { cluster, options, endpoints, canaries: Canaries::new(), made, spent: 0, certificates: BTreeSet::new() }
    }

    /// Takes in the canaries of `regular`; those that are.
    pub(super) fn find_canaries(&mut self, regular: &[&'a Entry<'a>], canaries: &'a [Entry<'a>]) -> Vec<&'a Entry<'a>> {
        let (found, processed) = canary::find(regular, canaries, self.endpoints, &mut self.made.tree);
        self.canaries = found;
        processed
    }

    /// What is there without any ingress.
    pub(super) fn ground(&mut self) {
        let whole = Place::whole(NAME);
        self.made.service(UNAVAILABLE, balanced(LoadBalancerConfig::default()), &whole);
        let reference = &self.options.config.default_backend_service;
        if reference.is_empty() {
            return;
        }
        let found = match reference.split_once('/') {
            Some((namespace, name)) => self.endpoints.find(namespace, &first_port(name), &Default::default()),
            None => Err(format!("`{reference}`: write it as namespace/name")),
        };
        match found {
            Ok(servers) => {
                let lb = LoadBalancerConfig { servers: urls("http", &servers), ..Default::default() };
                self.made.service(DEFAULT_BACKEND, balanced(lb), &whole);
                for tls in [false, true] {
                    let name = format!("{DEFAULT_BACKEND}{}", if tls { "-tls" } else { "" });
                    let route = Route { name, rule: ANY, service: DEFAULT_BACKEND, priority: LAST, tls };
                    let config = self.router(&route, None, Vec::new());
                    self.made.router(&route.name, config, &whole);
                }
            }
            Err(why) => self.made.tree.warn(&whole, "defaultBackendService", format!("{why}: there is no default backend")),
        }
    }

    /// Follows the references of an ingress; `None` for one that is left out.
    pub(super) fn prepare(&mut self, entry: &'a Entry<'a>) -> Option<Prepared<'a>> {
        let namespace = &entry.key.0;
        for (i, tls) in entry.spec.tls.iter().flatten().enumerate() {
            let Some(secret) = tls.secret_name.as_ref().filter(|s| !s.is_empty()) else { continue };
            self.certificate(entry, (namespace.clone(), secret.clone()), i);
        }
        let (transport, client_auth) = match self.references(entry) {
            Ok(found) => found,
            Err(why) => {
                self.made.tree.reject(&entry.place, why);
                return None;
            }
        };
        // The locations are rejected one by one, for a connection may be passed through in spite of this.
        let governs = auth::users(self.cluster, self.options, namespace, &entry.annotations).is_ok();
        Some(Prepared { entry, transport, governs, aliases: Vec::new(), client_auth })
    }

    fn certificate(&mut self, entry: &Entry<'_>, key: Key, i: usize) {
        if self.certificates.contains(&key) {
            return;
        }
        match tls::pair(self.cluster, &key) {
            Ok((cert, private)) => self.made.certificate(&cert, &private, &place("Secret", &key)),
            Err(why) => {
                let at = format!("spec.tls[{i}].secretName");
                self.made.tree.warn(&entry.place, &at, format!("{why}; clients get another certificate"));
            }
        }
        self.certificates.insert(key);
    }

    fn references(&mut self, entry: &Entry<'_>) -> Result<(String, Option<ClientAuth>), String> {
        let (namespace, ingress) = entry.key;
        if let Some(text) = entry.annotations.filled("server-snippet") {
            // It would be part of the routers of others on the same host, and disable them.
            let check = self.options.check_snippet;
            check(&node(&json!({ "serverSnippet": text }), &entry.place)).map_err(|e| format!("server-snippet: {e}"))?;
        }
        let (transport, warning) = tls::transport(self.cluster, self.options, namespace, &entry.annotations)?;
        let client_auth = ClientAuth::read(self.cluster, self.options, namespace, &entry.annotations);
        let client_auth = client_auth.map_err(|e| format!("auth-tls-secret: {e}"))?;
        if let Some(said) = warning {
            self.made.tree.warn(&entry.place, "proxy-http-version", said);
        }
        let name = normalize(&format!("{namespace}-{ingress}"));
        self.made.transport(&name, transport, &entry.place);
        Ok((name, client_auth))
    }

    /// Finds the other names of the hosts of an ingress, when all hosts are known.
    pub(super) fn give_aliases(&mut self, prepared: &mut Prepared<'a>, hosts: &Hosts<'a>) {
        let mut aliases = hosts.aliases_of(prepared.entry);
        if aliases.len() > MOST_ALIASES {
            let rest = aliases.split_off(MOST_ALIASES).join("`, `");
            self.made.tree.reject(&prepared.entry.place, format!("server-alias: more than {MOST_ALIASES} are not served: `{rest}`"));
        }
        prepared.aliases = aliases;
    }

    /// Whether anything of the ingress is served.
    pub(super) fn ingress(&mut self, prepared: &'a Prepared<'a>, hosts: &'a Hosts<'a>) -> bool {
        let entry = prepared.entry;
        let (namespace, name) = entry.key;
        self.spent = 0;
        let mut served = entry.annotations.is("ssl-passthrough") && self.passthrough(entry);
        for (r, rule) in entry.spec.rules.iter().flatten().enumerate() {
            let host = rule.host.as_deref().unwrap_or_default();
            for (p, path) in rule.http.iter().flat_map(|h| &h.paths).enumerate() {
                let at = format!("spec.rules[{r}].http.paths[{p}]");
                let Some(backend) = &path.backend.service else {
                    self.made.tree.reject(&entry.place, format!("{at}: {NO_SERVICE}"));
                    continue;
                };
                let router = normalize(&format!("{namespace}-{name}-rule-{r}-path-{p}"));
                let port = port_text(backend.port.as_ref());
                let service = normalize(&format!("{namespace}-{name}-{}-{port}", backend.name));
                let location = self.location(prepared, hosts, host, Some(path), backend, (router, service), &at);
                served |= self.serve(&location, hosts, &at);
            }
        }
        if let Some(backend) = entry.spec.default_backend.as_ref().and_then(|b| b.service.as_ref()) {
            served |= self.default_backend(prepared, hosts, backend);
        }
        served
    }

    #[allow(clippy::too_many_arguments)]
    fn location(
        &mut self,
        prepared: &'a Prepared<'a>,
        hosts: &'a Hosts<'a>,
        host: &'a str,
        path: Option<&'a HTTPIngressPath>,
        backend: &'a IngressServiceBackend,
        (router, service): (String, String),
        at: &str,
    ) -> Location<'a> {
        let (entry, wanted_auth) = (prepared.entry, prepared.client_auth.as_ref());
        let servers = self.endpoints.find(&entry.key.0, backend, &entry.annotations).unwrap_or_else(|why| {
            self.made.tree.warn(&entry.place, at, format!("{why}: requests are answered with 503"));
            Vec::new()
        });
        Location {
            entry,
            host,
            path: path.and_then(|p| p.path.as_deref()).unwrap_or_default(),
            of_rule: path.is_some(),
            exact: path.is_some_and(|p| p.path_type == "Exact"),
            regex: hosts.is_regex(host),
            service: &backend.name,
            port: port_text(backend.port.as_ref()),
            servers,
            aliases: &prepared.aliases,
            server_snippet: hosts.server_snippet(host),
            // What has no rule has no host whose say it could be.
            client_auth: hosts.client_auth(host).or(wanted_auth.filter(|_| service == DEFAULT_BACKEND)),
            wanted_auth,
            transport: &prepared.transport,
            router,
            backend: service,
        }
    }

    /// `spec.defaultBackend`: for each host what no path gets, or without rules what nothing else gets.
    fn default_backend(&mut self, prepared: &'a Prepared<'a>, hosts: &'a Hosts<'a>, backend: &'a IngressServiceBackend) -> bool {
        const AT: &str = "spec.defaultBackend";
        let entry = prepared.entry;
        let (namespace, name) = entry.key;
        if entry.spec.rules.as_ref().is_none_or(Vec::is_empty) {
            if self.made.has_service(DEFAULT_BACKEND) {
                self.made.tree.reject(&entry.place, format!("{AT}: there is one for the whole gateway already"));
                return false;
            }
            let names = (DEFAULT_BACKEND.to_owned(), DEFAULT_BACKEND.to_owned());
            let location = self.location(prepared, hosts, "", None, backend, names, AT);
            return self.serve(&location, hosts, AT);
        }
        let own = normalize(&format!("{namespace}-{name}-default-backend"));
        let mut seen = BTreeSet::new();
        let mut served = false;
        for host in entry.hosts() {
            if !seen.insert(host) {
                continue;
            }
            // Of several hosts all but the first need names of their own.
            let router = if seen.len() == 1 { own.clone() } else { normalize(&format!("{own}-{host}")) };
            let location = self.location(prepared, hosts, host, None, backend, (router, own.clone()), AT);
            served |= self.serve(&location, hosts, AT);
        }
        served
    }

    /// Routers and services of a location; whether it is served.
    fn serve(&mut self, location: &Location<'a>, hosts: &Hosts<'a>, at: &str) -> bool {
        let entry = location.entry;
        if self.spent > MOST_BYTES {
            return false;
        }
        let mut chain = match chain::of(self.cluster, self.options, location) {
            Ok(chain) => chain,
            Err(why) => {
                self.spent += why.len();
                self.made.tree.reject(&entry.place, format!("{at}: {why}"));
                return false;
            }
        };
        if let Some(why) = unverified(location, hosts) {
            self.made.tree.reject(&entry.place, format!("{at}: {why}"));
            return false;
        }
        let whole = location.backend == DEFAULT_BACKEND;
        let (text, priority) = match whole {
            true => (ANY.to_owned(), LAST),
            false => (rule::of(location.host, location.aliases, location.path, location.exact, location.regex), 0),
        };
        let text = if text.is_empty() { ANY.to_owned() } else { text };
        // Of routers without and with TLS, for each and for those who ask for a canary and refuse it.
        self.spent += (chain.bytes() + text.len()) * if self.canary(location).is_some() { 6 } else { 2 };
        if self.spent > MOST_BYTES {
            let why = format!(
                "the routers of the ingress come to more than {} MiB: {at}, and what stands behind it, is left out; shorten its \
                 annotations, or make several of it",
                MOST_BYTES >> 20
            );
            self.made.tree.reject(&entry.place, why);
            return false;
        }
        for (name, said) in &chain.warnings {
            self.made.tree.warn(&entry.place, name, said.clone());
        }
        if let Some(why) = chain.broken.take_if(|_| whole) {
            self.made.tree.reject(&entry.place, format!("{at}: {why}; the headers are not sent"));
        }
        if let Some(why) = &chain.broken {
            self.made.tree.reject(&entry.place, format!("{at}: {why}; requests are answered with 503"));
        }
        let client_auth = location.client_auth;
        let service = self.services(location, &chain);
        let name = &location.router;
        let canary = self
            .canary(location)
            .map(|c| (c.can_be_asked_for(), c.can_be_refused(), rule::of_canary(&text, c), rule::of_refusal(&text, c)));
        let mut served = false;
        // With TLS the connections go to their servers as they are.
        let both = !entry.annotations.is("ssl-passthrough");
        for tls in [false, true].into_iter().filter(|tls| !tls || both) {
            let end = if tls { "-tls" } else { "" };
            let mut routes = vec![Route { name: format!("{name}{end}"), rule: &text, service: &service, priority, tls }];
            let asked = format!("{}-canary", location.backend);
            if let Some((can_ask, can_refuse, asks, refuses)) = &canary {
                if *can_ask {
                    routes.push(Route { name: format!("{name}-canary{end}"), rule: asks, service: &asked, priority: 0, tls });
                }
                if *can_refuse {
                    routes.push(Route {
                        name: format!("{name}-non-canary{end}"),
                        rule: refuses,
                        service: &location.backend,
                        priority: 0,
                        tls,
                    });
                }
            }
            for route in routes {
                served |= self.put(&route, location, &chain, client_auth);
            }
            self.www(location, hosts, &chain, client_auth, tls);
        }
        served
    }

    fn canary(&self, location: &Location<'a>) -> Option<&Canary<'a>> {
        let namespace = location.entry.key.0.as_str();
        self.canaries.get(&(namespace, location.service, location.port.clone())).filter(|_| location.of_rule)
    }

    /// The services of a location; the name of the one that its router leads to.
    fn services(&mut self, location: &Location<'a>, chain: &Chain) -> String {
        let canary = self.canary(location).cloned();
        let name = location.backend.clone();
        let hides = chain.authenticates && chain.broken.is_none();
        let Some(canary) = canary else {
            self.service(location, &name, &location.servers, hides);
            return name;
        };
        let (asked, all) = (format!("{name}-canary"), format!("{name}-wrr"));
        self.service(location, &name, &location.servers, hides && canary.can_be_refused());
        self.service(location, &asked, &canary.servers, hides && canary.can_be_asked_for());
        let share = |name: &str, weight| WeightedServiceConfig { name: name.to_owned(), weight, answer: None };
        let services = vec![share(&name, canary.total - canary.weight), share(&asked, canary.weight)];
        let weighted = Some(WeightedConfig { services, sticky: sticky(location, "-wrr"), health_check: None });
        let middlewares = self.hide(&all, hides, &location.entry.place);
        self.made.service(&all, ServiceConfig { weighted, middlewares, ..ServiceConfig::default() }, &location.entry.place);
        all
    }

    fn service(&mut self, location: &Location<'_>, name: &str, servers: &[Server], hides: bool) {
        let annotations = &location.entry.annotations;
        let mut lb = LoadBalancerConfig {
            servers: urls(tls::scheme(annotations), servers),
            servers_transport: (!servers.is_empty()).then(|| location.transport.to_owned()),
            sticky: sticky(location, ""),
            ..LoadBalancerConfig::default()
        };
        if let Some(key) = annotations.filled("upstream-hash-by") {
            lb.strategy = Strategy::Hrw;
            lb.nginx_upstream_hash_by = key.to_owned();
        }
        let middlewares = self.hide(name, hides, &location.entry.place);
        self.made.service(name, ServiceConfig { middlewares, ..balanced(lb) }, &location.entry.place);
    }

    /// What takes the answer of a user off the requests to a service.
    fn hide(&mut self, service: &str, hides: bool, place: &Place) -> Vec<String> {
        if !hides {
            return Vec::new();
        }
        let name = format!("{service}-remove-authorization-header");
        self.made.middleware(&name, "headers", &json!({ "customRequestHeaders": { "Authorization": "" } }), place);
        vec![name]
    }

    /// A router with the middlewares of its location; whether it is there now.
    fn put(&mut self, route: &Route<'_>, location: &Location<'_>, chain: &Chain, client_auth: Option<&ClientAuth>) -> bool {
        let place = &location.entry.place;
        let mut middlewares = Vec::new();
        if chain.broken.is_none() {
            if chain.to_https && !route.tls {
                let redirect = Part::new("redirect-scheme", "redirectScheme", json!({"scheme": "https", "forcePermanentRedirect": true}));
                middlewares.extend(self.part(&route.name, &redirect, location));
            }
            middlewares.extend(chain.parts.iter().filter_map(|p| self.part(&route.name, p, location)));
        }
        let service = if chain.broken.is_some() { UNAVAILABLE } else { route.service };
        let route = Route { service, name: route.name.clone(), ..*route };
        let mut config = self.router(&route, client_auth, middlewares);
        let access_logs = location.entry.annotations.flag("enable-access-log").filter(|_| chain.broken.is_none());
        config.observability = access_logs.map(|on| RouterObservabilityConfig { access_logs: Some(on), ..Default::default() });
        if let Some(auth) = client_auth.filter(|_| route.tls) {
            self.made.tls_options(&auth.name, auth.options(), place);
        }
        self.made.router(&route.name, config, place)
    }

    /// The name of a middleware; `None` for pages of errors that nobody has: the route is served without them.
    fn part(&mut self, router: &str, part: &Part, location: &Location<'_>) -> Option<String> {
        let place = &location.entry.place;
        let name = format!("{router}-{}", part.suffix);
        let mut config = part.config.clone();
        if part.kind == "errors" && config["service"].is_null() {
            let pages = format!("{DEFAULT_BACKEND}-{router}");
            let annotations = &location.entry.annotations;
            let backend = first_port(annotations.text("default-backend").unwrap_or_default());
            match self.endpoints.find(&location.entry.key.0, &backend, annotations) {
                Ok(servers) => {
                    let lb = LoadBalancerConfig {
                        servers: urls(tls::scheme(annotations), &servers),
                        sticky: sticky(location, ""),
                        ..LoadBalancerConfig::default()
                    };
                    self.made.service(&pages, balanced(lb), place);
                }
                Err(why) => {
                    self.made.tree.warn(place, "default-backend", format!("{why}: there are no pages for errors"));
                    return None;
                }
            }
            config["service"] = pages.into();
        }
        self.made.middleware_shown(&name, part.kind, &config, auth::shown(&config).as_ref(), place);
        Some(name)
    }

    fn router(&self, route: &Route<'_>, client_auth: Option<&ClientAuth>, middlewares: Vec<String>) -> RouterConfig {
        let options = client_auth.map(|a| a.name.clone()).unwrap_or_default();
        RouterConfig {
            entry_points: if route.tls { self.options.tls.clone() } else { self.options.plain.clone() },
            middlewares,
            service: Some(route.service.to_owned()),
            rule: route.rule.to_owned(),
            priority: route.priority,
            tls: route.tls.then(|| RouterTlsConfig { options, ..RouterTlsConfig::default() }),
            ..RouterConfig::default()
        }
    }

    /// The router of the other one of `h` and `www.h`.
    fn www(&mut self, location: &Location<'_>, hosts: &Hosts<'_>, chain: &Chain, client_auth: Option<&ClientAuth>, tls: bool) {
        if !location.entry.annotations.is("from-to-www-redirect") || chain.broken.is_some() || location.backend == DEFAULT_BACKEND {
            return;
        }
        let Some((other, target)) = redirects::www(location.host, |h| hosts.has(h)) else { return };
        let part = redirects::www_part(target);
        let name = format!("{}{}-{}", location.router, if tls { "-tls" } else { "" }, part.suffix);
        self.made.middleware(&name, part.kind, &part.config, &location.entry.place);
        let text = format!("Host({})", crate::ingress::rule::quoted(&other));
        let route = Route { name: name.clone(), rule: &text, service: UNAVAILABLE, priority: 0, tls };
        let config = self.router(&route, client_auth, vec![name.clone()]);
        self.made.router(&name, config, &location.entry.place);
    }

    /// Routers of connections that servers decrypt; whether there is one.
    fn passthrough(&mut self, entry: &'a Entry<'a>) -> bool {
        let (namespace, ingress) = entry.key;
        let mut any = false;
        for (r, rule) in entry.spec.rules.iter().flatten().enumerate() {
            let host = rule.host.as_deref().unwrap_or_default();
            let backend = match &rule.http {
                Some(http) => http.paths.iter().find(|p| p.path.as_deref() == Some("/")).map(|p| &p.backend),
                None => entry.spec.default_backend.as_ref(),
            };
            let at = format!("spec.rules[{r}]: ssl-passthrough");
            let made = match backend.and_then(|b| b.service.as_ref()) {
                _ if host.is_empty() => Err("the rule needs a host".to_owned()),
                None => Err("the rule needs the path `/`, whose service gets the connections".to_owned()),
                Some(backend) => self.endpoints.find(namespace, backend, &entry.annotations).map(|servers| (backend, servers)),
            };
            match made {
                Ok((backend, servers)) => {
                    let service = normalize(&format!("{namespace}-{}-{}", backend.name, port_text(backend.port.as_ref())));
                    let servers = servers.into_iter().map(|s| TcpServerConfig { address: s.address, ..Default::default() }).collect();
                    self.made.tcp_servers(&service, servers, &entry.place);
                    let config = TcpRouterConfig {
                        entry_points: self.options.tls.clone(),
                        service: Some(service),
                        rule: format!("HostSNI({})", crate::ingress::rule::quoted(host)),
                        tls: Some(TcpRouterTlsConfig { passthrough: true, ..Default::default() }),
                        ..TcpRouterConfig::default()
                    };
                    any |= self.made.tcp_router(&normalize(&format!("{namespace}-{ingress}-{host}")), config, &entry.place);
                }
                Err(why) => self.made.tree.reject(&entry.place, format!("{at}: {why}")),
            }
        }
        any
    }
}

/// Of one ingress. Each of them is in the rule of each path.
const MOST_ALIASES: usize = 100;

/// Of rules and middlewares of one ingress: annotations, and secrets that they name, are there anew for each router.
const MOST_BYTES: usize = 16 << 20;

/// Every request.
const ANY: &str = "PathPrefix(\"/\")";

/// Why a location would be open to clients that its ingress wants kept out: the handshake is that of an older ingress.
fn unverified(location: &Location<'_>, hosts: &Hosts<'_>) -> Option<String> {
    let wanted = location.wanted_auth.filter(|w| !location.client_auth.is_some_and(|a| a.satisfies(w)))?;
    let host = location.host;
    let owner = hosts.who_authenticates(host).map(|(namespace, name)| format!(" as ingress {namespace}/{name} says")).unwrap_or_default();
    let kind = wanted.kind;
    Some(format!("host `{host}`: its clients are verified{owner}, which is older and less strict than {kind}, or by other authorities"))
}

fn balanced(lb: LoadBalancerConfig) -> ServiceConfig {
    ServiceConfig { load_balancer: Some(lb), ..ServiceConfig::default() }
}

fn urls(scheme: &str, servers: &[Server]) -> Vec<ServerConfig> {
    let url = |s: &Server| ServerConfig { url: format!("{scheme}://{}", s.address), fenced: s.draining, ..ServerConfig::default() };
    servers.iter().map(url).collect()
}

/// `affinity: cookie`; `end` is put behind the name of the cookie.
fn sticky(location: &Location<'_>, end: &str) -> Option<StickyConfig> {
    let a = &location.entry.annotations;
    let cookie = (a.text("affinity") == Some("cookie")).then(|| CookieConfig {
        name: format!("{}{end}", a.text("session-cookie-name").unwrap_or("INGRESSCOOKIE")),
        secure: a.is("session-cookie-secure"),
        http_only: true,
        same_site: a.text("session-cookie-samesite").unwrap_or_default().to_lowercase(),
        max_age: a.number("session-cookie-max-age").unwrap_or(0),
        expires: a.number("session-cookie-expires").unwrap_or(0),
        path: a.text("session-cookie-path").unwrap_or("/").to_owned(),
        domain: a.text("session-cookie-domain").unwrap_or_default().to_owned(),
    })?;
    Some(StickyConfig { cookie: Some(cookie) })
}
