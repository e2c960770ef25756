from lib.dsl import *
V2 = "core: {defaultRuleSyntax: v2}\n"
def C(name, rules, *steps, static="", **k):
    rows = "\n".join("r%d: {rule: %s, service: a, ruleSyntax: v2, entryPoints: [e%d]}" % (i, json_(r), i) for i, r in enumerate(rules))
    eps = "entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\"}, %s}\n" % ", ".join("e%d: {address: \"127.0.0.1:${PORT_e%d}\"}" % (i, i) for i in range(len(rules)))
    asked = [dict(s, ep="e%d" % i) for i in range(len(rules)) for s in steps]
    case("v2-" + name, static=eps + static, dyn=http(rows), steps=asked, **k)
def json_(r):
    import json
    return json.dumps(r)

HOSTS = [GET("/", host=h) for h in ("a.test", "A.TEST:8080", "x.a.test", "b.test", "a.test.", "", "[::1]:80", "a_b", "1.2.3.4:80")]
C("host", ["Host(`a.test`)", "Host(`a.test`, `B.Test`)", "HostHeader(`a.test.`)", "Host(`*.test`)", "!Host(`a.test`, `b.test`)", "host(`A.TEST`)", "HOSTHEADER(`b.test`)"], *HOSTS)
C("host-regexp", ["HostRegexp(`a.test`)", "HostRegexp(`{sub}.test`)", "HostRegexp(`{sub:[a-z]+}.a.test`, `B.test`)", "HostRegexp(`{x:.+}`)", "HostRegexp(`{x:.*}`)", "HostRegexp(`a.test:8080`)", "!HostRegexp(`{x}.test`)", "HostRegexp(`{a:[a-z]{1,2}}.test`)"], *HOSTS)
PATHS = [GET(p) for p in ("/", "/a", "/a/", "/a/b", "/a/b/c", "/abc", "/a%20b", "/a%2Fb", "/12", "/12/y", "/ab", "/ac", "/a.b", "/aXb", "/%C3%A9", "/x/y?z=1")]
C("path", ["Path(`/a`)", "Path(`/a`, `/a/b`)", "Path(`/{x}`)", "Path(`/{x}/{y}`)", "Path(`/{n:[0-9]+}`)", "Path(`/a{x:b|c}`)", "Path(`/{x:.*}`)", "Path(`/a b`)", "Path(`/a.b`)", "Path(`/é`)", "!Path(`/a`)"], *PATHS)
C("path-prefix", ["PathPrefix(`/a`)", "PathPrefix(`/a/`, `/1`)", "PathPrefix(`/{x}/b`)", "PathPrefix(`/{n:[0-9]+}`)", "PathPrefix(`/a{x:b|c}`)", "PathPrefix(`/{x}`)", "PathPrefix(`/`)"], *PATHS)
QUERIES = [GET("/?" + q) for q in ("a=1", "a=1&b=2", "b=2&a=1", "a", "a=", "a=2&a=1", "a=1&a=2", "A=1", "a=1%202", "a+b=1", "a=%zz&a=1", "c=1;a=1", "", "a=1=2", "a=12", "a=%C3%A9", "a=x%26b")] + [GET("/")]
C("query", ["Query(`a=1`)", "Query(`a=1`, `b=2`)", "Query(`a=`)", "Query(`a={x}`)", "Query(`a={x:[0-9]+}`)", "Query(`a`, `1`)", "Query(`a=1 2`)", "Query(`a b=1`)", "Query(`a=1=2`)", "!Query(`a=1`)", "Query(`a={x:(1|2)}`)"], *QUERIES)
HEADERS = [GET("/", headers=h) for h in ({}, {"X-A": "x"}, {"x-a": "xy", "X-B": "y"}, {"X-A": ""}, [["X-A", "n"], ["X-A", "x"]], {"X-A": "x", "X-B": "y"}, {"X-A": "X"})] + [GET("/", host="a.test")]
C("headers", ["Headers(`X-A`, `x`)", "Headers(`x-a`, `x`, `X-B`, `y`)", "HeadersRegexp(`X-A`, `^x`)", "HeadersRegexp(`x-a`, `y$`, `X-B`, `.`)", "HeadersRegexp(`X-A`, `^$`)", "Headers(`Host`, `a.test`)", "Headers(`X-A`, `x`, `X-A`, `n`)", "!Headers(`X-A`, `x`)"], *HEADERS)
C("method", ["Method(`get`)", "Method(`GET`, `POST`)", "!Method(`POST`)", "Method(`FOO`)"], GET("/"), POST("/", "x"), HEAD("/"), R("FOO", "/"), R("PATCH", "/"))
C("client-ip", ["ClientIP(`127.0.0.1`)", "ClientIP(`10.0.0.0/8`, `127.0.0.0/8`)", "ClientIP(`::1`)", "!ClientIP(`127.0.0.1`)", "ClientIP(`::ffff:127.0.0.1`)"], GET("/"))
C("bad", ["Path(`x`)", "Path(`/a`, `b`)", "Host()", "Headers(`a`)", "HeadersRegexp(`a`, `(`)", "Query(`a`)", "ClientIP(`x`)", "Path(`/{a`)", "Path(`/{a:[}`)", "Path(`/{:x}`)", "Header(`a`, `b`)", "PathRegexp(`/`)", "Host(`é`)", "Host(``)"], GET("/"))
C("operators", ["(Host(`a.test`) || Path(`/x`, `/y`)) && !Method(`POST`)", "!(Path(`/x`, `/z`) || Host(`b.test`))", "Path(`/x`) && Headers(`X-A`, `1`) || Host(`b.test`)"], GET("/x", host="a.test"), POST("/x", "b", host="a.test"), GET("/y", host="b.test"), GET("/z", host="c.test"), GET("/x", host="c.test", headers={"X-A": "1"}))
EPS = """
api: {insecure: true}
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}"}
  web2: {address: "127.0.0.1:${PORT_web2}"}
  traefik: {address: "127.0.0.1:${PORT_traefik}"}
"""
K = ["parentRefs", "entryPoints", "service", "middlewares", "rule", "priority", "status", "using", "name", "provider", "ruleSyntax"]
DEFAULTS = """
two: {rule: "Path(`/two`, `/zwei`)", service: a}
three: {rule: "Path(`/three`)", service: a, ruleSyntax: v3}
h3: {rule: "Header(`X-A`, `1`)", service: a, ruleSyntax: v3, entryPoints: [web]}
h2: {rule: "Header(`X-A`, `1`)", service: a, entryPoints: [web2]}
odd: {rule: "Path(`/odd`)", service: a, ruleSyntax: zz}
def: {rule: "Path(`/def`)", service: a, ruleSyntax: default}
par: {rule: "PathPrefix(`/par`, `/parent`)"}
kid: {rule: "Path(`/par/kid`, `/par/two`)", service: a, parentRefs: [par]}
own: {rule: "Path(`/par/own`, `/parent/own`)", service: a, parentRefs: [par], ruleSyntax: v2}
"""
ASK = [GET("/two"), GET("/zwei", ep="web2"), GET("/three"), GET("/x", headers={"X-A": "1"}), GET("/x", headers={"X-A": "1"}, ep="web2"), GET("/odd"), GET("/def"), GET("/par/kid"), GET("/parent/own"), GET("/par/own", ep="web2")]
SHOWN = [API("/api/http/routers/%s@file" % n, pick=K) for n in ("two", "web-two", "web2-two", "web-three", "h3", "h2", "web-odd", "web-def", "par", "web-par", "own", "kid")]
case("v2-default", static=EPS + V2, dyn=http(DEFAULTS), steps=ASK + SHOWN)
case("v2-default-v3", static=EPS + "core: {defaultRuleSyntax: v3}\n", dyn=http(DEFAULTS), steps=ASK + SHOWN)
case("v2-no-default", static=EPS, dyn=http(DEFAULTS), steps=ASK + SHOWN)
case("v2-after-rewrite", static=EPS, dyn=http("""
par: {rule: "PathPrefix(`/p`)", middlewares: [h]}
new: {rule: "HostRegexp(`{x:new}.test`)", service: a, parentRefs: [par], ruleSyntax: v2}
old: {rule: "Host(`old.test`, `older.test`)", service: b, parentRefs: [par], ruleSyntax: v2, priority: 1}
""", names="a b", middlewares="h: {headers: {customRequestHeaders: {Host: new.test}}}"), backends="a b", steps=[GET("/p", host="old.test"), GET("/p", host="older.test:80"), GET("/p", host="x.test")])
TCPS = """
tcp:
  services: {s: {loadBalancer: {servers: [{address: "${BACKEND_t}"}]}}}
  routers:
%s
"""
def T(name, rules, *steps, tls="", **k):
    eps = "entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\"}, traefik: {address: \"127.0.0.1:${PORT_traefik}\"}, %s}\napi: {insecure: true}\n" % ", ".join("e%d: {address: \"127.0.0.1:${PORT_e%d}\"}" % (i, i) for i in range(len(rules)))
    rows = "\n".join("    r%d: {rule: %s, service: s, ruleSyntax: v2, entryPoints: [e%d]%s}" % (i, json_(r), i, tls) for i, r in enumerate(rules))
    api = [API("/api/tcp/routers/r%d@file" % i, pick=["rule", "priority", "status", "ruleSyntax"]) for i in range(len(rules))]
    case("v2-" + name, static=eps, dyn=TCPS % rows, backends={"t": dict(kind="tcp")}, steps=[dict(s, ep="e%d" % i) for i in range(len(rules)) for s in steps] + api, **k)
T("tcp", ["HostSNI(`*`)", "hostsni(`*`)", "HostSNI(`*`, `a.test`)", "ClientIP(`127.0.0.1`, `10.0.0.0/8`)", "ClientIP(`10.0.0.1`, `10.0.0.2`)", "HostSNIRegexp(`{x:.*}`)", "HostSNIRegexp(`{x:.+}`)", "ALPN(`h2`, `x`)", "!HostSNI(`a.test`)", "HostSNI(`a.test`, `*`)", "HostSNI(`*`) && ClientIP(`127.0.0.1`)", "Host(`a`)", "ALPN(`acme-tls/1`)"], TCP("hello"))
T("tcp-names", ["HostSNI(`a.test`, `b.test`)", "HostSNI(`*.a.test`)", "HostSNI(`a_b.test`)", "HostSNI(`é.test`)", "HostSNI(`a b`)", "HostSNI()", "HostSNIRegexp(`{a`)", "HostSNIRegexp(`{:x}`)", "HostSNIRegexp(`{a:[}`)", "HostSNIRegexp(`{s}.a.test`)", "HostSNI(`x.test`) || HostSNI(`*`)"], tls=", tls: {passthrough: true}")
