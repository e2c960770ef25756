//! What holds for every kind.

use crate::testing::{Cx, Ran, block_on, drive, exchange, ok, run_exchange, yaml};
use crate::{KINDS, kind};
use std::collections::HashSet;
use torana_extend::MiddlewareKind;
use torana_http::{Exchange, Step};

fn build(kind: &MiddlewareKind, text: &str) -> Vec<Step> {
    let built = (kind.build)(&yaml(text), &format!("http.middlewares.m.{}", kind.name), &Cx);
    built.unwrap_or_else(|d| panic!("{}: {d:?}", kind.name)).steps
}

#[test]
fn names_are_unique_and_found_without_case() {
    let names: HashSet<_> = KINDS.iter().map(|k| k.name).collect();
    assert_eq!(names.len(), KINDS.len());
    for k in KINDS {
        assert_eq!(kind(&k.name.to_uppercase()).map(|k| k.name), Some(k.name));
    }
    assert!(kind("nothere").is_none());
}

#[test]
fn examples_parse_build_and_show() {
    for k in KINDS {
        assert!(!build(k, k.example).is_empty(), "{}", k.name);
        let shown = (k.show)(&yaml(k.example), k.name).unwrap();
        for (key, _) in yaml(k.example).entries() {
            assert!(shown.get(&key.text).is_some(), "{}: {} is not shown", k.name, key.text);
        }
        // What is shown builds the same again.
        build(k, &shown.to_string());
    }
}

#[test]
fn unknown_fields_are_refused_with_a_suggestion() {
    for k in KINDS {
        let node = yaml(k.example);
        let known = &node.entries()[0].0.text;
        let typo = format!("{}{}x", k.example, known);
        let typo = typo + ": 1\n";
        let diagnostics = (k.build)(&yaml(&typo), "m", &Cx).err().unwrap_or_else(|| panic!("{} takes anything", k.name));
        let text = diagnostics.iter().map(ToString::to_string).collect::<String>();
        assert!(text.contains(&format!("{known}x")) && text.contains(&format!("`{known}`")), "{}: {text}", k.name);
    }
}

#[test]
fn two_of_a_kind_are_independent() {
    for k in KINDS.iter().filter(|k| k.name != "chain") {
        let (a, b) = (build(k, k.example), build(k, k.example));
        for (a, b) in a.iter().zip(&b) {
            let same = match (a, b) {
                (Step::Filter(a), Step::Filter(b)) => std::ptr::addr_eq(std::sync::Arc::as_ptr(a), std::sync::Arc::as_ptr(b)),
                (Step::Around(a), Step::Around(b)) => std::ptr::addr_eq(std::sync::Arc::as_ptr(a), std::sync::Arc::as_ptr(b)),
                _ => true,
            };
            assert!(!same, "{}", k.name);
        }
    }
    let limit = kind("rateLimit").unwrap();
    let (a, b) = (build(limit, "average: 1\nperiod: 1h"), build(limit, "average: 1\nperiod: 1h"));
    block_on(async {
        let mut statuses = Vec::new();
        for steps in [&a, &a, &b] {
            statuses.push(drive(steps, exchange("GET", "/"), ok).await.status());
        }
        assert_eq!(statuses, [200, 429, 200]);
    });
}

/// A request that each kind has nothing to do with.
#[test]
fn what_does_not_concern_a_kind_stays_as_it_is() {
    let other = |name: &str| -> Option<(&'static str, Exchange)> {
        let mut x = exchange("POST", "/a%2Fb;c?q=1&r");
        x.request.headers.append("x-one", "1".parse().unwrap());
        x.request.headers.append("x-one", "2".parse().unwrap());
        Some(match name {
            "headers" => ("customRequestHeaders: {X-Del: ''}\nallowedHosts: [a.test]", x),
            "ipAllowList" | "ipWhiteList" => ("sourceRange: ['0.0.0.0/0']", x),
            "buffering" => ("maxRequestBodyBytes: 1000", x),
            "chain" => ("middlewares: ['2']", x),
            "circuitBreaker" => ("expression: NetworkErrorRatio() > 0.5", x),
            "compress" => ("minResponseBodyBytes: 1", x),
            "grpcWeb" => ("allowOrigins: ['*']", x),
            "inFlightReq" => ("amount: 10", x),
            "passTLSClientCert" => ("pem: true\ninfo: {sans: true}", x),
            "rateLimit" => ("average: 10", x),
            "redirectRegex" => ("regex: nothere\nreplacement: x", x),
            "redirectScheme" => ("scheme: http", x),
            "requestHeaderModifier" | "responseHeaderModifier" => ("remove: [X-Del]", x),
            "retry" => ("attempts: 3\nstatus: ['503']", x),
            "stripPrefix" => ("prefixes: [/other]", x),
            "stripPrefixRegex" => ("regex: [/other]", x),
            "replacePathRegex" => ("regex: nothere\nreplacement: x", x),
            "basicAuth" => {
                x.request.headers.append("authorization", "Basic YTp0ZXN0".parse().unwrap());
                ("users: ['a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=']", x)
            }
            "errors" => ("status: ['500-599']\nservice: pages", x),
            "appRoot" => ("path: /app", x),
            "rewriteTarget" => ("regex: nothere\nreplacement: /x", x),
            "snippet" => ("configurationSnippet: 'if ($http_nothere) { return 403; }'", x),
            "encodedCharacters" => ("allowEncodedSlash: true", x),
            // These concern every request.
            "addPrefix"
            | "contentType"
            | "digestAuth"
            | "forwardAuth"
            | "replacePath"
            | "requestRedirect"
            | "URLRewrite"
            | "upstreamVHost"
            | "authTLSPassCertificateToUpstream" => return None,
            name => panic!("say what does not concern {name}"),
        })
    };
    for k in KINDS {
        let Some((config, x)) = other(k.name) else { continue };
        let before = (format!("{:?}", x.request), x.keep_forwarded_for);
        let Ran { request, keep_forwarded_for, reached, response, body, .. } = run_exchange(&build(k, config), x);
        assert!(reached, "{}", k.name);
        assert_eq!((format!("{request:?}"), keep_forwarded_for), before, "{}", k.name);
        assert_eq!((response.status().as_u16(), response.headers().len(), &*body), (200, 0, "ok"), "{}", k.name);
    }
}
