//! Go's `text/template` as default rules and files use it: fields, variables, pipelines, `if`, `with`, `range`, and the
//! functions of sprig that make names out of names, lists and numbers. What is not built is refused when the text is read, with
//! the column, and never left for the moment when a container appears.

mod eval;
mod functions;
mod lexer;
mod parser;
mod printf;
mod value;

pub use value::Value;

use std::fmt;

/// A template that was read.
#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<parser::Node>,
    limits: Limits,
}

/// What one rendering may make.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes, also of a single text.
    output: usize,
    /// Also values of a list or map, those in it included.
    steps: usize,
}

impl Limits {
    /// Whether a list or a map may hold these.
    fn hold(self, values: &[Value]) -> bool {
        let (mut count, mut bytes) = (0, 0);
        values.iter().all(|value| {
            let (n, more) = value.extent();
            (count, bytes) = (usize::saturating_add(count, n), usize::saturating_add(bytes, more));
            count <= self.steps && bytes <= self.output * 4
        })
    }
}

/// A default rule is made for each container.
const RULE: Limits = Limits { output: 1 << 16, steps: 100_000 };
/// A file may hold as much as one without templates.
const FILE: Limits = Limits { output: 64 << 20, steps: 5_000_000 };

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// In characters, from 1; 0 when the template was read and failed as it ran.
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.column > 0 {
            write!(f, " (column {})", self.column)?;
        }
        Ok(())
    }
}

impl TemplateError {
    fn at(column: usize, message: impl Into<String>) -> Self {
        TemplateError { column, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        Ok(Template { nodes: parser::parse(text, functions::find)?, limits: RULE })
    }

    /// A file of routing configuration, whose `split` is Go's and not sprig's, as in Traefik.
    pub fn parse_file(text: &str) -> Result<Template, TemplateError> {
        Ok(Template { nodes: parser::parse(text, functions::find_in_file)?, limits: FILE })
    }

    /// The text for `data`, which the template sees as `.`.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, data, self.limits)
    }
}

#[cfg(test)]
mod tests;
