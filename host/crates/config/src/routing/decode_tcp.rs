//! The trees `tcp` and `udp`.

use super::decode::{Empty, Section, block, finish_kinds, present, typed};
use super::{
    Item, TcpConfig, TcpMiddlewareConfig, TcpRouterConfig, TcpServersTransportConfig, TcpServiceConfig, UdpConfig, UdpRouterConfig,
    UdpServiceConfig,
};
use crate::node::Node;
use crate::schema::{self, Branch};
use torana_base::Diagnostic;

impl Empty for TcpMiddlewareConfig {
    fn empty(node: &Node) -> Self {
        TcpMiddlewareConfig { kind: String::new(), node: Node::empty(node.place.clone()), others: Vec::new() }
    }
}

super::decode::empty!(TcpRouterConfig TcpServiceConfig TcpServersTransportConfig UdpRouterConfig UdpServiceConfig);

/// Calls `each` with every known section of a tree that is a block.
fn sections(tree: &'static Branch, node: &Node, diagnostics: &mut Vec<Diagnostic>, mut each: impl FnMut(&str, &mut Section<'_>)) {
    let Some(entries) = block(node, tree.name, diagnostics) else { return };
    for (key, value) in entries {
        let Some(section) = tree.known(&key.text) else {
            let d = Diagnostic::error(format!("{}.{}", tree.name, key.text), format!("unknown option `{}`", key.text)).at(&key.place);
            diagnostics.push(Diagnostic { hint: tree.suggest(&key.text), ..d });
            continue;
        };
        let path = format!("{}.{}", tree.name, section.name);
        let Some(objects) = block(value, &path, diagnostics) else { continue };
        let Some(options) = section.any.as_deref() else { continue };
        each(section.name, &mut Section { path: &path, options, objects, diagnostics });
    }
}

pub(super) fn tcp(tree: &'static Branch, node: &Node, config: &mut TcpConfig, diagnostics: &mut Vec<Diagnostic>) {
    sections(tree, node, diagnostics, |name, cx| match name {
        "routers" => cx.items(&mut config.routers, |node, key, _, item| typed(node, key, item, finish_router)),
        "services" => cx.items(&mut config.services, |node, key, _, item| typed(node, key, item, finish_service)),
        "middlewares" => cx.items(&mut config.middlewares, middleware),
        "serversTransports" => cx.items(&mut config.servers_transports, |node, key, _, item| typed(node, key, item, finish_transport)),
        _ => {}
    });
}

pub(super) fn udp(tree: &'static Branch, node: &Node, config: &mut UdpConfig, diagnostics: &mut Vec<Diagnostic>) {
    sections(tree, node, diagnostics, |name, cx| match name {
        "routers" => cx.items(&mut config.routers, |node, key, _, item| {
            typed(node, key, item, |node, _, item| {
                item.keep(node, "service", "", "service");
                item.keep(node, "entryPoints", "", "entryPoints[]");
            });
        }),
        "services" => cx.items(&mut config.services, |node, key, _, item| {
            typed(node, key, item, |node, key, item| {
                finish_kinds(node, key, item, &["loadBalancer", "weighted"]);
                item.keep(node, "loadBalancer.servers", "address", "loadBalancer.servers[].address");
                item.keep(node, "weighted.services", "name", "weighted.services[].name");
            });
        }),
        _ => {}
    });
}

fn finish_router(node: &Node, _: &str, item: &mut Item<TcpRouterConfig>) {
    item.keep(node, "rule", "", "rule");
    item.keep(node, "service", "", "service");
    item.keep(node, "priority", "", "priority");
    item.keep(node, "tls", "", "tls");
    item.keep(node, "tls.options", "", "tls.options");
    item.keep(node, "tls.certResolver", "", "tls.certResolver");
    item.keep(node, "entryPoints", "", "entryPoints[]");
    item.keep(node, "middlewares", "", "middlewares[]");
    item.keep(node, "ruleSyntax", "", "ruleSyntax");
}

fn finish_service(node: &Node, key: &str, item: &mut Item<TcpServiceConfig>) {
    finish_kinds(node, key, item, &["loadBalancer", "weighted"]);
    for kept in ["loadBalancer.serversTransport", "loadBalancer.proxyProtocol", "loadBalancer.terminationDelay", "loadBalancer.healthCheck"]
    {
        item.keep(node, kept, "", kept);
    }
    item.keep(node, "weighted.healthCheck", "", "weighted.healthCheck");
    item.keep(node, "loadBalancer.servers", "address", "loadBalancer.servers[].address");
    item.keep(node, "weighted.services", "name", "weighted.services[].name");
}

fn finish_transport(node: &Node, _: &str, item: &mut Item<TcpServersTransportConfig>) {
    for kept in ["proxyProtocol.version", "tls.rootCAs", "tls.certificates"] {
        item.keep(node, kept, "", kept);
    }
}

fn middleware(node: &Node, key: &str, options: &'static Branch, item: &mut Item<TcpMiddlewareConfig>) {
    // In the order in which Traefik looks at them: of several the last one counts.
    let known = ["inFlightConn", "ipWhiteList", "ipAllowList"].into_iter().filter_map(|k| options.known(k));
    let mut kinds: Vec<(&Branch, Node)> =
        known.filter_map(|kind| node.child(kind.name).filter(|v| present(v)).map(|v| (kind, v.clone()))).collect();
    kinds.iter_mut().for_each(|(branch, node)| schema::canonicalise(node, branch));
    let broken = item.diagnostics.iter().any(Diagnostic::is_error);
    let mut tell = |d: Diagnostic| item.diagnostics.push(d.at(&item.place));
    let Some((last, node)) = kinds.pop() else {
        if !broken {
            tell(Diagnostic::error(key, "the middleware has no kind").hint("write one, such as `inFlightConn`, with its options"));
        }
        return;
    };
    for (other, _) in &kinds {
        let d = Diagnostic::warning(format!("{key}.{}", other.name), format!("only `{}` beside it has an effect", last.name));
        tell(d.hint("make a middleware of its own for each"));
    }
    if last.name == "ipWhiteList" {
        tell(Diagnostic::warning(key, "`ipWhiteList` is an old name").hint("write `ipAllowList`; its options are the same"));
    }
    item.config = TcpMiddlewareConfig {
        kind: last.name.to_owned(),
        node,
        others: kinds.into_iter().map(|(branch, node)| (branch.name.to_owned(), node)).collect(),
    };
}
