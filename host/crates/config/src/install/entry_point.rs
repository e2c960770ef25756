//! `entryPoints.<name>` and what is below it.

use super::{Address, is_false, is_no_time, is_zero};
use crate::routing::RouterTlsConfig;
use serde::{Deserialize, Serialize};
use torana_base::GoDuration;

/// `entryPoints.<name>`: a listening address and how requests are read from it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EntryPointConfig {
    pub address: Address,
    /// Serve the routers that name no entry point.
    #[serde(skip_serializing_if = "is_false")]
    pub as_default: bool,
    /// Listen with SO_REUSEPORT.
    #[serde(skip_serializing_if = "is_false")]
    pub reuse_port: bool,
    /// Let routers answer ACME challenges; default false.
    #[serde(rename = "allowACMEByPass", skip_serializing_if = "is_false")]
    pub allow_acme_by_pass: bool,
    pub transport: TransportConfig,
    pub forwarded_headers: ForwardedHeadersConfig,
    /// `None`: no PROXY header is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolConfig>,
    pub http: EntryPointHttpConfig,
    pub http2: Http2Config,
    /// `None`: no HTTP/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http3: Option<Http3Config>,
    pub udp: UdpConfig,
    /// `None`: everything is observed, traces are minimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observability: Option<ObservabilityConfig>,
}

/// `entryPoints.<name>.transport`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TransportConfig {
    pub life_cycle: LifeCycleConfig,
    pub responding_timeouts: RespondingTimeoutsConfig,
    /// Age of a connection at which it is closed; 0 for no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub keep_alive_max_time: GoDuration,
    /// Requests of one connection, at most; 0 for no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub keep_alive_max_requests: i64,
}

/// `entryPoints.<name>.transport.lifeCycle`: what happens when stopping.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LifeCycleConfig {
    /// Time that new requests are still accepted; default 0.
    #[serde(skip_serializing_if = "is_no_time")]
    pub request_accept_grace_timeout: GoDuration,
    /// Time that running requests get after that; default 10s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub grace_time_out: GoDuration,
}

impl Default for LifeCycleConfig {
    fn default() -> Self {
        LifeCycleConfig { request_accept_grace_timeout: GoDuration(0), grace_time_out: GoDuration::from_secs(10) }
    }
}

/// `entryPoints.<name>.transport.respondingTimeouts`; 0 means no limit.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RespondingTimeoutsConfig {
    /// To read a whole request with its body; default 60s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub read_timeout: GoDuration,
    /// From the end of the request's headers to the end of the response; default 0.
    #[serde(skip_serializing_if = "is_no_time")]
    pub write_timeout: GoDuration,
    /// Of a connection between two requests; default 180s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub idle_timeout: GoDuration,
}

impl Default for RespondingTimeoutsConfig {
    fn default() -> Self {
        RespondingTimeoutsConfig {
            read_timeout: GoDuration::from_secs(60),
            write_timeout: GoDuration(0),
            idle_timeout: GoDuration::from_secs(180),
        }
    }
}

/// `entryPoints.<name>.proxyProtocol`: whose PROXY header tells who the client is. Without either option it is
/// an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyProtocolConfig {
    /// Of anybody.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Addresses and ranges.
    #[serde(rename = "trustedIPs", skip_serializing_if = "Vec::is_empty")]
    pub trusted_ips: Vec<String>,
}

/// `entryPoints.<name>.forwardedHeaders`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ForwardedHeadersConfig {
    /// Trust forwarding headers of any client.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Addresses and ranges of clients whose forwarding headers are kept.
    #[serde(rename = "trustedIPs", skip_serializing_if = "Vec::is_empty")]
    pub trusted_ips: Vec<String>,
    /// Headers named in the client's `Connection` that stay through the middlewares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub not_append_x_forwarded_for: bool,
}

/// `entryPoints.<name>.http`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EntryPointHttpConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirections: Option<RedirectionsConfig>,
    /// Put before the middlewares of every router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub middlewares: Vec<String>,
    /// Of routers that have no `tls` of their own; taken as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RouterTlsConfig>,
    /// `None`: every encoded character is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoded_characters: Option<EncodedCharactersConfig>,
    #[serde(skip_serializing_if = "is_false")]
    pub encode_query_semicolons: bool,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub sanitize_path: bool,
    /// Bytes; default 1048576.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_header_bytes: i64,
    /// Header names with `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underscore_headers_strategy: Option<HeadersStrategy>,
    /// Header names with anything but letters, digits and `-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_headers_strategy: Option<HeadersStrategy>,
}

impl Default for EntryPointHttpConfig {
    fn default() -> Self {
        EntryPointHttpConfig {
            redirections: None,
            middlewares: Vec::new(),
            tls: None,
            encoded_characters: None,
            encode_query_semicolons: false,
            sanitize_path: true,
            max_header_bytes: 1_048_576,
            underscore_headers_strategy: None,
            alias_headers_strategy: None,
        }
    }
}

/// What happens to headers whose names could pass for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadersStrategy {
    Keep,
    Delete,
    Reject,
}

/// `entryPoints.<name>.http.redirections`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RedirectionsConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<RedirectEntryPointConfig>,
}

/// `entryPoints.<name>.http.redirections.entryPoint`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RedirectEntryPointConfig {
    /// Name of an entry point, or `:port`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Default `https`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// Default true: 301 (GET) and 308; else 302 and 307.
    #[serde(skip_serializing_if = "is_false")]
    pub permanent: bool,
    /// Default 9223372036854775806.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i64,
}

impl Default for RedirectEntryPointConfig {
    fn default() -> Self {
        RedirectEntryPointConfig { to: String::new(), scheme: "https".into(), permanent: true, priority: i64::MAX - 1 }
    }
}

/// `entryPoints.<name>.http.encodedCharacters`: which escapes a path may hold; each one true by default.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EncodedCharactersConfig {
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_slash: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_back_slash: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_null_character: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_semicolon: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_percent: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_question_mark: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_encoded_hash: bool,
}

impl Default for EncodedCharactersConfig {
    fn default() -> Self {
        EncodedCharactersConfig {
            allow_encoded_slash: true,
            allow_encoded_back_slash: true,
            allow_encoded_null_character: true,
            allow_encoded_semicolon: true,
            allow_encoded_percent: true,
            allow_encoded_question_mark: true,
            allow_encoded_hash: true,
        }
    }
}

/// `entryPoints.<name>.http2`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Http2Config {
    /// Default 250; below 0 is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_concurrent_streams: i32,
    /// Bytes; default 4096; below 0 is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_decoder_header_table_size: i32,
    /// Bytes; default 4096; below 0 is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_encoder_header_table_size: i32,
}

impl Default for Http2Config {
    fn default() -> Self {
        Http2Config { max_concurrent_streams: 250, max_decoder_header_table_size: 4096, max_encoder_header_table_size: 4096 }
    }
}

/// `entryPoints.<name>.http3`: HTTP/3 on the UDP port of the same number.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Http3Config {
    /// What `Alt-Svc` says; 0 for the port of the entry point; below 0 is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub advertised_port: i64,
}

/// `entryPoints.<name>.udp`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UdpConfig {
    /// Time that an idle session is kept; default 3s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub timeout: GoDuration,
}

impl Default for UdpConfig {
    fn default() -> Self {
        UdpConfig { timeout: GoDuration::from_secs(3) }
    }
}

/// `entryPoints.<name>.observability`: for routers that say nothing about it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObservabilityConfig {
    /// Default true.
    pub access_logs: bool,
    /// Default true.
    pub metrics: bool,
    /// Default true.
    pub tracing: bool,
    pub trace_verbosity: TraceVerbosity,
}

impl Default for ObservabilityConfig {
    fn default() -> Self {
        ObservabilityConfig { access_logs: true, metrics: true, tracing: true, trace_verbosity: TraceVerbosity::Minimal }
    }
}

/// Detail of traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceVerbosity {
    #[default]
    Minimal,
    Detailed,
}
