//! Files that are Go templates.

use std::sync::Arc;
use torana_base::{Diagnostic, Place};
use torana_discovery::template::{Template, TemplateError, Value};

/// The text that a template comes to. As in Traefik it sees `false` as its data.
pub(super) fn render(text: &str, shown: &str) -> Result<String, Diagnostic> {
    Template::parse_file(text).and_then(|t| t.render(&Value::Bool(false))).map_err(|e| diagnostic(e, text, shown))
}

/// What places in the rendered text name: the file itself while its lines are those that were written.
pub(super) fn source(text: &str, rendered: &str, shown: &str) -> Arc<str> {
    if text.lines().count() == rendered.lines().count() { shown.into() } else { format!("{shown} (rendered)").into() }
}

fn diagnostic(e: TemplateError, text: &str, shown: &str) -> Diagnostic {
    let place = match e.column {
        0 => Place::whole(shown),
        column => {
            let before: String = text.chars().take(column - 1).collect();
            let line = before.matches('\n').count() as u32 + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
            Place::new(shown.into(), line, column)
        }
    };
    let hint = e.hint.unwrap_or_else(|| "the file is a Go template because it holds `{{`; write `{{ \"{{\" }}` for the text itself".to_owned());
    Diagnostic::error("", format!("the template cannot be rendered: {}", e.message)).at(&place).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_a_line_and_a_column() {
        let text = "http:\n  é: {{ env \"X\" | nofunction }}\n";
        let d = render(text, "a.yml").unwrap_err();
        assert_eq!(d.place.as_ref().map(ToString::to_string).as_deref(), Some("a.yml:2:19"));
        assert!(d.message.contains("unknown function `nofunction`"), "{d}");
        let d = render("a: {{ index (list 1) 5 }}", "a.yml").unwrap_err();
        assert!(d.message.contains("there is no item 5") && d.place.is_some(), "{d}");
        assert!(render("{{ range }}", "a.yml").is_err());
    }

    #[test]
    fn places_are_those_of_the_file_while_lines_stay() {
        assert_eq!(&*source("a\nb", "x\ny", "f"), "f");
        assert_eq!(&*source("a\nb", "x", "f"), "f (rendered)");
    }
}
