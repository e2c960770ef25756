use crate::options::TlsOptions;
use crate::store::Store;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::Arc;
use torana_base::Keep;

/// The whole record of the alert `unrecognized_name` (RFC 6066, 3; fatal), to be written in place of a
/// handshake where [`choose`] finds nothing; rustls itself would say `access_denied`.
pub const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What resumes sessions, over all workers and over reloads. Lives as long as the process.
///
/// Sessions are kept by the clients alone, in tickets: there is no cache here and no lock but the one around
/// the keys of tickets, which is taken once per handshake, for reading. Each set of options has keys of its
/// own, by its digest: a session that began without a client certificate never resumes where one is required.
#[derive(Debug, Default)]
pub struct SessionShared {
    keys: Keep<[u8; 32], Keys>,
}

/// The ticket keys of one set of options.
#[derive(Debug)]
struct Keys(Arc<dyn ProducesTickets>);

impl SessionShared {
    fn tickets(&self, options: &TlsOptions) -> Option<Arc<dyn ProducesTickets>> {
        let keys = self.keys.try_get_or(options.digest, || Ticketer::new().map(Keys));
        keys.map(|keys| Arc::new(Held(keys)) as Arc<dyn ProducesTickets>).ok()
    }

    /// Forgets the keys of options that no configuration has any more; called after each compile.
    pub fn sweep(&self) {
        self.keys.sweep();
    }
}

/// Keeps the keys alive while a configuration uses them.
#[derive(Debug)]
struct Held(Arc<Keys>);

impl ProducesTickets for Held {
    fn enabled(&self) -> bool {
        self.0.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.0.decrypt(cipher)
    }
}

/// For handshakes under these options, with the certificates of this store. Made when options or store have
/// changed, and shared by all workers.
///
/// There is no early data, which could be replayed, and no renegotiation. One ticket per TLS 1.3 handshake, as
/// Go sends; with `disableSessionTickets` nothing is resumed at all.
pub fn server_config(options: &TlsOptions, store: Arc<Store>, shared: &SessionShared) -> Arc<ServerConfig> {
    let mut config = (*options.base).clone();
    config.cert_resolver = Arc::new(ByName { store, strict: options.sni_strict });
    // A session that resumes is not verified again: rustls would let in whose certificate has expired meanwhile.
    if let Some(tickets) = Some(()).filter(|()| options.tickets && !options.asks_clients()).and_then(|()| shared.tickets(options)) {
        config.ticketer = tickets;
        config.send_tls13_tickets = 1;
    }
    Arc::new(config)
}

/// The same configuration for QUIC, which carries HTTP/3 and nothing else.
pub fn quic_config(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h3".to_vec()];
    Arc::new(config)
}

/// What serves a client of whose first message [`crate::Peeker`] told `sni` and `alpn`, and that connected to
/// `local`; `config` is that of these options and this store. `None` for a handshake that fails with
/// [`UNRECOGNIZED_NAME`]. Nearly always `config` itself.
pub fn choose(
    config: &Arc<ServerConfig>,
    options: &TlsOptions,
    store: &Store,
    sni: Option<&str>,
    alpn: &[Vec<u8>],
    local: IpAddr,
) -> Option<Arc<ServerConfig>> {
    if store.refuses(options, sni, local) {
        return None;
    }
    // rustls does not know the address.
    let by_address = if sni.is_none() { store.find(None, Some(local)) } else { None };
    // As Go does, a server of HTTP/2 alone takes a client of HTTP/1.1, and names no protocol.
    let has = |all: &[Vec<u8>], name: &[u8]| all.iter().any(|p| p == name);
    let offered = &config.alpn_protocols;
    let unnamed = has(alpn, b"http/1.1") && has(offered, b"h2") && !alpn.iter().any(|p| offered.contains(p));
    if by_address.is_none() && !unnamed {
        return Some(config.clone());
    }
    let mut config = (**config).clone();
    if let Some(certificate) = by_address {
        config.cert_resolver = Arc::new(Fixed(certificate.key().clone()));
    }
    if unnamed {
        config.alpn_protocols.clear();
    }
    Some(Arc::new(config))
}

/// For one handshake that answers a challenge (RFC 8737): this certificate, and no other protocol.
pub fn challenge_config(key: Arc<CertifiedKey>) -> Arc<ServerConfig> {
    let options = TlsOptions::defaults("acme");
    let mut config = (*options.base).clone();
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.cert_resolver = Arc::new(Fixed(key));
    Arc::new(config)
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// By the name that the client asks for.
#[derive(Debug)]
struct ByName {
    store: Arc<Store>,
    strict: bool,
}

/// The protocol of the TLS-ALPN challenge (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let found = self.store.find(name, None);
        let found = if self.strict { found } else { found.or(self.store.default_certificate()) };
        found.map(|c| {
            c.shown();
            c.key().clone()
        })
    }
}

impl Store {
    /// Whether no certificate may be shown: none has the name (or, without one, the address that the client
    /// connected to), and `sniStrict` forbids the default one, or it could not be loaded.
    fn refuses(&self, options: &TlsOptions, sni: Option<&str>, local: IpAddr) -> bool {
        (options.sni_strict || self.default_certificate().is_none()) && self.find(sni, Some(local)).is_none()
    }
}

#[cfg(test)]
mod tests;
