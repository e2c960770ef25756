//! The objects of a document, for the status of sources that deliver documents.

use torana_config::routing::{Item, RoutingConfig};
use torana_extend::{Objects, RejectedObject};

/// Counts the objects of `config`, and names those that something is wrong with.
pub(crate) fn objects(config: &RoutingConfig) -> Objects {
    fn look<'a, T: 'a>(section: &str, items: impl Iterator<Item = (String, &'a Item<T>)>, out: &mut Objects) {
        for (name, item) in items {
            out.seen += 1;
            let reasons: Vec<String> =
                item.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.to_string().replace("\n  ", "; ")).collect();
            if !reasons.is_empty() {
                out.rejected.push(RejectedObject { name: format!("{section}.{name}"), reasons });
            }
        }
    }
    let mut out = Objects::default();
    macro_rules! each {
        ($($section:literal $tree:ident $map:ident),+) => {
            $(look($section, config.$tree.$map.iter().map(|(name, item)| (name.clone(), &**item)), &mut out);)+
        };
    }
    each! {
        "http.routers" http routers, "http.services" http services, "http.middlewares" http middlewares,
        "http.serversTransports" http servers_transports,
        "tcp.routers" tcp routers, "tcp.services" tcp services, "tcp.middlewares" tcp middlewares,
        "tcp.serversTransports" tcp servers_transports,
        "udp.routers" udp routers, "udp.services" udp services,
        "tls.options" tls options, "tls.stores" tls stores
    }
    look("tls.certificates", config.tls.certificates.iter().enumerate().map(|(i, item)| (i.to_string(), &**item)), &mut out);
    look("plugins", config.plugins.iter().map(|(name, item)| (name.clone(), &**item)), &mut out);
    for r in &config.rejected {
        out.seen += 1;
        out.rejected.push(RejectedObject { name: r.key.clone(), reasons: vec![r.diagnostic.to_string().replace("\n  ", "; ")] });
    }
    out
}
