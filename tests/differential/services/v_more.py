import os, time, base64
from lib.dsl import *
from lib.cases_common import mws
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
SRV = lambda *n: "[" + ", ".join('{url: "http://${BACKEND_%s}"}' % x for x in n) + "]"
G = lambda h, p="/", **k: GET(p, host=h + ".test", **k)
def str_(opts, url="https://${BACKEND_t}", lb=""):
    return http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {serversTransport: t, servers: [{url: "%s"}]%s}}' % (url, lb), names="", extra="\n  serversTransports:\n    t: {%s}\n" % opts)
H2 = {"t": {"tls": "backend", "alpn": ["h2"]}}
case("w-str-h2only", backends=H2, dyn=str_("insecureSkipVerify: true"), steps=[GET("/"), POST("/", "x" * 1000), GET("/", ctl=dict(body_size=200000)), POST("/", "c", chunked=True), GET("/", ctl=dict(status=204)), GET("/", ctl=dict(status=304)), HEAD("/", ctl=dict(body_size=50)), GET("/", headers={"Cookie": "a=b; c=d"}), GET("/", headers={"Te": "trailers"}), GET("/", ctl=dict(interim=[[103, [["Link", "</x>"]]]]))])
case("w-str-h2only-errors", backends=H2, dyn=str_("insecureSkipVerify: true"), steps=[GET("/", ctl=dict(abort="before"), only=("status", "body")), GET("/", ctl=dict(abort="mid", body_size=5000), only=("status", "truncated", "error")), GET("/", want=200)])
case("w-str-h2only-disabled", backends=H2, dyn=str_("insecureSkipVerify: true, disableHTTP2: true"), steps=[GET("/", only=("status", "body"))])
case("w-str-h2-grpc", backends=H2, dyn=str_("insecureSkipVerify: true"), steps=[POST("/svc/M", "x", h2=True, headers={"Content-Type": "application/grpc", "Te": "trailers"}, ctl=dict(trailers=[["grpc-status", "0"]], ct="application/grpc"))])
case("w-str-expired-client", backends={"t": {"tls": "backend", "client_ca": "ca", "require": True}}, dyn=str_('insecureSkipVerify: true, certificates: [{certFile: "${PKI}/client_expired.crt", keyFile: "${PKI}/client_expired.key"}]'), steps=[GET("/", only=("status", "body"))])
case("w-str-key-mismatch", backends={"t": {"tls": "backend", "client_ca": "ca"}}, dyn=str_('insecureSkipVerify: true, certificates: [{certFile: "${PKI}/client1.crt", keyFile: "${PKI}/client_other.key"}]'), steps=[GET("/")])
case("w-str-cert-no-key", backends={"t": {"tls": "backend", "client_ca": "ca"}}, dyn=str_('insecureSkipVerify: true, certificates: [{certFile: "${PKI}/client1.crt"}]'), steps=[GET("/")])
case("w-str-uri-case", backends={"t": {"tls": "backend"}}, dyn=str_('rootCAs: ["${PKI}/ca.crt"], peerCertURI: "SPIFFE://HOLDOUT/BACKEND"'), steps=[GET("/")])
case("w-str-uri-skip-name", backends={"t": {"tls": "backend"}}, dyn=str_('rootCAs: ["${PKI}/ca.crt"], insecureSkipVerify: true, serverName: other.test, peerCertURI: "spiffe://holdout/backend"'), steps=[GET("/")])
case("w-str-uri-skip-wrongca", backends={"t": {"tls": "backend"}}, dyn=str_('rootCAs: ["${PKI}/ca2.crt"], insecureSkipVerify: true, peerCertURI: "spiffe://holdout/backend"'), steps=[GET("/")])
case("w-str-empty-block", backends={"t": {"tls": "backend"}}, dyn=str_('serverName: ""'), steps=[GET("/")])
case("w-str-timeouts-zero", backends="a", dyn=str_("forwardingTimeouts: {dialTimeout: 0s, responseHeaderTimeout: 0s, idleConnTimeout: 0s, readIdleTimeout: 0s, pingTimeout: 0s}", "http://${BACKEND_a}"), steps=[GET("/", ctl=dict(delay=0.3))])
case("w-str-neg-timeout", backends="a", dyn=str_("forwardingTimeouts: {responseHeaderTimeout: -1s}", "http://${BACKEND_a}"), ready="tcp:web", steps=[SLEEP(0.4), GET("/")])
case("w-str-bad-duration", backends="a", dyn=str_("forwardingTimeouts: {responseHeaderTimeout: xyz}", "http://${BACKEND_a}") , ready="tcp:web", steps=[SLEEP(0.4), GET("/")])
case("w-str-bad-tls-plain-server", backends="a", dyn=str_("minVersion: TLS9", "http://${BACKEND_a}"), steps=[GET("/")])
case("w-str-bad-ca-plain-server", backends="a", dyn=str_("rootCAs: [/nope]", "http://${BACKEND_a}"), steps=[GET("/")])
case("w-str-hc-uses-transport", backends={"t": {"tls": "backend"}}, dyn=str_("insecureSkipVerify: true", lb=", healthCheck: {path: /health, interval: 200ms}"), steps=[SLEEP(0.6), GET("/", want=200)])
case("w-str-hc-transport-fails", backends={"t": {"tls": "backend"}}, dyn=str_("insecureSkipVerify: false", lb=", healthCheck: {path: /health, interval: 200ms}"), steps=[WAIT(Q(), status=503)])
case("w-str-static-timeouts", static="serversTransport: {maxIdleConnsPerHost: 1, forwardingTimeouts: {idleConnTimeout: 1s, dialTimeout: 1s}}", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}"), steps=[GET("/"), GET("/")])
case("w-static-transport-unknown", ready="exit", static_text=("static.yml", 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}}\nserversTransport: {nope: 1}\n'), steps=[EXIT(timeout=4, code="zero?")])
# weighted over all strategies and http versions
for st in ("p2c", "hrw", "leasttime"):
    case("w-weighted-" + st, backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services='w: {weighted: {services: [{name: s, weight: 1}, {name: b, weight: 1}]}}\ns: {loadBalancer: {strategy: %s, servers: %s}}' % (st, SRV("a")), names="b"), steps=[MANY(10, Q(), tol=0)])
case("w-weighted-ws-post", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a}]}}"), steps=[WS("/ws", ["x"]), POST("/", "b"), GET("/", h2=True), GET("/", ctl=dict(sse=dict(n=2, interval=0.2)), first_t=(0, 0.15))])
case("w-weighted-passhost", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services='w: {weighted: {services: [{name: s}]}}\ns: {loadBalancer: {passHostHeader: false, servers: [{url: "http://${BACKEND_a}/p", preservePath: true}]}}', names=""), steps=[GET("/x")])
case("w-weighted-bad-strategy-child", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}\nok: {rule: \"Path(`/ok`)\", service: a}", services='w: {weighted: {services: [{name: a}, {name: s}]}}\ns: {loadBalancer: {strategy: nope, servers: []}}'), steps=[GET("/x"), GET("/ok")])
case("w-weighted-weights-1000", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a, weight: 1000}, {name: b, weight: 1}]}}", names="a b"), steps=[MANY(50, Q(), tol=0.04)])
# sticky
def sticky_many(c):
    """cookie of each of the servers leads to that server"""
    out = []
    for n in "abc":
        r = c.resp(path="/", headers={"Cookie": c.sub("k=http://${BACKEND_%s}" % n)})
        out.append((r["status"], r["backend"][0]["backend"], r["headers"].get("set-cookie")))
    return out
case("w-sticky-each", backends="a b c", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services="s: {loadBalancer: {sticky: {cookie: {name: k}}, servers: %s}}" % SRV("a", "b", "c"), names=""), steps=[CALL(sticky_many)])
case("w-sticky-quoted-cookie", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services="s: {loadBalancer: {sticky: {cookie: {name: k}}, servers: %s}}" % SRV("a"), names=""), steps=[GET("/", headers={"Cookie": 'k="http://${BACKEND_a}"'}), GET("/", headers={"Cookie": 'K=http://${BACKEND_a}'}), GET("/", headers={"Cookie": 'k=x;k=http://${BACKEND_a}'}), GET("/", headers=[["Cookie", "a=b"], ["Cookie", "k=http://${BACKEND_a}"]]), GET("/", h2=True, headers=[["Cookie", "a=b"], ["Cookie", "k=http://${BACKEND_a}"]])])
case("w-sticky-preservepath-url", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {sticky: {cookie: {name: k}}, servers: [{url: "http://${BACKEND_a}/", preservePath: true}]}}', names=""), steps=[GET("/")])
case("w-sticky-samesite-bad", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {sticky: {cookie: {name: k, sameSite: weird, maxAge: "60"}}, servers: %s}}' % SRV("a"), names=""), steps=[GET("/")])
case("w-sticky-names", backends="a", dyn=http("r1: {rule: \"Path(`/1`)\", service: svc.dots}\nr2: {rule: \"Path(`/2`)\", service: \"sp ace\"}", services='svc.dots: {loadBalancer: {sticky: {cookie: {}}, servers: %s}}\n"sp ace": {loadBalancer: {sticky: {cookie: {}}, servers: %s}}' % (SRV("a"), SRV("a")), names=""), steps=[GET("/1"), GET("/2")])
case("w-sticky-null", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {sticky: {}, servers: %s}}' % SRV("a"), names=""), ready="tcp:web", steps=[SLEEP(0.4), GET("/")])
# router edge
case("w-rtr-three-eps", static="""
entryPoints: {a: {address: "127.0.0.1:${PORT_a}"}, b: {address: "127.0.0.1:${PORT_b}", asDefault: true}, web: {address: "127.0.0.1:${PORT_web}", asDefault: false}}
""", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}\ne: {rule: \"Path(`/e`)\", service: a, entryPoints: [a, web]}"), steps=[x for ep in ("a", "b", "web") for x in (GET("/", ep=ep), GET("/e", ep=ep))])
case("w-rtr-udp-ep-not-default", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, u: {address: "127.0.0.1:${PORT_u}/tcp"}}
""", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}"), steps=[GET("/"), GET("/", ep="u")])
case("w-rtr-ep-mw-multi-order", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {middlewares: [m1@file, m2@file]}}, w2: {address: "127.0.0.1:${PORT_w2}", http: {middlewares: [m2@file]}}}
""", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [m3]}", middlewares="m1: {addPrefix: {prefix: /1}}\nm2: {addPrefix: {prefix: /2}}\nm3: {addPrefix: {prefix: /3}}"), steps=[GET("/x"), GET("/x", ep="w2")])
case("w-rtr-ep-mw-dup", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {middlewares: [m1@file]}}}
""", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [m1]}", middlewares="m1: {addPrefix: {prefix: /1}}"), steps=[GET("/x")])
case("w-rtr-many-hosts", dyn=http("\n".join(f'r{i}: {{rule: "Host(`h{i}.test`)", service: a}}' for i in range(200))), steps=[GET("/", host=f"h{i}.test") for i in (0, 7, 199)] + [GET("/", host="h200.test")])
case("w-rtr-priority-string", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, priority: \"5\"}\nq: {rule: \"Path(`/q`)\", service: a, priority: 5.0}"), ready="tcp:web", steps=[SLEEP(0.4), GET("/x")])
# lifecycle of ping etc
case("w-ping-status-bad", static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}", transport: {lifeCycle: {requestAcceptGraceTimeout: 1s}}}}\nping: {entryPoint: web, terminatingStatusCode: 599}', dyn=http("r: {rule: \"Path(`/x`)\", service: a}"), steps=[SIG("TERM"), SLEEP(0.2), GET("/ping"), EXIT(timeout=5)])
case("w-ping-methods", static='ping: {entryPoint: web}', dyn=http("r: {rule: \"Path(`/x`)\", service: a}"), steps=[PUT("/ping", "x"), R("DELETE", "/ping"), OPTIONS("/ping"), GET("/ping", h2=True), GET("/ping/a/b"), GET("/PING"), GET("//ping")])
case("w-ping-no-traefik-ep", static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, traefik: {address: "127.0.0.1:${PORT_t}"}}\nping: {}', dyn=http("r: {rule: \"PathPrefix(`/ping`)\", service: a, entryPoints: [traefik], priority: 99999}"), steps=[GET("/ping", ep="t"), GET("/ping")])
