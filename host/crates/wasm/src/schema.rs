//! Configurations of plugins against the schema of their manifest.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value as Json;
use torana_base::{Diagnostic, closest};
use torana_config::node::Node;

/// A JSON schema (2020-12 unless it says otherwise).
pub(crate) struct Schema {
    json: Json,
    validator: jsonschema::Validator,
}

impl Schema {
    /// The error says what is wrong with the schema itself. Nothing is fetched: it has to be whole.
    pub(crate) fn compile(json: Json) -> Result<Schema, String> {
        let validator = jsonschema::options().build(&json).map_err(|e| e.to_string())?;
        Ok(Schema { json, validator })
    }

    pub(crate) fn fits(&self, config: &Json) -> Result<(), String> {
        self.validator.validate(config).map_err(|e| {
            let at = dotted(e.instance_path.as_str());
            if at.is_empty() { e.to_string() } else { format!("at `{at}`: {e}") }
        })
    }

    /// What is wrong with a configuration, each with its place.
    pub(crate) fn check(&self, config: &Json, node: &Node, key: &str) -> Vec<Diagnostic> {
        let mut all = Vec::new();
        for e in self.validator.iter_errors(config) {
            let path = dotted(e.instance_path.as_str());
            let at = node.at(&path).unwrap_or(node);
            let full = join(key, &path);
            match &e.kind {
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    let known = self.properties(e.schema_path.as_str());
                    for name in unexpected {
                        let place = at.entry(name).map_or(&at.place, |(k, _)| &k.place);
                        let d = Diagnostic::error(join(&full, name), format!("unknown option `{name}`")).at(place);
                        all.push(match closest(name, known.iter().copied()) {
                            Some(near) => d.hint(format!("did you mean `{near}`?")),
                            None if known.is_empty() => d,
                            None => d.hint(format!("there are {}", known.join(", "))),
                        });
                    }
                }
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    all.push(Diagnostic::error(full, format!("`{name}` is missing")).at(&at.place).hint(format!("add `{name}:`")));
                }
                _ => all.push(Diagnostic::error(full, e.to_string()).at(&at.place)),
            }
        }
        all
    }

    /// Options beside an `additionalProperties`.
    fn properties(&self, schema_path: &str) -> Vec<&str> {
        let parent = schema_path.rsplit_once('/').map_or("", |(p, _)| p);
        let properties = self.json.pointer(parent).and_then(|s| s.get("properties")).and_then(Json::as_object);
        properties.map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// `/users/1/name` as `users[1].name`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            path.push('[');
            path.push_str(part);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

pub(crate) fn join(key: &str, below: &str) -> String {
    match below {
        "" => key.to_owned(),
        b if b.starts_with('[') => format!("{key}{b}"),
        b => format!("{key}.{b}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use torana_config::parse::{Format, parse};

    #[test]
    fn each_mistake_with_place_and_hint() {
        let schema = Schema::compile(json!({
            "type": "object",
            "properties": {"realm": {"type": "string"}, "users": {"type": "array", "items": {
                "type": "object", "properties": {"name": {"type": "string", "minLength": 1}}, "required": ["name"]}}},
            "required": ["realm"],
            "additionalProperties": false
        }))
        .unwrap();
        let text = "reaml: x\nusers:\n  - name: ''\n  - {}\n";
        let node = parse(text, Format::Yaml, "c.yml".into()).unwrap();
        let mut told: Vec<String> = schema.check(&node.to_json(), &node, "k").iter().map(|d| d.to_string().replace("\n ", "")).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "error: \"\" is shorter than 1 character at  k.users[0].name  (c.yml:3:11)",
                "error: `name` is missing at  k.users[1]  (c.yml:4:5) hint: add `name:`",
                "error: `realm` is missing at  k  (c.yml:1:1) hint: add `realm:`",
                "error: unknown option `reaml` at  k.reaml  (c.yml:1:1) hint: did you mean `realm`?",
            ]
        );
        assert!(schema.fits(&json!({"realm": "x"})).is_ok());
        assert!(Schema::compile(json!({"type": 5})).is_err());
    }
}
