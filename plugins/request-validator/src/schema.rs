//! The part of JSON Schema 2020-12 and of OpenAPI 3.0 that is checked. A keyword that is not known is refused when the plugin is configured,
//! so nothing is let through that a schema meant to forbid.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use torana_plugin_sdk::ConfigError;
use torana_plugin_sdk::serde_json::{Map, Value};

/// Keywords that only tell something to people or to generators of code.
const NOTES: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "xml",
    "externalDocs",
    "discriminator",
    "contentEncoding",
    "contentMediaType",
];
const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "integer", "string"];
/// Deeper than any JSON that is read, so only references that go in circles get there.
const DEEPEST: usize = 200;
const MOST_ERRORS: usize = 20;

#[derive(Default)]
struct Node {
    never: bool,
    reference: Option<usize>,
    types: Vec<String>,
    nullable: bool,
    values: Option<Vec<Value>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    multiple_of: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    pattern: Option<Regex>,
    format: Option<String>,
    items: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    unique: bool,
    properties: BTreeMap<String, usize>,
    required: Vec<String>,
    additional: Option<usize>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    all_of: Vec<usize>,
    any_of: Vec<usize>,
    one_of: Vec<usize>,
    not: Option<usize>,
}

/// A schema in [`Schemas`].
pub(crate) type Id = usize;

/// All schemas of one document, read once.
pub(crate) struct Schemas<'a> {
    root: &'a Value,
    at: &'a str,
    nodes: Vec<Node>,
    references: BTreeMap<String, usize>,
}

/// The schemas when everything is read.
pub(crate) struct Compiled(Vec<Node>);

/// What is wrong, and where: a JSON pointer.
#[derive(Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

/// What a local reference, as in `#/components/schemas/Pet`, points to.
pub(crate) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    root.pointer(&plugin_support::decode(pointer))
}

impl<'a> Schemas<'a> {
    /// `at` is the key of the document in the configuration.
    pub(crate) fn new(root: &'a Value, at: &'a str) -> Schemas<'a> {
        Schemas { root, at, nodes: Vec::new(), references: BTreeMap::new() }
    }

    pub(crate) fn finish(self) -> Compiled {
        Compiled(self.nodes)
    }

    fn add(&mut self, key: &str, schema: &Value) -> Result<Id, ConfigError> {
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[id] = self.read(key, schema)?;
        Ok(id)
    }

    /// Reads the schema at `key`.
    pub(crate) fn read_at(&mut self, key: &str, schema: &Value) -> Result<Id, ConfigError> {
        self.add(key, schema)
    }

    fn refer(&mut self, key: &str, reference: &str) -> Result<Id, ConfigError> {
        if let Some(id) = self.references.get(reference) {
            return Ok(*id);
        }
        let Some(target) = resolve(self.root, reference) else {
            let error = ConfigError::new(key, format!("`{reference}` points nowhere"));
            return Err(error.hint("refer to a place in the same document, as in `#/components/schemas/Pet`"));
        };
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        // Before it is read, as it may refer to itself.
        self.references.insert(reference.into(), id);
        let path = reference.trim_start_matches("#/").replace('/', ".");
        let at = self.at;
        self.nodes[id] = self.read(&format!("{at}.{path}"), target)?;
        Ok(id)
    }

    fn read(&mut self, key: &str, schema: &Value) -> Result<Node, ConfigError> {
        let mut node = Node::default();
        let schema = match schema {
            Value::Bool(allowed) => {
                node.never = !allowed;
                return Ok(node);
            }
            Value::Object(schema) => schema,
            _ => return Err(ConfigError::new(key, "is no schema").hint("write an object")),
        };
        for (word, value) in schema {
            let key = format!("{key}.{word}");
            match word.as_str() {
                "$ref" => node.reference = Some(self.refer(&key, text(&key, value)?)?),
                "type" => node.types = types(&key, value)?,
                "nullable" => node.nullable = flag(&key, value)?,
                "enum" => node.values = Some(list(&key, value)?.clone()),
                "const" => node.values = Some(vec![value.clone()]),
                "minimum" => node.minimum = Some(number(&key, value)?),
                "maximum" => node.maximum = Some(number(&key, value)?),
                // A number since OpenAPI 3.1; before, it said how `minimum` was meant.
                "exclusiveMinimum" if value.is_boolean() => {
                    node.above = if value == true { schema.get("minimum").and_then(Value::as_f64) } else { None };
                }
                "exclusiveMaximum" if value.is_boolean() => {
                    node.below = if value == true { schema.get("maximum").and_then(Value::as_f64) } else { None };
                }
                "exclusiveMinimum" => node.above = Some(number(&key, value)?),
                "exclusiveMaximum" => node.below = Some(number(&key, value)?),
                "multipleOf" => {
                    let step = number(&key, value)?;
                    if step <= 0.0 {
                        return Err(ConfigError::new(key, "must be greater than 0"));
                    }
                    node.multiple_of = Some(step);
                }
                "minLength" => node.min_length = Some(count(&key, value)?),
                "maxLength" => node.max_length = Some(count(&key, value)?),
                "pattern" => {
                    let regex = Regex::new(text(&key, value)?);
                    node.pattern = Some(regex.map_err(|error| ConfigError::new(&key, format!("is no pattern: {error}")))?);
                }
                "format" => node.format = Some(text(&key, value)?.into()),
                "items" => node.items = Some(self.add(&key, value)?),
                "minItems" => node.min_items = Some(count(&key, value)?),
                "maxItems" => node.max_items = Some(count(&key, value)?),
                "uniqueItems" => node.unique = flag(&key, value)?,
                "properties" => {
                    for (name, property) in object(&key, value)? {
                        let id = self.add(&format!("{key}.{name}"), property)?;
                        node.properties.insert(name.clone(), id);
                    }
                }
                "required" => {
                    let names = list(&key, value)?.iter().map(|name| text(&key, name).map(str::to_owned));
                    node.required = names.collect::<Result<_, _>>()?;
                }
                "additionalProperties" => node.additional = Some(self.add(&key, value)?),
                "minProperties" => node.min_properties = Some(count(&key, value)?),
                "maxProperties" => node.max_properties = Some(count(&key, value)?),
                "allOf" => node.all_of = self.add_all(&key, value)?,
                "anyOf" => node.any_of = self.add_all(&key, value)?,
                "oneOf" => node.one_of = self.add_all(&key, value)?,
                "not" => node.not = Some(self.add(&key, value)?),
                note if NOTES.contains(&note) || note.starts_with("x-") => {}
                // Other members of the whole document, when it is a schema itself, are found through references.
                _ => return Err(ConfigError::new(key, "is a keyword that is not supported").hint("see the list in the plugin's README")),
            }
        }
        Ok(node)
    }

    fn add_all(&mut self, key: &str, value: &Value) -> Result<Vec<Id>, ConfigError> {
        let list = list(key, value)?;
        if list.is_empty() {
            return Err(ConfigError::new(key, "must not be empty"));
        }
        list.iter().enumerate().map(|(index, schema)| self.add(&format!("{key}[{index}]"), schema)).collect()
    }
}

fn wrong(key: &str, what: &str) -> ConfigError {
    ConfigError::new(key, format!("must be {what}"))
}

fn text<'v>(key: &str, value: &'v Value) -> Result<&'v str, ConfigError> {
    value.as_str().ok_or_else(|| wrong(key, "a text"))
}

fn flag(key: &str, value: &Value) -> Result<bool, ConfigError> {
    value.as_bool().ok_or_else(|| wrong(key, "`true` or `false`"))
}

fn number(key: &str, value: &Value) -> Result<f64, ConfigError> {
    value.as_f64().ok_or_else(|| wrong(key, "a number"))
}

fn count(key: &str, value: &Value) -> Result<usize, ConfigError> {
    value.as_u64().and_then(|value| usize::try_from(value).ok()).ok_or_else(|| wrong(key, "a whole number from 0"))
}

pub(crate) fn list<'v>(key: &str, value: &'v Value) -> Result<&'v Vec<Value>, ConfigError> {
    value.as_array().ok_or_else(|| wrong(key, "a list"))
}

pub(crate) fn object<'v>(key: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ConfigError> {
    value.as_object().ok_or_else(|| wrong(key, "an object"))
}

fn types(key: &str, value: &Value) -> Result<Vec<String>, ConfigError> {
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let known = |name: &Value| name.as_str().filter(|name| TYPES.contains(name)).map(str::to_owned);
    all.iter().map(|name| known(name).ok_or_else(|| wrong(key, &format!("one of {}", TYPES.join(", "))))).collect()
}

impl Compiled {
    /// What is wrong with a value; nothing when it fits. At most 20 problems.
    pub(crate) fn check(&self, id: Id, value: &Value) -> Vec<Problem> {
        let mut check = Check { nodes: &self.0, problems: Vec::new() };
        check.node(id, value, "", 0);
        check.problems.truncate(MOST_ERRORS);
        check.problems
    }

    /// The types of a schema, as far as they are known without a value, and the schema of the items.
    pub(crate) fn shape(&self, id: Id) -> (BTreeSet<&str>, Option<Id>) {
        let (mut types, mut items, mut seen, mut open) = (BTreeSet::new(), None, BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if let Some(node) = self.0.get(id)
                && seen.insert(id)
            {
                types.extend(node.types.iter().map(String::as_str));
                items = items.or(node.items);
                open.extend(node.reference.iter().chain(&node.all_of).chain(&node.any_of).chain(&node.one_of));
            }
        }
        (types, items)
    }
}

struct Check<'a> {
    nodes: &'a [Node],
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn fits(&self, id: Id, value: &Value, depth: usize) -> bool {
        let mut check = Check { nodes: self.nodes, problems: Vec::new() };
        check.node(id, value, "", depth);
        check.problems.is_empty()
    }

    fn node(&mut self, id: Id, value: &Value, at: &str, depth: usize) {
        if self.problems.len() >= MOST_ERRORS {
            return;
        }
        let mut problem = |detail: String| self.problems.push(Problem { pointer: at.to_owned(), detail });
        let Some(node) = self.nodes.get(id) else { return };
        if depth > DEEPEST {
            return problem("is nested too deeply".into());
        }
        if node.never {
            return problem("is not allowed".into());
        }
        if node.nullable && value.is_null() {
            return;
        }
        if !node.types.is_empty() && !node.types.iter().any(|name| is(value, name)) {
            return problem(format!("must be {}", node.types.join(" or ")));
        }
        if let Some(values) = &node.values
            && !values.iter().any(|allowed| same(allowed, value))
        {
            let all: Vec<String> = values.iter().map(Value::to_string).collect();
            problem(format!("must be one of {}", all.join(", ")));
        }
        match value {
            Value::Number(number) => node.number(number.as_f64().unwrap_or_default(), &mut problem),
            Value::String(text) => node.text(text, &mut problem),
            Value::Array(list) => {
                node.list(list, &mut problem);
                if let Some(items) = node.items {
                    for (index, item) in list.iter().enumerate() {
                        self.node(items, item, &format!("{at}/{index}"), depth + 1);
                    }
                }
            }
            Value::Object(object) => {
                node.size(object.len(), &mut problem);
                for name in node.required.iter().filter(|name| !object.contains_key(*name)) {
                    self.problems.push(Problem { pointer: below(at, name), detail: "is required".into() });
                }
                for (name, member) in object {
                    if let Some(schema) = node.properties.get(name).copied().or(node.additional) {
                        self.node(schema, member, &below(at, name), depth + 1);
                    }
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        for schema in node.reference.iter().chain(&node.all_of) {
            self.node(*schema, value, at, depth + 1);
        }
        let fitting = |schemas: &[Id]| schemas.iter().filter(|schema| self.fits(**schema, value, depth + 1)).count();
        let any = node.any_of.is_empty() || fitting(&node.any_of) > 0;
        let one = if node.one_of.is_empty() { 1 } else { fitting(&node.one_of) };
        let not = node.not.is_some_and(|schema| self.fits(schema, value, depth + 1));
        let mut problem = |detail: &str| self.problems.push(Problem { pointer: at.to_owned(), detail: detail.into() });
        if !any {
            problem("fits none of the allowed forms");
        }
        match one {
            0 => problem("fits none of the allowed forms"),
            1 => {}
            _ => problem("fits more than one of the allowed forms"),
        }
        if not {
            problem("has a form that is not allowed");
        }
    }
}

fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Node {
    fn number(&self, value: f64, problem: &mut impl FnMut(String)) {
        if let Some(least) = self.minimum.filter(|least| value < *least) {
            problem(format!("must be at least {least}"));
        }
        if let Some(most) = self.maximum.filter(|most| value > *most) {
            problem(format!("must be at most {most}"));
        }
        if let Some(bound) = self.above.filter(|bound| value <= *bound) {
            problem(format!("must be greater than {bound}"));
        }
        if let Some(bound) = self.below.filter(|bound| value >= *bound) {
            problem(format!("must be less than {bound}"));
        }
        if let Some(step) = self.multiple_of {
            let times = value / step;
            // 0.3 is a multiple of 0.1, whatever binary fractions make of it.
            if (times - times.round()).abs() > 1e-9 * times.abs().max(1.0) {
                problem(format!("must be a multiple of {step}"));
            }
        }
        if self.format.as_deref() == Some("int32") && !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) {
            problem("must be an int32".into());
        }
    }

    fn text(&self, value: &str, problem: &mut impl FnMut(String)) {
        let length = value.chars().count();
        if let Some(least) = self.min_length.filter(|least| length < *least) {
            problem(format!("must have at least {least} characters"));
        }
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            problem(format!("must have at most {most} characters"));
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(value)) {
            problem(format!("must match {}", pattern.as_str()));
        }
        if let Some(format) = self.format.as_ref().filter(|format| !has_format(value, format)) {
            problem(format!("must be a {format}"));
        }
    }

    fn list(&self, value: &[Value], problem: &mut impl FnMut(String)) {
        if let Some(least) = self.min_items.filter(|least| value.len() < *least) {
            problem(format!("must have at least {least} items"));
        }
        if let Some(most) = self.max_items.filter(|most| value.len() > *most) {
            problem(format!("must have at most {most} items"));
        }
        if self.unique && value.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() < value.len() {
            problem("must not have an item twice".into());
        }
    }

    fn size(&self, count: usize, problem: &mut impl FnMut(String)) {
        if let Some(least) = self.min_properties.filter(|least| count < *least) {
            problem(format!("must have at least {least} members"));
        }
        if let Some(most) = self.max_properties.filter(|most| count > *most) {
            problem(format!("must have at most {most} members"));
        }
    }
}

fn is(value: &Value, name: &str) -> bool {
    match (value, name) {
        (Value::Null, "null") | (Value::Bool(_), "boolean") | (Value::Object(_), "object") | (Value::Array(_), "array") => true,
        (Value::String(_), "string") | (Value::Number(_), "number") => true,
        (Value::Number(number), "integer") => number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0),
        _ => false,
    }
}

/// Whether two values are equal; 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

/// Formats that are not listed here are taken as notes.
fn has_format(value: &str, format: &str) -> bool {
    match format {
        "date" => date(value),
        "date-time" => value.split_once(['T', 't', ' ']).is_some_and(|(day, rest)| date(day) && time(rest)),
        "uuid" => shaped(value, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        "ipv4" => value.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => value.parse::<std::net::Ipv6Addr>().is_ok(),
        "email" => value.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !value.contains(char::is_whitespace)
        }),
        _ => true,
    }
}

/// `0` is a digit, `x` a hexadecimal one, everything else itself.
fn shaped(value: &str, shape: &str) -> bool {
    value.len() == shape.len()
        && value.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => byte == other,
        })
}

fn part(value: &str, range: std::ops::Range<usize>) -> u32 {
    value.get(range).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

fn date(value: &str) -> bool {
    if !shaped(value, "0000-00-00") {
        return false;
    }
    let (year, month, day) = (part(value, 0..4), part(value, 5..7), part(value, 8..10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn time(value: &str) -> bool {
    let Some((clock, rest)) = value.split_at_checked(8) else { return false };
    let fits = shaped(clock, "00:00:00") && part(clock, 0..2) < 24 && part(clock, 3..5) < 60 && part(clock, 6..8) <= 60;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if zone.len() == fraction.len() { "" } else { zone }
        }
        None => rest,
    };
    let offset = shaped(zone, "+00:00") || shaped(zone, "-00:00");
    fits && (zone.eq_ignore_ascii_case("z") || offset && part(zone, 1..3) < 24 && part(zone, 4..6) < 60)
}
