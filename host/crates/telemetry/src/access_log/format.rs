//! A line, byte for byte as Traefik writes it.

use super::entry::Entry;
use super::fields::{Field, Fields};
use super::time::Moment;
use http::header::{REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, Version};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// `accessLog.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Common Log Format with what Traefik adds to it.
    #[default]
    Common,
    /// The Common Log Format, with referrer and user agent.
    Generic,
    Json,
}

impl Format {
    /// `None` for what is no format.
    pub fn parse(text: &str) -> Option<Format> {
        match text {
            "common" => Some(Format::Common),
            "genericCLF" => Some(Format::Generic),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// What a field says.
pub(super) enum Value<'a> {
    Text(Cow<'a, [u8]>),
    Number(u64),
    Ratio(f64),
    Moment(Moment),
}

impl<'a> Value<'a> {
    fn text(text: &'a str) -> Option<Value<'a>> {
        Some(Value::Text(text.as_bytes().into()))
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Host and port; the whole and `-` for what has no port, as Go takes it apart.
fn host_and_port(host: &str) -> (&str, &str) {
    let Some((name, port)) = host.rsplit_once(':') else { return (host, "-") };
    match name.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').map_or((host, "-"), |v6| (v6, port)),
        None if name.contains(':') => (host, "-"),
        None => (name, port),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// What makes lines of entries.
#[derive(Debug)]
pub(super) struct Lines {
    pub format: Format,
    pub fields: Fields,
    pub zone: TimeZone,
}

impl Lines {
    /// Appends the line of a request, with its end.
    pub(super) fn write(&self, entry: &Entry<'_>, line: &mut Vec<u8>) {
        match self.format {
            Format::Json => self.json(entry, line),
            Format::Common | Format::Generic => self.clf(entry, line),
        }
        line.push(b'\n');
    }

    /// The value of a field that is kept and there.
    pub(super) fn value<'a>(&self, field: Field, e: &'a Entry<'_>) -> Option<Value<'a>> {
        if !self.fields.keeps(field) {
            return None;
        }
        let answer = e.origin.and_then(|o| o.answer);
        let origin_size = answer.map_or(0, |a| a.size);
        let origin_took = answer.map_or(Duration::ZERO, |a| a.took);
        let host = || (!e.host.is_empty()).then(|| host_and_port(e.host));
        Some(match field {
            Field::ClientAddr => Value::Text(e.client.to_string().into_bytes().into()),
            Field::ClientHost => Value::Text(match (e.forwarded_for, e.client.ip()) {
                (Some(said), _) if !said.is_empty() => said.into(),
                (_, IpAddr::V4(ip)) => ip.to_string().into_bytes().into(),
                (_, IpAddr::V6(ip)) => ip.to_string().into_bytes().into(),
            }),
            Field::ClientPort => Value::Text(e.client.port().to_string().into_bytes().into()),
            Field::ClientUsername => return Value::text(e.user.unwrap_or("-")),
            Field::DownstreamContentSize => Value::Number(e.sent),
            Field::DownstreamStatus => Value::Number(e.status.into()),
            Field::Duration => Value::Number(nanos(e.took)),
            Field::GzipRatio if origin_size == e.sent || e.sent == 0 => return None,
            Field::GzipRatio => Value::Ratio(origin_size as f64 / e.sent as f64),
            Field::OriginContentSize => Value::Number(origin_size),
            Field::OriginDuration => Value::Number(nanos(origin_took)),
            Field::OriginStatus => Value::Number(answer.map_or(0, |a| a.status.into())),
            Field::Overhead => Value::Number(nanos(e.took.saturating_sub(origin_took))),
            Field::RequestAddr => return Value::text(e.host).filter(|_| !e.host.is_empty()),
            Field::RequestContentSize => Value::Number(e.received),
            Field::RequestCount => Value::Number(e.count),
            Field::RequestHost => return Value::text(host()?.0),
            Field::RequestMethod => return Value::text(e.method.as_str()),
            Field::RequestPath => match e.query.filter(|_| self.fields.query) {
                Some(query) => Value::Text([e.path, query].join("?").into_bytes().into()),
                None => return Value::text(e.path),
            },
            Field::RequestPort => return Value::text(host()?.1),
            Field::RequestProtocol => return Value::text(protocol(e.version)),
            Field::RequestScheme => return Value::text(if e.tls.is_some() { "https" } else { "http" }),
            Field::RetryAttempts => Value::Number(e.retries),
            Field::RouterName => return e.router.and_then(Value::text),
            Field::ServiceAddr => return e.origin.and_then(|o| Value::text(o.address)),
            Field::ServiceName => return e.origin.and_then(|o| Value::text(o.service)),
            Field::ServiceUrl => return e.origin.and_then(|o| Value::text(o.url)),
            Field::SpanId | Field::OtelSpanId => Value::Text(format!("{:016x}", u64::from_be_bytes(e.trace?.span)).into_bytes().into()),
            Field::StartLocal => Value::Moment(Moment::local(e.started, &self.zone)),
            Field::StartUtc => Value::Moment(Moment::utc(e.started)),
            Field::TlsCipher => return e.tls.and_then(|t| Value::text(t.cipher)),
            Field::TlsClientSubject => return e.tls.and_then(|t| Value::text(t.subject?)),
            Field::TlsVersion => return e.tls.and_then(|t| Value::text(t.version)),
            Field::TraceId | Field::OtelTraceId => Value::Text(format!("{:032x}", u128::from_be_bytes(e.trace?.id)).into_bytes().into()),
            Field::EntryPointName => return Value::text(e.entry_point),
        })
    }

    /// `host - user [time] "GET /path HTTP/1.1" 200 5 "referrer" "agent" 1 "router" "url" 0ms`
    fn clf(&self, e: &Entry<'_>, line: &mut Vec<u8>) {
        let plain = |field, line: &mut Vec<u8>| match self.value(field, e) {
            Some(Value::Text(text)) if !text.is_empty() => write_plain(&text, line),
            Some(Value::Number(n)) => write_number(n, line),
            _ => line.push(b'-'),
        };
        let quoted = |field, line: &mut Vec<u8>| match self.value(field, e) {
            Some(Value::Text(text)) => write_quoted(&text, line),
            _ => line.extend_from_slice(b"\"-\""),
        };
        plain(Field::ClientHost, line);
        line.extend_from_slice(b" - ");
        plain(Field::ClientUsername, line);
        line.extend_from_slice(b" [");
        match self.value(Field::StartUtc, e).or_else(|| self.value(Field::StartLocal, e)) {
            Some(Value::Moment(at)) => at.clf(line),
            _ => line.push(b'-'),
        }
        line.extend_from_slice(b"] \"");
        plain(Field::RequestMethod, line);
        line.push(b' ');
        plain(Field::RequestPath, line);
        line.push(b' ');
        plain(Field::RequestProtocol, line);
        line.extend_from_slice(b"\" ");
        plain(Field::DownstreamStatus, line);
        line.push(b' ');
        plain(Field::DownstreamContentSize, line);
        line.push(b' ');
        write_quoted(&joined(e.request, &REFERER), line);
        line.push(b' ');
        write_quoted(&joined(e.request, &USER_AGENT), line);
        if self.format == Format::Generic {
            return;
        }
        line.push(b' ');
        plain(Field::RequestCount, line);
        line.push(b' ');
        quoted(Field::RouterName, line);
        line.push(b' ');
        quoted(Field::ServiceUrl, line);
        line.push(b' ');
        let took = if self.fields.keeps(Field::Duration) { e.took } else { Duration::ZERO };
        write_number(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), line);
        line.extend_from_slice(b"ms");
    }

    /// An object whose keys are sorted, as Go sorts them.
    fn json(&self, e: &Entry<'_>, line: &mut Vec<u8>) {
        line.push(b'{');
        for field in Field::ALL {
            // What is no field and comes before it.
            match field {
                Field::EntryPointName => headers("downstream_", e.response, line),
                Field::OtelSpanId => {
                    line.extend_from_slice(br#""level":"info","msg":"","#);
                    if e.origin.is_some_and(|o| o.answer.is_some()) {
                        headers("origin_", e.response, line);
                    }
                    headers("request_", e.request, line);
                }
                Field::OtelTraceId => {
                    line.extend_from_slice(br#""time":""#);
                    let ended = e.started.checked_add(e.took).unwrap_or(SystemTime::UNIX_EPOCH);
                    Moment::local(ended, &self.zone).rfc3339(false, line);
                    line.extend_from_slice(br#"","#);
                }
                _ => {}
            }
            let Some(value) = self.value(field, e) else { continue };
            line.push(b'"');
            line.extend_from_slice(field.name().as_bytes());
            line.extend_from_slice(b"\":");
            match value {
                Value::Text(text) => write_json(&text, line),
                Value::Number(n) => write_number(n, line),
                Value::Ratio(ratio) => drop(write!(line, "{ratio}")),
                Value::Moment(at) => {
                    line.push(b'"');
                    at.rfc3339(true, line);
                    line.push(b'"');
                }
            }
            line.push(b',');
        }
        // There is a comma after each.
        line.pop();
        line.push(b'}');
    }
}

fn headers(prefix: &str, headers: &HeaderMap, line: &mut Vec<u8>) {
    let mut names: Vec<&HeaderName> = headers.keys().collect();
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    for name in names {
        line.push(b'"');
        line.extend_from_slice(prefix.as_bytes());
        line.extend(canonical(name));
        line.extend_from_slice(b"\":");
        write_json(&joined(headers, name), line);
        line.push(b',');
    }
}

/// The name as Go writes it: `user-agent` as `User-Agent`.
pub(super) fn canonical(name: &HeaderName) -> impl Iterator<Item = u8> {
    let mut first = true;
    name.as_str().bytes().map(move |b| {
        let b = if first { b.to_ascii_uppercase() } else { b };
        first = b == b'-';
        b
    })
}

pub(super) fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(one), None) => one.as_bytes().into(),
        (None, _) => [].as_slice().into(),
        _ => headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]).into(),
    }
}

fn write_number(n: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// As it is, but for what would begin another line or steer a terminal.
fn write_plain(text: &[u8], line: &mut Vec<u8>) {
    for &b in text {
        match b {
            b'\t' | b' '..=b'~' | 0x80.. => line.push(b),
            _ => drop(write!(line, "\\x{b:02x}")),
        }
    }
}

fn write_quoted(text: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    if text.is_empty() {
        line.push(b'-');
    }
    for (i, piece) in text.split(|b| *b == b'"').enumerate() {
        if i > 0 {
            line.extend_from_slice(br#"\""#);
        }
        write_plain(piece, line);
    }
    line.push(b'"');
}

/// A string as Go's encoder writes it, which is fit for HTML too.
fn write_json(text: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => line.extend_from_slice(br#"\""#),
                '\\' => line.extend_from_slice(br"\\"),
                '\n' => line.extend_from_slice(br"\n"),
                '\r' => line.extend_from_slice(br"\r"),
                '\t' => line.extend_from_slice(br"\t"),
                '\u{8}' => line.extend_from_slice(br"\b"),
                '\u{c}' => line.extend_from_slice(br"\f"),
                '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(line, "\\u{:04x}", u32::from(c))),
                c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        chunk.invalid().iter().for_each(|_| line.extend_from_slice(br"\ufffd"));
    }
    line.push(b'"');
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
