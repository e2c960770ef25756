//! Points of InfluxDB 2, and the way to it.

use crate::changes::{Change, Value};
use crate::spread::quantile;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use reqwest::Url;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use torana_base::{Diagnostic, Secret, shown};
use torana_config::install::{ClientTlsConfig, InfluxDb2Config};

/// Of one request, its answer included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that wait for a server that does not answer.
const ROOM: usize = 16 << 20;
/// Characters of an answer that are told.
const ANSWER: usize = 200;

/// A bucket of a server.
pub(crate) struct Database {
    url: Url,
    token: Secret,
    labels: BTreeMap<String, String>,
    client: Option<reqwest::Client>,
    /// What could not be written, the oldest first. A point that is written twice is one: its time is part of it.
    waiting: VecDeque<String>,
}

impl Database {
    pub(crate) fn new(config: &InfluxDb2Config) -> Result<Self, Diagnostic> {
        let missing = [("token", config.token.expose().is_empty()), ("org", config.org.is_empty()), ("bucket", config.bucket.is_empty())];
        if let Some((option, _)) = missing.iter().find(|(_, is)| *is) {
            return Err(Diagnostic::error(format!("metrics.influxDB2.{option}"), "this is missing").hint("write token, org and bucket"));
        }
        let wrong = || {
            Diagnostic::error("metrics.influxDB2.address", format!("`{}` is no URL of a server", shown(&config.address)))
                .hint("write it with its scheme, such as `http://localhost:8086`")
        };
        let mut url: Url = config.address.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong());
        }
        url.set_path(&format!("{}/api/v2/write", url.path().trim_end_matches('/')));
        url.set_fragment(None);
        url.query_pairs_mut().clear().append_pair("bucket", &config.bucket).append_pair("org", &config.org).append_pair("precision", "ns");
        let (token, labels) = (config.token.clone(), config.additional_labels.clone());
        Ok(Database { url, token, labels, client: None, waiting: VecDeque::new() })
    }

    /// Puts a report to those that wait, which go away from the oldest where there are too many. How many went.
    pub(crate) fn put(&mut self, changes: &[Change]) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let points = points(changes, &self.labels, now);
        if !points.is_empty() {
            self.waiting.push_back(points);
        }
        let mut lost = 0;
        while self.waiting.len() > 1 && self.waiting.iter().map(String::len).sum::<usize>() > ROOM {
            self.waiting.pop_front();
            lost += 1;
        }
        lost
    }

    /// Writes all that waits. What the server will never take is dropped, and `Err` says how many.
    pub(crate) async fn write(&mut self) -> Result<(), (u64, String)> {
        while let Some(points) = self.waiting.front().cloned() {
            match self.attempt(points).await {
                Ok(()) => drop(self.waiting.pop_front()),
                Err((why, true)) => return Err((0, why)),
                Err((why, false)) => {
                    self.waiting.pop_front();
                    return Err((1, why));
                }
            }
        }
        Ok(())
    }

    /// The error says whether another try may help.
    async fn attempt(&mut self, points: String) -> Result<(), (String, bool)> {
        let mut authorization = HeaderValue::from_str(&format!("Token {}", token(&self.token)))
            .map_err(|_| ("the token cannot stand in a header".to_owned(), true))?;
        authorization.set_sensitive(true);
        let client = match &self.client {
            Some(c) => c,
            None => self.client.insert(client().await.map_err(|e| (e, true))?),
        };
        let request = client.post(self.url.clone()).header(AUTHORIZATION, authorization).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let response = request.body(points).send().await.map_err(|e| (chain(&e.without_url()), true))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let said: String = response.text().await.unwrap_or_default().chars().filter(|c| !c.is_control()).take(ANSWER).collect();
        // A token may be renewed, and a bucket made.
        let passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::NOT_FOUND
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            );
        Err((format!("it answers {status} {said}").trim_end().to_owned(), passing))
    }
}

/// What is written, or what stands in the file of that name now.
fn token(text: &Secret) -> String {
    let path = Path::new(text.expose());
    let file = if path.is_file() { std::fs::read_to_string(path).ok() } else { None };
    file.as_deref().unwrap_or(text.expose()).trim().to_owned()
}

async fn client() -> Result<reqwest::Client, String> {
    // Reads the system's authorities.
    let read = || torana_trust::client_config(&ClientTlsConfig::default());
    let tls = tokio::task::spawn_blocking(read).await.map_err(|e| format!("TLS cannot be set up: {e}"))??;
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE);
    builder.redirect(reqwest::redirect::Policy::none()).build().map_err(|e| chain(&e))
}

/// An error and the last of what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let (first, last) = (error.to_string(), last.to_string());
    if first.contains(&last) { first } else { format!("{first}: {last}") }
}

/// `name,tag=value field=value time`, a line for each.
fn points(changes: &[Change], labels: &BTreeMap<String, String>, now: u128) -> String {
    let mut text = String::new();
    for change in changes {
        let own = change.labels.iter().map(|(n, v)| (*n, v.as_str()));
        // By name, and what is counted by goes before what is added.
        let tags: BTreeMap<&str, &str> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(own).collect();
        text.push_str("traefik.");
        text.push_str(&change.name);
        for (name, value) in tags.into_iter().filter(|(n, v)| !n.is_empty() && !v.is_empty()) {
            text.push(',');
            escape(name, &mut text);
            text.push('=');
            escape(value, &mut text);
        }
        let _ = match &change.value {
            Value::Count(n) => writeln!(text, " count={n} {now}"),
            Value::Level(n) => writeln!(text, " value={n} {now}"),
            Value::Times(times) => {
                let [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map(|part| quantile(times, part));
                writeln!(text, " p50={p50},p90={p90},p95={p95},p99={p99} {now}")
            }
        };
    }
    text
}

/// A name or value of a tag. One that ends in a backslash would take the comma after it along.
fn escape(text: &str, out: &mut String) {
    for c in text.trim_end_matches('\\').chars() {
        match c {
            ',' | '=' | ' ' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> InfluxDb2Config {
        InfluxDb2Config { token: Secret::new("t"), org: "my org".into(), bucket: "b".into(), ..Default::default() }
    }

    /// As Traefik 3.7.15 writes them.
    #[test]
    fn lines() {
        let labels = BTreeMap::from([("we ird".to_owned(), "a b,c=d".to_owned()), ("empty".to_owned(), String::new())]);
        let change =
            |name: &str, value| Change { name: name.into(), labels: vec![("service", "s@file".into()), ("code", "200".into())], value };
        let all = [
            change("service.requests.total", Value::Count(2.0)),
            change("service.server.up", Value::Level(1.0)),
            change("service.request.duration", Value::Times(vec![(1, 0.001_15), (1, 0.043)])),
        ];
        let tags = r"code=200,service=s@file,we\ ird=a\ b\,c\=d";
        assert_eq!(
            points(&all, &labels, 7),
            format!(
                "traefik.service.requests.total,{tags} count=2 7\ntraefik.service.server.up,{tags} value=1 7\n\
                 traefik.service.request.duration,{tags} p50=0.00115,p90=0.043,p95=0.043,p99=0.043 7\n"
            )
        );
        let own = BTreeMap::from([("code".to_owned(), "x".to_owned()), ("z".to_owned(), "a\n\\".to_owned())]);
        assert_eq!(points(&all[1..2], &own, 7), "traefik.service.server.up,code=200,service=s@file,z=a\\n value=1 7\n");
    }

    #[test]
    fn where_it_is_written_to() {
        let url = |address: &str| Database::new(&InfluxDb2Config { address: address.into(), ..config() }).map(|d| d.url.to_string());
        assert_eq!(url("http://h:1").unwrap(), "http://h:1/api/v2/write?bucket=b&org=my+org&precision=ns");
        assert_eq!(url("https://h/sub/?a=b").unwrap(), "https://h/sub/api/v2/write?bucket=b&org=my+org&precision=ns");
        for bad in ["h:1", "127.0.0.1:1", "", "unix:///a"] {
            assert_eq!(url(bad).unwrap_err().key, "metrics.influxDB2.address", "{bad}");
        }
        let without = |config| Database::new(&config).err().unwrap().key;
        assert_eq!(without(InfluxDb2Config { token: Secret::default(), ..config() }), "metrics.influxDB2.token");
        assert_eq!(without(InfluxDb2Config { bucket: String::new(), ..config() }), "metrics.influxDB2.bucket");
    }

    #[test]
    fn a_token_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "of-file\n").unwrap();
        assert_eq!(token(&Secret::new(file.path().display().to_string())), "of-file");
        assert_eq!(token(&Secret::new("written")), "written");
    }

    #[test]
    fn what_waits_has_an_end() {
        let mut database = Database::new(&config()).unwrap();
        let long = "x".repeat(ROOM / 3);
        let change = Change { name: long, labels: Vec::new(), value: Value::Count(1.0) };
        assert_eq!([0, 1, 2].map(|_| database.put(std::slice::from_ref(&change))), [0, 0, 1]);
        assert_eq!((database.put(&[]), database.waiting.len()), (0, 2));
    }
}
