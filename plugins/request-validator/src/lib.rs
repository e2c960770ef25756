//! Refuses requests that do not fit an OpenAPI document or a JSON schema, and says why (RFC 9457).

mod openapi;
mod schema;
#[cfg(test)]
mod tests;

use plugin_support::{decode, parameters};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::{self, Map, Value, json};

use openapi::{Api, Body, In, Operation, Parameter, Segment};
use schema::{Compiled, Id, Schemas};

/// What requests must look like: one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// An OpenAPI 3 document. Its `servers` are not used; see `basePath`.
    openapi: Option<Map<String, Value>>,
    /// A JSON schema for the bodies of all requests that have one.
    body_schema: Option<Map<String, Value>>,
    /// What stands before the paths of the document, as in `/api/v1`.
    #[serde(default)]
    base_path: String,
    /// What becomes of requests for which the document has no path or no method.
    #[serde(default)]
    unknown: Unknown,
}

/// What becomes of requests that the document does not name.
#[derive(Deserialize, JsonSchema, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Unknown {
    /// They are answered 404 or 405.
    #[default]
    Refuse,
    /// They go on unchecked.
    Pass,
}

struct RequestValidator {
    api: Api,
    schemas: Compiled,
    base: String,
    unknown: Unknown,
}

/// A refusal on its way to the client.
struct Refusal {
    status: u16,
    title: &'static str,
    detail: String,
    errors: Vec<Value>,
    allow: Option<String>,
}

fn refusal(status: u16, title: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal { status, title, detail: detail.into(), errors: Vec::new(), allow: None }
}

impl Middleware for RequestValidator {
    type Config = Config;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let base = config.base_path.trim_end_matches('/').to_owned();
        if !base.is_empty() && !base.starts_with('/') {
            return Err(ConfigError::new("basePath", "does not begin with `/`"));
        }
        let (api, schemas) = match (config.openapi, config.body_schema) {
            (Some(document), None) => openapi::read(&Value::Object(document))?,
            (None, Some(schema)) => {
                let schema = Value::Object(schema);
                let mut schemas = Schemas::new(&schema, "bodySchema");
                let schema = Some(schemas.read_at("bodySchema", &schema)?);
                let body = Body { required: false, json: true, schema, others: Vec::new() };
                (Api::Any(Operation { parameters: Vec::new(), body: Some(body) }), schemas.finish())
            }
            _ => return Err(ConfigError::new("", "has not exactly one description").hint("set `openapi` or `bodySchema`")),
        };
        Ok(RequestValidator { api, schemas, base, unknown: config.unknown })
    }

    fn interest(&self) -> Interest {
        let interest = Interest::request().method().path().header("content-type");
        let interest = interest.headers(self.api.operations().flat_map(|operation| &operation.parameters).filter_map(Parameter::header));
        if self.api.operations().any(|operation| operation.body.is_some()) { interest.buffer_request_body() } else { interest }
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        match self.check(request) {
            Ok(()) => Flow::Next,
            Err(refusal) => {
                metrics::add("refused", 1);
                let Refusal { status, title, detail, errors, allow } = refusal;
                let mut problem = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
                if !errors.is_empty() {
                    problem["errors"] = errors.into();
                }
                let mut answer = Answer::new(status).with_header("content-type", "application/problem+json");
                if let Some(allow) = allow {
                    answer = answer.with_header("allow", allow);
                }
                Flow::Respond(answer.with_body(problem.to_string()))
            }
        }
    }
}

impl RequestValidator {
    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let path = request.path().strip_prefix(self.base.as_str()).filter(|path| path.starts_with('/'));
        let parts: Vec<String> = path.unwrap_or_default().split('/').skip(1).map(decode).collect();
        let (segments, operation) = match &self.api {
            Api::Any(operation) => (&[][..], operation),
            Api::Paths(paths) => {
                let found = paths.iter().find(|candidate| path.is_some() && candidate.matches(&parts));
                let operation = found.and_then(|path| Some((path, path.operations.get(&request.method().to_ascii_lowercase())?)));
                match (found, operation) {
                    (_, Some((path, operation))) => (&path.segments[..], operation),
                    _ if self.unknown == Unknown::Pass => return Ok(()),
                    (None, _) => return Err(refusal(404, "Not Found", "there is no such path")),
                    (Some(path), None) => {
                        let names: Vec<String> = path.operations.keys().map(|name| name.to_ascii_uppercase()).collect();
                        let refusal = refusal(405, "Method Not Allowed", "the path does not have that method");
                        return Err(Refusal { allow: Some(names.join(", ")), ..refusal });
                    }
                }
            }
        };
        let mut errors = Vec::new();
        let query: Vec<(String, String)> = request.query().map(|query| parameters(query).collect()).unwrap_or_default();
        for parameter in &operation.parameters {
            let given: Vec<&str> = match parameter.place {
                In::Path => {
                    let at = segments.iter().position(|segment| matches!(segment, Segment::Any(name) if *name == parameter.name));
                    at.and_then(|at| parts.get(at)).map(String::as_str).into_iter().collect()
                }
                In::Query => query.iter().filter(|(name, _)| *name == parameter.name).map(|(_, value)| value.as_str()).collect(),
                In::Header => request.header(&parameter.name).into_iter().collect(),
            };
            self.check_parameter(parameter, &given, &mut errors);
        }
        if let Some(body) = &operation.body {
            self.check_body(body, request, &mut errors)?;
        }
        match errors.len() {
            0 => Ok(()),
            1 => Err(Refusal { errors, ..refusal(400, "Bad Request", "the request has an error") }),
            count => Err(Refusal { errors, ..refusal(400, "Bad Request", format!("the request has {count} errors")) }),
        }
    }

    fn check_parameter(&self, parameter: &Parameter, given: &[&str], errors: &mut Vec<Value>) {
        let mut report = |detail: &str| errors.push(json!({"in": parameter.place.name(), "parameter": parameter.name, "detail": detail}));
        let Some(first) = given.first() else {
            if parameter.required {
                report("is required");
            }
            return;
        };
        let Some(schema) = parameter.schema else { return };
        let (types, items) = self.schemas.shape(schema);
        let value = if types.contains("array") {
            let separate = parameter.place == In::Query && parameter.explode;
            let all: Vec<&str> = if separate { given.to_vec() } else { first.split(',').map(str::trim).collect() };
            all.into_iter().map(|text| items.map_or_else(|| text.into(), |items| self.read(text, items))).collect()
        } else if given.len() > 1 {
            return report("is there more than once");
        } else {
            self.read(first, schema)
        };
        for problem in self.schemas.check(schema, &value) {
            report(format!("{} {}", problem.pointer, problem.detail).trim_start());
        }
    }

    /// The text of a parameter as the type that its schema wants, if it can be read as one.
    fn read(&self, text: &str, schema: Id) -> Value {
        let (types, _) = self.schemas.shape(schema);
        let numeric = types.contains("integer") || types.contains("number");
        match serde_json::from_str(text) {
            // JSON allows white space around a number, a parameter does not.
            _ if text.contains(char::is_whitespace) => text.into(),
            Ok(value @ Value::Number(_)) if numeric => value,
            Ok(value @ Value::Bool(_)) if types.contains("boolean") => value,
            _ => text.into(),
        }
    }

    fn check_body(&self, body: &Body, request: &Request, errors: &mut Vec<Value>) -> Result<(), Refusal> {
        let bytes = request.body().unwrap_or_default();
        if bytes.is_empty() {
            if body.required {
                errors.push(json!({"in": "body", "pointer": "", "detail": "is required"}));
            }
            return Ok(());
        }
        let kind = request.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json");
        if !(json && body.json) {
            return match body.takes(&kind) {
                true => Ok(()),
                false => Err(refusal(415, "Unsupported Media Type", format!("the body must be {}", body.types()))),
            };
        }
        match (serde_json::from_slice::<Value>(&bytes), body.schema) {
            (Err(error), _) => errors.push(json!({"in": "body", "pointer": "", "detail": format!("is no JSON: {error}")})),
            (Ok(value), Some(schema)) => {
                let problems = self.schemas.check(schema, &value).into_iter();
                errors.extend(problems.map(|problem| json!({"in": "body", "pointer": problem.pointer, "detail": problem.detail})));
            }
            (Ok(_), None) => {}
        }
        Ok(())
    }
}

export_middleware!(RequestValidator);
