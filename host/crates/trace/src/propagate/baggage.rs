//! W3C Baggage: goes on as it came, tidied; one that is wrong goes on untouched.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const NAME: HeaderName = HeaderName::from_static("baggage");

/// Limits of the specification (3.3.2), of all lines together.
const MOST_BYTES: usize = 8192;
/// Of the first edition of the specification: what is looked through for each member stays short.
const MOST_MEMBERS: usize = 180;

pub(super) fn extract(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members: Vec<(&str, String)> = Vec::new();
    let mut room = MOST_BYTES;
    for value in headers.get_all(&NAME) {
        room = room.checked_sub(value.len())?;
        let value = value.to_str().ok()?;
        for member in value.split(',').map(str::trim).filter(|m| !m.is_empty()) {
            let (pair, properties) = member.split_once(';').map_or((member, None), |(p, rest)| (p, Some(rest)));
            let (key, value) = pair.split_once('=')?;
            let (key, value) = (key.trim(), value.trim());
            if !is_token(key) || !value.bytes().all(is_value_byte) {
                return None;
            }
            let mut text = format!("{key}={value}");
            for property in properties.iter().flat_map(|p| p.split(';')).map(str::trim).filter(|p| !p.is_empty()) {
                let (k, v) = property.split_once('=').map_or((property, None), |(k, v)| (k.trim(), Some(v.trim())));
                if !is_token(k) || !v.is_none_or(|v| v.bytes().all(is_value_byte)) {
                    return None;
                }
                text.push(';');
                text.push_str(k);
                if let Some(v) = v {
                    text.push('=');
                    text.push_str(v);
                }
            }
            if members.len() == MOST_MEMBERS {
                return None;
            }
            // The last one of a name counts.
            members.retain(|(k, _)| *k != key);
            members.push((key, text));
        }
    }
    let joined: Vec<String> = members.into_iter().map(|(_, text)| text).collect();
    HeaderValue::try_from(joined.join(",")).ok().filter(|v| !v.is_empty())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_value_byte(b: u8) -> bool {
    matches!(b, b'!'..=b'~') && !matches!(b, b'"' | b',' | b';' | b'\\')
}
