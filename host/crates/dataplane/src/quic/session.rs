//! TLS inside QUIC. The TLS options of a connection depend on the name that the client asks for, so the handshake
//! proper begins when the whole first message is there, however many packets it takes; until then its bytes wait
//! here. quinn's own session has one configuration from the start, and does not tell the cipher suite.

use crate::secure::Handshake;
use crate::snapshot::Live;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::AlertDescription;
use rustls::quic::{KeyChange, Secrets, ServerConnection, Suite, Version};
use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use torana_http::TlsFacts;
use torana_tls::{MAX_HELLO, Peeked, cipher_name, peek_message};

/// What every handshake of an entry point begins with, whatever the name.
pub(super) struct Initial {
    suite: Suite,
    /// Knows how to protect packets before and besides a handshake.
    packets: Arc<QuicServerConfig>,
}

impl Initial {
    /// `None` if the crypto provider lacks the suite that QUIC begins with.
    pub(super) fn new() -> Option<Self> {
        let provider = torana_tls::provider();
        let aes = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
        let suite = provider.cipher_suites.iter().find(|s| s.suite() == aes)?.tls13()?.quic_suite()?;
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        Some(Initial { suite, packets: Arc::new(QuicServerConfig::with_initial(Arc::new(config), suite).ok()?) })
    }
}

/// Makes the session of one connection.
pub(super) struct Opening {
    pub(super) initial: Arc<Initial>,
    pub(super) live: Live,
    pub(super) entry_point: Arc<str>,
    /// The address that the client connected to.
    pub(super) local: IpAddr,
}

impl crypto::ServerConfig for Opening {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        crypto::ServerConfig::initial_keys(&*self.initial.packets, version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        crypto::ServerConfig::retry_tag(&*self.initial.packets, version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, _: u32, params: &TransportParameters) -> Box<dyn crypto::Session> {
        let mut ours = Vec::new();
        params.write(&mut ours);
        Box::new(Session { opening: self, state: State::Waiting { hello: Vec::new(), ours } })
    }
}

enum State {
    /// For the rest of the first message.
    Waiting {
        hello: Vec<u8>,
        ours: Vec<u8>,
    },
    Running(Box<Running>),
}

struct Running {
    tls: ServerConnection,
    next: Option<Secrets>,
    sni: Option<String>,
    options: Arc<str>,
    options_digest: [u8; 32],
}

struct Session {
    opening: Arc<Opening>,
    state: State,
}

fn alert(description: AlertDescription, reason: &str) -> TransportError {
    TransportError { code: TransportErrorCode::crypto(description.into()), frame: None, reason: reason.to_owned() }
}

impl Session {
    fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(r) => Some(r),
            State::Waiting { .. } => None,
        }
    }

    fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Running(r) => Some(r),
            State::Waiting { .. } => None,
        }
    }

    /// The options of the name; the order of names and options is that of TCP (`accept.rs`).
    fn handshake(&self, sni: Option<&str>) -> Option<Arc<Handshake>> {
        let snapshot = self.opening.live.current();
        let secure = snapshot.secure.get(&self.opening.entry_point);
        match secure.and_then(|s| s.named(sni.unwrap_or_default())) {
            Some(handshake) => handshake.clone(),
            None => secure.and_then(|s| s.star.as_ref()).unwrap_or(&snapshot.default_handshake).clone(),
        }
    }

    fn begin(&self, sni: Option<String>, alpn: &[Vec<u8>], ours: Vec<u8>) -> Result<Running, TransportError> {
        let Some(handshake) = self.handshake(sni.as_deref()) else {
            return Err(alert(AlertDescription::HandshakeFailure, "no usable TLS options"));
        };
        // The next connection finds it; this one cannot wait.
        if let Some(sni) = sni.as_deref() {
            let _ = self.opening.live.current().demand(&self.opening.entry_point, sni, &handshake);
        }
        let Some(config) = handshake.quic_for(sni.as_deref(), alpn, self.opening.local) else {
            return Err(alert(AlertDescription::UnrecognisedName, "no certificate for the name"));
        };
        let tls = ServerConnection::new(config, Version::V1, ours)
            .map_err(|_| alert(AlertDescription::ProtocolVersion, "the TLS options do not allow version 1.3"))?;
        Ok(Running { tls, next: None, sni, options: handshake.options.name().clone(), options_digest: *handshake.options.digest() })
    }
}

impl Running {
    fn read(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.tls.read_hs(bytes).map_err(|e| match self.tls.alert() {
            Some(description) => alert(description, &e.to_string()),
            None => TransportError { code: TransportErrorCode::PROTOCOL_VIOLATION, frame: None, reason: e.to_string() },
        })
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        let side = match side {
            Side::Client => rustls::Side::Client,
            Side::Server => rustls::Side::Server,
        };
        boxed(self.opening.initial.suite.keys(dst_cid, side, Version::V1))
    }

    /// The [`TlsFacts`], complete once the handshake is.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let Running { tls, sni, options, options_digest, .. } = self.running()?;
        Some(Box::new(TlsFacts {
            sni: sni.clone(),
            version: "1.3",
            cipher: tls.negotiated_cipher_suite().map_or("", |s| cipher_name(s.suite())),
            certificates: tls.peer_certificates().unwrap_or_default().iter().map(|c| c.to_vec()).collect(),
            options: options.clone(),
            options_digest: *options_digest,
        }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// There is no early data, which could be replayed.
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.running().is_none_or(|r| r.tls.is_handshaking())
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let State::Waiting { hello, ours } = &mut self.state else {
            return self.running_mut().map_or(Ok(()), |r| r.read(buf)).map(|()| false);
        };
        hello.extend_from_slice(buf);
        let (sni, alpn) = match peek_message(hello) {
            Peeked::More if hello.len() <= MAX_HELLO => return Ok(false),
            Peeked::Hello { sni, alpn } => (sni, alpn),
            // The handshake finds the words for what is wrong.
            Peeked::More | Peeked::NotTls | Peeked::Malformed => (None, Vec::new()),
        };
        let (hello, ours) = (std::mem::take(hello), std::mem::take(ours));
        let mut running = self.begin(sni, &alpn, ours)?;
        let read = running.read(&hello);
        self.state = State::Running(Box::new(running));
        read.map(|()| true)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        match self.running().and_then(|r| r.tls.quic_transport_parameters()) {
            Some(mut theirs) => Ok(Some(TransportParameters::read(Side::Server, &mut theirs)?)),
            None => Ok(None),
        }
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let running = self.running_mut()?;
        match running.tls.write_hs(buf)? {
            KeyChange::Handshake { keys } => Some(boxed(keys)),
            KeyChange::OneRtt { keys, next } => {
                running.next = Some(next);
                Some(boxed(keys))
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.running_mut()?.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    /// Only clients are sent these.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    /// Nobody asks for it here.
    fn export_keying_material(&self, _: &mut [u8], _: &[u8], _: &[u8]) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn boxed(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair { local: Box::new(keys.local.header), remote: Box::new(keys.remote.header) },
        packet: KeyPair { local: Box::new(keys.local.packet), remote: Box::new(keys.remote.packet) },
    }
}
