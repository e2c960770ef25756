//! Templates of the v2 syntax: text with variables in braces, `{name}` or `{name:regex}`.

use crate::regexp::Regexp;

/// What a template is of: what a variable without an expression takes, and where the text has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Host,
    Path,
    PathPrefix,
    Query,
    /// A server name of TLS.
    Sni,
}

impl Kind {
    fn default_pattern(self) -> &'static str {
        match self {
            Kind::Host | Kind::Sni => "[^.]+",
            Kind::Path | Kind::PathPrefix => "[^/]+",
            Kind::Query => ".*",
        }
    }
}

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    test: Test,
    names: Vec<String>,
    /// The text before the first variable.
    start: String,
}

#[derive(Debug)]
enum Test {
    /// There is no variable: the whole text, or the beginning of it.
    Whole(String),
    Prefix(String),
    Regexp(Regexp),
}

impl Template {
    pub(crate) fn new(text: &str, kind: Kind) -> Result<Self, String> {
        let variables = variables(text)?;
        let mut pattern = String::from(if matches!(kind, Kind::Host | Kind::Sni) { "(?i)^" } else { "^" });
        let mut names = Vec::with_capacity(variables.len());
        let mut end = 0;
        for (from, to) in variables {
            let inside = &text[from + 1..to - 1];
            let (name, own) = inside.split_once(':').map_or((inside, None), |(n, p)| (n, Some(p)));
            let own = own.unwrap_or(kind.default_pattern());
            if name.is_empty() || own.is_empty() {
                return Err(format!("`{}` lacks a name or an expression: write `{{name}}` or `{{name:[a-z]+}}`", &text[from..to]));
            }
            // An expression has to be one by itself; of server names Traefik does not ask it.
            if kind != Kind::Sni {
                Regexp::new(&format!("^{own}$"))?;
            }
            quote(&text[end..from], &mut pattern);
            pattern.push_str(&format!("(?P<v{}>{own})", names.len()));
            names.push(name.to_owned());
            end = to;
        }
        let start = text[..text.find('{').unwrap_or(text.len())].to_owned();
        let any = kind == Kind::Query && text.split_once('=').is_some_and(|(_, value)| value.is_empty());
        let test = match (names.is_empty() && !any, kind) {
            (true, Kind::PathPrefix) => Test::Prefix(text.to_owned()),
            (true, Kind::Path | Kind::Query) => Test::Whole(text.to_owned()),
            _ => {
                quote(&text[end..], &mut pattern);
                if any {
                    pattern.push_str(kind.default_pattern());
                }
                if kind != Kind::PathPrefix {
                    pattern.push('$');
                }
                Test::Regexp(Regexp::new(&pattern)?)
            }
        };
        Ok(Template { test, names, start })
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match &self.test {
            Test::Whole(text) => crate::text::same(value, text),
            Test::Prefix(text) => value.starts_with(text.as_bytes()),
            Test::Regexp(re) => re.matches(value),
        }
    }

    /// The text of a template without variables.
    pub(crate) fn literal(&self) -> Option<&str> {
        match &self.test {
            Test::Whole(text) | Test::Prefix(text) => Some(text),
            Test::Regexp(_) => None,
        }
    }

    /// What every matching text begins with.
    pub(crate) fn start(&self) -> &str {
        &self.start
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

/// Where the outermost braces open and have closed.
fn variables(text: &str) -> Result<Vec<(usize, usize)>, String> {
    let unbalanced = || format!("the braces in `{text}` do not pair up");
    let mut found = Vec::new();
    let (mut depth, mut open) = (0u32, 0);
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'{' => {
                if depth == 0 {
                    open = i;
                }
                depth += 1;
            }
            b'}' => {
                depth = depth.checked_sub(1).ok_or_else(unbalanced)?;
                if depth == 0 {
                    found.push((open, i + 1));
                }
            }
            _ => {}
        }
    }
    if depth == 0 { Ok(found) } else { Err(unbalanced()) }
}

/// Text that stands for itself in an expression.
fn quote(text: &str, into: &mut String) {
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '_' | '/') {
            into.push('\\');
        }
        into.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_take_what_their_place_allows() {
        for (kind, template, text, fits) in [
            (Kind::Path, "/a/{x}", "/a/b", true),
            (Kind::Path, "/a/{x}", "/a/b/c", false),
            (Kind::Path, "/a/{x:[0-9]{2}}", "/a/12", true),
            (Kind::Path, "/a.b", "/axb", false),
            (Kind::Path, "/{x:b|c}d", "/bd", true),
            (Kind::Path, "/{x:b|c}d", "/b", false),
            (Kind::PathPrefix, "/a", "/ab/c", true),
            (Kind::PathPrefix, "/{x}/z", "/y/zz", true),
            (Kind::Host, "{x}.Test", "a.tesT", true),
            (Kind::Host, "{x}.test", "b.a.test", false),
            (Kind::Host, "a.test", "aXtest", false),
            (Kind::Query, "k={v}", "k=", true),
            (Kind::Query, "k=", "k=anything", true),
            (Kind::Query, "k=v", "k=vw", false),
        ] {
            assert_eq!(Template::new(template, kind).unwrap().matches(text.as_bytes()), fits, "{template} {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (template, told) in [
            ("/{a", "do not pair up"),
            ("/a}", "do not pair up"),
            ("/{}", "lacks a name"),
            ("/{a:}", "lacks a name"),
            ("/{:x}", "lacks a name"),
            ("/{a:[}", "not a regular expression"),
            ("/{a:x)(y}", "not a regular expression"),
        ] {
            let error = Template::new(template, Kind::Path).unwrap_err();
            assert!(error.contains(told), "{template}: {error}");
        }
    }
}
