//! `certificatesResolvers.<name>`: where certificates are ordered.

use super::effective::Validate;
use super::{is_false, is_no_time};
use crate::de;
use crate::node::{Key, Node};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_base::{Diagnostic, GoDuration, Place, Secret};

#[path = "acme_on_demand.rs"]
mod on_demand;

pub use on_demand::{OnDemandConfig, OnDemandRateConfig};

/// `certificatesResolvers.<name>`: a source of certificates.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificatesResolverConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeConfig>,
}

/// `certificatesResolvers.<name>.acme`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcmeConfig {
    /// Contact of the account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Directory (RFC 8555, 7.1.1); default Let's Encrypt.
    pub ca_server: String,
    /// Preferred issuer: common name of the topmost certificate of a chain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred_chain: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Written into the requests for certificates, beside the domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub email_addresses: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_common_name: bool,
    /// File with the accounts and certificates; default `acme.json`.
    pub storage: String,
    /// Our own: a place that several gateways share, in place of `storage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<AcmeClusterConfig>,
    /// `EC256`, `EC384`, `RSA2048`, `RSA4096`, `RSA8192`; anything else is the default, `RSA4096`.
    pub key_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab: Option<EabConfig>,
    /// Hours that certificates are valid; decides only when they are renewed. Default 2160, at least 1.
    pub certificates_duration: i64,
    /// Files with authorities that the CA's server is trusted by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ca_certificates: Vec<String>,
    /// Trust the system's authorities beside `caCertificates`.
    #[serde(skip_serializing_if = "is_false")]
    pub ca_system_cert_pool: bool,
    /// Name in the certificate of the CA's server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_server_name: String,
    /// Of one exchange with the CA, the body included; default 2m.
    pub client_timeout: GoDuration,
    /// Of one exchange with the CA, until its headers; default 30s.
    pub client_response_header_timeout: GoDuration,
    /// From the request for a certificate until it is there; default 30s.
    pub certificate_timeout: GoDuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_challenge: Option<DnsChallengeConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_challenge: Option<HttpChallengeConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_challenge: Option<TlsChallengeConfig>,
    /// Our own: certificates that the first handshake for a name asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemandConfig>,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        AcmeConfig {
            email: String::new(),
            ca_server: "https://acme-v02.api.letsencrypt.org/directory".into(),
            preferred_chain: String::new(),
            profile: String::new(),
            email_addresses: Vec::new(),
            disable_common_name: false,
            storage: "acme.json".into(),
            cluster: None,
            key_type: "RSA4096".into(),
            eab: None,
            certificates_duration: 2160,
            ca_certificates: Vec::new(),
            ca_system_cert_pool: false,
            ca_server_name: String::new(),
            client_timeout: GoDuration::from_secs(120),
            client_response_header_timeout: GoDuration::from_secs(30),
            certificate_timeout: GoDuration::from_secs(30),
            dns_challenge: None,
            http_challenge: None,
            tls_challenge: None,
            on_demand: None,
        }
    }
}

/// `certificatesResolvers.<name>.acme.cluster`: our own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcmeClusterConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<AcmeRedisConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<AcmeEtcdConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul: Option<AcmeConsulConfig>,
}

impl AcmeClusterConfig {
    /// Whether exactly one place is named, and where it is.
    fn is_whole(&self) -> bool {
        let redis = self.redis.as_ref().map(|r| r.url != Secret::default());
        let etcd = self.etcd.as_ref().map(|e| e.endpoints.iter().any(|e| !e.is_empty()));
        let consul = self.consul.as_ref().map(|c| !c.address.is_empty());
        let places = [redis, etcd, consul];
        places.iter().flatten().count() == 1 && places.iter().flatten().all(|whole| *whole)
    }
}

/// `certificatesResolvers.<name>.acme.cluster.etcd`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcmeEtcdConfig {
    /// Members, `host:port` or URLs; with `ca` or `cert` they speak TLS.
    pub endpoints: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Authorities that the servers are trusted by, a file or PEM text; empty for the system's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// Comes together with `key`, or both are empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub key: Secret,
    /// Of all keys; default `torana/acme`.
    pub prefix: String,
}

impl Default for AcmeEtcdConfig {
    fn default() -> Self {
        AcmeEtcdConfig {
            endpoints: Vec::new(),
            username: String::new(),
            password: Secret::default(),
            ca: String::new(),
            cert: String::new(),
            key: Secret::default(),
            prefix: "torana/acme".into(),
        }
    }
}

/// `certificatesResolvers.<name>.acme.cluster.consul`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcmeConsulConfig {
    /// An agent: `host:port`, or a URL; with `ca` it speaks TLS.
    pub address: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub token: Secret,
    /// Authorities that the agent is trusted by, a file or PEM text; empty for the system's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// Of all keys; default `torana/acme`.
    pub prefix: String,
}

impl Default for AcmeConsulConfig {
    fn default() -> Self {
        AcmeConsulConfig { address: String::new(), token: Secret::default(), ca: String::new(), prefix: "torana/acme".into() }
    }
}

/// `certificatesResolvers.<name>.acme.cluster.redis`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcmeRedisConfig {
    /// `redis://user:password@host:6379/0`, or `rediss://` with TLS. Never shown.
    #[serde(skip_serializing)]
    pub url: Secret,
    /// File of authorities that the server is trusted by; empty for the system's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// Of all keys; default `torana:acme`.
    pub prefix: String,
}

impl Default for AcmeRedisConfig {
    fn default() -> Self {
        AcmeRedisConfig { url: Secret::default(), ca: String::new(), prefix: "torana:acme".into() }
    }
}

/// `certificatesResolvers.<name>.acme.eab`: an account that the CA knows already (RFC 8555, 7.3.4).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EabConfig {
    pub kid: String,
    /// Base64, as URLs need it.
    #[serde(skip_serializing)]
    pub hmac_encoded: Secret,
}

/// `certificatesResolvers.<name>.acme.httpChallenge`: HTTP-01 (RFC 8555, 8.3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpChallengeConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entry_point: String,
    /// Between the answer being in place and the CA being told; default 0.
    #[serde(skip_serializing_if = "is_no_time")]
    pub delay: GoDuration,
}

/// `certificatesResolvers.<name>.acme.tlsChallenge`: TLS-ALPN-01 (RFC 8737).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsChallengeConfig {
    /// Between the answer being in place and the CA being told; default 0.
    #[serde(skip_serializing_if = "is_no_time")]
    pub delay: GoDuration,
}

/// `certificatesResolvers.<name>.acme.dnsChallenge`: DNS-01 (RFC 8555, 8.4).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DnsChallengeConfig {
    /// Code of a built-in provider, or `plugin:<name>` for a plugin of the kind `dns-challenge`.
    pub provider: String,
    /// Our own: settings of the provider, by lego's variable names (`RFC2136_NAMESERVER`), in place of the
    /// environment; of a plugin, its configuration.
    #[serde(skip_serializing)]
    pub config: DnsProviderConfig,
    /// DNS servers, `host:port`, that are asked instead of the system's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<PropagationConfig>,
    /// Old name of `propagation.delayBeforeChecks`.
    #[serde(skip_serializing_if = "is_no_time")]
    pub delay_before_check: GoDuration,
    /// Old name of `propagation.disableChecks`.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_propagation_check: bool,
}

/// `certificatesResolvers.<name>.acme.dnsChallenge.config`: of any form, keys as written. Never shown.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct DnsProviderConfig(#[serde(deserialize_with = "de::tree")] Node);

impl DnsProviderConfig {
    /// As it was written, with places.
    pub fn node(&self) -> &Node {
        &self.0
    }

    /// Names and texts, as built-in providers have them. The error is the name of an option that is no text.
    pub fn texts(&self) -> Result<BTreeMap<String, Secret>, String> {
        let text = |(key, node): &(Key, Node)| match node.as_str() {
            Some(text) => Ok((key.text.clone(), Secret::new(text))),
            None => Err(key.text.clone()),
        };
        self.0.entries().iter().filter(|(_, node)| !node.is_null()).map(text).collect()
    }
}

impl Default for DnsProviderConfig {
    fn default() -> Self {
        DnsProviderConfig(Node::empty(Place::whole("dnsChallenge.config")))
    }
}

impl FromIterator<(String, Secret)> for DnsProviderConfig {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(texts: I) -> Self {
        let mut all = DnsProviderConfig::default();
        let place = all.0.place.clone();
        for (name, text) in texts {
            all.0.insert(Key { text: name, place: place.clone() }, Node::plain(place.clone(), text.expose()));
        }
        all
    }
}

impl std::fmt::Debug for DnsProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.entries().iter().map(|(key, _)| &key.text)).finish()
    }
}

/// `certificatesResolvers.<name>.acme.dnsChallenge.propagation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PropagationConfig {
    /// Ask nobody whether the record is there.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_checks: bool,
    /// Do not ask the servers of the zone.
    #[serde(rename = "disableANSChecks", skip_serializing_if = "is_false")]
    pub disable_ans_checks: bool,
    /// Ask every one of `resolvers` too.
    #[serde(rename = "requireAllRNS", skip_serializing_if = "is_false")]
    pub require_all_rns: bool,
    /// Default 0.
    #[serde(skip_serializing_if = "is_no_time")]
    pub delay_before_checks: GoDuration,
}

impl DnsChallengeConfig {
    /// `propagation`, with what the old names say.
    pub fn checks(&self) -> PropagationConfig {
        let mut p = self.propagation.unwrap_or_default();
        p.disable_checks |= self.disable_propagation_check;
        if p.delay_before_checks.0 == 0 {
            p.delay_before_checks = self.delay_before_check;
        }
        p
    }
}

impl AcmeConfig {
    /// Why no certificate can come of it; Traefik leaves such a resolver out and starts without it.
    pub fn wrong(&self) -> Option<(&'static str, &'static str, &'static str)> {
        if self.certificates_duration < 1 {
            return Some((
                "certificatesDuration",
                "cannot manage certificates with duration lower than 1 hour",
                "write hours, such as 2160 for 90 days",
            ));
        }
        if self.client_timeout < self.client_response_header_timeout {
            return Some((
                "clientTimeout",
                "clientTimeout must be at least clientResponseHeaderTimeout",
                "raise `clientTimeout`, or lower `clientResponseHeaderTimeout` too",
            ));
        }
        None
    }
}

/// All that `keyType` may be.
pub const KEY_TYPES: [&str; 5] = ["EC256", "EC384", "RSA2048", "RSA4096", "RSA8192"];

impl Validate<'_> {
    pub(super) fn resolvers(&mut self) {
        let config = self.config;
        for (name, resolver) in &config.certificates_resolvers {
            let key = |option: &str| format!("certificatesResolvers.{name}{option}");
            let Some(acme) = &resolver.acme else {
                if self.node.at(&key(".tailscale")).is_none() {
                    self.push(Diagnostic::warning(key(""), "a resolver without `acme` has no certificates"), "write `acme`, or remove it");
                }
                continue;
            };
            if self.node.at(&key(".tailscale")).is_some_and(|n| n.as_bool() != Some(false)) {
                let d = Diagnostic::error(key(".acme"), format!("resolver `{name}` has both `acme` and `tailscale`"));
                self.push(d, "keep one of them; give the other a resolver of its own");
            }
            if acme.storage.is_empty() {
                let d = Diagnostic::error(key(".acme.storage"), "there is no place for the certificates");
                self.push(d, "name a file, such as `/var/lib/torana/acme.json`");
            }
            if let Some(cluster) = &acme.cluster
                && !cluster.is_whole()
            {
                let d = Diagnostic::error(key(".acme.cluster"), "there is no shared place for the certificates, or more than one");
                self.push(d, "write one of `redis: {url: \"redis://host:6379/0\"}`, `etcd: {endpoints: [\"host:2379\"]}` and `consul: {address: \"host:8500\"}`, or remove `cluster`");
            }
            if let Some((option, message, hint)) = acme.wrong() {
                let d = Diagnostic::warning(key(&format!(".acme.{option}")), format!("{message}: resolver `{name}` is left out"));
                self.push(d, hint);
            }
            if !KEY_TYPES.contains(&acme.key_type.as_str()) {
                let d = Diagnostic::warning(key(".acme.keyType"), format!("unknown key type `{}`: RSA4096 is used", acme.key_type));
                self.push(d, &format!("known here: {}", KEY_TYPES.join(", ")));
            }
            self.challenges(name, acme);
            if let Some(on_demand) = &acme.on_demand {
                for (option, message, hint) in on_demand.wrong() {
                    self.push(Diagnostic::error(key(&format!(".acme.onDemand{option}")), message), hint);
                }
            }
        }
    }

    fn challenges(&mut self, name: &str, acme: &AcmeConfig) {
        let key = |option: &str| format!("certificatesResolvers.{name}.acme{option}");
        let http = acme.http_challenge.as_ref().filter(|h| !h.entry_point.is_empty());
        if acme.dns_challenge.is_none() && acme.tls_challenge.is_none() && http.is_none() {
            let d = match acme.http_challenge {
                Some(_) => Diagnostic::warning(key(".httpChallenge"), "without an entry point the challenge cannot be answered"),
                None => Diagnostic::warning(key(""), "without a challenge no certificate can be ordered"),
            };
            self.push(d, "write `tlsChallenge: {}`, `httpChallenge: {entryPoint: web}`, or `dnsChallenge: {provider: ...}`");
        }
        if let Some(http) = http
            && !self.config.entry_points.contains_key(&http.entry_point)
        {
            let hint = self.known(&http.entry_point);
            let d = Diagnostic::warning(key(".httpChallenge.entryPoint"), format!("unknown entry point `{}`", http.entry_point));
            self.push(d, &hint);
        }
        if let Some(dns) = &acme.dns_challenge
            && dns.provider.is_empty()
        {
            let d = Diagnostic::warning(key(".dnsChallenge.provider"), "without a provider no record can be made");
            self.push(d, "write a code such as `rfc2136`, or `plugin:<name>`");
        }
        for (option, time) in [
            (".clientTimeout", acme.client_timeout),
            (".clientResponseHeaderTimeout", acme.client_response_header_timeout),
            (".certificateTimeout", acme.certificate_timeout),
        ] {
            if time <= GoDuration(0) {
                self.push(Diagnostic::error(key(option), format!("`{time}` is no time to wait")), "write a time such as `30s`");
            }
        }
    }
}

#[cfg(test)]
#[path = "acme_tests.rs"]
mod tests;
