//! The part of Consul's HTTP API that the catalogue is read by.

use crate::web::{self, Answer, Web, WebError};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::time::Duration;
use torana_base::Secret;
use torana_config::install::{ClientTlsConfig, ConsulCatalogConfig};

/// Of a read that does not wait.
const READ: Duration = Duration::from_secs(30);
/// How long Consul waits for a change, where nobody says so. Its own five minutes are long for finding out that an
/// agent is gone without a word.
const WAIT: Duration = Duration::from_secs(60);
/// A filter that no check passes: only the index is of interest.
const NO_CHECK: &str = "CheckID == \"-\"";

/// An agent of Consul, and how it is asked.
pub(super) struct Agent {
    web: Web,
    /// Parameters of each read.
    query: Vec<(&'static str, String)>,
    wait: Duration,
}

/// An instance of a service, as `/v1/health/service` tells.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) service: Service,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) checks: Vec<Check>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Node {
    pub(super) node: String,
    pub(super) address: String,
    pub(super) datacenter: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: Vec<String>,
    pub(super) address: String,
    pub(super) port: i64,
    pub(super) namespace: String,
}

/// The certificate of a service in the mesh, as `/v1/agent/connect/ca/leaf` tells.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Leaf {
    #[serde(rename = "CertPEM")]
    pub(super) cert: String,
    #[serde(rename = "PrivateKeyPEM")]
    pub(super) key: Secret,
}

/// The authorities of the mesh.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Roots {
    pub(super) trust_domain: String,
    pub(super) roots: Vec<Root>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Root {
    pub(super) root_cert: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Check {
    #[serde(rename = "CheckID")]
    pub(super) check_id: String,
    pub(super) status: String,
}

/// Go writes an empty list as `null` at times.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

impl Entry {
    pub(super) fn address(&self) -> &str {
        if self.service.address.is_empty() { &self.node.address } else { &self.service.address }
    }

    /// One state for all checks, of the node's too: the worst.
    pub(super) fn state(&self) -> &'static str {
        let mut worst = 0;
        for check in &self.checks {
            let maintenance = check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:");
            let grade = match check.status.as_str() {
                _ if maintenance => 3,
                "passing" => 0,
                "warning" => 1,
                "critical" => 2,
                // As Traefik has it: unknown states are no state.
                _ => return "",
            };
            worst = worst.max(grade);
        }
        ["passing", "warning", "critical", "maintenance"][worst]
    }
}

/// What comes from Consul's own environment, where options are empty.
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn or_env(text: &str, name: &str) -> String {
    if text.is_empty() { env(name) } else { text.to_owned() }
}

/// Where an agent listens.
#[derive(Debug, PartialEq)]
struct Address {
    base: String,
    socket: Option<String>,
}

fn address(text: &str, scheme: &str) -> Address {
    let text = if text.is_empty() { "127.0.0.1:8500" } else { text };
    if let Some(path) = text.strip_prefix("unix://") {
        return Address { base: "http://localhost".into(), socket: Some(path.to_owned()) };
    }
    // An `https` that is asked for is never left out because of an address.
    let (written, rest) = text.split_once("://").unwrap_or(("", text));
    let scheme = if written == "https" || scheme == "https" { "https" } else { "http" };
    Address { base: format!("{scheme}://{rest}"), socket: None }
}

fn token(config: &Secret) -> Result<String, String> {
    if !config.expose().is_empty() {
        return Ok(config.expose().to_owned());
    }
    let file = env("CONSUL_HTTP_TOKEN_FILE");
    if file.is_empty() {
        return Ok(env("CONSUL_HTTP_TOKEN"));
    }
    std::fs::read_to_string(&file).map(|t| t.trim().to_owned()).map_err(|e| format!("CONSUL_HTTP_TOKEN_FILE `{file}`: {e}"))
}

fn tls(config: Option<&ClientTlsConfig>) -> ClientTlsConfig {
    config.cloned().unwrap_or_else(|| ClientTlsConfig {
        ca: env("CONSUL_CACERT"),
        cert: env("CONSUL_CLIENT_CERT"),
        key: Secret::new(env("CONSUL_CLIENT_KEY")),
        insecure_skip_verify: ["0", "false"].contains(&env("CONSUL_HTTP_SSL_VERIFY").as_str()),
    })
}

/// As `Authorization: Basic` takes it.
fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{username}:{password}")))
}

fn secret(value: &str, option: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value).map_err(|_| format!("`{option}` has characters that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Agent {
    /// Ready to be asked; nothing is sent yet.
    pub(super) async fn new(config: &ConsulCatalogConfig, namespace: &str) -> Result<Agent, String> {
        let endpoint = &config.endpoint;
        let mut headers = HeaderMap::new();
        let token = token(&endpoint.token)?;
        if !token.is_empty() {
            headers.insert("x-consul-token", secret(&token, "endpoint.token")?);
        }
        let auth = match &endpoint.http_auth {
            Some(auth) => Some((auth.username.clone(), auth.password.expose().to_owned())),
            None => env("CONSUL_HTTP_AUTH").split_once(':').map(|(u, p)| (u.to_owned(), p.to_owned())),
        };
        if let Some((username, password)) = auth {
            headers.insert(http::header::AUTHORIZATION, secret(&basic(&username, &password), "endpoint.httpAuth")?);
        }
        let over_tls = ["1", "true"].contains(&env("CONSUL_HTTP_SSL").as_str());
        let scheme = if endpoint.scheme.is_empty() && over_tls { "https" } else { &endpoint.scheme };
        let Address { base, socket } = address(&or_env(&endpoint.address, "CONSUL_HTTP_ADDR"), scheme);
        let client = web::client(Some(&tls(endpoint.tls.as_ref())), base.starts_with("https"), socket).await?;
        let mut query = Vec::new();
        for (name, value) in [("dc", endpoint.datacenter.clone()), ("ns", or_env(namespace, "CONSUL_NAMESPACE"))] {
            if !value.is_empty() {
                query.push((name, value));
            }
        }
        // What the agent remembers may be older than the change that it has just told of.
        let cached = config.cache && !config.watch;
        for (name, on) in [("stale", config.stale), ("consistent", config.require_consistent), ("cached", cached)] {
            if on {
                query.push((name, String::new()));
            }
        }
        let wait = endpoint.endpoint_wait_time.positive().unwrap_or(WAIT);
        Ok(Agent { web: Web::new(client, &base, headers)?, query, wait })
    }

    async fn get(&self, path: &[&str], more: &[(&str, &str)], limit: Duration) -> Result<Answer, WebError> {
        let query: Vec<(&str, &str)> = self.query.iter().map(|(n, v)| (*n, v.as_str())).chain(more.iter().copied()).collect();
        self.web.read(path, &query, limit).await
    }

    /// All services with the tags of all their instances.
    pub(super) async fn services(&self) -> Result<BTreeMap<String, Vec<String>>, WebError> {
        self.get(&["v1", "catalog", "services"], &[], READ).await?.json().await
    }

    /// The instances of a service, whatever their state; in the `mesh` its proxies in their place.
    pub(super) async fn instances(&self, service: &str, mesh: bool) -> Result<Vec<Entry>, WebError> {
        self.get(&["v1", "health", if mesh { "connect" } else { "service" }, service], &[], READ).await?.json().await
    }

    /// With its index; with `since` above 0 it waits for another one.
    pub(super) async fn leaf(&self, service: &str, since: u64) -> Result<(Leaf, u64), WebError> {
        let (answer, index) = self.wait(&["v1", "agent", "connect", "ca", "leaf", service], None, since).await?;
        Ok((answer.json().await?, index))
    }

    /// With its index; with `since` above 0 it waits for another one.
    pub(super) async fn roots(&self, since: u64) -> Result<(Roots, u64), WebError> {
        let (answer, index) = self.wait(&["v1", "agent", "connect", "ca", "roots"], None, since).await?;
        Ok((answer.json().await?, index))
    }

    /// An answer with its index, which is above 0.
    async fn wait(&self, path: &[&str], filter: Option<&str>, since: u64) -> Result<(Answer, u64), WebError> {
        let (index, wait) = (since.to_string(), format!("{}ms", self.wait.as_millis()));
        let mut query: Vec<(&str, &str)> = filter.map(|f| ("filter", f)).into_iter().collect();
        if since > 0 {
            query.extend([("index", index.as_str()), ("wait", wait.as_str())]);
        }
        // Consul spreads the time of its answers by a sixteenth.
        let limit = if since > 0 { self.wait + self.wait / 16 + READ } else { READ };
        let answer = self.get(path, &query, limit).await?;
        let none = || WebError::Content("its answer has no X-Consul-Index, by which changes are seen".into());
        let index = answer.number("x-consul-index").ok_or_else(none)?;
        // One that is none would make a query return at once.
        Ok((answer, index.max(1)))
    }

    /// The state of the catalogue and of all checks: the index of what changed last. With `since` above 0 it waits
    /// for another one.
    pub(super) async fn services_index(&self, since: u64) -> Result<((), u64), WebError> {
        Ok(((), self.wait(&["v1", "catalog", "services"], None, since).await?.1))
    }

    pub(super) async fn checks_index(&self, since: u64) -> Result<((), u64), WebError> {
        Ok(((), self.wait(&["v1", "health", "state", "any"], Some(NO_CHECK), since).await?.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_consul_writes_them() {
        for (text, scheme, base, socket) in [
            ("", "", "http://127.0.0.1:8500", None),
            ("consul:8500", "https", "https://consul:8500", None),
            ("https://consul:8501", "", "https://consul:8501", None),
            ("http://consul/prefix", "https", "https://consul/prefix", None),
            ("unix:///run/consul.sock", "", "http://localhost", Some("/run/consul.sock")),
        ] {
            assert_eq!(address(text, scheme), Address { base: base.into(), socket: socket.map(str::to_owned) }, "{text}");
        }
    }

    #[test]
    fn the_worst_check_counts() {
        let entry = |checks: &[(&str, &str)]| {
            let checks: Vec<_> = checks.iter().map(|(id, s)| serde_json::json!({"CheckID": id, "Status": s})).collect();
            serde_json::from_value::<Entry>(serde_json::json!({"Node": {}, "Service": {"Tags": null}, "Checks": checks})).unwrap()
        };
        for (checks, expected) in [
            (&[][..], "passing"),
            (&[("serfHealth", "passing"), ("c", "warning")], "warning"),
            (&[("serfHealth", "critical"), ("c", "warning")], "critical"),
            (&[("_service_maintenance:web", "critical"), ("c", "critical")], "maintenance"),
            (&[("c", "odd")], ""),
        ] {
            assert_eq!(entry(checks).state(), expected, "{checks:?}");
        }
    }
}
