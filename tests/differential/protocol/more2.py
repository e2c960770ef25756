from lib.dsl import *
BASIC = http("""
r: {rule: "PathPrefix(`/`)", service: a}
""")
EP = lambda s: 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}", %s}}' % s
def h2slow(c):
    from lib import client as C
    import time
    out = {}
    for n, wait in (("ok", 0.1), ("late", 1.0)):
        s = C.connect(("127.0.0.1", c.port("web")))
        h = C.H2Conn(s)
        i = h.start([(":method", "POST"), (":scheme", "http"), (":path", "/up"), (":authority", "h.test")], end=False)
        time.sleep(wait)
        h.c.send_data(i, b"abc", end_stream=True)
        try: h.flush()
        except OSError: pass
        o = h.finish(i, 3)
        out[n] = {"status": o.get("status"), "error": o.get("error")}
        s.close()
    c.drain()
    return out
case("more2-h2-read-timeout", weight=2, static=EP("transport: {respondingTimeouts: {readTimeout: 500ms}}"), dyn=BASIC, steps=[CALL(h2slow)])
case("more2-h2-delay-read-timeout", weight=2, static=EP("transport: {respondingTimeouts: {readTimeout: 500ms}}"), dyn=BASIC, steps=[GET("/", h2=True, ctl=dict(delay=1.0)), GET("/k", h2=True, conn="k"), SLEEP(0.8), GET("/k2", h2=True, conn="k"), WS("/ws", ["a", 0.8, "b"]), GET("/sse", ctl=dict(sse=dict(n=4, interval=0.3)))])
def idle_raw(c):
    """a connection that never says anything, one that says only the preface"""
    from lib import client as C
    import time
    out = {}
    for n, d in (("none", b""), ("preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"), ("half-preface", b"PRI * HT"), ("crlf", b"\r\n\r\n")):
        s = C.connect(("127.0.0.1", c.port("web")))
        if d: s.sendall(d)
        r = C.Reader(s)
        t = time.time()
        try:
            while True: r.fill(time.time() + 2)
        except C.Fail as e: k = e.kind
        out[n] = ["closed" if k in ("eof", "reset") else k, time.time() - t < 1.6]
        s.close()
    return out
case("more2-silent", weight=2, static=EP("transport: {respondingTimeouts: {readTimeout: 500ms, idleTimeout: 700ms}}"), dyn=BASIC, steps=[CALL(idle_raw)])
def streaming_up(c):
    """the upload reaches the backend as it comes, and the answer as it comes while the upload goes on"""
    from lib import client as C
    import time
    s = C.connect(("127.0.0.1", c.port("web")))
    s.sendall(b"POST /up HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\nX-Ctl: {\"early\":true}\r\n\r\n3\r\nabc\r\n")
    r = C.Reader(s)
    t = time.time()
    o = r.response("POST", 2)
    dt = time.time() - t
    c.drain()
    return {"st": o["status"], "quick": dt < 0.8, "conn": [v for k, v in o["headers"] if k.lower() == "connection"]}
case("more2-early-answer", dyn=BASIC, steps=[CALL(streaming_up)])
case("more2-te-gzip", dyn=BASIC, steps=[GET("/1", headers={"TE": "gzip;q=0.5, trailers;q=1"}), GET("/2", headers=[["Te", "trailers"], ["Connection", "te"]], h2=False), GET("/3", headers={"Connection": "Te, keep-alive"})])
case("more2-xfp-ws", static=EP("forwardedHeaders: {insecure: true}"), dyn=BASIC, steps=[WS("/1", ["a"], headers={"X-Forwarded-Proto": "wss"}), WS("/2", ["a"], headers={"X-Forwarded-Port": "1"}), WS("/3", ["a"], host="h.test:81"), GET("/4", headers=[["Upgrade", "websocket"]]), GET("/5", headers=[["Connection", "upgrade"], ["Upgrade", "foo"]]), GET("/6", headers=[["Connection", "Upgrade"], ["Upgrade", "WebSocket"]], ctl=dict(noupgrade=True))])
case("more2-h2c-upstream-errors", dyn="""
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: [{url: "h2c://${BACKEND_a}"}]}}}
""", steps=[GET("/1"), KILL("a"), GET("/2"), START("a"), GET("/3"), POST("/4", "abc"), KILL("a"), START("a"), GET("/5"), POST("/6", "x"), PAR([dict(op="req", method="GET", path="/%d" % i, ctl=dict(delay=0.1)) for i in range(20)], unordered=True), GET("/7", h2=True, ctl=dict(abort=True))])
case("more2-path-mw", dyn=http("""
s: {rule: "PathPrefix(`/s`)", service: a, middlewares: [strip]}
r: {rule: "PathPrefix(`/`)", service: a}
""", middlewares="strip: {stripPrefix: {prefixes: [/s]}}"), steps=[GET("/s"), GET("/s/"), GET("/sx"), GET("/s?q=1"), GET("/s//x"), GET("/s/%2Fx"), GET("/s/a%20b?c=d%20e"), RAW("GET http://h.test/s/x HTTP/1.1\nHost: z\n\n")])
case("more2-h2-read-timeout-h2c", weight=2, static=EP("transport: {respondingTimeouts: {readTimeout: 500ms}}"), dyn="""
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: [{url: "h2c://${BACKEND_a}"}]}}}
""", steps=[CALL(h2slow)])
H2CB = """
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: [{url: "h2c://${BACKEND_a}"}]}}}
"""
X = {"Expect": "100-continue"}
case("more2-h2c-expect", weight=2, dyn=H2CB, steps=[POST("/1", "abc", headers=X, expect_wait=0.6), POST("/2", "abc", headers=X, h2=True), POST("/3", "abc", headers=X, chunked=True), POST("/4", "", headers=X)])
case("more2-bighead", dyn=BASIC, steps=[GET("/1", ctl=dict(headers=[["X-%d" % i, "v" * 20000] for i in range(100)]), skip=("headers",), timeout=10)])
def h2age(c):
    from lib import client as C
    import time
    s = C.connect(("127.0.0.1", c.port("web")))
    h = C.H2Conn(s)
    mk = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h.test")]
    a = h.finish(h.start(mk)); time.sleep(0.5)
    b = h.finish(h.start(mk))
    try:
        while True: h.pump(time.time() + 3)
    except C.Fail as e: k = e.kind
    c.drain()
    return {"a": a.get("status"), "left": b.get("error") is not None or k != "timeout"}
case("more2-h2-max-age", weight=2, static=EP("transport: {keepAliveMaxTime: 300ms}"), dyn=BASIC, steps=[CALL(h2age)])
case("more2-upload-then-idle", weight=2, static=EP("transport: {respondingTimeouts: {readTimeout: 400ms}}"), dyn=BASIC, steps=[POST("/1", "x" * 1000, conn="k"), SLEEP(0.7), POST("/2", "y", conn="k"), SLEEP(0.5), GET("/3", conn="k", ctl=dict(delay=0.7)), GET("/4", conn="k")])
