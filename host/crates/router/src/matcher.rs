//! The matchers: one table, one entry each.

use crate::regexp::Regexp;
use crate::request::RequestView;
use crate::rule::RuleError;
use crate::text;
use http::HeaderName;
use ipnet::IpNet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A kind of matcher: what it is called, what it takes, and how it is built. `M` is what it becomes.
pub struct MatcherKind<M: 'static = Matcher> {
    pub name: &'static str,
    pub arity: RangeInclusive<usize>,
    /// One sentence for the reference.
    pub doc: &'static str,
    pub example: &'static str,
    /// Called with as many non-empty arguments as `arity` allows. The error says what is wrong with them
    /// and what to write instead.
    pub build: fn(&[String]) -> Result<M, String>,
}

impl<M> MatcherKind<M> {
    pub(crate) fn check_arity(&self, given: usize, at: usize) -> Result<(), RuleError> {
        if self.arity.contains(&given) {
            return Ok(());
        }
        let (min, max) = (*self.arity.start(), *self.arity.end());
        let wanted = match (min, max) {
            (min, max) if min == max => min.to_string(),
            (min, usize::MAX) => format!("at least {min}"),
            (min, max) => format!("{min} to {max}"),
        };
        let plural = if max == 1 { "" } else { "s" };
        let e = RuleError::new(at, format!("{} takes {wanted} argument{plural}, not {given}", self.name));
        Err(match (given, self.name) {
            (
                2..,
                "Host" | "HostRegexp" | "Path" | "PathPrefix" | "PathRegexp" | "Method" | "ClientIP" | "HostSNI" | "HostSNIRegexp" | "ALPN",
            ) => e.hint(format!("for several values write {0}(`..`) || {0}(`..`)", self.name)),
            _ => e.hint(format!("for example {}", self.example)),
        })
    }
}

/// Matchers beside the built-in ones, such as those of plugins. A built-in one of the same name goes before.
pub trait Extra {
    fn names(&self) -> Vec<String>;

    /// The error says what is wrong with the arguments and what to write instead.
    fn build(&self, name: &str, args: &[String]) -> Result<Matcher, String>;
}

/// None but the built-in ones.
pub struct NoExtra;

impl Extra for NoExtra {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn build(&self, name: &str, _: &[String]) -> Result<Matcher, String> {
        Err(format!("there is no matcher `{name}`"))
    }
}

type Test = Box<dyn Fn(&RequestView<'_>) -> bool + Send + Sync>;

/// A matcher with its arguments: a test, and what a request has to have for the test to succeed.
pub struct Matcher {
    pub(crate) test: Test,
    pub(crate) need: Need,
}

impl Matcher {
    pub fn new(test: impl Fn(&RequestView<'_>) -> bool + Send + Sync + 'static) -> Self {
        Matcher { test: Box::new(test), need: Need::Anything }
    }

    /// `need` must hold for every request that passes the test; the converse is not asked for.
    pub fn needing(self, need: Need) -> Self {
        Matcher { need, ..self }
    }
}

/// What a request must have so that a matcher can succeed; the index is built from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    Anything,
    /// One of these hosts.
    Hosts(Vec<HostKey>),
    /// One of these paths.
    Paths(Vec<PathKey>),
    /// The matcher never succeeds.
    Never,
}

/// A host, or all hosts that differ from each other in their first label only. Trailing dots are removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKey {
    Exact(Arc<str>),
    /// What follows the first label, with its leading dot; empty for hosts of one label.
    Wildcard(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKey {
    Exact(Arc<str>),
    Prefix(Arc<str>),
}

/// Every matcher of the v3 rule syntax.
pub static MATCHERS: &[MatcherKind] = &[
    MatcherKind {
        name: "Host",
        arity: 1..=1,
        doc: "The request's host, without regard to case; `*.example.com` means exactly one label before the dot, `*` any host.",
        example: "Host(`example.com`)",
        build: host,
    },
    MatcherKind {
        name: "HostRegexp",
        arity: 1..=1,
        doc: "A regular expression that is found in the request's lower-case host.",
        example: "HostRegexp(`^[a-z]+\\.example\\.com$`)",
        build: host_regexp,
    },
    MatcherKind {
        name: "Path",
        arity: 1..=1,
        doc: "The whole path.",
        example: "Path(`/login`)",
        build: |args| {
            let path: Arc<str> = absolute(&args[0])?.into();
            let key = path.clone();
            Ok(Matcher::new(move |r| r.path == &*path).needing(Need::Paths(vec![PathKey::Exact(key)])))
        },
    },
    MatcherKind {
        name: "PathPrefix",
        arity: 1..=1,
        doc: "How the path begins; `/foo` also matches `/foobar`.",
        example: "PathPrefix(`/api`)",
        build: |args| {
            let prefix: Arc<str> = absolute(&args[0])?.into();
            let key = prefix.clone();
            Ok(Matcher::new(move |r| r.path.starts_with(&*prefix)).needing(Need::Paths(vec![PathKey::Prefix(key)])))
        },
    },
    MatcherKind {
        name: "PathRegexp",
        arity: 1..=1,
        doc: "A regular expression that is found in the path.",
        example: "PathRegexp(`^/articles/[0-9]+$`)",
        build: |args| {
            let mut re = Regexp::new(&args[0])?;
            let prefix = std::mem::take(&mut re.prefix);
            let need = if prefix.is_empty() { Need::Anything } else { Need::Paths(vec![PathKey::Prefix(prefix.into())]) };
            Ok(Matcher::new(move |r| re.matches(r.path.as_bytes())).needing(need))
        },
    },
    MatcherKind {
        name: "Method",
        arity: 1..=1,
        doc: "The request's method; the argument may be written in lower case.",
        example: "Method(`POST`)",
        build: |args| {
            let method = args[0].to_uppercase();
            Ok(Matcher::new(move |r| r.method == method))
        },
    },
    MatcherKind {
        name: "Header",
        arity: 2..=2,
        doc: "One of the header's values is exactly this one.",
        example: "Header(`X-Tenant`, `blue`)",
        build: |args| {
            let value = args[1].clone();
            Ok(header(&args[0], move |v| text::same(v, &value)))
        },
    },
    MatcherKind {
        name: "HeaderRegexp",
        arity: 2..=2,
        doc: "A regular expression that is found in one of the header's values.",
        example: "HeaderRegexp(`Content-Type`, `^application/(json|yaml)$`)",
        build: |args| {
            let re = Regexp::new(&args[1])?;
            Ok(header(&args[0], move |v| re.matches(v)))
        },
    },
    MatcherKind {
        name: "Query",
        arity: 1..=2,
        doc: "One of the query parameter's values is exactly this one; without a value, one of them is empty.",
        example: "Query(`debug`, `true`)",
        build: |args| query(args),
    },
    MatcherKind {
        name: "QueryRegexp",
        arity: 1..=2,
        doc: "A regular expression that is found in one of the query parameter's values; without one, as Query.",
        example: "QueryRegexp(`page`, `^[0-9]+$`)",
        build: |args| {
            let [key, pattern] = args else { return query(args) };
            let (key, re) = (key.clone(), Regexp::new(pattern)?);
            Ok(Matcher::new(move |r| r.query_values(&key).any(|v| re.matches(v))))
        },
    },
    MatcherKind {
        name: "ClientIP",
        arity: 1..=1,
        doc: "The address of the connection's peer, an address or a network; never taken from a header.",
        example: "ClientIP(`10.0.0.0/8`)",
        build: |args| {
            let net = network(&args[0])?;
            Ok(Matcher::new(move |r| net.contains(&r.client_ip)))
        },
    },
];

/// The matcher of that name, which may be spelt exactly, in lower case, in upper case or in Titlecase.
pub fn matcher(name: &str) -> Option<&'static MatcherKind> {
    known(MATCHERS, name)
}

pub(crate) fn known<M>(table: &'static [MatcherKind<M>], name: &str) -> Option<&'static MatcherKind<M>> {
    let lower = |s: &str| s.bytes().all(|b| b.is_ascii_lowercase());
    let accepted = |kind: &&MatcherKind<M>| {
        name == kind.name
            || name.eq_ignore_ascii_case(kind.name)
                && (lower(name) || name.bytes().all(|b| b.is_ascii_uppercase()) || name.get(1..).is_some_and(lower))
    };
    table.iter().find(accepted)
}

/// Whether `have` is the host `want`, one leading `*` of which stands for the first label of `have`.
fn host_is(have: &str, want: &str) -> bool {
    match want.strip_prefix('*') {
        Some(tail) => after_first_label(have) == tail,
        None => have == want,
    }
}

/// From the first dot on; empty when there is none.
pub(crate) fn after_first_label(host: &str) -> &str {
    host.find('.').map_or("", |i| &host[i..])
}

fn host(args: &[String]) -> Result<Matcher, String> {
    let want: Arc<str> = ascii(&args[0])?.to_ascii_lowercase().into();
    if &*want == "*" {
        return Ok(Matcher::new(|_| true));
    }
    let bare = want.trim_end_matches('.');
    let key = |s: &str| if s.len() == want.len() { want.clone() } else { s.into() };
    let need = match bare.strip_prefix('*') {
        None => Need::Hosts(vec![HostKey::Exact(key(bare))]),
        Some(tail) if tail.is_empty() || tail.starts_with('.') => Need::Hosts(vec![HostKey::Wildcard(tail.into())]),
        Some(_) => Need::Never,
    };
    // An empty host matches nothing; one trailing dot on either side is overlooked.
    let test = move |r: &RequestView<'_>| {
        let have = r.host;
        if have.is_empty() {
            return false;
        }
        if host_is(have, &want) {
            return true;
        }
        if let Some(flat) = r.flat_host {
            return host_is(flat, &want);
        }
        want.strip_suffix('.').is_some_and(|want| host_is(have, want)) || have.strip_suffix('.').is_some_and(|have| host_is(have, &want))
    };
    Ok(Matcher::new(test).needing(need))
}

/// Also tried on the flattened host, which is the empty string where there is none: an expression that
/// matches the empty string matches every host.
fn host_regexp(args: &[String]) -> Result<Matcher, String> {
    let re = Regexp::new(ascii(&args[0])?)?;
    if re.matches(b"") {
        return Ok(Matcher::new(move |r| r.flat_host.is_none_or(|h| re.matches(h.as_bytes())) || re.matches(r.host.as_bytes())));
    }
    Ok(Matcher::new(move |r| re.matches(r.host.as_bytes()) || r.flat_host.is_some_and(|h| re.matches(h.as_bytes()))))
}

pub(crate) fn header(name: &str, test: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Matcher {
    // Go keeps these three out of the headers; a name that is no token is never sent.
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) if !matches!(name.as_str(), "host" | "transfer-encoding" | "trailer") => {
            Matcher::new(move |r| r.headers.get_all(&name).iter().any(|v| test(v.as_bytes())))
        }
        _ => Matcher::new(|_| false).needing(Need::Never),
    }
}

fn query(args: &[String]) -> Result<Matcher, String> {
    let (key, value) = (args[0].clone(), args.get(1).cloned().unwrap_or_default());
    Ok(Matcher::new(move |r| r.query_values(&key).any(|v| text::same(v, &value))))
}

pub(crate) fn absolute(path: &str) -> Result<&str, String> {
    if path.starts_with('/') { Ok(path) } else { Err(format!("the path `{path}` has to begin with a slash: write `/{path}`")) }
}

pub(crate) fn ascii(host: &str) -> Result<&str, String> {
    if host.is_ascii() {
        Ok(host)
    } else {
        Err(format!("`{host}` is not ASCII: write the host in punycode, as in `xn--bcher-kva.example`"))
    }
}

/// An address is a network of its own; IPv4 written as IPv6 is IPv4.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    read_network(text)
        .ok_or_else(|| format!("`{text}` is neither an IP address nor a network: write `10.1.2.3`, `10.0.0.0/8` or `fd00::/8`"))
}

fn read_network(text: &str) -> Option<IpNet> {
    let Some((ip, bits)) = text.split_once('/') else { return text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical().into()) };
    let ip: IpAddr = ip.parse().ok()?;
    let bits: u8 = (!bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit())).then(|| bits.parse().ok()).flatten()?;
    match (ip, ip.to_canonical()) {
        (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if (96..=128).contains(&bits) => IpNet::new(v4, bits - 96).ok(),
        _ => IpNet::new(ip, bits).ok(),
    }
}
