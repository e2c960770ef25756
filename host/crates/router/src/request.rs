use crate::text;
use http::HeaderMap;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

/// What a rule can see of a request. Made once per request, on the stack; borrowing only.
pub struct RequestView<'a> {
    /// As [`canonical_host`] gives it: lower case, no port, no brackets, trailing dots kept.
    pub host: &'a str,
    /// As received. Only templates of the v2 syntax look at it.
    pub raw_host: &'a str,
    /// What the host's CNAME chain ends in, when CNAME flattening is on; in the same form.
    pub flat_host: Option<&'a str>,
    /// As [`routing_path`] gives it.
    pub path: &'a str,
    pub method: &'a str,
    pub headers: &'a HeaderMap,
    /// The part behind `?`, as sent.
    pub query: Option<&'a str>,
    /// The peer of the connection, after the PROXY protocol.
    pub client_ip: IpAddr,
    params: OnceCell<Vec<Param<'a>>>,
}

/// Name and value, decoded.
type Param<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> RequestView<'a> {
    pub fn new(host: &'a str, path: &'a str, method: &'a str, headers: &'a HeaderMap, query: Option<&'a str>, client_ip: IpAddr) -> Self {
        RequestView {
            host,
            raw_host: host,
            flat_host: None,
            path,
            method,
            headers,
            query,
            client_ip: client_ip.to_canonical(),
            params: OnceCell::new(),
        }
    }

    pub fn with_raw_host(mut self, host: &'a str) -> Self {
        self.raw_host = host;
        self
    }

    pub fn with_flat_host(mut self, host: Option<&'a str>) -> Self {
        self.flat_host = host.filter(|h| !h.is_empty());
        self
    }

    /// The decoded values of a query parameter, in order. The query is parsed on the first call.
    pub fn query_values<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.params
            .get_or_init(|| self.query.map_or_else(Vec::new, |q| parse_query(q).collect()))
            .iter()
            .filter(move |(k, _)| text::same(k, key))
            .map(|(_, v)| v.as_ref())
    }
}

/// Pairs of a query. A pair with a broken escape is left out. `;` separates as `&` does, because Traefik's
/// entry point turns the one into the other unless told to encode it, and then there is none left.
fn parse_query(query: &str) -> impl Iterator<Item = Param<'_>> {
    query.split(['&', ';']).filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape(key)?, unescape(value)?))
    })
}

fn unescape(text: &str) -> Option<Cow<'_, [u8]>> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Cow::Borrowed(bytes));
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match b {
            b'%' => {
                out.push(text::percent(bytes, i)?);
                i += 2;
            }
            b'+' => out.push(b' '),
            b => out.push(b),
        }
        i += 1;
    }
    Some(Cow::Owned(out))
}

/// The host of a `Host` header or `:authority` for matching: blanks trimmed, port and brackets removed,
/// lower case. Trailing dots stay, since `HostRegexp` sees them; `Host` looks past one of them itself.
/// What is no `host:port` stays whole, as `a:80:90`.
pub fn canonical_host(raw: &str) -> Cow<'_, str> {
    let host = without_port(raw).trim();
    if host.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// Go's `net.SplitHostPort` where it succeeds; otherwise brackets around the whole are removed.
fn without_port(raw: &str) -> &str {
    let Some(colon) = raw.rfind(':') else { return raw };
    let bare = |s: &str| !s.contains(['[', ']']);
    match raw.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((host, port)) if port.starts_with(':') && colon == host.len() + 2 && bare(port) && !host.contains('[') => host,
            _ => inner.strip_suffix(']').unwrap_or(raw),
        },
        None if !raw[..colon].contains(':') && bare(raw) => &raw[..colon],
        None => raw,
    }
}

/// The path that rules are matched on: percent escapes are decoded, except those of the reserved characters
/// ``:/?#[]@!$&'()*+,;=%``, which stay as escapes in upper case. Bytes that are not UTF-8 then become U+FFFD.
///
/// `escaped` is the path as on the request line. If it holds a character that should have been escaped
/// (`{`, `"`, `|`, a letter beyond ASCII), Go rebuilds the path from its decoded form: `%2F` becomes `/`,
/// and ``!'()*[]`` come out escaped. So here.
pub fn routing_path(escaped: &str) -> Cow<'_, str> {
    let bytes = escaped.as_bytes();
    let seen = bytes.iter().fold(0, |seen, b| seen | CLASS[usize::from(*b)]);
    let rebuilt = seen & NOT_RAW != 0;
    if seen & (PERCENT | if rebuilt { REBUILT } else { 0 }) == 0 {
        return Cow::Borrowed(escaped);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&raw) = bytes.get(i) {
        let decoded = text::percent(bytes, i);
        let b = decoded.unwrap_or(raw);
        let stays = if rebuilt { CLASS[usize::from(b)] & REBUILT != 0 } else { decoded.is_some() && CLASS[usize::from(b)] & RESERVED != 0 };
        if stays {
            let hex = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0').to_ascii_uppercase() as u8;
            out.extend([b'%', hex(b >> 4), hex(b & 15)]);
        } else {
            out.push(b);
        }
        i += if decoded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(text::from_bytes(out))
}

/// The escape character.
const PERCENT: u8 = 1;
/// Stays an escape when it comes as one.
const RESERVED: u8 = 2;
/// Should have come as an escape.
const NOT_RAW: u8 = 4;
/// Becomes an escape when Go rebuilds the path.
const REBUILT: u8 = 8;

static CLASS: [u8; 256] = {
    const fn mark(mut table: [u8; 256], bytes: &[u8], class: u8, set: bool) -> [u8; 256] {
        let mut i = 0;
        while i < bytes.len() {
            let at = bytes[i] as usize;
            table[at] = if set { table[at] | class } else { table[at] & !class };
            i += 1;
        }
        table
    }
    let t = [NOT_RAW; 256];
    let t = mark(t, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~$&+,/:;=@!'()*[]%", NOT_RAW, false);
    let t = mark(t, b":/?#[]@!$&'()*+,;=%", RESERVED, true);
    let t = mark(t, b"?#[]!'()*%", REBUILT, true);
    mark(t, b"%", PERCENT, true)
};
