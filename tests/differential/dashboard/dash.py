from lib.dsl import *

def static(api="api: {insecure: true}", trust=""):
    return api + """
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}"%s}
  traefik: {address: "127.0.0.1:${PORT_traefik}"%s}
""" % (trust, trust)

TRUST = ", forwardedHeaders: {insecure: true}"
OWN = """
api: {rule: "Host(`api.test`)", service: "api@internal", entryPoints: [web]}
dash: {rule: "Host(`dash.test`)", service: "dashboard@internal", entryPoints: [web]}
sub: {rule: "Host(`sub.test`)", service: "dashboard@internal", entryPoints: [web], middlewares: [strip]}
"""
STRIP = "strip: {stripPrefix: {prefixes: [/a/b]}}"
DYN = http(OWN, middlewares=STRIP)
# The page itself is each gateway's own.
PAGE = ("status",)
A, D, S = "api.test", "dash.test", "sub.test"
T = dict(ep="traefik")

case("dsh-insecure-paths", static=static(), dyn=DYN, steps=[
    GET("/", **T), GET("//", **T), HEAD("/", **T), POST("/", "x", **T), OPTIONS("/", **T), GET("/", host="x_y.test:80", **T),
    GET("/", host="[::1]:8080", **T), GET("/?x=1", only=PAGE, **T),
    GET("/dashboard", only=PAGE, **T), GET("/dashboard/", only=PAGE, **T), GET("/dashboard//", only=PAGE, **T), GET("/dashboard/?x=1", only=PAGE, **T),
    HEAD("/dashboard/", only=PAGE, **T), POST("/dashboard/", only=PAGE, **T), R("DELETE", "/dashboard/", only=PAGE, **T),
    GET("/dashboard/x", **T), HEAD("/dashboard/x", **T), POST("/dashboard/x", "y", **T), GET("/x", **T), GET("/dashboardx", **T), GET("/dashboard/api/version", **T),
    GET("/dashboard/index.html", **T), GET("/dashboard/index.html?a=b", **T), POST("/dashboard/index.html", "x", **T), GET("/index.html", **T),
    GET("/api", **T), GET("/api/", **T), GET("/apix", **T), HEAD("/api/overview", **T), GET("/Dashboard/", **T),
    RAW("GET /dashboard/x HTTP/1.0\nHost: a\n\n", ep="traefik")])

case("dsh-insecure-shown", static=static(), dyn=DYN, steps=[
    API("/api/http/routers"), API("/api/http/services"), API("/api/http/middlewares"), API("/api/http/routers/dashboard@internal"),
    API("/api/http/services/dashboard@internal"), API("/api/http/middlewares/dashboard_redirect@internal"),
    API("/api/http/middlewares/dashboard_stripprefix@internal"), API("/api/rawdata"), API("/api/overview")])

case("dsh-own-routers", static=static(), dyn=DYN, steps=[
    GET("/", host=A), HEAD("/", host=A), POST("/", "x", host=A), GET("/?x=1", host=A), GET("/dashboard", host=A),
    GET("/dashboard/", host=A, only=PAGE), GET("/dashboard/?x=1", host=A, only=PAGE), HEAD("/dashboard/", host=A), POST("/dashboard/", "x", host=A), OPTIONS("/dashboard/", host=A),
    GET("/dashboard/x", host=A), POST("/dashboard/x", host=A), GET("/dashboard/index.html", host=A), HEAD("/dashboard/index.html", host=A), GET("/x", host=A), GET("/index.html", host=A),
    GET("/dashboardx", host=A), GET("/api", host=A), GET("/api/", host=A), POST("/x", host=A), POST("/api/version", host=A),
    GET("/", host=D, only=PAGE), HEAD("/", host=D, only=PAGE), POST("/", "x", host=D, only=PAGE), GET("/x", host=D), HEAD("/x", host=D), POST("/x", "x", host=D),
    GET("/index.html", host=D), GET("/dashboard/", host=D), GET("/api/version", host=D),
    GET("/a/b/", host=S, only=PAGE), GET("/a/b", host=S, only=PAGE), GET("/a/b/x", host=S), GET("/a/b/index.html", host=S)])

case("dsh-off", static=static("api: {insecure: true, dashboard: false}"), dyn=DYN, steps=[
    GET("/", **T), GET("/dashboard/", **T), GET("/dashboard", **T), GET("/x", **T), GET("/", host=A), GET("/dashboard/", host=A),
    GET("/", host=D), GET("/api/overview", ep="traefik", only=PAGE),
    API("/api/http/routers/dash@file", pick=["status", "service", "using", "name"]), API("/api/http/services"), API("/api/http/middlewares")])

case("dsh-secure", static="api: {}\n" + 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}', dyn=DYN, steps=[
    GET("/", **T), GET("/dashboard/", **T), GET("/api/version", **T), GET("/", host=A), GET("/dashboard/", host=A, only=PAGE), GET("/", host=D, only=PAGE),
    GET("/api/overview", host=A, only=PAGE), GET("/api/http/routers", host=A), GET("/api/http/services/dashboard@internal", host=A), GET("/api/http/middlewares", host=A)])

case("dsh-one-router", static="api: {}\n" + 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}}', dyn=http("""
api: {rule: "Host(`t.test`) && (PathPrefix(`/api`) || PathPrefix(`/dashboard`))", service: "api@internal", entryPoints: [web]}
"""), steps=[GET(p, host="t.test", **k) for p, k in
    [("/", {}), ("/dashboard", {}), ("/dashboard/", dict(only=PAGE)), ("/dashboard/x", {}), ("/api/overview", dict(only=PAGE)), ("/dashboard/../api/overview", dict(only=PAGE))]])

PREFIXES = ["/pre", "/pre/", "pre", "//evil", "http://evil/x", "/a/../b", "/", "/a?x", "/a#x", "http:/evil", "..", "../x", "/%2e", "javascript:a", "a:b", "1a:b",
    "%zz", "x/../..", "?q", "#q", "/a//b", "/a/?b:c", "a b:c", "[::1]", "/a b", '/a"b']
for name, api, at in (("", "api: {}", "/"), ("-base", "api: {basePath: /foo}", "/foo")):
    case("dsh-forwarded-prefix" + name, static=static(api, TRUST), dyn=DYN, steps=
        [GET(at, host=A, headers={"X-Forwarded-Prefix": p}) for p in PREFIXES] + [HEAD(at, host=A, headers={"X-Forwarded-Prefix": "/pre"}),
        GET(at + "x", host=A, headers={"X-Forwarded-Prefix": "/pre"}), RAW("GET %s HTTP/1.1\nHost: api.test\nX-Forwarded-Prefix: /a\nX-Forwarded-Prefix: /b\n\n" % at)])
case("dsh-forwarded-prefix-untrusted", static=static("api: {}"), dyn=DYN, steps=[GET("/", host=A, headers={"X-Forwarded-Prefix": "/pre"})])

for name, base in (("plain", "/foo"), ("slash", "/foo/"), ("deep", "/a/b-c")):
    b = base.rstrip("/")
    case("dsh-base-" + name, static=static("api: {basePath: %s}" % base), dyn=DYN, steps=[
        GET(p, host=A) for p in ("/", b, b + "/", b + "/?x", b + "/dashboard", b + "/dashboard/x", b + "/x", b + "x", "/dashboard/", "/api/version", b + "/api", b + "/dashboard/index.html")] + [
        GET(b + "/dashboard/", host=A, only=PAGE), GET(b + "//dashboard/", host=A, only=PAGE), HEAD(b + "/dashboard/", host=A), POST(base, host=A),
        GET(b + "/api/version", host=A, only=PAGE), GET("/", host=D, only=PAGE), GET(b + "/dashboard/", host=D),
        GET("/", **T), GET("/dashboard/", only=PAGE, **T), GET("/dashboard/x", **T), GET("/x", **T), GET("/api/version", **T)])

# A router of the entry point's own priority cannot get before the dashboard, whose priority is the highest but two.
case("dsh-priority", static=static(), dyn=http('r: {rule: "PathPrefix(`/mine`)", service: a, entryPoints: [traefik]}\nhigh: {rule: "PathPrefix(`/high`)", service: a, entryPoints: [traefik], priority: 9223372036854774807}'), steps=[
    GET("/mine", **T), GET("/high", **T), GET("/", **T), API("/api/http/routers")])
