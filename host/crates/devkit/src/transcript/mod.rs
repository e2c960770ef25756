//! Transcripts: what a plugin is sent, what the world around it answers, and what has to come of it. Read
//! here, with places; played by whoever has an engine.

mod at;
mod expect;
mod read;
mod rule;
#[cfg(test)]
mod tests;
mod time;

pub use rule::{Rule, Wanted};

use http::{HeaderMap, HeaderName, Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use torana_base::{Diagnostic, Place};
use torana_config::node::{Key, Node, Value};
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Manifest, PluginKind};

/// One file: a plugin with a configuration, and what happens to it, in order.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// As places show it.
    pub source: Arc<str>,
    /// `name`, or the file's.
    pub name: String,
    /// Of a use, as below `plugin.<name>`; `{}` when none is written.
    pub config: Node,
    /// Of a matcher in a rule.
    pub args: Vec<String>,
    /// Nanoseconds since 1970.
    pub clock: u64,
    /// Namespace, key, value.
    pub kv: Vec<(String, String, Vec<u8>)>,
    /// Answers to the plugin's own requests: at any time, as often as it asks.
    pub outgoing: Vec<Canned>,
    pub steps: Vec<Step>,
    pub budget: Option<Budget>,
    /// What the operator would write below `plugins.<name>`: `permissions`, `limits`, `failure`.
    declared: Vec<(Key, Node)>,
}

/// What happens once.
#[derive(Clone, Debug)]
pub struct Step {
    /// As in `exchanges[2]`.
    pub key: String,
    pub place: Place,
    /// `name`, or what is asked.
    pub name: String,
    /// How far the clock is turned before.
    pub advance: Duration,
    pub act: Act,
    pub outgoing: Vec<Canned>,
    pub expect: Expect,
    pub budget: Option<Budget>,
}

/// What the plugin is asked.
#[derive(Clone, Debug)]
pub enum Act {
    /// A middleware, a service, a matcher.
    Request(Box<Asked>, Reply),
    /// A balancer.
    Pick(Box<Asked>, Vec<Server>),
    /// A provider.
    Poll,
    /// A DNS-01 solver: domain, name of the record, its value.
    Present(Record),
    CleanUp(Record),
}

/// A TXT record.
#[derive(Clone, Debug)]
pub struct Record {
    pub domain: String,
    pub name: String,
    pub value: String,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub https: bool,
    pub host: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Content,
    pub client: IpAddr,
    pub router: String,
    pub entry_point: String,
}

/// A response: of the backend, or to a request of the plugin.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Content,
}

/// A body.
#[derive(Clone, Debug)]
pub enum Content {
    Whole(String),
    /// Piece by piece.
    Pieces(Vec<String>),
}

/// The answer to a request of the plugin's own.
#[derive(Clone, Debug)]
pub struct Canned {
    pub key: String,
    pub place: Place,
    pub method: Method,
    pub url: String,
    pub headers: Vec<(HeaderName, Wanted)>,
    pub body: Vec<Wanted>,
    pub answer: Answer,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Reply(Reply),
    Timeout,
    TooLarge,
    Failed(String),
}

/// A server of a balancer.
#[derive(Clone, Debug)]
pub struct Server {
    pub url: String,
    pub weight: u32,
    pub up: bool,
    pub in_flight: u32,
}

/// What has to come of a step. What is not written may be anything, except that a plugin must not fail.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Whether the request reaches the backend, where that stands, and as what.
    pub backend: Option<(bool, Wanted, Option<Head>)>,
    pub response: Option<Head>,
    /// Whether a matcher matches; the URL of the server that a balancer chooses.
    pub verdict: Option<Wanted>,
    /// Of a provider or a solver; there may be none without it.
    pub error: Option<Wanted>,
    /// Of a provider: the document; `Absent` when there is none.
    pub document: Vec<Wanted>,
    /// Of a provider: when it wants to be asked again.
    pub again: Option<Wanted>,
    /// The user that a middleware names.
    pub user: Option<Wanted>,
    /// Of the plugin's failure; nothing may fail without it.
    pub failure: Vec<Wanted>,
    /// Namespace, key, value.
    pub kv: Vec<(String, String, Wanted)>,
    /// One of the lines for each; with an empty list there is no line.
    pub log: Option<Vec<Wanted>>,
    pub metrics: Vec<(String, Wanted)>,
}

/// What is expected of a message.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// `method`, `url`, `host`, `status`.
    pub facts: Vec<(&'static str, Wanted)>,
    pub headers: Vec<(HeaderName, Wanted)>,
    pub body: Vec<Wanted>,
}

/// How long a call may take.
#[derive(Clone, Debug)]
pub struct Budget {
    pub calls: usize,
    /// Percentile, limit, where it stands.
    pub limits: Vec<(&'static str, f64, Duration, String, Place)>,
}

impl Transcript {
    /// Reads a transcript for a plugin of a kind. `source`: as places shall show the file.
    pub fn read(text: &str, source: &str, kind: PluginKind) -> Result<Transcript, Vec<Diagnostic>> {
        read::read(text, source, kind)
    }

    /// The declaration of the plugin: what a routing file would say below `plugins`. Without `permissions` it is
    /// granted what its manifest asks for, and the hosts for which there are answers.
    pub fn declaration(&self, kind: PluginKind, path: &str, manifest: Option<&Manifest>) -> Result<Item<PluginConfig>, Vec<Diagnostic>> {
        const NAME: &str = "plugin";
        let nowhere = Place::whole(self.source.clone());
        let key = |text: &str| Key { text: text.to_owned(), place: nowhere.clone() };
        let mut entries = self.declared.clone();
        entries.push((key("path"), quoted(&nowhere, path)));
        if kind == PluginKind::Matcher {
            entries.push((key("config"), self.config.clone()));
        }
        if !entries.iter().any(|(k, _)| k.text == "permissions") {
            let list = |all: Vec<String>| Node::new(nowhere.clone(), Value::List(all.iter().map(|t| quoted(&nowhere, t)).collect()));
            let hosts = self.canned().filter_map(|c| host(&c.url)).collect();
            let kv = manifest.map(|m| m.capabilities.kv.clone()).unwrap_or_default();
            let granted = vec![(key("http"), list(hosts)), (key("kv"), list(kv))];
            entries.push((key("permissions"), Node::new(nowhere.clone(), Value::Map(granted))));
        }
        let plugin = Node::new(nowhere.clone(), Value::Map(entries));
        let plugins = Node::new(nowhere.clone(), Value::Map(vec![(key(NAME), plugin)]));
        let root = Node::new(nowhere.clone(), Value::Map(vec![(key("plugins"), plugins)]));
        let read = torana_config::routing::decode(&root);
        let item = read.value.plugins.get(NAME).map(|item| (**item).clone());
        let mut wrong = read.diagnostics;
        wrong.extend(item.iter().flat_map(|i| i.diagnostics.clone()));
        let own = |d: Diagnostic| Diagnostic { key: d.key.trim_start_matches("plugins.plugin.").to_owned(), ..d };
        match item {
            Some(item) if wrong.is_empty() => Ok(item),
            _ => Err(wrong.into_iter().map(own).collect()),
        }
    }

    fn canned(&self) -> impl Iterator<Item = &Canned> {
        self.outgoing.iter().chain(self.steps.iter().flat_map(|s| &s.outgoing))
    }
}

fn quoted(place: &Place, text: &str) -> Node {
    Node::new(place.clone(), Value::Scalar { text: text.to_owned(), plain: false })
}

/// Host and port of a URL.
fn host(url: &str) -> Option<String> {
    Some(url.parse::<http::Uri>().ok()?.authority()?.as_str().rsplit('@').next()?.to_owned())
}
