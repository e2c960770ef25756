//! Which TLS options a handshake gets, decided by the server name alone (Traefik: before HTTP is read).

use rustc_hash::FxHashMap;
use rustls::ServerConfig;
use std::net::IpAddr;
use std::sync::Arc;
use torana_router::RouteTable;
use torana_tls::{Store, TlsOptions, choose};

use crate::snapshot::Router;

/// TLS options with the certificates that they are served with.
#[derive(Debug)]
pub struct Handshake {
    pub options: TlsOptions,
    pub store: Arc<Store>,
    pub config: Arc<ServerConfig>,
    /// The same for HTTP/3.
    pub quic: Arc<ServerConfig>,
}

impl Handshake {
    /// `None` where no certificate may be shown.
    pub(crate) fn config_for(&self, sni: Option<&str>, alpn: &[Vec<u8>], local: IpAddr) -> Option<Arc<ServerConfig>> {
        choose(&self.config, &self.options, &self.store, sni, alpn, local)
    }

    /// The same for HTTP/3.
    pub(crate) fn quic_for(&self, sni: Option<&str>, alpn: &[Vec<u8>], local: IpAddr) -> Option<Arc<ServerConfig>> {
        choose(&self.quic, &self.options, &self.store, sni, alpn, local)
    }
}

/// HTTPS on an entry point.
#[derive(Default)]
pub struct Secure {
    pub routes: RouteTable<Arc<Router>>,
    /// By names in `Host` of its routers; `None` where the options cannot be used: such a connection is closed.
    pub exact: FxHashMap<Arc<str>, Option<Arc<Handshake>>>,
    /// By what follows the first label of `*.example.com`.
    pub wildcard: FxHashMap<Arc<str>, Option<Arc<Handshake>>>,
    /// Some router has no `Host`: it is meant for any name.
    pub any: bool,
    /// Of ``Host(`*`)``: for names that no router names.
    pub star: Option<Option<Arc<Handshake>>>,
}

impl Secure {
    /// The options of a name that some router names; `sni` in lower case, without a trailing dot.
    pub(crate) fn named(&self, sni: &str) -> Option<&Option<Arc<Handshake>>> {
        self.exact.get(sni).or_else(|| self.wildcard.get(sni.split_once('.')?.1))
    }
}
