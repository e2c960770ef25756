from lib.dsl import *

ALL = http("r: {rule: \"PathPrefix(`/`)\", service: a, tls: {}}", names="a")


def e(more=""):
    return 'entryPoints: {websecure: {address: "127.0.0.1:${PORT_websecure}", http3: {%s}}}\n' % more


def both(path, **kw):
    """over TCP and over QUIC"""
    return [GET(path, ep="websecure", tls={}, h2=True, **kw), H3(path, **kw)]


case("h3-get", static=e(), backends="a", dyn=ALL, steps=[H3("/a%20b?x=1&y=%zz;z"), H3("/", headers=[("X-A", "1"), ("X-A", "2"), ("Accept", "*/*")]), H3("//a/../b/./c"), H3("/", headers=[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "http")])])
case("h3-post", static=e(), backends="a", dyn=ALL, steps=[H3("/", method="POST", body="hello"), H3("/", method="PUT", body="x" * 5000), H3("/", method="DELETE"), H3("/", method="PURGE", body="p")])
# Differs: Traefik tells the server of a body of unknown length, where there is none.
case("h3-post-empty", static=e(), backends="a", dyn=ALL, steps=[H3("/", method="POST"), H3("/", method="PURGE")])
# Differs: Traefik says Content-Length: 0, which 204 must not have (RFC 9110, 8.6).
case("h3-bodiless", static=e(), backends="a", dyn=ALL, steps=[H3("/", ctl=dict(status=204)), H3("/", ctl=dict(status=304))])
case("h3-answers", static=e(), backends="a", dyn=ALL, steps=[H3("/", ctl=dict(status=500, body="no")), H3("/", ctl=dict(framing="chunked", body="chunked")), H3("/", ctl=dict(framing="close", body="until the end")), H3("/", ctl=dict(headers=[["Connection", "x-hop"], ["X-Hop", "1"], ["Set-Cookie", "a=b"], ["Set-Cookie", "c=d"], ["Keep-Alive", "5"]]))])
case("h3-trailers", static=e(), backends="a", dyn=ALL, steps=[H3("/", ctl=dict(framing="chunked", body="b", trailers=[["X-Sum", "7"]]))])
case("h3-no-route", static=e(), backends="a", dyn=http("r: {rule: \"Host(`a.test`)\", service: a, tls: {}}\np: {rule: \"Host(`plain.test`)\", service: a}", names="a"), steps=[H3("/", host="a.test"), H3("/", host="b.test"), H3("/", host="plain.test")])
case("h3-no-server", static=e(), backends="a", dyn=http("r: {rule: \"Path(`/`)\", service: a, tls: {}}\nd: {rule: \"Path(`/dead`)\", service: d, tls: {}}", services="a: {loadBalancer: {servers: [{url: \"http://${BACKEND_a}\"}]}}\nd: {loadBalancer: {servers: [{url: \"http://${DEAD_x}\"}]}}", names=""), steps=[H3("/dead"), H3("/")])
case("h3-alt-svc", static=e(), backends="a", dyn=ALL, steps=both("/") + [GET("/", ep="websecure", tls={}), GET("/", ep="websecure"), GET("/", ep="web"), GET("/", ep="websecure", tls={}, ctl=dict(headers=[["Alt-Svc", 'h2=":1"']])), H3("/", ctl=dict(headers=[["Alt-Svc", 'h2=":1"']]))])
case("h3-alt-svc-no-route", static=e(), backends="a", dyn=http("r: {rule: \"Host(`a.test`)\", service: a, tls: {}}", names="a"), steps=both("/"))
case("h3-advertised-port", static=e("advertisedPort: 4443"), backends="a", dyn=ALL, steps=both("/"))
case("h3-options", static=e(), backends="a", dyn=http("r: {rule: \"Host(`new.test`)\", service: a, tls: {}}\no: {rule: \"Host(`old.test`)\", service: a, tls: {options: old}}", names="a", extra="tls:\n  options:\n    old: {maxVersion: VersionTLS12}\n"), steps=[H3("/", host="new.test"), H3("/", host="old.test", timeout=2), H3("/", host="new.test")])
case("h3-middlewares", static=e(), backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, tls: {}, middlewares: [p, h]}", middlewares="p: {addPrefix: {prefix: /p}}\nh: {headers: {customRequestHeaders: {X-In: '1'}, customResponseHeaders: {X-Out: '2'}}}", names="a"), steps=[H3("/x")])
case("h3-off", static='entryPoints: {websecure: {address: "127.0.0.1:${PORT_websecure}"}}\n', backends="a", dyn=ALL, steps=[H3("/", timeout=2), GET("/", ep="websecure", tls={})])
