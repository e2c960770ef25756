//! `entryPoints.*` compiled for the dataplane.

use http::HeaderName;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use torana_base::Diagnostic;
use torana_config::install::{EntryPointConfig, HeadersStrategy, Protocol};
use torana_dataplane::{EntryPoint, EntryPointLog, EntryPointMeter, HeaderStrategy, Http3, Trust, UdpEntryPoint};
use torana_telemetry::access_log::AccessLog;
use torana_telemetry::metrics::Metrics;
use torana_trace::{Calls, Tracer};

/// Compiles all TCP entry points; every bad one is named. With `metrics` their requests are counted, with `log` they
/// are logged, with `tracer` traced, with `calls` timed for OpenTelemetry.
pub fn compile(
    configs: &BTreeMap<String, EntryPointConfig>,
    metrics: Option<&Arc<Metrics>>,
    log: Option<&Arc<AccessLog>>,
    tracer: Option<&Arc<Tracer>>,
    calls: Option<&Arc<Calls>>,
) -> Result<Vec<Arc<EntryPoint>>, Vec<Diagnostic>> {
    let mut done = Vec::new();
    let mut wrong = Vec::new();
    for (name, config) in configs.iter().filter(|(_, c)| c.address.protocol == Protocol::Tcp) {
        match one(name, config) {
            Ok(mut e) => {
                e.meter = metrics.map(|m| EntryPointMeter {
                    metrics: m.clone(),
                    requests: m.entry_point(&e.name),
                    connections: m.connections(&e.name),
                    unrouted: config.observability.as_ref().is_none_or(|o| o.metrics),
                });
                e.log = log
                    .map(|log| EntryPointLog { log: log.clone(), unrouted: config.observability.as_ref().is_none_or(|o| o.access_logs) });
                e.calls = calls.cloned();
                e.tracer = tracer.map(|t| crate::spans::entry_point(t, config));
                done.push(Arc::new(e));
            }
            Err(d) => wrong.push(d),
        }
    }
    if wrong.is_empty() { Ok(done) } else { Err(wrong) }
}

/// Compiles all UDP entry points; every bad one is named.
pub fn compile_udp(configs: &BTreeMap<String, EntryPointConfig>) -> Result<Vec<Arc<UdpEntryPoint>>, Vec<Diagnostic>> {
    let (mut done, mut wrong) = (Vec::new(), Vec::new());
    for (name, config) in configs.iter().filter(|(_, c)| c.address.protocol == Protocol::Udp) {
        let life = &config.transport.life_cycle;
        match address(name, config) {
            Ok(address) => done.push(Arc::new(UdpEntryPoint {
                name: name.as_str().into(),
                address,
                reuse_port: config.reuse_port,
                timeout: config.udp.timeout.positive().unwrap_or(Duration::from_secs(3)),
                accept_grace: life.request_accept_grace_timeout.as_duration(),
                grace: life.grace_time_out.as_duration(),
            })),
            Err(d) => wrong.push(d),
        }
    }
    if wrong.is_empty() { Ok(done) } else { Err(wrong) }
}

fn one(name: &str, config: &EntryPointConfig) -> Result<EntryPoint, Diagnostic> {
    let key = |option: &str| format!("entryPoints.{name}.{option}");
    let mut e = EntryPoint::new(name, address(name, config)?);
    e.reuse_port = config.reuse_port;
    e.acme_bypass = config.allow_acme_by_pass;
    let forwarded = &config.forwarded_headers;
    e.trust = Trust { everyone: forwarded.insecure, nets: nets(&forwarded.trusted_ips, &key("forwardedHeaders.trustedIPs"))? };
    if let Some(proxy) = &config.proxy_protocol {
        if !proxy.insecure && proxy.trusted_ips.is_empty() {
            return Err(Diagnostic::error(key("proxyProtocol"), "no trusted IPs provided")
                .hint("name the proxies in front under `trustedIPs`, or set `insecure: true` to believe anybody"));
        }
        e.proxy_protocol = Some(Trust { everyone: proxy.insecure, nets: nets(&proxy.trusted_ips, &key("proxyProtocol.trustedIPs"))? });
    }
    e.connection_allowed = forwarded
        .connection
        .iter()
        .map(|h| {
            HeaderName::from_bytes(h.as_bytes())
                .map_err(|_| Diagnostic::error(key("forwardedHeaders.connection"), format!("`{h}` is not a header name")))
        })
        .collect::<Result<_, _>>()?;
    e.keep_forwarded_for = forwarded.not_append_x_forwarded_for;
    let http = &config.http;
    e.underscore = strategy(http.underscore_headers_strategy);
    e.alias = strategy(http.alias_headers_strategy);
    e.sanitize_path = http.sanitize_path;
    e.encode_semicolons = http.encode_query_semicolons;
    // Zero means the default, as in Go's server.
    e.max_header_bytes = usize::try_from(http.max_header_bytes).ok().filter(|n| *n > 0).unwrap_or(1 << 20);
    let t = &config.transport;
    e.read_timeout = t.responding_timeouts.read_timeout.positive();
    e.write_timeout = t.responding_timeouts.write_timeout.positive();
    // Without an idle time-out of its own a connection has the read time-out, as in Go's server.
    e.idle_timeout = t.responding_timeouts.idle_timeout.positive().or(e.read_timeout);
    e.max_requests = u64::try_from(t.keep_alive_max_requests).ok().filter(|n| *n > 0);
    e.max_age = t.keep_alive_max_time.positive();
    e.accept_grace = t.life_cycle.request_accept_grace_timeout.as_duration();
    e.grace = t.life_cycle.grace_time_out.positive().unwrap_or(Duration::ZERO);
    let h2 = &config.http2;
    let table = |n: i32| u32::try_from(n).unwrap_or(4096);
    e.h2_max_streams = u32::try_from(h2.max_concurrent_streams).ok().filter(|n| *n > 0).unwrap_or(250);
    e.h2_decoder_table = table(h2.max_decoder_header_table_size);
    e.h2_encoder_table = table(h2.max_encoder_header_table_size);
    let advertised = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
    e.http3 = config.http3.as_ref().map(|h3| Http3::new(advertised(h3.advertised_port), e.address.port()));
    Ok(e)
}

fn strategy(config: Option<HeadersStrategy>) -> HeaderStrategy {
    match config {
        None | Some(HeadersStrategy::Keep) => HeaderStrategy::Keep,
        Some(HeadersStrategy::Delete) => HeaderStrategy::Delete,
        Some(HeadersStrategy::Reject) => HeaderStrategy::Reject,
    }
}

/// No host means every address of both families.
fn address(name: &str, config: &EntryPointConfig) -> Result<SocketAddr, Diagnostic> {
    let (host, port) = (config.address.host.as_str(), config.address.port);
    if host.is_empty() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|e| {
            Diagnostic::error(format!("entryPoints.{name}.address"), format!("cannot resolve `{host}`: {e}"))
                .hint("use an IP address of this machine, or leave the host out for all of them")
        })?
        .collect();
    // As Go does: IPv4 first.
    found
        .iter()
        .find(|a| a.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| Diagnostic::error(format!("entryPoints.{name}.address"), format!("`{host}` has no address")))
}

/// IP addresses and CIDR ranges.
pub fn nets(texts: &[String], key: &str) -> Result<Vec<ipnet::IpNet>, Diagnostic> {
    texts
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let t = t.trim();
            t.parse::<ipnet::IpNet>().or_else(|_| t.parse::<IpAddr>().map(ipnet::IpNet::from)).map_err(|_| {
                Diagnostic::error(format!("{key}[{i}]"), format!("`{t}` is neither an IP address nor a range"))
                    .hint("write `10.0.0.1` or `10.0.0.0/8`")
            })
        })
        .collect()
}
