use crate::BuildError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use torana_base::Diagnostic;
use torana_config::node::Node;
use torana_http::TcpFilter;

/// A kind of TCP middleware. A new one is a file with this trait and one word in the list of
/// `torana-middleware`'s `tcp`. Each router has its own, on each of its entry points, as in Traefik.
pub trait TcpMiddlewareSpec: 'static {
    /// The key in `tcp.middlewares.<name>`, spelled as Traefik does.
    const NAME: &'static str;
    /// A configuration that builds, as YAML; shown in the documentation and run by a test.
    const EXAMPLE: &'static str;
    /// `Serialize` gives what the API shows.
    type Config: DeserializeOwned + Serialize;

    fn build(config: Self::Config) -> Result<Arc<dyn TcpFilter>, BuildError>;
}

/// Decodes a configuration and builds it; the text is the key under which it stands, for the diagnostics.
pub type BuildTcpMiddleware = fn(&Node, &str) -> Result<Arc<dyn TcpFilter>, Vec<Diagnostic>>;

/// A row of the registry.
#[derive(Clone, Copy)]
pub struct TcpMiddlewareKind {
    pub name: &'static str,
    pub example: &'static str,
    pub build: BuildTcpMiddleware,
    /// Gives a configuration with its defaults, as the API shows it.
    pub show: fn(&Node, &str) -> Result<serde_json::Value, Vec<Diagnostic>>,
}

impl TcpMiddlewareKind {
    pub const fn of<S: TcpMiddlewareSpec>() -> Self {
        TcpMiddlewareKind { name: S::NAME, example: S::EXAMPLE, build: build::<S>, show: crate::middleware::show_config::<S::Config> }
    }
}

fn build<S: TcpMiddlewareSpec>(node: &Node, key: &str) -> Result<Arc<dyn TcpFilter>, Vec<Diagnostic>> {
    let config: S::Config = torana_config::de::from_node(node, key)?;
    S::build(config).map_err(|e| vec![e.to_diagnostic(node, key)])
}
