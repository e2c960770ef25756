use super::{Items, RoutingConfig};
use std::collections::btree_map::Entry;
use torana_base::{Checked, Diagnostic};

/// Several documents as one, for a directory of files given in lexical order: of two objects with one name
/// the first stays, and a warning tells where the other is.
pub fn merge_first_wins(docs: Vec<RoutingConfig>) -> Checked<RoutingConfig> {
    let mut docs = docs.into_iter();
    let mut out = Checked::ok(docs.next().unwrap_or_default());
    for doc in docs {
        let (all, warn) = (&mut out.value.http, &mut out.diagnostics);
        merge(&mut all.routers, doc.http.routers, "http.routers", warn);
        merge(&mut all.services, doc.http.services, "http.services", warn);
        merge(&mut all.middlewares, doc.http.middlewares, "http.middlewares", warn);
        merge(&mut all.servers_transports, doc.http.servers_transports, "http.serversTransports", warn);
        let (all, more) = (&mut out.value.tls, doc.tls);
        merge(&mut all.options, more.options, "tls.options", warn);
        merge(&mut all.stores, more.stores, "tls.stores", warn);
        for certificate in more.certificates {
            match all.certificates.iter().find(|c| c.digest == certificate.digest && c.config == certificate.config) {
                None => all.certificates.push(certificate),
                Some(first) => warn.push(
                    Diagnostic::warning("tls.certificates", "the certificate is written twice, this one is left out")
                        .at(&certificate.place)
                        .hint(format!("the one in use is at {}", first.place)),
                ),
            }
        }
        let tcp = &mut out.value.tcp;
        merge(&mut tcp.routers, doc.tcp.routers, "tcp.routers", warn);
        merge(&mut tcp.services, doc.tcp.services, "tcp.services", warn);
        merge(&mut tcp.middlewares, doc.tcp.middlewares, "tcp.middlewares", warn);
        merge(&mut tcp.servers_transports, doc.tcp.servers_transports, "tcp.serversTransports", warn);
        merge(&mut out.value.udp.routers, doc.udp.routers, "udp.routers", warn);
        merge(&mut out.value.udp.services, doc.udp.services, "udp.services", warn);
        merge(&mut out.value.plugins, doc.plugins, "plugins", warn);
        out.value.rejected.extend(doc.rejected);
    }
    out
}

fn merge<T>(all: &mut Items<T>, more: Items<T>, path: &str, warnings: &mut Vec<Diagnostic>) {
    for (name, item) in more {
        match all.entry(name) {
            Entry::Vacant(free) => {
                free.insert(item);
            }
            Entry::Occupied(first) => warnings.push(
                Diagnostic::warning(format!("{path}.{}", first.key()), "the name is already taken, this one is left out")
                    .at(&item.place)
                    .hint(format!("the one in use is at {}", first.get().place)),
            ),
        }
    }
}
