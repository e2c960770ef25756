//! Go's `text/template` as default rules use it: fields, variables, pipelines, `if`, `with`, `range`, and the
//! functions of sprig that make names out of names. What is not built is refused when the text is read, with
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
}

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
        Ok(Template { nodes: parser::parse(text)? })
    }

    /// The text for `data`, which the template sees as `.`.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, data)
    }
}

#[cfg(test)]
mod tests;
