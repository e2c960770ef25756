//! Active health checks (Traefik `loadBalancer.healthCheck`).

use crate::forward::{Options, send};
use crate::service::{LoadBalancer, Server};
use crate::target::{Protocol, ServerUrl, Target};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use torana_http::{Body, Exchange, Peer, Request, Response};

/// Redirects that a check follows.
const MAX_REDIRECTS: usize = 10;
/// Bytes of a gRPC answer that are looked at.
const MAX_GRPC_ANSWER: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// gRPC health protocol instead of plain HTTP.
    pub grpc: bool,
    /// Relative to the server's URL.
    pub path: String,
    /// `None` for a configured text that is no method: each check fails.
    pub method: Option<Method>,
    /// Empty: the server's.
    pub scheme: String,
    /// 0: the server's.
    pub port: u16,
    /// `Host` of HTTP checks; empty: the server's.
    pub hostname: String,
    pub headers: HeaderMap,
    /// 0: anything from 200 to 399.
    pub status: u16,
    pub interval: Duration,
    /// Period for servers that are down.
    pub unhealthy_interval: Duration,
    pub timeout: Duration,
    pub follow_redirects: bool,
}

/// Checks all servers of a service until it is gone. The first check runs after one interval; servers
/// start up.
pub(crate) async fn run(service: Weak<LoadBalancer>) {
    let Some(first) = service.upgrade() else { return };
    let Some(check) = first.health.clone() else { return };
    let count = first.servers.len();
    drop(first);
    let start = Instant::now();
    let mut due = vec![start + check.interval; count];
    loop {
        let Some(next) = due.iter().min().copied() else { return };
        tokio::time::sleep_until(next.into()).await;
        let Some(service) = service.upgrade() else { return };
        let now = Instant::now();
        let round: Vec<usize> = (0..count).filter(|i| due[*i] <= now).collect();
        let mut running: Vec<_> = round.iter().map(|i| Box::pin(probe(&check, &service.servers[*i]))).collect();
        let mut results: Vec<Option<Result<(), String>>> = running.iter().map(|_| None).collect();
        std::future::poll_fn(|cx| {
            let mut open = false;
            for (f, r) in running.iter_mut().zip(&mut results) {
                if r.is_none() {
                    match f.as_mut().poll(cx) {
                        std::task::Poll::Ready(x) => *r = Some(x),
                        std::task::Poll::Pending => open = true,
                    }
                }
            }
            if open { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
        for (i, result) in round.into_iter().zip(results) {
            let up = matches!(result, Some(Ok(())));
            if service.found(i, up) {
                let url = &*service.servers[i].url;
                match result {
                    Some(Err(reason)) => tracing::warn!(serviceName = &*service.name, server = url, reason, "server is down"),
                    _ => tracing::info!(serviceName = &*service.name, server = url, "server is up again"),
                }
            }
            due[i] = now + if up { check.interval } else { check.unhealthy_interval };
        }
    }
}

async fn probe(check: &HealthCheck, server: &Server) -> Result<(), String> {
    let work = async { if check.grpc { probe_grpc(check, server).await } else { probe_http(check, server).await } };
    tokio::time::timeout(check.timeout, work).await.map_err(|_| "no answer in time".to_owned())?
}

/// The server's URL with the check's scheme and port.
fn url_of(check: &HealthCheck, server: &Server) -> Result<ServerUrl, String> {
    let mut url: ServerUrl = server.url.parse()?;
    if !check.scheme.is_empty() {
        url.protocol = match check.scheme.as_str() {
            "http" => Protocol::Http1,
            "h2c" => Protocol::H2c,
            "https" => Protocol::Https,
            other => return Err(format!("unknown scheme `{other}`")),
        };
        url.address.tls = url.protocol == Protocol::Https;
    }
    if check.port != 0 {
        url.address.port = check.port;
        let host = if url.address.host.contains(':') { format!("[{}]", url.address.host) } else { url.address.host.clone() };
        url.authority = format!("{host}:{}", check.port);
    }
    Ok(url)
}

async fn ask(target: &Arc<Target>, request: Request) -> Result<Response, String> {
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let peer = Rc::new(Peer::new(nobody, nobody, None, "".into(), true));
    let mut exchange = Exchange::new(request, peer);
    exchange.keep_forwarded_for = true;
    send(&mut exchange, target, "", Options { pass_host_header: true, redispatch: false }).await.map_err(|e| e.cause)
}

async fn probe_http(check: &HealthCheck, server: &Server) -> Result<(), String> {
    if check.path.contains("://") {
        return Err(format!("healthCheck.path `{}` must be relative", check.path));
    }
    let url = url_of(check, server)?;
    let mut target = Arc::new(Target::new(&url, server.target.transport.clone()));
    // Without overrides the check shares the connections of the requests.
    if check.scheme.is_empty() && check.port == 0 {
        target = server.target.clone();
    }
    if has_bad_escape(&check.path) {
        return Err(format!("healthCheck.path `{}` holds a `%` that begins no escape", check.path));
    }
    let mut method = check.method.clone().ok_or("healthCheck.method is not a method")?;
    let mut scheme = if url.address.tls { "https" } else { "http" };
    let mut referer = None;
    let mut location = resolve(&url.path, &check.path);
    let mut host = if check.hostname.is_empty() { target.authority.to_string() } else { check.hostname.clone() };
    for _ in 0..=MAX_REDIRECTS {
        let (path, query) = match location.split_once('?') {
            Some((p, q)) => (p, Some(q.into())),
            None => (location.as_str(), None),
        };
        let mut headers = check.headers.clone();
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static("Torana"));
        if let Some(r) = referer.take() {
            headers.insert(header::REFERER, r);
        }
        let here = format!("{scheme}://{}{location}", target.authority);
        let request = Request {
            method: method.clone(),
            version: Version::HTTP_11,
            path: torana_http::path::escape(path).into(),
            query,
            host: host.as_str().into(),
            headers,
            body: Body::Empty,
        };
        let response = ask(&target, request).await?;
        let status = response.status();
        let next = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        let redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if let (true, true, Some(next)) = (check.follow_redirects, redirect, next) {
            // As Go's client: back to GET unless the code forbids it, and no way back told from https to http.
            if matches!(status.as_u16(), 301..=303) && method != Method::HEAD {
                method = Method::GET;
            }
            let before = scheme;
            if next.contains("://") {
                let elsewhere: ServerUrl = next.parse()?;
                scheme = if elsewhere.address.tls { "https" } else { "http" };
                host = elsewhere.authority.clone();
                target = Arc::new(Target::new(&elsewhere, server.target.transport.clone()));
                let at = next.find("://").map_or(0, |i| i + 3);
                location = next[at..].find('/').map_or("/".to_owned(), |i| next[at + i..].to_owned());
            } else {
                location = resolve(path, &next);
            }
            if (before, scheme) != ("https", "http") {
                referer = HeaderValue::try_from(here).ok();
            }
            continue;
        }
        let good = match check.status {
            0 => (200..400).contains(&status.as_u16()),
            expected => status.as_u16() == expected,
        };
        return if good { Ok(()) } else { Err(format!("answered {}", status.as_u16())) };
    }
    Err("too many redirects".to_owned())
}

/// A body sent without its length, as gRPC clients do.
struct Unmeasured(Body);

impl http_body::Body for Unmeasured {
    type Data = Bytes;
    type Error = torana_http::BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<torana_http::Frame, torana_http::BodyError>>> {
        self.0.poll_frame(cx)
    }
}

fn has_bad_escape(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or("");
    path.split('%').skip(1).any(|rest| !rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

/// A path with query as seen from a base path (RFC 3986, 5.2), without dot segments.
fn resolve(base: &str, reference: &str) -> String {
    let (path, query) = reference.split_once('?').map_or((reference, None), |(p, q)| (p, Some(q)));
    let path = match path {
        "" => base.to_owned(),
        p if p.starts_with('/') => p.to_owned(),
        p => format!("{}/{p}", base.rsplit_once('/').map_or("", |(parent, _)| parent)),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false;
    for segment in path.split('/').skip(1) {
        open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            s => kept.push(s),
        }
    }
    let end = if open && !kept.is_empty() { "/" } else { "" };
    let query = query.map(|q| format!("?{q}")).unwrap_or_default();
    format!("/{}{end}{query}", kept.join("/"))
}

/// grpc.health.v1.Health/Check for the whole server; `SERVING` is 1. Like Traefik without TLS, and with
/// neither `hostname` nor `headers`.
async fn probe_grpc(check: &HealthCheck, server: &Server) -> Result<(), String> {
    if !matches!(check.scheme.as_str(), "" | "http" | "h2c") {
        return Err(format!("gRPC health checks do not go over `{}`", check.scheme));
    }
    let mut url = url_of(check, server)?;
    url.protocol = Protocol::H2c;
    url.address.tls = false;
    let target = Arc::new(Target::new(&url, server.target.transport.clone()));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(HeaderName::from_static("grpc-accept-encoding"), HeaderValue::from_static("gzip"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Torana"));
    headers.extend(
        HeaderValue::try_from(format!("{}m", check.timeout.as_millis())).ok().map(|v| (HeaderName::from_static("grpc-timeout"), v)),
    );
    let request = Request {
        method: Method::POST,
        version: Version::HTTP_2,
        path: "/grpc.health.v1.Health/Check".into(),
        query: None,
        host: url.authority.as_str().into(),
        headers,
        body: Body::stream(Unmeasured(Body::Full(Bytes::from_static(&[0, 0, 0, 0, 0]))), None),
    };
    let mut response = ask(&target, request).await?;
    let grpc_status = HeaderName::from_static("grpc-status");
    let mut code = response.headers().get(&grpc_status).cloned();
    let mut message = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        match frame.map_err(|e| e.to_string())?.into_data() {
            Ok(data) if message.len() + data.len() <= MAX_GRPC_ANSWER => message.extend_from_slice(&data),
            Ok(_) => return Err("answer too large".to_owned()),
            Err(frame) => code = frame.trailers_ref().and_then(|t| t.get(&grpc_status)).cloned().or(code),
        }
    }
    match code {
        Some(c) if c.as_bytes() == b"0" => {}
        Some(c) => return Err(format!("gRPC status {}", c.to_str().unwrap_or("?"))),
        None if response.status() != StatusCode::OK => return Err(format!("answered {}", response.status().as_u16())),
        None => return Err("no gRPC status".to_owned()),
    }
    // Length-prefixed message with field 1, varint.
    let mut field = [0; 2];
    let whole = match message.split_at_checked(5) {
        Some(([1, ..], packed)) => flate2::read::GzDecoder::new(packed).read_exact(&mut field).is_ok(),
        Some((_, mut plain)) => plain.read_exact(&mut field).is_ok(),
        None => false,
    };
    match whole.then_some(field) {
        Some([0x08, 1]) => Ok(()),
        Some([0x08, n]) => Err(format!("gRPC health status {n}")),
        _ => Err("gRPC health status unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_escapes() {
        assert!(["/%zz", "/%", "/a%4", "/%2"].into_iter().all(has_bad_escape));
        assert!(["/", "/%2F%41", "/?%zz"].into_iter().all(|p| !has_bad_escape(p)));
    }

    #[test]
    fn paths_are_resolved_like_references() {
        for (base, reference, path) in [
            ("", "/health", "/health"),
            ("", "health", "/health"),
            ("/base", "health", "/health"),
            ("/base/", "./health?x=1", "/base/health?x=1"),
            ("/base/", "/x/../health", "/health"),
            ("/base", "", "/base"),
            ("", "", "/"),
            ("/a/b", "..", "/"),
            ("/a/b/c", "..", "/a/"),
            ("/", "/a/", "/a/"),
            ("/", "/a//b", "/a//b"),
        ] {
            assert_eq!(resolve(base, reference), path, "{base} {reference}");
        }
    }
}
