//! A collector, and how a message gets there.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost::Message;
use reqwest::Url;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig as TonicTls, Endpoint, Identity};
use tonic::{Code, Request};
use torana_base::{Diagnostic, Secret, shown};
use torana_config::install::{ClientTlsConfig, OtlpConfig, OtlpGrpcConfig, OtlpHttpConfig};

/// Of one report, its answer included.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    /// Where a collector takes it over HTTP.
    fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
            Signal::Logs => "/v1/logs",
        }
    }

    fn method(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }
}

/// Why a message did not arrive.
pub(crate) struct Failure {
    pub why: String,
    /// It may arrive if it is sent again, and not before this time.
    pub again: Option<Duration>,
}

impl Failure {
    fn lasting(why: impl Into<String>) -> Self {
        Failure { why: why.into(), again: None }
    }
}

#[derive(Clone, Debug)]
enum To {
    Http { url: Url, headers: HeaderMap },
    Grpc { endpoint: Box<Endpoint>, headers: HeaderMap, secure: bool },
}

/// A collector of one signal; connects when the first message is sent.
#[derive(Clone, Debug)]
pub struct Destination {
    to: To,
    signal: Signal,
    tls: ClientTlsConfig,
}

impl Destination {
    /// gRPC where it is configured, else HTTP. `key`: of the options, for the diagnostic.
    pub fn new(config: &OtlpConfig, signal: Signal, key: &str) -> Result<Self, Diagnostic> {
        match (&config.grpc, &config.http) {
            (Some(grpc), _) => Destination::grpc(grpc, signal, &format!("{key}.grpc")),
            (None, Some(http)) => Destination::http(http, signal, &format!("{key}.http")),
            (None, None) => Destination::http(&OtlpHttpConfig::default(), signal, &format!("{key}.http")),
        }
    }

    fn http(config: &OtlpHttpConfig, signal: Signal, key: &str) -> Result<Self, Diagnostic> {
        let wrong = |why: &str| {
            Diagnostic::error(format!("{key}.endpoint"), format!("`{}` {why}", shown(&config.endpoint)))
                .hint("write the collector's URL, such as `http://localhost:4318`")
        };
        let mut url: Url = config.endpoint.parse().map_err(|_| wrong("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("is no URL of a server"));
        }
        // What was not written, and not `/`, which some collector may mean.
        let rest = config.endpoint.split_once("://").map_or("", |(_, rest)| rest);
        if !rest.split(['?', '#']).next().unwrap_or("").contains('/') {
            url.set_path(signal.path());
        }
        url.set_query(None);
        url.set_fragment(None);
        let to = To::Http { url, headers: headers(&config.headers, key)? };
        Ok(Destination { to, signal, tls: config.tls.clone().unwrap_or_default() })
    }

    fn grpc(config: &OtlpGrpcConfig, signal: Signal, key: &str) -> Result<Self, Diagnostic> {
        let scheme = if config.insecure { "http" } else { "https" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", config.endpoint)).map_err(|_| {
            Diagnostic::error(format!("{key}.endpoint"), format!("`{}` is no address", shown(&config.endpoint)))
                .hint("write host and port of the collector, such as `localhost:4317`")
        })?;
        let to = To::Grpc {
            endpoint: Box::new(endpoint.connect_timeout(PATIENCE).timeout(PATIENCE)),
            headers: headers(&config.headers, key)?,
            secure: !config.insecure,
        };
        Ok(Destination { to, signal, tls: config.tls.clone().unwrap_or_default() })
    }

    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    /// Reads the files of the TLS options.
    pub(crate) async fn connect(&self) -> Result<Connection, String> {
        let tls = self.tls.clone();
        let told = |e: tokio::task::JoinError| format!("TLS cannot be set up: {e}");
        Ok(match &self.to {
            To::Http { url, headers } => {
                let config = tokio::task::spawn_blocking(move || torana_trust::client_config(&tls)).await.map_err(told)??;
                let builder = reqwest::Client::builder().tls_backend_preconfigured(config).timeout(PATIENCE);
                let client = builder.redirect(reqwest::redirect::Policy::none()).build().map_err(|e| chain(&e))?;
                Connection::Http { client, url: url.clone(), headers: headers.clone() }
            }
            To::Grpc { endpoint, headers, secure } => {
                let mut endpoint = Endpoint::clone(endpoint);
                if *secure {
                    let read = move || Ok::<_, String>((torana_trust::verifier(&tls)?, torana_trust::identity(&tls)?));
                    let (verifier, identity) = tokio::task::spawn_blocking(read).await.map_err(told)??;
                    let mut tls = TonicTls::new();
                    if let Some(torana_trust::Identity { cert, key }) = identity {
                        tls = tls.identity(Identity::from_pem(cert, key));
                    }
                    endpoint = endpoint.tls_config_with_verifier(tls, verifier).map_err(|e| chain(&e))?;
                }
                let method = self.signal.method();
                Connection::Grpc { channel: endpoint.connect_lazy(), metadata: MetadataMap::from_headers(headers.clone()), method }
            }
        })
    }
}

fn headers(all: &BTreeMap<String, Secret>, key: &str) -> Result<HeaderMap, Diagnostic> {
    let wrong = |name: &str, what: &str| Diagnostic::error(format!("{key}.headers.{name}"), what);
    let one = |(name, value): (&String, &Secret)| {
        let n = HeaderName::try_from(name.as_str()).map_err(|_| wrong(name, "this is no name of a header"))?;
        let mut v = HeaderValue::from_str(value.expose()).map_err(|_| wrong(name, "the value cannot stand in a header"))?;
        v.set_sensitive(true);
        Ok((n, v))
    };
    all.iter().map(one).collect()
}

/// A way to a collector.
pub(crate) enum Connection {
    Http { client: reqwest::Client, url: Url, headers: HeaderMap },
    Grpc { channel: Channel, metadata: MetadataMap, method: PathAndQuery },
}

impl Connection {
    /// Sends a message, compressed; `Answer` is what a collector answers with.
    pub(crate) async fn send<M, Answer>(&self, message: &M) -> Result<(), Failure>
    where
        M: Message + Clone + 'static,
        Answer: Message + Default + 'static,
    {
        match self {
            Connection::Http { client, url, headers } => {
                let body = gzip(&message.encode_to_vec()).map_err(|e| Failure::lasting(e.to_string()))?;
                let request = client.post(url.clone()).headers(headers.clone()).body(body);
                let request = request.header(CONTENT_TYPE, "application/x-protobuf").header(CONTENT_ENCODING, "gzip");
                let response = request.send().await.map_err(|e| Failure { why: chain(&e.without_url()), again: Some(Duration::ZERO) })?;
                let status = response.status();
                if status.is_success() {
                    return Ok(());
                }
                let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
                let passing = matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
                );
                Err(Failure { why: format!("it answers {status}"), again: passing.then(|| after.unwrap_or_default()) })
            }
            Connection::Grpc { channel, metadata, method } => {
                let mut grpc = tonic::client::Grpc::new(channel.clone()).send_compressed(CompressionEncoding::Gzip);
                grpc.ready().await.map_err(|e| Failure { why: chain(&e), again: Some(Duration::ZERO) })?;
                let mut request = Request::new(message.clone());
                *request.metadata_mut() = metadata.clone();
                let codec = tonic_prost::ProstCodec::<M, Answer>::default();
                match grpc.unary(request, method.clone(), codec).await {
                    Ok(_) => Ok(()),
                    Err(status) => Err(of_status(&status)),
                }
            }
        }
    }
}

/// The codes that the protocol says to send again after.
fn of_status(status: &tonic::Status) -> Failure {
    let passing = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    );
    let cause = status.source().map(|e| format!(": {}", chain(e))).unwrap_or_default();
    Failure { why: format!("it says {:?}: {}{cause}", status.code(), status.message()), again: passing.then_some(Duration::ZERO) }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.into())
}

/// An error and what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str) -> Result<String, String> {
        let config = OtlpConfig { http: Some(OtlpHttpConfig { endpoint: endpoint.into(), ..Default::default() }), grpc: None };
        match Destination::new(&config, Signal::Traces, "tracing.otlp") {
            Ok(Destination { to: To::Http { url, .. }, .. }) => Ok(url.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(d) => Err(d.key),
        }
    }

    /// As Traefik 3.7.15 takes them.
    #[test]
    fn paths() {
        assert_eq!(url("http://h:1").unwrap(), "http://h:1/v1/traces");
        assert_eq!(url("http://h:1/").unwrap(), "http://h:1/");
        assert_eq!(url("https://h/a/b?k=v").unwrap(), "https://h/a/b");
        for bad in ["", "h:1", "ftp://h", "http://"] {
            assert_eq!(url(bad).unwrap_err(), "tracing.otlp.http.endpoint", "{bad}");
        }
    }

    #[test]
    fn headers_are_not_shown() {
        let headers = BTreeMap::from([("Authorization".to_owned(), Secret::new("hidden"))]);
        let config = OtlpConfig { http: None, grpc: Some(OtlpGrpcConfig { headers, insecure: true, ..Default::default() }) };
        let made = Destination::new(&config, Signal::Logs, "log.otlp").unwrap();
        assert!(!format!("{made:?}").contains("hidden"));
        let bad = BTreeMap::from([("a b".to_owned(), Secret::new("hidden"))]);
        let config = OtlpConfig { http: Some(OtlpHttpConfig { headers: bad, ..Default::default() }), grpc: None };
        let told = Destination::new(&config, Signal::Logs, "log.otlp").unwrap_err();
        assert_eq!(told.key, "log.otlp.http.headers.a b");
        assert!(!told.to_string().contains("hidden"));
    }
}
