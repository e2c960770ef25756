//! JSON to nodes. Written by hand for the sake of lines and columns; strings and numbers are left to serde_json.

use super::{MAX_DEPTH, MAX_NODES};
use crate::node::{Key, Node, Value};
use std::collections::HashMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    /// Offset of the first byte of the line.
    start: usize,
    nodes: usize,
    source: Arc<str>,
}

pub(super) fn parse(text: &str, source: Arc<str>) -> Result<Node, Diagnostic> {
    let mut r = Reader { text, at: 0, line: 1, start: 0, nodes: 0, source };
    if r.peek().is_none() {
        return Ok(Node { place: r.place(), value: Value::Null });
    }
    let node = r.value(0)?;
    match r.peek() {
        None => Ok(node),
        Some(_) => Err(r.wrong("something follows the end of the document")),
    }
}

impl Reader<'_> {
    fn place(&self) -> Place {
        let column = self.text.get(self.start..self.at).map_or(0, |t| t.chars().count());
        Place::new(self.source.clone(), self.line, column as u32 + 1)
    }

    fn wrong(&self, what: &str) -> Diagnostic {
        Diagnostic::error("", format!("not valid JSON: {what}")).at(&self.place())
    }

    /// The next byte that is no white space, not consumed.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.start = self.at;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b => return Some(*b),
            }
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Diagnostic> {
        if self.peek() != Some(byte) {
            return Err(self.wrong(what));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Node, Diagnostic> {
        let first = self.peek();
        let place = self.place();
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(self.wrong(&format!("more than {MAX_DEPTH} levels of objects and arrays inside each other")));
        }
        if self.nodes > MAX_NODES {
            return Err(self.wrong(&format!("more than {MAX_NODES} values")));
        }
        let value = match first {
            Some(b'{') => Value::Map(self.object(depth)?),
            Some(b'[') => Value::List(self.array(depth)?),
            Some(b'"') => Value::Scalar { text: self.string()?, plain: false },
            Some(_) => self.word()?,
            None => return Err(self.wrong("the document ends too early")),
        };
        Ok(Node { place, value })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Diagnostic> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut seen: HashMap<String, u32> = HashMap::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(entries);
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key in double quotes belongs here"));
            }
            let place = self.place();
            let text = self.string()?;
            if let Some(first) = seen.insert(text.clone(), place.line) {
                return Err(Diagnostic::error("", format!("key `{text}` is written twice in one object"))
                    .at(&place)
                    .hint(format!("the first is in line {first}; remove one of them")));
            }
            self.expect(b':', "`:` belongs here")?;
            let value = self.value(depth + 1)?;
            entries.push((Key { text, place }, value));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(entries);
                }
                _ => return Err(self.wrong("`,` or `}` belongs here")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node>, Diagnostic> {
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(items);
                }
                _ => return Err(self.wrong("`,` or `]` belongs here")),
            }
        }
    }

    fn string(&mut self) -> Result<String, Diagnostic> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                None => return Err(self.wrong("a string without its closing quote")),
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        let text = self.text.get(self.at..=end).and_then(|t| serde_json::from_str(t).ok());
        let text = text.ok_or_else(|| self.wrong("a string with a control character or a bad escape"))?;
        self.at = end + 1;
        Ok(text)
    }

    fn word(&mut self) -> Result<Value, Diagnostic> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.')).unwrap_or(rest.len());
        let word = &rest[..end];
        let value = match word {
            "null" => Value::Null,
            "true" | "false" => Value::Scalar { text: word.to_owned(), plain: true },
            _ if serde_json::from_str::<f64>(word).is_ok() => Value::Scalar { text: word.to_owned(), plain: true },
            _ => return Err(self.wrong("a value belongs here")),
        };
        self.at += end;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_json_with_places() {
        let text = "{\n  \"a\": [1, -2.5e3, \"\\ud83d\\ude00 \\/\", true, null],\n\t\"b\": {}\n}\n";
        let n = parse(text, "t.json".into()).unwrap();
        assert_eq!(n.to_json().to_string(), r#"{"a":[1,-2500.0,"😀 /",true,null],"b":{}}"#);
        assert_eq!(n.at("a[2]").unwrap().place.to_string(), "t.json:2:20");
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, place) in [
            ("{\"a\": 1,\n \"a\": 2}", "t:2:2"),
            ("{\"a\" 1}", "t:1:6"),
            ("[1 2]", "t:1:4"),
            ("{a: 1}", "t:1:2"),
            ("[01]", "t:1:2"),
            ("\"abc", "t:1:1"),
            ("\"\\", "t:1:1"),
            ("[1] x", "t:1:5"),
            ("[", "t:1:2"),
        ] {
            assert_eq!(parse(text, "t".into()).unwrap_err().place.unwrap().to_string(), place, "{text}");
        }
        assert!(parse(&"[".repeat(100_000), "t".into()).is_err());
    }
}
