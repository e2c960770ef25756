from lib.dsl import *
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
SRV = lambda *n: "[" + ", ".join('{url: "http://${BACKEND_%s}"}' % x for x in n) + "]"


def lb(servers, extra="", rule="PathPrefix(`/`)", more=""):
    return http("r: {rule: \"%s\", service: s}" % rule, services="s: {loadBalancer: {servers: %s%s}}\n%s" % (servers, extra, more), names="")

case("x-lb-passhostheader", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: off}
r2: {rule: "Host(`h2.test`)", service: on}
r3: {rule: "Host(`h3.test`)", service: named}
r4: {rule: "Host(`h4.test`)", service: nully}
""", services="""
off: {loadBalancer: {passHostHeader: false, servers: [{url: "http://${BACKEND_a}"}]}}
on: {loadBalancer: {passHostHeader: true, servers: [{url: "http://${BACKEND_a}"}]}}
named: {loadBalancer: {passHostHeader: false, servers: [{url: "http://localhost:${BPORT_a}/x"}]}}
nully: {loadBalancer: {passHostHeader: null, servers: [{url: "http://${BACKEND_a}"}]}}
"""), steps=[GET("/", host="h1.test"), GET("/", host="h2.test"), GET("/", host="h3.test"), GET("/", host="h4.test"), GET("/", host="h1.test", h2=True), GET("/", host="h2.test:8080"), RAW("""
GET / HTTP/1.0
User-Agent: hc

""")])

case("x-lb-preservepath", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: p1}
r2: {rule: "Host(`h2.test`)", service: p2}
r3: {rule: "Host(`h3.test`)", service: p3}
r4: {rule: "Host(`h4.test`)", service: p4}
r5: {rule: "Host(`h5.test`)", service: p5}
""", services="""
p1: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/base", preservePath: true}]}}
p2: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/base/", preservePath: true}]}}
p3: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/base", preservePath: false}]}}
p4: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/b%20c/d%2Fe", preservePath: true}]}}
p5: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/b?x=1", preservePath: true}]}}
"""), steps=[x for h in range(1, 6) for x in (GET("/", host=f"h{h}.test"), GET("/x?q=1", host=f"h{h}.test"), GET("/a%2Fb%20c/", host=f"h{h}.test"), GET("/é//y", host=f"h{h}.test") if 0 else GET("/y/", host=f"h{h}.test"))])

case("x-lb-preservepath-middleware", dyn=http("""
r1: {rule: "PathPrefix(`/strip`)", service: p1, middlewares: [st]}
r2: {rule: "PathPrefix(`/add`)", service: p1, middlewares: [ad]}
""", services="""
p1: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/base", preservePath: true}]}}
""", middlewares="""
st: {stripPrefix: {prefixes: [/strip]}}
ad: {addPrefix: {prefix: /pre}}
"""), steps=[GET("/strip"), GET("/strip/"), GET("/strip/x"), GET("/stripx"), GET("/add/x"), GET("/add/a%2Fb")])

case("x-lb-empty", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: e1}
r2: {rule: "Host(`h2.test`)", service: e2}
r3: {rule: "Host(`h3.test`)", service: e3}
r4: {rule: "Host(`h4.test`)", service: e4}
r5: {rule: "Host(`h5.test`)", service: e5}
""", services="""
e1: {loadBalancer: {servers: []}}
e2: {loadBalancer: {servers: [{url: "http://${BACKEND_a}", weight: 0}]}}
e3: {loadBalancer: {strategy: p2c, servers: []}}
e4: {loadBalancer: {strategy: hrw, servers: []}}
e5: {loadBalancer: {strategy: leasttime, servers: [{url: "http://${BACKEND_a}", weight: -1}]}}
"""), steps=[GET("/", host=f"h{i}.test", want=503) for i in range(1, 6)] + [HEAD("/", host="h1.test"), POST("/", "x", host="h1.test"), GET("/", host="h1.test", h2=True)])

# fencing of bad services
case("x-svc-bad-strategy-only", dyn=lb(SRV("a"), ", strategy: RoundRobin"), steps=[GET("/", want=404)])
case("x-svc-bad-url", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: e1}
r2: {rule: "Host(`h2.test`)", service: e2}
r3: {rule: "Host(`h3.test`)", service: e3}
r4: {rule: "Host(`h4.test`)", service: e4}
r5: {rule: "Host(`h5.test`)", service: e5}
r6: {rule: "Host(`h6.test`)", service: e6}
ok: {rule: "Host(`ok.test`)", service: a}
""", services="""
e1: {loadBalancer: {servers: [{url: "://bad"}]}}
e2: {loadBalancer: {servers: [{url: "${BACKEND_a}"}]}}
e3: {loadBalancer: {servers: [{url: "ftp://${BACKEND_a}"}]}}
e4: {loadBalancer: {servers: [{url: ""}]}}
e5: {loadBalancer: {servers: [{url: "http://"}]}}
e6: {loadBalancer: {servers: [{url: "http://[::1"}]}}
"""), steps=[GET("/", host=f"h{i}.test") for i in range(1, 7)] + [GET("/", host="ok.test", want=200)])

case("x-svc-none-and-multi", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: two}
r2: {rule: "Host(`h2.test`)", service: none}
r3: {rule: "Host(`h3.test`)", service: missing}
ok: {rule: "Host(`ok.test`)", service: a}
low: {rule: "PathPrefix(`/`)", service: a, priority: 1}
""", services="""
two: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}, weighted: {services: [{name: a}]}}
none: {}
"""), steps=[GET("/", host="h1.test"), GET("/", host="h2.test"), GET("/", host="h3.test"), GET("/", host="ok.test", want=200)])

case("x-svc-weighted-basic", backends="a b c", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a, weight: 3}, {name: b, weight: 1}, {name: c, weight: 0}]}}", names="a b c"), steps=[MANY(40, Q(), tol=0.05)])
case("x-svc-weighted-default-weight", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a}, {name: b@file}]}}", names="a b"), steps=[MANY(20, Q(), tol=0)])
case("x-svc-weighted-order", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a, weight: 2}, {name: b, weight: 1}]}}", names="a b"), steps=[MANY(9, Q(), tol=0, seq=True)])
case("x-svc-weighted-order2", backends="a b c", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a, weight: 5}, {name: b, weight: 3}, {name: c, weight: 2}]}}", names="a b c"), steps=[MANY(20, Q(), tol=0, seq=True)])
case("x-svc-weighted-empty", backends="a", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: w1}
r2: {rule: "Host(`h2.test`)", service: w2}
r3: {rule: "Host(`h3.test`)", service: w3}
r4: {rule: "Host(`h4.test`)", service: w4}
r5: {rule: "Host(`h5.test`)", service: w5}
""", services="""
w1: {weighted: {services: []}}
w2: {weighted: {services: [{name: a, weight: 0}]}}
w3: {weighted: {services: [{name: a, weight: -2}]}}
w4: {weighted: {services: [{name: nope}]}}
w5: {weighted: {services: [{name: a}, {name: nope}]}}
"""), steps=[GET("/", host=f"h{i}.test") for i in range(1, 6)])
case("x-svc-weighted-nested", backends="a b c d", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="""
w: {weighted: {services: [{name: x, weight: 1}, {name: y, weight: 1}]}}
x: {weighted: {services: [{name: a}, {name: b}]}}
y: {weighted: {services: [{name: c}, {name: d}]}}
""", names="a b c d"), steps=[MANY(16, Q(), tol=0)])
case("x-svc-weighted-loop", backends="a", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: x}
r2: {rule: "Host(`h2.test`)", service: self}
r3: {rule: "Host(`h3.test`)", service: a}
""", services="""
x: {weighted: {services: [{name: y}]}}
y: {weighted: {services: [{name: x}]}}
self: {weighted: {services: [{name: self}, {name: a}]}}
"""), steps=[GET("/", host="h1.test"), GET("/", host="h2.test"), GET("/", host="h3.test", want=200)])
case("x-svc-weighted-child-empty-lb", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="""
w: {weighted: {services: [{name: a}, {name: e}]}}
e: {loadBalancer: {servers: []}}
"""), steps=[MANY(10, Q(), tol=0)])
case("x-svc-weighted-dead-child", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="""
w: {weighted: {services: [{name: a}, {name: e}]}}
e: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
"""), steps=[MANY(10, Q(), tol=0)])

case("x-lb-dup-servers", backends="a b", dyn=lb(SRV("a", "a", "b")), steps=[MANY(30, Q(), tol=0.05)])
case("x-lb-leasttime-slow", backends={"a": {}, "b": {"default": {"delay": 0.15}}}, dyn=lb(SRV("a", "b"), ", strategy: leasttime"), steps=[MANY(20, Q(), tol=0.1)])
case("x-lb-p2c-one", backends="a", dyn=lb(SRV("a"), ", strategy: p2c"), steps=[MANY(5, Q(), tol=0)])
case("x-lb-p2c-weight-zero", backends="a b", dyn=lb('[{url: "http://${BACKEND_a}", weight: 0}, {url: "http://${BACKEND_b}", weight: 10}]', ", strategy: p2c"), steps=[MANY(60, Q(), tol=0.35)])


def hrw_spread(c):
    """same client sticks, many clients spread; which one is decided by port numbers"""
    per = {}
    for i in range(2, 42):
        got = {c.which(c.raw_req(dict(op="req", method="GET", path="/", src=f"127.0.0.{i}"))) for _ in range(2)}
        assert len(got) == 1, got
        per[got.pop()] = 1
    c.drain()
    return {"spread": len(per) >= 2}  # how many depends on the ports

case("x-lb-hrw-many-clients", backends="a b c", dyn=lb(SRV("a", "b", "c"), ", strategy: hrw"), steps=[CALL(hrw_spread)])
case("x-lb-hrw-weight", backends="a b", dyn=lb('[{url: "http://${BACKEND_a}", weight: 0}, {url: "http://${BACKEND_b}"}]', ", strategy: hrw"), steps=[MANY(5, Q(), tol=0)])
case("x-lb-hrw-sticky-ignored", backends="a", dyn=lb(SRV("a"), ", strategy: hrw, sticky: {cookie: {name: c}}"), steps=[GET("/")])
case("x-lb-hrw-xff-ignored", backends="a b c", dyn=lb(SRV("a", "b", "c"), ", strategy: hrw"), steps=[MANY(10, Q(headers={"X-Forwarded-For": "1.2.3.4"}), tol=1, nodist=True, nogot=True)])

# error texts of the proxy
case("x-lb-dead", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: d}", services='d: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}', names=""), steps=[GET("/", want=502), HEAD("/"), POST("/", "body"), GET("/", h2=True)])
case("x-lb-unresolvable", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: d}", services='d: {loadBalancer: {servers: [{url: "http://nope.invalid:80"}]}}', names=""), steps=[GET("/", timeout=8)])
case("x-lb-abort", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}"), steps=[GET("/", ctl=dict(abort="before"), backend_only=("method",)), POST("/", "x", ctl=dict(abort="before"), backend_only=("method",)), GET("/", ctl=dict(abort="rst"), backend_only=("method",)), GET("/", ctl=dict(raw="garbage\r\n\r\n"), backend_only=("method",)), GET("/", ctl=dict(raw="HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n")), GET("/", ctl=dict(raw="HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"))])
case("x-lb-flush-interval", dyn=http("""
r1: {rule: "Host(`h1.test`)", service: f1}
r2: {rule: "Host(`h2.test`)", service: f2}
r3: {rule: "Host(`h3.test`)", service: f3}
""", services="""
f1: {loadBalancer: {responseForwarding: {flushInterval: -1}, servers: [{url: "http://${BACKEND_a}"}]}}
f2: {loadBalancer: {responseForwarding: {flushInterval: 1s}, servers: [{url: "http://${BACKEND_a}"}]}}
f3: {loadBalancer: {responseForwarding: {flushInterval: 10ms}, servers: [{url: "http://${BACKEND_a}"}]}}
"""), steps=[GET("/", host=f"h{i}.test", ctl=dict(chunks=[[0, "one"], [0.3, "two"]])) for i in (1, 2, 3)] + [GET("/", host="h2.test", ctl=dict(sse=dict(n=2, interval=0.3)), first_t=(0, 0.2))])
case("x-lb-h2c", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "h2c://${BACKEND_a}"}]}}', names=""), steps=[GET("/"), POST("/", "body"), GET("/", h2=True), GET("/", ctl=dict(trailers=[["X-T", "1"]]))])
case("x-lb-url-noport", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "http://127.0.0.77"}]}}', names=""), steps=[GET("/")])
case("x-lb-url-userinfo", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}\nr2: {rule: \"Path(`/n`)\", service: n}", services='s: {loadBalancer: {servers: [{url: "http://u:p@${BACKEND_a}"}]}}\nn: {loadBalancer: {passHostHeader: false, servers: [{url: "http://u:p@${BACKEND_a}"}]}}', names=""), steps=[GET("/"), GET("/n"), GET("/", headers={"Authorization": "Bearer x"})])
case("x-lb-url-upper", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "HTTP://LOCALHOST:${BPORT_a}"}], passHostHeader: false}}', names=""), steps=[GET("/")])

# sticky
STK = lambda o: ", sticky: {cookie: {%s}}" % o
def stick(c):
    """first answer sets a cookie; with it the client always comes back to the same server and gets no new cookie"""
    o = c.raw_req(dict(op="req", method="GET", path="/"))
    ck = [v for k, v in o["headers"] if k.lower() == "set-cookie"]
    out = {"n": len(ck)}
    if ck:
        first = c.which(o)
        res = [c.raw_req(dict(op="req", method="GET", path="/", headers={"Cookie": "x=y; " + ck[0].split(";")[0] + "; z=1"})) for _ in range(6)]
        out["stick"] = all(c.which(r) == first for r in res)
        out["again"] = sum(any(k.lower() == "set-cookie" for k, _ in r["headers"]) for r in res)
    c.drain()
    return out

case("x-sticky-wrr", backends="a b c", dyn=lb(SRV("a", "b", "c"), STK("name: sid")), steps=[CALL(stick)])
case("x-sticky-p2c", backends="a b c", dyn=lb(SRV("a", "b", "c"), ", strategy: p2c" + STK("name: sid")), steps=[CALL(stick)])
case("x-sticky-leasttime", backends="a b c", dyn=lb(SRV("a", "b", "c"), ", strategy: leasttime" + STK("name: sid")), steps=[CALL(stick)])
case("x-sticky-hrw", backends="a b c", dyn=lb(SRV("a", "b", "c"), ", strategy: hrw" + STK("name: sid")), steps=[CALL(stick)])
case("x-sticky-options", dyn=http("\n".join('r%d: {rule: "Host(`h%d.test`)", service: s%d}' % (i, i, i) for i in range(1, 12)), services="\n".join('s%d: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}], sticky: %s}}' % (i + 1, o) for i, o in enumerate([
    "{cookie: {}}", "{cookie: {name: n1}}", "{cookie: {name: n2, secure: true, httpOnly: true}}", "{cookie: {name: n3, sameSite: none}}", "{cookie: {name: n4, sameSite: Strict, maxAge: 42}}", "{cookie: {name: n5, maxAge: -1}}",
    "{cookie: {name: n6, path: /sub}}", "{cookie: {name: n7, domain: example.com}}", "{cookie: {name: 'we ird;n', sameSite: LAX}}", "{}", "{cookie: {name: n9, maxAge: 0, path: '', domain: .Foo.test}}"])), names=""),
    steps=[GET("/", host=f"h{i}.test") for i in range(1, 12)] + [GET("/", host="h2.test", headers={"Cookie": "n1=bogus"}), GET("/", host="h2.test", ctl=dict(headers=[["Set-Cookie", "app=1"]])), GET("/", host="h2.test", ctl=dict(status=500)), GET("/", host="h2.test", h2=True)])
case("x-sticky-true-block", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}], sticky: {cookie: true}}}', names=""), steps=[GET("/")])
case("x-sticky-legacy-values", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}], sticky: {cookie: {name: n}}}}', names=""), steps=[GET("/", headers={"Cookie": "n=http://${BACKEND_a}"}), GET("/", headers={"Cookie": "n=zzz"}), GET("/", headers={"Cookie": "n="}), GET("/", headers=[["Cookie", "n=http://${BACKEND_a}"], ["Cookie", "n=x"]])])
case("x-sticky-dead-server", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}], sticky: {cookie: {name: n}}}}', names=""), steps=[GET("/", ignore=["set-cookie"]), GET("/", headers={"Cookie": "n=http://${DEAD_x}"}, ignore=["set-cookie"])])
def sticky_unhealthy(c):
    o = c.raw_req(dict(op="req", method="GET", path="/"))
    ck = [v for k, v in o["headers"] if k.lower() == "set-cookie"][0].split(";")[0]
    first = c.which(o)
    c.backs[first].health = 503
    import time
    out = {}
    for _ in range(60):
        time.sleep(0.05)
        r = c.raw_req(dict(op="req", method="GET", path="/", headers={"Cookie": ck}))
        if c.which(r) not in (first, None):
            out["moved"] = True
            out["newcookie"] = any(k.lower() == "set-cookie" for k, _ in r["headers"])
            break
    c.drain()
    return out
case("x-sticky-unhealthy-moves", backends="a b", dyn=lb(SRV("a", "b"), ", healthCheck: {path: /health, interval: 200ms}" + STK("name: sid")), steps=[CALL(sticky_unhealthy)])
case("x-sticky-weighted", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {sticky: {cookie: {name: wc, secure: true, sameSite: lax}}, services: [{name: a}, {name: b}]}}", names="a b"), steps=[CALL(stick), GET("/", headers={"Cookie": "wc=a"}), GET("/", headers={"Cookie": "wc=b@file"}), GET("/", headers={"Cookie": "wc=a@file"})])
case("x-sticky-weighted-cookie", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}\nr2: {rule: \"Path(`/two`)\", service: w2}", services="w: {weighted: {sticky: {cookie: {}}, services: [{name: a}]}}\nw2: {weighted: {sticky: {cookie: {name: k, httpOnly: true, maxAge: 9, path: /p, domain: d.test}}, services: [{name: a@file}]}}", names="a"), steps=[GET("/"), GET("/two")])
case("x-svc-weighted-order4", backends="a b c d", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a, weight: 10}, {name: b, weight: 1}, {name: c, weight: 3}, {name: d, weight: 7}]}}", names="a b c d"), steps=[MANY(45, Q(), tol=0, seq=True)])
case("x-sticky-dead-cookie", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}], sticky: {cookie: {name: n}}}}', names=""), steps=[CALL(lambda c: {"n": sum(k.lower() == "set-cookie" for k, _ in c.raw_req(dict(op="req", method="GET", path="/"))["headers"])})])
