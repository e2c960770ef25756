//! What follows from the options as written: entry points that nobody wrote, the default set, and the
//! mistakes that keep Torana from starting.

use super::{EntryPointConfig, InstallConfig, PRECEDENCE, Protocol};
use crate::node::Node;
use std::net::IpAddr;
use torana_base::{Diagnostic, GoDuration, closest};

/// The entry point of API, ping and metrics, unless they say otherwise.
const INTERNAL: &str = "traefik";
/// Labels of the metrics that count requests.
const OWN_LABELS: [&str; 6] = ["code", "method", "protocol", "entrypoint", "router", "service"];

impl InstallConfig {
    /// Adds the entry points that Traefik adds by itself: `http` on `:80` when there is none at all, and
    /// `traefik` on `:8080` when API, ping, metrics or the provider `rest` need it.
    pub(super) fn complete(&mut self) {
        let none = self.entry_points.is_empty();
        let api = self.api.as_ref().is_some_and(|a| a.insecure);
        let ping = self.ping.as_ref().is_some_and(|p| !p.manual_routing && p.entry_point == INTERNAL);
        let metrics = self.prometheus().is_some_and(|p| !p.manual_routing && p.entry_point == INTERNAL);
        let rest = self.providers.rest.as_ref().is_some_and(|r| r.insecure);
        let mut add = |name: &str, address: &str| {
            if let Ok(address) = address.parse() {
                self.entry_points.entry(name.to_owned()).or_insert_with(|| EntryPointConfig { address, ..EntryPointConfig::default() });
            }
        };
        if none {
            add("http", ":80");
        }
        if api || ping || metrics || rest {
            add(INTERNAL, ":8080");
        }
    }

    /// The entry points of routers that name none: those with `asDefault`, or else all TCP ones but
    /// `traefik`; sorted.
    pub fn default_entry_points(&self) -> Vec<String> {
        let tcp = || self.entry_points.iter().filter(|(_, e)| e.address.protocol == Protocol::Tcp);
        let chosen: Vec<_> = tcp().filter(|(_, e)| e.as_default).map(|(n, _)| n.clone()).collect();
        if !chosen.is_empty() {
            return chosen;
        }
        tcp().map(|(n, _)| n).filter(|n| *n != INTERNAL).cloned().collect()
    }

    /// What is wrong with the whole; `node` is where the options were written.
    pub(super) fn validate(&self, node: &Node) -> Vec<Diagnostic> {
        let mut v = Validate { config: self, node, out: Vec::new() };
        v.entry_points();
        v.rest();
        v.docker();
        v.stores();
        v.http_provider();
        v.catalogues();
        v.plugins();
        v.knative();
        v.resolvers();
        v.secrets();
        v.out
    }
}

pub(super) struct Validate<'a> {
    pub(super) config: &'a InstallConfig,
    pub(super) node: &'a Node,
    pub(super) out: Vec<Diagnostic>,
}

impl Validate<'_> {
    /// With the hint and the nearest place that was written.
    pub(super) fn push(&mut self, mut d: Diagnostic, hint: &str) {
        let mut path = d.key.as_str();
        while !path.is_empty() {
            if let Some(found) = self.node.at(path) {
                d.place = Some(found.place.clone());
                break;
            }
            path = path.rsplit_once(['.', '[']).map_or("", |(up, _)| up);
        }
        self.out.push(d.hint(hint));
    }

    fn entry_points(&mut self) {
        let config = self.config;
        for (name, e) in &config.entry_points {
            let key = |option: &str| format!("entryPoints.{name}{option}");
            if e.address.is_empty() {
                self.push(Diagnostic::error(key(""), format!("entry point `{name}` has no address")), "write `address`, such as `:80`");
            }
            if e.address.protocol == Protocol::Udp && e.udp.timeout.positive().is_none() {
                let d = Diagnostic::error(key(".udp.timeout"), format!("`{}` is not above 0", e.udp.timeout));
                self.push(d, "leave it out for 3s");
            }
            for (option, n) in [
                ("maxConcurrentStreams", e.http2.max_concurrent_streams),
                ("maxDecoderHeaderTableSize", e.http2.max_decoder_header_table_size),
                ("maxEncoderHeaderTableSize", e.http2.max_encoder_header_table_size),
            ] {
                if n < 0 {
                    self.push(Diagnostic::error(key(&format!(".http2.{option}")), format!("`{n}` is below 0")), "write 0 or more");
                }
            }
            if let Some(h3) = &e.http3 {
                let key = key(".http3.advertisedPort");
                if h3.advertised_port < 0 {
                    self.push(Diagnostic::error(key, format!("`{}` is below 0", h3.advertised_port)), "write a port, or leave it out");
                } else if h3.advertised_port > i64::from(u16::MAX) {
                    let d = Diagnostic::warning(key, format!("`{}` is no port: no client will come", h3.advertised_port));
                    self.push(d, "write the port that clients see, at most 65535");
                }
                if e.address.protocol == Protocol::Udp {
                    let d = Diagnostic::warning(format!("entryPoints.{name}.http3"), "it has no effect on a UDP entry point");
                    self.push(d, "write it at the TCP entry point of the same port");
                }
            }
            for (i, text) in e.forwarded_headers.trusted_ips.iter().enumerate() {
                if !is_network(text) {
                    let d = Diagnostic::error(
                        key(&format!(".forwardedHeaders.trustedIPs[{i}]")),
                        format!("`{text}` is no IP address or range"),
                    );
                    self.push(d, "write an address or a range such as `10.0.0.0/8`");
                }
            }
            if let (Some(underscore), Some(alias)) = (e.http.underscore_headers_strategy, e.http.alias_headers_strategy)
                && underscore != alias
            {
                let d = Diagnostic::error(key(".http.underscoreHeadersStrategy"), "it contradicts `aliasHeadersStrategy`");
                self.push(d, "keep `aliasHeadersStrategy` only; it covers underscores too");
            }
            let redirect = e.http.redirections.as_ref().and_then(|r| r.entry_point.as_ref());
            if let Some(to) = redirect.map(|r| r.to.as_str()) {
                let key = key(".http.redirections.entryPoint.to");
                if to.is_empty() {
                    self.push(
                        Diagnostic::warning(key, "a redirection without a target does nothing"),
                        "write the name of an entry point, or `:port`",
                    );
                } else if !to.starts_with(':') && !config.entry_points.contains_key(to) {
                    let hint = self.known(to);
                    self.push(Diagnostic::warning(key, format!("unknown entry point `{to}`: nothing is redirected")), &hint);
                }
            }
        }
    }

    /// The entry points there are, the nearest first.
    pub(super) fn known(&self, name: &str) -> String {
        let names = || self.config.entry_points.keys().map(String::as_str);
        let all = names().collect::<Vec<_>>().join(", ");
        closest(name, names()).map_or_else(|| format!("known here: {all}"), |near| format!("did you mean `{near}`? known here: {all}"))
    }

    fn rest(&mut self) {
        let config = self.config;
        for (i, name) in config.providers.precedence.iter().enumerate() {
            let plugin = name.strip_prefix("plugin-").is_some_and(|p| config.providers.plugin.keys().any(|k| k.eq_ignore_ascii_case(p)));
            if !plugin && !PRECEDENCE.contains(&name.as_str()) {
                let near = closest(name, PRECEDENCE)
                    .map_or_else(|| format!("known here: {}", PRECEDENCE.join(", ")), |n| format!("did you mean `{n}`?"));
                self.push(Diagnostic::error(format!("providers.precedence[{i}]"), format!("unknown provider `{name}`")), &near);
            }
        }
        if let Some(file) = &config.providers.file
            && file.filename.is_empty()
            && file.directory.is_empty()
        {
            let d = Diagnostic::warning("providers.file", "the file provider has nothing to read");
            self.push(d, "write `filename` or `directory`");
        }
        if config.core.default_rule_syntax.is_some() {
            let d = Diagnostic::warning("core.defaultRuleSyntax", "`defaultRuleSyntax` is deprecated");
            self.push(d, "write all rules in v3 syntax, and remove it");
        }
        if let Some(api) = &config.api
            && !(api.base_path.starts_with('/') && api.base_path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.:~-".contains(&b)))
        {
            let d = Diagnostic::error("api.basePath", format!("`{}` is no path that the API can be served under", api.base_path));
            self.push(d, "begin with `/`, and use only letters, digits and `/ _ . : ~ -`");
        }
        if let Some(ping) = &config.ping {
            if !(100..=999).contains(&ping.terminating_status_code) {
                let d = Diagnostic::error("ping.terminatingStatusCode", format!("`{}` is no status code", ping.terminating_status_code));
                self.push(d, "write a number from 100 to 999");
            }
            if !ping.manual_routing && !config.entry_points.contains_key(&ping.entry_point) {
                let hint = self.known(&ping.entry_point);
                let d = Diagnostic::warning("ping.entryPoint", format!("unknown entry point `{}`: ping is not served", ping.entry_point));
                self.push(d, &hint);
            }
        }
        self.metrics();
        self.push_intervals();
        self.otlp_logs();
        if config.providers.providers_throttle_duration.is_some_and(|t| t < GoDuration(0)) {
            self.push(Diagnostic::error("providers.providersThrottleDuration", "the time is below 0"), "write 0 or more");
        }
    }

    fn bounds(&mut self, key: &str, bounds: &[f64]) {
        for (i, bound) in bounds.iter().enumerate() {
            if !bound.is_finite() || i > 0 && *bound <= bounds[i - 1] {
                let d = Diagnostic::error(format!("{key}[{i}]"), format!("`{bound}` is not above the bound before it"));
                self.push(d, "write bounds in seconds, from the lowest to the highest");
            }
        }
    }

    /// Reports without a time between them would be one without an end.
    fn push_intervals(&mut self) {
        let Some(m) = &self.config.metrics else { return };
        let pushed = [
            ("datadog", m.datadog.as_ref().map(|s| s.push_interval)),
            ("statsD", m.statsd.as_ref().map(|s| s.push_interval)),
            ("influxDB2", m.influxdb2.as_ref().map(|s| s.push_interval)),
        ];
        for (name, interval) in pushed {
            if let Some(interval) = interval.filter(|i| i.positive().is_none()) {
                let d = Diagnostic::error(format!("metrics.{name}.pushInterval"), format!("`{interval}` is not above 0"));
                self.push(d, "leave it out for 10s");
            }
        }
    }

    /// As in Traefik, nothing starts where logs are to be sent without this.
    fn otlp_logs(&mut self) {
        if self.config.experimental.otlplogs {
            return;
        }
        let access_log = self.config.access_log.as_ref().is_some_and(|a| a.otlp.is_some());
        for (key, _) in
            [("log.otlp", self.config.log.otlp.is_some()), ("accessLog.otlp", access_log)].into_iter().filter(|(_, there)| *there)
        {
            let d = Diagnostic::error(key, "logs are sent to OpenTelemetry collectors only where that is allowed");
            self.push(d, "add `experimental: {otlplogs: true}`");
        }
    }

    fn metrics(&mut self) {
        if let Some(otlp) = self.config.metrics.as_ref().and_then(|m| m.otlp.as_ref()) {
            self.bounds("metrics.otlp.explicitBoundaries", &otlp.explicit_boundaries);
        }
        let Some(p) = self.config.prometheus() else { return };
        self.bounds("metrics.prometheus.buckets", &p.buckets);
        for (label, header) in &p.header_labels {
            let key = format!("metrics.prometheus.headerLabels.{label}");
            let named = label.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !label.starts_with("__");
            if !named {
                let d = Diagnostic::error(&*key, format!("`{label}` is no name of a label"));
                self.push(d, "use letters, digits and `_`, no digit first, and at most one `_` in front");
            } else if OWN_LABELS.contains(&label.as_str()) {
                let d = Diagnostic::error(&*key, format!("`{label}` is a label already"));
                self.push(d, "choose another name");
            }
            if header.is_empty() || !header.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
                self.push(Diagnostic::error(&*key, format!("`{header}` is not a header name")), "write the name of a request header");
            }
        }
        if !p.manual_routing && !self.config.entry_points.contains_key(&p.entry_point) {
            let hint = self.known(&p.entry_point);
            let d = Diagnostic::warning(
                "metrics.prometheus.entryPoint",
                format!("unknown entry point `{}`: metrics are not served", p.entry_point),
            );
            self.push(d, &hint);
        }
    }
}

/// An IP address, or one with the length of a prefix.
fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.is_none_or(|b| b.bytes().all(|c| c.is_ascii_digit()) && b.parse::<u8>().is_ok_and(|b| b <= longest))
}
