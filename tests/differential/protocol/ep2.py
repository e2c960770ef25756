from lib.dsl import *
BASIC = http("""
r: {rule: "PathPrefix(`/`)", service: a}
""")
EP = lambda s: 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}", %s}}' % s
def enc(name, opts, paths):
    case("ep2-enc-" + name, static=EP("http: {encodedCharacters: {%s}}" % opts), dyn=BASIC, steps=[GET(p) for p in paths])
ALL = ("/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00b", "/a%3Bb", "/a%25b", "/a%3Fb", "/a%23b", "/a?x=%2F%5C%00", "/ok", "/a%252Fb")
enc("one", "allowEncodedHash: true", ALL)
enc("slash", "allowEncodedSlash: false", ALL)
enc("all", "allowEncodedSlash: false, allowEncodedBackSlash: false, allowEncodedNullCharacter: false, allowEncodedSemicolon: false, allowEncodedPercent: false, allowEncodedQuestionMark: false, allowEncodedHash: false", ALL)
case("ep2-enc-order", static=EP("http: {encodedCharacters: {allowEncodedSlash: false}}"), dyn=http("""
r: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}
n: {rule: "Host(`none.test`) && Path(`/zz`)", service: a}
""", middlewares="m: {redirectRegex: {regex: '.*', replacement: 'http://x/'}}"), steps=[GET("/a%2Fb"), GET("/a"), GET("/a%2fb", host="none.test")])
for n, o in (("under-delete", "underscoreHeadersStrategy: delete"), ("under-reject", "underscoreHeadersStrategy: reject"), ("under-keep", "underscoreHeadersStrategy: keep"), ("alias-delete", "aliasHeadersStrategy: delete"), ("alias-reject", "aliasHeadersStrategy: reject"), ("alias-keep", "aliasHeadersStrategy: keep")):
    case("ep2-" + n, static=EP("http: {%s}" % o), dyn=BASIC, steps=[GET("/", headers=[["X_A", "1"], ["X-B", "2"]]), GET("/", headers=[["X.A", "1"]]), GET("/", headers=[["Foo!b", "1"], ["Foo~b", "2"]]), GET("/", headers=[["X-Ok", "1"]]), GET("/", headers=[["X_A", "1"]], h2=True), POST("/", "abc", headers=[["X_A", "1"]], close_check=True), GET("/#x", headers=[["X_A", "1"]])])
case("ep2-maxheader", static=EP("http: {maxHeaderBytes: 2048}"), dyn=BASIC, steps=[RAW("GET / HTTP/1.1\nHost: h.test\nX-B: %s\n\n" % ("a" * n), only_resp=("status", "headers", "body")) for n in (1000, 3000, 6000, 6050, 6060, 6070, 6080, 6090, 6091, 6092, 6093, 6094, 6095, 6096, 6097, 6098, 6099, 6100, 6101, 6102, 6103, 6104, 6105, 6106, 6107, 6108, 6109, 6110, 6111, 6112, 6113, 6114, 6115, 6116, 6117, 6118, 6119, 6120, 6130, 7000, 20000)])
case("ep2-maxheader-line", static=EP("http: {maxHeaderBytes: 2048}"), dyn=BASIC, steps=[RAW("GET /%s HTTP/1.1\nHost: h.test\n\n" % ("a" * n), only_resp=("status", "headers")) for n in (5000, 7000)] + [RAW("GET / HTTP/1.1\nHost: h.test\n%s\n" % "".join("X-%d: v\n" % i for i in range(600)), only_resp=("status", "headers")), GET("/", h2=True, headers=[["x-b", "a" * 1000]]), GET("/", h2=True, headers=[["x-b", "a" * 4000]]), GET("/", h2=True, headers=[["x-b", "a" * 12000]])])
case("ep2-maxheader-default", dyn=BASIC, steps=[RAW("GET / HTTP/1.1\nHost: h.test\nX-B: %s\n\n" % ("a" * n), only_resp=("status",), backend_only=("method",)) for n in (60000, 500000, 1100000)] + [GET("/", headers=[["X-%d" % i, "v"] for i in range(900)], skip=("backend",)), GET("/", headers=[["X-%d" % i, "v"] for i in range(3000)], skip=("backend",)), GET("/" + "p" * 30000, backend_only=("method",))])
case("ep2-redir", static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: other}}}}, other: {address: "127.0.0.1:${PORT_other}"}}', dyn=BASIC, steps=[GET("/x?y=1;z"), POST("/x", "abc"), GET("/x", host="h.test:8080"), GET("/", host="[::1]:80"), GET("/a%2fb?c"), HEAD("/"), GET("/", headers={"X-Forwarded-Proto": "https"}), GET("/x", ep="other"), WS("/ws", []), GET("/", h2=True), GET("/x", host="UPPER.test"), PUT("/", "a"), R("DELETE", "/"), OPTIONS("/")])
case("ep2-redir-temp", static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: ":8443", scheme: https, permanent: false}}}}, p: {address: "127.0.0.1:${PORT_p}", http: {redirections: {entryPoint: {to: ":443", priority: 1}}}}, h: {address: "127.0.0.1:${PORT_h}", http: {redirections: {entryPoint: {to: web, scheme: http}}}}}', dyn=http("""
r: {rule: "Path(`/mine`)", service: a}
"""), steps=[GET("/x"), POST("/x", "a"), GET("/mine"), GET("/mine", ep="p"), GET("/x", ep="p"), GET("/x", ep="h"), GET("/x", host="h.test:80", ep="p")])
case("ep2-keepalive-time", static=EP("transport: {keepAliveMaxTime: 300ms}"), dyn=BASIC, steps=[GET("/1", conn="k"), GET("/2", conn="k"), SLEEP(0.4), GET("/3", conn="k", close_check=True)])
case("ep2-keepalive-req", static=EP("transport: {keepAliveMaxRequests: 2}"), dyn=BASIC, steps=[GET("/1", conn="k"), GET("/2", conn="k", close_check=True), GET("/1", h2=True, conn="h"), GET("/2", h2=True, conn="h"), GET("/404", conn="z", host="q")])
case("ep2-mw", static=EP("http: {middlewares: [a@file, b@file]}"), dyn=http("""
r: {rule: "PathPrefix(`/x`)", service: a, middlewares: [c]}
""", middlewares="""
a: {headers: {customRequestHeaders: {X-A: "1"}, customResponseHeaders: {X-RA: "1"}}}
b: {stripPrefix: {prefixes: [/x]}}
c: {addPrefix: {prefix: /c}}
"""), steps=[GET("/x/y"), GET("/n")])
case("ep2-addr", static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}/TCP"}, b: {address: ":${PORT_b}", reusePort: true}, c: {address: "localhost:${PORT_c}"}, d: {address: "[::]:${PORT_d}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}', dyn=BASIC, steps=[GET("/"), GET("/", ep="b"), GET("/", ep="b", ip="::1"), GET("/", ep="c"), GET("/", ep="d", ip="::1"), GET("/", ep="d"), GET("/", ep="traefik")])
case("ep2-read-timeout", weight=2, static=EP("transport: {respondingTimeouts: {readTimeout: 600ms}}"), dyn=BASIC, steps=[
  RAW(b"", parts=[("GET / HTTP/1.1\r\n", 0.9)], timeout=1.5, only_resp=("status", "error", "headers")), RAW(b"", parts=[("POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 10\r\n\r\nabc", 0.9)], timeout=2, only_resp=("status", "error", "headers", "body"), close_wait=1), RAW(b"", timeout=1.5, only_resp=("status", "error")), GET("/slow", ctl=dict(delay=1.0)), GET("/ok", conn="k"), SLEEP(0.8), GET("/ok2", conn="k"), RAW(b"", parts=[("POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.9)], timeout=2, only_resp=("status", "error", "headers", "body"), close_wait=1), RAW(b"GET /a HTTP/1.1\r\nHost: h.test\r\n\r\n", parts=[(b"GET /a HTTP/1.1\r\nHost: h.test\r\n\r\n", 0.1), (b"GET /b HTT", 0.9)], n=2, timeout=2, only_resp=("status", "error"))])
case("ep2-write-timeout", weight=2, static=EP("transport: {respondingTimeouts: {writeTimeout: 500ms}}"), dyn=BASIC, steps=[GET("/slow", ctl=dict(delay=1.0), timeout=3), GET("/ok"), GET("/sse", ctl=dict(sse=dict(n=4, interval=0.3)), timeout=4), GET("/h2", h2=True, ctl=dict(delay=1.0), timeout=3), GET("/a", conn="k"), SLEEP(0.7), GET("/b", conn="k"), WS("/ws", ["a", 0.8, "b"])])
case("ep2-idle-timeout", weight=2, static=EP("transport: {respondingTimeouts: {idleTimeout: 400ms}}"), dyn=BASIC, steps=[GET("/a", conn="k", close_check=1.0), GET("/slow", ctl=dict(delay=0.9)), GET("/h2", h2=True, conn="h"), SLEEP(0.9), GET("/h2b", h2=True, conn="h", only=("status", "error")), WS("/ws", ["a", 0.9, "b"]), GET("/h2s", h2=True, ctl=dict(delay=0.9))])
case("ep2-zero-timeouts", static=EP("transport: {respondingTimeouts: {readTimeout: 0, writeTimeout: 0, idleTimeout: 0}}"), dyn=BASIC, steps=[GET("/a", conn="k"), SLEEP(0.3), GET("/b", conn="k"), POST("/c", "x" * 1000, slow=(4, 0.2))])
def h2settings(c):
    from lib import client as C
    import time
    s = C.connect(("127.0.0.1", c.port("web")))
    h = C.H2Conn(s)
    i = h.start([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h.test")])
    r = h.finish(i); s.close(); c.drain()
    return {"s": {str(k): v for k, v in sorted(h.server_settings.items())}, "st": r.get("status")}
case("ep2-h2-settings", static=EP("http2: {maxConcurrentStreams: 7, maxDecoderHeaderTableSize: 1024, maxEncoderHeaderTableSize: 512}"), dyn=BASIC, steps=[CALL(h2settings)])
case("ep2-h2-settings-default", dyn=BASIC, steps=[CALL(h2settings)])
