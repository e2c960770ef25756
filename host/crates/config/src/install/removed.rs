//! Options of Traefik v2 that v3 removed: old files get told what to write instead.

use torana_base::Diagnostic;

/// Path (with `<name>` for any key) and what to do.
const REMOVED: [(&str, &str); 21] = [
    ("pilot", "remove it"),
    ("hub", "remove it"),
    ("experimental.hub", "remove it"),
    ("experimental.http3", "remove it, and write `http3` in the entry points that serve it"),
    ("tracing.jaeger", "send traces with `tracing.otlp`"),
    ("tracing.zipkin", "send traces with `tracing.otlp`"),
    ("tracing.datadog", "send traces with `tracing.otlp`"),
    ("tracing.instana", "send traces with `tracing.otlp`"),
    ("tracing.haystack", "send traces with `tracing.otlp`"),
    ("tracing.elastic", "send traces with `tracing.otlp`"),
    ("tracing.spanNameLimit", "remove it"),
    ("metrics.influxDB", "write `metrics.influxDB2`"),
    ("providers.docker.swarmMode", "write `providers.swarm`"),
    ("providers.docker.swarmModeRefreshSeconds", "write `providers.swarm.refreshSeconds`"),
    ("providers.marathon", "remove it; the provider is gone"),
    ("providers.rancher", "remove it; the provider is gone"),
    ("providers.consul.namespace", "write `namespaces`, a list"),
    ("providers.consulCatalog.namespace", "write `namespaces`, a list"),
    ("providers.nomad.namespace", "write `namespaces`, a list"),
    ("providers.<name>.tls.caOptional", "remove it"),
    ("providers.<name>.endpoint.tls.caOptional", "remove it"),
];

/// Root keys of v1 files and what to write instead. Traefik v3 ignores them, so they are only warned of.
const V1: [(&str, &str); 8] = [
    ("defaultEntryPoints", "write `asDefault` in the entry points"),
    ("logLevel", "write `log.level`"),
    ("traefikLog", "write `log`"),
    ("docker", "write `providers.docker`"),
    ("file", "write `providers.file`"),
    ("acme", "write `certificatesResolvers`"),
    ("insecureSkipVerify", "write `serversTransport.insecureSkipVerify`"),
    ("rootCAs", "write `serversTransport.rootCAs`"),
];

/// What to write instead of a root key of v1.
pub(super) fn v1(key: &str) -> Option<&'static str> {
    V1.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, advice)| *advice)
}

/// The removed option that `path` is, or is below of, with the advice.
pub(super) fn find(path: &str) -> Option<(&'static str, &'static str)> {
    let same = |removed: &str| {
        let mut parts = path.split('.');
        removed.split('.').all(|r| parts.next().is_some_and(|p| r == "<name>" || p.eq_ignore_ascii_case(r)))
    };
    REMOVED.iter().find(|(removed, _)| same(removed)).copied()
}

/// Makes a diagnostic about an unknown option one about a removed option, when it is that.
pub(super) fn explain(d: &mut Diagnostic, path: &str) {
    if let Some((removed, advice)) = find(path) {
        d.message = format!("`{removed}` was removed in Traefik v3");
        d.hint = Some(advice.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_options_are_found() {
        for (path, found) in [
            ("pilot.token", Some("pilot")),
            ("providers.docker.tls.caoptional", Some("providers.<name>.tls.caOptional")),
            ("providers.docker", None),
            ("tracing", None),
            ("Tracing.Jaeger.propagation", Some("tracing.jaeger")),
        ] {
            assert_eq!(find(path).map(|(r, _)| r), found, "{path}");
        }
    }

    #[test]
    fn none_is_an_option_of_today() {
        for (path, _) in REMOVED.into_iter().chain(V1) {
            assert!(crate::schema::install().root.at(path).is_none(), "{path}");
        }
    }
}
