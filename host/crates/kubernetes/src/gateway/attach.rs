//! Which routes go on which listeners.

use super::conditions::Condition;
use super::http::{self, Kind};
use super::listeners::Listener;
use super::model::{GROUP, GatewaySpec, Object, Reference, RouteSpec};
use super::refs::{Refs, Unresolved};
use super::{names, tcp};
use crate::made::Made;
use crate::tree::place;
use serde_json::Value;
use std::collections::BTreeSet;
use torana_base::Place;

/// What came of a route at one of its parents.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    /// As the route names it.
    pub(super) reference: Value,
    pub(super) conditions: Vec<Condition>,
}

/// Routes are attached one after the other, the oldest first.
pub(super) struct Attaching<'a> {
    pub(super) gateways: &'a [Object<GatewaySpec>],
    pub(super) listeners: Vec<Listener>,
    pub(super) refs: Refs<'a>,
    pub(super) made: Made,
}

/// Listeners (by index) that have accepted a route, with the host names that both have.
type Accepted = Vec<(usize, Vec<String>)>;

impl Attaching<'_> {
    /// Attaches a route to each of its parents that is a gateway of ours.
    pub(super) fn route(&mut self, kind: &'static str, route: &Object<RouteSpec>) -> Vec<Parent> {
        let at = place(kind, &route.key);
        let mut parents = Vec::new();
        let mut on = BTreeSet::new();
        for written in &route.spec.parent_refs {
            let Ok(parent) = serde_json::from_value::<Reference>(written.clone()) else { continue };
            let namespace = parent.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(&route.key.0);
            let gateway = (namespace.to_owned(), parent.name.clone());
            if parent.what((GROUP, "Gateway")) != (GROUP, "Gateway") || !self.gateways.iter().any(|g| g.key == gateway) {
                continue;
            }
            let accepted = self.accept(kind, route, &parent, &gateway, &mut on);
            let condition = match &accepted {
                Ok(on) if on.iter().any(|(i, _)| self.listeners[*i].attached) => {
                    Condition::yes("Accepted", "Accepted", "the route is served")
                }
                Ok(_) => {
                    Condition::no("Accepted", "NoMatchingParent", "something is wrong with the listener: look at the status of the gateway")
                }
                Err(c) => c.clone(),
            };
            if !condition.holds {
                self.made.tree.reject(&at, format!("not accepted by gateway {}/{}: {}", gateway.0, gateway.1, condition.message));
            }
            let mut wrong = Vec::new();
            for (i, hostnames) in accepted.iter().flatten().filter(|(i, _)| self.listeners[*i].attached) {
                wrong.extend(build(&mut self.refs, &mut self.made, kind, route, &self.listeners[*i], hostnames, &at));
            }
            for unresolved in &wrong {
                self.made.tree.reject(&at, unresolved.message.as_str());
            }
            if !condition.holds
                && let Some(any) = self.listeners.iter().find(|l| l.gateway == gateway)
            {
                // Told of routes that are not served, too.
                wrong = build(&mut self.refs, &mut Made::default(), kind, route, any, &[], &at);
            }
            let resolved = match wrong.last() {
                None => Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved"),
                Some(u) => Condition::no("ResolvedRefs", u.reason, u.message.as_str()),
            };
            parents.push(Parent { reference: written.clone(), conditions: vec![condition, resolved] });
        }
        if !parents.is_empty() {
            self.not_built(&at, route);
        }
        parents
    }

    /// The listeners of a parent that take the route, or why none does.
    fn accept(
        &mut self,
        kind: &'static str,
        route: &Object<RouteSpec>,
        parent: &Reference,
        gateway: &(String, String),
        on: &mut BTreeSet<usize>,
    ) -> Result<Accepted, Condition> {
        let section = parent.section_name.as_deref().filter(|s| !s.is_empty());
        let meant = |l: &Listener| &l.gateway == gateway && section.is_none_or(|s| s == l.name) && parent.port.is_none_or(|p| p == l.port);
        let all: Vec<usize> = (0..self.listeners.len()).filter(|i| meant(&self.listeners[*i])).collect();
        if all.is_empty() {
            return Err(Condition::no("Accepted", "NoMatchingParent", "the gateway has no such listener"));
        }
        let namespace = &route.key.0;
        let allowed: Vec<usize> = all.into_iter().filter(|i| self.listeners[*i].allows(self.refs.cluster, kind, namespace)).collect();
        if allowed.is_empty() {
            let message = format!("no listener takes {kind}s from {namespace}: look at its `allowedRoutes`");
            return Err(Condition::no("Accepted", "NotAllowedByListeners", message));
        }
        let route_names: Vec<String> = route.spec.hostnames.iter().map(|h| h.to_ascii_lowercase()).collect();
        let hostnames = |i: usize| match kind {
            "TCPRoute" => Some(Vec::new()),
            _ => names::common(&self.listeners[i].hostname, &route_names),
        };
        let named: Accepted = allowed.into_iter().filter_map(|i| Some((i, hostnames(i)?))).collect();
        if named.is_empty() {
            return Err(Condition::no("Accepted", "NoMatchingListenerHostname", "no listener has a host name of the route"));
        }
        let free = |(i, names): &(usize, Vec<String>)| {
            !self.listeners[*i].claims.iter().any(|(other, theirs)| *other != kind && names::overlap(names, theirs))
        };
        let accepted: Accepted = named.into_iter().filter(free).collect();
        if accepted.is_empty() {
            let message = "an older route of another kind has one of its host names on the same listener";
            return Err(Condition::no("Accepted", "HostnameConflict", message));
        }
        for (i, names) in &accepted {
            let listener = &mut self.listeners[*i];
            listener.routes += usize::from(on.insert(*i));
            listener.claims.push((kind, names.clone()));
        }
        Ok(accepted)
    }

    /// What a route asks for and does not get.
    fn not_built(&mut self, at: &Place, route: &Object<RouteSpec>) {
        for (i, rule) in route.spec.rules.iter().enumerate() {
            let options = [("timeouts", &rule.timeouts), ("retry", &rule.retry), ("sessionPersistence", &rule.session_persistence)];
            for (name, _) in options.into_iter().filter(|(_, value)| value.is_some()) {
                self.made.tree.warn(at, &format!("spec.rules[{i}].{name}"), "this is not supported here and has no effect");
            }
        }
    }
}

fn build(
    refs: &mut Refs<'_>,
    made: &mut Made,
    kind: &'static str,
    route: &Object<RouteSpec>,
    listener: &Listener,
    hostnames: &[String],
    place: &Place,
) -> Vec<Unresolved> {
    let of_requests = |kind| http::Attached { kind, route, listener, hostnames, place };
    match kind {
        "HTTPRoute" => of_requests(Kind::Http).build(refs, made),
        "GRPCRoute" => of_requests(Kind::Grpc).build(refs, made),
        _ => tcp::Attached { kind, route, listener, hostnames, place }.build(refs, made),
    }
}
