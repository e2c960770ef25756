//! The index finds what a walk over all routes finds; printing and parsing are inverse; nothing panics.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::IpAddr;
use std::sync::Arc;
use torana_router::{RequestView, Route, RouteTable, Rule, canonical_host, compile, parse, routing_path};

const HOSTS: &[&str] =
    &["a.test", "b.test", "x.a.test", "a.test.", "A.Test..", "test", "", ".", "..", "[::1]", "a.", ".test", "*.test", "c"];
const HOST_ARGS: &[&str] = &[
    "a.test", "b.test", "x.a.test", "a.test.", "A.Test..", "test", ".", "..", "::1", "*", "*.", "*..", "*.test", "*.test.", "*.a.test",
    "**.test", "*a", "c",
];
const PATHS: &[&str] = &["/", "/a", "/a/b", "/a/b/c", "/b", "/a%2Fb", "/é", "/é/x", "/%ff", "/abc"];
const PATH_ARGS: &[&str] = &["/", "/a", "/a/b", "/a/", "/b", "/a%2Fb", "/é", "/\u{fffd}", "/ab"];
const PATTERNS: &[&str] =
    &["^/a", "^/a?b", "^/(a|b)$", "b$", ".", "^$", "^/a|^/b", "^/ab*", "[a-c]+", "(?i)A", "^a\\.test$", "^/a{2}", "\\Q.\\E", "^/ab+c"];

fn call(name: &'static str, args: Vec<&str>) -> Rule {
    Rule::Matcher { name: name.into(), args: args.into_iter().map(str::to_owned).collect(), at: Default::default() }
}

fn leaf() -> impl Strategy<Value = Rule> {
    prop_oneof![
        6 => select(HOST_ARGS).prop_map(|a| call("Host", vec![a])),
        1 => select(PATTERNS).prop_map(|a| call("HostRegexp", vec![a])),
        3 => select(PATH_ARGS).prop_map(|a| call("Path", vec![a])),
        3 => select(PATH_ARGS).prop_map(|a| call("PathPrefix", vec![a])),
        2 => select(PATTERNS).prop_map(|a| call("PathRegexp", vec![a])),
        1 => select(&["GET", "post", "PUT"][..]).prop_map(|a| call("Method", vec![a])),
        1 => select(&["v", "w"][..]).prop_map(|a| call("Header", vec!["X-A", a])),
        1 => select(PATTERNS).prop_map(|a| call("HeaderRegexp", vec!["x-a", a])),
        1 => Just(call("Header", vec!["Host", "a.test"])),
        1 => select(&["1", "2"][..]).prop_map(|a| call("Query", vec!["k", a])),
        1 => Just(call("Query", vec!["k"])),
        1 => select(PATTERNS).prop_map(|a| call("QueryRegexp", vec!["k", a])),
        1 => select(&["127.0.0.1", "10.0.0.0/8", "::1"][..]).prop_map(|a| call("ClientIP", vec![a])),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..5).prop_map(Rule::and),
            vec(inner.clone(), 1..5).prop_map(Rule::or),
            inner.prop_map(Rule::negate),
        ]
    })
}

/// Any text at all in the places of arguments.
fn wild_rule() -> impl Strategy<Value = Rule> {
    let text = prop_oneof![any::<String>(), "[`\"\\\\\r\n\t\0\u{feff}a-c]{1,6}"].prop_filter("empty", |t| !t.is_empty());
    let leaf = (select(&["Host", "Path", "Header"][..]), vec(text, 2)).prop_map(|(name, mut args)| {
        args.truncate(if name == "Header" { 2 } else { 1 });
        Rule::Matcher { name: name.into(), args, at: Default::default() }
    });
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![vec(inner.clone(), 2..4).prop_map(Rule::and), vec(inner.clone(), 2..4).prop_map(Rule::or), inner.prop_map(Rule::negate)]
    })
}

#[derive(Clone, Debug)]
struct Request {
    host: &'static str,
    flat: Option<&'static str>,
    path: &'static str,
    method: &'static str,
    headers: HeaderMap,
    query: Option<&'static str>,
    ip: IpAddr,
}

fn request() -> impl Strategy<Value = Request> {
    (
        select(HOSTS),
        proptest::option::weighted(0.2, select(HOSTS)),
        select(PATHS),
        select(&["GET", "POST", "get"][..]),
        proptest::option::of(select(&["v", "w", "a.test"][..])),
        proptest::option::of(select(&["k", "k=1", "k=2&k=1", "j=1", "k=%zz;k"][..])),
        select(&["127.0.0.1", "10.1.2.3", "::1"][..]),
    )
        .prop_map(|(host, flat, path, method, header, query, ip)| {
            let mut headers = HeaderMap::new();
            header.map(|v| headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static(v)));
            Request { host, flat, path, method, headers, query, ip: ip.parse().expect("an address") }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// A few shapes of rules used many times over fill single buckets beyond the size where they are divided.
    #[test]
    fn the_index_agrees_with_a_walk(
        rules in vec((rule(), 0i64..4, 0u32..3, 1usize..12), 1..12),
        narrow in proptest::option::of(select(HOST_ARGS)),
        requests in vec(request(), 1..12),
    ) {
        let mut routes = Vec::new();
        for (rule, priority, rank, copies) in rules {
            let rule = match narrow {
                Some(host) => Rule::and(vec![call("Host", vec![host]), rule]),
                None => rule,
            };
            let rule = Arc::new(compile(&rule).unwrap());
            for copy in 0..copies {
                let at = routes.len();
                let name = format!("r{}", (at * 7919) % 101).into();
                routes.push(Route { rule: rule.clone(), priority: priority + copy as i64 % 2, rank, name, target: at });
            }
        }
        let mut sorted = routes.clone();
        sorted.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.rank.cmp(&b.rank)).then(a.name.cmp(&b.name)));
        let table = RouteTable::new(routes);
        for r in &requests {
            let (host, path) = (canonical_host(r.host), routing_path(r.path));
            let flat = r.flat.map(canonical_host);
            let view = RequestView::new(&host, &path, r.method, &r.headers, r.query, r.ip).with_flat_host(flat.as_deref());
            let walked = sorted.iter().find(|route| route.rule.matches(&view)).map(|route| &route.target);
            prop_assert_eq!(table.find(&view), walked, "{:?}", r);
        }
    }

    #[test]
    fn a_printed_rule_reads_back(rule in prop_oneof![rule(), wild_rule()]) {
        let printed = rule.to_string();
        prop_assert_eq!(parse(&printed), Ok(rule), "{}", printed);
    }

    #[test]
    fn negating_twice_changes_nothing(rule in rule()) {
        prop_assert_eq!(rule.clone().negate().negate(), rule);
    }

    #[test]
    fn a_negated_rule_is_the_opposite(rule in rule(), r in request()) {
        let (host, path) = (canonical_host(r.host), routing_path(r.path));
        let view = RequestView::new(&host, &path, r.method, &r.headers, r.query, r.ip);
        let is = |rule: &Rule| compile(rule).unwrap().matches(&view);
        prop_assert_ne!(is(&rule), is(&rule.clone().negate()));
    }

    #[test]
    fn the_parser_is_total(text in any::<String>()) {
        if let Err(e) = parse(&text) {
            prop_assert!(e.offset <= text.len());
            e.caret(&text);
        }
    }

    #[test]
    fn the_parser_is_total_on_things_that_look_like_rules(words in vec(select(WORDS), 0..24)) {
        let text = words.concat();
        match parse(&text) {
            Ok(rule) => {
                let _ = compile(&rule);
                prop_assert_eq!(parse(&rule.to_string()), Ok(rule));
            }
            Err(e) => prop_assert!(e.offset <= text.len() && !e.caret(&text).is_empty()),
        }
    }

    #[test]
    fn regular_expressions_are_total(words in vec(select(REGEXP_WORDS), 1..12), path in any::<String>()) {
        if let Ok(rule) = compile(&call("PathRegexp", vec![&words.concat()])) {
            let headers = HeaderMap::new();
            rule.matches(&RequestView::new("h", &path, "GET", &headers, None, IpAddr::from([127, 0, 0, 1])));
        }
    }

    #[test]
    fn hosts_and_paths_are_total(text in prop_oneof![any::<String>(), "[\\[\\]:.a%25é{/]{0,8}"]) {
        prop_assert!(canonical_host(&text).len() <= text.len());
        prop_assert!(!routing_path(&text).bytes().any(|b| b == b'%') || text.contains(['%', '!', '\'', '(', ')', '*', '[', ']', '#', '?']));
    }
}

const WORDS: &[&str] = &[
    "Host",
    "path",
    "Header",
    "(",
    ")",
    "`/a`",
    "\"b\\n\"",
    "'c'",
    ",",
    "&&",
    "||",
    "!",
    " ",
    "\n",
    "//",
    "/*",
    "*/",
    "...",
    "1",
    "`",
    "\"",
    "\\",
    "é",
    "Host(`a`)",
    "Path(`/a`)",
    "\u{feff}",
    "\r",
    "Header(`x`, `y`)",
];

const REGEXP_WORDS: &[&str] = &[
    "a",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?P<n>",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "{2,}",
    "{",
    "}",
    "[",
    "]",
    "[^",
    "-",
    "\\",
    "\\d",
    "\\Q",
    "\\E",
    "\\pL",
    "\\p{Greek}",
    "[:alpha:]",
    "\\x41",
    "\\x{10FFFF}",
    "\\07",
    ".",
    "^",
    "$",
    "\\b",
    "é",
    ",",
    "\\S",
    "&&",
    "~~",
];
