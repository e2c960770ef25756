//! Looks through snippets of nginx for the provider that has them, which knows none of their directives.

use std::sync::Arc;
use torana_config::node::Node;
use torana_config::routing::ServersTransportConfig;
use torana_extend::{BuildCx, BuildError};
use torana_http::{Client, Clients, Endpoint, Step};

/// What is wrong with the options of a middleware `snippet`, which have nothing but snippets.
pub(crate) fn check(options: &Node) -> Result<(), String> {
    let Some(kind) = torana_middleware::kind("snippet") else { return Ok(()) };
    match (kind.build)(options, "", &Alone) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(wrong.into_iter().map(|d| d.message).collect::<Vec<_>>().join("; ")),
    }
}

/// What a snippet needs of others: nothing.
struct Alone;

fn nothing<T>() -> Result<T, BuildError> {
    Err(BuildError::new("", "this stands alone"))
}

impl BuildCx for Alone {
    fn name(&self) -> &str {
        "snippet"
    }

    fn middleware(&self, _: &str) -> Result<Vec<Step>, BuildError> {
        nothing()
    }

    fn service(&self, _: &str) -> Result<Arc<dyn Endpoint>, BuildError> {
        nothing()
    }

    fn client(&self, _: &str, _: &ServersTransportConfig) -> Result<Arc<dyn Client>, BuildError> {
        nothing()
    }

    fn clients(&self, _: &ServersTransportConfig) -> Result<Arc<dyn Clients>, BuildError> {
        nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_config::parse::{Format, parse};

    #[test]
    fn snippets_are_looked_through() {
        let told = |text: &str| check(&parse(&format!("serverSnippet: '{text}'"), Format::Yaml, "test".into()).unwrap());
        assert_eq!(told("add_header X y;"), Ok(()));
        assert!(told("add_header X y").unwrap_err().contains("is not closed by"));
        assert!(told("no_such_thing on;").unwrap_err().contains("not supported"));
    }
}
