//! One item to routing configuration: its labels read, its services given their servers, its routers completed.

use crate::item::{AddressWanted, Item, ItemState, Protocol, setting};
use crate::source::Source;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use torana_base::{Diagnostic, Place, normalize};
use torana_config::labels::{self, LabelTree, Owner, ServerLabels};
use torana_config::routing::{
    self, HttpConfig, Item as Object, LoadBalancerConfig, RouterConfig, RoutingConfig, ServerConfig, ServiceConfig, TcpConfig,
    TcpLoadBalancerConfig, TcpServerConfig, TcpServiceConfig, UdpConfig, UdpLoadBalancerConfig, UdpServerConfig, UdpServiceConfig,
};

/// What one item says.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) config: RoutingConfig,
    /// Why it contributes nothing, or not all.
    pub(crate) reasons: Vec<String>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// The addresses that were asked for, and what was answered.
    pub(crate) answers: Vec<Answer>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) port_label: Option<String>,
    pub(crate) protocol: Protocol,
    pub(crate) answer: Result<(String, String), String>,
}

/// Why an item contributes nothing at all.
struct Skipped(String);

pub(crate) fn decode(source: &Source, item: &Item) -> Decoded {
    let mut out = Decoded::default();
    let exposed = match setting(&item.labels, &source.prefix, "enable").map(|t| (t, parse_bool(t))) {
        None => source.exposed_by_default,
        Some((_, Some(exposed))) => exposed,
        Some((text, None)) => {
            let reason = format!("`{}.enable` is `true` or `false`, not `{text}`", source.prefix);
            return Decoded { reasons: vec![reason], ..out };
        }
    };
    let wanted = source.constraints.as_ref().is_none_or(|c| c.fulfilled(&item.labels, &item.tags));
    if !exposed || !wanted || item.state == ItemState::NotServing && !source.allow_empty_services {
        return out;
    }
    let noun = if source.tags { "tag" } else { "label" };
    let owner = Owner { name: &item.origin, noun, prefix: &source.prefix };
    let read = labels::tree(item.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())), &owner);
    let (errors, warnings): (Vec<_>, Vec<_>) = read.diagnostics.into_iter().partition(Diagnostic::is_error);
    out.warnings = warnings;
    if !errors.is_empty() {
        out.reasons = errors.iter().map(told).collect();
        return out;
    }
    let LabelTree { node, servers } = read.value;
    let decoded = routing::decode(&node);
    out.config = decoded.value;
    out.reasons = decoded.diagnostics.iter().filter(|d| d.is_error()).map(told).collect();
    let mut work = Work { source, item, servers: &servers, name: normalize(&item.service_name), out: &mut out };
    if let Err(Skipped(reason)) = work.complete() {
        out.config = RoutingConfig::default();
        out.reasons.push(reason);
    }
    out
}

/// A diagnostic in one line.
fn told(d: &Diagnostic) -> String {
    let place = d.place.as_ref().map(|p| format!(", at {p}")).unwrap_or_default();
    let hint = d.hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default();
    format!("{}{place}{hint}", d.message)
}

struct Work<'a> {
    source: &'a Source,
    item: &'a Item,
    servers: &'a [ServerLabels],
    /// Of the service and the router that labels do not name.
    name: String,
    out: &'a mut Decoded,
}

impl Work<'_> {
    fn complete(&mut self) -> Result<(), Skipped> {
        let RoutingConfig { mut http, mut tcp, mut udp, tls, plugins, rejected } = std::mem::take(&mut self.out.config);
        let has_tcp = !tcp.routers.is_empty() || !tcp.services.is_empty();
        let has_udp = !udp.routers.is_empty() || !udp.services.is_empty();
        let has_http = !http.routers.is_empty() || !http.services.is_empty() || !http.middlewares.is_empty();
        if has_tcp {
            self.tcp_services(&mut tcp)?;
            self.tcp_routers(&mut tcp);
        }
        if has_udp {
            self.udp_services(&mut udp)?;
            self.udp_routers(&mut udp);
        }
        if has_http || !has_tcp && !has_udp {
            self.http_services(&mut http)?;
            self.http_routers(&mut http);
        }
        self.out.config = RoutingConfig { http, tcp, udp, tls, plugins, rejected };
        Ok(())
    }

    fn place(&self) -> Place {
        Place::whole(self.item.origin.as_str())
    }

    fn empty(&self) -> bool {
        self.item.state != ItemState::Up
    }

    fn labels(&self, tree: &str, service: &str) -> Option<&ServerLabels> {
        self.servers.iter().find(|s| s.tree == tree && s.service == service)
    }

    fn address(&mut self, protocol: Protocol, tree: &str, service: &str) -> Result<(String, String), Skipped> {
        let port_label = self.labels(tree, service).and_then(|s| s.port.clone()).filter(|p| !p.is_empty());
        let known = self.out.answers.iter().find(|a| a.protocol == protocol && a.port_label == port_label);
        let answer = match known {
            Some(known) => known.answer.clone(),
            None => {
                let answer = (self.item.addresses)(&AddressWanted { port_label: port_label.as_deref(), protocol });
                self.out.answers.push(Answer { port_label, protocol, answer: answer.clone() });
                answer
            }
        };
        let skipped = |why: &str| Skipped(format!("service `{service}`: {why}"));
        let (host, port) = answer.map_err(|why| skipped(&why))?;
        if port.is_empty() {
            let label = format!("{}.{tree}.services.{service}.loadbalancer.server.port", self.source.prefix);
            return Err(skipped(&format!("its port is not known; write it as `{label}`")));
        }
        Ok((if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host }, port))
    }

    /// Says that a port is none, which makes a service unusable and nothing else.
    fn check_port<T: 'static>(&self, object: &mut Object<T>, tree: &str, service: &str, port: &str) {
        if port.parse::<u16>().is_ok_and(|p| p > 0) {
            return;
        }
        let key = format!("{tree}.services.{service}.loadBalancer.server.port");
        let place = self.labels(tree, service).map_or_else(|| self.place(), |s| s.place.clone());
        let d = Diagnostic::error(key, format!("`{port}` is no port")).at(&place).hint("write a number from 1 to 65535");
        object.complete(move |object| object.diagnostics.push(d.clone()));
    }

    fn no_balancer(service: &str) -> Skipped {
        Skipped(format!("service `{service}`: it has no load balancer; write an option of `loadbalancer`, such as `server.port`"))
    }

    fn http_services(&mut self, http: &mut HttpConfig) -> Result<(), Skipped> {
        if http.services.is_empty() {
            let config = ServiceConfig { load_balancer: Some(LoadBalancerConfig::default()), ..ServiceConfig::default() };
            http.services.insert(self.name.clone(), Arc::new(Object::new(config, self.place(), 0)));
        }
        if let Some((name, transport)) = self.item.transport.clone() {
            let transport = Object::new((*transport).clone(), self.place(), digest(&format!("{transport:?}")));
            http.servers_transports.insert(name, Arc::new(transport));
        }
        for (name, object) in &mut http.services {
            let object = Arc::make_mut(object);
            if object.config.plugin.is_some() {
                continue;
            }
            match &object.config.load_balancer {
                Some(balancer) => {
                    let server = balancer.servers.last().cloned().unwrap_or_default();
                    self.http_server(name, object, &server)?;
                }
                None if self.empty() => {}
                None => return Err(Self::no_balancer(name)),
            }
        }
        Ok(())
    }

    fn http_server(&mut self, name: &str, object: &mut Object<ServiceConfig>, server: &ServerConfig) -> Result<(), Skipped> {
        if self.empty() {
            object.complete(|object| {
                if let Some(balancer) = &mut object.config.load_balancer {
                    balancer.servers.clear();
                }
            });
            return Ok(());
        }
        let written = self.labels("http", name);
        let scheme = written.map(|s| s.scheme.clone()).unwrap_or_default();
        let mut url = String::new();
        if !server.url.is_empty() {
            if written.is_some_and(|s| !s.scheme.is_empty() || s.port.as_ref().is_some_and(|p| !p.is_empty())) {
                let why = "`server.url` says scheme and port already; remove `server.scheme` and `server.port`, or `server.url`";
                return Err(Skipped(format!("service `{name}`: {why}")));
            }
        } else {
            let (host, port) = self.address(Protocol::Http, "http", name)?;
            self.check_port(object, "http", name, &port);
            let scheme = match &self.item.transport {
                Some(_) => "https",
                None if scheme.is_empty() => "http",
                None => &scheme,
            };
            url = format!("{scheme}://{host}:{port}");
        }
        let transport = self.item.transport.as_ref().map(|(name, _)| name.clone());
        object.complete(move |object| {
            let Some(balancer) = &mut object.config.load_balancer else { return };
            let mut server = balancer.servers.pop().unwrap_or_default();
            if server.url.is_empty() {
                server.url.clone_from(&url);
            }
            if transport.is_some() {
                balancer.servers_transport.clone_from(&transport);
            }
            object.digest = mixed(object.digest, &(server_key(&server), &transport));
            balancer.servers = vec![server];
        });
        Ok(())
    }

    fn http_routers(&mut self, http: &mut HttpConfig) {
        let services: Vec<&String> = http.services.keys().collect();
        if http.routers.is_empty() {
            if services.len() > 1 {
                let reason =
                    format!("no router is made: there are several services ({}); write `http.routers.<name>.service`", names(&services));
                self.out.reasons.push(reason);
            } else {
                http.routers.insert(self.name.clone(), Arc::new(Object::new(RouterConfig::default(), self.place(), 0)));
            }
        }
        let mut dropped = Vec::new();
        for (name, object) in &mut http.routers {
            let object = Arc::make_mut(object);
            if object.config.rule.is_empty() {
                match self.source.default_rule.of(&self.item.template, &self.item.labels) {
                    Ok(rule) if rule.is_empty() => {
                        dropped.push((name.clone(), "the default rule is empty; write `rule`".to_owned()));
                        continue;
                    }
                    Ok(rule) => object.complete(move |object| {
                        object.digest = mixed(object.digest, &rule);
                        object.config.rule.clone_from(&rule);
                        object.config.default_rule = true;
                    }),
                    Err(e) => {
                        dropped.push((name.clone(), format!("the default rule cannot be made: {e}")));
                        continue;
                    }
                }
            }
            link(name, object, &services, |c| &mut c.service, &mut dropped);
        }
        self.drop(&mut http.routers, dropped);
    }

    fn drop<T>(&mut self, routers: &mut routing::Items<T>, dropped: Vec<(String, String)>) {
        for (name, why) in dropped {
            routers.remove(&name);
            self.out.reasons.push(format!("router `{name}`: {why}"));
        }
    }

    fn tcp_services(&mut self, tcp: &mut TcpConfig) -> Result<(), Skipped> {
        if tcp.services.is_empty() {
            let config = TcpServiceConfig { load_balancer: Some(TcpLoadBalancerConfig::default()), weighted: None };
            tcp.services.insert(self.name.clone(), Arc::new(Object::new(config, self.place(), 0)));
        }
        for (name, object) in &mut tcp.services {
            let object = Arc::make_mut(object);
            if object.config.load_balancer.is_none() && !self.empty() {
                return Err(Self::no_balancer(name));
            }
            let mut address = None;
            if !self.empty() {
                let (host, port) = self.address(Protocol::Tcp, "tcp", name)?;
                self.check_port(object, "tcp", name, &port);
                address = Some(format!("{host}:{port}"));
            }
            object.complete(move |object| {
                let Some(balancer) = &mut object.config.load_balancer else { return };
                let written: TcpServerConfig = balancer.servers.pop().unwrap_or_default();
                object.digest = mixed(object.digest, &(&address, written.tls));
                balancer.servers = address.iter().map(|address| TcpServerConfig { address: address.clone(), ..written }).collect();
            });
        }
        Ok(())
    }

    fn tcp_routers(&mut self, tcp: &mut TcpConfig) {
        let services: Vec<&String> = tcp.services.keys().collect();
        let mut dropped = Vec::new();
        for (name, object) in &mut tcp.routers {
            let object = Arc::make_mut(object);
            if object.config.rule.is_empty() {
                dropped.push((name.clone(), "it has no rule; write `rule`, such as HostSNI(`*`)".to_owned()));
                continue;
            }
            link(name, object, &services, |c| &mut c.service, &mut dropped);
        }
        self.drop(&mut tcp.routers, dropped);
    }

    fn udp_services(&mut self, udp: &mut UdpConfig) -> Result<(), Skipped> {
        if udp.services.is_empty() {
            let config = UdpServiceConfig { load_balancer: Some(UdpLoadBalancerConfig::default()), weighted: None };
            udp.services.insert(self.name.clone(), Arc::new(Object::new(config, self.place(), 0)));
        }
        for (name, object) in &mut udp.services {
            let object = Arc::make_mut(object);
            if object.config.load_balancer.is_none() && !self.empty() {
                return Err(Self::no_balancer(name));
            }
            let mut address = None;
            if !self.empty() {
                let (host, port) = self.address(Protocol::Udp, "udp", name)?;
                self.check_port(object, "udp", name, &port);
                address = Some(format!("{host}:{port}"));
            }
            object.complete(move |object| {
                let Some(balancer) = &mut object.config.load_balancer else { return };
                object.digest = mixed(object.digest, &address);
                balancer.servers = address.iter().map(|address| UdpServerConfig { address: address.clone() }).collect();
            });
        }
        Ok(())
    }

    fn udp_routers(&mut self, udp: &mut UdpConfig) {
        let services: Vec<&String> = udp.services.keys().collect();
        let mut dropped = Vec::new();
        for (name, object) in &mut udp.routers {
            link(name, Arc::make_mut(object), &services, |c| &mut c.service, &mut dropped);
        }
        self.drop(&mut udp.routers, dropped);
    }
}

/// Gives a router without a service the only one of its object.
fn link<T: 'static>(
    name: &str,
    object: &mut Object<T>,
    services: &[&String],
    of: fn(&mut T) -> &mut Option<String>,
    dropped: &mut Vec<(String, String)>,
) {
    if of(&mut object.config).as_ref().is_some_and(|s| !s.is_empty()) {
        return;
    }
    match services {
        [only] => {
            let only = (*only).clone();
            object.complete(move |object| {
                *of(&mut object.config) = Some(only.clone());
                object.digest = mixed(object.digest, &only);
            });
        }
        [] => {}
        several => {
            let why = format!("it has no service, and there are several ({}); write `service`", names(several));
            dropped.push((name.to_owned(), why));
        }
    }
}

fn names(all: &[&String]) -> String {
    all.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", ")
}

/// The spellings of Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A digest with more in it.
pub(crate) fn mixed(digest: u64, more: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    digest.hash(&mut hasher);
    more.hash(&mut hasher);
    hasher.finish()
}

fn digest(text: &str) -> u64 {
    mixed(0, text)
}

/// For what is made of the servers of several objects.
pub(crate) fn server_key(server: &ServerConfig) -> (&str, Option<i64>, bool) {
    (&server.url, server.weight, server.preserve_path)
}
