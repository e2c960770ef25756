use crate::certificate::read_or_content;
use crate::client_auth::{self, ClientAuth};
use crate::names::{self, Named};
use crate::provider;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use rustls::{ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use torana_base::{Checked, Diagnostic, closest, tls};
use torana_config::routing::{Item, TlsOptionsConfig};

/// Compiled `tls.options.<name>`.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    pub(crate) name: Arc<str>,
    pub(crate) digest: [u8; 32],
    /// Without certificates and tickets.
    pub(crate) base: Arc<ServerConfig>,
    pub(crate) sni_strict: bool,
    pub(crate) tickets: bool,
    asks_clients: bool,
}

impl TlsOptions {
    /// What holds where nothing is configured, under this name.
    #[expect(clippy::expect_used, reason = "depends on nothing from outside; a test makes them")]
    pub fn defaults(name: &str) -> Self {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        Self::assemble(name, &TlsOptionsConfig::default(), provider(), &versions, &ClientAuth::default(), &[])
            .expect("the provider serves both versions")
    }

    /// Reads the authorities that the options name. `name` is qualified, as in `strict@file`, but for
    /// `default`; `key` is the path of the options, such as `tls.options.strict`. `None` if the options cannot
    /// be honoured: routers that name them must not be served at all, for that might let in whom they keep out.
    pub fn build(name: &str, item: &Item<TlsOptionsConfig>, key: &str) -> Checked<Option<Self>> {
        let mut told = Told { item, key, diagnostics: Vec::new() };
        let config = &item.config;
        let mut chosen = (*provider()).clone();
        told.suites(&mut chosen);
        told.curves(&mut chosen);
        let versions = told.versions(&chosen);
        let (cas, contents) = told.authorities();
        let client_auth = client_auth::kind(&config.client_auth.client_auth_type, !config.client_auth.ca_files.is_empty())
            .map_err(|(message, hint)| told.error("clientAuth.clientAuthType", message, hint))
            .and_then(|kind| {
                // What is wrong with a file has been told.
                let told_already = told.diagnostics.iter().any(|d| d.key.contains(".clientAuth.caFiles"));
                ClientAuth::new(kind, cas, &chosen).map_err(|e| {
                    if !told_already {
                        told.error("clientAuth.caFiles", e, "write certificates of authorities".into());
                    }
                })
            });
        for (i, protocol) in config.alpn_protocols.iter().enumerate() {
            if protocol.is_empty() || protocol.len() > 255 {
                told.error(
                    &format!("alpnProtocols[{i}]"),
                    "the name of a protocol has 1 to 255 bytes".into(),
                    "write `h2` or `http/1.1`".into(),
                );
            }
        }
        let bad = item.has_errors() || told.diagnostics.iter().any(Diagnostic::is_error);
        let value = client_auth.ok().filter(|_| !bad).and_then(|auth| {
            let made = Self::assemble(name, config, Arc::new(chosen), &versions, &auth, &contents);
            made.map_err(|e| told.error("", e.to_string(), "look at versions, cipher suites and curves".into())).ok()
        });
        Checked { value, diagnostics: told.diagnostics }
    }

    fn assemble(
        name: &str,
        config: &TlsOptionsConfig,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        client_auth: &ClientAuth,
        contents: &[Vec<u8>],
    ) -> Result<Self, rustls::Error> {
        let mut base = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(client_auth.verifier())
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        // An empty list is none, as in Traefik.
        let default = TlsOptionsConfig::default().alpn_protocols;
        let protocols = if config.alpn_protocols.is_empty() { &default } else { &config.alpn_protocols };
        base.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.max_early_data_size = 0;
        base.send_tls13_tickets = 0;
        // Debug prints all of the options, and there are no secrets among them.
        let mut digest = Sha256::new().chain_update(format!("{name:?} {config:?}"));
        for content in contents {
            digest.update(Sha256::digest(content));
        }
        Ok(TlsOptions {
            name: name.into(),
            digest: digest.finalize().into(),
            base: Arc::new(base),
            sni_strict: config.sni_strict,
            tickets: !config.disable_session_tickets,
            asks_clients: client_auth.asks(),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Over the name, all options, and what the files hold that they name: equal options have equal digests.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether handshakes fail for which no certificate has the right name.
    pub fn sni_strict(&self) -> bool {
        self.sni_strict
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_clients(&self) -> bool {
        self.asks_clients
    }
}

struct Told<'a> {
    item: &'a Item<TlsOptionsConfig>,
    key: &'a str,
    diagnostics: Vec<Diagnostic>,
}

impl Told<'_> {
    fn error(&mut self, option: &str, message: String, hint: String) {
        let key = if option.is_empty() { self.key.to_owned() } else { format!("{}.{option}", self.key) };
        let d = Diagnostic::error(key, message).at(&self.item.place_of(option));
        self.diagnostics.push(d.hint(hint));
    }

    fn warning(&mut self, option: &str, message: String, hint: String) {
        let d = Diagnostic::warning(format!("{}.{option}", self.key), message).at(&self.item.place_of(option));
        self.diagnostics.push(d.hint(hint));
    }

    fn unknown(&mut self, option: &str, what: &str, name: &str, known: Vec<&'static str>) {
        let list = format!("known here: {}", known.join(", "));
        let hint = closest(name, known).map_or_else(|| list.clone(), |near| format!("did you mean `{near}`? {list}"));
        self.error(option, format!("unknown {what} `{name}`"), hint);
    }

    /// Those of TLS 1.2 are for choosing; those of TLS 1.3 all stay, as in Go.
    fn suites(&mut self, provider: &mut CryptoProvider) {
        let names = &self.item.config.cipher_suites;
        if names.is_empty() {
            return;
        }
        let mut wanted = Vec::new();
        let mut bad = false;
        for (i, name) in names.iter().enumerate() {
            let option = format!("cipherSuites[{i}]");
            match names::suite(name) {
                Named::Known(suite) => wanted.push(suite),
                Named::Missing => self.warning(
                    &option,
                    format!("`{name}` is not secure, and left out"),
                    "remove it; without `cipherSuites` all secure ones are offered".into(),
                ),
                Named::Unknown => {
                    bad = true;
                    self.unknown(&option, "cipher suite", name, tls::suites().collect());
                }
            }
        }
        if wanted.is_empty() && !bad {
            self.error(
                "cipherSuites",
                "no secure cipher suite is left".into(),
                format!("add one of {}", tls::suites().collect::<Vec<_>>().join(", ")),
            );
        }
        provider.cipher_suites.retain(|s| s.tls13().is_some() || wanted.contains(&s.suite()));
    }

    /// The order is not honoured, as in Go.
    fn curves(&mut self, provider: &mut CryptoProvider) {
        let names = &self.item.config.curve_preferences;
        if names.is_empty() {
            return;
        }
        let mut wanted = Vec::new();
        let mut bad = false;
        for (i, name) in names.iter().enumerate() {
            let option = format!("curvePreferences[{i}]");
            match names::curve(name) {
                Named::Known(curve) => wanted.push(curve),
                Named::Missing => self.warning(
                    &option,
                    format!("Torana does not have the curve `{name}`, it is left out"),
                    format!("there are {}", names::curves().collect::<Vec<_>>().join(", ")),
                ),
                Named::Unknown => {
                    bad = true;
                    self.unknown(&option, "curve", name, names::curves().collect());
                }
            }
        }
        if wanted.is_empty() && !bad {
            self.error(
                "curvePreferences",
                "no curve is left".into(),
                format!("add one of {}", names::curves().collect::<Vec<_>>().join(", ")),
            );
        }
        let all = rustls::crypto::aws_lc_rs::ALL_KX_GROUPS.iter().copied();
        provider.kx_groups = all.filter(|g| wanted.contains(&g.name())).collect();
    }

    fn version(&mut self, option: &str, name: &str, default: u8) -> u8 {
        if name.is_empty() {
            return default;
        }
        tls::version(name).unwrap_or_else(|| {
            let known = ["VersionTLS12", "VersionTLS13"];
            let near = closest(name, known)
                .map_or_else(|| "write `VersionTLS12` or `VersionTLS13`".to_owned(), |n| format!("did you mean `{n}`?"));
            self.warning(option, format!("unknown TLS version `{name}` is ignored"), near);
            default
        })
    }

    fn versions(&mut self, provider: &CryptoProvider) -> Vec<&'static SupportedProtocolVersion> {
        let config = &self.item.config;
        let min = self.version("minVersion", &config.min_version, 12);
        let max = self.version("maxVersion", &config.max_version, 13);
        if min < 12 && max >= 12 {
            self.warning(
                "minVersion",
                format!("TLS {}.{} is not secure: clients are served from TLS 1.2 on", min / 10, min % 10),
                "write `VersionTLS12`".into(),
            );
        }
        if max < 12 {
            self.error(
                "maxVersion",
                "TLS 1.0 and 1.1 are not secure, and not served".into(),
                "write `VersionTLS12` or `VersionTLS13`".into(),
            );
            return Vec::new();
        }
        if min > max {
            self.error("minVersion", "`minVersion` is above `maxVersion`: no client could be served".into(), "remove one of them".into());
            return Vec::new();
        }
        let mut versions = Vec::new();
        let usable = |tls13: bool| provider.cipher_suites.iter().any(|s| s.tls13().is_some() == tls13);
        if max >= 13 {
            versions.push(&rustls::version::TLS13);
        }
        if min <= 12 && usable(false) {
            versions.push(&rustls::version::TLS12);
        }
        if versions.is_empty() {
            self.error(
                "cipherSuites",
                "no cipher suite of TLS 1.2 is left, and `maxVersion` allows no newer".into(),
                "add one, or allow TLS 1.3".into(),
            );
        }
        versions
    }

    /// The certificates of the authorities, and the contents of the files. One that cannot be used makes the
    /// options invalid, as in Traefik.
    fn authorities(&mut self) -> (Vec<CertificateDer<'static>>, Vec<Vec<u8>>) {
        let mut all = Vec::new();
        let mut contents = Vec::new();
        for (i, file) in self.item.config.client_auth.ca_files.iter().enumerate() {
            let option = format!("clientAuth.caFiles[{i}]");
            let shown = file.lines().next().unwrap_or("");
            let hint = || "write the path of a PEM file with certificates, or the PEM text itself".to_owned();
            match read_or_content(file) {
                Ok(pem) => {
                    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
                    if found.is_empty() {
                        self.error(&option, format!("there is no certificate in `{shown}`"), hint());
                    }
                    all.extend(found);
                    contents.push(pem);
                }
                Err(e) => self.error(&option, format!("`{shown}` cannot be read: {e}"), hint()),
            }
        }
        (all, contents)
    }
}
