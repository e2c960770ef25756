//! Annotations of ingress-nginx, read as Traefik reads them, and what is said of those that mean nothing.

use std::collections::BTreeMap;
use torana_base::closest;

pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// The annotations of an ingress behind `nginx.ingress.kubernetes.io/`.
#[derive(Debug, Default)]
pub(super) struct Annotations(BTreeMap<String, String>);

impl Annotations {
    pub(super) fn read(all: Option<&BTreeMap<String, String>>) -> Annotations {
        let ours = all.into_iter().flatten().filter_map(|(k, v)| Some((k.strip_prefix(PREFIX)?.to_owned(), v.clone())));
        Annotations(ours.collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A text that is not empty.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|t| !t.is_empty())
    }

    /// `true` in any case; all else is false.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).map(|t| t.eq_ignore_ascii_case("true"))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }

    /// `None` for what is no number too.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// Between commas; the empty text is one empty item.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.text(name).map(|t| t.split(',').map(str::trim).collect())
    }

    /// What is said of annotations that mean nothing here, with the name of each.
    pub(super) fn warnings(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (name, value) in &self.0 {
            let said = if let Some((_, advice)) = UNSUPPORTED.iter().find(|(n, _)| n == name) {
                format!("has no effect here: {advice}")
            } else if NUMBERS.contains(&name.as_str()) {
                match value.parse::<i64>() {
                    Ok(_) => continue,
                    Err(_) => format!("`{value}` is no whole number: it counts as not written"),
                }
            } else if TEXTS.contains(&name.as_str()) {
                continue;
            } else {
                let known = TEXTS.iter().chain(NUMBERS).copied();
                let hint = closest(name, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                format!("is unknown and has no effect{hint}")
            };
            all.push((format!("{PREFIX}{name}"), said));
        }
        all
    }
}

/// Annotations that are whole numbers.
const NUMBERS: &[&str] = &[
    "permanent-redirect-code",
    "temporal-redirect-code",
    "session-cookie-max-age",
    "session-cookie-expires",
    "proxy-connect-timeout",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "proxy-next-upstream-tries",
    "proxy-next-upstream-timeout",
    "cors-max-age",
    "limit-rpm",
    "limit-rps",
    "limit-burst-multiplier",
    "limit-connections",
    "proxy-buffers-number",
    "canary-weight",
    "canary-weight-total",
];

/// All others that have an effect.
const TEXTS: &[&str] = &[
    "auth-type",
    "auth-secret",
    "auth-realm",
    "auth-secret-type",
    "auth-url",
    "auth-signin",
    "auth-response-headers",
    "auth-snippet",
    "auth-method",
    "enable-global-auth",
    "auth-tls-secret",
    "auth-tls-verify-client",
    "auth-tls-pass-certificate-to-upstream",
    "force-ssl-redirect",
    "ssl-redirect",
    "ssl-passthrough",
    "use-regex",
    "rewrite-target",
    "app-root",
    "permanent-redirect",
    "temporal-redirect",
    "from-to-www-redirect",
    "server-alias",
    "affinity",
    "session-cookie-name",
    "session-cookie-secure",
    "session-cookie-path",
    "session-cookie-domain",
    "session-cookie-samesite",
    "service-upstream",
    "upstream-hash-by",
    "backend-protocol",
    "proxy-ssl-secret",
    "proxy-ssl-verify",
    "proxy-ssl-name",
    "proxy-ssl-server-name",
    "proxy-next-upstream",
    "proxy-http-version",
    "enable-cors",
    "cors-allow-credentials",
    "cors-expose-headers",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "enable-access-log",
    "whitelist-source-range",
    "allowlist-source-range",
    "custom-headers",
    "upstream-vhost",
    "x-forwarded-prefix",
    "custom-http-errors",
    "default-backend",
    "proxy-request-buffering",
    "client-body-buffer-size",
    "proxy-body-size",
    "proxy-buffering",
    "proxy-buffer-size",
    "proxy-max-temp-file-size",
    "configuration-snippet",
    "server-snippet",
    "canary",
    "canary-by-cookie",
    "canary-by-header",
    "canary-by-header-value",
    "canary-by-header-pattern",
];

const ELSEWHERE: &str = "it is an option of the gateway, not of an ingress (`tls.options`)";
const TRACING: &str = "tracing is switched on for all routes (`tracing`)";
const WAF: &str =
    "there is no ModSecurity here, and the route is served without it; put a firewall before the gateway, or a plugin into it";
const MIRROR: &str = "mirror requests by a service of the kind `mirroring` (IngressRoute or file)";
const GLOBAL_RATE: &str = "limit by `limit-rps` or `limit-rpm`, or across gateways by the middleware `rateLimit` with `redis`";
const AUTH_CACHE: &str = "each request is asked for anew";
const AUTH_KEEPALIVE: &str = "connections to the authentication server are always kept";
const COOKIES: &str = "rewrite `Set-Cookie` by a plugin";
const REWRITE_LOCATION: &str = "the `Location` of an answer is passed on as it is";

/// Annotations of ingress-nginx without a counterpart, and what to do instead. Traefik accepts them silently.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("auth-tls-error-page", "a client without a good certificate fails in its handshake"),
    ("auth-tls-match-cn", "ask for the name in the server behind, from `Ssl-Client-Subject-Dn`"),
    ("auth-tls-verify-depth", "chains of any length are verified"),
    ("auth-cache-key", AUTH_CACHE),
    ("auth-cache-duration", AUTH_CACHE),
    ("auth-keepalive", AUTH_KEEPALIVE),
    ("auth-keepalive-share-vars", AUTH_KEEPALIVE),
    ("auth-keepalive-requests", AUTH_KEEPALIVE),
    ("auth-keepalive-timeout", AUTH_KEEPALIVE),
    ("auth-proxy-set-headers", "set headers of the question by `auth-snippet`"),
    ("auth-always-set-cookie", "cookies of the authentication server are not passed on"),
    ("affinity-mode", "a client stays with its server until that is gone"),
    ("affinity-canary-behavior", "with `affinity` clients of a canary stay with it"),
    ("load-balance", "servers take turns; `upstream-hash-by` binds clients to one"),
    ("upstream-hash-by-subset", "`upstream-hash-by` chooses among all servers"),
    ("upstream-hash-by-subset-size", "`upstream-hash-by` chooses among all servers"),
    ("disable-proxy-intercept-errors", "leave `custom-http-errors` out"),
    ("limit-rate-after", "there is no limit of bytes in a second"),
    ("limit-rate", "there is no limit of bytes in a second"),
    ("limit-whitelist", "clients of these addresses are limited too; use the middleware `rateLimit` of an IngressRoute"),
    ("limit-allowlist", "clients of these addresses are limited too; use the middleware `rateLimit` of an IngressRoute"),
    ("global-rate-limit", GLOBAL_RATE),
    ("global-rate-limit-window", GLOBAL_RATE),
    ("global-rate-limit-key", GLOBAL_RATE),
    ("global-rate-limit-ignored-cidrs", GLOBAL_RATE),
    ("preserve-trailing-slash", "slashes at the end are always kept"),
    ("proxy-cookie-domain", COOKIES),
    ("proxy-cookie-path", COOKIES),
    ("proxy-redirect-from", REWRITE_LOCATION),
    ("proxy-redirect-to", REWRITE_LOCATION),
    ("proxy-busy-buffers-size", "`proxy-buffering` needs no such size"),
    ("proxy-ssl-ciphers", "servers are spoken to with all secure cipher suites"),
    ("proxy-ssl-verify-depth", "chains of any length are verified"),
    ("proxy-ssl-protocols", "servers are spoken to with TLS 1.2 and 1.3"),
    ("enable-rewrite-log", "look at the access log"),
    ("satisfy", "all conditions must hold; put the list of addresses and the authentication on two ingresses"),
    ("session-cookie-conditional-samesite-none", "write `session-cookie-samesite`"),
    ("session-cookie-change-on-failure", "a client whose server is gone gets another one, and its cookie"),
    ("ssl-ciphers", ELSEWHERE),
    ("ssl-prefer-server-ciphers", ELSEWHERE),
    ("connection-proxy-header", "`Connection` belongs to each connection and is not passed on"),
    ("enable-opentracing", TRACING),
    ("opentracing-trust-incoming-span", TRACING),
    ("enable-opentelemetry", TRACING),
    ("opentelemetry-trust-incoming-span", TRACING),
    ("mirror-request-body", MIRROR),
    ("mirror-target", MIRROR),
    ("mirror-host", MIRROR),
    ("denylist-source-range", "nobody is refused by it; list who may by `allowlist-source-range`, or refuse in a snippet by `deny`"),
    ("stream-snippet", "connections of other protocols are IngressRouteTCP and IngressRouteUDP"),
    ("enable-modsecurity", WAF),
    ("enable-owasp-core-rules", WAF),
    ("modsecurity-snippet", WAF),
    ("modsecurity-transaction-id", WAF),
    ("http2-push-preload", "no browser takes pushed answers any more"),
    ("use-proxy-protocol", "it is an option of entry points (`proxyProtocol`)"),
    ("secure-backends", "write `backend-protocol: HTTPS`"),
    ("grpc-backend", "write `backend-protocol: GRPC`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Annotations {
        let all = pairs.iter().map(|(k, v)| (format!("{PREFIX}{k}"), (*v).to_owned())).chain([("x/other".into(), "y".into())]);
        Annotations::read(Some(&all.collect()))
    }

    #[test]
    fn values_as_traefik_reads_them() {
        let a = read(&[
            ("use-regex", "TRUE"),
            ("canary", "yes"),
            ("limit-rps", "x"),
            ("limit-rpm", "-3"),
            ("server-alias", " a , b,"),
            ("app-root", ""),
        ]);
        assert_eq!((a.flag("use-regex"), a.flag("canary"), a.flag("nothing"), a.is("canary")), (Some(true), Some(false), None, false));
        assert_eq!((a.number("limit-rps"), a.number("limit-rpm")), (None, Some(-3)));
        assert_eq!(a.list("server-alias"), Some(vec!["a", "b", ""]));
        assert_eq!((a.text("app-root"), a.filled("app-root")), (Some(""), None));
    }

    #[test]
    fn what_has_no_effect_is_told_by_name() {
        let a = read(&[
            ("limit-rps", "x"),
            ("mirror-target", "y"),
            ("rewrite-traget", "/"),
            ("rewrite-target", "/"),
            ("enable-modsecurity", "true"),
        ]);
        let told: Vec<String> = a.warnings().into_iter().map(|(k, w)| format!("{k}: {w}")).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(
            told[0].contains("enable-modsecurity: has no effect here: there is no ModSecurity here, and the route is served without it")
        );
        assert!(told[1].contains("limit-rps: `x` is no whole number"));
        assert!(told[2].contains("mirror-target: has no effect here: mirror requests by a service"));
        assert!(told[3].contains("rewrite-traget: is unknown and has no effect; did you mean `rewrite-target`?"));
    }

    #[test]
    fn nothing_is_listed_twice() {
        for name in NUMBERS.iter().chain(TEXTS) {
            assert!(!UNSUPPORTED.iter().any(|(n, _)| n == name), "{name}");
        }
    }
}
