//! Go regular expressions (RE2 syntax) for the `regex` crate.
//!
//! Most of the two languages is common; what is not is rewritten here, and what Go refuses is refused:
//! `\d \s \w \b` are ASCII; `\Q..\E`, octal escapes, a `{` that counts nothing, `[` and `&&` inside a
//! class; no repetition of a repetition, none above 1000, no flags but `imsU`. Only whether a text
//! matches is ever asked, so groups do not capture and laziness is dropped.
//!
//! Known differences: a compiled program above [`SIZE_LIMIT`] is refused here and not there; groups nest
//! 250 deep here and 1000 there; next to characters beyond ASCII, `\B` is also found between their bytes.

use crate::text;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt::Write as _;

const SIZE_LIMIT: usize = 10 << 20;
const MAX_REPEAT: u32 = 1000;
const POSIX: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// A compiled expression. Texts that are not UTF-8 match as in Go, each bad byte being one U+FFFD.
#[derive(Debug)]
pub(crate) struct Regexp {
    regex: Regex,
    /// What every matching text begins with, when the expression is anchored and shows it.
    pub(crate) prefix: String,
}

impl Regexp {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{pattern}` is not a regular expression: {why}");
        let mut t = Translator {
            rest: pattern,
            out: String::with_capacity(pattern.len() + 16),
            groups: Vec::new(),
            group: Group::default(),
            forked: false,
            flags: String::new(),
        };
        t.run().map_err(|e| bad(&e))?;
        let regex = RegexBuilder::new(&t.out).size_limit(SIZE_LIMIT).build().map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => bad("it is too large when compiled"),
            e => bad(e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")),
        })?;
        let prefix = if t.forked { String::new() } else { literal_prefix(pattern) };
        Ok(Regexp { regex, prefix })
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        // An expression can tell a bad byte from no byte at all only through a copy; such values are rare.
        if std::str::from_utf8(value).is_ok() { self.regex.is_match(value) } else { self.regex.is_match(text::lossy(value).as_bytes()) }
    }
}

/// The plain characters after `^`, up to the first that might mean something else.
fn literal_prefix(pattern: &str) -> String {
    let Some(body) = pattern.strip_prefix('^') else { return String::new() };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%' | ',' | '=' | '@' | ':' | '!');
    let end = body.find(|c| !plain(c)).unwrap_or(body.len());
    let optional = body[end..].starts_with(['*', '?', '{']);
    body[..if optional { end.saturating_sub(1) } else { end }].to_owned()
}

/// What is open between two parentheses.
#[derive(Default)]
struct Group {
    /// There is something that a repetition could repeat, and how often its parts are repeated already.
    atom: Option<u32>,
    /// The last thing was a repetition.
    repeated: bool,
    /// The largest of the counts so far.
    largest: u32,
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    groups: Vec<Group>,
    group: Group,
    /// There is an alternative outside all groups.
    forked: bool,
    /// Flags such as `(?i)` that hold for what follows. They wait, because a repetition right behind them
    /// still means what stands before them.
    flags: String,
}

type Done = Result<(), String>;

impl<'a> Translator<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (head, tail) = self.rest.split_at(bytes);
        self.rest = tail;
        head
    }

    fn take_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn settle(&mut self) {
        self.out.push_str(&std::mem::take(&mut self.flags));
    }

    fn atom(&mut self, counted: u32) {
        self.group.atom = Some(counted.max(1));
        self.group.largest = self.group.largest.max(counted.max(1));
        self.group.repeated = false;
    }

    fn literal(&mut self, c: char) {
        push_char(&mut self.out, c);
        self.atom(1);
    }

    fn verbatim(&mut self, s: &str) {
        self.out.push_str(s);
        self.atom(1);
    }

    fn run(&mut self) -> Done {
        while let Some(c) = self.rest.chars().next() {
            let waits = matches!(c, '*' | '+' | '?' | '(') || (c == '{' && counts(self.rest).is_some());
            if !waits {
                self.settle();
            }
            match c {
                '(' => self.open()?,
                ')' => {
                    self.take(1);
                    let outer = self.groups.pop().ok_or("there is a `)` without a `(`")?;
                    let inner = std::mem::replace(&mut self.group, outer).largest;
                    self.out.push(')');
                    self.atom(inner);
                }
                '|' => {
                    self.take(1);
                    self.out.push('|');
                    self.forked |= self.groups.is_empty();
                    self.group.atom = None;
                    self.group.repeated = false;
                }
                '*' | '+' | '?' => {
                    let operator = self.take(1);
                    self.repeat(operator, 1)?;
                }
                '{' => match counts(self.rest) {
                    Some((len, min, max)) => {
                        let operator = self.take(len);
                        if min > MAX_REPEAT || max.is_some_and(|m| m > MAX_REPEAT || m < min) {
                            return Err(format!("the count of {operator} is not possible, {MAX_REPEAT} is the most"));
                        }
                        let printed = match max {
                            Some(max) => format!("{{{min},{max}}}"),
                            None => format!("{{{min},}}"),
                        };
                        self.repeat(&printed, max.unwrap_or(min))?;
                    }
                    None => {
                        self.take(1);
                        self.literal('{');
                    }
                },
                '[' => self.class()?,
                '.' | '^' | '$' => {
                    let s = self.take(1);
                    self.verbatim(s);
                }
                '\\' => self.escape()?,
                c => {
                    self.take_char();
                    self.literal(c);
                }
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err("a `(` is not closed".into()) }
    }

    fn repeat(&mut self, operator: &str, times: u32) -> Done {
        let Some(inner) = self.group.atom else { return Err(format!("there is nothing for {operator} to repeat")) };
        if self.group.repeated {
            return Err(format!("{operator} repeats a repetition"));
        }
        let total = inner.saturating_mul(times.max(1));
        if times > 1 && total > MAX_REPEAT {
            return Err(format!("repetitions inside each other come to more than {MAX_REPEAT}"));
        }
        if self.rest.starts_with('?') {
            self.take(1); // lazy: the same texts match
        }
        self.out.push_str(operator);
        self.atom(total);
        self.group.repeated = true;
        Ok(())
    }

    fn open(&mut self) -> Done {
        self.take(1);
        if !self.rest.starts_with('?') {
            return self.enter("(?:");
        }
        let named = self.rest.strip_prefix("?P<").or_else(|| self.rest.strip_prefix("?<"));
        if let Some(named) = named {
            let end = named.find('>').filter(|end| *end > 0 && named[..*end].chars().all(|c| c == '_' || c.is_ascii_alphanumeric()));
            let end = end.ok_or("a group's name is made of letters, digits and `_` between `(?P<` and `>`; look-behind does not exist")?;
            self.rest = &named[end + 1..];
            return self.enter("(?:");
        }
        self.take(1);
        let unsupported = "after `(?` only the flags i, m, s, U are known; look-ahead does not exist";
        let (mut on, mut off) = (String::new(), String::new());
        let (mut minus, mut seen) = (false, false);
        loop {
            match self.take_char().ok_or(unsupported)? {
                f @ ('i' | 'm' | 's' | 'U') => {
                    seen = true;
                    on.retain(|c| c != f);
                    off.retain(|c| c != f);
                    match f {
                        'U' => {}
                        f if minus => off.push(f),
                        f => on.push(f),
                    }
                }
                '-' if !minus => (minus, seen) = (true, false),
                end @ (':' | ')') if seen || !minus => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    self.group.repeated &= end == ':';
                    return match (end, on.is_empty() && off.is_empty()) {
                        (':', _) => self.enter(&format!("(?{on}{minus}{off}:")),
                        (_, true) => Ok(()),
                        (_, false) => write!(self.flags, "(?{on}{minus}{off})").map_err(|e| e.to_string()),
                    };
                }
                _ => return Err(unsupported.into()),
            }
        }
    }

    fn enter(&mut self, opening: &str) -> Done {
        self.settle();
        self.out.push_str(opening);
        self.groups.push(std::mem::take(&mut self.group));
        Ok(())
    }

    /// A backslash outside a class.
    fn escape(&mut self) -> Done {
        let mut after = self.rest[1..].chars();
        match after.next() {
            Some('Q') => {
                let body = &self.rest[2..];
                let (quoted, tail) = body.split_once("\\E").unwrap_or((body, ""));
                self.rest = tail;
                quoted.chars().for_each(|c| self.literal(c));
                Ok(())
            }
            Some(c @ ('A' | 'z' | 'b' | 'B')) => {
                self.take(2);
                self.verbatim(match c {
                    'A' => "\\A",
                    'z' => "\\z",
                    'b' => "(?-u:\\b)",
                    _ => "(?-u:\\B)",
                });
                Ok(())
            }
            _ => match self.set()? {
                Some(set) => {
                    self.verbatim(&format!("[{set}]"));
                    Ok(())
                }
                None => self.char_escape().map(|c| self.literal(c)),
            },
        }
    }

    /// `\d \s \w` and their opposites, `\p..`: the inside of a class, if that is what comes next.
    fn set(&mut self) -> Result<Option<String>, String> {
        let mut chars = self.rest.chars();
        let (Some('\\'), Some(kind)) = (chars.next(), chars.next()) else { return Ok(None) };
        let ascii = match kind {
            'd' => "0-9",
            'D' => "[^0-9]",
            's' => "\\t\\n\\f\\r\\x20",
            'S' => "[^\\t\\n\\f\\r\\x20]",
            'w' => "0-9A-Za-z_",
            'W' => "[^0-9A-Za-z_]",
            'p' | 'P' => {
                let tail = &self.rest[2..];
                let (name, rest) = match tail.strip_prefix('{') {
                    Some(t) => t.split_once('}').ok_or("`\\p{` is not closed")?,
                    None => tail.split_at(tail.chars().next().map_or(0, char::len_utf8)),
                };
                let (inverted, name) = name.strip_prefix('^').map_or((false, name), |n| (true, n));
                let name = name.trim();
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err(format!("`\\p{{{name}}}` is not a class of characters"));
                }
                self.rest = rest;
                return Ok(Some(format!("\\{}{{{name}}}", if (kind == 'P') != inverted { 'P' } else { 'p' })));
            }
            _ => return Ok(None),
        };
        self.take(2);
        Ok(Some(ascii.to_owned()))
    }

    /// An escape that means one character.
    fn char_escape(&mut self) -> Result<char, String> {
        self.take(1);
        let unknown = |c: char| format!("`\\{c}` is not an escape sequence");
        let c = self.take_char().ok_or("it ends in a backslash")?;
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => {
                let digits = match self.rest.strip_prefix('{') {
                    Some(body) => {
                        let digits = body.split_once('}').ok_or_else(|| unknown(c))?.0;
                        self.take(digits.len() + 2);
                        digits
                    }
                    None if self.rest.is_char_boundary(2.min(self.rest.len())) && self.rest.len() >= 2 => self.take(2),
                    None => return Err(unknown(c)),
                };
                // Half of a surrogate pair is no character: Go holds it and it never matches anything but U+FFFD.
                let valid = !digits.is_empty() && digits.chars().all(|d| d.is_ascii_hexdigit());
                let code = valid.then(|| u32::from_str_radix(digits, 16).ok()).flatten().filter(|n| *n <= char::MAX as u32);
                char::from_u32(code.ok_or_else(|| unknown(c))?).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            '0'..='7' if c == '0' || self.rest.starts_with(|d: char| ('0'..='7').contains(&d)) => {
                let mut n = c as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(d) = self.rest.chars().next().filter(|d| ('0'..='7').contains(d)) else { break };
                    self.take(1);
                    n = n * 8 + (d as u32 - '0' as u32);
                }
                char::from_u32(n).ok_or_else(|| unknown(c))?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => return Err(unknown(c)),
        })
    }

    fn class(&mut self) -> Done {
        let whole = self.rest;
        let open = || {
            let start: String = whole.chars().take(20).collect();
            format!("a class is not closed: {start}")
        };
        self.take(1);
        let mut set = String::from("[");
        if self.rest.starts_with('^') {
            self.take(1);
            set.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            if let Some(end) = self.rest.strip_prefix("[:").and_then(|t| t.find(":]")) {
                let name = self.take(end + 4);
                let bare = &name[2..end + 2];
                if !POSIX.contains(&bare.strip_prefix('^').unwrap_or(bare)) {
                    return Err(format!("{name} is not a class of characters"));
                }
                set.push_str(name);
            } else if let Some(inner) = self.set()? {
                set.push_str(&inner);
            } else {
                let low = self.class_char().ok_or_else(open)??;
                push_char(&mut set, low);
                if self.rest.starts_with('-') && !self.rest[1..].starts_with(']') && self.rest.len() > 1 {
                    self.take(1);
                    let high = self.class_char().ok_or_else(open)??;
                    if high < low {
                        return Err(format!("the range {low}-{high} in a class runs backwards"));
                    }
                    set.push('-');
                    push_char(&mut set, high);
                }
            }
            first = false;
            if self.rest.is_empty() {
                return Err(open());
            }
        }
        self.take(1);
        set.push(']');
        self.verbatim(&set);
        Ok(())
    }

    fn class_char(&mut self) -> Option<Result<char, String>> {
        if self.rest.starts_with('\\') { Some(self.char_escape()) } else { self.take_char().map(Ok) }
    }
}

/// A character that means itself, inside a class and outside.
fn push_char(out: &mut String, c: char) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        out.push_str(&format!("\\x{:02x}", c as u32));
    } else {
        out.push(c);
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `text`: its length and its numbers; anything else is literal.
fn counts(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let body = text.strip_prefix('{')?;
    let (body, _) = body.split_once('}')?;
    let number = |t: &str| {
        let digits = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()) && (t == "0" || !t.starts_with('0'));
        digits.then(|| t.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match body.split_once(',') {
        None => number(body).map(|n| (n, Some(n)))?,
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((body.len() + 2, min, max))
}
