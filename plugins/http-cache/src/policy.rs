//! What RFC 9111 says of a response: whether it may be stored, how long it is fresh, how old it is.

use std::time::{Duration, SystemTime};

/// The directives of a `Cache-Control`, in lower case, with their values.
#[derive(Default)]
pub(crate) struct Directives(Vec<(String, Option<String>)>);

impl Directives {
    pub(crate) fn read(header: Option<&str>) -> Directives {
        let mut all = Vec::new();
        let (mut word, mut quoted) = (String::new(), false);
        // A comma at the end closes the last one.
        for c in header.unwrap_or_default().chars().chain([',']) {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    let (name, value) = match word.split_once('=') {
                        Some((name, value)) => (name, Some(value.trim().to_owned())),
                        None => (word.as_str(), None),
                    };
                    let name = name.trim().to_ascii_lowercase();
                    if !name.is_empty() {
                        all.push((name, value));
                    }
                    word.clear();
                }
                c => word.push(c),
            }
        }
        // A quote that is never closed swallows directives; then the worst is assumed.
        if quoted {
            all.push(("no-store".into(), None));
        }
        Directives(all)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The seconds of a directive. Of several the least, and what is no number counts as 0 (RFC 9111, 4.2.1).
    pub(crate) fn seconds(&self, name: &str) -> Option<u64> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| seconds(value.as_deref().unwrap_or_default())).min()
    }
}

/// A number of seconds, at most 2^31 (RFC 9111, 1.2.2); what is no number is 0.
fn seconds(text: &str) -> u64 {
    const MOST: u64 = 1 << 31;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().map_or(MOST, |seconds: u64| seconds.min(MOST)) } else { 0 }
}

/// Headers as a list of names in lower case and values.
pub(crate) type Lines = Vec<(String, String)>;

/// All lines of a header, joined by `, `.
pub(crate) fn joined(lines: &[(String, String)], name: &str) -> Option<String> {
    let found: Vec<&str> = lines.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

fn date(text: Option<String>) -> Option<SystemTime> {
    httpdate::parse_http_date(&text?).ok()
}

/// Statuses that may be stored for a time of our own choosing (RFC 9110, 15.1), without 206.
const HEURISTIC: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
/// Statuses that are stored with a time of the server's.
const EXPLICIT: [u16; 3] = [302, 303, 307];

/// For how many seconds a response to a `GET` is fresh; `None` when it must not be stored. 0 when each use needs a validation.
pub(crate) fn lifetime(status: u16, response: &[(String, String)], request: &[(String, String)], default: Option<Duration>) -> Option<u64> {
    let get = |name| joined(response, name);
    let directives = Directives::read(get("cache-control").as_deref());
    let forbidden = directives.has("no-store")
        || directives.has("private")
        || Directives::read(joined(request, "cache-control").as_deref()).has("no-store")
        // Not forbidden by the RFC, but one client's session would become everyone's.
        || get("set-cookie").is_some()
        || get("vary").is_some_and(|names| names.split(',').any(|name| name.trim() == "*"));
    if forbidden || !HEURISTIC.contains(&status) && !EXPLICIT.contains(&status) {
        return None;
    }
    let personal = joined(request, "authorization").is_some();
    // RFC 9111, 3.5
    if personal && !["public", "must-revalidate", "s-maxage"].iter().any(|name| directives.has(name)) {
        return None;
    }
    let expires = || {
        let until = get("expires")?;
        let from = date(get("date"));
        // A time that cannot be read has passed.
        Some(date(Some(until)).zip(from).and_then(|(until, from)| until.duration_since(from).ok()).map_or(0, |time| time.as_secs()))
    };
    let explicit = directives.seconds("s-maxage").or_else(|| directives.seconds("max-age")).or_else(expires);
    let validated = get("etag").is_some() || get("last-modified").is_some();
    let fresh = match explicit {
        _ if directives.has("no-cache") => 0,
        Some(fresh) => fresh,
        // What a client with a cookie gets is likely to be its own; only the server can say that it is not.
        None if HEURISTIC.contains(&status) && !personal && joined(request, "cookie").is_none() => default?.as_secs(),
        None => return None,
    };
    (fresh > 0 || validated).then_some(fresh)
}

/// How old a response was when it came, in seconds (RFC 9111, 4.2.3); `delay` is the time between request and response.
pub(crate) fn initial_age(response: &[(String, String)], now: SystemTime, delay: Duration) -> u64 {
    let told = joined(response, "age").map_or(0, |age| seconds(age.split(',').next().unwrap_or_default().trim()));
    let apparent = date(joined(response, "date")).and_then(|date| now.duration_since(date).ok()).map_or(0, |age| age.as_secs());
    apparent.max(told.saturating_add(delay.as_secs()))
}

/// Whether the client has what is stored: its `If-None-Match`, else its `If-Modified-Since`.
pub(crate) fn not_modified(stored: &[(String, String)], if_none_match: Option<&str>, if_modified_since: Option<&str>) -> bool {
    // RFC 9110, 8.8.3.2: weak tags are compared by what is between the quotes.
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if let Some(tags) = if_none_match {
        let stored = joined(stored, "etag").map(|tag| opaque(&tag));
        return tags.trim() == "*" || stored.is_some_and(|stored| tags.split(',').any(|tag| opaque(tag) == stored));
    }
    let since = date(if_modified_since.map(str::to_owned));
    since.zip(date(joined(stored, "last-modified"))).is_some_and(|(since, modified)| modified <= since)
}

/// Headers that belong to one connection (RFC 9110, 7.6.1), or that are made anew.
const NOT_STORED: [&str; 11] = [
    "age",
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Leaves the headers that are stored.
pub(crate) fn storable(headers: Lines) -> Lines {
    let connection = joined(&headers, "connection").unwrap_or_default().to_ascii_lowercase();
    let named = |name: &str| connection.split(',').any(|option| option.trim() == name);
    headers.into_iter().filter(|(name, _)| !NOT_STORED.contains(&name.as_str()) && !named(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(all: &[(&str, &str)]) -> Lines {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn fresh(response: &[(&str, &str)]) -> Option<u64> {
        lifetime(200, &lines(response), &[], None)
    }

    #[test]
    fn lifetimes() {
        assert_eq!(fresh(&[("cache-control", "max-age=60")]), Some(60));
        assert_eq!(fresh(&[("cache-control", "Max-Age=\"60\", s-maxage=10")]), Some(10));
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("cache-control", "max-age=5")]), Some(5));
        assert_eq!(fresh(&[("cache-control", "max-age=soon")]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=99999999999999999999")]), Some(1 << 31));
        assert_eq!(fresh(&[("cache-control", "max-age=-1"), ("etag", "\"a\"")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "no-cache, max-age=60")]), None, "nothing to validate with");
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(fresh(&[date, ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(60));
        assert_eq!(fresh(&[date, ("expires", "Sunday, 06-Nov-94 08:50:37 GMT")]), Some(60));
        assert_eq!(fresh(&[date, ("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), ("cache-control", "max-age=1")]), Some(1));
        assert_eq!(fresh(&[date, ("expires", "0")]), None);
    }

    #[test]
    fn what_is_not_stored() {
        assert_eq!(fresh(&[]), None);
        for forbidden in ["no-store", "private", "private=\"set-cookie, x\"", "x=\"a, public"] {
            assert_eq!(fresh(&[("cache-control", "max-age=60"), ("cache-control", forbidden)]), None, "{forbidden}");
        }
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("vary", "accept, *")]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("set-cookie", "a=b")]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=60, x=\"no-store, private\"")]), Some(60), "within quotes");
        let max_age = lines(&[("cache-control", "max-age=60")]);
        assert_eq!(lifetime(500, &max_age, &[], None), None);
        assert_eq!(lifetime(206, &max_age, &[], None), None);
        assert_eq!(lifetime(302, &max_age, &[], None), Some(60));
        assert_eq!(lifetime(200, &max_age, &lines(&[("cache-control", "no-store")]), None), None);
    }

    #[test]
    fn authorization() {
        let request = lines(&[("authorization", "Basic x")]);
        let with = |control: &str| lifetime(200, &lines(&[("cache-control", control)]), &request, Some(Duration::from_secs(5)));
        assert_eq!(with("max-age=60"), None);
        assert_eq!(with("max-age=60, public"), Some(60));
        assert_eq!(with("max-age=60, must-revalidate"), Some(60));
        assert_eq!(with("s-maxage=60"), Some(60));
        assert_eq!(with("public"), None, "a default is no word of the server's");
    }

    #[test]
    fn defaults() {
        let with = |status, request: &[(&str, &str)]| lifetime(status, &[], &lines(request), Some(Duration::from_secs(5)));
        assert_eq!(with(200, &[]), Some(5));
        assert_eq!(with(404, &[]), Some(5));
        assert_eq!(with(302, &[]), None);
        assert_eq!(with(200, &[("cookie", "a=b")]), None);
        assert_eq!(with(200, &[("authorization", "Basic x")]), None);
    }

    #[test]
    fn ages() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let age = |headers: &[(&str, &str)]| initial_age(&lines(headers), now, Duration::from_secs(2));
        assert_eq!(age(&[]), 2);
        assert_eq!(age(&[("age", "10")]), 12);
        assert_eq!(age(&[("age", "10, 50")]), 12);
        assert_eq!(age(&[("date", "Sun, 06 Nov 1994 08:49:07 GMT"), ("age", "10")]), 30);
        assert_eq!(age(&[("date", "Sun, 06 Nov 1994 08:50:07 GMT"), ("age", "x")]), 2);
    }

    #[test]
    fn conditions() {
        let stored = lines(&[("etag", "W/\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert!(not_modified(&stored, Some("\"b\", \"a\""), None));
        assert!(not_modified(&stored, Some("*"), None));
        assert!(not_modified(&stored, None, Some("Sun, 06 Nov 1994 08:49:37 GMT")));
        assert!(!not_modified(&stored, None, Some("Sun, 06 Nov 1994 08:49:36 GMT")));
        assert!(!not_modified(&stored, Some("\"b\""), Some("Sun, 06 Nov 1994 08:49:37 GMT")), "the tag decides");
        assert!(!not_modified(&stored, None, Some("yesterday")));
        assert!(!not_modified(&stored, None, None));
    }

    #[test]
    fn headers_of_the_connection_are_not_stored() {
        let headers = lines(&[("connection", "close, X-Hop"), ("x-hop", "1"), ("age", "1"), ("content-length", "1"), ("x-end", "1")]);
        assert_eq!(storable(headers), lines(&[("x-end", "1")]));
    }
}
