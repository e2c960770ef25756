//! Requests to a CA: HTTP/1.1 over TLS, a few connections kept open.

use super::AcmeError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::ReadBufCursor;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Bytes of an answer, at most; chains have some ten thousand.
const ANSWER_LIMIT: usize = 1 << 20;
/// Connections that wait for the next request.
const IDLE: usize = 4;

/// How a CA's server is reached and trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpOptions {
    /// Files of authorities; empty for the system's.
    pub(crate) authorities: Vec<String>,
    /// The system's too.
    pub(crate) system: bool,
    /// In place of the host in URLs.
    pub(crate) server_name: String,
    pub(crate) timeout: Duration,
    pub(crate) header_timeout: Duration,
    /// `host:port` of a proxy and its credentials (`user:password`), for hosts that `direct` does not name.
    pub(crate) proxy: Option<(String, Option<String>)>,
    /// `NO_PROXY`.
    pub(crate) direct: Vec<String>,
    /// Bytes of an answer, at most; `None` for what suits a CA.
    pub(crate) longest: Option<usize>,
}

impl HttpOptions {
    /// `HTTPS_PROXY` and `NO_PROXY`, upper or lower case.
    pub(crate) fn with_proxy(mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, AcmeError> {
        let var = |name: &str| env(name).or_else(|| env(&name.to_lowercase())).filter(|v| !v.is_empty());
        if let Some(url) = var("HTTPS_PROXY") {
            let rest = url.strip_prefix("http://").unwrap_or(&url).trim_end_matches('/');
            if rest.contains("://") || rest.contains('/') {
                return Err(AcmeError::lasting("HTTPS_PROXY is no URL of an HTTP proxy, such as `http://proxy:3128`"));
            }
            let (credentials, host) = rest.rsplit_once('@').map_or((None, rest), |(c, h)| (Some(c.to_owned()), h));
            let port = host.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
            self.proxy = Some((if port { host.to_owned() } else { format!("{host}:80") }, credentials));
        }
        self.direct = var("NO_PROXY").iter().flat_map(|v| v.split(',')).map(|h| h.trim().to_lowercase()).collect();
        Ok(self)
    }

    fn is_direct(&self, host: &str) -> bool {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost")
            || ip.is_ok_and(|ip| ip.is_loopback())
            || self.direct.iter().any(|d| {
                let bare = d.trim_start_matches('*').trim_start_matches('.');
                d == "*" || !bare.is_empty() && (host.eq_ignore_ascii_case(bare) || host.to_lowercase().ends_with(&format!(".{bare}")))
            })
    }
}

/// A URL without its credentials, as it may stand in messages, and the credentials (`user:password`, with escapes).
pub(crate) fn without_credentials(url: &str) -> (String, Option<&str>) {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(s, r)| (&url[..s.len() + 3], r));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((credentials, host)) => (format!("{scheme}{host}{}", &rest[authority.len()..]), Some(credentials)),
        None => (url.to_owned(), None),
    }
}

/// A client for one CA.
pub(crate) struct HttpClient {
    options: HttpOptions,
    tls: Arc<rustls::ClientConfig>,
    idle: Mutex<Vec<(String, SendRequest<Full<Bytes>>)>>,
}

/// An answer with its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }
}

impl HttpClient {
    /// Reads the files of authorities.
    pub(crate) fn new(options: HttpOptions) -> Result<Self, AcmeError> {
        let system = options.authorities.is_empty() || options.system;
        let mut roots = if system { torana_trust::system_authorities() } else { rustls::RootCertStore::empty() };
        for path in &options.authorities {
            let wrong = |e: &dyn std::fmt::Display| AcmeError::lasting(format!("authorities of the CA's server, `{path}`: {e}"));
            let pem = std::fs::read(path).map_err(|e| wrong(&e))?;
            let before = roots.len();
            for der in CertificateDer::pem_slice_iter(&pem) {
                roots.add(der.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
            }
            if roots.len() == before {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
        let tls = rustls::ClientConfig::builder_with_provider(torana_trust::crypto())
            .with_safe_default_protocol_versions()
            .map_err(|e| AcmeError::local(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(HttpClient::over(options, tls))
    }

    /// With a TLS configuration in place of the authorities of `options`.
    pub(crate) fn over(options: HttpOptions, tls: rustls::ClientConfig) -> Self {
        HttpClient { options, tls: Arc::new(tls), idle: Mutex::default() }
    }

    /// Sends one request, with `content_type` and a body when it is a POST.
    pub(crate) async fn send(&self, method: http::Method, url: &str, post: Option<(&str, Bytes)>) -> Result<Answer, AcmeError> {
        self.send_with(method, url, post, &[]).await
    }

    /// As [`HttpClient::send`], with more headers.
    pub(crate) async fn send_with(
        &self,
        method: http::Method,
        url: &str,
        post: Option<(&str, Bytes)>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, AcmeError> {
        let limit = self.options.timeout;
        let (bare, credentials) = without_credentials(url);
        let late = || AcmeError::local(format!("`{bare}` gave no answer within {limit:?} (clientTimeout)"));
        timeout(limit, self.exchange(method, &bare, credentials, post, headers)).await.map_err(|_| late())?
    }

    /// `url` is without credentials.
    async fn exchange(
        &self,
        method: http::Method,
        url: &str,
        credentials: Option<&str>,
        post: Option<(&str, Bytes)>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, AcmeError> {
        // what was not recognized as credentials may be some all the same
        let no_url = || AcmeError::lasting(format!("`{}` is no URL", url.rsplit_once('@').map_or(url, |(_, rest)| rest)));
        let uri: http::Uri = url.parse().map_err(|_| no_url())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(no_url()) };
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(no_url()),
        };
        let key = format!("{scheme}://{authority}");
        let request = |body: Bytes| {
            let mut b = http::Request::builder()
                .method(method.clone())
                .uri(uri.path_and_query().map_or("/", |p| p.as_str()))
                .header("host", authority.as_str())
                .header("user-agent", concat!("torana/", env!("CARGO_PKG_VERSION")));
            if let Some((kind, _)) = &post {
                b = b.header("content-type", *kind);
            }
            for (name, value) in headers {
                b = b.header(*name, *value);
            }
            if let Some(credentials) = credentials.filter(|_| !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("authorization"))) {
                let mut value = http::HeaderValue::try_from(basic(credentials)).map_err(|e| AcmeError::local(e.to_string()))?;
                value.set_sensitive(true);
                b = b.header("authorization", value);
            }
            b.body(Full::new(body)).map_err(|e| AcmeError::local(e.to_string()))
        };
        let body = post.as_ref().map(|(_, b)| b.clone()).unwrap_or_default();
        // a connection that waited may have been closed meanwhile: then a new one
        while let Some(mut sender) = self.take(&key) {
            if sender.ready().await.is_err() {
                continue;
            }
            match self.on(&mut sender, request(body.clone())?, url).await {
                Ok(answer) => {
                    self.put(key, sender);
                    return Ok(answer);
                }
                Err((_, true)) => continue,
                Err((e, false)) => return Err(e),
            }
        }
        let host = authority.host();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = self.connect(host, port, secure).await.map_err(|e| AcmeError::local(format!("cannot reach `{host}:{port}`: {e}")))?;
        let (mut sender, connection) =
            handshake(Io(stream)).await.map_err(|e| AcmeError::local(format!("cannot speak with `{host}:{port}`: {e}")))?;
        tokio::spawn(connection);
        let answer = self.on(&mut sender, request(body)?, url).await.map_err(|(e, _)| e)?;
        self.put(key, sender);
        Ok(answer)
    }

    fn take(&self, key: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|(k, _)| k == key)?;
        Some(idle.swap_remove(at).1)
    }

    fn put(&self, key: String, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, s)| !s.is_closed());
        if !sender.is_closed() && idle.len() < IDLE {
            idle.push((key, sender));
        }
    }

    /// One exchange; with an error, whether the request was never sent.
    async fn on(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        request: http::Request<Full<Bytes>>,
        url: &str,
    ) -> Result<Answer, (AcmeError, bool)> {
        let limit = self.options.header_timeout;
        let late = |_| AcmeError::local(format!("`{url}` sent no headers within {limit:?} (clientResponseHeaderTimeout)"));
        let answer = timeout(limit, sender.send_request(request))
            .await
            .map_err(|e| (late(e), false))?
            .map_err(|e| (AcmeError::local(format!("`{url}`: {e}")), e.is_canceled() || e.is_closed()))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, self.options.longest.unwrap_or(ANSWER_LIMIT))
            .collect()
            .await
            .map_err(|e| (AcmeError::local(format!("the answer of `{url}` broke off: {e}")), false))?
            .to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    async fn connect(&self, host: &str, port: u16, secure: bool) -> io::Result<Box<dyn Stream>> {
        let bare = host.trim_matches(['[', ']']);
        let proxy = self.options.proxy.as_ref().filter(|_| secure && !self.options.is_direct(host));
        let tcp = match proxy {
            Some((proxy, credentials)) => tunnel(proxy, credentials.as_deref(), host, port).await?,
            None => TcpStream::connect((bare, port)).await?,
        };
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(Box::new(tcp));
        }
        let name = if self.options.server_name.is_empty() { bare } else { &self.options.server_name };
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?))
    }
}

/// Credentials of a URL as a header's value (RFC 7617, 2).
fn basic(credentials: &str) -> String {
    let plain: Vec<u8> = percent_encoding::percent_decode_str(credentials).collect();
    let colon: &[u8] = if credentials.contains(':') { b"" } else { b":" };
    format!("Basic {}", BASE64_STANDARD.encode([&plain, colon].concat()))
}

/// A connection through an HTTP proxy (RFC 9110, 9.3.6).
async fn tunnel(proxy: &str, credentials: Option<&str>, host: &str, port: u16) -> io::Result<TcpStream> {
    let failed = |what: &str| io::Error::other(format!("the proxy `{proxy}` {what}"));
    let mut tcp = TcpStream::connect(proxy).await.map_err(|e| failed(&format!("cannot be reached: {e}")))?;
    let auth = credentials.map(|c| format!("Proxy-Authorization: {}\r\n", basic(c)));
    let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{}\r\n", auth.unwrap_or_default());
    tcp.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > 8192 {
            return Err(failed("answers without end"));
        }
        answer.push(tcp.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    if line.split(' ').nth(1).is_some_and(|s| s.starts_with('2')) { Ok(tcp) } else { Err(failed(&format!("says `{line}`"))) }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Tokio's streams as hyper's; what is read is copied once, which is nothing beside the signatures.
struct Io(Box<dyn Stream>);

impl hyper::rt::Read for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; 4096];
        let len = room.len().min(buf.remaining());
        let mut read = ReadBuf::new(&mut room[..len]);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls() {
        for (url, bare, credentials) in [
            ("https://u:p%40@h:1/a@b?c=d@e", "https://h:1/a@b?c=d@e", Some("u:p%40")),
            ("http://h/a@b", "http://h/a@b", None),
            ("http://u:p@q@h", "http://h", Some("u:p@q")),
            ("http://u@[::1]:2?x", "http://[::1]:2?x", Some("u")),
            ("u:p@h", "h", Some("u:p")),
        ] {
            assert_eq!(without_credentials(url), (bare.to_owned(), credentials), "{url}");
        }
        assert_eq!(basic("u:p%40"), "Basic dTpwQA==");
        assert_eq!(basic("u"), "Basic dTo=");
    }

    /// Answers every request with 200 and the request itself.
    async fn mirror() -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tcp.read_u8().await.unwrap());
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", head.len());
                tcp.write_all(&[answer.as_bytes(), &head].concat()).await.unwrap();
            }
        });
        at
    }

    #[tokio::test]
    async fn credentials_go_into_their_header_and_into_no_message() {
        let at = mirror().await;
        let limit = Duration::from_secs(5);
        let client = HttpClient::new(HttpOptions { timeout: limit, header_timeout: limit, ..HttpOptions::default() }).unwrap();
        let url = format!("http://me:hid%2Fden@{at}/x?a=b");
        let said = client.send(http::Method::GET, &url, None).await.unwrap();
        let said = String::from_utf8(said.body.to_vec()).unwrap();
        assert!(said.starts_with("GET /x?a=b HTTP/1.1\r\n") && said.contains(&format!("host: {at}\r\n")), "{said}");
        // me:hid/den
        assert!(said.contains("authorization: Basic bWU6aGlkL2Rlbg==\r\n"), "{said}");
        // a token goes before
        let token = client.send_with(http::Method::GET, &url, None, &[("authorization", "token")]).await.unwrap();
        let said = String::from_utf8(token.body.to_vec()).unwrap();
        assert!(said.contains("authorization: token\r\n") && !said.contains("Basic"), "{said}");

        let quick = HttpOptions { timeout: Duration::from_millis(50), header_timeout: limit, ..HttpOptions::default() };
        let impatient = HttpClient::new(quick).unwrap();
        // takes connections, and says nothing
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://me:hidden@{}/", silent.local_addr().unwrap());
        for url in [silent.as_str(), "http://me:hidden@127.0.0.1:1/", "ftp://me:hidden@h/", "http://me:hid/hidden@h/", "me:hidden@h"] {
            let e = impatient.send(http::Method::GET, url, None).await.err().unwrap();
            assert!(!e.message.contains("hid"), "{url}: {e}");
        }
    }

    #[test]
    fn proxies_of_the_environment() {
        let of = |proxy: &str, direct: &str| {
            let env = |name: &str| match name {
                "https_proxy" => Some(proxy.to_owned()),
                "NO_PROXY" => Some(direct.to_owned()),
                _ => None,
            };
            HttpOptions::default().with_proxy(&env)
        };
        assert_eq!(of("http://u:p@proxy:3128/", "").unwrap().proxy, Some(("proxy:3128".into(), Some("u:p".into()))));
        assert_eq!(of("proxy", "").unwrap().proxy, Some(("proxy:80".into(), None)));
        assert!(of("socks5://x", "").is_err());
        let o = of("proxy", "a.test, .b.test,*.c.test").unwrap();
        for (host, direct) in
            [("a.test", true), ("x.a.test", true), ("b.test", true), ("c.test", true), ("d.test", false), ("127.0.0.1", true)]
        {
            assert_eq!(o.is_direct(host), direct, "{host}");
        }
        assert!(of("proxy", "*").unwrap().is_direct("any.test"));
    }
}
