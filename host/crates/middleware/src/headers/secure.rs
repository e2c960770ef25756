use super::{Config, value};
use http::header::{self, HeaderName, HeaderValue};
use http::StatusCode;
use torana_extend::BuildError;
use torana_http::{Exchange, Filter, Flow, Response, respond};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const PUBLIC_KEY_PINS: HeaderName = HeaderName::from_static("public-key-pins");

/// The headers that harden browsers, and the check of the host.
pub(super) struct Secure {
    /// Lower case.
    allowed_hosts: Vec<String>,
    host_headers: Vec<HeaderName>,
    /// Any of these says that the client came by TLS.
    tls_headers: Vec<(HeaderName, String)>,
    always: Vec<(HeaderName, HeaderValue)>,
    with_tls: Vec<(HeaderName, HeaderValue)>,
}

impl Secure {
    /// `None` when there is nothing to check and nothing to add.
    pub(super) fn build(config: &Config) -> Result<Option<Self>, BuildError> {
        let names = |list: &[String], key: &str| {
            let name = |(i, n): (usize, &String)| {
                HeaderName::from_bytes(n.trim().as_bytes()).map_err(|_| BuildError::new(format!("{key}[{i}]"), "this is not a header name"))
            };
            list.iter().enumerate().map(name).collect::<Result<Vec<_>, _>>()
        };
        let tls_header = |(n, v): (&String, &String)| {
            let name = HeaderName::from_bytes(n.trim().as_bytes());
            Ok((name.map_err(|_| BuildError::new(format!("sslProxyHeaders.{n}"), "this is not a header name"))?, v.clone()))
        };
        let (mut always, mut with_tls) = (Vec::new(), Vec::new());
        let texts = [
            (header::CONTENT_SECURITY_POLICY, &*config.content_security_policy, "contentSecurityPolicy"),
            (header::CONTENT_SECURITY_POLICY_REPORT_ONLY, &config.content_security_policy_report_only, "contentSecurityPolicyReportOnly"),
            (PERMISSIONS_POLICY, &config.permissions_policy, "permissionsPolicy"),
            (header::REFERRER_POLICY, &config.referrer_policy, "referrerPolicy"),
            (header::X_CONTENT_TYPE_OPTIONS, if config.content_type_nosniff { "nosniff" } else { "" }, "contentTypeNosniff"),
            (header::X_FRAME_OPTIONS, either(&config.custom_frame_options_value, config.frame_deny, "DENY"), "customFrameOptionsValue"),
            (header::X_XSS_PROTECTION, either(&config.custom_browser_xss_value, config.browser_xss_filter, "1; mode=block"), "customBrowserXSSValue"),
        ];
        for (name, text, key) in texts.into_iter().filter(|(_, text, _)| !text.is_empty()) {
            always.push((name, value(text, key)?));
        }
        if !config.is_development {
            if !config.public_key.is_empty() {
                with_tls.push((PUBLIC_KEY_PINS, value(&config.public_key, "publicKey")?));
            }
            if let Some(seconds) = config.sts_seconds.filter(|s| *s != 0) {
                let mut text = format!("max-age={seconds}");
                text.push_str(if config.sts_include_subdomains { "; includeSubDomains" } else { "" });
                text.push_str(if config.sts_preload { "; preload" } else { "" });
                let list = if config.force_sts_header { &mut always } else { &mut with_tls };
                list.push((header::STRICT_TRANSPORT_SECURITY, value(&text, "stsSeconds")?));
            }
        }
        let hosts = if config.is_development { &[][..] } else { &config.allowed_hosts };
        let secure = Secure {
            allowed_hosts: hosts.iter().map(|h| h.trim().to_lowercase()).collect(),
            host_headers: names(&config.hosts_proxy_headers, "hostsProxyHeaders")?,
            tls_headers: config.ssl_proxy_headers.iter().map(tls_header).collect::<Result<_, _>>()?,
            always,
            with_tls,
        };
        let idle = secure.allowed_hosts.is_empty() && secure.always.is_empty() && secure.with_tls.is_empty();
        Ok((!idle).then_some(secure))
    }

    fn is_allowed(&self, exchange: &Exchange) -> bool {
        let request = &exchange.request;
        let named = self.host_headers.iter().find_map(|n| request.header(n.as_str()).filter(|v| !v.is_empty()));
        let host = named.unwrap_or(&request.host);
        self.allowed_hosts.iter().any(|h| h.eq_ignore_ascii_case(host))
    }

    fn is_tls(&self, exchange: &Exchange) -> bool {
        exchange.peer.is_tls() || self.tls_headers.iter().any(|(name, v)| exchange.request.headers.get(name).map_or(&b""[..], |h| h.as_bytes()) == v.as_bytes())
    }
}

fn either<'a>(custom: &'a str, on: bool, usual: &'a str) -> &'a str {
    match (custom, on) {
        ("", true) => usual,
        (custom, _) => custom,
    }
}

impl Filter for Secure {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        if !self.allowed_hosts.is_empty() && !self.is_allowed(exchange) {
            return Flow::respond(respond::error_text(StatusCode::INTERNAL_SERVER_ERROR, "Bad Host"));
        }
        Flow::Continue
    }

    fn on_response(&self, exchange: &mut Exchange, response: &mut Response) {
        let tls = !self.with_tls.is_empty() && self.is_tls(exchange);
        let extra = if tls { &self.with_tls[..] } else { &[] };
        for (name, value) in self.always.iter().chain(extra) {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::headers::Headers;
    use crate::testing::{Ran, build, exchange, https, ok, run_exchange, run_with};
    use http::HeaderValue;

    const ALL: &str = "stsSeconds: 31536000, stsIncludeSubdomains: true, stsPreload: true, frameDeny: true, contentTypeNosniff: true, browserXssFilter: true, contentSecurityPolicy: \"default-src 'self'\", contentSecurityPolicyReportOnly: ro, publicKey: 'pin-sha256=\"x\"', referrerPolicy: same-origin, permissionsPolicy: pp, featurePolicy: fp";
    const PLAIN: [&str; 7] = [
        "content-security-policy-report-only: ro",
        "content-security-policy: default-src 'self'",
        "permissions-policy: pp",
        "referrer-policy: same-origin",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "x-xss-protection: 1; mode=block",
    ];
    const STS: &str = "strict-transport-security: max-age=31536000; includeSubDomains; preload";

    fn get(config: &str, tls: bool) -> Vec<String> {
        run_exchange(&build::<Headers>(config), if tls { https("GET", "/") } else { exchange("GET", "/") }).headers()
    }

    /// Observed with Traefik 3.7.15.
    #[test]
    fn adds_what_is_asked_for() {
        assert_eq!(get(&format!("{{{ALL}}}"), false), PLAIN);
        let mut with_tls = [&PLAIN[..], &[STS, "public-key-pins: pin-sha256=\"x\""]].concat();
        with_tls.sort();
        assert_eq!(get(&format!("{{{ALL}}}"), true), with_tls);
        let forced = get(&format!("{{{ALL}, forceSTSHeader: true, customFrameOptionsValue: SAMEORIGIN, customBrowserXSSValue: 1; report=x}}"), false);
        for header in [STS, "x-frame-options: SAMEORIGIN", "x-xss-protection: 1; report=x"] {
            assert!(forced.iter().any(|h| h == header), "{header}");
        }
        assert_eq!(get(&format!("{{{ALL}, isDevelopment: true, forceSTSHeader: true, allowedHosts: [x.test]}}"), true), PLAIN);
        assert_eq!(get("{stsSeconds: 10, stsPreload: true}", true), ["strict-transport-security: max-age=10; preload"]);
        assert_eq!(get("{stsSeconds: -5, forceSTSHeader: true}", false), ["strict-transport-security: max-age=-5"]);
        assert!(get("{stsSeconds: 0, stsPreload: true, forceSTSHeader: true}", true).is_empty());
    }

    #[test]
    fn overrides_the_server_and_yields_to_custom_headers() {
        let serve = |x: &mut _| {
            let mut r = ok(x);
            for name in ["x-frame-options", "strict-transport-security"] {
                r.headers_mut().insert(name, HeaderValue::from_static("server"));
            }
            r
        };
        let ran = run_with(&build::<Headers>("{frameDeny: true, stsSeconds: 5}"), exchange("GET", "/"), serve);
        assert_eq!(ran.headers(), ["strict-transport-security: server", "x-frame-options: DENY"]);
        let ran = run_with(&build::<Headers>("{frameDeny: true, customResponseHeaders: {X-Frame-Options: mine}}"), exchange("GET", "/"), serve);
        assert_eq!(ran.header("x-frame-options"), Some("mine"));
    }

    fn from_host(config: &str, host: &'static str, headers: &[(&'static str, &'static str)]) -> Ran {
        let mut x = exchange("GET", "/");
        x.request.host = host.into();
        for (name, value) in headers {
            x.request.headers.append(*name, HeaderValue::from_static(value));
        }
        run_exchange(&build::<Headers>(config), x)
    }

    #[test]
    fn hosts() {
        let config = "{allowedHosts: [s4.test, Other.test], hostsProxyHeaders: [X-H1, X-H2], frameDeny: true, customResponseHeaders: {X-P: '1'}}";
        for (host, headers, allowed) in [
            ("s4.test", vec![], true),
            ("S4.TEST", vec![], true),
            ("s4.test:8080", vec![], false),
            ("no.test", vec![], false),
            ("no.test", vec![("x-h1", ""), ("x-h2", "other.test")], true),
            ("s4.test", vec![("x-h1", "no"), ("x-h2", "other.test")], false),
        ] {
            let ran = from_host(config, host, &headers);
            assert_eq!(ran.reached, allowed, "{host} {headers:?}");
            assert_eq!(ran.header("x-p"), Some("1"));
            if !allowed {
                assert_eq!((ran.status(), &*ran.body, ran.header("x-frame-options")), (500, "Bad Host\n", None));
            }
        }
        assert!(from_host("{allowedHosts: [ok.test], customRequestHeaders: {Host: ok.test}}", "no.test", &[]).reached);
    }

    /// Traefik's documentation suggests that all must match; one is enough.
    #[test]
    fn one_proxy_header_is_enough() {
        let sts = |headers: &[_]| from_host("{stsSeconds: 10, sslProxyHeaders: {X-Proto: https, X-B: '1'}}", "a", headers).header("strict-transport-security").is_some();
        assert!(sts(&[("x-proto", "https")]) && sts(&[("x-b", "1"), ("x-proto", "HTTPS")]));
        assert!(!sts(&[]) && !sts(&[("x-proto", "HTTPS")]));
    }
}
