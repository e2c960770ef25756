from lib.dsl import *
EPS = 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {middlewares: ["entry@file"]}}}\n'
def dyn(outer="squeeze, inner", own=", middlewares: [own]"):
    return """
http:
  routers:
    front: {rule: 'Host(`layers.test`)', entryPoints: [web], middlewares: [outer]}
    back: {rule: 'Header(`X-Team`, `blue`) && PathPrefix(`/entry/in`)', parentRefs: [front], middlewares: [back], service: weighted}
    other: {rule: 'PathPrefix(`/`)', priority: 1, parentRefs: [front], service: broken}
    plain: {rule: 'Host(`plain.test`)', entryPoints: [web], service: weighted}
  middlewares:
    entry: {chain: {middlewares: [entry-path, entry-mark]}}
    entry-path: {addPrefix: {prefix: /entry}}
    entry-mark: {headers: {customRequestHeaders: {X-Marks: entry}, customResponseHeaders: {X-Last: entry}}}
    outer: {chain: {middlewares: [OUTER]}}
    squeeze: {compress: {minResponseBodyBytes: 1, encodings: [gzip]}}
    inner: {chain: {middlewares: [team, mended]}}
    team: {headers: {customRequestHeaders: {X-Team: blue, X-Marks: router}, customResponseHeaders: {X-Last: router, X-Router: r}}}
    mended: {errors: {status: ['500-599'], service: pages, query: '/page/{status}'}}
    back: {replacePathRegex: {regex: '^/entry/in/(.*)', replacement: '/out/$1'}}
    own: {headers: {customRequestHeaders: {X-Service: s}, customResponseHeaders: {X-Last: service, X-Service: s}}}
  services:
    weighted: {weighted: {services: [{name: good, weight: 1}]}}
    good: {loadBalancer: {servers: [{url: 'http://${BACKEND_a}'}]}OWN}
    broken: {loadBalancer: {servers: [{url: 'http://${BACKEND_b}'}]}}
    pages: {loadBalancer: {servers: [{url: 'http://${BACKEND_c}'}]}}
""".replace("OUTER", outer).replace("OWN", own)
BACK = {"a": dict(kind="http"), "b": dict(kind="http", default=dict(status=503, headers=[["X-Last", "b"]])), "c": dict(kind="http")}
L = lambda p, host="layers.test", m=GET, **k: m(p, host=host, **k)
GZ = {"Accept-Encoding": "gzip"}
case("lay-order", static=EPS, dyn=dyn(), backends=BACK, steps=[L("/in/a?q=1"), L("/in/a", m=HEAD), L("/in/a", m=POST, body="abc"), L("/in/a", "plain.test"), L("/in/a", "nobody.test"), L("/in"), L("/inx")])
case("lay-errors", static=EPS, dyn=dyn(), backends=BACK, steps=[L("/out"), L("/out", m=HEAD), L("/out", m=POST, body="abc"), L("/out", headers=GZ)])
case("lay-compressed", static=EPS, dyn=dyn(), backends=BACK, steps=[L("/in/a", headers=GZ), L("/in/a", m=HEAD, headers=GZ), L("/in/a", headers={"Accept-Encoding": "gzip;q=0"})])
case("lay-own-headers", static=EPS, dyn=dyn(), backends=BACK, steps=[L("/in/a", headers={"X-Team": "red", "X-Marks": "client", "X-Service": "client"}), L("/in/a", ctl=dict(headers=[["X-Last", "server"], ["X-Router", "server"]]))])
case("lay-without-own", static=EPS, dyn=dyn(own=""), backends=BACK, steps=[L("/in/a"), L("/in/a", "plain.test")])
case("lay-missing", static=EPS, dyn=dyn(outer="squeeze, missing"), backends=BACK, steps=[L("/in/a"), L("/out"), L("/in/a", "plain.test")])
case("lay-empty-chain", static=EPS, dyn=dyn(outer=""), backends=BACK, steps=[L("/in/a"), L("/in/a", "plain.test")])
case("lay-circle", static=EPS, dyn=dyn(outer="outer"), backends=BACK, steps=[L("/in/a"), L("/in/a", "plain.test")])
case("lay-twice", static=EPS, dyn=dyn(outer="entry-path, entry-path, team"), backends=BACK, steps=[L("/in/a"), L("/out")])
