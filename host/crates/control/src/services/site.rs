//! Where a service is written, for what is told about it.

use std::sync::Arc;
use torana_base::{Diagnostic, unqualified};
use torana_config::routing::{Item, ServiceConfig};

#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// `name@provider`
    pub(super) name: &'a Arc<str>,
    pub(super) item: &'a Item<ServiceConfig>,
}

impl Site<'_> {
    /// The dotted path of an option; of the service for the empty one.
    pub(super) fn key(&self, option: &str) -> String {
        format!("http.services.{}{}{option}", unqualified(self.name), if option.is_empty() { "" } else { "." })
    }

    /// What is wrong, in a text that may be another object's.
    pub(super) fn quote(&self, option: &str, message: String) -> Diagnostic {
        Diagnostic::error(self.key(option), message).at(&self.item.place_of(option))
    }

    /// What is wrong, in a text that is all its own.
    pub(super) fn wrong(&self, option: &str, message: impl Into<String>) -> Diagnostic {
        self.quote(option, self.item.conceal(message))
    }
}
