use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a template works with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A key that a map does not have, or `nil`.
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(Arc<BTreeMap<String, Value>>),
}

impl Value {
    /// Whether `if` takes it for true.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Text(t) => !t.is_empty(),
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
        }
    }

    /// How many values it is made of, and the bytes of their texts, as if none were shared.
    pub(super) fn extent(&self) -> (usize, usize) {
        let sum = |(n, bytes): (usize, usize), (m, more): (usize, usize)| (n.saturating_add(m), bytes.saturating_add(more));
        match self {
            Value::Text(t) => (1, t.len()),
            Value::List(items) => items.iter().map(Value::extent).fold((1, 0), sum),
            Value::Map(entries) => entries.iter().map(|(k, v)| sum((0, k.len()), v.extent())).fold((1, 0), sum),
            _ => (1, 0),
        }
    }

    /// As Go names its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::None => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

/// As Go's `%v`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("<no value>"),
            Value::Bool(b) => b.fmt(f),
            Value::Int(n) => n.fmt(f),
            Value::Float(n) => n.fmt(f),
            Value::Text(t) => f.write_str(t),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Value::Map(entries) => {
                f.write_str("map[")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if i == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}
