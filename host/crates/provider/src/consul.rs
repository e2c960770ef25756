//! `providers.consul`: keys below `rootKey` of Consul's store, followed by blocking queries, one provider for each
//! namespace.

use crate::link::each_namespace;
use crate::kv::{CONNECT, Change, Kv, News, Opened, Pairs, Store, bounded, root};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::mpsc;
use torana_config::install::{ConsulProviderConfig, ProvidersConfig};
use torana_base::shown;
use torana_extend::Provider;

/// Behind `@` in references, when no namespace is configured.
pub const NAME: &str = "consul";

/// How long a query waits for a change. Consul adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(50);
/// Between two queries, however fast keys change: each one answers with all of them.
const PAUSE: Duration = Duration::from_millis(10);
/// The same when an answer brings nothing new, as from something in between that does not wait.
const IDLE: Duration = Duration::from_secs(1);

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let Some(c) = &config.consul else { return Vec::new() };
    let root = root(&c.root_key);
    each_namespace(NAME, &c.namespaces, |name, namespace| {
        let store = Consul { config: c.clone(), namespace: namespace.to_owned(), prefix: format!("{root}/"), next: 0 };
        Kv { name, store, root: root.clone() }
    })
}

struct Consul {
    config: ConsulProviderConfig,
    /// Empty for the default one.
    namespace: String,
    /// `rootKey` with its slash.
    prefix: String,
    /// The endpoint to begin with: after a failure another one than before.
    next: usize,
}

impl Store for Consul {
    async fn open(&mut self) -> Result<Opened, String> {
        let endpoints: Vec<String> = self.config.endpoints.iter().map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect();
        let mut errors = Vec::new();
        for turn in 0..endpoints.len() {
            let at = (self.next + turn) % endpoints.len();
            match self.read(&endpoints[at]).await {
                Ok(opened) => {
                    self.next = at + 1;
                    return Ok(opened);
                }
                Err(e) => errors.push(format!("{}: {e}", shown(&endpoints[at]))),
            }
        }
        Err(errors.join("; "))
    }
}

impl Consul {
    async fn read(&self, endpoint: &str) -> Result<Opened, String> {
        let tls = self.config.tls.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
        // Files are read here, those of the system too.
        let client = tokio::task::spawn_blocking(move || {
            let tls = tls.unwrap_or_default();
            Client::builder()
                .tls_backend_preconfigured(torana_trust::client_config(&tls)?)
                .no_proxy()
                .connect_timeout(CONNECT)
                .tcp_keepalive(Duration::from_secs(15))
                .build()
                .map_err(|e| chain(&e))
        });
        let client = client.await.map_err(|e| e.to_string())??;
        let mut query = Query { client, url: format!("{}/v1/kv/{}", base.trim_end_matches('/'), escape(&self.prefix)), consul: self.clone() };
        let (pairs, mut index) = query.ask(0).await?;
        let watch = move |tell: mpsc::Sender<News>| {
            let work = async move {
                loop {
                    let begin = tokio::time::Instant::now();
                    let news = match query.ask(index).await {
                        // Consul starts again from below after a restore: one must too.
                        Ok((_, now)) if now < index => {
                            index = 0;
                            tokio::time::sleep(IDLE).await;
                            continue;
                        }
                        Ok((pairs, now)) => {
                            let same = now == index;
                            index = now;
                            if same {
                                tokio::time::sleep_until(begin + IDLE).await;
                                continue;
                            }
                            Ok(Change::All(pairs))
                        }
                        Err(e) => Err(e),
                    };
                    let over = news.is_err();
                    if tell.send(news).await.is_err() || over {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            };
            Box::pin(work) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        };
        Ok(Opened { pairs, watch: Box::new(watch), notes: Vec::new() })
    }

    fn clone(&self) -> Consul {
        Consul { config: self.config.clone(), namespace: self.namespace.clone(), prefix: self.prefix.clone(), next: 0 }
    }
}

/// One pair as Consul writes it; the value is base64, or null for none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    value: Option<String>,
}

struct Query {
    client: Client,
    url: String,
    consul: Consul,
}

impl Query {
    /// All pairs, and the index that they are as of. Waits until it is above `index`, or for a time.
    async fn ask(&mut self, index: u64) -> Result<(Pairs, u64), String> {
        let mut url = format!("{}?recurse=true", self.url);
        if index > 0 {
            url += &format!("&index={index}&wait={}s", WAIT.as_secs());
        }
        if !self.consul.namespace.is_empty() {
            url += &format!("&ns={}", escape(&self.consul.namespace));
        }
        let patience = if index > 0 { WAIT + WAIT / 8 + crate::kv::PATIENCE } else { crate::kv::PATIENCE };
        let mut request = self.client.get(url).timeout(patience);
        if !self.consul.config.token.expose().is_empty() {
            request = request.header("x-consul-token", self.consul.config.token.expose());
        }
        let mut answer = request.send().await.map_err(|e| chain(&e))?;
        let now = answer.headers().get("x-consul-index").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| chain(&e))? {
            body.extend_from_slice(&piece);
            bounded(body.len(), &self.consul.prefix)?;
        }
        match (status, now) {
            (StatusCode::OK, Some(now)) => {
                let prefix = self.consul.prefix.clone();
                let decode = tokio::task::spawn_blocking(move || pairs(&body, &prefix));
                Ok((decode.await.map_err(|e| e.to_string())??, std::cmp::max(now, 1)))
            }
            // Nothing stands below the root.
            (StatusCode::NOT_FOUND, Some(now)) => Ok((Pairs::new(), std::cmp::max(now, 1))),
            (status, _) => {
                let hint = match status {
                    StatusCode::FORBIDDEN => " (the token needs `key_prefix` with `read` on `rootKey`)",
                    StatusCode::BAD_REQUEST if !self.consul.namespace.is_empty() => " (namespaces are of Consul Enterprise)",
                    _ => "",
                };
                let said: String = String::from_utf8_lossy(&body).trim().chars().take(200).collect();
                Err(format!("it answers {status}: {said}{hint}"))
            }
        }
    }
}

fn pairs(body: &[u8], prefix: &str) -> Result<Pairs, String> {
    use base64::Engine;
    let all: Vec<Entry> = serde_json::from_slice(body).map_err(|e| format!("its answer is not what Consul writes: {e}"))?;
    let mut pairs = Pairs::new();
    for Entry { key, value } in all {
        let Some(key) = key.strip_prefix(prefix) else { continue };
        // folders, as its own pages make them
        if key.is_empty() || key.ends_with('/') {
            continue;
        }
        let value = base64::prelude::BASE64_STANDARD.decode(value.unwrap_or_default()).map_err(|e| format!("`{key}` is not base64: {e}"))?;
        pairs.insert(key.to_owned(), value);
    }
    Ok(pairs)
}

/// For a path or a query of a URL; slashes stay.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
            escaped.push(b.into());
        } else {
            escaped += &format!("%{b:02X}");
        }
    }
    escaped
}

/// An error with what it comes of, without the URL, which may have a token in it.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "it cannot be reached".to_owned()
    } else {
        "the request failed".to_owned()
    };
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_consul() {
        let body = br#"[{"Key":"traefik/","Value":null},{"Key":"traefik/http/","Value":null},
            {"Key":"traefik/http/routers/a/rule","Value":"SG9zdChgYWApCg==","Flags":0},{"Key":"traefik/x","Value":null}]"#;
        let found = pairs(body, "traefik/").unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["http/routers/a/rule", "x"]);
        assert_eq!(found["http/routers/a/rule"], b"Host(`a`)\n");
        assert!(pairs(b"{}", "").unwrap_err().contains("not what Consul writes"));
        assert!(pairs(br#"[{"Key":"a","Value":"%"}]"#, "").unwrap_err().contains("base64"));
    }

    #[test]
    fn one_provider_for_each_namespace() {
        let with = |namespaces: &[&str]| {
            let consul = ConsulProviderConfig { namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(), ..Default::default() };
            configured(&ProvidersConfig { consul: Some(consul), ..Default::default() }).iter().map(|p| p.name()).collect::<Vec<_>>()
        };
        assert_eq!(with(&[]), ["consul"]);
        assert_eq!(with(&["a", "b"]), ["consul-a", "consul-b"]);
        assert_eq!(escape("a b/ü&"), "a%20b/%C3%BC%26");
    }
}
