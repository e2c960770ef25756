//! What a guest writes as URI of a request, read as Go's `url.ParseRequestURI` reads it.

use super::message::Refusal;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What Go escapes in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Escaped path and query. Nothing means `/`.
pub(super) fn parse(uri: &[u8]) -> Result<(String, Option<String>), Refusal> {
    let wrong = |why: &str| format!("`{}` is not the URI of a request: {why}", String::from_utf8_lossy(uri).escape_debug());
    if uri.is_empty() {
        return Ok(("/".to_owned(), None));
    }
    let text = std::str::from_utf8(uri).map_err(|_| wrong("it is no UTF-8"))?;
    if text.bytes().any(|b| b.is_ascii_control()) {
        return Err(wrong("it holds a control character"));
    }
    let target = if text.starts_with('/') || text == "*" {
        text
    } else {
        after_authority(text).ok_or_else(|| wrong("it does not begin with `/`"))?
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.replace(' ', "%20"))),
        None => (target, None),
    };
    if !well_escaped(path) {
        return Err(wrong("an escape is broken"));
    }
    let path = if path.is_empty() { "/" } else { path };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!$&'()*+,;=:@[]/-_.~%".contains(&b);
    let path = match path.bytes().all(fits) {
        true => path.to_owned(),
        // As Go prints the path that it read.
        false => percent_encode(&percent_decode(path.as_bytes()).collect::<Vec<u8>>(), PATH).to_string(),
    };
    Ok((path, query))
}

/// Of `scheme://authority/path`, what follows the authority.
fn after_authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let named =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    named.then(|| &rest[rest.find(['/', '?']).unwrap_or(rest.len())..])
}

fn well_escaped(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (uri, path, query) in [
            ("", "/", None),
            ("/", "/", None),
            ("/a%2Fb?c=%zz", "/a%2Fb", Some("c=%zz")),
            ("/a?", "/a", Some("")),
            ("/a b/%2F\"?x y", "/a%20b//%22", Some("x%20y")),
            ("/é#f", "/%C3%A9%23f", None),
            ("http://other:81/p?q", "/p", Some("q")),
            ("http://other", "/", None),
            ("*", "*", None),
        ] {
            assert_eq!(parse(uri.as_bytes()), Ok((path.to_owned(), query.map(str::to_owned))), "{uri}");
        }
        for bad in [&b"a"[..], b"a/b", b"/%zz", b"/%2", b"/\r\n", b"\xff", b"1://h/", b"/\x7f"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
