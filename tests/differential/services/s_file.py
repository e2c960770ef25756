import os, time
from lib.dsl import *
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
RDY = dict(ep="web", path="/rdy", host="h.test", status=200)
ST = lambda providers, thr="50ms", eps="": ("static.yml", "global: {checkNewVersion: false, sendAnonymousUsage: false}\nentryPoints:\n  web: {address: \"127.0.0.1:${PORT_web}\"}\n" + eps + "log: {level: DEBUG}\nproviders:\n  providersThrottleDuration: " + thr + "\n  file: " + providers + "\n")
RT = """
http:
  routers:
    rdy: {rule: "Path(`/rdy`)", service: a}
    x: {rule: "PathPrefix(`/x`)", service: a}
  services:
    a: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}
"""
R1 = lambda name, path, svc="a@file": "http: {routers: {%s: {rule: \"PathPrefix(`%s`)\", service: \"%s\"}}}\n" % (name, path, svc)
B = http('r: {rule: "PathPrefix(`/base`)", service: a}')
case("x-file-dir-formats", dyn={"a.yml": B, "b.yaml": R1("b", "/b"), "c.toml": '[http.routers.c]\nrule = "PathPrefix(`/c`)"\nservice = "a"\n', "d.json": '{"http": {"routers": {"d": {"rule": "PathPrefix(`/d`)", "service": "a"}}}}', "e.txt": R1("e", "/e"), "F.YML": R1("f", "/f"), "g.yml.bak": R1("g", "/g"), ".hidden.yml": R1("hid", "/hid"), "sub/h.yml": R1("h", "/h"), "sub/deep/i.toml": '[http.routers.i]\nrule = "PathPrefix(`/i`)"\nservice = "a"\n', ".git/j.yml": R1("j", "/j")}, steps=[GET("/" + p) for p in ("base", "b", "c", "d", "e", "f", "g", "hid", "h", "i", "j")])
case("x-file-toml-single", static_text=ST('{filename: "${DIR}/dyn/one.toml"}'), dyn={"one.toml": '''
[http.routers]
  [http.routers.rdy]
    rule = "Path(`/rdy`)"
    service = "a"
  [http.routers.x]
    rule = "PathPrefix(`/x`)"
    entryPoints = ["web"]
    middlewares = ["m"]
    service = "a"
    priority = 7
[http.middlewares.m.addPrefix]
  prefix = "/toml"
[http.middlewares.h.headers.customRequestHeaders]
  X-A = "1"
[[http.services.a.loadBalancer.servers]]
  url = "http://${BACKEND_a}"
  weight = 2
[http.services.a.loadBalancer.healthCheck]
  path = "/health"
  interval = "10s"
'''}, ready=RDY, steps=[GET("/x/y", want=200)])
case("x-file-first-wins", backends="a b", dyn={"01.yml": http('r: {rule: "PathPrefix(`/one`)", service: a}', names="a b"), "02.yml": http('r: {rule: "PathPrefix(`/two`)", service: b}\nr2: {rule: "PathPrefix(`/three`)", service: s}', services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_b}"}]}}', names=""), "03.yml": http("", services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}', names="")}, steps=[GET("/one"), GET("/two"), GET("/three")])
case("x-file-dup-middleware", dyn={"01.yml": http('r: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}', middlewares="m: {addPrefix: {prefix: /first}}"), "02.yml": "http: {middlewares: {m: {addPrefix: {prefix: /second}}}}"}, steps=[GET("/x")])
case("x-file-order-lexical", dyn={"10.yml": R1("r", "/ten"), "9.yml": R1("r", "/nine"), "a.yml": B, "sub/0.yml": R1("r", "/sub")}, steps=[GET("/ten"), GET("/nine"), GET("/sub")])
case("x-file-bad-keeps-good", dyn={"main.yml": B}, steps=[GET("/base", want=200), WRITE("main.yml", "http: [oops\n"), SLEEP(0.6), GET("/base", want=200), WRITE("main.yml", B.replace("/base", "/fixed")), WAIT(Q("/fixed"), status=200), GET("/base")])
case("x-file-unknown-key-keeps-good", dyn={"main.yml": B}, steps=[GET("/base", want=200), WRITE("main.yml", B.replace("/base", "/new").replace("service: a}", "service: a, nonsense: 1}")), SLEEP(0.6), GET("/base")])
case("x-file-empty-clears", dyn={"main.yml": B}, steps=[GET("/base", want=200), WRITE("main.yml", ""), SLEEP(0.6), GET("/base")])
case("x-file-comment-only", dyn={"main.yml": B}, steps=[GET("/base", want=200), WRITE("main.yml", "# nothing\n"), SLEEP(0.6), GET("/base")])
case("x-file-delete-all", dyn={"main.yml": B}, steps=[GET("/base", want=200), DELETE("main.yml"), WAIT(Q("/base"), status=404)])
case("x-file-new-file", dyn={"main.yml": B}, steps=[WRITE("z.yml", R1("z", "/z")), WAIT(Q("/z"), status=200), DELETE("z.yml"), WAIT(Q("/z"), status=404), GET("/base", want=200)])
def rename(c):
    os.rename(c.dir + "/dyn/main.yml", c.dir + "/dyn/other.yml"); return {}
def rename_away(c):
    os.rename(c.dir + "/dyn/other.yml", c.dir + "/dyn/other.bak"); return {}
case("x-file-rename", dyn={"main.yml": B}, steps=[CALL(rename), SLEEP(0.6), GET("/base", want=200), CALL(rename_away), WAIT(Q("/base"), status=404)])
def burst(c):
    t0 = time.time()
    for i in range(10):
        c.writefile("dyn/main.yml", B.replace("/base", f"/v{i}"))
        time.sleep(0.02)
    return {}
case("x-file-throttle-newest", dyn={"main.yml": B}, steps=[CALL(burst), WAIT(Q("/v9"), status=200), GET("/v0"), GET("/base")])
case("x-file-throttle-long", static="providers: {providersThrottleDuration: 1500ms}", dyn={"main.yml": B}, steps=[SLEEP(1.6), WRITE("main.yml", B.replace("/base", "/v1")), WAIT(Q("/v1"), status=200, timeout=1), WRITE("main.yml", B.replace("/base", "/v2")), SLEEP(0.4), GET("/v2", want=404), GET("/v1", want=200), WAIT(Q("/v2"), status=200)])
case("x-file-sighup", static_text=ST('{directory: "${DIR}/dyn", watch: false}'), dyn={"main.yml": RT}, ready=RDY, steps=[WRITE("main.yml", RT.replace("/x", "/y")), SLEEP(0.5), GET("/y", want=404), SIG("HUP"), WAIT(Q("/y"), status=200), GET("/x")])
case("x-file-sighup-single", static_text=ST('{filename: "${DIR}/dyn/main.yml", watch: false}'), dyn={"main.yml": RT}, ready=RDY, steps=[WRITE("main.yml", RT.replace("/x", "/y")), SLEEP(0.5), GET("/y", want=404), SIG("HUP"), WAIT(Q("/y"), status=200)])
case("x-file-sighup-watch", dyn={"main.yml": B}, steps=[SIG("HUP"), SLEEP(0.3), GET("/base", want=200)])
case("x-file-both-set", static_text=ST('{filename: "${DIR}/dyn2/one.yml", directory: "${DIR}/dyn"}'), dyn={"main.yml": RT}, files={"dyn2/one.yml": R1("q", "/q")}, ready=RDY, steps=[GET("/x", want=200), GET("/q")])
case("x-file-filename-bad-ext", ready="tcp:web", static_text=ST('{filename: "${DIR}/dyn/one.json"}'), dyn={"one.json": '{"http": {}}'}, steps=[GET("/rdy")])
case("x-file-missing-then-created", ready="tcp:web", static_text=ST('{filename: "${DIR}/dyn/later.yml"}'), steps=[GET("/rdy", want=404)])
case("x-file-symlink", ready="file", dyn={"main.yml": B}, files={"real.yml": R1("s", "/sym")}, steps=[CALL(lambda c: (os.symlink(c.dir + "/real.yml", c.dir + "/dyn/link.yml"), {})[1]), WAIT(Q("/sym"), status=200)])
case("x-file-subdir-not-watched", dyn={"main.yml": B, "sub/s.yml": R1("s", "/sub")}, steps=[GET("/sub", want=200)])
case("x-file-anchors", dyn={"main.yml": """
x-mw: &mws [m1, m2]
x-base: &base
  service: a
  entryPoints: [web]
x-more: &more
  middlewares: *mws
http:
  routers:
    r1: {<<: *base, rule: "PathPrefix(`/one`)"}
    r2:
      <<: [*base, *more]
      rule: "PathPrefix(`/two`)"
    r3:
      rule: "PathPrefix(`/three`)"
      middlewares: *mws
      service: a
  middlewares:
    m1: {addPrefix: {prefix: /m1}}
    m2: {addPrefix: {prefix: /m2}}
  services:
    a: &svc
      loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}
    b: *svc
"""}, steps=[GET("/one"), GET("/two"), GET("/three")])
case("x-file-yaml-types", dyn={"main.yml": """
http:
  routers:
    r1: {rule: "PathPrefix(`/one`)", service: a, priority: "12", entryPoints: web}
    r2: {rule: 'PathPrefix(`/two`)', service: a, priority: 3, middlewares: [m1, m2]}
    123: {rule: "PathPrefix(`/num`)", service: 456}
  middlewares:
    m1: {headers: {customRequestHeaders: {X-Num: 12, X-Bool: true, X-Null: null, X-Float: 1.50}}}
    m2: {redirectRegex: {regex: "^nope$", replacement: x, permanent: "true"}}
  services:
    456: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}
    a: {loadBalancer: {passHostHeader: "false", servers: [{url: "http://${BACKEND_a}", weight: "1"}]}}
"""}, ready="tcp:web", steps=[WAIT(Q("/two"), not_status=404, timeout=1.5), GET("/one"), GET("/two"), GET("/num")])
case("x-file-yaml-multidoc", ready="tcp:web", dyn={"main.yml": B + "---\n" + R1("second", "/second")}, steps=[SLEEP(0.4), GET("/base"), GET("/second")])
case("x-file-yaml-dupkey", ready="tcp:web", dyn={"main.yml": B + "\nhttp: {}\n"}, steps=[SLEEP(0.4), GET("/base")])
case("x-file-null-sections", dyn={"main.yml": B, "n.yml": "http:\n  routers:\n  middlewares: {}\ntcp:\nudp:\ntls:\n"}, ready="tcp:web", steps=[SLEEP(0.4), GET("/base")])
case("x-file-top-unknown", dyn={"main.yml": B + "\nfoo: {bar: 1}\nx-y: 1\n"}, ready="tcp:web", steps=[SLEEP(0.4), GET("/base")])
case("x-file-tcp-udp-sections", dyn={"main.yml": B + "\ntls: {options: {o: {minVersion: VersionTLS12}}}\n"}, ready="tcp:web", steps=[SLEEP(0.4), GET("/base")])
case("x-file-crlf-tabs", dyn={"main.yml": B, "b.toml": "\ufeff" * 0 + "[http.routers.c]\r\n  rule = 'PathPrefix(`/c`)'\r\n\tservice = \"a\"\r\n"}, steps=[GET("/base"), GET("/c")])
case("x-file-toml-features", dyn={"main.toml": '''
http.routers.r = { rule = "PathPrefix(`/r`)", service = "a", middlewares = ["m"] }
[http.middlewares.m.headers.customRequestHeaders]
"X-Q" = """multi"""
X-Date = "2020-01-01"
[http.services.a.loadBalancer]
servers = [ { url = "http://${BACKEND_a}" } ]
'''}, steps=[GET("/r")])
case("x-file-dir-missing-file", dyn={"main.yml": B}, steps=[WRITE("broken.yml", "a: b: c\n"), SLEEP(0.4), GET("/base", want=200), DELETE("broken.yml"), WRITE("n.yml", R1("n", "/n")), WAIT(Q("/n"), status=200)])
case("x-file-inplace-slow", dyn={"main.yml": B}, steps=[WRITE("main.yml", B.replace("/base", "/ip"), how="inplace"), WAIT(Q("/ip"), status=200), GET("/base", want=404)])
case("x-file-change-service-only", backends="a b", dyn={"main.yml": http('r: {rule: "PathPrefix(`/`)", service: s}', services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}', names="")}, steps=[GET("/"), WRITE("main.yml", http('r: {rule: "PathPrefix(`/`)", service: s}', services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_b}"}]}}', names="")), WAIT(Q("/"), backend="b"), GET("/")])
case("x-file-change-middleware-only", dyn={"main.yml": http('r: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}', middlewares="m: {headers: {customResponseHeaders: {X-V: one}}}")}, steps=[GET("/"), WRITE("main.yml", http('r: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}', middlewares="m: {headers: {customResponseHeaders: {X-V: two}}}")), WAIT(Q("/"), header=("X-V", "two")), GET("/")])
case("x-file-keepalive-across-reload", dyn={"main.yml": B}, steps=[GET("/base", conn="k", want=200), WRITE("main.yml", B.replace("/base", "/nb")), WAIT(Q("/nb"), status=200), GET("/nb", conn="k", want=200), GET("/base", conn="k", want=404)])
case("x-file-template", dyn={"main.yml": B.replace("/base", "/{{ \"tpl\" }}")}, ready="tcp:web", steps=[SLEEP(0.4), GET("/tpl")])
