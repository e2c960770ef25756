//! Paths, parameters and bodies of an OpenAPI 3 document.

use std::collections::BTreeMap;

use torana_plugin_sdk::ConfigError;
use torana_plugin_sdk::serde_json::Value;

use crate::schema::{Compiled, Id, Schemas, list, object, resolve};

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];

pub(crate) enum Api {
    /// The same for all requests.
    Any(Operation),
    /// The most specific paths first.
    Paths(Vec<Path>),
}

pub(crate) struct Path {
    pub(crate) segments: Vec<Segment>,
    /// By method in lower case.
    pub(crate) operations: BTreeMap<String, Operation>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    Text(String),
    /// A parameter of that name.
    Any(String),
}

pub(crate) struct Operation {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum In {
    Path,
    Query,
    Header,
}

impl In {
    pub(crate) fn name(self) -> &'static str {
        match self {
            In::Path => "path",
            In::Query => "query",
            In::Header => "header",
        }
    }
}

pub(crate) struct Parameter {
    pub(crate) place: In,
    pub(crate) name: String,
    pub(crate) required: bool,
    /// Whether a list is written as several parameters, not as one with commas.
    pub(crate) explode: bool,
    pub(crate) schema: Option<Id>,
}

impl Parameter {
    pub(crate) fn header(&self) -> Option<&str> {
        (self.place == In::Header).then_some(self.name.as_str())
    }
}

pub(crate) struct Body {
    pub(crate) required: bool,
    /// Whether it may be JSON.
    pub(crate) json: bool,
    /// What JSON has to fit.
    pub(crate) schema: Option<Id>,
    /// Other media types, which pass unchecked; `*` stands for any part.
    pub(crate) others: Vec<String>,
}

impl Body {
    /// Whether a body of that media type passes unchecked.
    pub(crate) fn takes(&self, kind: &str) -> bool {
        self.others.iter().any(|other| match other.strip_suffix('*') {
            Some("*/") => true,
            Some(start) => kind.starts_with(start),
            None => kind == other,
        })
    }

    /// All media types, in words.
    pub(crate) fn types(&self) -> String {
        let all = self.json.then_some("application/json").into_iter().chain(self.others.iter().map(String::as_str));
        all.collect::<Vec<_>>().join(" or ")
    }
}

impl Api {
    pub(crate) fn operations(&self) -> impl Iterator<Item = &Operation> {
        let (one, paths) = match self {
            Api::Any(operation) => (Some(operation), &[][..]),
            Api::Paths(paths) => (None, paths.as_slice()),
        };
        one.into_iter().chain(paths.iter().flat_map(|path| path.operations.values()))
    }
}

impl Path {
    pub(crate) fn matches(&self, parts: &[String]) -> bool {
        self.segments.len() == parts.len()
            && self.segments.iter().zip(parts).all(|(segment, part)| match segment {
                Segment::Text(text) => text == part,
                Segment::Any(_) => !part.is_empty(),
            })
    }
}

/// Reads a document.
pub(crate) fn read(document: &Value) -> Result<(Api, Compiled), ConfigError> {
    if !document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")) {
        return Err(ConfigError::new("openapi.openapi", "is not a version 3").hint("write `3.1.0` or the version of the document"));
    }
    let mut reader = Reader { document, schemas: Schemas::new(document, "openapi") };
    let mut paths = Vec::new();
    for (template, item) in object("openapi.paths", &document["paths"])? {
        paths.push(reader.path(template, item)?);
    }
    // Where two fit, OpenAPI wants the one with text where the other has a parameter.
    paths.sort_by(|one, other| one.segments.cmp(&other.segments));
    Ok((Api::Paths(paths), reader.schemas.finish()))
}

struct Reader<'a> {
    document: &'a Value,
    schemas: Schemas<'a>,
}

impl<'a> Reader<'a> {
    /// What stands there, or what its `$ref` points to.
    fn follow(&self, key: &str, value: &'a Value) -> Result<&'a Value, ConfigError> {
        match value["$ref"].as_str() {
            Some(reference) => resolve(self.document, reference)
                .ok_or_else(|| ConfigError::new(format!("{key}.$ref"), format!("`{reference}` points nowhere"))),
            None => Ok(value),
        }
    }

    fn path(&mut self, template: &str, item: &'a Value) -> Result<Path, ConfigError> {
        let key = format!("openapi.paths.{template}");
        let Some(rest) = template.strip_prefix('/') else { return Err(ConfigError::new(key, "does not begin with `/`")) };
        let mut segments = Vec::new();
        for part in rest.split('/') {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            segments.push(match name {
                Some(name) => Segment::Any(name.into()),
                None if part.contains(['{', '}']) => {
                    return Err(
                        ConfigError::new(key, format!("has a parameter within `{part}`")).hint("use a whole segment, as in `/pets/{id}`")
                    );
                }
                None => Segment::Text(plugin_support::decode(part)),
            });
        }
        let item = self.follow(&key, item)?;
        let common = self.parameters(&key, item)?;
        let mut operations = BTreeMap::new();
        for method in METHODS {
            let Some(operation) = item.get(*method) else { continue };
            let key = format!("{key}.{method}");
            let mut parameters = self.parameters(&key, operation)?;
            for (place, name, value) in &common {
                if !parameters.iter().any(|(own, other, _)| own == place && other == name) {
                    parameters.push((place.clone(), name.clone(), *value));
                }
            }
            let parameters: Vec<Option<Parameter>> =
                parameters.into_iter().map(|(place, name, value)| self.parameter(&key, &place, name, value)).collect::<Result<_, _>>()?;
            let body = operation.get("requestBody").map(|body| self.body(&format!("{key}.requestBody"), body)).transpose()?;
            operations.insert((*method).to_owned(), Operation { parameters: parameters.into_iter().flatten().collect(), body });
        }
        Ok(Path { segments, operations })
    }

    /// Place, name and value of each.
    fn parameters(&self, key: &str, holder: &'a Value) -> Result<Vec<(String, String, &'a Value)>, ConfigError> {
        let Some(all) = holder.get("parameters") else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (index, value) in list(&format!("{key}.parameters"), all)?.iter().enumerate() {
            let key = format!("{key}.parameters[{index}]");
            let value = self.follow(&key, value)?;
            let (Some(place), Some(name)) = (value["in"].as_str(), value["name"].as_str()) else {
                return Err(ConfigError::new(key, "has no `name` or no `in`"));
            };
            found.push((place.to_owned(), name.to_owned(), value));
        }
        Ok(found)
    }

    fn parameter(&mut self, key: &str, place: &str, name: String, value: &Value) -> Result<Option<Parameter>, ConfigError> {
        let key = format!("{key}.parameters.{name}");
        let (place, style) = match place {
            "path" => (In::Path, "simple"),
            "query" => (In::Query, "form"),
            "header" => (In::Header, "simple"),
            "cookie" => return Ok(None),
            _ => {
                return Err(
                    ConfigError::new(format!("{key}.in"), format!("`{place}` is no place")).hint("use path, query, header or cookie")
                );
            }
        };
        // OpenAPI: such parameters are ignored.
        if place == In::Header && ["accept", "content-type", "authorization"].contains(&name.to_ascii_lowercase().as_str()) {
            return Ok(None);
        }
        if value["style"].as_str().is_some_and(|own| own != style) || value.get("content").is_some() {
            return Err(ConfigError::new(key, "has a style that is not supported").hint("leave out `style` and `content`"));
        }
        let schema = value.get("schema").map(|schema| self.schemas.read_at(&format!("{key}.schema"), schema)).transpose()?;
        let flag = |name: &str| value[name].as_bool();
        let required = place == In::Path || flag("required").unwrap_or(false);
        Ok(Some(Parameter { place, name, required, explode: flag("explode").unwrap_or(place == In::Query), schema }))
    }

    fn body(&mut self, key: &str, body: &'a Value) -> Result<Body, ConfigError> {
        let body = self.follow(key, body)?;
        let content = object(&format!("{key}.content"), &body["content"])?;
        let json = content.get("application/json");
        let key = format!("{key}.content.application/json.schema");
        let schema = json.and_then(|json| json.get("schema")).map(|schema| self.schemas.read_at(&key, schema)).transpose()?;
        let others = content.keys().map(|kind| kind.to_ascii_lowercase()).filter(|kind| kind != "application/json").collect();
        Ok(Body { required: body["required"].as_bool().unwrap_or(false), json: json.is_some(), schema, others })
    }
}
