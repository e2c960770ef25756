//! Texts with places for what is known of a record: `{fqdn}`, `{secret:token}`.

use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::{Map, Value};

/// What may stand between braces, beside `secret:NAME`.
const NAMES: [&str; 5] = ["action", "domain", "fqdn", "name", "value"];

/// What a template is filled with.
pub(crate) struct Filling<'a> {
    /// `present` or `cleanup`.
    pub(crate) action: &'a str,
    pub(crate) challenge: &'a Challenge,
}

impl Filling<'_> {
    fn of(&self, name: &str) -> &str {
        match name {
            "action" => self.action,
            "domain" => &self.challenge.domain,
            "fqdn" => &self.challenge.fqdn,
            "name" => self.challenge.fqdn.trim_end_matches('.'),
            _ => &self.challenge.value,
        }
    }
}

enum Part {
    Text(String),
    Name(&'static str),
}

/// A text that was read once. Secrets are in it already.
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// `secrets`: whether secrets may stand in it. Errors name `key`.
    pub(crate) fn read(key: &str, text: &str, secrets: bool) -> Result<Template, ConfigError> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let Some((name, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
                return Err(ConfigError::new(key, "a brace stands alone").hint("write `{{` and `}}` for braces that are meant"));
            };
            rest = after;
            if let Some(secret) = name.strip_prefix("secret:") {
                if !secrets {
                    return Err(ConfigError::new(key, "a secret does not belong into a URL").hint("send it in `headers` or `body`"));
                }
                plain.push_str(&plugin_support::secret(key, secret)?);
                continue;
            }
            let Some(known) = NAMES.into_iter().find(|known| *known == name) else {
                let hint =
                    format!("known are {}, `{{secret:NAME}}`; write `{{{{` for a brace", NAMES.map(|n| format!("`{{{n}}}`")).join(", "));
                return Err(ConfigError::new(key, format!("`{{{name}}}` is not known")).hint(hint));
            };
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Name(known));
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Template(parts))
    }

    /// With `escape` for what is filled in.
    pub(crate) fn fill(&self, filling: &Filling<'_>, escape: impl Fn(&str) -> String) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => escape(filling.of(name)),
        };
        self.0.iter().map(text).collect()
    }
}

/// JSON whose texts are templates.
pub(crate) enum Json {
    Text(Template),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
    Other(Value),
}

impl Json {
    pub(crate) fn read(key: &str, value: &Value) -> Result<Json, ConfigError> {
        Ok(match value {
            Value::String(text) => Json::Text(Template::read(key, text, true)?),
            Value::Array(items) => {
                let item = |(n, item)| Json::read(&format!("{key}[{n}]"), item);
                Json::List(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let entry = |(name, value): (&String, &Value)| Ok((name.clone(), Json::read(&format!("{key}.{name}"), value)?));
                Json::Map(entries.iter().map(entry).collect::<Result<_, ConfigError>>()?)
            }
            other => Json::Other(other.clone()),
        })
    }

    pub(crate) fn fill(&self, filling: &Filling<'_>) -> Value {
        match self {
            Json::Text(template) => template.fill(filling, str::to_owned).into(),
            Json::List(items) => items.iter().map(|item| item.fill(filling)).collect(),
            Json::Map(entries) => entries.iter().map(|(name, value)| (name.clone(), value.fill(filling))).collect::<Map<_, _>>().into(),
            Json::Other(value) => value.clone(),
        }
    }
}
