from lib.dsl import *
BASIC = http("""
r: {rule: "PathPrefix(`/`)", service: a}
""")
H = "Host: h.test\n"
case("more-connect-nomatch", dyn=http('r: {rule: "Host(`zz.test`)", service: a}'), steps=[RAW("CONNECT c.test:80 HTTP/1.1\nHost: c.test\n\n"), RAW("CONNECT zz.test:80 HTTP/1.1\nHost: zz.test\n\n"), RAW("OPTIONS * HTTP/1.1\nHost: c.test\n\n"), RAW("GET * HTTP/1.1\nHost: zz.test\n\n"), RAW("GET foo HTTP/1.1\nHost: zz.test\n\n", only_resp=("status",)), RAW("GET /%zz HTTP/1.1\nHost: c.test\n\n", only_resp=("status",)), RAW("GET /a#b HTTP/1.1\nHost: c.test\n\n"), RAW("CONNECT c.test:80 HTTP/1.1\nHost: zz.test\n\n")])
case("more-expect-404", dyn=http('r: {rule: "Host(`zz.test`)", service: a}'), steps=[POST("/", "abc", headers={"Expect": "foo"}), GET("/", headers={"Expect": "foo"}), GET("/", headers={"Expect": "100-continue"}), GET("/", headers={"Expect": "foo"}, h2=True)])
case("more-mw-on-errors", dyn=http('r: {rule: "PathPrefix(`/`)", service: a, middlewares: [h]}', middlewares='h: {headers: {customResponseHeaders: {X-Add: "1", Server: ""}}}'), steps=[RAW("CONNECT c.test:80 HTTP/1.1\nHost: c.test\n\n"), GET("/", ctl=dict(abort="before")), GET("/", ctl=dict(headers=[["Server", "x"]])), RAW("OPTIONS * HTTP/1.1\nHost: c.test\n\n"), GET("/x#y")])
case("more-trace", dyn=BASIC, steps=[R("TRACE", "/x"), R("TRACE", "/x", h2=True), R("PRI", "/x"), R("SEARCH", "/x", body="q"), R("PROPFIND", "/x", headers={"Depth": "1"}), R("lower", "/x"), R("UNLOCK", "/x", h2=True)])
case("more-bigheaders", dyn=BASIC, steps=[GET("/1", headers={"X-Big": "a" * 50000}), GET("/2", ctl=dict(headers=[["X-Big", "a" * 50000]])), GET("/3", h2=True, headers={"X-Big": "a" * 20000}), GET("/4", h2=True, ctl=dict(headers=[["X-Big", "a" * 20000]])), GET("/5", ctl=dict(headers=[["X-%d" % i, "v"] for i in range(500)]), skip=("headers",)), GET("/6?" + "q" * 20000), GET("/7", headers={"Cookie": "; ".join("c%d=%d" % (i, i) for i in range(300))})])
case("more-bighead-resp", dyn=BASIC, steps=[GET("/1", ctl=dict(raw="HTTP/1.1 200 OK\r\nX: " + "a" * 900000 + "\r\nContent-Length: 2\r\n\r\nok"), skip=("headers",)), GET("/2", ctl=dict(raw="HTTP/1.1 200 OK\r\n" + "".join("X-%d: v\r\n" % i for i in range(2000)) + "Content-Length: 2\r\n\r\nok"), skip=("headers",))])
def ws_raw(c):
    """handshake with frames sent along; frames coalesced with the 101; half close"""
    import time
    from lib import client as C
    out = {}
    s = C.connect(("127.0.0.1", c.port("web")))
    s.sendall(C.build("GET", "/ws", [["Host", "h.test"], ["Connection", "Upgrade"], ["Upgrade", "foo"], ["X-Ctl", '{"upgrade_raw":true}']]) + b"early")
    r = C.Reader(s)
    o = r.response("GET", 3)
    out["st"] = o["status"]
    try:
        while b"early" not in r.buf: r.fill(time.time() + 1)
    except C.Fail as e: out["e"] = e.kind
    out["d"] = r.buf.decode(); r.buf = b""
    s.sendall(b"two"); 
    try:
        r.fill(time.time() + 1)
    except C.Fail as e: out["e2"] = e.kind
    out["d2"] = r.buf.decode()
    import socket
    s.shutdown(socket.SHUT_WR)
    out["closed"] = r.closed_by_peer(1)
    c.drain()
    return out
case("more-upgrade-raw", dyn=BASIC, steps=[CALL(ws_raw)])
def up_coalesced(c):
    from lib import client as C
    import time
    s = C.connect(("127.0.0.1", c.port("web")))
    s.sendall(C.build("GET", "/ws", [["Host", "h.test"], ["Connection", "Upgrade"], ["Upgrade", "foo"], ["X-Ctl", '{"upgrade_raw":false,"raw":"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: FOO\\r\\nX-A: 1\\r\\n\\r\\nhello-after","raw_delay":0.3}']]))
    r = C.Reader(s)
    o = r.response("GET", 3)
    try:
        while True: r.fill(time.time() + 1)
    except C.Fail as e: k = e.kind
    c.drain()
    return {"st": o["status"], "h": sorted([k.lower(), v] for k, v in o["headers"]), "d": r.buf.decode(), "end": "closed" if k in ("eof", "reset") else k}
case("more-upgrade-coalesced", dyn=BASIC, steps=[CALL(up_coalesced)])
def ws_clientgone(c):
    import time, struct, socket
    from lib import client as C
    s = C.connect(("127.0.0.1", c.port("web")))
    w = C.WS(s, "h.test", "/ws")
    w.send(1, b"a"); w.recv()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
    time.sleep(0.4)
    n = len(c.backs["a"].conns)
    c.drain()
    return {"open": n}
case("more-ws-clientgone", dyn=BASIC, steps=[CALL(ws_clientgone)])
def upload_abort(c):
    import time
    from lib import client as C
    s = C.connect(("127.0.0.1", c.port("web")))
    s.sendall(b"POST /up HTTP/1.1\r\nHost: h.test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
    time.sleep(0.3); s.close(); time.sleep(0.4)
    n = len(c.backs["a"].conns)
    o = c.raw_req(dict(op="req", method="GET", path="/after"))
    c.drain()
    return {"open": n, "after": o.get("status")}
case("more-upload-abort", dyn=BASIC, steps=[CALL(upload_abort)])
def download_abort(c):
    import time
    from lib import client as C
    s = C.connect(("127.0.0.1", c.port("web")))
    s.sendall(C.build("GET", "/d", [["Host", "h.test"], ["X-Ctl", '{"sse":{"n":100,"interval":0.05}}']]))
    time.sleep(0.3); s.close(); time.sleep(0.5)
    n = len(c.backs["a"].conns)
    c.drain()
    return {"open": n}
case("more-download-abort", dyn=BASIC, steps=[CALL(download_abort)])
def h2_flow(c):
    """a client that does not read one stream does not stop another"""
    from lib import client as C
    import time
    s = C.connect(("127.0.0.1", c.port("web")))
    h = C.H2Conn(s)
    mk = lambda p, ctl: [(":method", "GET"), (":scheme", "http"), (":path", p), (":authority", "h.test"), ("x-ctl", ctl)]
    a = h.start(mk("/big", '{"body_size":1000000}')); b = h.start(mk("/small", '{}'))
    ob = h.finish(b); oa = h.finish(a, 10)
    s.close(); c.drain()
    return {"b": ob.get("status"), "a": (oa.get("status"), len(oa["body"]))}
case("more-h2-flow", dyn=BASIC, steps=[CALL(h2_flow)])
def h2_bad(c):
    """broken frames: how the connection ends"""
    import socket, time
    from lib import client as C
    out = {}
    PRE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    SET = b"\0\0\0\4\0\0\0\0\0"
    for n, d in (("no-settings", PRE + b"\0\0\0\x06\0\0\0\0\0"), ("data-on-0", PRE + SET + b"\0\0\1\0\0\0\0\0\0x"), ("data-on-idle", PRE + SET + b"\0\0\1\0\0\0\0\0\1x"), ("even-stream", PRE + SET + b"\0\0\1\1\5\0\0\0\2\x82"), ("huge-frame", PRE + SET + b"\xff\xff\xff\0\0\0\0\0\1"), ("bad-ping", PRE + SET + b"\0\0\1\6\0\0\0\0\0x"), ("rst-idle", PRE + SET + b"\0\0\4\3\0\0\0\0\1\0\0\0\0"), ("wu-zero", PRE + SET + b"\0\0\4\10\0\0\0\0\0\0\0\0\0"), ("bad-hpack", PRE + SET + b"\0\0\1\1\5\0\0\0\1\xff"), ("push", PRE + SET + b"\0\0\4\5\4\0\0\0\1\0\0\0\2"), ("cont-alone", PRE + SET + b"\0\0\0\x09\4\0\0\0\1")):
        s = C.connect(("127.0.0.1", c.port("web")))
        s.sendall(d)
        buf = b""; s.settimeout(1.5); end = "timeout"
        try:
            while True:
                x = s.recv(65536)
                if not x: end = "closed"; break
                buf += x
        except socket.timeout: pass
        except OSError: end = "closed"
        frames = []
        while len(buf) >= 9:
            l = int.from_bytes(buf[:3], "big"); frames.append((buf[3], buf[9:9 + l])); buf = buf[9 + l:]
        out[n] = {"end": end, "goaway": [int.from_bytes(p[4:8], "big") for t, p in frames if t == 7][-1:]}
        s.close()
    c.drain()
    return out
case("more-h2-bad", weight=2, dyn=BASIC, steps=[CALL(h2_bad)])
case("more-host", dyn=http("""
a: {rule: "Host(`h.test`)", service: a}
"""), steps=[GET("/", host="H.TEST"), GET("/", host="h.test:1234"), GET("/", host="h.test."), GET("/", host="h.test.:80"), GET("/", host="x.h.test"), GET("/", host="H.tEsT", h2=True), GET("/", host="h.test:", h2=False), GET("/", host=None, version="HTTP/1.0")])
case("more-resp-headers", dyn=BASIC, steps=[GET("/1", ctl=dict(headers=[["Date", "Mon, 02 Jan 2006 15:04:05 GMT"]], nodefault=True)), GET("/2", ctl=dict(nodefault=True)), GET("/3", ctl=dict(headers=[["Location", "http://x/"]], status=302)), GET("/4", ctl=dict(status=401, headers=[["WWW-Authenticate", "Basic"], ["WWW-Authenticate", "Bearer"]])), GET("/5", ctl=dict(headers=[["X-Utf", "\u00e9"]])), GET("/6", ctl=dict(headers=[["Content-Length", "6"]], framing="close")), GET("/7", ctl=dict(headers=[["Content-Type", ""]], nodefault=True)), GET("/8", ctl=dict(headers=[["Via", "1.1 a"], ["Age", "5"]]))], )
case("more-slow", weight=2, dyn=BASIC, steps=[GET("/1", slow=(8, 0.05)), POST("/2", "x" * 500, slow=(10, 0.05)), POST("/3", "y" * 300, chunked=True, chunksize=30, slow=(20, 0.03)), POST("/4", body_size=50000, ctl=dict(slow_read=0.5)), GET("/5", ctl=dict(delay=0.5), t=(0.4, 1.5))])
case("more-many-conns", dyn=BASIC, steps=[PAR([dict(op="req", method="GET", path="/%d" % i, ctl=dict(delay=0.2)) for i in range(30)], unordered=True), PAR([dict(op="req", method="POST", path="/%d" % i, body="x" * 2000, chunked=i % 2 == 0) for i in range(30)], unordered=True)])
case("more-keepalive-close", dyn=BASIC, steps=[GET("/1", headers={"Connection": "close"}, close_check=True), GET("/2", headers={"Connection": "Close"}, close_check=True), GET("/3", headers={"Connection": "keep-alive, close"}, close_check=True), GET("/4", version="HTTP/1.0", headers={"Connection": "Keep-Alive"}, close_check=True), GET("/5", version="HTTP/1.0", close_check=True), GET("/6", version="HTTP/1.0", headers={"Connection": "keep-alive"}, ctl=dict(framing="close"), close_check=True), HEAD("/7", version="HTTP/1.0", headers={"Connection": "keep-alive"}, close_check=True), GET("/8", version="HTTP/1.0", headers={"Connection": "keep-alive"}, ctl=dict(status=204), close_check=True), POST("/9", "abc", version="HTTP/1.0", headers={"Connection": "keep-alive"}, close_check=True)])
case("more-h1-upstream-close", dyn=BASIC, steps=[GET("/1", ctl=dict(connclose=True), conn="k"), GET("/2", conn="k"), GET("/3", ctl=dict(raw="HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), conn="k"), GET("/4", conn="k"), GET("/5", ctl=dict(close=True), conn="k"), SLEEP(0.1), POST("/6", "abc", conn="k"), GET("/7", ctl=dict(raw="HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", raw_keep=True), conn="k"), GET("/8", conn="k")])
case("more-semicolon", dyn=http("""
q: {rule: "Query(`b`, `2`)", service: b}
r: {rule: "PathPrefix(`/`)", service: a}
""", names="a b"), backends="a b", steps=[GET("/?a=1;b=2"), GET("/?a=1&b=2"), GET("/?b=2;"), GET("/x;b=2?q")])
