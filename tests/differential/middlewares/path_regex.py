from lib.dsl import *
from lib.cases_common import mws
area("middlewares")
S = lambda *r: {"stripPrefixRegex": {"regex": list(r)}}
R = lambda regex, replacement: {"replacePathRegex": {"regex": regex, "replacement": replacement}}
PATHS = ["/", "/strip", "/strip/", "/strip/a", "/stripa", "/strip/a%2Fb", "/strip%2Fb", "/a/b/c", "/a%2Fb/c", "/api/v1/users?x=1&y", "/api/v22/users", "/x/strip/a", "/strip/../x", "/strip//x", "/strip/%2e%2e/x", "/strip/a%20b", "/%73trip/x", "/strip/%C3%A9", "/STRIP/x"]
STRIP = dict(m0=S("/strip"), m1=S("^/strip"), m2=S("/api/v[0-9]+"), m3=S("/a/b", "/strip"), m4=S("/(strip|api)/?"), m5=S(".*"), m6=S(""), m7=S("/strip/"), m8=S("strip"), m9=S("/a%2Fb"), m10=S("(?i)/strip"), m11=S("/strip$"), m12=S("/nope", "/x"), m13=S("/(s(t)rip)"), m14=S("/[a-z]+/"), m15=S("/a/?b"), m16=S("/strip/a b", " /strip "))
case("spr-paths", dyn=mws(**STRIP), steps=[GET(p, host=f"m{i}.test") for i in range(17) for p in PATHS])
case("spr-header", dyn=mws(m0=STRIP["m0"], m1={"chain": {"middlewares": ["m0", "n"]}}, n=S("/a")), steps=[GET("/strip/a/b", host="m0.test", headers={"X-Forwarded-Prefix": "/old"}), GET("/strip/a/b", host="m1.test"), HEAD("/strip", host="m0.test"), POST("/strip/x", "b", host="m0.test"), GET("/strip?q", host="m0.test"), WS("/strip/ws", ["hi"], host="m0.test")])
case("spr-bad", dyn=mws(m0=S("("), m1=S("/ok", "["), m2={"stripPrefixRegex": {"regex": []}}), steps=[GET("/ok/x", host=f"m{i}.test") for i in range(3)])
case("spr-api", dyn=mws(m0=S("/a", "/b"), m1=S("/c")), steps=[API("/api/http/middlewares/m0@file"), API("/api/http/middlewares/m1@file")], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
RP = ["/", "/foo/bar", "/foo/bar?q=1&r", "/foo", "/foo/%2Fx", "/foo/a%20b", "/foo/%C3%A9", "/x/foo/bar", "/foo/../bar", "/FOO/bar", "/foo//bar", "/foo/a;b", "/foo/a+b", "/foo/%3Fq"]
REP = dict(m0=R("^/foo/(.*)", "/new/$1"), m1=R("/foo", "/bar"), m2=R("^/foo/(?P<rest>.*)$", "/r/${rest}/$rest"), m3=R("^/(.*)/(.*)$", "/$2/$1"), m4=R("nope", "/x"), m5=R(".*", ""), m6=R("^/foo", "noslash"), m7=R("o", "0"), m8=R("^/foo/(.*)", "/a%2Fb/$1"), m9=R("^/foo/(.*)", "/a b/$1?x=1"), m10=R("^/foo/(.*)", "/%zz/$1"), m11=R("^/foo/(.*)", "/../$1"), m12=R("^/foo/(.*)", "/a//$1"), m13=R("^/foo/(.*)", "/é/$1"), m14=R("", "/pre"), m15=R("%2F", "-"), m16=R("^/foo/(.*)", " /trim/$1 "), m17=R(" ^/foo/(.*) ", "/trim2/$1"), m18=R("^/foo/(.*)", "/x/$2"), m19=R("^/foo/bar$", "/foo/bar"))
case("rpr-paths", dyn=mws(**REP), steps=[GET(p, host=f"m{i}.test") for i in range(20) for p in RP])
case("rpr-more", dyn=mws(m0=REP["m0"], m1={"chain": {"middlewares": ["m0", "n"]}}, n=R("^/new", "/newer")), steps=[GET("/foo/a", host="m0.test", headers={"X-Replaced-Path": "evil"}), GET("/foo/a/b", host="m1.test"), HEAD("/foo/x", host="m0.test"), POST("/foo/x", "b", host="m0.test"), WS("/foo/ws", ["hi"], host="m0.test")])
case("rpr-bad", dyn=mws(m0=R("(", "x"), m1={"replacePathRegex": {"regex": "", "replacement": ""}}, m2={"replacePathRegex": {"replacement": "/x"}}, m3={"replacePathRegex": {"regex": "^/a"}}), steps=[GET("/a/x", host=f"m{i}.test") for i in range(4)])
case("rpr-api", dyn=mws(m0=REP["m0"]), steps=[API("/api/http/middlewares/m0@file")], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
