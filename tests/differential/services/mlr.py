from lib.dsl import *
ST = """
api: {insecure: true}
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}"}
  web2: {address: "127.0.0.1:${PORT_web2}"}
  traefik: {address: "127.0.0.1:${PORT_traefik}"}
"""
COPIES = ST.replace('"127.0.0.1:${PORT_web2}"}', '"127.0.0.1:${PORT_web2}", http: {middlewares: [ep@file]}}')
MW = """
role: {headers: {customRequestHeaders: {X-Role: admin, Host: new.test}}}
norole: {headers: {customRequestHeaders: {X-Role: ""}}}
strip: {stripPrefix: {prefixes: [/p]}}
add: {addPrefix: {prefix: /added}}
enc: {replacePath: {path: "/a b/c"}}
rx: {replacePathRegex: {regex: "^/rx/(.*)$", replacement: "/new/$1?q=1"}}
deny: {ipAllowList: {sourceRange: [10.0.0.0/8]}}
rt: {retry: {attempts: 3, status: ["503"], initialInterval: 1ms}}
redir: {redirectScheme: {scheme: https}}
ch: {headers: {customResponseHeaders: {X-Child: "1"}}}
pr: {headers: {customResponseHeaders: {X-Parent: "1", X-Child: parent}}}
ep: {headers: {customRequestHeaders: {X-Ep: web2}}}
err: {errors: {status: ["404"], service: b, query: "/err/{status}"}}
"""
def C(name, routers, *steps, static=ST, backends="a b", **k):
    case("mlr-" + name, static=static, dyn=http(routers, names="a b", middlewares=MW, **k), backends=backends, steps=list(steps))

R_ = lambda n: API("/api/http/routers/%s@file" % n, pick=["parentRefs", "entryPoints", "service", "middlewares", "rule", "priority", "status", "using", "name", "provider", "ruleSyntax"])

C("basic", """
par: {rule: "PathPrefix(`/p`)", middlewares: [role, strip]}
x: {rule: "Header(`X-Role`, `admin`) && Path(`/x`)", service: a, parentRefs: [par]}
y: {rule: "Path(`/y`)", service: b, parentRefs: [par@file]}
old: {rule: "Path(`/h`) && Host(`a.test`)", service: a, parentRefs: [par]}
new: {rule: "Path(`/h`) && Host(`new.test`)", service: b, parentRefs: [par], priority: 100}
""", GET("/p/x"), GET("/p/y"), GET("/p/h", host="a.test"), GET("/p/h", host="A.Test:80"), GET("/p/z"), GET("/x"), HEAD("/p/z"), POST("/p/y", "abc"),
  GET("/p/x", h2=True), GET("/p/y", version="HTTP/1.0"), GET("/p/x?a=1"), GET("/p/%78"), R_("par"), R_("x"), R_("new"))
C("levels", """
r: {rule: "PathPrefix(`/`)", middlewares: [pr]}
m1: {rule: "PathPrefix(`/a`)", parentRefs: [r]}
m2: {rule: "PathPrefix(`/a/b`)", parentRefs: [m1], middlewares: [add]}
leaf: {rule: "PathPrefix(`/added/a/b`)", service: a, parentRefs: [m2], middlewares: [ch]}
side: {rule: "Path(`/a/x`)", service: b, parentRefs: [m1]}
""", GET("/a/b/c"), GET("/a/x"), GET("/a/y"), GET("/z"), POST("/a/b", "x" * 70000, chunked=True), R_("m1"), R_("m2"), R_("leaf"))
C("priority", """
r: {rule: "PathPrefix(`/`)"}
short: {rule: "PathPrefix(`/a`)", service: a, parentRefs: [r]}
long: {rule: "PathPrefix(`/a/longer`)", service: b, parentRefs: [r]}
neg: {rule: "PathPrefix(`/n/e/g/a/t`)", service: a, parentRefs: [r], priority: -1}
pos: {rule: "PathPrefix(`/n`)", service: b, parentRefs: [r]}
huge: {rule: "PathPrefix(`/h`)", service: a, parentRefs: [r], priority: 9223372036854775807}
hug: {rule: "PathPrefix(`/h/u/g/e`)", service: b, parentRefs: [r]}
""", GET("/a/longer/x"), GET("/a/x"), GET("/n/e/g/a/t"), GET("/h/u/g/e"), R_("neg"), R_("huge"), R_("hug"))
C("several-parents", """
p1: {rule: "PathPrefix(`/one`)", middlewares: [pr]}
p2: {rule: "PathPrefix(`/two`)", entryPoints: [web2]}
c: {rule: "PathPrefix(`/`)", service: a, parentRefs: [p1, p2]}
d: {rule: "Path(`/two/d`)", service: b, parentRefs: [p2, p2, p1]}
""", GET("/one"), GET("/two"), GET("/two", ep="web2"), GET("/two/d", ep="web2"), GET("/one", ep="web2"), R_("c"), R_("d"))
C("copies", """
par: {rule: "PathPrefix(`/p`)"}
one: {rule: "PathPrefix(`/one`)", entryPoints: [web2]}
c: {rule: "PathPrefix(`/`)", service: a, parentRefs: [par, one]}
named: {rule: "PathPrefix(`/p/named`)", service: b, parentRefs: [web2-par]}
""", GET("/p/x"), GET("/p/x", ep="web2"), GET("/one", ep="web2"), GET("/p/named"), GET("/p/named", ep="web2"), R_("par"), R_("web2-par"), R_("c"), R_("named"), static=COPIES)
C("roles", """
both: {rule: "PathPrefix(`/both`)", service: b}
bothc: {rule: "PathPrefix(`/both`)", service: a, parentRefs: [both]}
mboth: {rule: "PathPrefix(`/mboth`)", service: b, parentRefs: [mr]}
mbothc: {rule: "PathPrefix(`/mboth/c`)", service: a, parentRefs: [mboth]}
mr: {rule: "PathPrefix(`/mboth`)"}
other: {rule: "PathPrefix(`/mboth/other`)", service: a, parentRefs: [mr]}
none: {rule: "PathPrefix(`/none`)"}
cnone: {rule: "PathPrefix(`/other/none`)", parentRefs: [cr]}
cr: {rule: "PathPrefix(`/other`)"}
crok: {rule: "PathPrefix(`/other`)", service: a, parentRefs: [cr]}
empty: {rule: "PathPrefix(`/empty`)", service: a, parentRefs: []}
""", GET("/both/x"), GET("/mboth/c"), GET("/mboth/other"), GET("/none"), GET("/other/none"), GET("/other/x"), GET("/empty"),
  R_("both"), R_("bothc"), R_("mboth"), R_("mbothc"), R_("none"), R_("cnone"), R_("empty"))
C("forbidden", """
par: {rule: "PathPrefix(`/p`)"}
ok: {rule: "PathPrefix(`/p/ok`)", service: a, parentRefs: [par]}
obs: {rule: "PathPrefix(`/p/obs`)", service: a, parentRefs: [par], observability: {metrics: false}}
eps: {rule: "PathPrefix(`/p/eps`)", service: a, parentRefs: [par], entryPoints: [web]}
tls: {rule: "PathPrefix(`/p/tls`)", service: a, parentRefs: [par], tls: {}}
""", GET("/p/ok"), GET("/p/obs"), GET("/p/eps"), GET("/p/tls"), R_("obs"), R_("eps"))
C("missing", """
par: {rule: "PathPrefix(`/p`)"}
gone: {rule: "PathPrefix(`/p/gone`)", service: a, parentRefs: [nope]}
half: {rule: "PathPrefix(`/p/half`)", service: a, parentRefs: [nope, par]}
far: {rule: "PathPrefix(`/p/far`)", service: a, parentRefs: [par@docker]}
ok: {rule: "PathPrefix(`/p`)", service: b, parentRefs: [par]}
""", GET("/p/gone"), GET("/p/half"), GET("/p/far"), R_("gone"), R_("half"), R_("far"))
C("cycles", """
a1: {rule: "PathPrefix(`/`)", parentRefs: [a2]}
a2: {rule: "PathPrefix(`/`)", parentRefs: [a1]}
r: {rule: "PathPrefix(`/cyc`)"}
d1: {rule: "PathPrefix(`/`)", parentRefs: [r, d3]}
d2: {rule: "PathPrefix(`/`)", parentRefs: [d1]}
d3: {rule: "PathPrefix(`/cyc/deep`)", parentRefs: [d2]}
d4: {rule: "PathPrefix(`/cyc`)", parentRefs: [d2], service: a}
d5: {rule: "PathPrefix(`/cyc/deep`)", parentRefs: [d3], service: b}
self: {rule: "PathPrefix(`/self`)", parentRefs: [self], service: a}
selfr: {rule: "PathPrefix(`/cyc/self/r/longer`)", parentRefs: [r, selfr], service: b}
""", GET("/cyc"), GET("/cyc/deep"), GET("/self"), GET("/cyc/self/r/longer"), R_("a1"), R_("a2"), R_("d1"), R_("d2"), R_("d3"), R_("d5"), R_("self"), R_("selfr"))
C("broken-children", """
all: {rule: "PathPrefix(`/all`)"}
c1: {rule: "PathPrefix(", service: a, parentRefs: [all]}
c2: {rule: "PathPrefix(`/`)", service: nope, parentRefs: [all]}
c3: {rule: "PathPrefix(`/`)", service: a, middlewares: [nope], parentRefs: [all]}
c4: {service: a, parentRefs: [all]}
some: {rule: "PathPrefix(`/some`)"}
s1: {rule: "PathPrefix(`/some/longer`)", service: nope, parentRefs: [some]}
s2: {rule: "PathPrefix(`/some`)", service: b, parentRefs: [some]}
fall: {rule: "PathPrefix(`/al`)", service: b, priority: 1}
""", GET("/all"), GET("/some/longer"), R_("all"), R_("c2"), R_("some"), R_("s1"))
C("broken-parent", """
p: {rule: "PathPrefix(`/p`)", middlewares: [nope]}
c: {rule: "PathPrefix(`/p`)", service: a, parentRefs: [p]}
q: {rule: "PathPrefix("}
d: {rule: "PathPrefix(`/q`)", service: a, parentRefs: [q]}
fall: {rule: "PathPrefix(`/`)", service: b, priority: 1}
""", GET("/p"), GET("/q"), R_("p"), R_("c"), R_("d"))
C("rewritten", """
r: {rule: "PathPrefix(`/enc`)", middlewares: [enc]}
c: {rule: "Path(`/a b/c`)", service: a, parentRefs: [r]}
s: {rule: "PathPrefix(`/p`)", middlewares: [strip]}
t: {rule: "Path(`/a%2Fb`)", service: a, parentRefs: [s]}
u: {rule: "Path(`/`)", service: b, parentRefs: [s]}
""", GET("/enc"), GET("/p/a%2fb"), GET("/p/a%2Fb"), GET("/p"), GET("/p/"))
C("rewritten-regex", """
x: {rule: "PathPrefix(`/rx`)", middlewares: [rx]}
y: {rule: "PathPrefix(`/new`)", service: a, parentRefs: [x]}
z: {rule: "PathPrefix(`/new`) && Query(`q`, `1`)", service: b, parentRefs: [x]}
""", GET("/rx/1"), GET("/rx/%41?q=1"))
C("middlewares", """
dn: {rule: "PathPrefix(`/deny`)", middlewares: [deny]}
dnc: {rule: "PathPrefix(`/deny`)", service: a, parentRefs: [dn]}
rd: {rule: "PathPrefix(`/redir`)", middlewares: [redir]}
rdc: {rule: "PathPrefix(`/redir`)", service: a, parentRefs: [rd]}
rt: {rule: "PathPrefix(`/retry`)", middlewares: [rt]}
rtc: {rule: "PathPrefix(`/retry`)", service: a, parentRefs: [rt]}
nr: {rule: "PathPrefix(`/role`)", middlewares: [norole]}
nrc: {rule: "Header(`X-Role`, `admin`)", service: a, parentRefs: [nr]}
nrd: {rule: "Path(`/role`)", service: b, parentRefs: [nr]}
""", GET("/deny"), GET("/redir/x", host="a.test"), GET("/retry", ctl=dict(status=503)), GET("/retry"), GET("/role", headers={"X-Role": "admin"}), WS("/retry", ["a", "b"]))
C("errors", """
er: {rule: "PathPrefix(`/err`)", middlewares: [err]}
erc: {rule: "Path(`/err/ok`)", service: a, parentRefs: [er]}
""", GET("/err/ok"), GET("/err/nothing"))
C("matchers", """
r: {rule: "PathPrefix(`/`)"}
m: {rule: "Method(`POST`)", service: a, parentRefs: [r]}
q: {rule: "Query(`k`, `v`)", service: b, parentRefs: [r]}
h: {rule: "HostRegexp(`^b`)", service: a, parentRefs: [r]}
i: {rule: "ClientIP(`127.0.0.1`) && Path(`/ip`)", service: a, parentRefs: [r]}
n: {rule: "!PathPrefix(`/not`) && Header(`X-N`, `1`)", service: b, parentRefs: [r]}
""", POST("/x", "b"), GET("/?k=v"), GET("/?k=w"), GET("/", host="b.test"), GET("/ip"), GET("/not", headers={"X-N": "1"}), GET("/yes", headers={"X-N": "1"}), GET("/x;k=v"), GET("/", host=""))
C("reload", """
r: {rule: "PathPrefix(`/`)"}
c: {rule: "Path(`/a`)", service: a, parentRefs: [r]}
""", GET("/a"), GET("/b"), WRITE("main.yml", http("r: {rule: \"PathPrefix(`/`)\"}\nd: {rule: \"Path(`/b`)\", service: b, parentRefs: [r]}", names="a b")), WAIT(GET("/b"), status=200), GET("/a"))
case("mlr-metrics", static=ST + "metrics: {prometheus: {addRoutersLabels: true}}\n", backends="a b", dyn=http("""
r: {rule: "PathPrefix(`/`)"}
m: {rule: "PathPrefix(`/m`)", parentRefs: [r]}
c: {rule: "Path(`/m/c`)", service: a, parentRefs: [m]}
d: {rule: "Path(`/d`)", service: b, parentRefs: [r]}
off: {rule: "PathPrefix(`/off`)", observability: {metrics: false}}
offc: {rule: "PathPrefix(`/off`)", service: a, parentRefs: [off]}
""", names="a b"), steps=[GET("/m/c"), GET("/m/c", ctl=dict(status=500)), GET("/d"), POST("/d", "abc"), GET("/x"), GET("/m/x"), GET("/off"), SLEEP(0.3),
    METRICS(r"^traefik_(entrypoint|router|service)", values=["traefik_%s_requests_total" % k for k in ("entrypoint", "router", "service")] + ["traefik_router_%s_bytes_total" % d for d in ("requests", "responses")])])
