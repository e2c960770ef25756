//! What several first-party plugins need: queries, names of headers, secrets, and answers of other servers.

use std::time::Duration;

use torana_plugin_sdk::prelude::*;

/// Undoes percent-encoding. An incomplete escape stays as it is; what is not UTF-8 becomes U+FFFD.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, after @ ..] if *first == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of a hexadecimal digit.
pub fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes all but letters, digits and `-._~` (RFC 3986, 2.3), for a segment of a path or a value in a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The parameters of a query, decoded; `+` is a space. One without `=` has an empty value.
pub fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (form(name), form(value))
    })
}

fn form(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// Path and query without all parameters of that name.
pub fn without_parameter(path_and_query: &str, name: &str) -> String {
    let Some((path, query)) = path_and_query.split_once('?') else { return path_and_query.into() };
    let kept: Vec<&str> = query.split('&').filter(|pair| form(pair.split('=').next().unwrap_or_default()) != name).collect();
    if kept.is_empty() { path.into() } else { format!("{path}?{}", kept.join("&")) }
}

/// The name of a header in lower case; an error naming `key` if it cannot be one.
pub fn header_name(key: &str, name: &str) -> Result<String, ConfigError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
        return Err(ConfigError::new(key, format!("`{name}` is no header name")).hint("use letters, digits and `-`"));
    }
    Ok(name.to_ascii_lowercase())
}

/// A text that can stand between quotes in a header; an error naming `key` if it cannot.
pub fn quotable(key: &str, text: String) -> Result<String, ConfigError> {
    if text.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\') {
        return Err(ConfigError::new(key, "cannot stand in a header").hint("use ASCII without quotes and backslashes"));
    }
    Ok(text)
}

/// A URL for requests, without the `/` at its end; an error naming `key` if it is none.
pub fn url(key: &str, text: &str) -> Result<String, ConfigError> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(ConfigError::new(key, format!("`{text}` is no URL")).hint("write one such as `https://dns.example.com`"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The secret of that name, without spaces around it; an error naming `key` if it is not granted, or empty.
pub fn secret(key: &str, name: &str) -> Result<String, ConfigError> {
    let grant = format!("grant it: `permissions: {{secrets: {{{name}: {{env: VARIABLE}}}}}}` where the plugin is declared");
    let wrong = |what: &str| ConfigError::new(key, format!("the secret `{name}` {what}"));
    let text = secrets::get(name).ok_or_else(|| wrong("is not granted").hint(grant))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(wrong("is empty").hint("look at the file or variable that it comes from"));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong("has more than one line, or a control character").hint("look at the file or variable that it comes from"));
    }
    Ok(text.to_owned())
}

/// How long a server asks to be left alone: `Retry-After` (RFC 9110, 10.2.3) in seconds. A date is not read.
pub fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// The beginning of an answer's body, on one line.
pub fn words(answer: &Answer) -> String {
    let text = answer.text();
    let line: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    line.join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::testing::Gateway;

    #[test]
    fn encodes() {
        assert_eq!(encode("_acme-challenge.a.test"), "_acme-challenge.a.test");
        assert_eq!(encode("a b&c=/\u{e9}"), "a%20b%26c%3D%2F%C3%A9");
    }

    #[test]
    fn checks_urls() {
        assert_eq!(url("url", "https://a.test/x//").unwrap(), "https://a.test/x");
        for wrong in ["", "a.test", "ftp://a.test", "https://", "https:///x", "https://a.test/ x"] {
            assert_eq!(url("url", wrong).unwrap_err().key, "url", "{wrong}");
        }
    }

    #[test]
    fn asks_for_secrets() {
        let gateway = Gateway::new();
        gateway.secret("good", " abc\n").secret("empty", " ").secret("two", "a\nb");
        assert_eq!(secret("key", "good").unwrap(), "abc");
        let told = |name: &str| secret("key", name).unwrap_err();
        assert_eq!(told("none").message, "the secret `none` is not granted");
        assert!(told("none").hint.contains("secrets: {none: {env: VARIABLE}}"), "{}", told("none").hint);
        assert_eq!(told("empty").message, "the secret `empty` is empty");
        assert!(told("two").message.contains("more than one line"));
    }

    #[test]
    fn reads_answers() {
        let answer = Answer::new(503).with_header("Retry-After", "7").with_text("<p>\nbusy \u{1b}[1m\n");
        assert_eq!(retry_after(&answer), Some(Duration::from_secs(7)));
        assert_eq!(words(&answer), "<p> busy [1m");
        assert_eq!(retry_after(&Answer::new(503).with_header("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }

    #[test]
    fn decodes() {
        assert_eq!(decode("a%20b%2Fc+"), "a b/c+");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%2"), "%zz%2");
        assert_eq!(decode("%ff"), "\u{fffd}");
        let found: Vec<_> = parameters("a=1+2&b&&c=%3D=").collect();
        assert_eq!(found, [("a".into(), "1 2".into()), ("b".into(), String::new()), ("c".into(), "==".into())]);
    }

    #[test]
    fn removes_a_parameter() {
        assert_eq!(without_parameter("/p?a=1&k=2&b=3&%6B=4", "k"), "/p?a=1&b=3");
        assert_eq!(without_parameter("/p?k", "k"), "/p");
        assert_eq!(without_parameter("/p", "k"), "/p");
    }

    #[test]
    fn checks_names() {
        assert_eq!(header_name("header", "X-Key").unwrap(), "x-key");
        assert_eq!(header_name("header", "x key").unwrap_err().key, "header");
        assert!(header_name("header", "").is_err());
        assert!(quotable("realm", "a\"b".into()).is_err());
        assert!(quotable("realm", "my API".into()).is_ok());
    }
}
