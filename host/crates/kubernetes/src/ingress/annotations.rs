//! Annotations of ingresses and services: `traefik.ingress.kubernetes.io/router.*` and `service.*`, and the same
//! behind `torana.ingress.kubernetes.io/`.

use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use torana_base::closest;

const PREFIXES: [&str; 2] = ["traefik.ingress.kubernetes.io/", "torana.ingress.kubernetes.io/"];

/// What was read, with what was ignored.
pub(super) struct Read<T> {
    pub(super) value: Result<T, String>,
    pub(super) warnings: Vec<String>,
}

/// Annotations of an ingress: they count for all its routers.
#[derive(Debug, Default)]
pub(super) struct RouterAnnotations {
    pub(super) entry_points: Vec<String>,
    pub(super) middlewares: Vec<String>,
    pub(super) priority: Option<i64>,
    pub(super) rule_syntax: Option<String>,
    /// `Path`, `PathPrefix` or `PathRegexp`.
    pub(super) path_matcher: Option<String>,
    pub(super) tls_options: Option<String>,
    tls: Option<Map<String, Json>>,
    observability: Map<String, Json>,
}

impl RouterAnnotations {
    pub(super) fn read(all: &BTreeMap<String, String>) -> Read<RouterAnnotations> {
        let mut read = RouterAnnotations::default();
        let mut tls_on = false;
        let mut domains: BTreeMap<usize, Map<String, Json>> = BTreeMap::new();
        let (mut warnings, mut wrong) = (Vec::new(), None);
        for (key, value) in options(all, "router.") {
            let mut set = || -> Result<bool, String> {
                match key.as_str() {
                    "entrypoints" => read.entry_points = list(value),
                    "middlewares" => read.middlewares = list(value),
                    "priority" => read.priority = Some(number(&key, value)?),
                    "rulesyntax" => read.rule_syntax = Some(value.clone()),
                    "pathmatcher" => {
                        if !matches!(value.as_str(), "Path" | "PathPrefix" | "PathRegexp") {
                            return Err(format!("router.pathmatcher: `{value}` is none of Path, PathPrefix and PathRegexp"));
                        }
                        read.path_matcher = Some(value.clone());
                    }
                    "tls" => tls_on = boolean(&key, value)?,
                    "tls.certresolver" => _ = read.tls.get_or_insert_default().insert("certResolver".into(), value.clone().into()),
                    "tls.options" => {
                        read.tls_options = Some(value.clone());
                        read.tls.get_or_insert_default().insert("options".into(), value.clone().into());
                    }
                    "observability.accesslogs" => _ = read.observability.insert("accessLogs".into(), boolean(&key, value)?.into()),
                    "observability.metrics" => _ = read.observability.insert("metrics".into(), boolean(&key, value)?.into()),
                    "observability.tracing" => _ = read.observability.insert("tracing".into(), boolean(&key, value)?.into()),
                    "observability.traceverbosity" => _ = read.observability.insert("traceVerbosity".into(), value.clone().into()),
                    other => return Ok(domain(other, value, &mut domains)),
                }
                Ok(true)
            };
            match set() {
                Ok(true) => {}
                Ok(false) => warnings.push(unknown("router", &key, ROUTER)),
                Err(e) => wrong = wrong.or(Some(e)),
            }
        }
        if !domains.is_empty() {
            let domains = Json::Array(domains.into_values().map(Json::Object).collect());
            read.tls.get_or_insert_default().insert("domains".into(), domains);
        }
        if tls_on {
            read.tls.get_or_insert_default();
        }
        Read { value: wrong.map_or(Ok(read), Err), warnings }
    }

    /// Names of other objects.
    pub(super) fn references(&self) -> impl Iterator<Item = &str> {
        self.middlewares.iter().chain(&self.tls_options).map(String::as_str)
    }

    /// A router with all of it but rule and service.
    pub(super) fn router(&self) -> Map<String, Json> {
        let mut router = Map::new();
        let mut set = |key: &str, value: Json| _ = router.insert(key.to_owned(), value);
        if !self.entry_points.is_empty() {
            set("entryPoints", json!(self.entry_points));
        }
        if !self.middlewares.is_empty() {
            set("middlewares", json!(self.middlewares));
        }
        if let Some(p) = self.priority {
            set("priority", p.into());
        }
        if let Some(s) = &self.rule_syntax {
            set("ruleSyntax", s.clone().into());
        }
        if let Some(tls) = &self.tls {
            set("tls", Json::Object(tls.clone()));
        }
        if !self.observability.is_empty() {
            set("observability", Json::Object(self.observability.clone()));
        }
        router
    }
}

const ROUTER: &[&str] = &[
    "entrypoints",
    "middlewares",
    "priority",
    "rulesyntax",
    "pathmatcher",
    "tls",
    "tls.certresolver",
    "tls.options",
    "tls.domains.0.main",
    "tls.domains.0.sans",
    "observability.accesslogs",
    "observability.metrics",
    "observability.tracing",
    "observability.traceverbosity",
];

/// `tls.domains.<n>.main` and `.sans`, the number in brackets too; whether it was one of these.
fn domain(key: &str, value: &str, domains: &mut BTreeMap<usize, Map<String, Json>>) -> bool {
    let rest = key.strip_prefix("tls.domains.").or_else(|| key.strip_prefix("tls.domains[")).unwrap_or_default();
    let Some((n, field)) = rest.split_once('.') else { return false };
    let Ok(n) = n.trim_end_matches(']').parse::<usize>() else { return false };
    let domain = domains.entry(n).or_default();
    match field {
        "main" => _ = domain.insert("main".into(), value.into()),
        "sans" => _ = domain.insert("sans".into(), json!(list(value))),
        _ => return false,
    }
    true
}

/// Annotations of a service.
#[derive(Debug, Default)]
pub(super) struct ServiceAnnotations {
    pub(super) scheme: String,
    pub(super) middlewares: Vec<String>,
    pub(super) native_lb: Option<bool>,
    pub(super) node_port_lb: bool,
    /// What goes into `loadBalancer` as it is.
    pub(super) load_balancer: Map<String, Json>,
}

impl ServiceAnnotations {
    pub(super) fn read(all: &BTreeMap<String, String>) -> Read<ServiceAnnotations> {
        let mut read = ServiceAnnotations::default();
        let mut cookie: Option<Map<String, Json>> = None;
        let (mut warnings, mut wrong) = (Vec::new(), None);
        for (key, value) in options(all, "service.") {
            let mut set = || -> Result<bool, String> {
                match key.as_str() {
                    "serversscheme" => read.scheme.clone_from(value),
                    "serverstransport" => _ = read.load_balancer.insert("serversTransport".into(), value.clone().into()),
                    "passhostheader" => _ = read.load_balancer.insert("passHostHeader".into(), boolean(&key, value)?.into()),
                    "middlewares" => read.middlewares = list(value),
                    "nativelb" => read.native_lb = Some(boolean(&key, value)?),
                    "nodeportlb" => read.node_port_lb = boolean(&key, value)?,
                    "sticky" | "sticky.cookie" => {
                        if boolean(&key, value)? {
                            cookie.get_or_insert_default();
                        }
                    }
                    other => {
                        let Some(field) = other.strip_prefix("sticky.cookie.") else { return Ok(false) };
                        let (name, value) = match field {
                            "name" => ("name", Json::from(value.as_str())),
                            "domain" => ("domain", value.as_str().into()),
                            "path" => ("path", value.as_str().into()),
                            "samesite" => ("sameSite", value.as_str().into()),
                            "secure" => ("secure", boolean(&key, value)?.into()),
                            "httponly" => ("httpOnly", boolean(&key, value)?.into()),
                            "maxage" => ("maxAge", number(&key, value)?.into()),
                            _ => return Ok(false),
                        };
                        cookie.get_or_insert_default().insert(name.into(), value);
                    }
                }
                Ok(true)
            };
            match set() {
                Ok(true) => {}
                Ok(false) => warnings.push(unknown("service", &key, SERVICE)),
                Err(e) => wrong = wrong.or(Some(e)),
            }
        }
        if let Some(cookie) = cookie {
            read.load_balancer.insert("sticky".into(), json!({ "cookie": cookie }));
        }
        Read { value: wrong.map_or(Ok(read), Err), warnings }
    }

    /// Names of other objects.
    pub(super) fn references(&self) -> impl Iterator<Item = &str> {
        let transport = self.load_balancer.get("serversTransport").and_then(Json::as_str);
        self.middlewares.iter().map(String::as_str).chain(transport)
    }
}

const SERVICE: &[&str] = &[
    "serversscheme",
    "serverstransport",
    "passhostheader",
    "middlewares",
    "nativelb",
    "nodeportlb",
    "sticky.cookie",
    "sticky.cookie.name",
    "sticky.cookie.domain",
    "sticky.cookie.path",
    "sticky.cookie.samesite",
    "sticky.cookie.secure",
    "sticky.cookie.httponly",
    "sticky.cookie.maxage",
];

/// What stands behind one of the prefixes and `group`, in lower case.
fn options<'a>(all: &'a BTreeMap<String, String>, group: &'a str) -> impl Iterator<Item = (String, &'a String)> {
    all.iter().filter_map(move |(key, value)| {
        let rest = PREFIXES.iter().find_map(|p| key.strip_prefix(p))?.to_ascii_lowercase();
        Some((rest.strip_prefix(group)?.to_owned(), value))
    })
}

fn unknown(group: &str, key: &str, known: &[&'static str]) -> String {
    let hint = closest(key, known.iter().copied()).map(|n| format!(", did you mean `{group}.{n}`?")).unwrap_or_default();
    format!("unknown annotation `{group}.{key}` is ignored{hint}")
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
}

fn number(key: &str, value: &str) -> Result<i64, String> {
    value.trim().parse().map_err(|_| format!("{key}: `{value}` is no whole number"))
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(false),
        _ => Err(format!("{key}: `{value}` is neither `true` nor `false`")),
    }
}
