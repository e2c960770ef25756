//! A request through all layers of HTTP at once: entry point, router, chains in chains, a router behind it, service,
//! weighted service, server; and what comes back. Each layer leaves its mark.

use crate::harness::{Backend, Gateway, Reply, Response, Setup, eventually};

const ROUTING: &str = "
http:
  routers:
    front: {rule: 'Host(`layers.test`)', entryPoints: [web], middlewares: [outer]}
    back: {rule: 'Header(`X-Team`, `blue`) && PathPrefix(`/entry/in`)', parentRefs: [front], middlewares: [back], service: weighted}
    other: {rule: 'PathPrefix(`/`)', priority: 1, parentRefs: [front], service: broken}
    plain: {rule: 'Host(`plain.test`)', entryPoints: [web], service: weighted}
  middlewares:
    entry: {chain: {middlewares: [entry-path, entry-mark]}}
    entry-path: {addPrefix: {prefix: /entry}}
    entry-mark: {headers: {customRequestHeaders: {X-Marks: entry}, customResponseHeaders: {X-Last: entry}}}
    outer: {chain: {middlewares: [squeeze, inner]}}
    squeeze: {compress: {minResponseBodyBytes: 1, encodings: [gzip]}}
    inner: {chain: {middlewares: [team, mended]}}
    team: {headers: {customRequestHeaders: {X-Team: blue, X-Marks: router}, customResponseHeaders: {X-Last: router, X-Router: r}}}
    mended: {errors: {status: ['500-599'], service: pages, query: '/page/{status}'}}
    back: {replacePathRegex: {regex: '^/entry/in/(.*)', replacement: '/out/$1'}}
    own: {headers: {customRequestHeaders: {X-Service: s}, customResponseHeaders: {X-Last: service, X-Service: s}}}
  services:
    weighted: {weighted: {services: [{name: good, weight: 1}]}}
    good: {loadBalancer: {servers: [{url: 'GOOD'}]}, middlewares: [own]}
    broken: {loadBalancer: {servers: [{url: 'BROKEN'}]}}
    pages: {loadBalancer: {servers: [{url: 'PAGES'}]}}
";

fn echo() -> Backend {
    Backend::http(|r| {
        let of = |name: &str| r.header(name).unwrap_or("-").to_owned();
        Reply::ok(format!("{} {} {} {}", r.target, of("x-marks"), of("x-team"), of("x-service"))).header("X-Last", "server")
    })
}

fn start() -> (Gateway, [Backend; 3]) {
    let backends = [echo(), Backend::http(|_| Reply::status(503)), Backend::http(|r| Reply::ok(format!("page {}", r.target)))];
    let [good, broken, pages] = &backends;
    let routing = ROUTING.replace("GOOD", &good.url()).replace("BROKEN", &broken.url()).replace("PAGES", &pages.url());
    let gateway = Setup::new().file("routing.yml", routing).flag("--entrypoints.web.http.middlewares=entry@file").start();
    (gateway, backends)
}

fn get(gateway: &Gateway, host: &str, path: &str) -> Response {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

#[test]
fn layers_stand_in_their_order_both_ways() {
    let (gateway, _backends) = start();
    // The entry point's goes first, then the router's, what is behind it, and the service's own.
    let answer = get(&gateway, "layers.test", "/in/a?q=1");
    assert_eq!((answer.status, answer.text()), (200, "/out/a?q=1 router blue s"));
    // On the way back the outermost has the last word.
    assert_eq!(["x-last", "x-router", "x-service"].map(|h| answer.header(h)), [Some("entry"), Some("r"), Some("s")]);
    // Without the router's layers there are those of entry point and service.
    let answer = get(&gateway, "plain.test", "/in/a");
    assert_eq!((answer.status, answer.text()), (200, "/entry/in/a entry - s"));
    assert_eq!(["x-last", "x-router"].map(|h| answer.header(h)), [Some("entry"), None]);
    // What a layer changes is what the router behind it sees, and not the one in front.
    let answer = get(&gateway, "layers.test", "/out");
    assert_eq!((answer.status, answer.text(), answer.header("x-service")), (503, "page /page/503", None));
    assert_eq!(answer.header("x-last"), Some("entry"), "a page goes through the layers too");
    assert_eq!(get(&gateway, "nobody.test", "/").status, 404);
}

#[test]
fn a_page_in_place_of_an_error_is_compressed_by_what_stands_around_it() {
    let (gateway, _backends) = start();
    for path in ["/in/a", "/elsewhere"] {
        let answer = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: layers.test\r\nAccept-Encoding: gzip\r\n\r\n"));
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path}");
    }
    let mut conn = gateway.connect();
    conn.send("HEAD /in/a HTTP/1.1\r\nHost: layers.test\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = conn.try_response(true).unwrap().unwrap();
    assert_eq!((head.status, head.header("content-encoding"), head.header("x-last")), (200, None, Some("entry")));
}

/// A layer that goes away takes nobody along, and the ones around it stay.
#[test]
fn layers_come_and_go_while_requests_run() {
    let (gateway, backends) = start();
    let [good, broken, pages] = &backends;
    let with = |routing: String| {
        gateway
            .reload("routing.yml", &routing.replace("GOOD", &good.url()).replace("BROKEN", &broken.url()).replace("PAGES", &pages.url()));
    };
    assert_eq!(get(&gateway, "layers.test", "/in/a").text(), "/out/a router blue s");
    with(ROUTING.replace(", middlewares: [own]", ""));
    eventually("the service's own is gone", || (get(&gateway, "layers.test", "/in/a").text() == "/out/a router blue -").then_some(()));
    // One that is missing disables the router that names it, and those that stand behind it.
    with(ROUTING.replace("[squeeze, inner]", "[squeeze, missing]"));
    eventually("it is disabled", || (get(&gateway, "layers.test", "/in/a").status == 404).then_some(()));
    assert_eq!(get(&gateway, "plain.test", "/in/a").status, 200);
    with(ROUTING.to_owned());
    eventually("all are back", || (get(&gateway, "layers.test", "/in/a").text() == "/out/a router blue s").then_some(()));
}
