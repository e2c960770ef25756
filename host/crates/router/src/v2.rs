//! The matchers of the v2 rule syntax, which Traefik v3 still takes (`ruleSyntax: v2`): several arguments in place
//! of `||`, and templates such as `/users/{id:[0-9]+}` in hosts, paths and queries.

mod tcp;
mod template;

use crate::matcher::{HostKey, Matcher, MatcherKind, Need, PathKey, absolute, ascii, header, network};
use crate::regexp::Regexp;
use crate::request::RequestView;
use crate::text;
use std::collections::BTreeMap;
use std::sync::Arc;
pub use tcp::TCP_MATCHERS_V2;
use template::{Kind, Template};

const ANY: std::ops::RangeInclusive<usize> = 1..=usize::MAX;

/// Every matcher of the v2 rule syntax.
pub static MATCHERS_V2: &[MatcherKind] = &[
    MatcherKind {
        name: "Host",
        arity: ANY,
        doc: "The request's host is one of these, without regard to case.",
        example: "Host(`example.com`, `example.org`)",
        build: host,
    },
    MatcherKind { name: "HostHeader", arity: ANY, doc: "As Host.", example: "HostHeader(`example.com`)", build: host },
    MatcherKind {
        name: "HostRegexp",
        arity: ANY,
        doc: "The request's whole host, without its port, fits one of these templates, without regard to case.",
        example: "HostRegexp(`{sub:[a-z]+}.example.com`)",
        build: host_regexp,
    },
    MatcherKind {
        name: "ClientIP",
        arity: ANY,
        doc: "The address of the connection's peer is, or is in, one of these.",
        example: "ClientIP(`10.0.0.0/8`, `::1`)",
        build: |args| {
            let nets = args.iter().map(|a| network(a)).collect::<Result<Vec<_>, _>>()?;
            Ok(Matcher::new(move |r| nets.iter().any(|n| n.contains(&r.client_ip))))
        },
    },
    MatcherKind {
        name: "Path",
        arity: ANY,
        doc: "The whole path fits one of these templates.",
        example: "Path(`/users/{id:[0-9]+}`)",
        build: |args| paths(args, Kind::Path),
    },
    MatcherKind {
        name: "PathPrefix",
        arity: ANY,
        doc: "The beginning of the path fits one of these templates.",
        example: "PathPrefix(`/api`, `/{tenant}/api`)",
        build: |args| paths(args, Kind::PathPrefix),
    },
    MatcherKind {
        name: "Method",
        arity: ANY,
        doc: "The request's method is one of these; they may be written in lower case.",
        example: "Method(`GET`, `HEAD`)",
        build: |args| {
            let methods: Vec<String> = args.iter().map(|a| a.to_uppercase()).collect();
            Ok(Matcher::new(move |r| methods.iter().any(|m| r.method == m)))
        },
    },
    MatcherKind {
        name: "Headers",
        arity: ANY,
        doc: "One of the header's values is exactly this one; for several headers, name and value of each.",
        example: "Headers(`X-Tenant`, `blue`)",
        build: |args| {
            let wanted = pairs(args)?.into_iter().map(|(name, value)| {
                let value = value.to_owned();
                header(name, move |v| text::same(v, &value))
            });
            Ok(all(wanted.collect()))
        },
    },
    MatcherKind {
        name: "HeadersRegexp",
        arity: ANY,
        doc: "A regular expression that is found in one of the header's values; for several headers, both of each.",
        example: "HeadersRegexp(`Content-Type`, `^application/(json|yaml)$`)",
        build: |args| {
            let wanted = pairs(args)?.into_iter().map(|(name, pattern)| {
                let re = Regexp::new(pattern)?;
                Ok(header(name, move |v| re.matches(v)))
            });
            Ok(all(wanted.collect::<Result<_, String>>()?))
        },
    },
    MatcherKind {
        name: "Query",
        arity: ANY,
        doc: "The first value of each query parameter fits its template; `name=` takes any value.",
        example: "Query(`page={n:[0-9]+}`)",
        build: query,
    },
];

/// One of these hosts. An empty host is none; one trailing dot on either side is overlooked.
fn host(args: &[String]) -> Result<Matcher, String> {
    let wanted = args.iter().map(|a| Ok(ascii(a)?.to_ascii_lowercase())).collect::<Result<Vec<String>, String>>()?;
    let keys = wanted.iter().map(|w| HostKey::Exact(w.trim_end_matches('.').into())).collect();
    let test = move |r: &RequestView<'_>| {
        let have = r.host;
        !have.is_empty()
            && wanted.iter().any(|want| match r.flat_host {
                Some(flat) => have == want || flat == want,
                None => have == want || want.strip_suffix('.') == Some(have) || have.strip_suffix('.') == Some(want),
            })
    };
    Ok(Matcher::new(test).needing(Need::Hosts(keys)))
}

fn host_regexp(args: &[String]) -> Result<Matcher, String> {
    let templates = args.iter().map(|a| Template::new(ascii(a)?, Kind::Host)).collect::<Result<Vec<_>, String>>()?;
    Ok(Matcher::new(move |r| {
        // Whatever follows the first colon, an IPv6 address too, is taken for a port.
        let host = r.raw_host.split(':').next().unwrap_or_default();
        templates.iter().any(|t| t.matches(host.as_bytes()))
    }))
}

fn paths(args: &[String], kind: Kind) -> Result<Matcher, String> {
    let templates = args.iter().map(|a| Template::new(absolute(a)?, kind)).collect::<Result<Vec<_>, String>>()?;
    let keys = templates.iter().map(|t| match (t.literal(), kind) {
        (Some(text), Kind::Path) => Some(PathKey::Exact(text.into())),
        (Some(text), _) => Some(PathKey::Prefix(text.into())),
        (None, _) => (!t.start().is_empty()).then(|| PathKey::Prefix(t.start().into())),
    });
    let need = keys.collect::<Option<Vec<_>>>().map_or(Need::Anything, Need::Paths);
    Ok(Matcher::new(move |r| templates.iter().any(|t| t.matches(r.path.as_bytes()))).needing(need))
}

/// Names and values; of a name that is written twice the last value counts.
fn pairs(args: &[String]) -> Result<BTreeMap<&str, &str>, String> {
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("there is a value for each name: {} arguments cannot be that", args.len()));
    }
    Ok(pairs.iter().map(|[name, value]| (name.as_str(), value.as_str())).collect())
}

fn all(list: Vec<Matcher>) -> Matcher {
    let never = list.iter().any(|m| m.need == Need::Never);
    let need = if never { Need::Never } else { Need::Anything };
    Matcher::new(move |r| list.iter().all(|m| (m.test)(r))).needing(need)
}

/// Arguments are cut at their first `=`; what comes of that is taken as names and values in turn.
fn query(args: &[String]) -> Result<Matcher, String> {
    let parts: Vec<&str> = args.iter().flat_map(|a| a.splitn(2, '=')).collect();
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("each parameter has a name and a value: write `name=value`, or `name=` for any value".to_owned());
    }
    let mut wanted: Vec<(Arc<str>, Template)> = Vec::with_capacity(pairs.len());
    for [name, value] in pairs {
        let template = Template::new(&format!("{name}={value}"), Kind::Query)?;
        for (_, other) in &wanted {
            if let Some(twice) = template.names().iter().find(|n| other.names().contains(n)) {
                return Err(format!("`{{{twice}}}` stands in two templates: give each a name of its own"));
            }
        }
        // The name is compared as written up to the first `=`, templates included.
        let key = name.split('=').next().unwrap_or_default();
        wanted.push((key.into(), template));
    }
    Ok(Matcher::new(move |r| {
        wanted.iter().all(|(key, template)| match r.query_values(key).next() {
            Some(value) => template.matches(&[key.as_bytes(), b"=", value].concat()),
            None => template.matches(b""),
        })
    }))
}
