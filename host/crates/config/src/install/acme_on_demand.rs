//! `certificatesResolvers.<name>.acme.onDemand`: which names may ask for a certificate by a handshake.

use serde::{Deserialize, Serialize};
use torana_base::{GoDuration, Secret};

/// Our own. At least one of `hosts` and `ask` must be there; with both, a name needs both.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OnDemandConfig {
    /// Names (`shop.example.com`), all names one label below another (`*.customers.example.com`), or regular
    /// expressions from `^` to `$`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// URL that is asked with `?domain=<name>`: 200 allows. May have a password in it, and is never shown.
    #[serde(skip_serializing)]
    pub ask: Secret,
    /// How long it may take to answer; default 5s.
    pub ask_timeout: GoDuration,
    /// How long a name that was refused is not asked about again; default 1m.
    pub refused_for: GoDuration,
    pub rate_limit: OnDemandRateConfig,
    /// Certificates that no router names, at most; default 1000.
    pub max_certificates: i64,
    /// How long a handshake waits for its certificate; 0 for not at all. Default 10s.
    pub wait_timeout: GoDuration,
}

impl Default for OnDemandConfig {
    fn default() -> Self {
        OnDemandConfig {
            hosts: Vec::new(),
            ask: Secret::default(),
            ask_timeout: GoDuration::from_secs(5),
            refused_for: GoDuration::from_secs(60),
            rate_limit: OnDemandRateConfig::default(),
            max_certificates: 1000,
            wait_timeout: GoDuration::from_secs(10),
        }
    }
}

/// `onDemand.rateLimit`: orders of all names together.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OnDemandRateConfig {
    /// Orders in a `period`; default 60.
    pub average: i64,
    /// Default 1h.
    pub period: GoDuration,
    /// Orders that may come at once; default 20.
    pub burst: i64,
}

impl Default for OnDemandRateConfig {
    fn default() -> Self {
        OnDemandRateConfig { average: 60, period: GoDuration::from_secs(3600), burst: 20 }
    }
}

impl OnDemandConfig {
    /// Option, message and hint of each mistake.
    pub(super) fn wrong(&self) -> Vec<(String, String, &'static str)> {
        let mut all = Vec::new();
        let mut tell = |option: &str, message: &str, hint| all.push((option.to_owned(), message.to_owned(), hint));
        let ask = self.ask.expose();
        if self.hosts.is_empty() && ask.is_empty() {
            tell(
                "",
                "without `hosts` or `ask` anybody could order certificates for any name",
                "write `hosts: [\"*.customers.example.com\"]`, or `ask: \"http://127.0.0.1:9000/allowed\"`",
            );
        }
        if !ask.is_empty() && !["http://", "https://"].iter().any(|s| ask.len() > s.len() && ask.starts_with(s)) {
            tell(".ask", "this is no URL", "write one such as `http://127.0.0.1:9000/allowed`");
        }
        for (option, good) in [
            (".askTimeout", self.ask_timeout > GoDuration(0)),
            (".refusedFor", self.refused_for > GoDuration(0)),
            (".waitTimeout", self.wait_timeout >= GoDuration(0)),
            (".rateLimit.period", self.rate_limit.period > GoDuration(0)),
        ] {
            if !good {
                tell(option, "this is no time", "write a time such as `10s`");
            }
        }
        for (option, number) in [
            (".rateLimit.average", self.rate_limit.average),
            (".rateLimit.burst", self.rate_limit.burst),
            (".maxCertificates", self.max_certificates),
        ] {
            if number < 1 {
                tell(option, "at least 1 is needed", "write a larger number; to order nothing, remove `onDemand`");
            }
        }
        for (i, host) in self.hosts.iter().enumerate() {
            if let Some((message, hint)) = wrong_host(host) {
                tell(&format!(".hosts[{i}]"), &format!("`{host}`: {message}"), hint);
            }
        }
        all
    }
}

fn wrong_host(host: &str) -> Option<(&'static str, &'static str)> {
    if let Some(rest) = host.strip_prefix('^') {
        let open = !rest.ends_with('$') || rest.ends_with("\\$");
        return open.then_some((
            "a regular expression without an end lets in names that only begin so",
            "end it with `$`, as in `^[a-z]+\\.example\\.com$`",
        ));
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || !c.is_ascii();
    let good = name.contains('.') && name.split('.').all(|label| !label.is_empty()) && name.chars().all(plain);
    (!good || name.parse::<std::net::IpAddr>().is_ok())
        .then_some(("this is no name with a dot, nor a wildcard in front of one", "write `shop.example.com`, `*.example.com`, or `^...$`"))
}
