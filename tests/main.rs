//! Black-box tests of the `torana` binary, one module per subject. Each test starts its own gateways and
//! backends on loopback; nothing here links a host crate. See `harness` for how to write one.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

mod cases {
    mod access_log;
    mod acme;
    mod acme_dns_plugin;
    mod acme_renewal;
    mod catalog;
    mod cli;
    mod dashboard;
    mod deployment;
    mod docker;
    mod examples;
    mod gateway_api;
    mod host_resolver;
    mod http2;
    mod http3;
    mod http3_limits;
    mod http_rest;
    mod k8s;
    mod kv;
    mod ladder;
    mod layers;
    mod lifecycle;
    mod memory;
    mod metrics;
    mod middlewares_auth;
    mod middlewares_traffic;
    mod on_demand;
    mod otlp_logs;
    mod plugin_examples;
    mod plugin_test;
    mod plugins;
    mod protocol;
    mod redis_cluster;
    mod reload;
    mod reports;
    mod secrets;
    mod services;
    mod services_composite;
    mod spiffe;
    mod streams;
    mod tcp;
    mod templates;
    mod tls;
    mod tls_tcp;
    mod tracing;
    mod udp;
    mod wit;
}
