//! `${file:/run/secrets/token}` and `${env:TOKEN}` inside values: what stands in a file or in the environment
//! takes their place when the value is used, and they stand for it wherever it is shown.
//!
//! Nothing else that begins with `${` means anything, so that replacements such as `${1}` stay as they are;
//! `$${file:` and `$${env:` stand for themselves without the first `$`.

use crate::node::{Node, Value};
use rustc_hash::FxHashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

/// Bytes that one value refers to, at most.
pub const LARGEST: usize = 1 << 20;
/// Bytes that all values of one object or source refer to, at most.
const LARGEST_SUM: usize = 8 << 20;
/// A piece of this length tells a value from any other text.
const WINDOW: usize = 12;
/// Bytes of a value that are looked for in messages, at most.
const LARGEST_QUOTED: usize = 4096;
/// Shorter values are no secrets, and occur everywhere.
const SHORTEST: usize = 4;

/// Where a value really is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// The whole content, without the newline at its end.
    File(PathBuf),
    Env(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::File(path) => write!(f, "${{file:{}}}", path.display()),
            Reference::Env(name) => write!(f, "${{env:{name}}}"),
        }
    }
}

/// What a reference leads to.
#[derive(Clone)]
pub struct Answer {
    pub text: Arc<str>,
    /// Why it may be out of date.
    pub warning: Option<String>,
}

/// Why a reference leads to nothing, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub hint: String,
}

impl Refusal {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { message: message.into(), hint: hint.into() }
    }
}

/// Knows what references lead to, and which may be followed.
pub trait References {
    fn look_up(&mut self, reference: &Reference) -> Result<Answer, Refusal>;
}

/// The value of a variable of this process.
pub fn variable(name: &str) -> Result<Answer, Refusal> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Err(Refusal::new(
            format!("the environment variable `{name}` is empty"),
            format!("give `{name}` a value where torana is started"),
        )),
        Ok(text) if text.len() > LARGEST => Err(Refusal::new(
            format!("the environment variable `{name}` is larger than {} MiB", LARGEST >> 20),
            "put the value into a file",
        )),
        Ok(text) => Ok(Answer { text: text.into(), warning: None }),
        Err(std::env::VarError::NotPresent) => Err(Refusal::new(
            format!("the environment variable `{name}` is not set"),
            format!("set `{name}` where torana is started, or correct the name"),
        )),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Refusal::new(format!("the environment variable `{name}` is not UTF-8"), "encode the value, in Base64 for instance"))
        }
    }
}

/// The content of a file, without the newline at its end. Blocks on the file system.
pub fn content(path: &std::path::Path) -> Result<Answer, Refusal> {
    let shown = path.display();
    let cannot = |why: &dyn fmt::Display| {
        Refusal::new(format!("the file `{shown}` cannot be read: {why}"), "create it, correct its path, or let torana's user read it")
    };
    let found = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    // What is no regular file might never end.
    if !found.is_file() {
        return Err(cannot(&"it is not a regular file"));
    }
    if found.len() > LARGEST as u64 {
        return Err(cannot(&format_args!("it is larger than {} MiB", LARGEST >> 20)));
    }
    let bytes = std::fs::read(path).map_err(|e| cannot(&e))?;
    let mut text = String::from_utf8(bytes).map_err(|_| cannot(&"it is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(Refusal::new(format!("the file `{shown}` is empty"), "write the value into it"));
    }
    Ok(Answer { text: text.into(), warning: None })
}

/// Follows every reference: for what the operator wrote himself, read once.
pub(crate) struct Trusted;

impl References for Trusted {
    fn look_up(&mut self, reference: &Reference) -> Result<Answer, Refusal> {
        match reference {
            Reference::File(path) => content(path),
            Reference::Env(name) => variable(name),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Part<'t> {
    Text(&'t str),
    Reference(Reference),
}

const STARTS: [&str; 2] = ["${file:", "${env:"];

/// Whether a text holds references, or what looks like some.
pub(crate) fn mentions(text: &str) -> bool {
    text.contains("${") && STARTS.iter().any(|s| text.contains(s))
}

/// Whether any value below is written with references.
pub(crate) fn any(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Scalar { text, .. } => mentions(text),
        Value::List(items) => items.iter().any(any),
        Value::Map(entries) => entries.iter().any(|(_, n)| any(n)),
    }
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, Refusal> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((at, start)) = STARTS.iter().filter_map(|s| rest.find(s).map(|at| (at, *s))).min() {
        if rest[..at].ends_with('$') {
            out.push(Part::Text(&rest[..at - 1]));
            out.push(Part::Text(start));
            rest = &rest[at + start.len()..];
            continue;
        }
        out.push(Part::Text(&rest[..at]));
        let after = &rest[at + start.len()..];
        let Some((name, tail)) = after.split_once('}') else {
            return Err(Refusal::new(
                format!("`{start}` has no `}}`"),
                format!("close it, or write `${start}` for a value that begins like that"),
            ));
        };
        let reference = if start == "${file:" {
            if name.is_empty() || name.contains('\0') {
                return Err(Refusal::new("`${file:}` names no file", "write a path, as in `${file:/run/secrets/token}`"));
            }
            Reference::File(name.into())
        } else {
            let good = !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if name.is_empty() || !good {
                return Err(Refusal::new(
                    format!("`{start}{name}}}` names no environment variable"),
                    "write letters, digits and `_`, as in `${env:TOKEN}`",
                ));
            }
            Reference::Env(name.to_owned())
        };
        out.push(Part::Reference(reference));
        rest = tail;
    }
    out.push(Part::Text(rest));
    out.retain(|p| *p != Part::Text(""));
    Ok(out)
}

/// A tree with values in place of its references.
pub(crate) struct Expanded {
    pub(crate) node: Node,
    /// References that lead to nothing; such a value stays as written.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Dotted paths of the values that are written with references.
    pub(crate) keys: Vec<String>,
    pub(crate) values: Values,
}

/// What references came to: text and how it was written.
pub type Values = Vec<(Arc<str>, String)>;

/// Follows the references of those values whose dotted path `wanted` says yes to; `key` is the path of `node`.
pub(crate) fn expand(node: &Node, key: &str, wanted: &dyn Fn(&str) -> bool, from: &mut dyn References) -> Expanded {
    let mut work =
        Work { from, wanted, sum: 0, out: Expanded { node: node.clone(), diagnostics: Vec::new(), keys: Vec::new(), values: Vec::new() } };
    let mut node = node.clone();
    work.node(&mut node, key);
    Expanded { node, ..work.out }
}

struct Work<'a> {
    from: &'a mut dyn References,
    wanted: &'a dyn Fn(&str) -> bool,
    sum: usize,
    out: Expanded,
}

impl Work<'_> {
    fn node(&mut self, node: &mut Node, key: &str) {
        let place = &node.place;
        match &mut node.value {
            Value::Null => {}
            Value::List(items) => items.iter_mut().enumerate().for_each(|(i, n)| self.node(n, &format!("{key}[{i}]"))),
            Value::Map(entries) => {
                for (k, n) in entries {
                    if any(n) {
                        let below = if key.is_empty() { k.text.clone() } else { format!("{key}.{}", k.text) };
                        self.node(n, &below);
                    }
                }
            }
            Value::Scalar { text, plain } if mentions(text) => {
                if let Some(value) = self.text(text, key, place) {
                    // What comes from elsewhere is text: `0123` is no number where both could stand.
                    (*text, *plain) = (value, false);
                }
            }
            Value::Scalar { .. } => {}
        }
    }

    fn text(&mut self, text: &str, key: &str, place: &Place) -> Option<String> {
        self.out.keys.push(key.to_owned());
        if !(self.wanted)(key) {
            return None;
        }
        let mut value = String::new();
        let refuse = |r: Refusal| Diagnostic::error(key, r.message).at(place).hint(r.hint);
        let parts = match parts(text) {
            Ok(parts) => parts,
            Err(r) => {
                self.out.diagnostics.push(refuse(r));
                return None;
            }
        };
        for part in parts {
            match part {
                Part::Text(t) => value.push_str(t),
                Part::Reference(reference) => match self.from.look_up(&reference) {
                    Ok(answer) => {
                        self.sum += answer.text.len();
                        if self.sum > LARGEST_SUM {
                            let message = format!("the references beside each other come to more than {} MiB", LARGEST_SUM >> 20);
                            self.out.diagnostics.push(refuse(Refusal::new(message, "name files instead, where an option takes a path")));
                            return None;
                        }
                        if let Some(warning) = answer.warning {
                            let d = Diagnostic::warning(key, warning).at(place);
                            self.out.diagnostics.push(d.hint("what was read last stays in use"));
                        }
                        value.push_str(&answer.text);
                        self.out.values.push((answer.text, reference.to_string()));
                    }
                    Err(r) => {
                        self.out.diagnostics.push(refuse(r));
                        return None;
                    }
                },
            }
        }
        Some(value)
    }
}

/// Takes what references came to out of texts that are shown.
#[derive(Default)]
pub struct Conceal {
    values: Values,
    /// By pieces of the longer values; shorter ones are looked for whole.
    windows: FxHashMap<[u8; WINDOW], usize>,
}

impl fmt::Debug for Conceal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(_, written)| written)).finish()
    }
}

/// What it was made of is seen in the object itself.
impl PartialEq for Conceal {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Conceal {
    pub fn new(mut values: Values) -> Self {
        values.sort();
        values.dedup();
        let mut windows = FxHashMap::default();
        for (i, (value, _)) in values.iter().enumerate() {
            // Messages quote the beginning of what is long.
            for piece in value.as_bytes().windows(WINDOW).take(LARGEST_QUOTED) {
                if let Ok(piece) = piece.try_into() {
                    windows.entry(piece).or_insert(i);
                }
            }
        }
        Conceal { values, windows }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How the value is written of which a piece stands in `text`.
    fn found(&self, text: &str) -> Option<&str> {
        let long = || text.as_bytes().windows(WINDOW).find_map(|w| self.windows.get(<&[u8; WINDOW]>::try_from(w).ok()?).copied());
        let short = || self.values.iter().position(|(v, _)| (SHORTEST..WINDOW).contains(&v.len()) && text.contains(&**v));
        long().or_else(short).and_then(|i| self.values.get(i)).map(|(_, written)| written.as_str())
    }

    /// Replaces what is quoted, or else the whole text.
    pub fn text(&self, text: &mut String) {
        let whole = |quoted: &str| self.values.iter().find(|(v, _)| &**v == quoted).map(|(_, written)| written.as_str());
        if self.is_empty() || self.found(text).is_none() && !text.split('`').skip(1).step_by(2).any(|q| whole(q).is_some()) {
            return;
        }
        let quoted =
            text.split('`').enumerate().map(|(i, part)| if i % 2 == 1 { whole(part).or(self.found(part)).unwrap_or(part) } else { part });
        let better = quoted.collect::<Vec<_>>().join("`");
        *text = match self.found(&better) {
            Some(written) => format!("the value of `{written}` cannot be used here"),
            None => better,
        };
    }

    pub fn diagnostic(&self, d: &mut Diagnostic) {
        self.text(&mut d.message);
        if let Some(hint) = &mut d.hint {
            self.text(hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Format, parse};

    struct Some2;
    impl References for Some2 {
        fn look_up(&mut self, reference: &Reference) -> Result<Answer, Refusal> {
            match reference {
                Reference::Env(name) if name != "NONE" => Ok(Answer { text: format!("<{name}>").into(), warning: None }),
                Reference::File(path) => Ok(Answer { text: path.display().to_string().into(), warning: Some("old".to_owned()) }),
                Reference::Env(_) => Err(Refusal::new("not there", "set it")),
            }
        }
    }

    fn all(text: &str) -> Expanded {
        expand(&parse(text, Format::Yaml, "t.yml".into()).unwrap(), "k", &|_| true, &mut Some2)
    }

    #[test]
    fn values_take_the_place_of_references() {
        for (written, value) in [
            ("${env:A}", "<A>"),
            ("Bearer ${env:A}-${file:/b}!", "Bearer <A>-/b!"),
            ("$${env:A} ${env:B}", "${env:A} <B>"),
            ("$$${file:x}", "$${file:x}"),
            ("${1} $1 ${ENV} ${} ${environment:x} $", "${1} $1 ${ENV} ${} ${environment:x} $"),
            ("${File:/x}", "${File:/x}"),
        ] {
            let got = all(&format!("a: '{written}'"));
            assert_eq!(got.node.at("a").and_then(Node::as_str), Some(value), "{written}");
            assert!(got.diagnostics.iter().all(|d| !d.is_error()), "{written}");
        }
        let got = all("a: {b: [x, '${env:L}']}\nc: 5");
        assert_eq!(got.keys, ["k.a.b[1]"]);
        assert_eq!(got.node.to_json().to_string(), r#"{"a":{"b":["x","<L>"]},"c":5}"#);
        assert_eq!(got.values, [("<L>".into(), "${env:L}".to_owned())]);
    }

    #[test]
    fn mistakes_name_key_and_place() {
        for (written, told) in [
            ("${env:NONE}", "error: not there\n  at  k.a  (t.yml:1:4)\n  hint: set it"),
            (
                "x${file:/a",
                "error: `${file:` has no `}`\n  at  k.a  (t.yml:1:4)\n  hint: close it, or write `$${file:` for a value that begins like that",
            ),
            (
                "${file:}",
                "error: `${file:}` names no file\n  at  k.a  (t.yml:1:4)\n  hint: write a path, as in `${file:/run/secrets/token}`",
            ),
            (
                "${env:A-B}",
                "error: `${env:A-B}` names no environment variable\n  at  k.a  (t.yml:1:4)\n  hint: write letters, digits and `_`, as in `${env:TOKEN}`",
            ),
            ("${file:/f}", "warning: old\n  at  k.a  (t.yml:1:4)\n  hint: what was read last stays in use"),
        ] {
            let got = all(&format!("a: '{written}'"));
            assert_eq!(got.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
        }
    }

    #[test]
    fn what_a_value_came_to_is_taken_out() {
        let conceal = Conceal::new(vec![
            ("correct horse battery".into(), "${env:LONG}".to_owned()),
            ("hunter2".into(), "${env:SHORT}".to_owned()),
            ("80".into(), "${env:PORT}".to_owned()),
        ]);
        for (text, shown) in [
            ("`x` and `correct horse battery staple` are no", "`x` and `${env:LONG}` are no"),
            ("cut `a correct horse ba` off", "cut `${env:LONG}` off"),
            ("user hunter2 unknown", "the value of `${env:SHORT}` cannot be used here"),
            ("`80` is no port, 80 items", "`${env:PORT}` is no port, 80 items"),
            ("nothing to see at 8080", "nothing to see at 8080"),
            ("a `b` c", "a `b` c"),
        ] {
            let mut text = text.to_owned();
            conceal.text(&mut text);
            assert_eq!(text, shown);
        }
    }

    #[test]
    fn files_are_read_without_the_newline_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        for (written, read) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(&*content(&path).unwrap_or_else(|e| panic!("{e:?}")).text, read);
        }
        for bytes in [&b""[..], b"\n", b"\xff", &vec![b'a'; LARGEST + 1]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(content(&path).is_err());
        }
        assert!(content(dir.path()).is_err() && content(&dir.path().join("none")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[$]{0,3}(\\{(file|env):[a-z/é}]{0,4})?[ -~é]{0,20}[$]{0,2}\\{env:A\\}?") {
            let _ = parts(&text);
            let mut shown = text.clone();
            Conceal::new(vec![(text.as_str().into(), "x".to_owned())]).text(&mut shown);
        }
    }
}
