//! Media types as Go's `mime.ParseMediaType` reads them.

/// A type and its parameters, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaType {
    pub(crate) essence: String,
    pub(crate) parameters: Vec<(String, String)>,
}

/// What is wrong with a media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadMediaType {
    /// It is no type at all.
    Type(&'static str),
    /// The type is one, what follows is not.
    Parameter(String),
}

impl MediaType {
    pub(crate) fn parse(text: &str) -> Result<MediaType, BadMediaType> {
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let essence = essence.trim().to_lowercase();
        check(&essence)?;
        let mut parameters: Vec<(String, String)> = Vec::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() || rest.trim_end() == ";" {
                break;
            }
            match parameter(rest) {
                Some((name, value, after)) if parameters.iter().all(|(n, _)| *n != name) => {
                    parameters.push((name, value));
                    rest = after;
                }
                _ => return Err(BadMediaType::Parameter(essence)),
            }
        }
        Ok(MediaType { essence, parameters })
    }

    /// The type alone, also where its parameters are wrong.
    pub(crate) fn essence_of(text: &str) -> Option<String> {
        match MediaType::parse(text) {
            Ok(m) => Some(m.essence),
            Err(BadMediaType::Parameter(essence)) => Some(essence),
            Err(BadMediaType::Type(_)) => None,
        }
    }
}

fn check(essence: &str) -> Result<(), BadMediaType> {
    let (kind, rest) = token(essence);
    if kind.is_empty() {
        return Err(BadMediaType::Type("there is no media type"));
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok(()) } else { Err(BadMediaType::Type("a `/` should stand after the first word")) };
    };
    match token(rest) {
        ("", _) => Err(BadMediaType::Type("a word should stand after the `/`")),
        (_, "") => Ok(()),
        _ => Err(BadMediaType::Type("more than a type and a subtype")),
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// `; name=value`, and what follows.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = token(text.strip_prefix(';')?.trim_start());
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => quoted_value(quoted)?,
        None => {
            let (value, rest) = token(rest);
            (value.to_owned(), rest)
        }
    };
    (!value.is_empty() || rest.len() < text.len()).then(|| (name.to_lowercase(), value, rest))
}

fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[i + 1..])),
            '\\' => {
                let (_, next) = chars.next()?;
                // Only what must be escaped is: paths of Windows stay as they are.
                if !matches!(next, '"' | '\\') {
                    value.push('\\');
                }
                value.push(next);
            }
            '\r' | '\n' => return None,
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_does() {
        for (text, essence, parameters) in [
            ("text/html", "text/html", &[][..]),
            (" TEXT/HTML ; Charset=UTF-8 ", "text/html", &[("charset", "UTF-8")]),
            ("text", "text", &[]),
            ("text/html;", "text/html", &[]),
            ("text/html; ;", "", &[]),
            ("a/b; x=\"q \\\"u\\\" \\o\"; y=1", "a/b", &[("x", "q \"u\" \\o"), ("y", "1")]),
        ] {
            match MediaType::parse(text) {
                Ok(m) => {
                    assert_eq!(m.essence, essence, "{text}");
                    let got: Vec<_> = m.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                    assert_eq!(got, parameters, "{text}");
                }
                Err(e) => assert!(essence.is_empty(), "{text}: {e:?}"),
            }
        }
    }

    #[test]
    fn refuses_as_go_does() {
        for text in ["", " ", "a b", "/html", "text/", "text/html/x", "text/h tml"] {
            assert!(matches!(MediaType::parse(text), Err(BadMediaType::Type(_))), "{text}");
            assert_eq!(MediaType::essence_of(text), None);
        }
        for text in ["text/html; charset", "text/html; =x", "text/html; a=1; A=2", "text/html; a=\"open", "text/html x=1; junk"] {
            assert!(MediaType::parse(text).is_err(), "{text}");
        }
        assert_eq!(MediaType::essence_of("text/html; charset").as_deref(), Some("text/html"));
    }
}
