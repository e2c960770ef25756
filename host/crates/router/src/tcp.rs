//! Rules of TCP routers: what is known of a connection before anything of it is served.

use crate::compile::{Expr, build};
use crate::index::{Bucket, Lists, first};
use crate::matcher::{HostKey, MatcherKind, Need, NoExtra, after_first_label, ascii, network};
use crate::parser::parse_in;
use crate::regexp::Regexp;
use crate::rule::{Rule, RuleError};
use crate::table::default_priority;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// The protocol of ACME's TLS challenge (RFC 8737), which no router may ask for.
pub const ALPN_ACME: &str = "acme-tls/1";

/// What a TCP rule can see of a connection.
#[derive(Clone, Copy, Debug)]
pub struct TcpFacts<'a> {
    /// Of the ClientHello, as [`canonical_sni`] gives it; empty without TLS or without a name.
    pub sni: &'a str,
    /// The protocols that the ClientHello offers; empty without TLS.
    pub alpn: &'a [Vec<u8>],
    /// After the PROXY protocol.
    pub peer: IpAddr,
}

/// A server name for matching: lower case, no blanks around it.
pub fn canonical_sni(raw: &str) -> Cow<'_, str> {
    let name = raw.trim();
    if name.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }
}

/// A TCP matcher with its arguments.
pub struct TcpMatcher {
    test: Box<dyn Fn(&TcpFacts<'_>) -> bool + Send + Sync>,
    need: Need,
}

impl TcpMatcher {
    pub(crate) fn new(need: Need, test: impl Fn(&TcpFacts<'_>) -> bool + Send + Sync + 'static) -> Self {
        TcpMatcher { test: Box::new(test), need }
    }
}

/// Every matcher of TCP rules.
pub static TCP_MATCHERS: &[MatcherKind<TcpMatcher>] = &[
    MatcherKind {
        name: "HostSNI",
        arity: 1..=1,
        doc: "The server name of the TLS handshake, without regard to case; `*.example.com` means exactly one label before the dot, `*` any name or none.",
        example: "HostSNI(`example.com`)",
        build: host_sni,
    },
    MatcherKind {
        name: "HostSNIRegexp",
        arity: 1..=1,
        doc: "A regular expression that is found in the lower-case server name, which is empty where there is none.",
        example: "HostSNIRegexp(`^[a-z]+\\.example\\.com$`)",
        build: |args| {
            let re = Regexp::new(ascii(&args[0])?)?;
            Ok(TcpMatcher::new(Need::Anything, move |f| re.matches(f.sni.as_bytes())))
        },
    },
    MatcherKind {
        name: "ClientIP",
        arity: 1..=1,
        doc: "The address of the connection's peer, an address or a network.",
        example: "ClientIP(`10.0.0.0/8`)",
        build: client_ip,
    },
    MatcherKind {
        name: "ALPN",
        arity: 1..=1,
        doc: "One of the protocols that the client offers in the TLS handshake.",
        example: "ALPN(`mqtt`)",
        build: alpn,
    },
];

/// Whether a text may be a server name or an address.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':'))
}

/// The matcher of one or more protocols.
pub(crate) fn alpn(args: &[String]) -> Result<TcpMatcher, String> {
    if args.iter().any(|a| a == ALPN_ACME) {
        return Err(format!("`{ALPN_ACME}` is not allowed: it belongs to the ACME challenge"));
    }
    let wanted: Vec<Vec<u8>> = args.iter().map(|a| a.clone().into_bytes()).collect();
    Ok(TcpMatcher::new(Need::Anything, move |f| wanted.iter().any(|w| f.alpn.contains(w))))
}

/// The matcher of one or more addresses or networks.
pub(crate) fn client_ip(args: &[String]) -> Result<TcpMatcher, String> {
    let nets = args.iter().map(|a| network(a)).collect::<Result<Vec<_>, _>>()?;
    Ok(TcpMatcher::new(Need::Anything, move |f| {
        let peer = f.peer.to_canonical();
        nets.iter().any(|n| n.contains(&peer))
    }))
}

fn host_sni(args: &[String]) -> Result<TcpMatcher, String> {
    if args[0] == "*" {
        return Ok(TcpMatcher::new(Need::Anything, |_| true));
    }
    let want = ascii(&args[0])?.to_ascii_lowercase();
    if !is_plain(want.strip_prefix("*.").unwrap_or(&want)) {
        return Err(format!("`{}` is no server name: write a host such as `example.com`, `*.example.com`, or `*` for any", args[0]));
    }
    let want: Arc<str> = want.strip_suffix('.').unwrap_or(&want).into();
    // One label in place of the star.
    if let Some(tail) = want.strip_prefix('*') {
        let tail: Arc<str> = tail.into();
        let need = Need::Hosts(vec![HostKey::Wildcard(tail.clone())]);
        return Ok(TcpMatcher::new(need, move |f| !f.sni.is_empty() && after_first_label(f.sni) == &*tail));
    }
    Ok(TcpMatcher::new(Need::Hosts(vec![HostKey::Exact(want.clone())]), move |f| !f.sni.is_empty() && f.sni == &*want))
}

/// Reads the text of a TCP rule in v3 syntax. Total, like [`crate::parse`].
pub fn parse_tcp(rule: &str) -> Result<Rule, RuleError> {
    parse_in(TCP_MATCHERS, rule, &NoExtra)
}

/// The priority of a TCP router that names none: longer rules first, and the one that takes everything last.
pub fn tcp_priority(text: &str, rule: &Rule) -> i64 {
    if is_catch_all(rule) { -1 } else { default_priority(text) }
}

/// Exactly ``HostSNI(`*`)``. Traefik overlooks a `!` before it.
fn is_catch_all(rule: &Rule) -> bool {
    match rule {
        Rule::Not(inner) => is_catch_all(inner),
        Rule::Matcher { name, args, .. } => name == "HostSNI" && matches!(&args[..], [only] if only == "*"),
        _ => false,
    }
}

/// A TCP rule ready to be asked.
pub struct CompiledTcpRule {
    expr: Expr<TcpMatcher>,
    hosts: Option<Box<[HostKey]>>,
    sni_values: Box<[Box<str>]>,
    catch_all: bool,
}

/// Builds the matchers of a TCP rule in v3 syntax. The error points at the matcher whose arguments are wrong.
pub fn compile_tcp(rule: &Rule) -> Result<CompiledTcpRule, RuleError> {
    compile_tcp_in(TCP_MATCHERS, rule)
}

/// The same, with the matchers of a table.
pub(crate) fn compile_tcp_in(table: &[MatcherKind<TcpMatcher>], rule: &Rule) -> Result<CompiledTcpRule, RuleError> {
    let mut sni_values: Vec<Box<str>> = Vec::new();
    let (expr, needs) = build(rule, &mut |name, args, at, negated| {
        let kind = table.iter().find(|k| k.name == name).ok_or_else(|| RuleError::new(at, format!("unknown matcher `{name}`")))?;
        if args.iter().any(String::is_empty) {
            return Err(RuleError::new(at, format!("an argument of {name} is empty")));
        }
        kind.check_arity(args.len(), at)?;
        let mut m = (kind.build)(args).map_err(|why| RuleError::new(at, format!("{name}: {why}")))?;
        if name == "HostSNI" && !negated {
            sni_values.extend(args.iter().map(|a| a.to_ascii_lowercase().into_boxed_str()));
        }
        let need = std::mem::replace(&mut m.need, Need::Anything);
        Ok((m, need))
    })?;
    let hosts = needs.hosts.map(Vec::into_boxed_slice);
    Ok(CompiledTcpRule { expr, hosts, sni_values: sni_values.into(), catch_all: is_catch_all(rule) })
}

impl CompiledTcpRule {
    pub fn matches(&self, facts: &TcpFacts<'_>) -> bool {
        self.expr.eval(&|m: &TcpMatcher| (m.test)(facts))
    }

    /// The arguments of all `HostSNI` matchers that are not negated, lower case, in the order written.
    pub fn sni_values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sni_values.iter().map(AsRef::as_ref)
    }

    /// Whether it is exactly ``HostSNI(`*`)``: such routes come after everything else, HTTPS included.
    pub fn is_catch_all(&self) -> bool {
        self.catch_all
    }

    /// The first server name that it asks for, other than `*`: Traefik then wants TLS on the router, and looks at
    /// the first one only.
    pub fn needs_tls(&self) -> bool {
        self.sni_values().next().is_some_and(|first| first != "*")
    }
}

impl std::fmt::Debug for CompiledTcpRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledTcpRule").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// One row of a [`TcpTable`].
#[derive(Clone, Debug)]
pub struct TcpRoute<T> {
    pub rule: Arc<CompiledTcpRule>,
    /// Higher first.
    pub priority: i64,
    /// The provider's precedence, lower first; decides between equal priorities.
    pub rank: u32,
    /// Decides last, ascending.
    pub name: Arc<str>,
    pub target: T,
}

/// All TCP routes of an entry point, immutable: an index by server name, so that the cost of finding one does
/// not grow with the number of names.
pub struct TcpTable<T> {
    routes: Box<[TcpRoute<T>]>,
    exact: FxHashMap<Arc<str>, Bucket>,
    wildcard: FxHashMap<Arc<str>, Bucket>,
    /// Routes that any name, or none, may match.
    any: Bucket,
}

impl<T> Default for TcpTable<T> {
    fn default() -> Self {
        TcpTable::new([])
    }
}

impl<T> TcpTable<T> {
    pub fn new(routes: impl IntoIterator<Item = TcpRoute<T>>) -> Self {
        let mut routes: Vec<TcpRoute<T>> = routes.into_iter().collect();
        routes.truncate(u32::MAX as usize);
        routes.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.rank.cmp(&b.rank)).then_with(|| a.name.cmp(&b.name)));
        let (mut exact, mut wildcard, mut any) = (FxHashMap::default(), FxHashMap::default(), Bucket::Few(Vec::new()));
        for (at, route) in (0..).zip(&routes) {
            let Some(keys) = &route.rule.hosts else {
                any.push(at);
                continue;
            };
            for key in keys {
                let (map, name): (&mut FxHashMap<Arc<str>, Bucket>, _) = match key {
                    HostKey::Exact(name) => (&mut exact, name),
                    HostKey::Wildcard(tail) => (&mut wildcard, tail),
                };
                match map.get_mut(name) {
                    Some(bucket) => bucket.push(at),
                    None => drop(map.insert(name.clone(), Bucket::One(at))),
                }
            }
        }
        TcpTable { routes: routes.into(), exact, wildcard, any }
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// All routes, in the order in which they are tried.
    pub fn routes(&self) -> &[TcpRoute<T>] {
        &self.routes
    }

    /// The first route in order whose rule matches.
    pub fn find(&self, facts: &TcpFacts<'_>) -> Option<&TcpRoute<T>> {
        let mut lists = Lists::new();
        let buckets = [
            self.exact.get(facts.sni),
            if self.wildcard.is_empty() { None } else { self.wildcard.get(after_first_label(facts.sni)) },
            Some(&self.any),
        ];
        buckets.into_iter().flatten().for_each(|b| b.collect("", &mut lists));
        first(lists, |at| self.routes.get(at as usize).filter(|route| route.rule.matches(facts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<CompiledTcpRule, String> {
        compile_tcp(&parse_tcp(text).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
    }

    fn matches(text: &str, sni: &str, alpn: &[&str], peer: &str) -> bool {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        let sni = canonical_sni(sni);
        rule(text).unwrap().matches(&TcpFacts { sni: &sni, alpn: &alpn, peer: peer.parse().unwrap() })
    }

    #[test]
    fn server_names() {
        for (text, sni, yes) in [
            ("HostSNI(`*`)", "", true),
            ("HostSNI(`*`)", "a.test", true),
            ("!HostSNI(`*`)", "a.test", false),
            ("HostSNI(`A.test`)", "a.TEST", true),
            ("HostSNI(`a.test.`)", "a.test", true),
            ("HostSNI(`a.test`)", "", false),
            ("HostSNI(`a.test`)", "b.a.test", false),
            ("HostSNI(`*.a.test`)", "b.a.test", true),
            ("HostSNI(`*.a.test`)", "a.test", false),
            ("HostSNI(`*.a.test`)", "c.b.a.test", false),
            ("hostsni(\"a.test\") || HostSNI(`b.test`)", "b.test", true),
            ("HostSNIRegexp(`^a`)", "A.test", true),
            ("HostSNIRegexp(`^$`)", "", true),
            ("HostSNIRegexp(`x`) && !HostSNI(`x.test`)", "y.x", true),
        ] {
            assert_eq!(matches(text, sni, &[], "127.0.0.1"), yes, "{text} {sni}");
        }
    }

    #[test]
    fn addresses_and_protocols() {
        for (text, yes) in [
            ("ClientIP(`10.0.0.0/8`)", true),
            ("ClientIP(`::ffff:10.1.2.3`)", true),
            ("ClientIP(`10.1.2.4`)", false),
            ("ALPN(`h2`)", true),
            ("ALPN(`H2`)", false),
            ("ALPN(`mqtt`) || !ALPN(`mqtt`)", true),
        ] {
            assert_eq!(matches(text, "a.test", &["http/1.1", "h2"], "::ffff:10.1.2.3"), yes, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            ("ALPN(`acme-tls/1`)", "not allowed"),
            ("HostSNI(`a b`)", "no server name"),
            ("HostSNI(`*b`)", "no server name"),
            ("HostSNI(`*.`)", "no server name"),
            ("HostSNI(`é`)", "ASCII"),
            ("HostSNIRegexp(`é`)", "ASCII"),
            ("HostSNI(`a`, `b`)", "HostSNI(`..`) || HostSNI(`..`)"),
            ("HostSNI(``)", "empty"),
            ("Host(`a`)", "HostSNI"),
            ("ClientIP(`x`)", "neither"),
            ("", "such as HostSNI(`example.com`)"),
        ] {
            let error = rule(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn priorities_and_what_wants_tls() {
        for (text, priority, wants) in [
            ("HostSNI(`*`)", -1, false),
            (" hostsni(\"*\") ", -1, false),
            ("!HostSNI(`*`)", -1, false),
            ("HostSNI(`*`) || HostSNI(`x.test`)", 33, false),
            ("HostSNI(`x.test`) || HostSNI(`*`)", 33, true),
            ("HostSNI(`x.test`)", 17, true),
            ("!HostSNI(`x.test`)", 18, false),
            ("HostSNIRegexp(`x.test`)", 23, false),
        ] {
            let parsed = parse_tcp(text).unwrap();
            assert_eq!((tcp_priority(text, &parsed), compile_tcp(&parsed).unwrap().needs_tls()), (priority, wants), "{text}");
        }
    }

    #[test]
    fn the_table_goes_by_priority_over_all_its_indexes() {
        let texts =
            ["HostSNI(`*`)", "HostSNI(`*.a.test`)", "HostSNI(`b.a.test`)", "HostSNIRegexp(`long.enough.to.win`)", "ClientIP(`10.0.0.1`)"];
        let table = TcpTable::new(texts.iter().map(|t| {
            let parsed = parse_tcp(t).unwrap();
            let rule = Arc::new(compile_tcp(&parsed).unwrap());
            TcpRoute { rule, priority: tcp_priority(t, &parsed), rank: 0, name: (*t).into(), target: *t }
        }));
        let find = |sni: &str, peer: &str| {
            table.find(&TcpFacts { sni, alpn: &[], peer: peer.parse().unwrap() }).map(|r| (r.target, r.rule.is_catch_all()))
        };
        assert_eq!(find("b.a.test", "127.0.0.1"), Some((texts[1], false)));
        assert_eq!(find("c.a.test", "127.0.0.1"), Some((texts[1], false)));
        assert_eq!(find("c.a.test", "10.0.0.1"), Some((texts[4], false)));
        assert_eq!(find("", "127.0.0.1"), Some((texts[0], true)));
        assert_eq!(find("long.enough.to.win", "127.0.0.1"), Some((texts[3], false)));
        assert!(TcpTable::<()>::default().find(&TcpFacts { sni: "", alpn: &[], peer: "::1".parse().unwrap() }).is_none());
    }

    /// The index says what a walk over all routes says.
    #[test]
    fn the_index_loses_nothing() {
        let hosts = ["a.test", "b.test", "x.a.test", "y.a.test", "a", ""];
        let rules: Vec<String> = (0..200)
            .map(|i| match i % 5 {
                0 => format!("HostSNI(`{}`)", hosts[i % 5]),
                1 => format!("HostSNI(`*.{}`) && ClientIP(`10.0.0.{}`)", hosts[i % 2], i % 4),
                2 => format!("!HostSNI(`{}`) && ClientIP(`10.0.0.{}`)", hosts[i % 5], i % 7),
                3 => format!("HostSNI(`{}`) || HostSNI(`*.{}`)", hosts[(i / 5) % 5], hosts[i % 3]),
                _ => format!("HostSNIRegexp(`^{}`) && ClientIP(`10.0.0.{}`)", hosts[i % 5], i % 9),
            })
            .collect();
        let table = TcpTable::new(rules.iter().enumerate().map(|(i, t)| TcpRoute {
            rule: Arc::new(rule(t).unwrap()),
            priority: (i * 7919 % 31) as i64,
            rank: 0,
            name: format!("r{i}").into(),
            target: i,
        }));
        for sni in hosts {
            for last in 0..10u8 {
                let facts = TcpFacts { sni, alpn: &[], peer: IpAddr::from([10, 0, 0, last]) };
                let naive = table.routes().iter().find(|r| r.rule.matches(&facts)).map(|r| r.target);
                assert_eq!(table.find(&facts).map(|r| r.target), naive, "{facts:?}");
            }
        }
    }
}
