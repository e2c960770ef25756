import base64
from lib.dsl import *
from lib.cases_common import mws
area("middlewares")

B = lambda b, **k: dict(ct="", body_b64=base64.b64encode(b).decode(), **k)
BODIES = [b"<html>", b"  \r\n\t\x0c<!doctype HTML ", b"<html", b"<htmlx>", b"<HEAD>", b"<script ", b"<iframe>", b"<h1>", b"<h2>", b"<div>", b"<font>", b"<table>", b"<a>", b"<abbr>", b"<style>", b"<title>", b"<b>", b"<body>", b"<br>", b"<br/>", b"<p>", b"<!-- ", b"<!--x", b"<span>",
          b"<?xml version=\"1.0\"?>", b" <?xml", b"<?XML", b"{\"a\":1}", b"[1,2]", b"plain", b"caf\xc3\xa9", b"\xff\xfe\x00\x41", b"\xfe\xff\x00\x41", b"\xfe\xff\x00", b"\xef\xbb\xbfabc", b"\xef\xbb\xbf",
          b"%PDF-1.4", b" %PDF-1.4", b"%!PS-Adobe-3.0", b"\x00\x00\x01\x00", b"\x00\x00\x02\x00", b"BM", b"B", b"GIF87a", b"GIF89a", b"GIF90a", b"RIFFxxxxWEBPVP8", b"RIFFxxxxWEBP", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd8",
          b"FORMxxxxAIFF", b"ID3", b".snd", b"OggS\x00", b"MThd\x00\x00\x00\x06", b"RIFFxxxxAVI ", b"RIFFxxxxWAVE", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom", b"\x00\x00\x00\x0cftypmp42", b"\x00\x00\x00\x10ftypisommp42", b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00mp42", b"\x00\x00\x00\x19ftypmp42\x00\x00\x00\x00isomx", b"\x1a\x45\xdf\xa3",
          b"\x00" * 34 + b"LP", b"\x00\x01\x00\x00", b"OTTO", b"ttcf", b"wOFF", b"wOF2", b"\x1f\x8b\x08", b"\x1f\x8b", b"PK\x03\x04", b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00", b"Rar \x1a\x07\x00", b"\x00asm", b"7z\xbc\xaf\x27\x1c", b"\x00", b"\x0b", b"\x0c", b"\x1b[0m", b"\x1f", b"a" * 511 + b"\x00", b"a" * 512 + b"\x00", b" " * 600 + b"<html>", b" " * 500 + b"<html>", b" " * 507 + b"<html>", b"\x7f", b"\x80\x81"]
ON = mws(on={"contentType": {"autoDetect": True}}, off={"contentType": {"autoDetect": False}})
case("ctt-kinds", dyn=ON, steps=[GET("/x", host="on.test", ctl=B(b)) for b in BODIES])
case("ctt-off", dyn=ON, steps=[GET("/x", host="off.test", ctl=B(b)) for b in BODIES[:5]] + [HEAD("/x", host="off.test", ctl=B(b"<html>"))])
case("ctt-answers", dyn=ON, steps=[m("/x", host="on.test", ctl=c) for c in (B(b"<html>"), B(b""), B(b"<html>", status=404), B(b"<html>", status=500), B(b"", status=204), B(b"", status=304), B(b"<html>", headers=[["Content-Type", "x/y"]]), B(b"<html>", headers=[["Content-Type", ""]]), B(b"<html>", headers=[["Content-Encoding", "br"]]), B(b"<html>", headers=[["Content-Encoding", ""]]), B(b"<html>", headers=[["X-Content-Type-Options", "nosniff"]]),
    B(b"<html>", framing="chunked"), B(b"", framing="chunked"), dict(ct="", chunks=[[0.2, "<html>"], [0.2, "x"]]), dict(ct="", body_size=100000), dict(ct="", gzip=True, body="<html>" + "x" * 500), B(b"<html>", trailers=[["X-T", "1"]]), B(b"<html>", interim=[[103, [["Link", "</x>"]]]]), B(b"<html>", abort="mid")) for m in (GET, HEAD, POST)])
case("ctt-h10", dyn=ON, steps=[RAW('GET / HTTP/1.0\nHost: on.test\nX-Ctl: {"ct": "", "body": "<html>"}\n\n'), RAW('GET / HTTP/1.1\nHost: on.test\nConnection: close\nX-Ctl: {"ct": "", "body": "<html>", "framing": "chunked"}\n\n')])
case("ctt-h2", dyn=ON, static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, websecure: {address: "127.0.0.1:${PORT_websecure}", http: {tls: {}}}}', steps=[m("/x", host="on.test", ep="websecure", tls={"sni": "on.test"}, h2=True, ctl=c) for c in (B(b"<html>"), B(b""), B(b"<html>", framing="chunked"), B(b"<html>", headers=[["Content-Encoding", "br"]]), B(b"", status=204)) for m in (GET, HEAD)])
case("ctt-order", dyn=http("""
r0: {rule: "Host(`r0.test`)", service: a, middlewares: [hd, ct]}
r1: {rule: "Host(`r1.test`)", service: a, middlewares: [ct, hd]}
r2: {rule: "Host(`r2.test`)", service: dead, middlewares: [ct]}
r3: {rule: "Host(`r3.test`)", service: none, middlewares: [ct]}
r4: {rule: "Host(`r4.test`)", service: a, middlewares: [ct, auth]}
r5: {rule: "Host(`r5.test`)", service: a, middlewares: [auth, ct]}
r6: {rule: "Host(`r6.test`)", service: a, middlewares: [ct, ct]}
r7: {rule: "Host(`r7.test`)", service: a, middlewares: [chain]}
""", services="""
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
none: {loadBalancer: {servers: []}}
""", middlewares="""
ct: {contentType: {autoDetect: true}}
chain: {chain: {middlewares: [ct]}}
hd: {headers: {customResponseHeaders: {Content-Type: "c/t"}}}
auth: {basicAuth: {users: ["sha:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]}}
"""), steps=[GET("/x", host=f"r{i}.test", ctl=B(b"<html>")) for i in range(8)] + [WS("/ws", ["hi"], host="r6.test")])
case("ctt-api", dyn=mws(m0={"contentType": {"autoDetect": True}}, m1={"contentType": {"autoDetect": False}}).replace("  services:", "    m2: {contentType: {}}\n    m3: {contentType: true}\n  services:", 1), steps=[API(f"/api/http/middlewares/m{i}@file") for i in range(4)], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
