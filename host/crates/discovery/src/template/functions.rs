//! Go's own functions and those of sprig that default rules are made of.

use super::Value;
use super::printf::printf;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

type Body = fn(&[Value]) -> Result<Value, String>;

/// A function, and how many values it takes.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) name: &'static str,
    least: usize,
    /// `usize::MAX` for any number.
    most: usize,
    body: Body,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    pub(super) fn takes(&self, count: usize) -> bool {
        (self.least..=self.most).contains(&count)
    }

    /// Whether it puts values into one.
    pub(super) fn gathers(&self) -> bool {
        matches!(self.name, "list" | "dict")
    }

    pub(super) fn wanted(&self) -> String {
        match (self.least, self.most) {
            (1, 1) => "1 value".to_owned(),
            (a, b) if a == b => format!("{a} values"),
            (a, usize::MAX) => format!("{a} values or more"),
            (a, b) => format!("{a} to {b} values"),
        }
    }

    pub(super) fn call(&self, values: &[Value]) -> Result<Value, String> {
        (self.body)(values)
    }
}

pub(super) fn find(name: &str) -> Option<Function> {
    FUNCTIONS.iter().find(|f| f.name == name).copied()
}

/// As [`find`], but for `split`, which in files is Go's: text first, and a list.
pub(super) fn find_in_file(name: &str) -> Option<Function> {
    const SPLIT: Function = Function { name: "split", least: 2, most: 2, body: |v| Ok(Value::List(parts(text(v, 1)?, text(v, 0)?, None))) };
    if name == "split" { Some(SPLIT) } else { find(name) }
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|f| f.name)
}

const ANY: usize = usize::MAX;
/// Bytes of a text that a function makes of short ones, at most. What a rule may hold is less.
const LONGEST: usize = 64 << 20;
const TOO_LONG: &str = "the text is too long";

macro_rules! functions {
    ($($name:literal $least:literal $most:tt $body:expr;)*) => {
        const FUNCTIONS: &[Function] = &[$(Function { name: $name, least: $least, most: $most, body: $body }),*];
    };
}

functions! {
    "normalize" 1 1 |v| Ok(torana_base::normalize(text(v, 0)?).into());
    // Go's own
    "and" 1 ANY |v| Ok(v.iter().find(|x| !x.truth()).unwrap_or(&v[v.len() - 1]).clone());
    "or" 1 ANY |v| Ok(v.iter().find(|x| x.truth()).unwrap_or(&v[v.len() - 1]).clone());
    "not" 1 1 |v| Ok(Value::Bool(!v[0].truth()));
    "eq" 2 ANY |v| v[1..].iter().try_fold(false, |found, x| Ok(found | same(&v[0], x)?)).map(Value::Bool);
    "ne" 2 2 |v| Ok(Value::Bool(!same(&v[0], &v[1])?));
    "lt" 2 2 |v| Ok(Value::Bool(order(v)?.is_lt()));
    "le" 2 2 |v| Ok(Value::Bool(order(v)?.is_le()));
    "gt" 2 2 |v| Ok(Value::Bool(order(v)?.is_gt()));
    "ge" 2 2 |v| Ok(Value::Bool(order(v)?.is_ge()));
    "index" 1 ANY |v| v[1..].iter().try_fold(v[0].clone(), |at, key| index(&at, key));
    "len" 1 1 |v| Ok(Value::Int(match &v[0] {
        Value::Text(t) => t.len(),
        Value::List(l) => l.len(),
        Value::Map(m) => m.len(),
        other => return Err(format!("{} has no length", other.kind())),
    } as i64));
    "print" 0 ANY |v| Ok(print(v).into());
    "printf" 1 ANY |v| printf(text(v, 0)?, &v[1..]).map(Value::Text);
    // texts
    "trim" 1 1 |v| Ok(text(v, 0)?.trim().into());
    "trimAll" 2 2 |v| { let cut = text(v, 0)?; Ok(text(v, 1)?.trim_matches(|c| cut.contains(c)).into()) };
    "trimPrefix" 2 2 |v| { let (cut, t) = (text(v, 0)?, text(v, 1)?); Ok(t.strip_prefix(cut).unwrap_or(t).into()) };
    "trimSuffix" 2 2 |v| { let (cut, t) = (text(v, 0)?, text(v, 1)?); Ok(t.strip_suffix(cut).unwrap_or(t).into()) };
    "nospace" 1 1 |v| Ok(text(v, 0)?.chars().filter(|c| !c.is_whitespace()).collect::<String>().into());
    "lower" 1 1 |v| Ok(text(v, 0)?.to_lowercase().into());
    "upper" 1 1 |v| Ok(text(v, 0)?.to_uppercase().into());
    "title" 1 1 |v| Ok(title(text(v, 0)?).into());
    "repeat" 2 2 |v| {
        let (count, t) = (int(v, 0)?.max(0), text(v, 1)?);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if t.len().checked_mul(count).is_none_or(|n| n > 65_536) { return Err(TOO_LONG.into()) }
        // Of nothing any number is nothing.
        Ok(if t.is_empty() { t.into() } else { t.repeat(count).into() })
    };
    "substr" 3 3 |v| Ok(substr(int(v, 0)?, int(v, 1)?, text(v, 2)?).into());
    "trunc" 2 2 |v| Ok(trunc(int(v, 0)?, text(v, 1)?).into());
    "contains" 2 2 |v| Ok(Value::Bool(text(v, 1)?.contains(text(v, 0)?)));
    "hasPrefix" 2 2 |v| Ok(Value::Bool(text(v, 1)?.starts_with(text(v, 0)?)));
    "hasSuffix" 2 2 |v| Ok(Value::Bool(text(v, 1)?.ends_with(text(v, 0)?)));
    "replace" 3 3 |v| replace(text(v, 2)?, text(v, 0)?, text(v, 1)?).map(Value::Text);
    "quote" 0 ANY |v| Ok(words(v, |t| format!("{t:?}")));
    "squote" 0 ANY |v| Ok(words(v, |t| format!("'{t}'")));
    "cat" 0 ANY |v| Ok(words(v, |t| t));
    "toString" 1 1 |v| Ok(v[0].to_string().into());
    // lists
    "split" 2 2 |v| Ok(numbered(parts(text(v, 0)?, text(v, 1)?, None)));
    "splitn" 3 3 |v| Ok(numbered(parts(text(v, 0)?, text(v, 2)?, Some(int(v, 1)?))));
    "splitList" 2 2 |v| Ok(Value::List(parts(text(v, 0)?, text(v, 1)?, None)));
    "join" 2 2 |v| {
        let between = text(v, 0)?;
        Ok(match &v[1] {
            Value::List(items) => {
                bounded(items.len().checked_mul(between.len()))?;
                items.iter().filter(|i| **i != Value::None).map(ToString::to_string).collect::<Vec<_>>().join(between)
            }
            other => other.to_string(),
        }.into())
    };
    "list" 0 ANY |v| Ok(Value::List(v.to_vec()));
    "first" 1 1 |v| Ok(list(v, 0)?.first().cloned().unwrap_or(Value::None));
    "last" 1 1 |v| Ok(list(v, 0)?.last().cloned().unwrap_or(Value::None));
    "rest" 1 1 |v| Ok(Value::List(list(v, 0)?.iter().skip(1).cloned().collect()));
    "initial" 1 1 |v| { let l = list(v, 0)?; Ok(Value::List(l[..l.len().saturating_sub(1)].to_vec())) };
    "reverse" 1 1 |v| Ok(Value::List(list(v, 0)?.iter().rev().cloned().collect()));
    "has" 2 2 |v| Ok(Value::Bool(list(v, 1)?.contains(&v[0])));
    // maps
    "dict" 0 ANY |v| Ok(Value::Map(Arc::new(v.chunks(2).map(|p| (p[0].to_string(), p.get(1).cloned().unwrap_or_else(|| "".into()))).collect())));
    "get" 2 2 |v| Ok(map(v, 0)?.get(text(v, 1)?).cloned().unwrap_or_else(|| "".into()));
    "hasKey" 2 2 |v| Ok(Value::Bool(map(v, 0)?.contains_key(text(v, 1)?)));
    "keys" 1 1 |v| Ok(Value::List(map(v, 0)?.keys().map(|k| k.as_str().into()).collect()));
    // choices
    "default" 1 2 |v| Ok(v.iter().rev().find(|x| x.truth()).unwrap_or(&v[0]).clone());
    "coalesce" 0 ANY |v| Ok(v.iter().find(|x| x.truth()).cloned().unwrap_or(Value::None));
    "empty" 1 1 |v| Ok(Value::Bool(!v[0].truth()));
    "ternary" 3 3 |v| match &v[2] {
        Value::Bool(yes) => Ok(v[usize::from(!yes)].clone()),
        other => Err(format!("the last value is a bool, not {}", other.kind())),
    };
    // numbers
    "int" 1 1 |v| Ok(Value::Int(number(&v[0])));
    "atoi" 1 1 |v| Ok(Value::Int(text(v, 0)?.parse().unwrap_or(0)));
    "add" 0 ANY |v| Ok(Value::Int(v.iter().map(number).fold(0, i64::wrapping_add)));
    "sub" 2 2 |v| Ok(Value::Int(number(&v[0]).wrapping_sub(number(&v[1]))));
    "mul" 1 ANY |v| Ok(Value::Int(v.iter().map(number).fold(1, i64::wrapping_mul)));
    "mod" 2 2 |v| number(&v[0]).checked_rem(number(&v[1])).map(Value::Int).ok_or_else(|| "division by zero".into());
    "div" 2 2 |v| number(&v[0]).checked_div(number(&v[1])).map(Value::Int).ok_or_else(|| "division by zero".into());
    // regular expressions
    "regexMatch" 2 2 |v| Ok(Value::Bool(regex(text(v, 0)?)?.is_match(text(v, 1)?)));
    "regexFind" 2 2 |v| Ok(regex(text(v, 0)?)?.find(text(v, 1)?).map_or("", |m| m.as_str()).into());
    "regexReplaceAll" 3 3 |v| replace_all(&regex(text(v, 0)?)?, text(v, 1)?, text(v, 2)?, true).map(Value::Text);
    "regexReplaceAllLiteral" 3 3 |v| replace_all(&regex(text(v, 0)?)?, text(v, 1)?, text(v, 2)?, false).map(Value::Text);
    // ranges of numbers
    "add1" 1 1 |v| Ok(Value::Int(number(&v[0]).wrapping_add(1)));
    "max" 1 ANY |v| Ok(Value::Int(v.iter().map(number).max().unwrap_or(0)));
    "min" 1 ANY |v| Ok(Value::Int(v.iter().map(number).min().unwrap_or(0)));
    "until" 1 1 |v| { let n = number(&v[0]); numbers(0, n, if n < 0 { -1 } else { 1 }) };
    "untilStep" 3 3 |v| numbers(number(&v[0]), number(&v[1]), number(&v[2]));
    // text of several lines
    "indent" 2 2 |v| Ok(indent(number(&v[0]), text(v, 1)?)?.into());
    "nindent" 2 2 |v| Ok(format!("\n{}", indent(number(&v[0]), text(v, 1)?)?).into());
    "env" 1 1 |v| Ok(std::env::var(text(v, 0)?).unwrap_or_default().into());
}

fn text(values: &[Value], i: usize) -> Result<&str, String> {
    match &values[i] {
        Value::Text(t) => Ok(t),
        Value::None => Err(format!("value {} is not there; a text belongs here", i + 1)),
        other => Err(format!("value {} is a text, not {}", i + 1, other.kind())),
    }
}

fn int(values: &[Value], i: usize) -> Result<i64, String> {
    match &values[i] {
        Value::Int(n) => Ok(*n),
        other => Err(format!("value {} is a whole number, not {}", i + 1, other.kind())),
    }
}

fn list(values: &[Value], i: usize) -> Result<&[Value], String> {
    match &values[i] {
        Value::List(items) => Ok(items),
        other => Err(format!("value {} is a list, not {}", i + 1, other.kind())),
    }
}

fn map(values: &[Value], i: usize) -> Result<&BTreeMap<String, Value>, String> {
    match &values[i] {
        Value::Map(entries) => Ok(entries),
        other => Err(format!("value {} is a map, not {}", i + 1, other.kind())),
    }
}

/// As sprig turns anything into a number.
fn number(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        Value::Float(n) => *n as i64,
        Value::Bool(b) => i64::from(*b),
        Value::Text(t) => t.parse().unwrap_or(0),
        _ => 0,
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|_| format!("`{text}` is no regular expression"))
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::None, _) | (_, Value::None) => Ok(a == b),
        _ if a.kind() == b.kind() => Ok(a == b),
        _ => Err(format!("{} and {} cannot be compared", a.kind(), b.kind())),
    }
}

fn order(v: &[Value]) -> Result<std::cmp::Ordering, String> {
    match (&v[0], &v[1]) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).ok_or_else(|| "no order among these numbers".into()),
        (a, b) => Err(format!("{} and {} cannot be compared", a.kind(), b.kind())),
    }
}

/// A key that is not there is the empty text, as in Go's maps of texts.
fn index(at: &Value, key: &Value) -> Result<Value, String> {
    match (at, key) {
        (Value::Map(entries), Value::Text(key)) => Ok(entries.get(key).cloned().unwrap_or_else(|| "".into())),
        (Value::List(items), Value::Int(i)) => {
            usize::try_from(*i).ok().and_then(|i| items.get(i)).cloned().ok_or_else(|| format!("there is no item {i}"))
        }
        (a, b) => Err(format!("{} has no items by {}", a.kind(), b.kind())),
    }
}

/// Said before there is such a text.
fn bounded(len: Option<usize>) -> Result<(), String> {
    if len.is_some_and(|n| n <= LONGEST) { Ok(()) } else { Err(TOO_LONG.into()) }
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, String> {
    bounded(text.matches(from).count().checked_mul(to.len()).and_then(|n| n.checked_add(text.len())))?;
    Ok(text.replace(from, to))
}

/// With `expand` the replacement may name groups, as in `$1`.
fn replace_all(regex: &Regex, text: &str, to: &str, expand: bool) -> Result<String, String> {
    let groups = if expand { to.matches('$').count() } else { 0 };
    let (mut out, mut end) = (String::new(), 0);
    for found in regex.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        end = whole.end();
        // No group is longer than all that was found.
        let most = groups.checked_mul(whole.len()).and_then(|n| n.checked_add(to.len()));
        bounded(most.and_then(|n| n.checked_add(out.len())))?;
        if expand { found.expand(to, &mut out) } else { out.push_str(to) }
    }
    out.push_str(&text[end..]);
    Ok(out)
}

fn words(values: &[Value], each: impl Fn(String) -> String) -> Value {
    values.iter().filter(|v| **v != Value::None).map(|v| each(v.to_string())).collect::<Vec<_>>().join(" ").into()
}

/// With a space between two values that are no texts.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let text = |v: &Value| matches!(v, Value::Text(_));
        if i > 0 && !text(value) && !text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&value.to_string());
    }
    out
}

fn title(text: &str) -> String {
    let mut first = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if first {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        first = c.is_whitespace();
    }
    out
}

/// Bytes `start` to `end`; below 0 for the beginning and the end.
fn substr(start: i64, end: i64, text: &str) -> String {
    let len = text.len() as i64;
    let from = start.clamp(0, len);
    let to = if end < 0 || end > len { len } else { end };
    String::from_utf8_lossy(text.as_bytes().get(from as usize..to.max(from) as usize).unwrap_or_default()).into_owned()
}

/// The first `count` bytes, or the last ones when it is below 0.
fn trunc(count: i64, text: &str) -> String {
    let keep = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(text.len());
    let range = if count < 0 { text.len() - keep..text.len() } else { 0..keep };
    String::from_utf8_lossy(&text.as_bytes()[range]).into_owned()
}

/// From the first to before the second, which a step of 0 never reaches.
fn numbers(from: i64, to: i64, step: i64) -> Result<Value, String> {
    const MOST: i128 = 100_000;
    let (distance, step_wide) = (i128::from(to) - i128::from(from), i128::from(step));
    if step == 0 || distance.signum() != step_wide.signum() {
        return Ok(Value::List(Vec::new()));
    }
    let count = (distance + step_wide - step_wide.signum()) / step_wide;
    if count > MOST {
        return Err(format!("a list of {count} numbers is too long"));
    }
    Ok(Value::List((0..count).map(|i| Value::Int((i128::from(from) + i * step_wide) as i64)).collect()))
}

fn indent(spaces: i64, text: &str) -> Result<String, String> {
    let pad = usize::try_from(spaces).ok().filter(|n| *n <= 1000).ok_or_else(|| format!("{spaces} is no number of spaces"))?;
    bounded(text.matches('\n').count().checked_mul(pad).and_then(|n| n.checked_add(text.len())))?;
    let pad = " ".repeat(pad);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn parts(between: &str, text: &str, most: Option<i64>) -> Vec<Value> {
    let most = most.map_or(ANY, |n| usize::try_from(n).unwrap_or(ANY));
    if between.is_empty() {
        return text.chars().take(most).map(|c| c.to_string().into()).collect();
    }
    text.splitn(most, between).map(Into::into).collect()
}

/// `_0`, `_1`, ... as sprig's `split` names parts.
fn numbered(parts: Vec<Value>) -> Value {
    Value::Map(Arc::new(parts.into_iter().enumerate().map(|(i, part)| (format!("_{i}"), part)).collect()))
}
