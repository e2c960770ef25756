//! The part of Nomad's HTTP API that services are read by.

use crate::web::{self, Answer, Web, WebError};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use std::time::Duration;
use torana_base::Secret;
use torana_config::install::{ClientTlsConfig, NomadConfig};

/// Of one read.
const READ: Duration = Duration::from_secs(30);
/// Nomad says at least `{}` every ten seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// One line of events, at most.
const LONGEST_LINE: usize = 64 << 20;

/// An agent of Nomad, and how it is asked.
pub(super) struct Api {
    web: Web,
    /// Parameters of each request.
    query: Vec<(&'static str, String)>,
    /// And of each read.
    reads: Vec<(&'static str, String)>,
}

/// One namespace of `/v1/services`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stubs {
    #[serde(default, deserialize_with = "or_default")]
    services: Vec<Stub>,
}

/// A service with the tags of all its instances.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stub {
    pub(super) service_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tags: Vec<String>,
}

/// An instance of a service, as `/v1/service/<name>` tells.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Registration {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) service_name: String,
    #[serde(rename = "NodeID")]
    pub(super) node_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: Vec<String>,
    pub(super) address: String,
    pub(super) port: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobStub {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Job {
    #[serde(deserialize_with = "or_default")]
    task_groups: Vec<TaskGroup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskGroup {
    name: String,
    count: Option<i64>,
    scaling: Option<Scaling>,
    #[serde(deserialize_with = "or_default")]
    services: Vec<JobService>,
    #[serde(deserialize_with = "or_default")]
    tasks: Vec<Task>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Scaling {
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Task {
    #[serde(deserialize_with = "or_default")]
    services: Vec<JobService>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct JobService {
    name: String,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<String>,
}

/// A service of a job that runs no instance, because its group is scaled to zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sleeping {
    pub(super) job: String,
    pub(super) group: String,
    pub(super) service: String,
    pub(super) tags: Vec<String>,
}

/// Go writes an empty list as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn or_env(text: &str, name: &str) -> String {
    if text.is_empty() { env(name) } else { text.to_owned() }
}

fn tls(config: Option<&ClientTlsConfig>) -> ClientTlsConfig {
    config.cloned().unwrap_or_else(|| ClientTlsConfig {
        ca: env("NOMAD_CACERT"),
        cert: env("NOMAD_CLIENT_CERT"),
        key: Secret::new(env("NOMAD_CLIENT_KEY")),
        insecure_skip_verify: ["1", "t", "true"].contains(&env("NOMAD_SKIP_VERIFY").to_ascii_lowercase().as_str()),
    })
}

impl Api {
    /// Ready to be asked; nothing is sent yet.
    pub(super) async fn new(config: &NomadConfig, namespace: &str) -> Result<Api, String> {
        let endpoint = &config.endpoint;
        let mut headers = HeaderMap::new();
        let token = or_env(endpoint.token.expose(), "NOMAD_TOKEN");
        if !token.is_empty() {
            let mut value = HeaderValue::from_str(&token).map_err(|_| "`endpoint.token` has characters that cannot be sent")?;
            value.set_sensitive(true);
            headers.insert("x-nomad-token", value);
        }
        let address = or_env(&endpoint.address, "NOMAD_ADDR");
        let address = if address.is_empty() { "http://127.0.0.1:4646" } else { &address };
        // An address without a scheme is one, as everywhere else.
        let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let client = web::client(Some(&tls(endpoint.tls.as_ref())), base.starts_with("https"), None).await?;
        let mut query = Vec::new();
        for (name, value) in [("region", or_env(&endpoint.region, "NOMAD_REGION")), ("namespace", namespace.to_owned())] {
            if !value.is_empty() {
                query.push((name, value));
            }
        }
        let mut reads = Vec::new();
        if config.stale {
            reads.push(("stale", String::new()));
        }
        if let Some(wait) = endpoint.endpoint_wait_time.positive() {
            reads.push(("wait", format!("{}ms", wait.as_millis())));
        }
        Ok(Api { web: Web::new(client, &base, headers)?, query, reads })
    }

    async fn get(&self, path: &[&str]) -> Result<Answer, WebError> {
        let query: Vec<(&str, &str)> = self.query.iter().chain(&self.reads).map(|(n, v)| (*n, v.as_str())).collect();
        self.web.read(path, &query, READ).await
    }

    pub(super) async fn services(&self) -> Result<Vec<Stub>, WebError> {
        let all: Vec<Stubs> = self.get(&["v1", "services"]).await?.json().await?;
        Ok(all.into_iter().flat_map(|n| n.services).collect())
    }

    pub(super) async fn instances(&self, service: &str) -> Result<Vec<Registration>, WebError> {
        self.get(&["v1", "service", service]).await?.json().await
    }

    pub(super) async fn jobs(&self) -> Result<Vec<String>, WebError> {
        let all: Vec<JobStub> = self.get(&["v1", "jobs"]).await?.json().await?;
        Ok(all.into_iter().map(|j| j.id).collect())
    }

    /// What a job would serve if it ran.
    pub(super) async fn sleeping(&self, job: &str) -> Result<Vec<Sleeping>, WebError> {
        Ok(asleep(job, self.get(&["v1", "job", job]).await?.json().await?))
    }

    /// Follows what happens to services, from now on.
    pub(super) async fn events(&self) -> Result<Events, WebError> {
        let query: Vec<(&str, &str)> =
            self.query.iter().map(|(n, v)| (*n, v.as_str())).chain([("topic", "Service:*"), ("index", "0")]).collect();
        let opened = tokio::time::timeout(SILENCE, self.web.open(&["v1", "event", "stream"], &query)).await;
        Ok(Events { response: opened.unwrap_or_else(|_| Err(silent()))?, line: Vec::new() })
    }
}

fn asleep(id: &str, job: Job) -> Vec<Sleeping> {
    let at_zero = |g: &TaskGroup| g.count == Some(0) && g.scaling.as_ref().is_some_and(|s| s.enabled != Some(false));
    let groups = job.task_groups.into_iter().filter(at_zero);
    let services = groups.flat_map(|g| {
        let of_tasks = g.tasks.into_iter().flat_map(|t| t.services);
        g.services.into_iter().chain(of_tasks).map(move |s| (g.name.clone(), s)).collect::<Vec<_>>()
    });
    services.map(|(group, s)| Sleeping { job: id.to_owned(), group, service: s.name, tags: s.tags }).collect()
}

fn silent() -> WebError {
    WebError::Away(format!("its events are silent for {SILENCE:?}"))
}

/// Nomad's events, line by line.
pub(super) struct Events {
    response: reqwest::Response,
    line: Vec<u8>,
}

impl Events {
    /// Returns when something happened.
    pub(super) async fn next(&mut self) -> Result<(), WebError> {
        loop {
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await.map_err(|_| silent())?;
            let chunk = chunk.map_err(|e| WebError::Away(format!("its events end: {e}")))?;
            let Some(chunk) = chunk else { return Err(WebError::Away("its events have ended".into())) };
            if self.take(&chunk)? {
                return Ok(());
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<bool, WebError> {
        if self.line.len() + chunk.len() > LONGEST_LINE {
            return Err(WebError::Content(format!("a line of its events is longer than {LONGEST_LINE} bytes")));
        }
        self.line.extend_from_slice(chunk);
        Ok(taken(&mut self.line))
    }
}

/// Takes whole lines off; whether one of them tells of something.
fn taken(line: &mut Vec<u8>) -> bool {
    let Some(end) = line.iter().rposition(|b| *b == b'\n') else { return false };
    let said = line[..end].split(|b| *b == b'\n').any(|l| !matches!(l.trim_ascii(), b"" | b"{}"));
    line.drain(..=end);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_no_events() {
        let mut line = b"{}\n{".to_vec();
        assert!(!taken(&mut line));
        assert_eq!(line, b"{");
        line.extend(b"\"Index\":1,");
        assert!(!taken(&mut line));
        line.extend(b"\"Events\":[]}\n{}\n");
        assert!(taken(&mut line));
        assert!(line.is_empty());
    }

    #[test]
    fn groups_at_zero_are_asleep() {
        let group = |count: i64, scaling: serde_json::Value| {
            serde_json::json!({"Name": "g", "Count": count, "Scaling": scaling, "Services": [{"Name": "a", "Tags": ["x"]}],
                "Tasks": [{"Services": [{"Name": "b", "Tags": null}]}, {"Services": null}]})
        };
        let names = |group: serde_json::Value| {
            let job = serde_json::from_value(serde_json::json!({"TaskGroups": [group]})).unwrap();
            asleep("j", job).into_iter().map(|s| s.service).collect::<Vec<_>>()
        };
        let scaling = serde_json::json!({"Enabled": true});
        assert_eq!(names(group(0, scaling.clone())), ["a", "b"]);
        assert!(names(group(1, scaling)).is_empty());
        assert!(names(group(0, serde_json::Value::Null)).is_empty(), "a job that is stopped by hand has no routers");
    }
}
