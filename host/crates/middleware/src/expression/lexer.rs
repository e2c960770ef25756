//! The words of an expression, after Go's lexical rules.

use super::Literal;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A name, or several with dots between them.
    Name(&'a str),
    Constant(Literal),
    /// An operator or a bracket.
    Mark(&'static str),
    /// The end of a line behind an operand, where Go ends an expression.
    Newline,
    End,
}

impl Token<'_> {
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Name(t) => format!("`{t}`"),
            Token::Constant(Literal::Text(t)) => format!("`\"{t}\"`"),
            Token::Constant(Literal::Int(n)) => format!("`{n}`"),
            Token::Constant(Literal::Float(n)) => format!("`{n}`"),
            Token::Mark(m) => format!("`{m}`"),
            Token::Newline => "the end of the line".into(),
            Token::End => "the end".into(),
        }
    }
}

/// Longer ones before those that they begin with.
const MARKS: &[&str] = &["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", ",", "-"];

pub(super) struct Lexer<'a> {
    rest: &'a str,
    /// The last token completed an operand: a line break now ends the expression.
    operand: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { rest: text, operand: false }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, String> {
        if self.skip()? {
            self.operand = false;
            return Ok(Token::Newline);
        }
        let token = self.token()?;
        self.operand = matches!(token, Token::Name(_) | Token::Constant(_) | Token::Mark(")"));
        Ok(token)
    }

    /// Skips blanks and comments; true when a line ended after an operand.
    fn skip(&mut self) -> Result<bool, String> {
        loop {
            let rest = self.rest;
            if let Some(after) = rest.strip_prefix('\n') {
                self.rest = after;
                if self.operand {
                    return Ok(true);
                }
            } else if let Some(after) = rest.strip_prefix([' ', '\t', '\r']) {
                self.rest = after;
            } else if rest.starts_with("//") {
                self.rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").ok_or("a comment is not closed by `*/`")?;
                self.rest = &rest[end + 2..];
                if self.operand && rest[..end].contains('\n') {
                    return Ok(true);
                }
            } else {
                return Ok(false);
            }
        }
    }

    fn token(&mut self) -> Result<Token<'a>, String> {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if first == '_' || first.is_alphabetic() {
            let end = rest.find(|c: char| c != '_' && c != '.' && !c.is_alphanumeric()).unwrap_or(rest.len());
            return Ok(Token::Name(self.take(end)));
        }
        if first.is_ascii_digit() || first == '.' {
            return self.number().map(Token::Constant);
        }
        if first == '"' || first == '`' {
            return self.string(first).map(|t| Token::Constant(Literal::Text(t)));
        }
        match MARKS.iter().find(|m| rest.starts_with(**m)) {
            Some(mark) => {
                self.take(mark.len());
                Ok(Token::Mark(mark))
            }
            None => Err(format!("`{first}` has no place here")),
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> Result<Literal, String> {
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        let hex = self.rest.starts_with("0x") || self.rest.starts_with("0X");
        while let Some(b) = bytes.get(end) {
            let exponent = |b: u8| matches!(b, b'p' | b'P') || !hex && matches!(b, b'e' | b'E');
            let sign = matches!(b, b'+' | b'-') && end > 0 && exponent(bytes[end - 1]);
            if !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_') || sign) {
                break;
            }
            end += 1;
        }
        let text = self.take(end);
        let bad = || format!("`{text}` is not a number that can be read here");
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Literal::Int).map_err(|_| bad());
        }
        let plain = text.replace('_', "");
        let decimal = plain.contains(['.', 'e', 'E']) && plain.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        if decimal { plain.parse().map(Literal::Float).map_err(|_| bad()) } else { Err(bad()) }
    }

    fn string(&mut self, quote: char) -> Result<String, String> {
        let open = || format!("a string is not closed by {quote}");
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.take(i + 1);
                    return Ok(text);
                }
                '\n' if quote == '"' => return Err(open()),
                '\\' if quote == '"' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    Some((_, c)) => return Err(format!("`\\{c}` in a string: write the string between back-quotes")),
                    None => return Err(open()),
                },
                c => text.push(c),
            }
        }
        Err(open())
    }
}
