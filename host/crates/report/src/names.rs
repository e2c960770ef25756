//! What Traefik calls the families in each dialect.

use torana_telemetry::names::{self, ScopeFamilies, label};

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Datadog,
    StatsD,
    Influx,
}

/// In the order in which tags are written.
pub(crate) const LABELS: &[&str] = &[
    label::ENTRY_POINT,
    label::ROUTER,
    label::SERVICE,
    label::URL,
    label::METHOD,
    label::PROTOCOL,
    label::CODE,
    label::TLS_VERSION,
    label::TLS_CIPHER,
    label::CN,
    label::SERIAL,
    label::SANS,
];

const SCOPES: [(&str, ScopeFamilies); 3] =
    [("entrypoint", names::ENTRY_POINT_METRICS), ("router", names::ROUTER_METRICS), ("service", names::SERVICE_METRICS)];

/// Without the prefix; `None` for what Traefik does not report.
pub(crate) fn of(family: &str, dialect: Dialect) -> Option<String> {
    let own = [
        (names::CONFIG_RELOADS, "config.reload.total"),
        (names::CONFIG_LAST_RELOAD, "config.reload.lastSuccessTimestamp"),
        (names::OPEN_CONNECTIONS, "open.connections"),
        (names::CERTS_NOT_AFTER, "tls.certs.notAfterTimestamp"),
        (names::SERVER_UP, "service.server.up"),
    ];
    if let Some((_, name)) = own.iter().find(|(f, _)| f.name == family) {
        return Some((*name).to_owned());
    }
    let request = if dialect == Dialect::Influx { "requests" } else { "request" };
    SCOPES.iter().find_map(|(scope, families)| {
        let of_scope = [
            (families.requests, format!("{request}.total")),
            (families.requests_tls, format!("{request}.tls.total")),
            (families.duration, "request.duration".to_owned()),
            (families.received, "requests.bytes.total".to_owned()),
            (families.sent, "responses.bytes.total".to_owned()),
        ];
        of_scope.into_iter().find(|(f, _)| f.name == family).map(|(_, name)| format!("{scope}.{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Traefik 3.7.15 sends them.
    #[test]
    fn names() {
        for (family, statsd, influx) in [
            ("traefik_config_reloads_total", "config.reload.total", "config.reload.total"),
            ("traefik_entrypoint_requests_total", "entrypoint.request.total", "entrypoint.requests.total"),
            ("traefik_router_requests_tls_total", "router.request.tls.total", "router.requests.tls.total"),
            ("traefik_service_request_duration_seconds", "service.request.duration", "service.request.duration"),
            ("traefik_service_requests_bytes_total", "service.requests.bytes.total", "service.requests.bytes.total"),
            ("traefik_entrypoint_responses_bytes_total", "entrypoint.responses.bytes.total", "entrypoint.responses.bytes.total"),
        ] {
            for (dialect, expected) in [(Dialect::Datadog, statsd), (Dialect::StatsD, statsd), (Dialect::Influx, influx)] {
                assert_eq!(of(family, dialect).as_deref(), Some(expected), "{dialect:?}");
            }
        }
        assert_eq!(of("torana_service_retries_total", Dialect::StatsD), None);
    }
}
