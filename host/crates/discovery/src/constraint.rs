//! Which objects are looked at: ``Label(`stage`, `prod`) && !LabelRegex(`name`, `^test-`)``.

use regex::Regex;
use std::collections::BTreeMap;
use torana_base::{Diagnostic, closest};

/// Parentheses and `!` inside each other, at most.
const MAX_DEPTH: usize = 50;

/// What a source has: labels with values, or tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `Label` and `LabelRegex`.
    Label,
    /// `Tag` and `TagRegex`.
    Tag,
}

/// The option `constraints` of a provider.
#[derive(Clone, Debug)]
pub struct Constraint {
    expression: Expression,
    /// As written: equal texts are equal constraints.
    text: String,
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[derive(Clone, Debug)]
enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Label(String, String),
    LabelRegex(String, Regex),
    Tag(String),
    TagRegex(Regex),
}

impl Constraint {
    /// `None` for an empty text, which every object fulfils. `option` is what the diagnostic names, such as
    /// `providers.docker.constraints`.
    pub fn parse(option: &str, text: &str, flavour: Flavour) -> Result<Option<Constraint>, Diagnostic> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let mut parser = Parser { chars: text.chars().collect(), at: 0, flavour, depth: 0 };
        let read = parser.or().and_then(|expression| {
            parser.space();
            if parser.at < parser.chars.len() { Err(parser.wrong("`&&`, `||` or the end belongs here", None)) } else { Ok(expression) }
        });
        match read {
            Ok(expression) => Ok(Some(Constraint { expression, text: text.to_owned() })),
            Err((column, message, hint)) => {
                let d = Diagnostic::error(option, format!("{message} (column {column})"));
                Err(Diagnostic { hint, ..d })
            }
        }
    }

    /// A label that is not there is the empty text.
    pub fn fulfilled(&self, labels: &BTreeMap<String, String>, tags: &[String]) -> bool {
        self.expression.holds(labels, tags)
    }
}

impl Expression {
    fn holds(&self, labels: &BTreeMap<String, String>, tags: &[String]) -> bool {
        let value = |name: &str| labels.get(name).map_or("", String::as_str);
        match self {
            Expression::And(a, b) => a.holds(labels, tags) && b.holds(labels, tags),
            Expression::Or(a, b) => a.holds(labels, tags) || b.holds(labels, tags),
            Expression::Not(a) => !a.holds(labels, tags),
            Expression::Label(name, wanted) => value(name) == wanted,
            Expression::LabelRegex(name, regex) => regex.is_match(value(name)),
            Expression::Tag(wanted) => tags.contains(wanted),
            Expression::TagRegex(regex) => tags.iter().any(|t| regex.is_match(t)),
        }
    }
}

type Wrong = (usize, String, Option<String>);

struct Parser {
    chars: Vec<char>,
    at: usize,
    flavour: Flavour,
    depth: usize,
}

impl Parser {
    fn space(&mut self) {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, what: &str) -> bool {
        self.space();
        let there = what.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        if there {
            self.at += what.len();
        }
        there
    }

    fn wrong(&self, message: impl Into<String>, hint: Option<String>) -> Wrong {
        (self.at + 1, message.into(), hint)
    }

    fn or(&mut self) -> Result<Expression, Wrong> {
        let mut left = self.and()?;
        while self.take("||") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, Wrong> {
        let mut left = self.not()?;
        while self.take("&&") {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("the expression is nested too deeply", None));
        }
        let read = if self.take("!") {
            self.not().map(|e| Expression::Not(Box::new(e)))
        } else if self.take("(") {
            self.or().and_then(|inner| if self.take(")") { Ok(inner) } else { Err(self.wrong("`)` belongs here", None)) })
        } else {
            self.call()
        };
        self.depth -= 1;
        read
    }

    fn call(&mut self) -> Result<Expression, Wrong> {
        self.space();
        let start = self.at;
        while self.chars.get(self.at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
            self.at += 1;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        let known: &[(&str, usize)] = match self.flavour {
            Flavour::Label => &[("Label", 2), ("LabelRegex", 2)],
            Flavour::Tag => &[("Tag", 1), ("TagRegex", 1)],
        };
        let Some((_, count)) = known.iter().find(|(k, _)| *k == name) else {
            self.at = start;
            let names = known.iter().map(|(k, _)| *k);
            let hint = closest(&name, names.clone()).map(|near| format!("did you mean `{near}`?"));
            let hint = hint.unwrap_or_else(|| format!("known here: {}", names.collect::<Vec<_>>().join(", ")));
            let message = if name.is_empty() { "a function belongs here".to_owned() } else { format!("unknown function `{name}`") };
            return Err(self.wrong(message, Some(hint)));
        };
        if !self.take("(") {
            return Err(self.wrong("`(` belongs here", None));
        }
        let mut texts = Vec::new();
        while !self.take(")") {
            if !texts.is_empty() && !self.take(",") {
                return Err(self.wrong("`,` or `)` belongs here", None));
            }
            texts.push(self.text()?);
        }
        if texts.len() != *count {
            self.at = start;
            let hint = if *count == 2 { format!("write {name}(`name`, `value`)") } else { format!("write {name}(`tag`)") };
            return Err(self.wrong(format!("`{name}` takes {count} texts, not {}", texts.len()), Some(hint)));
        }
        let last = texts.pop().unwrap_or_default();
        let first = texts.pop().unwrap_or_default();
        let regex = |parser: &mut Self| {
            Regex::new(&last).map_err(|_| {
                parser.at = start;
                parser.wrong(format!("`{last}` is no regular expression"), None)
            })
        };
        Ok(match name.as_str() {
            "Label" => Expression::Label(first, last),
            "LabelRegex" => Expression::LabelRegex(first, regex(self)?),
            "Tag" => Expression::Tag(last),
            _ => Expression::TagRegex(regex(self)?),
        })
    }

    fn text(&mut self) -> Result<String, Wrong> {
        self.space();
        let Some(quote @ ('`' | '"')) = self.chars.get(self.at).copied() else {
            return Err(self.wrong("a quoted text belongs here", Some("write it in back quotes".to_owned())));
        };
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.chars.get(self.at).copied() {
            self.at += 1;
            match c {
                c if c == quote => return Ok(text),
                '\\' if quote == '"' => {
                    text.push(match self.chars.get(self.at) {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some(c @ ('\\' | '"')) => *c,
                        _ => return Err(self.wrong("this is no escape", Some("write the text in back quotes".to_owned()))),
                    });
                    self.at += 1;
                }
                c => text.push(c),
            }
        }
        self.at = start;
        Err(self.wrong("the text has no end", None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let labels = [("stage", "prod"), ("app", "shop")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Constraint::parse("o", text, Flavour::Label).unwrap().unwrap().fulfilled(&labels, &[])
    }

    fn refused(text: &str, flavour: Flavour) -> String {
        let d = Constraint::parse("providers.docker.constraints", text, flavour).unwrap_err();
        format!("{} | {}", d.message, d.hint.unwrap_or_default())
    }

    #[test]
    fn expressions_hold_or_not() {
        for (text, expected) in [
            ("Label(`stage`, `prod`)", true),
            ("Label(\"stage\",\"dev\")", false),
            ("Label(`stage`,`dev`) || Label(`app`,`shop`) && LabelRegex(`stage`, `^pr`)", true),
            ("!Label(`skip`,``)", false),
            ("!(Label(`stage`,`prod`) && Label(`app`,`other`))", true),
            ("!!LabelRegex(`app`, `o`)", true),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
        let tags = ["a".to_owned(), "b.c=d".to_owned()];
        for (text, expected) in [("Tag(`a`)", true), ("Tag(`A`)", false), ("TagRegex(`^b\\.`)", true), ("!Tag(`a`)", false)] {
            let c = Constraint::parse("o", text, Flavour::Tag).unwrap().unwrap();
            assert_eq!(c.fulfilled(&BTreeMap::new(), &tags), expected, "{text}");
        }
        assert_eq!(Constraint::parse("o", "  ", Flavour::Tag), Ok(None));
    }

    #[test]
    fn mistakes_tell_the_column_and_what_to_do() {
        for (text, flavour, expected) in [
            ("Lable(`a`,`b`)", Flavour::Label, "unknown function `Lable` (column 1) | did you mean `Label`?"),
            ("Label(`a`,`b`)", Flavour::Tag, "unknown function `Label` (column 1) | known here: Tag, TagRegex"),
            ("Label(`a`)", Flavour::Label, "`Label` takes 2 texts, not 1 (column 1) | write Label(`name`, `value`)"),
            ("Label(`a`,`b`) &", Flavour::Label, "`&&`, `||` or the end belongs here (column 16) | "),
            ("Label(`a`,'b')", Flavour::Label, "a quoted text belongs here (column 11) | write it in back quotes"),
            ("(Tag(`a`)", Flavour::Tag, "`)` belongs here (column 10) | "),
            ("TagRegex(`(`)", Flavour::Tag, "`(` is no regular expression (column 1) | "),
            ("Tag(`a", Flavour::Tag, "the text has no end (column 5) | "),
        ] {
            assert_eq!(refused(text, flavour), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_expression_panics(text in "(Label|TagRegex|Tag|\\(|\\)|`|\"|,|&&|\\|\\||!|[ -~é]){0,20}") {
            for flavour in [Flavour::Label, Flavour::Tag] {
                let _ = Constraint::parse("o", &text, flavour);
            }
        }
    }
}
