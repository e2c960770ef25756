//! URL escaping exactly as Go's `net/url` does it, since what a path looks like on the wire after a
//! rewrite follows from its rules: a path keeps the escapes it came with as long as they still decode to
//! the rewritten path, and is escaped anew otherwise.

use percent_encoding::percent_decode;
use std::borrow::Cow;

fn unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~')
}

/// Bytes that Go leaves alone when it escapes a path.
fn path_byte(b: u8) -> bool {
    unreserved(b) || matches!(b, b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@')
}

/// Bytes that may stand in a path that is taken over as it is.
fn raw_path_byte(b: u8) -> bool {
    path_byte(b) || matches!(b, b'!' | b'\'' | b'(' | b')' | b'*' | b'[' | b']')
}

fn fragment_byte(b: u8) -> bool {
    path_byte(b) || matches!(b, b'?' | b'!' | b'(' | b')' | b'*')
}

fn escape(bytes: &[u8], keep: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for b in bytes {
        if keep(*b) {
            out.push(*b as char);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend(['%', HEX[usize::from(b >> 4)] as char, HEX[usize::from(b & 15)] as char]);
        }
    }
    out
}

/// Every byte that Go would escape in a path, escaped.
pub(crate) fn escape_path(path: &[u8]) -> String {
    escape(path, path_byte)
}

/// The first `%` that two hex digits do not follow, with what stands there.
pub(crate) fn bad_escape(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let at = bytes
        .iter()
        .enumerate()
        .find(|(i, b)| **b == b'%' && !bytes.get(i + 1..i + 3).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)))?
        .0;
    Some(text.get(at..at + 3).unwrap_or(&text[at..]))
}

/// All escapes decoded.
pub(crate) fn decode(path: &str) -> Cow<'_, [u8]> {
    percent_decode(path.as_bytes()).into()
}

/// Whether escaping the decoded path gives it back.
pub(crate) fn is_default(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                let Some(&[high, low]) = bytes.get(i + 1..i + 3) else { return false };
                let (Some(h), Some(l)) = ((high as char).to_digit(16), (low as char).to_digit(16)) else { return false };
                if high.is_ascii_lowercase() || low.is_ascii_lowercase() || path_byte((h << 4 | l) as u8) {
                    return false;
                }
                i += 3;
            }
            b if path_byte(b) => i += 1,
            _ => return false,
        }
    }
    true
}

/// How `decoded` goes on the wire if it may keep the spelling `raw`.
pub(crate) fn encode(decoded: &[u8], raw: &str) -> String {
    let valid = raw.bytes().all(|b| b == b'%' || raw_path_byte(b)) && bad_escape(raw).is_none();
    if valid && *decode(raw) == *decoded { raw.to_owned() } else { escape_path(decoded) }
}

/// A URL read and printed again: scheme in lower case, path and fragment escaped where they must be.
/// `None` for what is no URL.
pub(crate) fn reprint(url: &str) -> Option<String> {
    if url.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return None;
    }
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (before_query, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (scheme, rest) = split_scheme(before_query)?;
    let mut out = String::with_capacity(url.len() + 8);
    if !scheme.is_empty() {
        out.push_str(&scheme.to_ascii_lowercase());
        out.push(':');
    }
    let mut path = rest;
    if !rest.starts_with('/') && !scheme.is_empty() {
        // An opaque URL such as `mailto:a`.
        out.push_str(rest);
        path = "";
    } else if !rest.starts_with('/') && rest.split('/').next().is_some_and(|s| s.contains(':')) {
        return None;
    } else if let Some(after) = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///")) {
        let (authority, tail) = after.split_at(after.find('/').unwrap_or(after.len()));
        if !authority.is_empty() || !tail.is_empty() {
            out.push_str("//");
            push_authority(&mut out, authority)?;
        }
        path = tail;
    }
    if bad_escape(path).is_some() {
        return None;
    }
    out.push_str(&encode(&decode(path), path));
    out.push_str(query);
    if !fragment.is_empty() {
        if bad_escape(fragment).is_some() {
            return None;
        }
        out.push('#');
        let valid = fragment.bytes().all(|b| b == b'%' || raw_path_byte(b) || b == b'?');
        out.push_str(&if valid { fragment.to_owned() } else { escape(&decode(fragment), fragment_byte) });
    }
    Some(out)
}

/// The URL that `reference` means where it stands in what came from a URL of the `origin` (scheme and authority),
/// `path` and `query` (RFC 3986, 5.2, as Go does it). `None` for what is no URL.
pub(crate) fn resolve(origin: &str, path: &str, query: Option<&str>, reference: &str) -> Option<String> {
    let printed = reprint(reference)?;
    let (rest, fragment) = printed.split_at(printed.find('#').unwrap_or(printed.len()));
    let (rest, asked) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (scheme, after) = split_scheme(rest)?;
    if !scheme.is_empty() && !after.starts_with('/') {
        return Some(printed);
    }
    let own_scheme = if scheme.is_empty() { origin.split(':').next()? } else { scheme };
    Some(match after.strip_prefix("//") {
        Some(authority_and_path) => {
            let (authority, path) = authority_and_path.split_at(authority_and_path.find('/').unwrap_or(authority_and_path.len()));
            format!("{own_scheme}://{authority}{}{asked}{fragment}", without_dots(path))
        }
        None if !scheme.is_empty() => format!("{scheme}:{}{asked}{fragment}", without_dots(after)),
        None if after.is_empty() && asked.is_empty() => {
            let query = query.map(|q| format!("?{q}")).unwrap_or_default();
            format!("{origin}{path}{query}{fragment}")
        }
        None => {
            let joined = match after {
                "" => path.to_owned(),
                a if a.starts_with('/') => a.to_owned(),
                a => format!("{}/{a}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
            };
            format!("{origin}{}{asked}{fragment}", without_dots(&joined))
        }
    })
}

/// A path without `.` and `..`; empty stays empty.
fn without_dots(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        last = segment;
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            s => kept.push(s),
        }
    }
    let end = if matches!(last, "." | "..") && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// What stands in a `Location` that leads to `url`, in an answer to a request for `path`: as Go's `http.Redirect`
/// has it, relative ones are seen from the path.
pub(crate) fn redirect_target(url: &str, path: &str) -> String {
    let relative = reprint(url).is_some() && !url.starts_with("//") && split_scheme(url).is_some_and(|(scheme, _)| scheme.is_empty());
    let mut out = url.to_owned();
    if relative {
        let folder = if url.starts_with('/') { "" } else { path.rfind('/').map_or("", |i| &path[..=i]) };
        let (before, query) = url.split_at(url.find('?').unwrap_or(url.len()));
        let whole = format!("{folder}{before}");
        let end = if whole.ends_with('/') { "/" } else { "" };
        let mut kept: Vec<&str> = Vec::new();
        for segment in whole.split('/').filter(|s| !s.is_empty() && *s != ".") {
            match segment {
                ".." => _ = kept.pop(),
                s => kept.push(s),
            }
        }
        let end = if kept.is_empty() { "" } else { end };
        out = format!("/{}{end}{query}", kept.join("/"));
    }
    // Go writes these in lower case.
    if out.is_ascii() {
        return out;
    }
    out.bytes().map(|b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02x}") }).collect()
}

/// Scheme (empty if there is none) and the rest; `None` when the colon stands first.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    for (i, b) in url.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some((&url[..i], &url[i + 1..])),
            _ => break,
        }
    }
    Some(("", url))
}

fn push_authority(out: &mut String, authority: &str) -> Option<()> {
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    if let Some(user) = user {
        let valid = user.bytes().all(|b| unreserved(b) || b"!$&'()*+,;=:%@".contains(&b));
        if !valid || bad_escape(user).is_some() {
            return None;
        }
        out.push_str(user);
        out.push('@');
    }
    let after_name = match host.strip_prefix('[') {
        Some(_) => &host[host.rfind(']')? + 1..],
        None => host.rfind(':').map_or("", |i| &host[i..]),
    };
    let port = after_name.strip_prefix(':');
    if !after_name.is_empty() && !port.is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let (name, bracketed) = (&host[..host.len() - after_name.len()], host.starts_with('['));
    if !bracketed && name.contains([':', '[']) || bad_escape(host).is_some() {
        return None;
    }
    // An escape may only stand for a byte that is not ASCII.
    let mut rest = host.as_bytes();
    while let [b, tail @ ..] = rest {
        rest = match (b, tail) {
            (b'%', [high, low, after @ ..]) if high.to_ascii_lowercase() >= b'8' => {
                out.extend(['%', high.to_ascii_uppercase() as char, low.to_ascii_uppercase() as char]);
                after
            }
            (0x80.., _) => {
                out.push_str(&escape(&[*b], |_| false));
                tail
            }
            (b, _) if unreserved(*b) || b"!$&'()*+,;=:[]<>\"".contains(b) => {
                out.push(*b as char);
                tail
            }
            _ => return None,
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_go_escapes() {
        for (path, default) in [
            ("/a", true),
            ("/a%20b", true),
            ("/a%2Fb", false),
            ("/a!b", false),
            ("/a%2fb", false),
            ("/%c3", false),
            ("/%C3%A9", true),
            ("/a%4", false),
        ] {
            assert_eq!(is_default(path), default, "{path}");
        }
        assert_eq!(bad_escape("/bad%zz"), Some("%zz"));
        assert_eq!(bad_escape("/bad%2"), Some("%2"));
        assert_eq!(bad_escape("/%2F%"), Some("%"));
        assert_eq!(encode(b"/a/b", "/a%2Fb"), "/a%2Fb");
        assert_eq!(encode(b"/a/c", "/a%2Fb"), "/a/c");
    }

    #[test]
    fn references() {
        for (reference, url) in [
            ("login?x=1", Some("http://h:1/a/login?x=1")),
            ("/login", Some("http://h:1/login")),
            ("//other/x", Some("http://other/x")),
            ("https://o/a/../b/./", Some("https://o/b/")),
            ("../up/./x#f", Some("http://h:1/up/x#f")),
            ("../../..", Some("http://h:1/")),
            ("", Some("http://h:1/a/b?q")),
            ("#f", Some("http://h:1/a/b?q#f")),
            ("?z", Some("http://h:1/a/b?z")),
            ("mailto:a", Some("mailto:a")),
            ("http://o", Some("http://o")),
            ("é", Some("http://h:1/a/%C3%A9")),
            ("http://a b/", None),
            ("/%zz", None),
        ] {
            assert_eq!(resolve("http://h:1", "/a/b", Some("q"), reference).as_deref(), url, "{reference}");
        }
    }

    #[test]
    fn redirects_like_go() {
        for (url, location) in [
            ("https://login.test/start?rd=1", "https://login.test/start?rd=1"),
            ("/relative", "/relative"),
            ("/a//b/../c/?x/../y", "/a/c/?x/../y"),
            ("login#frag é", "/x/login#frag %c3%a9"),
            ("..", "/"),
            ("//other/a", "//other/a"),
            ("http://[::1", "http://[::1"),
        ] {
            assert_eq!(redirect_target(url, "/x/y"), location, "{url}");
        }
    }

    /// Each pair was observed as `Location` of Traefik 3.7.15's `redirectRegex`.
    #[test]
    fn prints_urls_like_go() {
        for (url, printed) in [
            ("HTTPS://U:p@New.test:80/p!'()*[]~#fr ag", Some("https://U:p@New.test:80/p!'()*[]~#fr%20ag")),
            ("http://x2.test/%zz", None),
            ("://x", None),
            ("http://[bad", None),
            ("mailto:a b", Some("mailto:a b")),
            ("//h.test", Some("//h.test")),
            ("https://h.test?q=a bé#é", Some("https://h.test?q=a bé#%C3%A9")),
            ("https://a b/x", None),
            ("https://hé.test/é|x!", Some("https://h%C3%A9.test/%C3%A9%7Cx%21")),
            ("", Some("")),
            ("a:b/c", Some("a:b/c")),
            ("rel/path:x?", Some("rel/path:x?")),
            ("https://h.test/a%2fb!c", Some("https://h.test/a%2fb!c")),
            ("/rel path", Some("/rel%20path")),
            ("https://a.test:x1/p", None),
            ("https://a.test:/p", Some("https://a.test:/p")),
            ("https://[::1]:8080/p", Some("https://[::1]:8080/p")),
            ("https://a.test/\n", None),
            ("//?", Some("?")),
            ("https://?q#f", Some("https:?q#f")),
            ("https://a::1", None),
            ("https://::1/", None),
            ("https://a[", None),
            ("https://%c3%A9<]", Some("https://%C3%A9<]")),
            ("https://%41/", None),
        ] {
            assert_eq!(reprint(url).as_deref(), printed, "{url}");
        }
    }
}
