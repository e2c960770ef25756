use super::TemplateError;

/// A word of an action, and its column in the whole text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) column: usize,
    /// White space stands before it: `.a.b` is one operand, `.a .b` are two.
    pub(super) spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Outside of actions.
    Text(String),
    Open,
    Close,
    Word(String),
    /// `.Name`; empty for `.` alone.
    Field(String),
    /// `$name`; empty for `$`.
    Variable(String),
    Quoted(String),
    Int(i64),
    Float(f64),
    Pipe,
    Left,
    Right,
    Declare,
    Assign,
    Comma,
}

/// The whole text in tokens, white space trimmed where `{{-` and `-}}` say so, comments left out.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<Token> = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while at < chars.len() {
        let open = find(&chars, at, "{{");
        let mut outside: String = chars[at..open.unwrap_or(chars.len())].iter().collect();
        if trim_next {
            outside = outside.trim_start().to_owned();
        }
        let trims = open.is_some_and(|o| chars.get(o + 2) == Some(&'-') && chars.get(o + 3).is_some_and(|c| c.is_whitespace()));
        if trims {
            outside = outside.trim_end().to_owned();
        }
        if !outside.is_empty() {
            out.push(Token { kind: Kind::Text(outside), column: at + 1, spaced: false });
        }
        let Some(open) = open else { break };
        let mut lexer = Lexer { chars: &chars, at: open + if trims { 3 } else { 2 }, open: open + 1 };
        (at, trim_next) = lexer.action(&mut out)?;
    }
    Ok(out)
}

fn find(chars: &[char], from: usize, what: &str) -> Option<usize> {
    let what: Vec<char> = what.chars().collect();
    (from..chars.len()).find(|i| chars[*i..].starts_with(&what))
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    open: usize,
}

impl Lexer<'_> {
    fn now(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn starts(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c))
    }

    /// One action up to its end: where the text goes on, and whether white space is left out there.
    fn action(&mut self, out: &mut Vec<Token>) -> Result<(usize, bool), TemplateError> {
        let after_space = self.chars[self.at..].iter().take_while(|c| c.is_whitespace()).count();
        let comment = self.chars[self.at + after_space..].starts_with(&['/', '*']);
        if comment {
            let end = find(self.chars, self.at, "*/")
                .ok_or_else(|| TemplateError::at(self.open, "the comment has no end").hint("write `*/}}`"))?;
            self.at = end + 2;
            return self.close().ok_or_else(|| TemplateError::at(end + 3, "`}}` belongs behind a comment"));
        }
        out.push(Token { kind: Kind::Open, column: self.open, spaced: false });
        loop {
            let before = self.at;
            if let Some(end) = self.close() {
                out.push(Token { kind: Kind::Close, column: before + 1, spaced: false });
                return Ok(end);
            }
            while self.now().is_some_and(char::is_whitespace) {
                self.at += 1;
            }
            let (column, spaced) = (self.at + 1, self.at > before);
            if let Some(end) = self.close() {
                out.push(Token { kind: Kind::Close, column, spaced });
                return Ok(end);
            }
            let kind = self.token(column)?;
            out.push(Token { kind, column, spaced });
        }
    }

    /// Takes `}}` or `-}}`, the latter behind white space.
    fn close(&mut self) -> Option<(usize, bool)> {
        if self.starts("}}") {
            return Some((self.at + 2, false));
        }
        let space = self.chars[self.at..].iter().take_while(|c| c.is_whitespace()).count();
        let spaced = space > 0 || self.at > 0 && self.chars[self.at - 1].is_whitespace();
        let minus = self.at + space;
        (spaced && self.chars[minus..].starts_with(&['-', '}', '}'])).then_some((minus + 3, true))
    }

    fn word(&mut self) -> String {
        let from = self.at;
        while self.now().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.at += 1;
        }
        self.chars[from..self.at].iter().collect()
    }

    fn token(&mut self, column: usize) -> Result<Kind, TemplateError> {
        let Some(c) = self.now() else {
            return Err(TemplateError::at(self.open, "the action has no end").hint("write `}}` behind it"));
        };
        let next = self.chars.get(self.at + 1).copied();
        let one = |lexer: &mut Self, kind| {
            lexer.at += 1;
            Ok(kind)
        };
        match c {
            '|' => one(self, Kind::Pipe),
            '(' => one(self, Kind::Left),
            ')' => one(self, Kind::Right),
            ',' => one(self, Kind::Comma),
            '=' => one(self, Kind::Assign),
            ':' if next == Some('=') => {
                self.at += 2;
                Ok(Kind::Declare)
            }
            '"' => self.quoted(column),
            '`' => {
                let from = self.at + 1;
                let end = find(self.chars, from, "`").ok_or_else(|| TemplateError::at(column, "the back-quoted text has no end"))?;
                self.at = end + 1;
                Ok(Kind::Quoted(self.chars[from..end].iter().collect()))
            }
            '$' => {
                self.at += 1;
                Ok(Kind::Variable(self.word()))
            }
            '.' if next.is_some_and(|c| c.is_ascii_digit()) => self.number(column),
            '.' => {
                self.at += 1;
                Ok(Kind::Field(self.word()))
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+') && next.is_some_and(|c| c.is_ascii_digit()) => self.number(column),
            c if c.is_alphabetic() || c == '_' => Ok(Kind::Word(self.word())),
            c => Err(TemplateError::at(column, format!("`{c}` cannot stand here"))),
        }
    }

    fn quoted(&mut self, column: usize) -> Result<Kind, TemplateError> {
        let mut text = String::new();
        self.at += 1;
        while let Some(c) = self.now() {
            self.at += 1;
            match c {
                '"' => return Ok(Kind::Quoted(text)),
                '\\' => {
                    let escaped = self.now().unwrap_or('\\');
                    self.at += 1;
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        '\\' | '"' => escaped,
                        other => {
                            return Err(
                                TemplateError::at(self.at - 1, format!("`\\{other}` is no escape")).hint("write the text in back quotes")
                            );
                        }
                    });
                }
                c => text.push(c),
            }
        }
        Err(TemplateError::at(column, "the quoted text has no end"))
    }

    fn number(&mut self, column: usize) -> Result<Kind, TemplateError> {
        let from = self.at;
        self.at += 1;
        while self.now().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')) {
            self.at += 1;
        }
        let text: String = self.chars[from..self.at].iter().collect();
        match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(n), _) => Ok(Kind::Int(n)),
            (_, Ok(n)) if n.is_finite() => Ok(Kind::Float(n)),
            _ => Err(TemplateError::at(column, format!("`{text}` is no number"))),
        }
    }
}
