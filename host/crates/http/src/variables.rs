//! Texts with variables of nginx: `$scheme://$host$request_uri`. What Traefik knows of them is known here, and they
//! mean what they mean there.

use crate::exchange::{Exchange, Request};
use crate::forwarded::{X_FORWARDED_FOR, port_of};
use crate::path;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

/// What Go leaves alone in a value of a query.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Bytes that a text with its values may have: more than a line of a request may be for most servers.
pub const LONGEST: usize = 64 << 10;

/// Variables beside those of nginx, by their name with its `$`.
pub type OwnVariables = BTreeMap<String, String>;

/// A text, taken apart once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// As written too: what nobody knows is left as it is.
    Variable(Variable, Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    /// The host in lower case, without port.
    Host,
    /// The host as it came.
    BestHttpHost,
    Hostname,
    RequestUri,
    EscapedRequestUri,
    Scheme,
    Args,
    IsArgs,
    RemoteAddr,
    ForwardedFor,
    Method,
    Uri,
    ServerName,
    ServerPort,
    /// A header of the request; `None` for what no header can be called.
    Header(Option<HeaderName>),
    /// A header of the answer that the text is about.
    UpstreamHeader(Option<HeaderName>),
    Arg(Box<str>),
    Cookie(Box<str>),
    /// One of [`OwnVariables`], with its `$`.
    Own(Box<str>),
}

/// Where the values of variables are found.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub exchange: &'a Exchange,
    /// Headers of the answer that the text is about, if it is about one.
    pub upstream: Option<&'a HeaderMap>,
    pub own: &'a OwnVariables,
}

impl Template {
    pub fn new(text: &str) -> Template {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let Some((name, end)) = name(after) else {
                plain.push('$');
                rest = after;
                continue;
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(Piece::Variable(variable(name), rest[at..at + 1 + end].into()));
            rest = &after[end..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Template(pieces.into())
    }

    /// The text with the values that its variables have now; nothing where it would be longer than [`LONGEST`], for
    /// variables may hold what others were made of, and grow with each.
    pub fn fill(&self, values: Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            let value = match piece {
                Piece::Text(text) => Cow::Borrowed(&**text),
                Piece::Variable(variable, written) => value(variable, values).unwrap_or(Cow::Borrowed(written)),
            };
            if out.len() + value.len() > LONGEST {
                return String::new();
            }
            out.push_str(&value);
        }
        out
    }

    /// Whether the text is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the text has no variables.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|p| matches!(p, Piece::Text(_)))
    }
}

/// The name of a variable behind its `$`, with or without braces, and how long it is with them.
fn name(after: &str) -> Option<(&str, usize)> {
    let brace = usize::from(after.starts_with('{'));
    let text = &after[brace..];
    let length = match text.bytes().next()? {
        b'1'..=b'9' => 1,
        b if b.is_ascii_alphabetic() || b == b'_' => text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count(),
        _ => return None,
    };
    let closed = usize::from(text[length..].starts_with('}'));
    Some((&text[..length], brace + length + closed))
}

fn variable(name: &str) -> Variable {
    let header = |n: &str| HeaderName::from_bytes(n.replace('_', "-").as_bytes()).ok();
    let prefixed = [
        ("upstream_http_", (|n, header| Variable::UpstreamHeader(header(n))) as fn(&str, &dyn Fn(&str) -> Option<HeaderName>) -> Variable),
        ("http_", |n, header| Variable::Header(header(n))),
        ("arg_", |n, _| Variable::Arg(n.into())),
        ("cookie_", |n, _| Variable::Cookie(n.into())),
    ];
    if let Some((rest, make)) = prefixed.iter().find_map(|(p, make)| Some((name.strip_prefix(p)?, make))) {
        return make(rest, &header);
    }
    match name {
        "host" => Variable::Host,
        "best_http_host" => Variable::BestHttpHost,
        "hostname" => Variable::Hostname,
        "request_uri" => Variable::RequestUri,
        "escaped_request_uri" => Variable::EscapedRequestUri,
        "scheme" => Variable::Scheme,
        "args" | "query_string" => Variable::Args,
        "is_args" => Variable::IsArgs,
        "remote_addr" => Variable::RemoteAddr,
        "proxy_add_x_forwarded_for" => Variable::ForwardedFor,
        "request_method" => Variable::Method,
        "uri" | "document_uri" => Variable::Uri,
        "server_name" => Variable::ServerName,
        "server_port" => Variable::ServerPort,
        "content_type" => Variable::Header(Some(CONTENT_TYPE)),
        "content_length" => Variable::Header(Some(CONTENT_LENGTH)),
        other => Variable::Own(format!("${other}").into()),
    }
}

/// `None` for a variable that nobody knows.
fn value<'a>(variable: &Variable, values: Values<'a>) -> Option<Cow<'a, str>> {
    let exchange = values.exchange;
    let request = &exchange.request;
    Some(match variable {
        Variable::Host => bare_host(request).to_lowercase().into(),
        Variable::ServerName => bare_host(request).into(),
        Variable::BestHttpHost => (&*request.host).into(),
        Variable::Hostname => HOSTNAME.as_str().into(),
        Variable::RequestUri => uri(request),
        Variable::EscapedRequestUri => utf8_percent_encode(&uri(request), QUERY_VALUE).to_string().into(),
        Variable::Scheme => exchange.scheme().into(),
        Variable::Args => request.query.as_deref().unwrap_or_default().into(),
        Variable::IsArgs => if request.query.as_ref().is_some_and(|q| !q.is_empty()) { "?" } else { "" }.into(),
        Variable::RemoteAddr => exchange.peer.ip().to_string().into(),
        Variable::ForwardedFor => {
            let mut all = request.header(X_FORWARDED_FOR.as_str()).filter(|v| !v.is_empty()).map_or_else(String::new, |v| format!("{v}, "));
            _ = write!(all, "{}", exchange.peer.ip());
            all.into()
        }
        Variable::Method => request.method.as_str().into(),
        Variable::Uri => path::decode(&request.path),
        Variable::ServerPort => port_of(&request.host).unwrap_or(if exchange.peer.is_tls() { "443" } else { "80" }).into(),
        Variable::Header(name) => joined(Some(&request.headers), name.as_ref()),
        Variable::UpstreamHeader(name) => joined(values.upstream, name.as_ref()),
        Variable::Arg(name) => arg(request.query.as_deref().unwrap_or_default(), name),
        Variable::Cookie(name) => cookie(request, name).into(),
        Variable::Own(name) => values.own.get(&**name)?.as_str().into(),
    })
}

static HOSTNAME: LazyLock<String> =
    LazyLock::new(|| std::fs::read_to_string("/proc/sys/kernel/hostname").map(|h| h.trim().to_owned()).unwrap_or_default());

fn bare_host(request: &Request) -> &str {
    port_of(&request.host).map_or(&*request.host, |p| &request.host[..request.host.len() - p.len() - 1])
}

/// Path and query as a request line has them.
fn uri(request: &Request) -> Cow<'_, str> {
    match (&request.query, request.path.is_empty()) {
        (None, false) => (&*request.path).into(),
        (None, true) => "/".into(),
        (Some(_), empty) => format!("{}{}", if empty { "/" } else { "" }, request.target()).into(),
    }
}

/// All lines of a header, with commas between them.
fn joined<'a>(headers: Option<&'a HeaderMap>, name: Option<&HeaderName>) -> Cow<'a, str> {
    let (Some(headers), Some(name)) = (headers, name) else { return "".into() };
    let mut lines = headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
    let Some(first) = lines.next() else { return "".into() };
    lines.fold(first, |all, line| format!("{all},{line}").into())
}

/// The first value of a name in a query, as Go reads it: what has a `;` or a broken escape does not count.
fn arg<'a>(query: &'a str, name: &str) -> Cow<'a, str> {
    let pairs = query.split('&').filter(|p| !p.contains(';')).map(|p| p.split_once('=').unwrap_or((p, "")));
    let plain = |text: &'a str| -> Option<Cow<'a, str>> {
        let spaced: Cow<'a, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
        if !path::is_well_escaped(&spaced) {
            return None;
        }
        Some(percent_decode_str(&spaced).decode_utf8_lossy().into_owned().into())
    };
    let mut read = pairs.filter_map(|(k, v)| Some((plain(k)?, plain(v)?)));
    read.find(|(k, _)| k == name).map_or("".into(), |(_, v)| v)
}

fn cookie<'a>(request: &'a Request, name: &str) -> &'a str {
    let lines = request.headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = lines.flat_map(|l| l.split(';')).filter_map(|p| p.trim().split_once('='));
    let value = pairs.find(|(n, _)| n.trim() == name).map_or("", |(_, v)| v.trim());
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;
    use http::{HeaderValue, Method};
    use std::rc::Rc;

    fn exchange(host: &str, path: &str, query: Option<&str>, headers: &[(&'static str, &'static str)]) -> Exchange {
        let peer = Peer::new("192.0.2.7:1234".parse().unwrap(), "192.0.2.1:80".parse().unwrap(), None, "web".into(), false);
        let mut request =
            Request { method: Method::PUT, host: host.into(), path: path.into(), query: query.map(Into::into), ..Default::default() };
        for (name, value) in headers {
            request.headers.append(*name, HeaderValue::from_static(value));
        }
        Exchange::new(request, Rc::new(peer))
    }

    fn fill(text: &str, exchange: &Exchange) -> String {
        let own = OwnVariables::from([("$mine".to_owned(), "m".to_owned()), ("$1".to_owned(), "one".to_owned())]);
        let mut upstream = HeaderMap::new();
        upstream.append("x-user", HeaderValue::from_static("u"));
        Template::new(text).fill(Values { exchange, upstream: Some(&upstream), own: &own })
    }

    #[test]
    fn variables_have_the_values_of_traefik() {
        let headers =
            [("x-a", "1"), ("x-a", "2"), ("cookie", "a=b; sid=\"x y\""), ("x-forwarded-for", "10.0.0.1"), ("content-type", "text/x")];
        let x = exchange("H.test:8080", "/p%2Fq r", Some("a=1&b=x+y%21&b=2&c;d=3&e=%zz"), &headers);
        for (text, filled) in [
            ("$scheme://$best_http_host$request_uri", "http://H.test:8080/p%2Fq r?a=1&b=x+y%21&b=2&c;d=3&e=%zz"),
            ("$host $server_name $server_port", "h.test H.test 8080"),
            ("$uri $document_uri", "/p/q r /p/q r"),
            ("$args|$query_string|$is_args", "a=1&b=x+y%21&b=2&c;d=3&e=%zz|a=1&b=x+y%21&b=2&c;d=3&e=%zz|?"),
            ("$arg_a $arg_b $arg_d $arg_e $arg_none.", "1 x y!   ."),
            ("$http_x_a $http_host $http_none.", "1,2  ."),
            ("$cookie_sid $cookie_none.", "x y ."),
            ("$remote_addr $proxy_add_x_forwarded_for", "192.0.2.7 10.0.0.1, 192.0.2.7"),
            ("$request_method $content_type $content_length.", "PUT text/x ."),
            ("$upstream_http_x_user", "u"),
            ("${mine}x $mine $minex ${nobody} $1st", "mx m $minex ${nobody} onest"),
            ("$ $$host 5$", "$ $h.test 5$"),
            ("plain", "plain"),
        ] {
            assert_eq!(fill(text, &x), filled, "{text}");
        }
        let mine = |n: usize| OwnVariables::from([("$mine".to_owned(), "x".repeat(n))]);
        let twice = |n: usize| Template::new("$mine$mine").fill(Values { exchange: &x, upstream: None, own: &mine(n) }).len();
        assert_eq!([twice(LONGEST / 2), twice(LONGEST / 2 + 1)], [LONGEST, 0]);
        let bare = exchange("h.test", "/", None, &[]);
        assert_eq!(fill("$escaped_request_uri$is_args$server_port$request_uri", &bare), "%2F80/");
        assert!(Template::new("plain").is_plain() && !Template::new("$host").is_plain() && Template::new("").is_empty());
    }
}
