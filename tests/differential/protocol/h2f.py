from lib.dsl import *
BASIC = http("""
r: {rule: "PathPrefix(`/`)", service: a}
""")
P = lambda *x: dict(h2=True, pseudo=list(x), timeout=2)
M, S, PA, A = (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h.test")
case("h2f-pseudo", dyn=BASIC, steps=[
  GET("/", **P(M, S, PA, A)), GET("/", **P(M, S, PA)), GET("/", **P(M, S, PA), headers={"Host": "hh.test"}), GET("/", **P(M, S, PA, A), headers={"Host": "other.test"}), GET("/", **P(M, PA, A)), GET("/", **P(S, PA, A)), GET("/", **P(M, S, A)), GET("/", **P(M, S, (":path", ""), A)), GET("/", **P(M, M, S, PA, A)), GET("/", **P(M, S, PA, PA, A)), GET("/", **P(M, S, PA, A, (":foo", "x"))), GET("/", **P(M, (":scheme", "https"), PA, A)), GET("/", **P(M, (":scheme", "foo"), PA, A)), GET("/", **P(M, S, (":path", "x"), A)), GET("/", **P(M, S, (":path", "*"), A)), GET("/", **P((":method", "OPTIONS"), S, (":path", "*"), A)), GET("/", **P(M, S, (":path", "http://z.test/x"), A)), GET("/", **P(M, S, PA, (":authority", "a b"))), GET("/", **P(M, S, PA, (":authority", "u@h.test"))), GET("/", **P(M, S, PA, (":authority", ""))), GET("/", **P((":method", "G T"), S, PA, A)), GET("/", **P((":method", ""), S, PA, A)), GET("/", **P((":status", "200"), M, S, PA, A)), GET("/", **P(("x-a", "1"), M, S, PA, A)), GET("/", **P(M, S, (":path", "/a b"), A)), GET("/", **P(M, S, (":path", "/a#b"), A)), GET("/", **P(M, S, (":path", "/%zz"), A)), GET("/", **P(M, S, (":path", "/a\u00e9"), A)), GET("/", **P(M, S, (":path", "/a?"), A)), GET("/", **P(M, S, (":path", "/a?b#c"), A)), GET("/", **P(M, S, (":path", "//x/../y"), A)), GET("/", **P(M, S, PA, (":authority", "h.test:99"))), GET("/", **P(M, S, PA, (":authority", "a/b"))), GET("/", **P(M, S, (":path", "/a|b{c}\"<>`^\\"), A)), GET("/", **P(M, S, (":path", "/?a|b{c}\"<>`^\\;'[]"), A))])
case("h2f-headers", dyn=BASIC, steps=[
  GET("/1", h2=True, headers=[["x-a", "1"], ["x-a", "2"], ["cookie", "a=1"], ["cookie", "b=2"], ["accept", "*/*"]]), GET("/2", h2=True, headers=[["connection", "close"]]), GET("/3", h2=True, headers=[["transfer-encoding", "chunked"]]), GET("/4", h2=True, headers=[["te", "trailers"]]), GET("/5", h2=True, headers=[["te", "gzip"]]), GET("/6", h2=True, headers=[["upgrade", "x"]]), GET("/7", h2=True, headers=[["keep-alive", "x"]]), GET("/8", h2=True, headers=[["proxy-connection", "x"]]), GET("/9", h2=True, headers=[["x_under", "1"]]), GET("/10", h2=True, headers=[["x-empty", ""]]), GET("/11", h2=True, headers=[["x-b", " lead"]]), GET("/12", h2=True, headers=[["expect", "100-continue"]]), GET("/13", h2=True, headers=[["content-length", "0"]]), POST("/14", "abc", h2=True, nocl=True), POST("/15", "abc", h2=True), POST("/16", "", h2=True), POST("/17", None, h2=True), GET("/18", h2=True, body="abc"), R("DELETE", "/19", h2=True), GET("/20", h2=True, headers=[["content-length", "5"]], timeout=2), POST("/21", "abc", h2=True, nocl=True, headers=[["content-length", "5"]], timeout=2), POST("/22", "abc", h2=True, nocl=True, headers=[["content-length", "2"]], timeout=2), GET("/23", h2=True, headers=[["host", "h.test"]]), GET("/24", h2=True, ua=None), GET("/25", h2=True, headers=[["proxy-authorization", "x"], ["trailer", "x"]]), HEAD("/26", h2=True), OPTIONS("/27", h2=True), PUT("/28", None, h2=True)])
case("h2f-resp", dyn=BASIC, steps=[GET("/1", h2=True, ctl=dict(headers=[["Connection", "X-A"], ["X-A", "1"], ["Keep-Alive", "x"], ["Upgrade", "h2"], ["Set-Cookie", "a"], ["Set-Cookie", "b"]])), GET("/2", h2=True, ctl=dict(connclose=True)), GET("/3", h2=True, ctl=dict(status=404)), GET("/4", h2=True, ctl=dict(body="")), GET("/5", h2=True, ctl=dict(framing="close")), GET("/6", h2=True, host="x.test", ctl=dict(abort="rst")), GET("/7", h2=True, ctl=dict(raw="HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")), HEAD("/8", h2=True, ctl=dict(framing="chunked")), GET("/9", h2=True, ctl=dict(status=999)), GET("/10", h2=True, ctl=dict(raw="HTTP/1.1 101 X\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n"), timeout=2), GET("/11", h2=True, ctl=dict(status=204)), GET("/12", h2=True, ctl=dict(nodefault=True, body=""))])
def h2connect(c):
    from lib import client as C
    out = {}
    for n, hd in (("plain", [(":method", "CONNECT"), (":authority", "h.test:80")]), ("ws", [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/ws"), (":authority", "h.test")])):
        s = C.connect(("127.0.0.1", c.port("web")))
        h = C.H2Conn(s)
        i = h.start(hd, end=False, body=None)
        o = h.finish(i, 2)
        out[n] = {k: o.get(k) for k in ("status", "error")}
        s.close()
    out["seen"] = [(r["method"], r["target"]) for r in c.drain()]
    return out
case("h2f-connect", dyn=BASIC, steps=[CALL(h2connect)])
def h2many(c):
    from lib import client as C
    s = C.connect(("127.0.0.1", c.port("web")))
    h = C.H2Conn(s)
    ids = [h.start([(":method", "POST"), (":scheme", "http"), (":path", "/%d" % i), (":authority", "h.test"), ("x-ctl", '{"echo":true,"delay":0.1}')], body=b"n%d" % i) for i in range(60)]
    o = [h.finish(i) for i in ids]
    s.close(); c.drain()
    return {"ok": [(x.get("status"), x["body"].decode()) for x in o]}
case("h2f-many", dyn=BASIC, steps=[CALL(h2many)])
def h2cancel(c):
    from lib import client as C
    import time
    s = C.connect(("127.0.0.1", c.port("web")))
    h = C.H2Conn(s)
    mk = lambda p, d: [(":method", "GET"), (":scheme", "http"), (":path", p), (":authority", "h.test"), ("x-ctl", '{"delay":%s}' % d)]
    i = h.start(mk("/a", 3)); time.sleep(0.2); h.c.reset_stream(i, 8); h.flush()
    j = h.start(mk("/b", 0)); o = h.finish(j)
    h.c.ping(b"12345678"); h.flush()
    k = h.start(mk("/c", 0)); o2 = h.finish(k)
    s.close(); c.drain()
    return {"b": o.get("status"), "c": o2.get("status")}
case("h2f-cancel", dyn=BASIC, steps=[CALL(h2cancel)])
case("h2f-reuse", dyn=BASIC, steps=[GET("/1", h2=True, conn="k"), GET("/2", h2=True, conn="k", host="o.test"), POST("/3", "x", h2=True, conn="k"), GET("/4", h2=True, conn="k", ctl=dict(abort="before")), GET("/5", h2=True, conn="k", ctl=dict(abort="mid", body_size=100)), GET("/6", h2=True, conn="k")])
H2C = """
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: [{url: "h2c://${BACKEND_a}"}]}}}
"""
G = dict(h2=True, headers=[["content-type", "application/grpc"], ["te", "trailers"]], nocl=True)
case("h2f-grpc", dyn=H2C, steps=[POST("/s/M", "\0\0\0\0\5hello", ctl=dict(grpc={}), **G), POST("/s/E", "x", ctl=dict(grpc=dict(status=5, message="nope")), **G), POST("/s/T", "x", ctl=dict(grpc=dict(status=7, message="m", trailers_only=True)), **G), POST("/s/A", "x", ctl=dict(abort=True), **G), POST("/s/D", "x", ctl=dict(status=503), **G), POST("/h1", "x", headers=[["Content-Type", "application/grpc"], ["TE", "trailers"]], ctl=dict(grpc={}))])
case("h2f-h2c-backend", dyn=H2C, steps=[GET("/1?a;b=c", cmp_ae=True), POST("/2", "abc"), POST("/3", "abc", chunked=True, trailers=[["X-T", "1"]]), GET("/4", ctl=dict(trailers=[["X-T", "1"]])), GET("/5", ctl=dict(trailers=[["X-T", "1"]], noannounce=True)), HEAD("/6"), GET("/7", ctl=dict(status=204)), GET("/8", ctl=dict(status=304)), GET("/9", ctl=dict(body_size=1000000)), POST("/10", body_size=1000000, ctl=dict(echo=True), timeout=10), GET("/11", ctl=dict(gzip=True, body_size=3000)), GET("/12", ctl=dict(abort=True)), GET("/13", ctl=dict(chunks=[[0, "a"], [0.5, "b"]]), first_t=(0, 0.4)), GET("/14", headers=[["Connection", "X-A"], ["X-A", "1"], ["TE", "trailers"], ["Cookie", "a=1; b=2"], ["Keep-Alive", "1"]]), WS("/15", ["a"]), POST("/16", None), GET("/17", host="o.test:90"), GET("/18", version="HTTP/1.0", host=None), GET("/19", h2=True, headers=[["cookie", "a=1"], ["cookie", "b=2"]]), OPTIONS("/20"), GET("/21", headers={"Host2": "x"}), GET("/22", ctl=dict(body="")), POST("/23", "abc", headers={"Expect": "100-continue"}, expect_wait=1), GET("/24", ctl=dict(status=404)), GET("/a%2Fb|c"), GET("/25", body="abc"), R("DELETE", "/26")])
case("h2f-h2c-to-h1", dyn="""
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: [{url: "h2c://${DEAD_x}"}]}}}
""", steps=[GET("/1"), GET("/2", h2=True)])
TLSB = """
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}, v: {rule: "PathPrefix(`/verify`)", service: v}, p: {rule: "PathPrefix(`/plain`)", service: p}, o: {rule: "PathPrefix(`/one`)", service: o}}
  services:
    a: {loadBalancer: {serversTransport: skip, servers: [{url: "https://${BACKEND_a}"}]}}
    v: {loadBalancer: {servers: [{url: "https://${BACKEND_a}"}]}}
    p: {loadBalancer: {serversTransport: skip, servers: [{url: "https://${BACKEND_b}"}]}}
    o: {loadBalancer: {serversTransport: one, servers: [{url: "https://${BACKEND_a}"}]}}
  serversTransports:
    skip: {insecureSkipVerify: true}
    one: {insecureSkipVerify: true, disableHTTP2: true}
"""
import os
from lib import pki as _p
case("h2f-tls-backend", backends={"a": dict(tls="backend", alpn=["h2", "http/1.1"]), "b": {}}, dyn=TLSB, steps=[GET("/1"), POST("/2", "abc"), GET("/verify"), GET("/plain"), GET("/one"), WS("/ws", ["a"]), POST("/s/M", "x", ctl=dict(grpc={}), **G), GET("/gz", ctl=dict(gzip=True))])
