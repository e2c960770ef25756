import json
from lib.dsl import *
from lib.cases_common import mws
area("middlewares")

# The server that is asked: what it answers depends on the path, and nobody's X-Ctl changes that.
ASKED = {"auth": dict(noctl=True, routes={
    "/ok": dict(headers=[["X-User", "alice"], ["X-Roles", "a"], ["X-Roles", "b"], ["X-Empty", ""], ["Set-Cookie", "s=auth; Path=/"], ["Set-Cookie", "other=1"]]),
    "/201": dict(status=201), "/204": dict(status=204), "/299": dict(status=299), "/300": dict(status=300), "/304": dict(status=304),
    "/302rel": dict(status=302, headers=[["Location", "login?x=1"]]), "/302abs": dict(status=302, headers=[["Location", "http://login.test/a"]]),
    "/302root": dict(status=302, headers=[["Location", "/login"]]), "/302net": dict(status=302, headers=[["Location", "//other.test/x"]]),
    "/302bad": dict(status=302, headers=[["Location", "http://a b/%zz"]]), "/302none": dict(status=302), "/302empty": dict(status=302, headers=[["Location", ""]]),
    "/302frag": dict(status=302, headers=[["Location", "../up/./x#f"]]), "/401loc": dict(status=401, headers=[["Location", "/ignored"]]),
    "/401": dict(status=401, headers=[["WWW-Authenticate", "Basic realm=\"x\""], ["X-Multi", "1"], ["X-Multi", "2"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]], body="denied"),
    "/403hop": dict(status=403, headers=[["Connection", "X-Gone, keep-alive"], ["X-Gone", "1"], ["Keep-Alive", "timeout=5"], ["Proxy-Authenticate", "Basic"], ["Upgrade", "foo"], ["X-Stays", "1"], ["Te", "trailers"]], body="no"),
    "/407": dict(status=407, headers=[["Proxy-Authenticate", "Basic"]], body="p"),
    "/401chunked": dict(status=401, chunks=[[0, "one"], [0.05, "two"]]), "/401gzip": dict(status=401, gzip=True, body="zipped " * 40), "/401head": dict(status=401, body="x" * 50),
    "/401trailers": dict(status=401, trailers=[["X-T", "1"]], body="t"), "/401ct": dict(status=401, ct="", body="<html>untyped</html>"), "/401len0": dict(status=401, body=""),
    "/500": dict(status=500, body="boom"), "/503": dict(status=503, body="later"), "/418": dict(status=418),
    "/big": dict(status=200, body_size=2000), "/big401": dict(status=401, body_size=2000), "/bigchunked": dict(status=200, body_size=2000, framing="chunked"),
    "/abort": dict(abort="before"), "/rst": dict(abort="rst"), "/mid": dict(status=200, abort="mid", body_size=100), "/mid401": dict(status=401, abort="mid", body_size=100), "/raw": dict(raw="garbage\r\n\r\n"),
    "/interim": dict(interim=[[103, [["Link", "</x>"]]]]), "/close": dict(framing="close"), "/connclose": dict(connclose=True),
    "/date": dict(nodefault=True), "/101": dict(upgrade_raw=True),
})}
BOTH = dict(a={}, **ASKED)
A = "http://${BACKEND_auth}"
FA = lambda path, **k: {"forwardAuth": dict(address=A + path, **k)}
NAMES = lambda *paths, **k: {f"m{i}": FA(p, **k) for i, p in enumerate(paths)}
HOSTS = lambda n: [f"m{i}.test" for i in range(n)]


def fa(name, mw, steps, backends=BOTH, **k):
    case("fa-" + name, dyn=mws(**mw), backends=backends, steps=steps, **k)


PATHS = ["/ok", "/201", "/204", "/299", "/300", "/304", "/401", "/500", "/503", "/418"]
fa("status", NAMES(*PATHS), [GET("/x?y=1", host=h) for h in HOSTS(len(PATHS))])
fa("methods", NAMES("/ok", "/401"), [R(m, "/x", host=h, **({"body": "body"} if m in ("POST", "PUT", "PATCH", "DELETE") else {})) for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND") for h in HOSTS(2)])
fa("preserve-method", NAMES("/ok", "/401", preserveRequestMethod=True), [R(m, "/x", host=h, **({"body": "body"} if m in ("POST", "PUT", "PATCH", "DELETE") else {})) for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND") for h in HOSTS(2)])
RED = ["/302rel", "/302abs", "/302root", "/302net", "/302bad", "/302none", "/302empty", "/302frag", "/401loc"]
fa("location", NAMES(*RED), [GET("/x", host=h) for h in HOSTS(len(RED))])
fa("location-preserved", NAMES(*RED, preserveLocationHeader=True), [GET("/x", host=h) for h in HOSTS(len(RED))])
ANS = ["/403hop", "/407", "/401chunked", "/401gzip", "/401head", "/401trailers", "/401ct", "/401len0", "/interim", "/close", "/connclose", "/date"]
fa("answers", NAMES(*ANS), [m("/x", host=h) for h in HOSTS(len(ANS)) for m in (GET, HEAD)])
fa("answers-h10", NAMES("/401", "/ok"), [RAW(f"GET / HTTP/1.0\nHost: {h}\n\n") for h in HOSTS(2)])
fa("gzip-wanted", NAMES("/401gzip", "/ok"), [GET("/x", host=h, headers=hh) for h in HOSTS(2) for hh in ({"Accept-Encoding": "gzip"}, {"Accept-Encoding": "br"}, {"Accept-Encoding": ""}, {"Range": "bytes=0-1"})], cmp_ae=True)
BAD = ["/abort", "/rst", "/mid", "/mid401", "/raw"]
fa("broken", NAMES(*BAD), [m("/x", host=h) for h in HOSTS(len(BAD)) for m in (GET, POST)])
fa("unreachable", dict(m0={"forwardAuth": {"address": "http://${DEAD_x}/"}}, m2={"forwardAuth": {"address": "http://nowhere.invalid/"}}, m3={"forwardAuth": {"address": "ftp://${BACKEND_auth}/"}}, m4={"forwardAuth": {"address": "${BACKEND_auth}"}}, m5={"forwardAuth": {"address": "/path"}}, m6={"forwardAuth": {"address": "h2c://${BACKEND_auth}/ok"}}),
   [GET("/x", host=h) for h in ("m0.test", "m2.test", "m3.test", "m4.test", "m5.test", "m6.test")])
fa("bad-config", dict(m0={"forwardAuth": {"address": "", "headerField": "x"}}, m1={"forwardAuth": {"address": ""}}, m2={"forwardAuth": {"address": "http://[::1"}}, m3={"forwardAuth": {"address": A + "/ok", "authResponseHeadersRegex": "("}},
    m4={"forwardAuth": {"address": A + "/ok", "tls": {"ca": "/nope.crt"}}}, m5={"forwardAuth": {"address": A + "/ok", "tls": {"cert": "/nope.crt"}}}, m6={"forwardAuth": {"address": A + "/ok", "maxBodySize": -5, "forwardBody": True}},
    m7={"forwardAuth": {"address": A + "/ok", "tls": {"insecureSkipVerify": False}}}, m8={"forwardAuth": {"address": A + "/ok", "tls": {"ca": "garbage"}}}, m9={"forwardAuth": {"address": "http://u:p@${BACKEND_auth}/ok"}}, m10={"forwardAuth": {"address": A + "/ok", "authSigninURL": "http://[::1"}}, m11={"forwardAuth": {"address": A + "/%zz"}}, m12={"forwardAuth": {"address": A + "/ok", "maxResponseBodySize": -2}}),
   [GET("/x", host=f"m{i}.test") for i in range(13)] + [API(f"/api/http/middlewares/m{i}@file") for i in (0, 1, 2, 6, 7, 9, 10, 11, 12)], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")

XF = {"X-Forwarded-For": "1.2.3.4, 5.6.7.8", "X-Forwarded-Method": "PURGE", "X-Forwarded-Proto": "wss", "X-Forwarded-Port": "4443", "X-Forwarded-Host": "evil.test:99", "X-Forwarded-Uri": "/secret?z", "X-Forwarded-Server": "srv", "X-Forwarded-Prefix": "/pre", "X-Forwarded-Tls-Client-Cert": "cert", "X-Forwarded-Tls-Client-Cert-Info": "info", "X-Real-Ip": "9.9.9.9", "X-Forwarded-Other": "o", "Forwarded": "for=1.1.1.1", "X-Original-Url": "/o"}
TRUST = 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}", forwardedHeaders: {insecure: true}}}'
TR3 = dict(m0=FA("/ok"), m1=FA("/ok", trustForwardHeader=False), m2=FA("/ok", trustForwardHeader=True))
REQS = lambda h: [GET("/p%2Fa/th?q=1&r;s", host=h), GET("/x?", host=h, headers=XF), POST("/x", "abc", host=h + ":8443", headers=XF), GET("/", host=h, headers={"X-Forwarded-For": "", "X-Forwarded-Host": "", "X-Forwarded-Port": "", "X-Forwarded-Proto": "", "X-Forwarded-Uri": "", "X-Forwarded-Method": ""}),
    GET("/", host=h, headers=[["X-Forwarded-For", "1.1.1.1"], ["X-Forwarded-For", "2.2.2.2"], ["X-Forwarded-Method", "A"], ["X-Forwarded-Method", "B"], ["X-Forwarded-Host", "a"], ["X-Forwarded-Host", "b"]])]
fa("forwarded", TR3, [x for h in HOSTS(3) for x in REQS(h)])
fa("forwarded-trusted", TR3, [x for h in HOSTS(3) for x in REQS(h)], static=TRUST)
fa("request-headers", dict(m0=FA("/ok", authRequestHeaders=["Accept", "x-custom"]), m1=FA("/ok", authRequestHeaders=[]), m2=FA("/ok", authRequestHeaders=["X-Forwarded-Prefix", "X-Forwarded-For", "Cookie", "Host", "Content-Length"]), m3=FA("/ok", authRequestHeaders=["nothing"]), m4=FA("/ok", authRequestHeaders=["X-Forwarded-Server", "X-Forwarded-Port"], trustForwardHeader=True), m5=FA("/ok", authRequestHeaders=["X-Forwarded-Server", "X-Forwarded-Port"], trustForwardHeader=False)),
   [GET("/x", host=h, headers=[["Accept", "a"], ["X-Custom", "1"], ["X-Custom", "2"], ["Cookie", "a=b"], ["User-Agent", "ua"], ["X-Forwarded-Prefix", "/p"], ["X-Forwarded-Server", "s"]]) for h in HOSTS(6)], static=TRUST)
HOPS = [["Connection", "X-Mine, close"], ["X-Mine", "1"], ["Keep-Alive", "5"], ["Proxy-Authorization", "p"], ["Proxy-Authenticate", "q"], ["Te", "trailers"], ["Trailer", "X-T"], ["Upgrade", "foo"], ["Transfer-Encoding-X", "1"], ["Expect", ""], ["X-Keep", "1"], ["Authorization", "Bearer t"], ["Accept-Encoding", "identity"], ["Content-Type", "x/y"]]
fa("hop-by-hop", dict(m0=FA("/ok"), m1=FA("/ok", authRequestHeaders=["Te", "Connection", "X-Mine"])), [GET("/x", host=h, headers=HOPS) for h in HOSTS(2)], cmp_ae=True)
RH = dict(headers=[["X-User", "mallory"], ["X-Roles", "root"], ["X-Empty", "full"], ["X-Other", "mine"], ["X-Gone", "g"]])
fa("response-headers", dict(m0=FA("/ok", authResponseHeaders=["X-User", "x-roles", "X-Empty", "X-Gone", "Set-Cookie"]), m1=FA("/ok", authResponseHeadersRegex="^X-"), m2=FA("/ok", authResponseHeadersRegex="x-"), m3=FA("/ok", authResponseHeaders=["X-User"], authResponseHeadersRegex="^X-(Roles|Gone)$"), m4=FA("/ok", authResponseHeaders=["Host", "Content-Length", "Date", "X-Backend", "Content-Type"]), m5=FA("/ok", authResponseHeadersRegex="(?i)^x-u"), m6=FA("/ok", authResponseHeadersRegex=""), m7=FA("/ok", authResponseHeaders=["X-Forwarded-For"]), m8=FA("/ok", authResponseHeadersRegex=".*")),
   [GET("/x", host=h, headers=[["X-User", "mallory"], ["X-Roles", "root"], ["X-Empty", "full"], ["X-Other", "mine"], ["X-Gone", "g"], ["X-User", "two"]]) for h in HOSTS(9)])
CK = [["Set-Cookie", "s=backend"], ["Set-Cookie", "mine=2; HttpOnly"], ["Set-Cookie", "s=again"]]
fa("cookies", dict(m0=FA("/ok", addAuthCookiesToResponse=["s"]), m1=FA("/ok", addAuthCookiesToResponse=["s", "other"]), m2=FA("/ok", addAuthCookiesToResponse=["nothere"]), m3=FA("/ok", addAuthCookiesToResponse=["S"]), m4=FA("/ok", addAuthCookiesToResponse=["mine"]), m5=FA("/401", addAuthCookiesToResponse=["a"]), m6=FA("/ok", addAuthCookiesToResponse=["*"])),
   [GET("/x", host=h, ctl=c) for h in HOSTS(7) for c in (dict(headers=CK), dict(), dict(status=500, headers=CK))])
BODY = dict(m0=FA("/ok", forwardBody=True), m1=FA("/ok", forwardBody=True, maxBodySize=5), m2=FA("/ok", forwardBody=True, maxBodySize=0), m3=FA("/ok", forwardBody=True, maxBodySize=-1), m4=FA("/ok", forwardBody=False, maxBodySize=5), m5=FA("/ok", forwardBody=True, preserveRequestMethod=True), m6=FA("/401", forwardBody=True))
fa("body", BODY, [r for h in HOSTS(7) for r in (POST("/x", "12345", host=h), POST("/x", "123456", host=h), GET("/x", host=h), POST("/x", "", host=h), POST("/x", "1234567", host=h, chunked=True), PUT("/x", "a" * 100000, host=h))])
fa("body-raw", BODY, [RAW(f"POST / HTTP/1.1\nHost: {h}\nTransfer-Encoding: chunked\nTrailer: X-T\n\n3\nabc\n0\nX-T: 1\n\n") for h in HOSTS(7)] + [RAW(f"POST / HTTP/1.1\nHost: {h}\nContent-Length: 5\nExpect: 100-continue\n\n12345") for h in HOSTS(7) if h != "m2.test"] + [RAW(f"POST / HTTP/1.1\nHost: {h}\nTransfer-Encoding: chunked\n\nzz\nabc") for h in HOSTS(7) if h != "m4.test"])
LIM = ["/big", "/big401", "/bigchunked", "/ok", "/401"]
fa("response-limit", dict({f"m{i}": FA(p, maxResponseBodySize=n) for i, (p, n) in enumerate((p, n) for p in LIM for n in (100, 2000, 0, -1, 1999))}), [GET("/x", host=f"m{i}.test") for i in range(25)])
fa("signin", dict(m0=FA("/401", authSigninURL="https://login.test/start?rd=1"), m1=FA("/403hop", authSigninURL="https://login.test/"), m2=FA("/ok", authSigninURL="https://login.test/"), m3=FA("/401", authSigninURL="/relative"), m4=FA("/401", authSigninURL=""), m5=FA("/401loc", authSigninURL="https://login.test/"), m6=FA("/big401", authSigninURL="https://login.test/", maxResponseBodySize=10), m7=FA("/401", authSigninURL="login#frag é"), m8=FA("/401", authSigninURL="https://login.test/", addAuthCookiesToResponse=["a"])),
   [m("/x?y=1", host=h) for h in HOSTS(9) for m in (GET, POST, HEAD)])
fa("user-field", dict(m0=FA("/ok", headerField="X-User"), m1=FA("/ok", headerField="x-user", authResponseHeaders=["X-User"]), m2=FA("/401", headerField="X-User")), [GET("/x", host=h) for h in HOSTS(3)])
fa("address", dict(m0={"forwardAuth": {"address": "http://${BACKEND_auth}"}}, m1={"forwardAuth": {"address": "http://${BACKEND_auth}?a=b;c"}}, m2={"forwardAuth": {"address": "http://${BACKEND_auth}/ok/a%2Fb/../c?x=%2F&y"}}, m3={"forwardAuth": {"address": "HTTP://${BACKEND_auth}/ok#frag"}}, m4={"forwardAuth": {"address": "http://user:pass@${BACKEND_auth}/ok"}}, m5={"forwardAuth": {"address": "http://${BACKEND_auth}/é x"}}, m6={"forwardAuth": {"address": "http://localhost:${BPORT_auth}/ok"}}),
   [GET("/x", host=h, headers=hh) for h in HOSTS(7) for hh in ({}, {"Authorization": "Bearer mine"})])
fa("websocket", dict(m0=FA("/ok"), m1=FA("/401"), m2=FA("/ok", trustForwardHeader=False), m3=FA("/ok", trustForwardHeader=True), m4=FA("/ok", preserveRequestMethod=True, forwardBody=True)), [WS("/ws", ["hi"], host=h) for h in HOSTS(5)])
fa("upgrade-101", dict(m0=FA("/101"), m1=FA("/ok")), [RAW(f"GET /x HTTP/1.1\nHost: {h}\nConnection: Upgrade\nUpgrade: foo\n\n") for h in HOSTS(2)])
TLS = {"auth": dict(tls="backend", noctl=True, routes={"/401": dict(status=401)}), "auth2": dict(tls="backend", noctl=True, alpn=["h2", "http/1.1"], routes={"/401": dict(status=401, headers=[["Location", "/l"]])}), "mtls": dict(tls="backend", client_ca="ca", require=True, noctl=True), "dns": dict(tls="backend_dns", noctl=True), "a": {}}
T = lambda b, path="/ok", **t: {"forwardAuth": dict(address="https://${BACKEND_%s}%s" % (b, path), **({"tls": t} if t else {}))}
CA = {"ca": "${PKI}/ca.crt"}
CERT = {"cert": "${PKI}/client1.crt", "key": "${PKI}/client1.key"}
fa("tls", dict(m0=T("auth", **CA), m1=T("auth"), m2=T("auth", insecureSkipVerify=True), m3=T("auth2", **CA), m4=T("auth2", path="/401", **CA), m5=T("mtls", **CA), m6=T("mtls", **CA, **CERT), m7=T("dns", **CA), m8=T("dns", insecureSkipVerify=True), m9=T("auth", ca="${PKI}/ca2.crt"), m10=T("auth", **CA, insecureSkipVerify=True), m11=T("auth", **CA, caOptional=True), m12=T("mtls", **CA, cert="${PKI}/client1.crt"), m13=T("mtls", **CA, cert="${PKI}/client1.crt", key="${PKI}/client_other.key")),
   [r for i in range(14) for r in (GET("/x", host=f"m{i}.test"), POST("/x", "b", host=f"m{i}.test"))], backends=TLS)
fa("https-entry", dict(m0=FA("/ok"), m1=FA("/ok", trustForwardHeader=False), m2=FA("/ok", trustForwardHeader=True)), [GET("/x", host=h, ep="websecure", tls={"sni": h}) for h in HOSTS(3)] + [GET("/x", host=h, ep="websecure", tls={"sni": h}, h2=True) for h in HOSTS(3)], static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, websecure: {address: "127.0.0.1:${PORT_websecure}", http: {tls: {}}}}')
fa("two", dict(m0={"chain": {"middlewares": ["x", "y"]}}, x=FA("/ok", authResponseHeaders=["X-User"]), y=FA("/ok", trustForwardHeader=True, addAuthCookiesToResponse=["s"])), [GET("/x", host="m0.test")])
fa("path-then-auth", dict(m0={"chain": {"middlewares": ["s", "x"]}}, s={"stripPrefix": {"prefixes": ["/p"]}}, x=FA("/ok", trustForwardHeader=False)), [GET("/p/q%2Fr?s", host="m0.test"), GET("/p", host="m0.test"), GET("/p?", host="m0.test")])
fa("api", dict(m0=FA("/ok"), m1=FA("/ok", trustForwardHeader=False, authResponseHeaders=["X-A"], authRequestHeaders=[], maxBodySize=5, maxResponseBodySize=7, addAuthCookiesToResponse=["s"], headerField="X", preserveLocationHeader=True, preserveRequestMethod=True, forwardBody=True, authSigninURL="https://l", authResponseHeadersRegex="^X"), m2={"forwardAuth": {"address": A, "tls": {"ca": "${PKI}/ca.crt", "cert": "${PKI}/client1.crt", "key": "${PKI}/client1.key", "insecureSkipVerify": True}}}, m3=FA("/ok", trustForwardHeader=True)),
   [API(f"/api/http/middlewares/m{i}@file") for i in range(4)] + [API("/api/http/routers/m0@file")], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
