use std::fmt;
use std::sync::Arc;

/// Where something was written: a file with line and column (1-based), or a source without lines
/// (`environment TRAEFIK_LOG_LEVEL`, `flag --log.level`), for which `line` is 0.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub source: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub fn new(source: Arc<str>, line: u32, column: u32) -> Self {
        Place { source, line, column }
    }

    /// A source without lines.
    pub fn whole(source: impl Into<Arc<str>>) -> Self {
        Place { source: source.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.source) } else { write!(f, "{}:{}:{}", self.source, self.line, self.column) }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Warning,
    Error,
}

/// One thing that is wrong with a configuration: what, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    pub severity: Severity,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// Dotted path of the key, as in `http.routers.api.middlewares[0]`; empty when the whole source is meant.
    pub key: String,
    pub place: Option<Place>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(key: impl Into<String>, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Error, message: message.into(), key: key.into(), place: None, hint: None }
    }

    pub fn warning(key: impl Into<String>, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(key, message) }
    }

    pub fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The form that `torana check --json` prints.
    pub fn to_json(&self) -> serde_json::Value {
        let mut o = serde_json::json!({ "severity": self.severity, "message": self.message, "key": self.key });
        if let Some(p) = &self.place {
            o["source"] = p.source.as_ref().into();
            if p.line > 0 {
                o["line"] = p.line.into();
                o["column"] = p.column.into();
            }
        }
        if let Some(h) = &self.hint {
            o["hint"] = h.as_str().into();
        }
        o
    }
}

/// Three lines at most: what, where, hint.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error() { "error" } else { "warning" };
        write!(f, "{kind}: {}", self.message)?;
        match (&self.place, self.key.is_empty()) {
            (Some(p), true) => write!(f, "\n  at  {p}")?,
            (Some(p), false) => write!(f, "\n  at  {}  ({p})", self.key)?,
            (None, false) => write!(f, "\n  at  {}", self.key)?,
            (None, true) => {}
        }
        if let Some(h) = &self.hint {
            write!(f, "\n  hint: {h}")?;
        }
        Ok(())
    }
}

/// A value with what was found wrong while making it; with an error among them the value is what
/// could be saved.
#[derive(Clone, Debug, Default)]
pub struct Checked<T> {
    pub value: T,
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Checked<T> {
    pub fn ok(value: T) -> Self {
        Checked { value, diagnostics: Vec::new() }
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_reads_as_three_lines() {
        let d = Diagnostic::error("http.routers.api.middlewares[0]", "unknown middleware `auht@file`")
            .at(&Place::new("routing.yml".into(), 14, 9))
            .hint("did you mean `auth@file`?");
        assert_eq!(
            d.to_string(),
            "error: unknown middleware `auht@file`\n  at  http.routers.api.middlewares[0]  (routing.yml:14:9)\n  hint: did you mean `auth@file`?"
        );
        assert_eq!(d.to_json()["line"], 14);
    }
}
