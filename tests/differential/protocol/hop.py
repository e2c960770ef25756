from lib.dsl import *
BASIC = http("""
r: {rule: "PathPrefix(`/`)", service: a}
""")
H = "Host: h.test\n"
case("hop-request", dyn=BASIC, steps=[
  GET("/1", headers=[["Connection", "X-A, X-B"], ["X-A", "1"], ["X-B", "2"], ["X-C", "3"]]),
  GET("/2", headers=[["Connection", "close, X-A"], ["X-A", "1"]], close_check=True),
  GET("/3", headers=[["Keep-Alive", "timeout=5"], ["Proxy-Connection", "keep-alive"], ["Proxy-Authorization", "Basic x"], ["Proxy-Authenticate", "y"], ["Trailer", "X"], ["Te", "gzip"]]),
  GET("/4", headers={"TE": "trailers"}), GET("/5", headers={"TE": "trailers, deflate"}), GET("/6", headers=[["TE", "deflate"], ["TE", "trailers"]]), GET("/7", headers={"TE": "Trailers;q=0.5"}), GET("/7b", headers={"TE": "TRAILERS"}),
  GET("/8", headers=[["Connection", "TE"], ["TE", "trailers"]]), GET("/9", headers=[["Connection", "Host, User-Agent, Accept"], ["Accept", "x"]]),
  GET("/10", headers=[["Connection", "X-Forwarded-For, X-Real-Ip, X-Forwarded-Host, X-Forwarded-Proto"], ["X-Forwarded-For", "9.9.9.9"]]),
  GET("/11", headers=[["Connection", "keep-alive"], ["Upgrade", "foo"]]), GET("/12", headers=[["Upgrade", "foo"]]), GET("/13", headers=[["Connection", "Content-Length"], ["X", "1"]]),
  POST("/14", "abc", headers=[["Connection", "Content-Length"]]), POST("/15", "abc", chunked=True, headers=[["Connection", "Transfer-Encoding"]]), GET("/16", headers=[["Connection", "Cookie"], ["Cookie", "a=b"]]),
  GET("/17", headers=[["Connection", ""], ["Connection", "x-a"], ["X-A", "1"]]), GET("/18", headers={"Connection": "x a, @, x-c", "X-C": "1"}), GET("/19", headers=[["HTTP2-Settings", "AAA"], ["Connection", "HTTP2-Settings"]]),
])
case("hop-response", dyn=BASIC, steps=[
  GET("/1", ctl=dict(headers=[["Connection", "X-A"], ["X-A", "1"], ["X-B", "2"]])), GET("/2", ctl=dict(headers=[["Keep-Alive", "timeout=5"], ["Proxy-Authenticate", "Basic"], ["Proxy-Connection", "x"], ["Te", "x"], ["Upgrade", "h2c"], ["Proxy-Authorization", "q"]])),
  GET("/3", ctl=dict(headers=[["Connection", "close"]], connclose=True)), GET("/4", ctl=dict(headers=[["Trailer", "X-T"]])), GET("/5", ctl=dict(headers=[["Connection", "keep-alive"]])),
  GET("/6", ctl=dict(headers=[["Server", "foo"], ["Via", "1.1 x"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X-M", "1"], ["X-M", "2"]])), GET("/7", ctl=dict(headers=[["Upgrade", "h2"], ["Connection", "Upgrade"]])),
  GET("/8", ctl=dict(status=407, headers=[["Proxy-Authenticate", "Basic"]])), GET("/9", ctl=dict(headers=[["Transfer-Encoding", "identity"]], framing="close")),
  GET("/10", ctl=dict(headers=[["X-Empty", ""]])), GET("/11", ctl=dict(headers=[["Alt-Svc", "h3=:1"], ["X-Forwarded-For", "1"], ["Connection", "Content-Type"]])),
])
case("hop-names", dyn=BASIC, steps=[GET("/", case_names=True, headers=[["x-lower", "1"], ["X-UPPER", "2"], ["x-mIxEd-cAsE", "3"], ["X_under", "4"], ["x.dot", "5"], ["ETag", "6"], ["DNT", "1"], ["www-authenticate", "x"], ["x--y", "1"]], ctl=dict(headers=[["x-low-resp", "1"], ["X-UP", "2"], ["ETAG", "3"], ["www-authenticate", "Basic"], ["x_u_n", "1"]]))])
case("hop-ae", dyn=BASIC, steps=[
  GET("/none", cmp_ae=True), GET("/id", cmp_ae=True, headers={"Accept-Encoding": "identity"}), GET("/empty", cmp_ae=True, headers={"Accept-Encoding": ""}), GET("/br", cmp_ae=True, headers={"Accept-Encoding": "br"}), GET("/range", cmp_ae=True, headers={"Range": "bytes=0-1"}), HEAD("/head", cmp_ae=True), POST("/post", "x", cmp_ae=True), OPTIONS("/opt", cmp_ae=True), WS("/ws", ["x"], cmp_ae=True),
  GET("/gz", cmp_ae=True, ctl=dict(gzip=True, body_size=2000)), GET("/gz2", cmp_ae=True, headers={"Accept-Encoding": "gzip"}, ctl=dict(gzip=True, body_size=2000)), GET("/gzch", ctl=dict(gzip=True, body_size=2000, framing="chunked")), GET("/gzclose", ctl=dict(gzip=True, body_size=2000, framing="close")), GET("/gz204", ctl=dict(gzip=True, status=204)), GET("/gz304", ctl=dict(gzip=True, status=304)), HEAD("/gzh", ctl=dict(gzip=True)),
  GET("/gzbr", ctl=dict(headers=[["Content-Encoding", "br"]], body="notbr")), GET("/gzbad", ctl=dict(headers=[["Content-Encoding", "gzip"]], body="notgzip")), GET("/gzempty", ctl=dict(headers=[["Content-Encoding", "gzip"]], body="")), GET("/gzGZIP", ctl=dict(headers=[["Content-Encoding", "GZIP"]], body_b64="H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==")), GET("/gzmulti", ctl=dict(headers=[["Content-Encoding", "gzip, gzip"]], body="zz")), GET("/gz404", ctl=dict(gzip=True, status=404)), GET("/gzvary", ctl=dict(gzip=True, headers=[["Vary", "Accept-Encoding"], ["ETag", '"x"']])), GET("/gztr", ctl=dict(gzip=True, trailers=[["X-T", "1"]])), GET("/h2", h2=True, cmp_ae=True, ctl=dict(gzip=True, body_size=3000)), GET("/gz206", headers={"Range": "bytes=0-5"}, ctl=dict(gzip=True, status=206)),
])
case("hop-upgrade", dyn=BASIC, steps=[
  RAW("GET /u HTTP/1.1\nHost: h.test\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n"), RAW("GET /u2 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: foo/1\nX-Ctl: {\"upgrade_raw\":true}\n\n", after="ping", only_resp=("status", "headers")),
  RAW("GET /u3 HTTP/1.1\nHost: h.test\nConnection: upgrade, keep-alive\nUpgrade: foo\n\n"), RAW("GET /u4 HTTP/1.1\nHost: h.test\nConnection: keep-alive\nUpgrade: websocket\n\n"), RAW("GET /u5 HTTP/1.1\nHost: h.test\nConnection: Upgrade\n\n"), RAW("GET /u6 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: h2c, foo\n\n"), RAW("GET /u7 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: foo\nUpgrade: bar\n\n"),
  RAW("POST /u8 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: foo\nContent-Length: 3\n\nabc"), RAW("GET /u9 HTTP/1.0\nHost: h.test\nConnection: Upgrade\nUpgrade: foo\nX-Ctl: {\"upgrade_raw\":true}\n\n", after="ping", only_resp=("status", "headers")), RAW("GET /u10 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: H2C\n\n"), RAW("GET /u11 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: caf\xe9\n\n"),
  RAW("GET /u12 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: foo\nX-Ctl: {\"raw\":\"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: bar\\r\\n\\r\\n\"}\n\n", only_resp=("status", "headers", "body")),
  RAW("GET /u13 HTTP/1.1\nHost: h.test\nX-Ctl: {\"raw\":\"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: bar\\r\\n\\r\\n\"}\n\n", only_resp=("status", "headers", "body")),
  RAW("GET /u14 HTTP/1.1\nHost: h.test\nConnection: Upgrade\nUpgrade: foo\nX-Ctl: {\"status\":403,\"noupgrade\":true}\n\n"),
])
case("hop-ws", dyn=BASIC, steps=[
  WS("/ws", ["hi", "x" * 200, (2, "bin"), (9, "ping"), "x" * 70000, (8, b"\x03\xe8")], case_names=True), WS("/wsp", ["a"], proto="chat, superchat"), WS("/ws3", ["a"], headers=[["Connection", "keep-alive, Upgrade"]]), WS("/ws4", ["a"], headers=[["Upgrade", "WebSocket"]]), WS("/ws5", [], ctl=dict(noupgrade=True, status=403)), WS("/ws6", [], ctl=dict(abort="before")), WS("/ws7", ["a", "close:1001"]), WS("/ws8", ["a", "abort"]), WS("/ws9?q=a;b", ["a"], headers=[["Cookie", "a=b"], ["Origin", "http://x.test"], ["Sec-WebSocket-Extensions", "permessage-deflate"], ["Authorization", "Bearer x"]], case_names=True), WS("/ws10", ["a"], headers=[["X-Forwarded-Proto", "https"]]), WS("/ws11", ["a"], ctl=dict(headers=[["X-Resp", "1"], ["Set-Cookie", "a=b"]])),
])
