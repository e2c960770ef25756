//! Bytes that Go keeps in a string although they are not UTF-8: here every such byte becomes one U+FFFD,
//! which is what Go's regular expressions see.

/// The bytes as text, without a copy where they are UTF-8 already.
pub(crate) fn from_bytes(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| lossy(e.as_bytes()))
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| out.push(char::REPLACEMENT_CHARACTER));
    }
    out
}

/// Whether `lossy(bytes) == text`, without building the former.
pub(crate) fn same(bytes: &[u8], text: &str) -> bool {
    if bytes == text.as_bytes() {
        return true;
    }
    let mut rest = text;
    for chunk in bytes.utf8_chunks() {
        match rest.strip_prefix(chunk.valid()) {
            Some(tail) => rest = tail,
            None => return false,
        }
        for _ in chunk.invalid() {
            match rest.strip_prefix(char::REPLACEMENT_CHARACTER) {
                Some(tail) => rest = tail,
                None => return false,
            }
        }
    }
    rest.is_empty()
}

/// `%XX` at `at`, decoded.
pub(crate) fn percent(bytes: &[u8], at: usize) -> Option<u8> {
    let hex = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16)).map(|d| d as u8);
    (bytes.get(at) == Some(&b'%')).then(|| Some(hex(at + 1)? << 4 | hex(at + 2)?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecodable_bytes_count_one_each() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"\xff", "\u{fffd}"),
            (b"a\xe2\x82b", "a\u{fffd}\u{fffd}b"),
            ("é".as_bytes(), "é"),
            (b"", ""),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
        ] {
            assert_eq!(lossy(bytes), text);
            assert_eq!(from_bytes(bytes.to_vec()), text);
            assert!(same(bytes, text));
            assert!(!same(bytes, "other") && !same(bytes, &format!("{text}x")));
        }
        assert_eq!(percent(b"%4a", 0), Some(b'J'));
        for bad in ["%4", "%", "%g0", "4a", ""] {
            assert_eq!(percent(bad.as_bytes(), 0), None, "{bad}");
        }
    }
}
