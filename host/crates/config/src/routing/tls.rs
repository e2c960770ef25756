use super::CertificateConfig;
use super::router::DomainConfig;
use super::{Item, Items};
use crate::install::is_false;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use torana_base::Secret;

/// `tls`: certificates, options and stores of connections with clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// In the order in which they are written: of two with the same names the first is used.
    pub certificates: Vec<Arc<Item<TlsCertificateConfig>>>,
    pub options: Items<TlsOptionsConfig>,
    /// Only `default` is ever used.
    pub stores: Items<TlsStoreConfig>,
}

/// `tls.certificates[n]`: files or PEM text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsCertificateConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_file: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub key_file: Secret,
    /// Empty for `default`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<String>,
}

impl TlsCertificateConfig {
    /// Whether clients are ever served with it: those of other stores than `default` are not.
    pub fn is_served(&self) -> bool {
        self.stores.is_empty() || self.stores.iter().any(|s| s == "default")
    }
}

/// `tls.options.<name>`. The default of each option is Traefik's.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsOptionsConfig {
    /// Empty for TLS 1.2.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub min_version: String,
    /// Empty for the newest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub max_version: String,
    /// Of TLS 1.2; empty for all that are secure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
    /// Empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve_preferences: Vec<String>,
    pub client_auth: ClientAuthConfig,
    /// Refuses handshakes for which no certificate has the right name.
    #[serde(skip_serializing_if = "is_false")]
    pub sni_strict: bool,
    /// Default `h2`, `http/1.1`, `acme-tls/1`, also where the list is empty.
    pub alpn_protocols: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_session_tickets: bool,
    /// Without effect, in Traefik too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_server_cipher_suites: Option<bool>,
}

impl Default for TlsOptionsConfig {
    fn default() -> Self {
        TlsOptionsConfig {
            min_version: String::new(),
            max_version: String::new(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            client_auth: ClientAuthConfig::default(),
            sni_strict: false,
            alpn_protocols: ["h2", "http/1.1", "acme-tls/1"].map(str::to_owned).into(),
            disable_session_tickets: false,
            prefer_server_cipher_suites: None,
        }
    }
}

/// `tls.options.<name>.clientAuth`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientAuthConfig {
    /// Authorities that vouch for clients: files or PEM text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ca_files: Vec<String>,
    /// Empty for `RequireAndVerifyClientCert` where there are `caFiles`, else for `NoClientCert`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_auth_type: String,
}

/// `tls.stores.<name>`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsStoreConfig {
    /// For clients whose name no certificate has; a self-signed one is made where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<CertificateConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_generated_cert: Option<GeneratedCertificateConfig>,
}

/// `tls.stores.<name>.defaultGeneratedCert`: a default certificate from a resolver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GeneratedCertificateConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolver: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainConfig>,
}

#[cfg(test)]
mod tests {
    use crate::parse::{Format, parse};
    use crate::routing::{RoutingConfig, decode, merge_first_wins};
    use torana_base::Checked;

    fn decoded(text: &str) -> Checked<RoutingConfig> {
        decode(&parse(text, Format::Yaml, "t.yml".into()).unwrap())
    }

    #[test]
    fn certificates_options_and_stores_are_read() {
        let c = decoded(
            "
tls:
  certificates:
    - {certFile: /a.pem, KeyFile: /a.key}
    - certFile: |
        -----BEGIN CERTIFICATE-----
      keyFile: secret
      stores: [default, other]
    - {certFile: /b.pem, stores: other}
    - {certFile: /c.pem, keyFile: /c.key, kyFile: x}
    - nothing
  options:
    default: {minVersion: VersionTLS13, clientAuth: {caFiles: /ca.pem}, sniStrict: true}
    none: {alpnProtocols: [h2], preferServerCipherSuites: true, cipherSuites: [A, B]}
    odd: {sniStrikt: true}
  stores:
    default: {defaultCertificate: {certFile: /d.pem, keyFile: /d.key}}
    other: {}
",
        );
        assert_eq!((c.diagnostics.len(), c.value.rejected.len()), (0, 0));
        let tls = &c.value.tls;
        let told: Vec<String> = tls.certificates.iter().flat_map(|i| &i.diagnostics).map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "warning: no client is served from the store `other`\n  at  tls.certificates[1].stores[1]  (t.yml:8:25)\n  hint: write `default`, or leave `stores` out",
                "error: `keyFile` is missing\n  at  tls.certificates[2].keyFile  (t.yml:9:7)\n  hint: write the path of a PEM file, or its text",
                "warning: no client is served from the store `other`\n  at  tls.certificates[2].stores[0]  (t.yml:9:34)\n  hint: write `default`, or leave `stores` out",
                "error: unknown option `kyFile`\n  at  tls.certificates[3].kyFile  (t.yml:10:43)\n  hint: did you mean `keyFile`?",
                "error: a block of options belongs here, not a single value\n  at  tls.certificates[4]  (t.yml:11:7)",
            ]
        );
        let [a, b, ..] = tls.certificates.as_slice() else { panic!() };
        assert_eq!((a.config.cert_file.as_str(), a.config.key_file.expose(), a.config.is_served()), ("/a.pem", "/a.key", true));
        assert_eq!((b.config.is_served(), tls.certificates[2].config.is_served()), (true, false));
        assert!(!format!("{b:?}").contains("secret") && !serde_json::to_string(&b.config).unwrap().contains("secret"));
        assert_eq!(a.place_of("keyFile").to_string(), "t.yml:4:35");
        let o = &tls.options["default"];
        assert_eq!((o.config.client_auth.ca_files.as_slice(), o.config.sni_strict), (&["/ca.pem".to_owned()][..], true));
        assert_eq!(o.config.alpn_protocols, ["h2", "http/1.1", "acme-tls/1"]);
        assert_eq!(tls.options["none"].config.alpn_protocols, ["h2"]);
        assert_eq!(tls.options["none"].place_of("cipherSuites[1]").to_string(), "t.yml:14:83");
        assert!(!tls.options["none"].has_errors() && tls.options["odd"].has_errors());
        assert_eq!(tls.stores["default"].config.default_certificate.as_ref().unwrap().cert_file, "/d.pem");
        assert_eq!(tls.stores["other"].diagnostics.len(), 1);
    }

    #[test]
    fn several_files_make_one() {
        let docs = [
            "tls: {certificates: [{certFile: a, keyFile: b}], options: {default: {}, x: {sniStrict: true}}}",
            "tls: {certificates: [{certFile: a, keyFile: b}, {certFile: a, keyFile: c}], options: {x: {}}, stores: {default: {}}}",
        ];
        let all = merge_first_wins(docs.map(|d| decoded(d).value).into());
        assert_eq!((all.value.tls.certificates.len(), all.value.tls.stores.len()), (2, 1));
        assert!(all.value.tls.options["x"].config.sni_strict);
        let told: Vec<String> = all.diagnostics.iter().map(|d| format!("{} {}", d.key, d.message)).collect();
        assert_eq!(
            told,
            [
                "tls.options.x the name is already taken, this one is left out",
                "tls.certificates the certificate is written twice, this one is left out"
            ]
        );
    }

    #[test]
    fn mistakes_of_the_tree_are_told() {
        let c = decoded("tls: {certificates: x, optoins: {}, options: [1]}");
        let told: Vec<&str> = c.diagnostics.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(told, ["tls.certificates", "tls.optoins", "tls.options"]);
    }
}
