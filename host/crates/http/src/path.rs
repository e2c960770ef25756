//! What an entry point does to a request target before routing (Traefik `entryPoints.*.http`).

use bytestring::ByteString;
use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// Bytes that may stand unescaped in a path (RFC 3986 `pchar`, `/`, and the brackets that Go lets pass).
fn is_path_byte(b: u8) -> bool {
    is_unreserved(b)
        || matches!(b, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'[' | b']')
}

/// A target that is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// `%` without two hex digits.
    Escape,
    /// `#` in a request target.
    Fragment,
}

/// Whether every `%` begins an escape.
pub fn is_well_escaped(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'%', bytes)
        .all(|i| matches!(bytes.get(i + 1..i + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// Decodes escapes of unreserved characters, writes the others in upper case and escapes what may not
/// stand bare. Borrows what is normal already.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, BadTarget> {
    let bytes = path.as_bytes();
    if bytes.iter().all(|b| is_path_byte(*b)) {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut i = 0;
    while i < bytes.len() {
        let b = bytes[i];
        match b {
            b'%' => {
                let pair = bytes.get(i + 1).copied().and_then(hex).zip(bytes.get(i + 2).copied().and_then(hex));
                let (high, low) = pair.ok_or(BadTarget::Escape)?;
                let decoded = high << 4 | low;
                if is_unreserved(decoded) {
                    out.push(decoded as char);
                } else {
                    push_escaped(&mut out, decoded);
                }
                i += 3;
                continue;
            }
            b'#' => return Err(BadTarget::Fragment),
            b if is_path_byte(b) => out.push(b as char),
            b => push_escaped(&mut out, b),
        }
        i += 1;
    }
    Ok(Cow::Owned(out))
}

fn push_escaped(out: &mut String, b: u8) {
    out.push('%');
    out.push(HEX[usize::from(b >> 4)] as char);
    out.push(HEX[usize::from(b & 15)] as char);
}

/// Removes `.` and `..` segments and doubled slashes; a slash at the end stays.
pub fn sanitize(path: &str) -> Cow<'_, str> {
    if path.starts_with('/') && !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut segments: Vec<&str> = Vec::new();
    for s in path.split('/') {
        match s {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            s => segments.push(s),
        }
    }
    let mut out = String::with_capacity(path.len() + 1);
    for s in &segments {
        out.push('/');
        out.push_str(s);
    }
    if out.is_empty() || path.ends_with('/') {
        out.push('/');
    }
    Cow::Owned(out)
}

/// Escapes a path written by hand (in a configuration) so that it may go on the wire; escapes that are
/// already there stay.
pub fn escape(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    for (i, b) in bytes.iter().copied().enumerate() {
        let escape_here =
            b == b'%' && bytes.get(i + 1).copied().and_then(hex).is_some() && bytes.get(i + 2).copied().and_then(hex).is_some();
        if escape_here || is_path_byte(b) {
            out.push(b as char);
        } else {
            push_escaped(&mut out, b);
        }
    }
    out
}

/// All percent escapes decoded; bytes that are no UTF-8 become U+FFFD.
pub fn decode(path: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy()
}

/// `;` as `%3B` (`encodeQuerySemicolons`) or, towards a server, as `&`.
pub fn replace_semicolons(query: &ByteString, with: &str) -> Option<ByteString> {
    memchr::memchr(b';', query.as_bytes()).map(|_| query.replace(';', with).into())
}

/// Characters that `encodedCharacters` can deny in escaped form; a bit each.
pub mod encoded {
    pub const SLASH: u8 = 1;
    pub const BACK_SLASH: u8 = 2;
    pub const NULL: u8 = 4;
    pub const SEMICOLON: u8 = 8;
    pub const PERCENT: u8 = 16;
    pub const QUESTION_MARK: u8 = 32;
    pub const HASH: u8 = 64;

    /// Whether an escaped path holds one of the `denied` characters in escaped form.
    pub fn denied(path: &str, denied: u8) -> bool {
        denied != 0
            && memchr::memchr_iter(b'%', path.as_bytes()).any(|i| {
                let bit = match path.as_bytes().get(i + 1..i + 3) {
                    Some([b'2', b'F' | b'f']) => SLASH,
                    Some([b'5', b'C' | b'c']) => BACK_SLASH,
                    Some([b'0', b'0']) => NULL,
                    Some([b'3', b'B' | b'b']) => SEMICOLON,
                    Some([b'2', b'5']) => PERCENT,
                    Some([b'3', b'F' | b'f']) => QUESTION_MARK,
                    Some([b'2', b'3']) => HASH,
                    _ => 0,
                };
                denied & bit != 0
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_like_the_entry_point() {
        for (from, to) in [
            ("/x%41%2fb", "/xA%2Fb"),
            ("/a/%2e%2e/b", "/a/../b"),
            ("/sp%20ace", "/sp%20ace"),
            ("/a\"b", "/a%22b"),
            ("/é", "/%C3%A9"),
            ("/", "/"),
        ] {
            assert_eq!(normalize(from).unwrap(), to, "{from}");
        }
        assert_eq!(normalize("/a%2"), Err(BadTarget::Escape));
        assert_eq!(normalize("/a%zz"), Err(BadTarget::Escape));
        assert_eq!(normalize("/a#b"), Err(BadTarget::Fragment));
    }

    #[test]
    fn escapes() {
        for (path, good) in [("/a", true), ("/%41%2f", true), ("/%", false), ("/%4", false), ("/%zz", false), ("/%u0041", false)] {
            assert_eq!(is_well_escaped(path), good, "{path}");
        }
    }

    #[test]
    fn sanitizes_like_the_entry_point() {
        for (from, to) in [
            ("/a/../b", "/b"),
            ("//x//y", "/x/y"),
            ("/a/.", "/a"),
            ("/a/./", "/a/"),
            ("/../..", "/"),
            ("", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/b/..", "/a"),
            ("/a/b/../", "/a/"),
        ] {
            assert_eq!(sanitize(from), to, "{from}");
        }
    }

    #[test]
    fn finds_denied_escapes() {
        assert!(encoded::denied("/a%2fb", encoded::SLASH));
        assert!(!encoded::denied("/a%2fb", encoded::HASH));
        assert!(!encoded::denied("/a%2", 0x7f));
    }
}
