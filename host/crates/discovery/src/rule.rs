//! The option `defaultRule` of a provider: the rule of routers that say none.

use crate::item::TemplateFacts;
use crate::template::{Template, TemplateError, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::Diagnostic;

/// Traefik's default.
pub const DEFAULT_RULE: &str = "Host(`{{ normalize .Name }}`)";

/// A rule as a template.
#[derive(Clone, Debug)]
pub struct Rule {
    template: Template,
}

impl Rule {
    /// `option` is what the diagnostic names, such as `providers.docker.defaultRule`.
    pub fn parse(option: &str, text: &str) -> Result<Rule, Diagnostic> {
        let wrong = |e: TemplateError| {
            let hint = e.hint.clone();
            let d = Diagnostic::error(option, e.to_string());
            Diagnostic { hint, ..d }
        };
        Template::parse(text).map(|template| Rule { template }).map_err(wrong)
    }

    /// The rule for one object.
    pub(crate) fn of(&self, facts: &TemplateFacts, labels: &BTreeMap<String, String>) -> Result<String, TemplateError> {
        let labels = facts.labels.as_deref().unwrap_or(labels);
        let labels: BTreeMap<String, Value> = labels.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        let mut fields: BTreeMap<String, Value> =
            [("Name".to_owned(), facts.name.as_str().into()), ("Labels".to_owned(), Value::Map(Arc::new(labels)))].into();
        if let Some(name) = &facts.container_name {
            fields.insert("ContainerName".to_owned(), name.as_str().into());
        }
        self.template.render(&Value::Map(Arc::new(fields)))
    }
}
