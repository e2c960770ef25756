//! `!` binds before `&&`, `&&` before `||`, as in Go.

use crate::lexer::{Lexer, Token};
use crate::matcher::{Extra, MATCHERS, MatcherKind, NoExtra, known};
use crate::rule::{Offset, Rule, RuleError};
use std::borrow::Cow;
use torana_base::closest;

/// How deep parentheses may nest.
pub const MAX_DEPTH: usize = 200;

/// Reads the text of a rule in v3 syntax. Total: any text gives a rule or an error, in time linear in its length.
pub fn parse(rule: &str) -> Result<Rule, RuleError> {
    parse_in(MATCHERS, rule, &NoExtra)
}

/// The same, with the matchers of a table, and others beside them.
pub(crate) fn parse_in<M>(table: &'static [MatcherKind<M>], rule: &str, extra: &dyn Extra) -> Result<Rule, RuleError> {
    let mut p = Parser { table, extra, lexer: Lexer::new(rule), token: Token::End, at: 0, depth: 0 };
    p.advance()?;
    let parsed = p.any(false)?;
    if p.token == Token::Newline {
        p.advance()?;
        if p.token != Token::End {
            let e = RuleError::new(p.at, format!("the rule ended with the line before, but {} follows", p.token.describe()));
            return Err(e.hint("to go on in the next line, end the line with `&&`, `||`, `(` or `,`"));
        }
    }
    if p.token == Token::End { Ok(parsed) } else { Err(p.unexpected("`&&`, `||` or the end of the rule")) }
}

struct Parser<'a, M: 'static> {
    table: &'static [MatcherKind<M>],
    extra: &'a dyn Extra,
    lexer: Lexer<'a>,
    token: Token<'a>,
    at: usize,
    depth: usize,
}

impl<'a, M> Parser<'a, M> {
    /// Steps to the next token and hands out the one before.
    fn advance(&mut self) -> Result<Token<'a>, RuleError> {
        let (token, at) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// `||`, or its De Morgan dual under a `!`.
    fn any(&mut self, negated: bool) -> Result<Rule, RuleError> {
        let mut list = vec![self.all(negated)?];
        while self.token == Token::Or {
            self.advance()?;
            list.push(self.all(negated)?);
        }
        Ok(if negated { Rule::and(list) } else { Rule::or(list) })
    }

    fn all(&mut self, negated: bool) -> Result<Rule, RuleError> {
        let mut list = vec![self.unary(negated)?];
        while self.token == Token::And {
            self.advance()?;
            list.push(self.unary(negated)?);
        }
        Ok(if negated { Rule::or(list) } else { Rule::and(list) })
    }

    fn unary(&mut self, mut negated: bool) -> Result<Rule, RuleError> {
        while self.token == Token::Not {
            self.advance()?;
            negated = !negated;
        }
        let at = self.at;
        match &self.token {
            Token::Open if self.depth == MAX_DEPTH => {
                Err(RuleError::new(at, format!("more than {MAX_DEPTH} parentheses inside each other")))
            }
            Token::Open => {
                self.advance()?;
                self.depth += 1;
                let inner = self.any(negated)?;
                self.depth -= 1;
                if self.token != Token::Close {
                    return Err(self.unexpected("`&&`, `||` or `)`").hint_if_none("a `(` before it is still open"));
                }
                self.advance()?;
                Ok(inner)
            }
            Token::Name(name) => {
                let kind = self.known(name, at)?;
                self.advance()?;
                let call = self.call(kind, at)?;
                Ok(if negated { Rule::Not(Box::new(call)) } else { call })
            }
            _ => Err(self.unexpected(&format!("a matcher such as {}", self.table.first().map_or("", |k| k.example)))),
        }
    }

    fn call(&mut self, kind: Called<M>, at: usize) -> Result<Rule, RuleError> {
        if self.token != Token::Open {
            return Err(self.unexpected(&format!("`(` after {}", kind.name)).hint_if_none(format!("for example {}", kind.example)));
        }
        self.advance()?;
        let mut args = Vec::new();
        while self.token != Token::Close {
            let here = self.at;
            match self.advance()? {
                Token::Text(t) if t.is_empty() => return Err(RuleError::new(here, format!("an argument of {} is empty", kind.name))),
                Token::Text(t) => args.push(t),
                Token::Single(t) => {
                    let e = RuleError::new(here, "single quotes do not quote a string");
                    return Err(e.hint(format!("use back-quotes: `{}`", t.trim_matches('\''))));
                }
                Token::Name(t) | Token::Number(t) => {
                    let e = RuleError::new(here, format!("an argument of {} has to be a string in quotes, not {t}", kind.name));
                    return Err(e.hint(format!("use back-quotes: `{t}`")));
                }
                other => {
                    let e = RuleError::new(here, format!("expected a string as argument of {}, found {}", kind.name, other.describe()));
                    return Err(e.hint(format!("for example {}", kind.example)));
                }
            }
            if self.token == Token::Dots {
                self.advance()?; // Go's variadic call, which Traefik lets through: nothing may follow
                if self.token == Token::Comma {
                    self.advance()?;
                }
                if self.token != Token::Close {
                    return Err(self.unexpected("`)`"));
                }
            }
            match self.token {
                Token::Comma => drop(self.advance()?),
                Token::Close => {}
                _ => return Err(self.unexpected("`,` or `)`")),
            }
        }
        if let Some(kind) = kind.kind {
            kind.check_arity(args.len(), at)?;
        }
        self.advance()?;
        Ok(Rule::Matcher { name: kind.name, args, at: Offset(at) })
    }

    fn unexpected(&self, wanted: &str) -> RuleError {
        let e = RuleError::new(self.at, format!("expected {wanted}, found {}", self.token.describe()));
        match &self.token {
            Token::Other("&") => e.hint("write `&&`"),
            Token::Other("|") => e.hint("write `||`"),
            Token::Other("!=" | "==" | "=") => e.hint("matchers are not compared: write Path(`/x`) or !Path(`/x`)"),
            Token::Other(";") | Token::Comma => e.hint("join matchers with `&&` or `||`"),
            Token::Name(n) if n.eq_ignore_ascii_case("and") => e.hint("write `&&`"),
            Token::Name(n) if n.eq_ignore_ascii_case("or") => e.hint("write `||`"),
            Token::Name(n) if n.eq_ignore_ascii_case("not") => e.hint("write `!`"),
            Token::Single(_) => e.hint("single quotes do not quote a string: use back-quotes"),
            _ => e,
        }
    }

    fn known(&self, name: &str, at: usize) -> Result<Called<M>, RuleError> {
        if let Some(kind) = known(self.table, name) {
            return Ok(Called { name: kind.name.into(), example: kind.example.into(), kind: Some(kind) });
        }
        let extra = self.extra.names();
        if let Some(name) = extra.iter().find(|n| *n == name) {
            return Ok(Called { name: name.clone().into(), example: format!("{name}(`..`)").into(), kind: None });
        }
        let e = RuleError::new(at, format!("unknown matcher `{name}`"));
        let names = || self.table.iter().map(|k| k.name).chain(extra.iter().map(String::as_str));
        Err(match names().find(|n| n.eq_ignore_ascii_case(name)).or_else(|| closest(name, names())) {
            _ if name.eq_ignore_ascii_case("not") => e.hint("write `!`"),
            Some(meant) => e.hint(format!("did you mean `{meant}`?")),
            None => e.hint(format!("known here: {}", names().collect::<Vec<_>>().join(", "))),
        })
    }
}

/// The matcher whose call is being read.
struct Called<M: 'static> {
    name: Cow<'static, str>,
    example: Cow<'static, str>,
    /// `None` for one that is not built in.
    kind: Option<&'static MatcherKind<M>>,
}
