//! The provider `internal`: what the gateway routes to itself.

use crate::acme::CHALLENGE_PATH;
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use torana_base::{Place, normalize};
use torana_config::install::InstallConfig;
use torana_config::node::{Key, Node, Value};
use torana_config::routing::{Item, MiddlewareConfig, RouterConfig, RoutingConfig};
use torana_dataplane::Drain;
use torana_http::{Body, Endpoint, Exchange, LocalFuture, Response};

/// Services that the gateway answers itself, by their name without `@internal`.
pub type Internals = BTreeMap<&'static str, Arc<dyn Endpoint>>;

/// Answers at once.
struct Answer<F>(F);

impl<F: Fn() -> Response + Send + Sync> Endpoint for Answer<F> {
    fn serve<'a>(&'a self, _: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(std::future::ready((self.0)()))
    }
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut r = Response::new(Body::from(text));
    *r.status_mut() = status;
    r
}

/// `noop`, `ping` and `ready`, as far as they are enabled. `is_ready` says whether every provider has
/// delivered and been applied.
pub fn services(install: &InstallConfig, drain: &Drain, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Internals {
    let mut all = Internals::new();
    all.insert(
        "noop",
        Arc::new(Answer(|| {
            let mut r = Response::new(Body::Empty);
            *r.status_mut() = StatusCode::IM_A_TEAPOT;
            r
        })),
    );
    let Some(ping) = &install.ping else { return all };
    let (ending, stopping) = (StatusCode::from_u16(ping.terminating_status_code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE), drain.clone());
    all.insert(
        "ping",
        Arc::new(Answer(move || {
            if stopping.is_started() { text(ending, torana_http::respond::text_of(ending)) } else { text(StatusCode::OK, "OK") }
        })),
    );
    let stopping = drain.clone();
    all.insert(
        "ready",
        Arc::new(Answer(move || match (stopping.is_started(), is_ready()) {
            (false, true) => text(StatusCode::OK, "OK"),
            (false, false) => text(StatusCode::SERVICE_UNAVAILABLE, "waiting for the first configuration of every provider"),
            (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        })),
    );
    all
}

fn here() -> Place {
    Place::whole("built in")
}

fn digest(text: &str) -> u64 {
    Node::plain(here(), text).digest()
}

fn router(config: &mut RoutingConfig, name: &str, entry_point: &str, rule: String, service: &str, middlewares: Vec<String>, priority: i64) {
    let identity = digest(&format!("{name} {entry_point} {rule} {service} {middlewares:?} {priority}"));
    let router = RouterConfig {
        entry_points: vec![entry_point.to_owned()],
        middlewares,
        service: Some(service.to_owned()),
        rule,
        priority,
        ..RouterConfig::default()
    };
    config.http.routers.insert(name.to_owned(), Arc::new(Item::new(router, here(), identity)));
}

fn middleware<'a>(config: &mut RoutingConfig, name: &str, kind: &str, options: impl IntoIterator<Item = (&'a str, Node)>) {
    let options = options.into_iter().map(|(key, node)| (Key { text: key.to_owned(), place: here() }, node));
    let node = Node::new(here(), Value::Map(options.collect()));
    let identity = node.digest();
    let item = Item::new(MiddlewareConfig { kind: kind.to_owned(), node }, here(), identity);
    config.http.middlewares.insert(name.to_owned(), Arc::new(item));
}

/// The dashboard on the entry point `traefik`, at `/dashboard/` as in Traefik; with a `base` below it too.
fn dashboard(config: &mut RoutingConfig, base: &str) {
    let redirect = [("regex", r"^(http:\/\/(\[[\w:.]+\]|[\w\._-]+)(:\d+)?)\/$"), ("replacement", "${1}/dashboard/"), ("permanent", "true")];
    middleware(config, "dashboard_redirect", "redirectRegex", redirect.map(|(key, value)| (key, Node::plain(here(), value))));
    let own = ["/dashboard/", "/dashboard"].map(str::to_owned);
    let below = own.iter().filter(|_| !base.is_empty()).map(|p| format!("{base}{p}"));
    let prefixes = below.chain(own.iter().cloned()).map(|p| Node::plain(here(), p)).collect();
    middleware(config, "dashboard_stripprefix", "stripPrefix", [("prefixes", Node::new(here(), Value::List(prefixes)))]);
    let middlewares = ["dashboard_redirect", "dashboard_stripprefix"].map(str::to_owned).to_vec();
    router(config, "dashboard", "traefik", "PathPrefix(`/`)".into(), "dashboard@internal", middlewares, i64::MAX - 2);
}

/// Routers and middlewares that follow from the install configuration.
pub fn routing(install: &InstallConfig) -> RoutingConfig {
    let mut config = RoutingConfig::default();
    if let Some(ping) = install.ping.as_ref().filter(|p| !p.manual_routing) {
        router(&mut config, "ping", &ping.entry_point, "PathPrefix(`/ping`)".into(), "ping@internal", vec![], i64::MAX);
        // On an entry point for users, their own `/ready` goes first.
        let priority = if ping.entry_point == "traefik" { i64::MAX } else { i64::MIN };
        router(&mut config, "ready", &ping.entry_point, "Path(`/ready`)".into(), "ready@internal", vec![], priority);
    }
    if let Some(p) = install.prometheus().filter(|p| !p.manual_routing) {
        router(&mut config, "prometheus", &p.entry_point, "PathPrefix(`/metrics`)".into(), "prometheus@internal", vec![], i64::MAX);
    }
    if let Some(api) = install.api.as_ref().filter(|a| a.insecure) {
        let base = api.base_path.trim_end_matches('/');
        router(&mut config, "api", "traefik", format!("PathPrefix(`{base}/api`)"), "api@internal", vec![], i64::MAX - 1);
        if api.dashboard {
            dashboard(&mut config, base);
        }
    }
    if install.providers.rest.as_ref().is_some_and(|r| r.insecure) {
        // `/api/providers` itself is Torana's own, of the API.
        router(&mut config, "rest", "traefik", "PathPrefix(`/api/providers/`)".into(), "rest@internal", vec![], i64::MAX);
    }
    let challenges = install.certificates_resolvers.values().filter_map(|c| c.acme.as_ref()?.http_challenge.as_ref());
    let asked: BTreeSet<&str> = challenges.map(|h| h.entry_point.as_str()).collect();
    for entry_point in asked {
        let known = install.entry_points.get(entry_point);
        // With the bypass it is a router like any other.
        let priority = if known.is_some_and(|e| e.allow_acme_by_pass) { 0 } else { i64::MAX };
        match config.http.routers.get_mut("acme-http") {
            Some(router) => {
                let mut both = router.config.clone();
                both.entry_points.push(entry_point.to_owned());
                both.priority = both.priority.max(priority);
                *router = Arc::new(Item::new(both, here(), digest(&format!("acme-http {} {entry_point}", router.digest))));
            }
            None => {
                let rule = format!("PathPrefix(`{CHALLENGE_PATH}`)");
                router(&mut config, "acme-http", entry_point, rule, "acme-http@internal", vec![], priority);
            }
        }
    }
    for (name, entry_point) in &install.entry_points {
        let Some(redirect) = entry_point.http.redirections.as_ref().and_then(|r| r.entry_point.as_ref()) else { continue };
        let port = match redirect.to.strip_prefix(':').filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
            Some(port) => port.to_owned(),
            None => match install.entry_points.get(&redirect.to) {
                Some(target) => target.address.port.to_string(),
                None => {
                    let text = format!("redirection leads to entry point `{}`, which does not exist", redirect.to);
                    config.rejected.push(torana_config::routing::Rejected {
                        key: format!("entryPoints.{name}.http.redirections.entryPoint.to"),
                        diagnostic: torana_base::Diagnostic::error(format!("entryPoints.{name}.http.redirections.entryPoint.to"), text)
                            .hint("name a configured entry point, or write `:443`"),
                    });
                    continue;
                }
            },
        };
        let label = normalize(&format!("{name}-to-{}", redirect.to));
        let middleware = format!("redirect-{label}");
        let permanent = redirect.permanent.to_string();
        let options = [("scheme", redirect.scheme.clone()), ("port", port), ("permanent", permanent)];
        let options = options.map(|(key, value)| (key, Node::plain(here(), value)));
        self::middleware(&mut config, &middleware, "redirectScheme", options);
        let mut rule = "HostRegexp(`^.+$`)".to_owned();
        if entry_point.allow_acme_by_pass {
            rule.push_str(&format!(" && !PathPrefix(`{CHALLENGE_PATH}`)"));
        }
        router(&mut config, &label, name, rule, "noop@internal", vec![middleware], redirect.priority);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_config::install::{Sources, load};

    #[test]
    fn redirections_lead_to_entry_points_and_ports() {
        for (to, good) in [(":443", true), ("other", true), ("nope", false), (":abc", false), (":", false), ("443", false)] {
            let args =
                ["--entrypoints.web.address=:80", "--entrypoints.other.address=:90", "--entrypoints.web.http.redirections.entrypoint.to"];
            let args = args.map(|a| if a.ends_with(".to") { format!("{a}={to}") } else { a.to_owned() }).to_vec();
            let config = load(&Sources { args, ..Sources::default() }).unwrap().config;
            let routing = routing(&config);
            assert_eq!((routing.http.routers.len(), routing.rejected.len()), if good { (1, 0) } else { (0, 1) }, "{to}");
        }
    }

    #[test]
    fn challenges_have_a_router_of_their_own() {
        let router = |bypass: &str| {
            let args = [
                "--entrypoints.web.address=:80",
                "--entrypoints.web.http.redirections.entrypoint.to=:443",
                "--certificatesresolvers.le.acme.storage=x.json",
                "--certificatesresolvers.le.acme.httpchallenge.entrypoint=web",
                bypass,
            ];
            let config = load(&Sources { args: args.map(str::to_owned).to_vec(), ..Sources::default() }).unwrap().config;
            let all = routing(&config).http.routers;
            let (acme, redirect) = (&all["acme-http"].config, &all["web-to-443"].config);
            assert_eq!((acme.entry_points.as_slice(), acme.service.as_deref()), (&["web".to_owned()][..], Some("acme-http@internal")));
            (acme.priority > redirect.priority, redirect.rule.contains("acme-challenge"))
        };
        assert_eq!(router("--entrypoints.web.allowacmebypass=false"), (true, false));
        // Users' own routers may answer; the redirection lets them.
        assert_eq!(router("--entrypoints.web.allowacmebypass=true"), (false, true));
    }
}
