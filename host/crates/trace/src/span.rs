use crate::context::Context;
use crate::id::SpanId;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal,
    /// A request that was received.
    Server,
    /// A request that was sent.
    Client,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Cow<'static, str>),
    /// A text that lives as long as the configuration.
    Shared(Arc<str>),
    Texts(Vec<String>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Value::Shared(text)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Value::Texts(texts)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Int(n)
    }
}

impl From<u16> for Value {
    fn from(n: u16) -> Self {
        Value::Int(n.into())
    }
}

impl Value {
    /// Cut to this many characters, each text of a list by itself.
    fn limited(self, most: Option<usize>) -> Self {
        let Some(most) = most else { return self };
        let cut = |text: &str| text.char_indices().nth(most).map(|(i, _)| text[..i].to_owned());
        match self {
            Value::Text(t) => cut(&t).map_or(Value::Text(t), Value::from),
            Value::Shared(t) => cut(&t).map_or(Value::Shared(t), Value::from),
            Value::Texts(all) => Value::Texts(all.into_iter().map(|t| cut(&t).unwrap_or(t)).collect()),
            other => other,
        }
    }
}

pub type Attributes = Vec<(Cow<'static, str>, Value)>;

/// What is kept of a span's attributes (`OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`, `OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Default 128; `None` for no limit.
    pub count: Option<usize>,
    /// Characters of a text; default no limit.
    pub length: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { count: Some(128), length: None }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Unset,
    /// With a description, which may be empty.
    Error(Cow<'static, str>),
}

/// A span made when the configuration is compiled: what each request that passes here has.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub name: &'static str,
    pub attributes: Attributes,
}

/// Something that took time. Finished when it reaches a sink.
#[derive(Clone, Debug)]
pub struct Span {
    pub context: Context,
    pub parent: Option<SpanId>,
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Attributes,
    /// Attributes that were over the limit.
    pub dropped: u32,
    pub status: Status,
}

impl Span {
    pub(crate) fn new(context: Context, parent: Option<SpanId>, name: Cow<'static, str>, kind: Kind) -> Self {
        let start = SystemTime::now();
        Span { context, parent, name, kind, start, end: start, attributes: Vec::new(), dropped: 0, status: Status::Unset }
    }

    pub(crate) fn set(&mut self, limits: Limits, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into().limited(limits.length));
        if let Some(same) = self.attributes.iter_mut().find(|(k, _)| *k == key) {
            same.1 = value;
        } else if limits.count.is_some_and(|most| self.attributes.len() >= most) {
            self.dropped += 1;
        } else {
            self.attributes.push((key, value));
        }
    }

    /// The first error stays.
    pub(crate) fn fail(&mut self, why: Cow<'static, str>) {
        if self.status == Status::Unset {
            self.status = Status::Error(why);
        }
    }

    pub(crate) fn end(&mut self, at: SystemTime) {
        self.end = at.max(self.start);
    }
}
