use std::borrow::Cow;
use std::fmt::{self, Write as _};
use torana_base::Diagnostic;

/// Where in the rule's text something stands, in bytes. All offsets are equal to each other, so that two
/// rules compare by what they mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offset(pub usize);

impl PartialEq for Offset {
    fn eq(&self, _: &Offset) -> bool {
        true
    }
}

impl Eq for Offset {}

/// A parsed rule. `Not` stands only around a matcher (De Morgan), an `And` never directly inside an
/// `And`, an `Or` never inside an `Or`, and both have at least two members: the constructors see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    /// `name` as the table of matchers spells it.
    Matcher {
        name: Cow<'static, str>,
        args: Vec<String>,
        at: Offset,
    },
}

impl Rule {
    pub fn and(rules: Vec<Rule>) -> Rule {
        Self::join(rules, Rule::And, |r| match r {
            Rule::And(inner) => Ok(inner),
            other => Err(other),
        })
    }

    pub fn or(rules: Vec<Rule>) -> Rule {
        Self::join(rules, Rule::Or, |r| match r {
            Rule::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn join(mut rules: Vec<Rule>, whole: fn(Vec<Rule>) -> Rule, open: fn(Rule) -> Result<Vec<Rule>, Rule>) -> Rule {
        if rules.len() == 1 {
            return rules.remove(0);
        }
        let mut flat = Vec::with_capacity(rules.len());
        for r in rules {
            match open(r) {
                Ok(inner) => flat.extend(inner),
                Err(r) => flat.push(r),
            }
        }
        whole(flat)
    }

    /// The opposite, pushed down to the matchers.
    pub fn negate(self) -> Rule {
        match self {
            Rule::And(list) => Rule::or(list.into_iter().map(Rule::negate).collect()),
            Rule::Or(list) => Rule::and(list.into_iter().map(Rule::negate).collect()),
            Rule::Not(inner) => *inner,
            matcher => Rule::Not(Box::new(matcher)),
        }
    }
}

/// Text that parses back to the same rule.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, list: &[Rule], operator: &str| {
            for (i, r) in list.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { operator })?;
                match r {
                    Rule::Or(_) if operator == " && " => write!(f, "({r})")?,
                    r => write!(f, "{r}")?,
                }
            }
            Ok(())
        };
        match self {
            Rule::And(list) => joined(f, list, " && "),
            Rule::Or(list) => joined(f, list, " || "),
            Rule::Not(inner) if matches!(**inner, Rule::Matcher { .. }) => write!(f, "!{inner}"),
            Rule::Not(inner) => write!(f, "!({inner})"),
            Rule::Matcher { name, args, .. } => {
                write!(f, "{name}(")?;
                for (i, a) in args.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    quote(f, a)?;
                }
                f.write_str(")")
            }
        }
    }
}

/// Back-quoted when that says it literally, otherwise double-quoted with escapes.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.contains(['`', '\r', '\0', '\u{feff}']) {
        return write!(f, "`{text}`");
    }
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\u{feff}' => f.write_str("\\ufeff")?,
            c if c.is_ascii_control() => write!(f, "\\x{:02x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Why a text is not a rule: what is wrong, where (a byte offset into the text), and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub message: String,
    pub offset: usize,
    pub hint: Option<String>,
}

impl RuleError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        RuleError { message: message.into(), offset, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn hint_if_none(self, hint: impl Into<String>) -> Self {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    /// The line of `rule` where the error stands and a caret under the place.
    pub fn caret(&self, rule: &str) -> String {
        let at = rule.floor_char_boundary(self.offset);
        let (before, after) = rule.split_at(at);
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let end = after.find('\n').map_or(rule.len(), |i| at + i);
        let column = rule[start..at].chars().count();
        format!("{}\n{:column$}^", rule[start..end].replace('\t', " "), "")
    }

    /// As a diagnostic of the router at `key`, with the rule and the caret in the message.
    pub fn to_diagnostic(&self, key: impl Into<String>, rule: &str) -> Diagnostic {
        let caret = self.caret(rule).replace('\n', "\n      ");
        let d = Diagnostic::error(key, format!("{}\n      {caret}", self.message));
        match &self.hint {
            Some(h) => d.hint(h),
            None => d,
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.message, self.offset)?;
        self.hint.iter().try_for_each(|h| write!(f, "; {h}"))
    }
}

impl std::error::Error for RuleError {}
