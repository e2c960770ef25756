from lib.dsl import *
from lib.cases_common import mws
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)

case("x-rtr-priority", backends="a b c d", dyn=http("""
r1: {rule: "PathPrefix(`/x`)", service: a, priority: 10}
r2: {rule: "PathPrefix(`/x`) && Method(`GET`)", service: b, priority: 5}
n1: {rule: "PathPrefix(`/n`)", service: c, priority: -5}
n2: {rule: "PathPrefix(`/n/deep`)", service: d, priority: -10}
z: {rule: "Path(`/zero`)", service: a, priority: 0}
z2: {rule: "Path(`/zero`) && Method(`GET`)", service: b}
""", names="a b c d"), steps=[GET("/x"), GET("/n"), GET("/n/deep"), GET("/zero")])
case("x-rtr-priority-max", backends="a b", dyn=http("""
hi: {rule: "PathPrefix(`/x`)", service: a, priority: 9223372036854774807}
toohi: {rule: "PathPrefix(`/y`)", service: a, priority: 9223372036854774808}
low: {rule: "PathPrefix(`/`)", service: b}
min: {rule: "PathPrefix(`/y/z`)", service: a, priority: -9223372036854775808}
""", names="a b"), steps=[GET("/x"), GET("/y"), GET("/y/z")])
case("x-rtr-priority-overflow", ready="tcp:web", backends="a", dyn=http("hi: {rule: \"PathPrefix(`/x`)\", service: a, priority: 9223372036854775808}"), steps=[GET("/x")])
case("x-rtr-len-bytes", backends="a b", dyn=http("""
r1: {rule: "PathPrefix(`/é`) || Path(`/é1`)", service: a}
r2: {rule: "PathPrefix(`/`)    &&   Method(`GET`)", service: b}
""", names="a b"), steps=[GET("/%C3%A9"), GET("/x")])
case("x-rtr-broken-refs", backends="a", dyn=http("""
nosvc: {rule: "Path(`/1`)"}
missvc: {rule: "Path(`/2`)", service: nope}
missvcp: {rule: "Path(`/3`)", service: a@docker}
mismw: {rule: "Path(`/4`)", service: a, middlewares: [nope]}
badmw: {rule: "Path(`/5`)", service: a, middlewares: [bad]}
badrule: {rule: "Path(`/6`", service: a}
emptyrule: {rule: "", service: a}
norule: {service: a}
unknown: {rule: "Foo(`/7`)", service: a}
self: {rule: "Path(`/8`)", service: "a@file"}
mwq: {rule: "Path(`/9`)", service: a, middlewares: ["ok@file"]}
mwother: {rule: "Path(`/10`)", service: a, middlewares: ["ok@docker"]}
fall: {rule: "PathPrefix(`/`)", service: a, priority: 1, middlewares: [fell]}
""", middlewares="""
bad: {ipAllowList: {sourceRange: [nonsense]}}
ok: {addPrefix: {prefix: /ok}}
fell: {addPrefix: {prefix: /fell}}
"""), steps=[GET(f"/{i}") for i in range(1, 11)])
case("x-rtr-entrypoints", backends="a b", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, web2: {address: "127.0.0.1:${PORT_web2}"}}
""", dyn=http("""
one: {rule: "Path(`/one`)", service: a, entryPoints: [web]}
unk: {rule: "Path(`/unk`)", service: a, entryPoints: [nope]}
mix: {rule: "Path(`/mix`)", service: a, entryPoints: [web2, nope]}
empty: {rule: "Path(`/empty`)", service: a, entryPoints: []}
case: {rule: "Path(`/case`)", service: a, entryPoints: [WEB]}
dup: {rule: "Path(`/dup`)", service: a, entryPoints: [web, web]}
low: {rule: "PathPrefix(`/`)", service: b, priority: 1}
""", names="a b"), steps=[x for p in ("one", "unk", "mix", "empty", "case", "dup") for x in (GET("/" + p), GET("/" + p, ep="web2"))])
case("x-rtr-traefik-ep-not-default", backends="a", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}
""", dyn=http("""
all: {rule: "Path(`/all`)", service: a}
expl: {rule: "Path(`/expl`)", service: a, entryPoints: [traefik]}
"""), steps=[GET("/all", want=200), GET("/all", ep="traefik"), GET("/expl", ep="traefik"), GET("/expl")])
case("x-rtr-copies-api", backends="a", static="""
api: {insecure: true}
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}"}
  web2: {address: "127.0.0.1:${PORT_web2}", http: {middlewares: [m@file]}}
  web3: {address: "127.0.0.1:${PORT_web3}"}
  traefik: {address: "127.0.0.1:${PORT_traefik}"}
""", dyn=http("""
two: {rule: "Path(`/two`)", service: a, entryPoints: [web, web2]}
one: {rule: "Path(`/one`)", service: a, entryPoints: [web2]}
three: {rule: "Path(`/three`)", service: a, entryPoints: [web, web2, web3]}
""", middlewares="m: {addPrefix: {prefix: /m}}"), steps=[GET("/two"), GET("/two", ep="web2"), GET("/one", ep="web2"), GET("/three", ep="web3"), GET("/three", ep="web2"), API("/api/http/routers/two@file"), API("/api/http/routers/web2-two@file"), API("/api/http/routers/one@file"), API("/api/http/routers/three@file"), API("/api/http/routers/web2-three@file")])
case("x-rtr-ep-mw-missing", backends="a", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {middlewares: [nope@file]}}, web2: {address: "127.0.0.1:${PORT_web2}"}}
""", dyn=http("""
r: {rule: "Path(`/r`)", service: a}
"""), steps=[GET("/r"), GET("/r", ep="web2")])
case("x-rtr-ep-mw-unqualified", backends="a", static="""
entryPoints: {web: {address: "127.0.0.1:${PORT_web}", http: {middlewares: [m]}}}
""", dyn=http("r: {rule: \"Path(`/r`)\", service: a}", middlewares="m: {addPrefix: {prefix: /m}}"), steps=[GET("/r")])
case("x-rtr-internal-services", backends="a", static="ping: {manualRouting: true}", dyn=http("""
ping: {rule: "PathPrefix(`/p`)", service: ping@internal}
noop: {rule: "PathPrefix(`/noop`)", service: noop@internal}
api: {rule: "PathPrefix(`/api`)", service: api@internal}
prom: {rule: "PathPrefix(`/metrics`)", service: prometheus@internal}
rest: {rule: "PathPrefix(`/rest`)", service: rest@internal}
"""), steps=[GET("/p/anything"), POST("/p", "x"), HEAD("/p"), GET("/noop"), GET("/api/version"), GET("/metrics"), GET("/rest"), GET("/ping")])
case("x-rtr-404", dyn=http("r: {rule: \"Path(`/r`)\", service: a}"), steps=[GET("/"), HEAD("/"), POST("/", "x"), GET("/", h2=True), OPTIONS("/"), R("CONNECT", "h.test:80") if 0 else GET("/x", version="HTTP/1.0")])
case("x-rtr-ruleSyntax", dyn=http("r: {rule: \"Path(`/r`)\", service: a, ruleSyntax: v3}\nx: {rule: \"Path(`/x`)\", service: a, ruleSyntax: v9}\nd: {rule: \"Path(`/d`)\", service: a, ruleSyntax: default}"), steps=[GET("/r"), GET("/x"), GET("/d")])
case("x-rtr-observability", dyn=http("r: {rule: \"Path(`/r`)\", service: a, observability: {accessLogs: false, metrics: true, tracing: false, traceVerbosity: detailed}}"), steps=[GET("/r", want=200)])
case("x-rtr-names-odd", dyn=http("\"r.with.dots\": {rule: \"Path(`/1`)\", service: \"svc with space\"}\n\"r/slash\": {rule: \"Path(`/2`)\", service: a}\n\"ünï\": {rule: \"Path(`/3`)\", service: a}", services='"svc with space": {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}'), steps=[GET("/1"), GET("/2"), GET("/3")])
case("x-rtr-at-in-name", dyn=http("\"r@x\": {rule: \"Path(`/1`)\", service: a}\nr2: {rule: \"Path(`/2`)\", service: \"s@x\"}", services='"s@x": {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}'), steps=[GET("/1"), GET("/2")])

# redirections
RED = lambda o, more="": """
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {%s}}%s}}
  websecure: {address: "127.0.0.1:${PORT_websecure}"}
""" % (o, more)
RB = http("r: {rule: \"PathPrefix(`/`)\", service: a}\nhi: {rule: \"Path(`/hi`)\", service: a, priority: 500}")
RS = [GET("/x/y?q=1"), POST("/x", "b"), HEAD("/x"), GET("/hi"), GET("/", host="h.test:1234"), GET("/", host=""), GET("/a%2Fb?x=%20;y"), GET("/x", h2=True)]
case("x-red-basic", static=RED("to: websecure"), dyn=RB, steps=RS)
case("x-red-scheme", static=RED("to: websecure, scheme: http"), dyn=RB, steps=RS)
case("x-red-temporary", static=RED("to: websecure, permanent: false"), dyn=RB, steps=RS)
case("x-red-port", static=RED("to: ':443'"), dyn=RB, steps=RS)
case("x-red-port-odd", static=RED("to: ':8443', scheme: https"), dyn=RB, steps=RS)
case("x-red-port-80-http", static=RED("to: ':80', scheme: http"), dyn=RB, steps=RS)
case("x-red-priority", static=RED("to: websecure, priority: 10"), dyn=RB, steps=RS)
case("x-red-priority-low", static=RED("to: websecure, priority: 1"), dyn=RB, steps=RS)
case("x-red-unknown", static=RED("to: nope"), dyn=RB, steps=[GET("/x", want=200)])
case("x-red-missing-to", static=RED("scheme: https"), dyn=RB, steps=[GET("/x")])
case("x-red-with-mw", static=RED("to: websecure", ", middlewares: [m@file]"), dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}", middlewares="m: {addPrefix: {prefix: /m}}"), steps=[GET("/x")])
case("x-red-fwd-proto", static=RED("to: websecure").replace("http: {redir", "forwardedHeaders: {insecure: true}, http: {redir"), dyn=RB, steps=[GET("/x", headers={"X-Forwarded-Proto": "https"}), GET("/x", headers={"X-Forwarded-Proto": "http"}), GET("/x", headers={"X-Forwarded-Host": "other.test", "X-Forwarded-Port": "99"})])
case("x-red-self", static=RED("to: web, scheme: http"), dyn=RB, steps=[GET("/x"), GET("/x", host="h.test:${PORT_web}")])
case("x-red-acme", static=RED("to: websecure"), dyn=RB, steps=[GET("/.well-known/acme-challenge/tok")])

# encoded characters of the entry point
ENC = lambda o: "entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {encodedCharacters: {%s}}}}" % o
PATHS = ["/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00b", "/a%3Bb", "/a%25b", "/a%3Fb", "/a%23b", "/ok%20x", "/q?x=%2F"]
case("x-enc-all-denied", static=ENC(", ".join(f"allowEncoded{n}: false" for n in ("Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash"))), dyn=RB, steps=[GET(p) for p in PATHS] + [GET("/a%2Fb", h2=True), POST("/a%2Fb", "x"), GET("/none%2F", host="h.test")])
for n, i in (("Slash", 0), ("BackSlash", 2), ("NullCharacter", 3), ("Semicolon", 4), ("Percent", 5), ("QuestionMark", 6), ("Hash", 7)):
    case("x-enc-" + n.lower(), static=ENC(f"allowEncoded{n}: false"), dyn=RB, steps=[GET(p) for p in PATHS])
case("x-enc-before-mw", static=ENC("allowEncodedSlash: false"), dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [h]}", middlewares="h: {headers: {customResponseHeaders: {X-R: '1'}}}"), steps=[GET("/a%2Fb"), GET("/ab")])
case("x-enc-404", static=ENC("allowEncodedSlash: false"), dyn=http("r: {rule: \"Path(`/only`)\", service: a}"), steps=[GET("/a%2Fb"), GET("/only")])
