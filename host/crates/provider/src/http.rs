//! `providers.http`: routing configuration that a web server answers with, asked for every `pollInterval`.
//!
//! An answer without content is believed only when the next one has none either: whoever writes the document anew may
//! be caught between emptying it and filling it, and nobody wants to serve nothing because of that.

use crate::consul::chain;
use crate::objects::objects;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Client;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use torana_base::{Diagnostic, Place};
use torana_config::install::{HttpProviderConfig, ProvidersConfig};
use torana_config::parse::Format;
use torana_config::routing::{Incremental, RoutingConfig};
use torana_base::shown;
use torana_extend::{Backoff, Document, Provider, ProviderOut, ProviderRun, Stopped, Undone, apart};

/// Behind `@` in references.
pub const NAME: &str = "http";

/// Bytes of an answer where `maxResponseBodySize` sets no limit.
const LARGEST: usize = 256 << 20;

/// An answer that tests take for one with a bug behind it.
#[cfg(test)]
pub(crate) const PANIC: &str = "a bug";

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Option<Box<dyn Provider>> {
    config.http.clone().map(|config| Box::new(HttpProvider { config }) as Box<dyn Provider>)
}

struct HttpProvider {
    config: HttpProviderConfig,
}

impl Provider for HttpProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(self.config.clone(), &out).await })
    }
}

async fn run(config: HttpProviderConfig, out: &ProviderOut) -> Result<(), Stopped> {
    let config = Arc::new(config);
    let fresh = || Box::new(Reader::new(shown(&config.endpoint)));
    let mut reader = fresh();
    let mut backoff = Backoff::default();
    let mut client = None;
    let mut connected = false;
    loop {
        let body = fetch(&config, &mut client).await;
        let pause = match body {
            Ok(body) => {
                if !std::mem::replace(&mut connected, true) {
                    out.connected(NAME).await?;
                    // What was wrong with the answer is said again.
                    reader.digest = None;
                }
                let work = apart(move || {
                    let read = reader.read(&body);
                    (reader, read)
                });
                match work.await {
                    Ok((back, read)) => {
                        backoff.reset();
                        reader = back;
                        match read {
                            Read::Same => {}
                            Read::New(document) => out.publish(*document).await?,
                            Read::Refused(diagnostics) => out.refused(NAME, diagnostics).await?,
                        }
                        config.poll_interval.as_duration()
                    }
                    Err(Undone::Stopped) => return Err(Stopped),
                    Err(Undone::Bug(error)) => {
                        reader = fresh();
                        connected = false;
                        out.failed(NAME, error).await?;
                        backoff.pause().max(config.poll_interval.as_duration())
                    }
                }
            }
            Err(error) => {
                connected = false;
                out.failed(NAME, error).await?;
                backoff.pause()
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn fetch(config: &Arc<HttpProviderConfig>, kept: &mut Option<Client>) -> Result<Vec<u8>, String> {
    let client = match kept.take() {
        Some(client) => client,
        None => {
            let config = config.clone();
            // Files are read here.
            tokio::task::spawn_blocking(move || make(&config)).await.map_err(|e| e.to_string())??
        }
    };
    let mut answer = client.get(&config.endpoint).headers(headers(config)?).send().await.map_err(|e| chain(&e))?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("{} answers {}, not 200", shown(&config.endpoint), answer.status()));
    }
    let limit = usize::try_from(config.max_response_body_size).unwrap_or(LARGEST);
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| chain(&e))? {
        body.extend_from_slice(&piece);
        if body.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes (`maxResponseBodySize`)"));
        }
    }
    // After a failure a new one is made, so that renewed certificates are seen.
    *kept = Some(client);
    Ok(body)
}

fn make(config: &HttpProviderConfig) -> Result<Client, String> {
    let tls = torana_trust::client_config(&config.tls.clone().unwrap_or_default())?;
    let client = Client::builder().tls_backend_preconfigured(tls).tcp_keepalive(Duration::from_secs(15));
    let client = match config.poll_timeout.positive() {
        Some(timeout) => client.timeout(timeout),
        None => client,
    };
    client.build().map_err(|e| chain(&e))
}

fn headers(config: &HttpProviderConfig) -> Result<HeaderMap, String> {
    let mut all = HeaderMap::new();
    for (name, value) in &config.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`headers.{name}` is not the name of a header"))?;
        let mut text = HeaderValue::from_str(value.expose()).map_err(|_| format!("the value of `headers.{name}` cannot be sent"))?;
        text.set_sensitive(true);
        all.insert(key, text);
    }
    Ok(all)
}

enum Read {
    /// Nothing new.
    Same,
    New(Box<Document>),
    /// What was published last stays.
    Refused(Vec<Diagnostic>),
}

/// Answers to documents.
struct Reader {
    source: Arc<str>,
    incremental: Incremental,
    digest: Option<u64>,
    /// Something was published.
    good: bool,
    /// What was published last has content.
    content: bool,
    empty: bool,
}

impl Reader {
    fn new(source: String) -> Self {
        Reader { source: source.into(), incremental: Incremental::default(), digest: None, good: false, content: false, empty: false }
    }

    fn read(&mut self, body: &[u8]) -> Read {
        #[cfg(test)]
        assert!(body != PANIC.as_bytes(), "odd");
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = Some(hasher.finish());
        let refused = |d: Diagnostic| Read::Refused(vec![d.at(&Place::whole(&*self.source))]);
        let Ok(text) = std::str::from_utf8(body) else {
            self.digest = digest;
            return refused(Diagnostic::error("", "the answer is not UTF-8"));
        };
        let blank = text.trim().is_empty();
        if blank && self.content && !std::mem::replace(&mut self.empty, true) {
            self.digest = None;
            let d = Diagnostic::error("", "the answer has become empty: what it said before stays in use");
            return refused(d.hint("it is believed if the next answer is empty too; `{}` is believed at once"));
        }
        self.empty = blank;
        if digest == self.digest {
            return Read::Same;
        }
        self.digest = digest;
        // JSON is nearly always YAML too; where it is not, as with tabs, it is read as what it is.
        let json = text.trim_start().starts_with('{');
        let decoded = match self.incremental.decode(text, Format::Yaml, self.source.clone()) {
            Err(_) if json => self.incremental.decode(text, Format::Json, self.source.clone()),
            other => other,
        };
        let (config, diagnostics) = match decoded {
            Ok(decoded) => (decoded.value, decoded.diagnostics),
            Err(d) => return Read::Refused(vec![d]),
        };
        // With mistakes in the document as a whole, what could be read of it serves only if nothing did before.
        if self.good && diagnostics.iter().any(Diagnostic::is_error) {
            return Read::Refused(diagnostics);
        }
        self.good = true;
        self.content = config != RoutingConfig::default();
        let objects = objects(&config);
        Read::New(Box::new(Document { provider: NAME, config, diagnostics, objects, ..Document::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &[u8] = b"http: {routers: {a: {rule: 'Path(`/`)', service: s}}}";

    fn names(read: Read) -> Result<Vec<String>, String> {
        match read {
            Read::Same => Err("same".into()),
            Read::New(d) => Ok(d.config.http.routers.keys().cloned().collect()),
            Read::Refused(d) => Err(d[0].message.clone()),
        }
    }

    #[test]
    fn an_empty_answer_is_believed_the_second_time() {
        let mut reader = Reader::new("x".into());
        assert_eq!(names(reader.read(ROUTE)).unwrap(), ["a"]);
        assert_eq!(names(reader.read(ROUTE)).unwrap_err(), "same");
        assert!(names(reader.read(b" \n")).unwrap_err().contains("empty"));
        // filled again: nothing was lost, and nothing needs to be published
        assert_eq!(names(reader.read(ROUTE)).unwrap(), ["a"]);
        assert!(names(reader.read(b"")).unwrap_err().contains("empty"));
        assert_eq!(names(reader.read(b"")).unwrap(), [""; 0]);
        assert_eq!(names(reader.read(b"")).unwrap_err(), "same");
        // said in so many words it is believed at once
        assert_eq!(names(reader.read(ROUTE)).unwrap(), ["a"]);
        assert_eq!(names(reader.read(b"{}")).unwrap(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let mut reader = Reader::new("x".into());
        assert_eq!(names(reader.read(ROUTE)).unwrap(), ["a"]);
        for bad in [&b"\xff\xfe"[..], b"a: [", b"http: {bogus: {}}", b"- a"] {
            assert!(names(reader.read(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(names(reader.read(b"{\n\t\"http\": {\n\t\t\"routers\": {\"b\": {\"rule\": \"Path(`/`)\"}}}}")).unwrap(), ["b"]);
    }

    #[test]
    fn wrong_objects_are_named() {
        let mut reader = Reader::new("x".into());
        let Read::New(d) = reader.read(b"http: {routers: {a: {rule: 'Path(`/`)', priority: x}, b: {rule: 'Path(`/b`)'}}}") else { panic!() };
        assert_eq!((d.objects.seen, d.objects.rejected.len()), (2, 1));
        assert_eq!(d.objects.rejected[0].name, "http.routers.a");
    }
}
