import time
from lib.dsl import *
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
SRV = lambda *n: "[" + ", ".join('{url: "http://${BACKEND_%s}"}' % x for x in n) + "]"


def svc1(opts, servers='[{url: "http://${BACKEND_a}"}]', extra=""):
    return http("r: {rule: \"PathPrefix(`/`)\", service: s}", services="s: {loadBalancer: {healthCheck: {%s}, servers: %s%s}}" % (opts, servers, extra), names="")


def probe(c, n=1, match="/health"):
    end = time.time() + 4
    got = []
    while time.time() < end and len(got) < n:
        got += [c.norm_rec(r, {"ignore_req": ["user-agent", "accept-encoding"]}) for r in c.backs["a"].drain()]
        time.sleep(0.05)
    return {"probe": got[:n]}

def probe3(c): return probe(c, 3)
def probe1(c): return probe(c)

HID = {"a": {"hide": []}}
for name, opts, srv in [
    ("method-post", "path: /health, interval: 300ms, method: POST", None),
    ("method-lower", "path: /health, interval: 300ms, method: head", None),
    ("hostname", "path: /health, interval: 300ms, hostname: hc.test", None),
    ("headers", 'path: /health, interval: 300ms, headers: {X-One: "1", Host: other.test, User-Agent: mine, Content-Type: t/x}', None),
    ("query", 'path: "/health?x=1&y=a b", interval: 300ms', None),
    ("relative", "path: health, interval: 300ms", '[{url: "http://${BACKEND_a}/base"}]'),
    ("relative-slash", "path: ./health, interval: 300ms", '[{url: "http://${BACKEND_a}/base/"}]'),
    ("abs-with-base", "path: /health, interval: 300ms", '[{url: "http://${BACKEND_a}/base/"}]'),
    ("port", 'path: /health, interval: 300ms, port: ${BPORT_a}', '[{url: "http://127.0.0.1:1"}]'),
    ("scheme-h2c", 'path: /health, interval: 300ms, scheme: h2c', None),
    ("scheme-http", 'path: /health, interval: 300ms, scheme: http', '[{url: "h2c://${BACKEND_a}"}]'),
    ("dots", 'path: /x/../health, interval: 300ms', None),
    ("no-path", 'interval: 300ms', None),
    ("escaped", 'path: "/health/a%2Fb%20c", interval: 300ms', None),
    ("passhost-off", 'path: /health, interval: 300ms', None),
]:
    case("x-hc-probe-" + name, backends=HID, dyn=svc1(opts, srv or '[{url: "http://${BACKEND_a}"}]', ", passHostHeader: false" if name == "passhost-off" else ""), steps=[CALL(probe1)])

case("x-hc-redirect-follow", backends={"a": {"hide": [], "routes": {"/health": {"status": 302, "headers": [["Location", "/health2?z=1"]]}, "/health2": {"status": 200}}}}, dyn=svc1("path: /health, interval: 400ms"), steps=[CALL(lambda c: probe(c, 2)), WAIT(Q(), status=200)])
case("x-hc-redirect-no-follow", backends={"a": {"routes": {"/health": {"status": 302, "headers": [["Location", "/nope"]]}, "/nope": {"status": 500}}}}, dyn=svc1("path: /health, interval: 200ms, followRedirects: false"), steps=[SLEEP(0.8), GET("/", want=200)])
case("x-hc-redirect-to-500", backends={"a": {"routes": {"/health": {"status": 302, "headers": [["Location", "/nope"]]}, "/nope": {"status": 500}}}}, dyn=svc1("path: /health, interval: 200ms"), steps=[WAIT(Q(), status=503), GET("/")])
for st, want in [(199 + 1, 200), (204, 200), (301, 200), (399, 200), (400, 503), (404, 503), (500, 503)]:
    case(f"x-hc-status-{st}", backends={"a": {"routes": {"/health": {"status": st}}}}, dyn=svc1("path: /health, interval: 150ms"), steps=[SLEEP(0.6), GET("/", want=want)])
case("x-hc-status-exact-redirect", backends={"a": {"routes": {"/health": {"status": 301, "headers": [["Location", "/ok"]]}}}}, dyn=svc1("path: /health, interval: 150ms, status: 301, followRedirects: false"), steps=[SLEEP(0.6), GET("/", want=200)])
case("x-hc-timeout", backends={"a": {"routes": {"/health": {"delay": 1}}}}, dyn=svc1("path: /health, interval: 200ms, timeout: 100ms"), steps=[WAIT(Q(), status=503), GET("/", want=503)])
case("x-hc-timeout-above-interval", backends={"a": {"routes": {"/health": {"delay": 0.3}}}}, dyn=svc1("path: /health, interval: 200ms, timeout: 2s"), steps=[SLEEP(1.2), GET("/", want=200)])
case("x-hc-absolute-url", backends="a", dyn=svc1('path: "http://${BACKEND_a}/health", interval: 200ms'), steps=[SLEEP(0.8), GET("/")])
case("x-hc-starts-up", backends={"a": {"health": None} if 0 else {"routes": {"/health": {"status": 500}}}}, dyn=svc1("path: /health, interval: 3s"), steps=[GET("/", want=200), SLEEP(0.4), GET("/", want=200)])
case("x-hc-unhealthy-interval", backends="a", dyn=svc1("path: /health, interval: 300ms, unhealthyInterval: 3s"), steps=[SET("a", health=500), WAIT(Q(), status=503), SET("a", health=200), SLEEP(1.2), GET("/", want=503)])
case("x-hc-unhealthy-interval-short", backends="a", dyn=svc1("path: /health, interval: 1s, unhealthyInterval: 100ms"), steps=[SET("a", health=500), WAIT(Q(), status=503), SET("a", health=200), SLEEP(0.5), GET("/", want=200)])
case("x-hc-flip", backends="a b", dyn=svc1("path: /health, interval: 200ms", SRV("a", "b")), steps=[SET("a", health=500), WAIT(Q(), backend="b", times=6), MANY(6, Q(), tol=0), SET("b", health=503), WAIT(Q(), status=503), GET("/"), SET("a", health=200), WAIT(Q(), status=200), MANY(4, Q(), tol=0)])
case("x-hc-p2c", backends="a b c", dyn=svc1("path: /health, interval: 200ms", SRV("a", "b", "c"), ", strategy: p2c"), steps=[SET("a", health=500), SET("b", health=500), WAIT(Q(), backend="c", times=8), MANY(6, Q(), tol=0), SET("c", health=500), WAIT(Q(), status=503), GET("/")])
case("x-hc-hrw", backends="a b", dyn=svc1("path: /health, interval: 200ms", SRV("a", "b"), ", strategy: hrw"), steps=[SET("a", health=500), WAIT(Q(), backend="b", times=4), MANY(4, Q(), tol=0), SET("a", health=200), SET("b", health=500), WAIT(Q(), backend="a"), MANY(4, Q(), tol=0), SET("a", health=500), WAIT(Q(), status=503)])
case("x-hc-leasttime", backends="a b", dyn=svc1("path: /health, interval: 200ms", SRV("a", "b"), ", strategy: leasttime"), steps=[SET("a", health=500), WAIT(Q(), backend="b", times=6), MANY(4, Q(), tol=0), SET("b", health=500), WAIT(Q(), status=503)])
case("x-hc-killed-server", backends="a b", dyn=svc1("path: /health, interval: 200ms", SRV("a", "b")), steps=[KILL("a"), WAIT(Q(), backend="b", times=6), MANY(6, Q(), tol=0), START("a"), WAIT(Q(), backend="a")])
case("x-hc-ignored-body", backends={"a": {"routes": {"/health": {"body_size": 200000}}}}, dyn=svc1("path: /health, interval: 200ms"), steps=[SLEEP(0.7), GET("/", want=200)])
case("x-hc-weighted-child-down", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="""
w: {weighted: {services: [{name: s}, {name: b}]}}
s: {loadBalancer: {healthCheck: {path: /health, interval: 200ms}, servers: [{url: "http://${BACKEND_a}"}]}}
""", names="b"), steps=[SET("a", health=500), WAIT(Q(), status=503), MANY(6, Q(), tol=0)])
case("x-hc-shared-by-routers", backends="a", dyn=http("""
r1: {rule: "Path(`/1`)", service: s}
r2: {rule: "Path(`/2`)", service: s}
""", services="s: {loadBalancer: {healthCheck: {path: /health, interval: 200ms}, servers: [{url: \"http://${BACKEND_a}\"}]}}", names=""), steps=[SET("a", health=500), WAIT(Q("/1"), status=503), GET("/2", want=503)])
# grpc
SERV = lambda n: dict(body_b64=__import__("base64").b64encode(bytes([0, 0, 0, 0, 2, 8, n])).decode(), ct="application/grpc", trailers=[["grpc-status", "0"]], status=200)
case("x-hc-grpc-probe", backends={"a": {"hide": [], "default": SERV(1)}}, dyn=svc1("mode: grpc, path: /x, interval: 300ms", '[{url: "h2c://${BACKEND_a}"}]'), steps=[CALL(lambda c: probe(c, 1))])
case("x-hc-grpc-serving", backends={"a": {"hide": ["/grpc"], "default": SERV(1)}}, dyn=svc1("mode: grpc, interval: 200ms", '[{url: "h2c://${BACKEND_a}"}]'), steps=[SLEEP(0.7), GET("/", want=200, skip=("headers", "body", "trailers")), SET("a", default=SERV(2)), WAIT(Q(), status=503), SET("a", default=SERV(1)), WAIT(Q(), status=200)])
case("x-hc-grpc-http-scheme", backends={"a": {"hide": ["/grpc"], "default": SERV(1)}}, dyn=svc1("mode: grpc, scheme: http, interval: 200ms"), steps=[SLEEP(0.7), GET("/", want=200, skip=("headers", "body", "trailers"))])
case("x-hc-grpc-https-scheme", backends={"a": {"hide": ["/grpc"], "default": SERV(1)}}, dyn=svc1("mode: grpc, scheme: https, interval: 200ms"), steps=[SLEEP(0.7), GET("/", skip=("headers", "body", "trailers"))])
case("x-hc-grpc-notgrpc", backends="a", dyn=svc1("mode: grpc, interval: 200ms"), steps=[SLEEP(0.8), GET("/")])
case("x-hc-grpc-unimplemented", backends={"a": {"hide": ["/grpc"], "default": dict(body="", ct="application/grpc", trailers=[["grpc-status", "12"]], status=200)}}, dyn=svc1("mode: grpc, interval: 200ms", '[{url: "h2c://${BACKEND_a}"}]'), steps=[SLEEP(0.8), GET("/", skip=("headers", "body", "trailers"))])
case("x-hc-grpc-port-hostname", backends={"a": {"hide": [], "default": SERV(1)}}, dyn=svc1("mode: grpc, interval: 300ms, port: ${BPORT_a}, hostname: g.test, headers: {X-A: b}", '[{url: "http://127.0.0.1:1"}]'), steps=[CALL(lambda c: probe(c, 1))])
case("x-hc-mode-other", backends=HID, dyn=svc1("mode: foo, path: /health, interval: 300ms"), steps=[CALL(probe1)])
case("x-hc-bad-scheme", backends="a", dyn=svc1("path: /health, scheme: ftp, interval: 200ms"), steps=[SLEEP(0.8), GET("/")])
case("x-hc-bad-method", backends="a", dyn=svc1("path: /health, method: 'G ET', interval: 200ms"), steps=[SLEEP(0.8), GET("/")])
case("x-hc-https", backends={"a": {"tls": "backend", "hide": []}}, dyn=svc1("path: /health, interval: 300ms, hostname: hc.test", '[{url: "https://${BACKEND_a}"}]', ", serversTransport: t").replace("  services:", "  serversTransports:\n    t: {insecureSkipVerify: true}\n  services:"), steps=[CALL(probe1), GET("/", want=200)])
case("x-hc-zero-interval", backends="a", dyn=svc1("path: /health, interval: 0s, timeout: 0s"), steps=[GET("/", want=200)])
case("x-hc-int-durations", backends="a", dyn=svc1("path: /health, interval: 1, timeout: 1"), steps=[SET("a", health=500), GET("/", want=200), WAIT(Q(), status=503)])
case("x-hc-reload-keeps-serving", backends="a", dyn={"main.yml": svc1("path: /health, interval: 300ms")}, steps=[GET("/", want=200), WRITE("main.yml", svc1("path: /health, interval: 300ms").replace("PathPrefix(`/`)", "PathPrefix(`/new`)")), WAIT(Q("/new"), status=200), SET("a", health=500), WAIT(Q("/new"), status=503)])
