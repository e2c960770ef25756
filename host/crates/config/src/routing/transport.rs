use crate::install::{is_false, is_no_time, is_zero};
use serde::{Deserialize, Serialize};
use torana_base::{GoDuration, Secret};

/// `http.serversTransports.<name>`: how servers are reached. The default of each option is Traefik's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServersTransportConfig {
    /// Sent as SNI and verified; empty for the server's host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
    /// Files or PEM text; in place of the system's authorities.
    #[serde(rename = "rootCAs", skip_serializing_if = "Vec::is_empty")]
    pub root_cas: Vec<String>,
    /// Client certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub min_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub max_version: String,
    /// 0 for 2, below 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_idle_conns_per_host: i64,
    pub forwarding_timeouts: ForwardingTimeoutsConfig,
    #[serde(rename = "disableHTTP2", skip_serializing_if = "is_false")]
    pub disable_http2: bool,
    /// URI that must be among the names of the server's certificate, whose host is then not verified.
    #[serde(rename = "peerCertURI", skip_serializing_if = "String::is_empty")]
    pub peer_cert_uri: String,
    /// TLS by SPIFFE identities, in place of all other TLS options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<SpiffeClientConfig>,
}

/// `serversTransports.<name>.spiffe`: which servers are spoken with. Without any option all whose identity can be
/// verified.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SpiffeClientConfig {
    /// `spiffe://example.org/server`; they go before `trustDomain`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// `example.org`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trust_domain: String,
}

/// `http.serversTransports.<name>.certificates[n]`: files or PEM text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificateConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_file: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub key_file: Secret,
}

/// `http.serversTransports.<name>.forwardingTimeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ForwardingTimeoutsConfig {
    /// Default 30s; 0 for no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub dial_timeout: GoDuration,
    /// Default 0: no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub response_header_timeout: GoDuration,
    /// Default 90s; 0 for no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub idle_conn_timeout: GoDuration,
    /// HTTP/2: time without a frame after which a ping is sent; default 0: never.
    #[serde(skip_serializing_if = "is_no_time")]
    pub read_idle_timeout: GoDuration,
    /// HTTP/2: time to wait for the answer to a ping; default 15s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub ping_timeout: GoDuration,
    /// Between two reads of a response; default 0: no limit. Only the provider of ingress-nginx says so.
    #[serde(skip)]
    pub read_timeout: GoDuration,
    /// Between two writes of a request; default 0: no limit. Only the provider of ingress-nginx says so.
    #[serde(skip)]
    pub write_timeout: GoDuration,
}

impl Default for ForwardingTimeoutsConfig {
    fn default() -> Self {
        ForwardingTimeoutsConfig {
            dial_timeout: GoDuration::from_secs(30),
            response_header_timeout: GoDuration(0),
            idle_conn_timeout: GoDuration::from_secs(90),
            read_idle_timeout: GoDuration(0),
            ping_timeout: GoDuration::from_secs(15),
            read_timeout: GoDuration(0),
            write_timeout: GoDuration(0),
        }
    }
}
