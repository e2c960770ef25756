use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use torana_base::Diagnostic;
use torana_config::node::Node;
use torana_config::routing::ServersTransportConfig;
use torana_http::{Client, Clients, Endpoint, Step};

/// How far one built middleware is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One instance for all routers that name it: it has no state, or the state is meant to be common.
    Shared,
    /// Each router gets its own, as Traefik's `rateLimit` and `retry` do.
    Router,
}

/// What a middleware may use while it is built.
pub trait BuildCx {
    /// Qualified name of the middleware being built, `auth@file`.
    fn name(&self) -> &str;

    /// The steps of another middleware, by a name that is qualified with this one's provider when it
    /// says none. Refuses names that lead back here.
    fn middleware(&self, name: &str) -> Result<Vec<Step>, BuildError>;

    /// A service, by a name that is qualified as that of a middleware. Refuses those that lead back here. The
    /// middleware is built anew when the service is.
    fn service(&self, name: &str) -> Result<Arc<dyn Endpoint>, BuildError>;

    /// What sends the middleware's own requests to the server of a URL, of which scheme, host and port count. A URL
    /// that leads nowhere is no error here: each request fails. The key of an error is an option of `transport`.
    fn client(&self, url: &str, transport: &ServersTransportConfig) -> Result<Arc<dyn Client>, BuildError>;

    /// The same for servers that are known when there is a request.
    fn clients(&self, transport: &ServersTransportConfig) -> Result<Arc<dyn Clients>, BuildError>;
}

/// Why a middleware cannot be built; it is disabled, and with it every router that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// Key below the middleware, as in `users[1]`; empty for the whole.
    pub key: String,
    pub message: String,
    pub hint: Option<String>,
}

impl BuildError {
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        BuildError { key: key.into(), message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of the middleware whose options are `node` and stand under `key`.
    pub(crate) fn to_diagnostic(&self, node: &Node, key: &str) -> Diagnostic {
        let at = if self.key.is_empty() { key.to_owned() } else { format!("{key}.{}", self.key) };
        let place = node.at(&self.key).map_or(&node.place, |n| &n.place);
        Diagnostic { hint: self.hint.clone(), ..Diagnostic::error(at, self.message.as_str()).at(place) }
    }
}

/// A kind of middleware: its configuration with the documented defaults, and how it becomes steps.
/// A new one is a file with this trait and one word in `torana-middleware`'s list.
pub trait MiddlewareSpec: 'static {
    /// The key in `http.middlewares.<name>`, spelled as Traefik does.
    const NAME: &'static str;
    /// A configuration that builds, as YAML; shown in the documentation and run by a test.
    const EXAMPLE: &'static str;
    const SCOPE: Scope = Scope::Shared;
    /// Unknown fields are refused by the decoder. `Serialize` gives what the API shows.
    type Config: DeserializeOwned + Serialize;

    fn build(config: Self::Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError>;
}

/// A built middleware.
pub struct Built {
    pub steps: Vec<Step>,
}

/// Decodes a configuration and builds it; the text is the key under which it stands, for the diagnostics.
pub type BuildMiddleware = fn(&Node, &str, &dyn BuildCx) -> Result<Built, Vec<Diagnostic>>;

/// Gives a configuration with its defaults, as the API shows it.
pub type ShowMiddleware = fn(&Node, &str) -> Result<serde_json::Value, Vec<Diagnostic>>;

/// A row of the registry.
#[derive(Clone, Copy)]
pub struct MiddlewareKind {
    pub name: &'static str,
    pub example: &'static str,
    pub scope: Scope,
    pub build: BuildMiddleware,
    pub show: ShowMiddleware,
}

impl MiddlewareKind {
    pub const fn of<S: MiddlewareSpec>() -> Self {
        MiddlewareKind { name: S::NAME, example: S::EXAMPLE, scope: S::SCOPE, build: build::<S>, show: show_config::<S::Config> }
    }
}

fn build<S: MiddlewareSpec>(node: &Node, key: &str, cx: &dyn BuildCx) -> Result<Built, Vec<Diagnostic>> {
    let config: S::Config = torana_config::de::from_node(node, key)?;
    match S::build(config, cx) {
        Ok(steps) => Ok(Built { steps }),
        Err(e) => Err(vec![e.to_diagnostic(node, key)]),
    }
}

pub(crate) fn show_config<C: DeserializeOwned + Serialize>(node: &Node, key: &str) -> Result<serde_json::Value, Vec<Diagnostic>> {
    let config: C = torana_config::de::from_node(node, key)?;
    serde_json::to_value(config).map_err(|e| vec![Diagnostic::error(key, e.to_string())])
}
