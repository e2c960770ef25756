//! The dashboard (DSH-01, DSH-02): over HTTP, and in a real browser.

use crate::harness::{Browser, Conn, Gateway, Pki, Response, Setup, route};
use std::fmt::Write;

const POLICY: &str = "frame-src 'self' https://traefik.io https://*.traefik.io;";

fn setup(routing: &str) -> Setup {
    Setup::new().file("routing.yml", routing).flag("--api.dashboard")
}

fn admin(gateway: &Gateway, request: &str) -> Response {
    let mut conn = Conn::open(gateway.address("traefik"));
    conn.send(request);
    conn.try_response(request.starts_with("HEAD")).unwrap().unwrap()
}

fn get(gateway: &Gateway, path: &str, more: &str) -> Response {
    admin(gateway, &format!("GET {path} HTTP/1.1\r\nHost: gateway.test:8080\r\n{more}\r\n"))
}

#[test]
fn files_are_served_with_tags_and_the_policy() {
    let gateway = setup(&route("Path(`/`)", &["http://127.0.0.1:1"])).start();
    let r = get(&gateway, "/", "");
    assert_eq!((r.status, r.header("location")), (301, Some("http://gateway.test:8080/dashboard/")));
    let page = get(&gateway, "/dashboard/", "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!((page.header("content-security-policy"), page.header("cache-control")), (Some(POLICY), Some("no-cache")));
    // What the page itself allows: nothing written in it, nothing from elsewhere.
    assert!(page.text().contains("default-src 'none'; script-src 'self'; style-src 'self'"), "{}", page.text());
    assert!(!page.text().contains("<script>") && !page.text().contains("style="), "{}", page.text());
    for (name, kind) in
        [("app.js", "text/javascript; charset=utf-8"), ("style.css", "text/css; charset=utf-8"), ("icon.svg", "image/svg+xml")]
    {
        let path = format!("/dashboard/{name}");
        let plain = get(&gateway, &path, "");
        assert_eq!((plain.status, plain.header("content-type"), plain.header("content-encoding")), (200, Some(kind), None), "{name}");
        let gzip = get(&gateway, &path, "Accept-Encoding: gzip\r\n");
        assert_eq!((gzip.header("content-encoding"), gzip.header("vary")), (Some("gzip"), Some("Accept-Encoding")), "{name}");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&gzip.body[..]), &mut text).unwrap();
        assert_eq!(text, plain.text(), "{name}");
        let tag = plain.header("etag").unwrap();
        for known in [tag.to_owned(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let same = get(&gateway, &path, &format!("If-None-Match: {known}\r\n"));
            assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(tag), 0), "{name} {known}");
        }
        assert_eq!(get(&gateway, &path, "If-None-Match: \"x\"\r\n").status, 200);
    }
    let head = admin(&gateway, "HEAD /dashboard/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some(page.body.len().to_string().as_str())));
    let none = get(&gateway, "/dashboard/nothing.js", "");
    assert_eq!((none.status, none.header("content-security-policy"), none.text()), (404, Some(POLICY), "404 page not found\n"));
}

#[test]
fn without_it_there_is_nothing() {
    let own = "http: {routers: {d: {rule: 'PathPrefix(`/`)', service: dashboard@internal}}}";
    let gateway = Gateway::start(own);
    assert_eq!((gateway.admin("/").status, gateway.admin("/dashboard/").status, gateway.get("/").status), (404, 404, 404));
    gateway.wait_log("what to change", |l| l.contains("without `dashboard: false`"));
}

/// The page at `path` of the entry point `traefik`.
fn url(gateway: &Gateway, path: &str) -> String {
    format!("http://{}{path}", gateway.address("traefik"))
}

const ROUTING: &str = r#"
http:
  routers:
    shop: {rule: "Host(`shop.test`)", service: shop, middlewares: [all]}
    wrong: {rule: "Hst(`a`)", service: shop}
    lost: {rule: "Host(`lost.test`)", service: nobody, middlewares: [gone]}
    "<img src=x onerror=document.title='owned'>": {rule: "Path(`/<script>document.title='owned'</script>`)", service: "a<b>b</b>", middlewares: ["m<i>i</i>"]}
  services:
    shop: {loadBalancer: {servers: [{url: "http://127.0.0.1:1", weight: 2}, {url: "http://127.0.0.1:2"}]}}
    "a<b>b</b>": {loadBalancer: {servers: [{url: "http://127.0.0.1:1/<u>u</u>"}]}}
    both: {weighted: {services: [{name: shop, weight: 9}, {name: "a<b>b</b>", weight: 1}]}}
  middlewares:
    all: {chain: {middlewares: [strip]}}
    strip: {stripPrefix: {prefixes: [/api]}}
    "m<i>i</i>": {addPrefix: {prefix: "/<s>s</s>"}}
"#;

#[test]
fn pages_show_what_is_served_and_what_is_wrong() {
    let Some(browser) = Browser::start() else { return };
    let gateway = setup(ROUTING).start();
    for width in [1280, 390] {
        let page = browser.page(width);
        let show = |hash: &str, texts: &[&str]| {
            page.open(&url(&gateway, &format!("/dashboard/{hash}")));
            texts.iter().for_each(|t| page.wait_text(t));
            assert_eq!(page.eval("document.documentElement.scrollWidth <= innerWidth"), true, "{hash} is wider than {width}");
        };
        show("", &["Overview", "Entry points", "unknown matcher", "did you mean `Host`?", "routing.yml:"]);
        show("#/http/routers", &["Host(`shop.test`)", "<img src=x onerror=document.title='owned'>", "Error"]);
        show("#/http/routers/shop%40file", &["The way of a request", "web", "all@file", "strip@file", "2 servers"]);
        show("#/http/routers/lost%40file", &["there is no such service", "there is no such middleware", "unknown service `nobody@file`"]);
        show(
            "#/http/routers/%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D%27owned%27%3E%40file",
            &["<script>document.title='owned'</script>", "a<b>b</b>"],
        );
        show("#/http/services/a%3Cb%3Eb%3C%2Fb%3E%40file", &["http://127.0.0.1:1/<u>u</u>"]);
        show("#/http/services/both%40file", &["weight 9", "shop@file"]);
        show("#/http/middlewares/m%3Ci%3Ei%3C%2Fi%3E%40file", &["/<s>s</s>", "Used by"]);
        show("#/tcp/routers", &["There is no router."]);
        show("#/certificates", &["There is no certificate."]);
        show("#/providers", &["file", "Last change"]);
        show("#/plugins", &["No plugin is loaded"]);
        show("#/problems", &["unknown middleware `gone@file`"]);
        assert_eq!(page.eval("document.querySelector('.problem img, .problem script, main img, main b b')"), serde_json::Value::Null);
        assert!(!page.eval("document.title").as_str().unwrap().contains("owned"));
        assert_eq!(page.complaints(), Vec::<String>::new());
        show("#/http/routers/nobody%40file", &["There is no such router"]);
        show("#/nowhere", &["There is no such page"]);
    }
}

#[test]
fn lists_are_searched_sorted_and_cut_by_the_api() {
    let Some(browser) = Browser::start() else { return };
    let mut routing = String::from("http:\n  services: {s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:1'}]}}}\n  routers:\n");
    for i in 0..5000 {
        writeln!(routing, "    r{i:04}: {{rule: 'Host(`h{i}.test`)', service: {}}}", if i % 1000 == 7 { "none" } else { "s" }).unwrap();
    }
    let gateway = setup(&routing).start();
    let page = browser.page(1280);
    page.open(&url(&gateway, "/dashboard/#/http/routers"));
    page.wait_text("of 101");
    page.wait("document.querySelectorAll('tbody tr').length === 50");
    let click = |word: &str| {
        page.eval(&format!("[...document.querySelectorAll('button, a')].find(e => e.textContent.startsWith('{word}')).click()"))
    };
    click("Next");
    page.wait_text("Page 2");
    page.wait("document.querySelector('tbody').innerText.includes('r0050')");
    click("Errors");
    page.wait("document.querySelectorAll('tbody tr').length === 5 && document.querySelector('tbody').innerText.includes('r4007')");
    click("Name");
    page.wait("document.querySelector('tbody tr').innerText.includes('r4007')");
    assert_eq!(page.eval("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"), "descending");
    click("All");
    // Typed with the keyboard; where one types stays where one types.
    page.eval("document.querySelector('#search').focus()");
    page.eval("document.execCommand('insertText', false, 'H1234.')");
    page.wait("document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('r1234')");
    assert_eq!(page.eval("document.activeElement.id"), "search");
    page.press("Tab");
    assert_eq!(page.eval("document.activeElement.tagName"), "BUTTON");
    page.eval("document.querySelector('tbody a').focus()");
    page.press("Enter");
    page.wait_text("The way of a request");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_keeps_itself_fresh_and_tells_errors_of_the_api() {
    let Some(browser) = Browser::start() else { return };
    let mut gateway = setup(&route("Host(`before.test`)", &["http://127.0.0.1:1"])).start();
    let page = browser.page(1280);
    page.open(&url(&gateway, "/dashboard/#/http/routers"));
    page.wait_text("before.test");
    gateway.reload("routing.yml", &route("Host(`after.test`)", &["http://127.0.0.1:1"]));
    page.wait_text("after.test");
    gateway.stop();
    page.wait_text("The API does not answer as it should.");
    // What was there is still there.
    page.wait_text("after.test");
    assert_eq!(page.eval("document.querySelector('#trouble').getAttribute('role')"), "alert");
}

#[test]
fn the_api_is_found_below_prefixes() {
    let Some(browser) = Browser::start() else { return };
    let own = "http:
  routers:
    plain: {rule: 'Host(`127.0.0.1`) && PathPrefix(`/base`)', service: api@internal, entryPoints: [web]}
    below: {rule: 'Host(`127.0.0.1`) && PathPrefix(`/pre`)', service: api@internal, entryPoints: [web], middlewares: [strip]}
    split: {rule: 'Host(`127.0.0.1`) && PathPrefix(`/page`)', service: dashboard@internal, entryPoints: [web], middlewares: [page]}
  middlewares: {strip: {stripPrefix: {prefixes: [/pre]}}, page: {stripPrefix: {prefixes: [/page]}}}
";
    let gateway = setup(own).flag("--api.basepath=/base").start();
    let page = browser.page(1280);
    let web = format!("http://{}", gateway.web());
    let paths = ["/base", "/base/dashboard/", "/pre/base/dashboard/", "/page/"].map(|p| format!("{web}{p}"));
    for path in paths.into_iter().chain([url(&gateway, "/"), url(&gateway, "/base/dashboard/")]) {
        page.open("about:blank");
        page.open(&path);
        page.wait_text("Entry points");
        page.wait_text("Torana 0.");
    }
}

#[test]
fn certificates_are_shown_with_their_ends() {
    let pki = Pki::new();
    let routing = format!("tls: {{certificates: [{}]}}", pki.pair("a", &["shop.test"]).yaml());
    let gateway = setup(&routing).start();
    let all = gateway.admin("/api/certificates").json();
    assert_eq!(
        (all[0]["sans"][0].as_str(), all[0]["status"].as_str(), all.as_array().unwrap().len()),
        (Some("shop.test"), Some("enabled"), 1)
    );
    let name = all[0]["name"].as_str().unwrap();
    assert_eq!(gateway.admin(&format!("/api/certificates/{name}")).json(), all[0]);
    let Some(browser) = Browser::start() else { return };
    let page = browser.page(390);
    page.open(&url(&gateway, "/dashboard/#/certificates"));
    page.wait_text("shop.test");
    page.eval("document.querySelector('tbody a').click()");
    page.wait_text("Fingerprint (SHA-256)");
    assert_eq!(page.complaints(), Vec::<String>::new());
}
