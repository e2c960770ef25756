//! Regular expressions written for Go. Both engines are automata with nearly one syntax; what differs is
//! rewritten: Perl classes are ASCII, a `{` that repeats nothing and a `[` inside a class are plain
//! characters, and `\Q...\E` quotes.

use regex::{Regex, RegexBuilder};

/// Compiles a pattern with Go's meaning.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern)).build().map_err(|e| match e {
        regex::Error::CompiledTooBig(limit) => format!("the regular expression needs more than {limit} bytes"),
        e => e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut class = false;
    // Just behind the opening of a class, where `]` is a plain character.
    let mut first = false;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        let was_first = std::mem::take(&mut first);
        match c {
            '\\' => {
                let Some(e) = tail.chars().next() else {
                    out.push('\\');
                    break;
                };
                rest = &tail[e.len_utf8()..];
                let ascii = match e {
                    'd' => "0-9",
                    'w' => "0-9A-Za-z_",
                    's' => r"\t\n\f\r ",
                    _ => "",
                };
                match e {
                    'Q' => {
                        let (quoted, after) = rest.split_once(r"\E").unwrap_or((rest, ""));
                        out.push_str(&regex::escape(quoted));
                        rest = after;
                    }
                    'd' | 'w' | 's' if class => out.push_str(ascii),
                    'd' | 'w' | 's' => out.extend(["[", ascii, "]"]),
                    'D' => out.push_str("[^0-9]"),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    'S' => out.push_str(r"[^\t\n\f\r ]"),
                    'b' if !class => out.push_str(r"(?-u:\b)"),
                    e => out.extend(['\\', e]),
                }
                continue;
            }
            '[' if !class => {
                class = true;
                first = true;
                out.push('[');
                if let Some(after) = tail.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                    continue;
                }
            }
            '[' if !tail.starts_with(':') => out.push_str(r"\["),
            '[' => match tail.find(":]") {
                Some(end) => {
                    out.push_str(&rest[..end + 3]);
                    rest = &rest[end + 3..];
                    continue;
                }
                None => out.push_str(r"\["),
            },
            ']' if class && was_first => out.push_str(r"\]"),
            ']' => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', c]),
            '{' if !class && !is_repeat(tail) => out.push_str(r"\{"),
            c => out.push(c),
        }
        rest = tail;
    }
    out
}

/// Whether `{` opens a repetition: `n}`, `n,}` or `n,m}` follows.
fn is_repeat(tail: &str) -> bool {
    let Some((inside, _)) = tail.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, "0"));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_what_go_means() {
        for (pattern, text, matches) in [
            (r"^(http:\/\/(\[[\w:.]+\]|[\w\._-]+)(:\d+)?)\/$", "http://a.test:80/", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^[[a]+$", "[a", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "b]", false),
            (r"^a{b}$", "a{b}", true),
            (r"^a{2,3}$", "aaa", true),
            (r"^\d+$", "٣", false),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[^\s]+$", "a b", false),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), matches, "{pattern}");
        }
        for bad in ["(", "[a", r"\"] {
            assert!(compile(bad).is_err(), "{bad}");
        }
    }
}
