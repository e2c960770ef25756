//! What several first-party plugins need: queries and names of headers.

use torana_plugin_sdk::ConfigError;

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

#[cfg(test)]
mod tests {
    use super::*;

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
