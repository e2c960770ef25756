//! The cookie that leads a client back to the candidate that served it first.

use super::Candidate;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use rustc_hash::FxHashMap;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::Duration;
use torana_http::respond;

/// `sticky.cookie` as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieOptions {
    /// Empty: [`StickyCookie::default_name`]. Characters that a cookie name cannot have become `_`.
    pub name: String,
    /// Default false.
    pub secure: bool,
    /// Default false.
    pub http_only: bool,
    /// `none`, `lax` or `strict`, in any case; anything else sets no attribute, as in Traefik.
    pub same_site: String,
    /// Seconds. 0, the default, sets no attribute; below, the cookie expires at once.
    pub max_age: i64,
    /// Default `/`; empty sets no attribute.
    pub path: Option<String>,
    /// Empty, the default, or not a host name: no attribute.
    pub domain: String,
    /// Seconds from each answer to `Expires`; 0, the default, and below set no attribute.
    pub expires: i64,
}

/// The cookie of one service; all of its headers and all accepted values are made when it is built.
#[derive(Debug)]
pub struct StickyCookie {
    name: String,
    /// Position of the candidate, and whether the value is of a kind no longer given out.
    values: FxHashMap<String, (usize, bool)>,
    headers: Box<[Option<HeaderValue>]>,
    /// What is put into each of them when it is sent, and where its attributes begin behind that.
    expires: Option<(Duration, String)>,
}

impl StickyCookie {
    /// `service` is the qualified name of the service (`app@file`), for the default cookie name. The
    /// positions of `candidates` are those of the balancer.
    pub fn new(options: &CookieOptions, service: &str, candidates: &[Candidate]) -> Self {
        let name = if options.name.is_empty() { Self::default_name(service) } else { sanitize(&options.name) };
        let attributes = attributes(options);
        let lasts = u64::try_from(options.expires).ok().filter(|s| *s > 0).map(Duration::from_secs);
        let (before, after) = attributes.split_at(if lasts.is_some() { scope(options).len() } else { attributes.len() });
        let header = |c: &Candidate| HeaderValue::try_from(format!("{name}={}{before}", sha256(&c.name))).ok();
        let headers = candidates.iter().map(header).collect();
        let mut values = FxHashMap::default();
        for (i, c) in candidates.iter().enumerate() {
            values.entry(sha256(&c.name)).or_insert((i, false));
        }
        // What Traefik gave out before version 3: the name itself, and its hash taken once or twice.
        for (i, c) in candidates.iter().enumerate() {
            let once = fnv(&c.name);
            for value in [c.name.clone(), fnv(&once), once] {
                values.entry(value).or_insert((i, true));
            }
        }
        let expires = lasts.map(|l| (l, after.to_owned()));
        StickyCookie { name, values, headers, expires }
    }

    /// `_` and the first 5 hex digits of the SHA-1 of the qualified service name behind a fixed prefix.
    pub fn default_name(service: &str) -> String {
        format!("_{}", hex(&Sha1::digest(format!("_TRAEFIK_BACKEND_{service}")), 5))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The candidate that the client's cookie names, up or not; true with it when the cookie is of an old
    /// kind and should be set anew. The first cookie of our name decides.
    pub fn read(&self, headers: &HeaderMap) -> Option<(usize, bool)> {
        let value = headers.get_all(COOKIE).iter().find_map(|line| self.value_in(line.as_bytes()))?;
        self.values.get(value).copied()
    }

    /// The `Set-Cookie` that makes a client stick to a candidate; `None` for a position that there is not.
    pub fn set_cookie(&self, index: usize) -> Option<HeaderValue> {
        let header = self.headers.get(index)?.clone()?;
        let Some((lasts, after)) = &self.expires else { return Some(header) };
        let at = respond::date_in(*lasts);
        HeaderValue::try_from(format!("{}; Expires={at}{after}", header.to_str().ok()?)).ok()
    }

    /// Go's reading of a `Cookie` line: blanks around a pair and before `=` do not count, those after `=`
    /// do; a pair with bytes that a value cannot have is passed over.
    fn value_in<'a>(&self, line: &'a [u8]) -> Option<&'a str> {
        line.split(|b| *b == b';').find_map(|pair| {
            let pair = trim(pair);
            let (name, value) = pair.iter().position(|b| *b == b'=').map_or((pair, &[][..]), |i| (&pair[..i], &pair[i + 1..]));
            if trim(name) != self.name.as_bytes() {
                return None;
            }
            let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
            let allowed = value.iter().all(|b| matches!(b, 0x20..0x7f) && !matches!(b, b'"' | b';' | b'\\'));
            std::str::from_utf8(value).ok().filter(|_| allowed)
        })
    }
}

/// Everything behind the value, in the order in which Go writes it; `Expires` would stand behind [`scope`].
fn attributes(o: &CookieOptions) -> String {
    let mut a = scope(o);
    if o.max_age != 0 {
        _ = write!(a, "; Max-Age={}", o.max_age.max(0));
    }
    for (wanted, attribute) in [(o.http_only, "; HttpOnly"), (o.secure, "; Secure")] {
        a.push_str(if wanted { attribute } else { "" });
    }
    a.push_str(match o.same_site.to_lowercase().as_str() {
        "none" => "; SameSite=None",
        "lax" => "; SameSite=Lax",
        "strict" => "; SameSite=Strict",
        _ => "",
    });
    a
}

/// Where the cookie is sent to.
fn scope(o: &CookieOptions) -> String {
    let mut a = String::new();
    let path: String = o.path.as_deref().unwrap_or("/").chars().filter(|c| matches!(c, ' '..='~') && *c != ';').collect();
    if !path.is_empty() {
        _ = write!(a, "; Path={path}");
    }
    if is_domain(&o.domain) {
        _ = write!(a, "; Domain={}", o.domain.strip_prefix('.').unwrap_or(&o.domain));
    }
    a
}

fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c) { c } else { '_' }).collect()
}

/// A host name, with or without a dot before or after it, or an IPv4 address.
fn is_domain(domain: &str) -> bool {
    let name = domain.strip_prefix('.').unwrap_or(domain);
    let labels = name.strip_suffix('.').unwrap_or(name);
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && !l.starts_with('-') && !l.ends_with('-') && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    domain.parse::<Ipv4Addr>().is_ok()
        || (domain.len() <= 255 && labels.split('.').all(label) && labels.bytes().any(|b| b.is_ascii_alphabetic()))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text), 16)
}

/// 64-bit FNV-1 in hex, without leading zeros.
fn fnv(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
    format!("{hash:x}")
}

/// The first `digits` hex digits.
fn hex(bytes: &[u8], digits: usize) -> String {
    let mut text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn candidates(names: &[&str]) -> Vec<Candidate> {
        names.iter().map(|n| Candidate { name: (*n).to_owned(), weight: 1, fenced: false }).collect()
    }

    fn two() -> StickyCookie {
        let o = CookieOptions { name: "c3".into(), ..Default::default() };
        StickyCookie::new(&o, "st3@file", &candidates(&["http://127.0.0.1:9101", "http://127.0.0.1:9102"]))
    }

    #[test]
    fn expires_counts_from_each_answer() {
        let o = CookieOptions { name: "c".into(), max_age: 5, expires: 100, ..Default::default() };
        let header = StickyCookie::new(&o, "s@file", &candidates(&["http://127.0.0.1:9101"])).set_cookie(0).unwrap();
        let text = header.to_str().unwrap();
        let (before, rest) = text.split_once("; Expires=").unwrap();
        let (at, after) = rest.split_once(';').unwrap();
        assert_eq!((before, after), ("c=c268f781ab94296e; Path=/", " Max-Age=5"));
        let left = httpdate::parse_http_date(at).unwrap().duration_since(SystemTime::now()).unwrap();
        assert!((98..=100).contains(&left.as_secs()), "{text}");
    }

    fn read(sticky: &StickyCookie, lines: &[&str]) -> Option<(usize, bool)> {
        let mut headers = HeaderMap::new();
        for l in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(l.as_bytes()).unwrap());
        }
        sticky.read(&headers)
    }

    /// Each right side is what Traefik 3.7.15 sent.
    #[test]
    fn sets_what_traefik_sets() {
        let text = |s: &str| s.to_owned();
        let d = CookieOptions::default;
        let cases = [
            (d(), "st1@file", "http://127.0.0.1:9101", "_ab7c1=c268f781ab94296e; Path=/"),
            (d(), "wei@file", "two@file", "_e28f3=63478891e41ca011; Path=/"),
            (d(), "wei@file", "one", "_e28f3=7692c3ad3540bb80; Path=/"),
            (
                CookieOptions {
                    name: text("a b;é=(x)"),
                    secure: true,
                    http_only: true,
                    same_site: text("NoNe"),
                    max_age: 42,
                    path: Some(text("/foo;bar é")),
                    domain: text(".Example.com"),
                    ..d()
                },
                "st2@file",
                "http://127.0.0.1:9103/",
                "a_b____x_=61bd21b1d80a214b; Path=/foobar ; Domain=Example.com; Max-Age=42; HttpOnly; Secure; SameSite=None",
            ),
            (
                CookieOptions {
                    name: text("c3"),
                    same_site: text("Strict"),
                    max_age: -3,
                    path: Some(String::new()),
                    domain: text("bad_domain.com"),
                    ..d()
                },
                "st3@file",
                "HTTP://127.0.0.1:9101",
                "c3=d13eb00e33fb27b3; Max-Age=0; SameSite=Strict",
            ),
            (
                CookieOptions { name: text("c4"), same_site: text("bogus"), domain: text("127.0.0.1"), ..d() },
                "st4@file",
                "http://127.0.0.1:9102",
                "c4=a8af2e64f8def05a; Path=/; Domain=127.0.0.1",
            ),
            (
                CookieOptions { name: text("c5"), same_site: text("lax"), domain: text("a.com."), ..d() },
                "st5@file",
                "http://127.0.0.1:9101",
                "c5=c268f781ab94296e; Path=/; Domain=a.com.; SameSite=Lax",
            ),
        ];
        for (options, service, candidate, expected) in cases {
            let sticky = StickyCookie::new(&options, service, &candidates(&[candidate]));
            assert_eq!(sticky.set_cookie(0).unwrap(), expected);
            assert_eq!(sticky.set_cookie(1), None);
        }
    }

    #[test]
    fn reads_its_own_and_older_values() {
        let sticky = two();
        for (value, expected) in [
            ("c268f781ab94296e", Some((0, false))),
            ("a8af2e64f8def05a", Some((1, false))),
            ("http://127.0.0.1:9102", Some((1, true))),
            ("632fe22f4487ff04", Some((1, true))),
            ("97ba3a1b2279e85e", Some((1, true))),
            ("c9f20ac01b11346", None),
            ("A8AF2E64F8DEF05A", None),
            ("", None),
        ] {
            assert_eq!(read(&sticky, &[&format!("c3={value}")]), expected, "{value}");
        }
    }

    /// Each was tried on Traefik 3.7.15.
    #[test]
    fn reads_the_header_as_go_does() {
        let sticky = two();
        let good = Some((1, false));
        for (lines, expected) in [
            (&["c3=\"a8af2e64f8def05a\""][..], good),
            (&["c3=zzz; c3=a8af2e64f8def05a"], None),
            (&["c3=z\\z; c3=a8af2e64f8def05a"], good),
            (&["c3=é; c3=a8af2e64f8def05a"], good),
            (&["c3 =a8af2e64f8def05a"], good),
            (&["c3= a8af2e64f8def05a"], None),
            (&["C3=a8af2e64f8def05a"], None),
            (&["other=1", "c3=a8af2e64f8def05a"], good),
            (&["bad name=1;;; c3=a8af2e64f8def05a"], good),
            (&["c3; c3=a8af2e64f8def05a"], None),
            (&["c3=\"a8af2e64f8def05a"], None),
            (&[], None),
        ] {
            assert_eq!(read(&sticky, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn domains() {
        for good in ["a", "a.b", ".a.b", "a.b.", "1a.2", "10.0.0.1"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a", "a-", "a-.b", "a_b", "::1", "1.2.3", "é.com", &"a".repeat(64)] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
