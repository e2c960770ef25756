//! Replacement templates as Go writes them: `$1`, `${1}`, `$name`, `${name}`, `$$`. The name after a bare
//! `$` is as long as it can be, so `$1x` means the group called `1x`; a group that is not there is empty.

use regex::Regex;

/// A regular expression with its replacement, resolved to group numbers.
#[derive(Debug)]
pub(crate) struct Replacement {
    regex: Regex,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    pub(crate) fn new(regex: Regex, template: &str) -> Self {
        let parts = parse(template, &regex);
        Replacement { regex, parts }
    }

    /// Every match replaced; `None` if there is none.
    pub(crate) fn replace_all(&self, text: &str) -> Option<String> {
        let mut end = 0;
        let mut out = None;
        for groups in self.regex.captures_iter(text) {
            let Some(whole) = groups.get(0) else { continue };
            let out = out.get_or_insert_with(|| String::with_capacity(text.len() + 16));
            out.push_str(&text[end..whole.start()]);
            end = whole.end();
            for part in &self.parts {
                match part {
                    Part::Text(t) => out.push_str(t),
                    Part::Group(i) => out.push_str(groups.get(*i).map_or("", |g| g.as_str())),
                }
            }
        }
        out.map(|o| o + &text[end..])
    }
}

fn parse(template: &str, regex: &Regex) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        text.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            text.push('$');
            rest = tail;
        } else if let Some((name, tail)) = group_name(after) {
            if let Some(i) = group_index(name, regex) {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(i));
            }
            rest = tail;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

/// The name behind a `$`, with or without braces, and what follows it.
fn group_name(after: &str) -> Option<(&str, &str)> {
    let braced = after.strip_prefix('{');
    let inside = braced.unwrap_or(after);
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, tail) = inside.split_at(end);
    let tail = if braced.is_some() { tail.strip_prefix('}')? } else { tail };
    (!name.is_empty()).then_some((name, tail))
}

fn group_index(name: &str, regex: &Regex) -> Option<usize> {
    let number = name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    match number.then(|| name.parse::<usize>().ok()).flatten() {
        Some(i) => (i < regex.captures_len()).then_some(i),
        None => regex.capture_names().position(|n| n == Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_like_go() {
        for (regex, template, text, result) in [
            (r"^(?P<sch>https?)://([^/]+)/a/(.*)$", "${sch}://$2/b/${3}?x=$1x&y=$$z", "http://h/a/q", "http://h/b/q?x=&y=$z"),
            ("^http://([^/]+)/p$", "https://$1/$0/${0}/$1_x/$1-x/$/$", "http://h/p", "https://h/http://h/p/http://h/p//h-x/$/$"),
            ("(p)|(q)", "[$1|$2|${3}|$name|${bad]", "apb", "a[p|||||${bad]b".replace("|||||", "||||").as_str()),
            (".*", "/x", "abc", "/x"),
            ("b*", "-", "abc", "-a-c-"),
            ("foo", "bar", "foofoo", "barbar"),
            ("(a)", "$01", "a", ""),
        ] {
            assert_eq!(Replacement::new(Regex::new(regex).unwrap(), template).replace_all(text).as_deref(), Some(result), "{regex}");
        }
        assert_eq!(Replacement::new(Regex::new("x").unwrap(), "y").replace_all("abc"), None);
    }
}
