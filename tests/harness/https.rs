//! A client that speaks TLS, and shows what the handshake settled.

use super::client::Response;
use super::{PATIENCE, message};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned, SupportedProtocolVersion};
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// How a test shakes hands. Certificates of the server are looked at by the test, not verified.
#[derive(Clone)]
pub(crate) struct TlsClient {
    pub(crate) config: ClientConfig,
    sni: bool,
}

impl TlsClient {
    pub(crate) fn new() -> TlsClient {
        TlsClient::with_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    pub(crate) fn with_versions(versions: &[&'static SupportedProtocolVersion]) -> TlsClient {
        TlsClient::made(rustls::crypto::aws_lc_rs::default_provider(), versions)
    }

    /// With other cipher suites or key exchanges.
    pub(crate) fn with_provider(provider: rustls::crypto::CryptoProvider) -> TlsClient {
        TlsClient::made(provider, &[&rustls::version::TLS13])
    }

    fn made(provider: rustls::crypto::CryptoProvider, versions: &[&'static SupportedProtocolVersion]) -> TlsClient {
        let provider = Arc::new(provider);
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        TlsClient { config, sni: true }
    }

    pub(crate) fn alpn(mut self, protocols: &[&str]) -> TlsClient {
        self.config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Names no server.
    pub(crate) fn without_sni(mut self) -> TlsClient {
        self.config.enable_sni = false;
        self.sni = false;
        self
    }

    /// Remembers sessions.
    pub(crate) fn resuming(mut self) -> TlsClient {
        self.config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(32)));
        self
    }

    /// Shows a certificate when it is asked for one.
    pub(crate) fn certificate(mut self, (cert, key): &(impl AsRef<Path>, impl AsRef<Path>)) -> TlsClient {
        let chain: Vec<_> = CertificateDer::pem_file_iter(cert).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
        self.config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
        self
    }

    pub(crate) fn try_open(&self, address: SocketAddr, name: &str) -> io::Result<TlsConn> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.over(stream, name)
    }

    /// Over a connection that was used already, as after STARTTLS.
    pub(crate) fn over(&self, mut stream: TcpStream, name: &str) -> io::Result<TlsConn> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(Arc::new(self.config.clone()), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(TlsConn { io: BufReader::new(StreamOwned::new(tls, stream)) })
    }

    #[track_caller]
    pub(crate) fn open(&self, address: SocketAddr, name: &str) -> TlsConn {
        self.try_open(address, name).unwrap_or_else(|e| panic!("no handshake with {name}: {e}"))
    }

    /// What ends the attempt, be it the handshake or, with TLS 1.3, the first read.
    #[track_caller]
    pub(crate) fn refused(&self, address: SocketAddr, name: &str) -> String {
        let outcome = self.try_open(address, name).and_then(|mut c| c.try_get(name, "/"));
        match outcome {
            Err(e) => e.to_string(),
            Ok(r) => panic!("it is let in: {r:?}"),
        }
    }
}

pub(crate) struct TlsConn {
    io: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl TlsConn {
    pub(crate) fn session(&self) -> &ClientConnection {
        &self.io.get_ref().conn
    }

    /// `h2`, `http/1.1`, or nothing.
    pub(crate) fn alpn(&self) -> String {
        String::from_utf8_lossy(self.session().alpn_protocol().unwrap_or_default()).into_owned()
    }

    /// The server's certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.session().peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.session().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.get_mut().write_all(bytes)?;
        self.io.get_mut().flush()
    }

    pub(crate) fn try_get(&mut self, host: &str, target: &str) -> io::Result<Response> {
        self.try_send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        self.try_response()
    }

    pub(crate) fn try_response(&mut self) -> io::Result<Response> {
        let Some((line, headers)) = message::head(&mut self.io)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let status = line.get(9..12).and_then(|s| s.parse().ok()).ok_or_else(|| io::Error::other(line.clone()))?;
        let (body, trailers) = message::body(&mut self.io, &headers, true)?;
        Ok(Response { status, line, headers, body, trailers, interim: Vec::new() })
    }

    #[track_caller]
    pub(crate) fn get(&mut self, host: &str, target: &str) -> Response {
        self.try_get(host, target).unwrap_or_else(|e| panic!("no response: {e}"))
    }
}

#[derive(Debug)]
struct Anything(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
