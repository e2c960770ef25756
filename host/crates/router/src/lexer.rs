//! The words of a rule, after Go's lexical rules: rules are Go expressions.

use crate::rule::RuleError;
use crate::text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Name(&'a str),
    /// A back-quoted or double-quoted string, its escapes resolved.
    Text(String),
    /// `'...'`, which Go knows only as one character.
    Single(&'a str),
    Number(&'a str),
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
    Dots,
    /// The end of a line after a complete operand, where Go inserts a semicolon.
    Newline,
    Other(&'a str),
    End,
}

impl Token<'_> {
    /// How an error message calls it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Token::Name(t) | Token::Number(t) | Token::Other(t) | Token::Single(t) => format!("`{t}`"),
            Token::Text(_) => "a string".into(),
            Token::And => "`&&`".into(),
            Token::Or => "`||`".into(),
            Token::Not => "`!`".into(),
            Token::Open => "`(`".into(),
            Token::Close => "`)`".into(),
            Token::Comma => "`,`".into(),
            Token::Dots => "`...`".into(),
            Token::Newline => "the end of the line".into(),
            Token::End => "the end of the rule".into(),
        }
    }
}

pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The last token completed an operand: a line break now ends the expression.
    operand: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        // A byte order mark is let through at the very beginning and nowhere else.
        Lexer { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }, operand: false }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips blanks and comments; true when a line ended after an operand.
    fn skip(&mut self) -> Result<bool, RuleError> {
        loop {
            let rest = self.rest();
            if rest.starts_with('\n') && self.operand {
                self.at += 1;
                return Ok(true);
            } else if rest.starts_with([' ', '\t', '\r', '\n']) {
                self.at += 1;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else {
                    return Err(RuleError::new(self.at, "this comment is not closed").hint("close it with `*/`"));
                };
                self.at += end + 2;
                if self.operand && rest[..end].contains('\n') {
                    return Ok(true);
                }
            } else {
                return Ok(false);
            }
        }
    }

    /// The next token and where it begins.
    pub(crate) fn next(&mut self) -> Result<(Token<'a>, usize), RuleError> {
        if self.skip()? {
            self.operand = false;
            return Ok((Token::Newline, self.at - 1));
        }
        let at = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok((Token::End, at)) };
        let (token, len) = match first {
            '`' => self.raw_string()?,
            '"' => self.string()?,
            '\'' => {
                let line = rest.split('\n').next().unwrap_or(rest);
                let len = line[1..].find('\'').map_or(line.len(), |i| i + 2);
                (Token::Single(&rest[..len]), len)
            }
            c if c == '_' || c.is_alphabetic() => {
                let len = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                (Token::Name(&rest[..len]), len)
            }
            c if c.is_ascii_digit() => {
                let len = rest.find(|c: char| c != '.' && c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                (Token::Number(&rest[..len]), len)
            }
            _ if rest.starts_with("...") => (Token::Dots, 3),
            _ if rest.starts_with("&&") => (Token::And, 2),
            _ if rest.starts_with("||") => (Token::Or, 2),
            _ if ["==", "!=", "<=", ">=", "<-", "->", "=>"].iter().any(|o| rest.starts_with(o)) => (Token::Other(&rest[..2]), 2),
            '!' => (Token::Not, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            c => (Token::Other(&rest[..c.len_utf8()]), c.len_utf8()),
        };
        if rest[..len].contains(['\0', '\u{feff}']) {
            return Err(RuleError::new(at, "a NUL character or a byte order mark has no place in a rule"));
        }
        self.at += len;
        self.operand = matches!(token, Token::Name(_) | Token::Text(_) | Token::Single(_) | Token::Number(_) | Token::Close);
        Ok((token, at))
    }

    fn open_string(&self, quote: char) -> RuleError {
        RuleError::new(self.at, "this string is not closed").hint(format!("close it with {quote}"))
    }

    /// Back-quoted: nothing is an escape, carriage returns are dropped.
    fn raw_string(&self) -> Result<(Token<'a>, usize), RuleError> {
        let body = &self.rest()[1..];
        let end = body.find('`').ok_or_else(|| self.open_string('`'))?;
        Ok((Token::Text(body[..end].replace('\r', "")), end + 2))
    }

    fn string(&self) -> Result<(Token<'a>, usize), RuleError> {
        let rest = self.rest();
        let mut out = Vec::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => return Ok((Token::Text(text::from_bytes(out)), i + 1)),
                '\n' => break,
                '\\' => {
                    let used = escape(&rest[i + 1..], &mut out).ok_or_else(|| {
                        RuleError::new(self.at + i, "unknown escape sequence in a double-quoted string")
                            .hint("write the string between back-quotes, where `\\` stands for itself")
                    })?;
                    chars.nth(used - 1);
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(self.open_string('"'))
    }
}

/// One escape sequence of a Go string, without its backslash: appends its bytes, says how many ASCII
/// characters it took. `\x` and octal escapes mean bytes, `\u` and `\U` characters.
fn escape(rest: &str, out: &mut Vec<u8>) -> Option<usize> {
    let number = |from: usize, len: usize, radix: u32| {
        let digits = rest.get(from..from + len)?;
        digits.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok()).flatten()
    };
    let byte = match rest.as_bytes().first()? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'"' => b'"',
        b'0'..=b'7' => {
            out.push(u8::try_from(number(0, 3, 8)?).ok()?);
            return Some(3);
        }
        b'x' => {
            out.push(u8::try_from(number(1, 2, 16)?).ok()?);
            return Some(3);
        }
        kind @ (b'u' | b'U') => {
            let len = if *kind == b'u' { 4 } else { 8 };
            let c = char::from_u32(number(1, len, 16)?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + len);
        }
        _ => return None,
    };
    out.push(byte);
    Some(1)
}
