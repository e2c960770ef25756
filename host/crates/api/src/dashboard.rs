//! `dashboard@internal`: the dashboard's files, which are part of the binary. They are a page that reads the
//! API, and hold nothing of the configuration but where the API is.
//!
//! Redirects, statuses and `Content-Security-Policy` are Traefik's. The stricter policy that the page keeps
//! stands in the page: without scripts and styles that are written in it, and without anything from elsewhere.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderValue, StatusCode};
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::io::Write;
use torana_http::{Body, Endpoint, Exchange, LocalFuture, Request, Response, respond};

const POLICY: HeaderValue = HeaderValue::from_static("frame-src 'self' https://traefik.io https://*.traefik.io;");
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr,)*) => { [$(($name, $kind, include_str!(concat!("../ui/", $name)))),*] };
}

/// Names, types and texts.
const FILES: [(&str, &str, &str); 15] = files! {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "dom.js": SCRIPT,
    "words.js": SCRIPT,
    "parts.js": SCRIPT,
    "overview.js": SCRIPT,
    "lists.js": SCRIPT,
    "router.js": SCRIPT,
    "service.js": SCRIPT,
    "middleware.js": SCRIPT,
    "certificate.js": SCRIPT,
    "sources.js": SCRIPT,
};

const INDEX: &str = "index.html";

/// Where the page says under which path the API is.
const BASE: &str = "{{base}}";

struct File {
    name: &'static str,
    kind: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
    tag: HeaderValue,
}

/// The endpoint of `dashboard@internal`.
pub struct Dashboard {
    files: Vec<File>,
}

impl Dashboard {
    /// `base` is what goes before `/api`. Of the option `api.basePath`, which takes no characters that mean
    /// something in HTML.
    pub(crate) fn new(base: &str) -> Self {
        let file = |(name, kind, text): (&'static str, &'static str, &str)| {
            let plain = if name == INDEX { text.replace(BASE, base) } else { text.to_owned() };
            let mut hasher = FxHasher::default();
            hasher.write(plain.as_bytes());
            File {
                name,
                kind: HeaderValue::from_static(kind),
                gzip: compressed(plain.as_bytes()).into(),
                tag: HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish())).unwrap_or(HeaderValue::from_static("\"\"")),
                plain: plain.into(),
            }
        };
        Dashboard { files: FILES.map(file).into() }
    }

    /// `path` begins with `/`, where the page is. As in Traefik the method does not count.
    pub(crate) fn answer(&self, request: &Request, path: &str) -> Response {
        let mut response = match path.strip_prefix('/').unwrap_or(path) {
            "" => self.file(request, INDEX),
            INDEX => {
                // One address for one page, and none for what stands in it.
                let query = request.query.as_deref().filter(|q| !q.is_empty()).map_or(String::new(), |q| format!("?{q}"));
                redirect(StatusCode::MOVED_PERMANENTLY, &format!("./{query}"))
            }
            name => self.file(request, name),
        };
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        response
    }

    fn file(&self, request: &Request, name: &str) -> Response {
        let Some(file) = self.files.iter().find(|f| f.name == name) else { return respond::not_found() };
        let gzip = crate::takes_gzip(&request.headers);
        let known = request.headers.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
        let mut response = if known.flat_map(|v| v.split(',')).any(|t| is_same(t.trim(), &file.tag)) {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = Response::new(Body::Full(if gzip { file.gzip.clone() } else { file.plain.clone() }));
            response.headers_mut().insert(CONTENT_TYPE, file.kind.clone());
            if gzip {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, file.tag.clone());
        // Asked for each time, so that a new version of the gateway never meets scripts of the old one.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        response
    }
}

impl Endpoint for Dashboard {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(std::future::ready(self.answer(&exchange.request, &exchange.request.path)))
    }
}

/// RFC 9110, 13.1.2: compared weakly.
fn is_same(asked: &str, tag: &HeaderValue) -> bool {
    asked == "*" || asked.strip_prefix("W/").unwrap_or(asked).as_bytes() == tag.as_bytes()
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}

fn redirect(status: StatusCode, location: &str) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// From the API's base path to the dashboard, below the prefix that a proxy in front has taken off.
/// What that proxy says comes with `X-Forwarded-Prefix`, which only those may send who are trusted.
pub(crate) fn to_dashboard(base: &str, prefix: Option<&str>) -> Response {
    let prefix = prefix.filter(|p| is_local(p)).unwrap_or_default();
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(base.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path: String = parts.iter().flat_map(|p| ["/", p]).collect();
    redirect(StatusCode::FOUND, &format!("{path}/dashboard/"))
}

/// Whether a prefix leads to a path on this host, whatever a browser makes of it. Stricter than Traefik by
/// `\\`, which browsers take for `/`.
fn is_local(prefix: &str) -> bool {
    let path = prefix.split(['?', '#']).next().unwrap_or_default();
    let first = path.split('/').next().unwrap_or_default();
    let escapes = |part: &str| matches!(part.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    !path.starts_with("//")
        && !first.contains(':')
        && !prefix.contains('\\')
        && !prefix.contains(|c: char| c.is_ascii_control())
        && path.split('%').skip(1).all(escapes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_lead_to_this_host() {
        // printed by Traefik 3.7.15, but for those with a backslash
        for (base, prefix, location) in [
            ("", "/pre", "/pre/dashboard/"),
            ("", "pre", "/pre/dashboard/"),
            ("", "a:b", "/dashboard/"),
            ("", "1a:b", "/dashboard/"),
            ("", "%zz", "/dashboard/"),
            ("", "x/../..", "/dashboard/"),
            ("", "../x", "/x/dashboard/"),
            ("", "?q", "/?q/dashboard/"),
            ("", "/a//b", "/a/b/dashboard/"),
            ("", "/a/?b:c", "/a/?b:c/dashboard/"),
            ("", "a b:c", "/dashboard/"),
            ("", "//evil", "/dashboard/"),
            ("", "http:/evil", "/dashboard/"),
            ("/foo", "http://evil/x", "/foo/dashboard/"),
            ("/foo", "/pre/", "/pre/foo/dashboard/"),
            ("/foo", "/a/../b", "/b/foo/dashboard/"),
            ("/foo", "/%2e", "/%2e/foo/dashboard/"),
            ("/foo", "", "/foo/dashboard/"),
            ("", "//", "/dashboard/"),
            ("", "\\evil", "/dashboard/"),
            ("", "/\\evil", "/dashboard/"),
            ("", "/a\nb", "/dashboard/"),
        ] {
            let response = to_dashboard(base, Some(prefix));
            let got = response.headers()[LOCATION].to_str().unwrap();
            assert_eq!((response.status(), got), (StatusCode::FOUND, location), "{prefix}");
        }
    }

    #[test]
    fn every_module_is_there() {
        let dashboard = Dashboard::new("/x");
        let text = |f: &File| String::from_utf8(f.plain.to_vec()).unwrap();
        for file in &dashboard.files {
            for quoted in text(file).split(['"', '\'']).filter(|q| q.starts_with("./") && q.len() > 2) {
                assert!(dashboard.files.iter().any(|f| f.name == &quoted[2..]), "{}: {quoted}", file.name);
            }
        }
        let index = text(&dashboard.files[0]);
        assert!(index.contains("data-base=\"/x\"") && !index.contains(BASE) && !index.contains("<script>"), "{index}");
    }
}
