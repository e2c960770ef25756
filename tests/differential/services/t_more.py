import os, time
from lib.dsl import *
from lib.cases_common import mws
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
SRV = lambda *n: "[" + ", ".join('{url: "http://${BACKEND_%s}"}' % x for x in n) + "]"
RDY = dict(ep="web", path="/rdy", host="h.test", status=200)
B = http('r: {rule: "PathPrefix(`/base`)", service: a}')
R1 = lambda name, path, svc="a@file": "http: {routers: {%s: {rule: \"PathPrefix(`%s`)\", service: \"%s\"}}}\n" % (name, path, svc)
def lb(servers, extra="", more=""):
    return http("r: {rule: \"PathPrefix(`/`)\", service: s}", services="s: {loadBalancer: {servers: %s%s}}\n%s" % (servers, extra, more), names="")

# websocket and bodies through balancers
case("y-lb-ws", backends="a b", dyn=lb(SRV("a", "b"), ", strategy: p2c, sticky: {cookie: {name: s}}"), steps=[WS("/ws", ["hi"], headers={"Cookie": "s=http://${BACKEND_a}"})])
for st in ("wrr", "p2c", "hrw", "leasttime"):
    case("y-lb-methods-" + st, backends="a", dyn=lb(SRV("a"), ", strategy: " + st), steps=[POST("/", "body"), HEAD("/"), PUT("/x", "y"), R("DELETE", "/"), OPTIONS("/"), R("PATCH", "/", body="z"), POST("/", "chunk", chunked=True), GET("/", h2=True)])
case("y-lb-p2c-busy", backends={"a": {"default": {"delay": 0.5}}, "b": {}}, dyn=lb(SRV("a", "b"), ", strategy: p2c"), steps=[PAR([Q() for _ in range(10)], unordered=True)])
case("y-lb-weights-reload", backends="a b", dyn={"main.yml": lb('[{url: "http://${BACKEND_a}", weight: 1}, {url: "http://${BACKEND_b}", weight: 0}]')}, steps=[MANY(4, Q(), tol=0), WRITE("main.yml", lb('[{url: "http://${BACKEND_a}", weight: 0}, {url: "http://${BACKEND_b}", weight: 1}]')), WAIT(Q(), backend="b"), MANY(4, Q(), tol=0)])
case("y-lb-large-weight", backends="a b", dyn=lb('[{url: "http://${BACKEND_a}", weight: 99}, {url: "http://${BACKEND_b}", weight: 1}]'), steps=[MANY(100, Q(), tol=0)])
case("y-lb-negative-weight", backends="a b", dyn=lb('[{url: "http://${BACKEND_a}", weight: -5}, {url: "http://${BACKEND_b}"}]'), steps=[MANY(6, Q(), tol=0)])
case("y-lb-one-dead-of-two", backends="a", dyn=lb('[{url: "http://${BACKEND_a}"}, {url: "http://${DEAD_x}"}]'), steps=[MANY(10, Q(), tol=0)])
case("y-lb-one-unusable-of-two", backends="a", dyn=lb('[{url: "http://${BACKEND_a}"}, {url: "ftp://x"}]'), steps=[MANY(10, Q(), tol=0)])
case("y-lb-one-broken-of-two", backends="a", dyn=lb('[{url: "http://${BACKEND_a}"}, {url: "http://[::1"}]'), steps=[GET("/")])
case("y-lb-strategy-empty", backends="a", dyn=lb(SRV("a"), ", strategy: ''"), steps=[GET("/")])
case("y-lb-strategy-upper", backends="a", dyn=lb(SRV("a"), ", strategy: WRR"), steps=[GET("/")])
case("y-lb-v6", backends="a", dyn=lb('[{url: "http://[::1]:1"}]'), steps=[GET("/")])
case("y-lb-url-frag-query", backends="a", dyn=lb('[{url: "http://${BACKEND_a}/p?q=1#f"}]'), steps=[GET("/x?y=2")])
case("y-lb-url-spaces", backends="a", dyn=http("r1: {rule: \"Path(`/1`)\", service: s1}\nr2: {rule: \"Path(`/2`)\", service: s2}", services='s1: {loadBalancer: {servers: [{url: " http://${BACKEND_a}"}]}}\ns2: {loadBalancer: {servers: [{url: "http://${BACKEND_a} "}]}}', names=""), steps=[GET("/1"), GET("/2")])
case("y-lb-url-path-only-slash", backends="a", dyn=http("r1: {rule: \"PathPrefix(`/`)\", service: s1}", services='s1: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/", preservePath: true}]}}', names=""), steps=[GET("/"), GET("/x/"), GET("//x")])
case("y-lb-port-zero-empty", backends="a", dyn=http("r1: {rule: \"Path(`/1`)\", service: s1}\nr2: {rule: \"Path(`/2`)\", service: s2}\nr3: {rule: \"Path(`/3`)\", service: s3}\nr4: {rule: \"Path(`/4`)\", service: s4}", services='s1: {loadBalancer: {servers: [{url: "http://127.0.0.1:0"}]}}\ns2: {loadBalancer: {servers: [{url: "http://127.0.0.1:99999"}]}}\ns3: {loadBalancer: {servers: [{url: "http://127.0.0.1:abc"}]}}\ns4: {loadBalancer: {servers: [{url: "//${BACKEND_a}"}]}}', names=""), steps=[GET("/1"), GET("/2"), GET("/3"), GET("/4")])
case("y-sticky-two-cookies", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="""
w: {weighted: {sticky: {cookie: {name: outer}}, services: [{name: s}]}}
s: {loadBalancer: {sticky: {cookie: {name: inner}}, servers: [{url: "http://${BACKEND_a}"}]}}
""", names=""), steps=[GET("/", ctl=dict(headers=[["Set-Cookie", "app=1"], ["Set-Cookie", "app2=2"]])), GET("/", headers={"Cookie": "outer=zzz; inner=http://${BACKEND_a}"})])
case("y-sticky-with-headers-mw", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s, middlewares: [h]}", services='s: {loadBalancer: {sticky: {cookie: {name: c}}, servers: [{url: "http://${BACKEND_a}"}]}}', middlewares="h: {headers: {customResponseHeaders: {Set-Cookie: ''}}}", names=""), steps=[GET("/")])
case("y-sticky-cookie-forwarded", backends="a", dyn=lb(SRV("a"), ", sticky: {cookie: {name: c}}"), steps=[GET("/", headers={"Cookie": "c=abc; d=e"})])
case("y-sticky-503", backends="a", dyn=lb("[]", ", sticky: {cookie: {name: c}}"), steps=[GET("/", headers={"Cookie": "c=abc"})])
case("y-sticky-weighted-child-removed", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {sticky: {cookie: {name: c}}, services: [{name: a, weight: 0}, {name: b, weight: 1}]}}", names="a b"), steps=[GET("/", headers={"Cookie": "c=a"}), GET("/", headers={"Cookie": "c=b"})])
case("y-sticky-lb-weight-zero", backends="a b", dyn=lb('[{url: "http://${BACKEND_a}", weight: 0}, {url: "http://${BACKEND_b}"}]', ", sticky: {cookie: {name: c}}"), steps=[GET("/", headers={"Cookie": "c=http://${BACKEND_a}"}), GET("/", headers={"Cookie": "c=http://${BACKEND_b}"})])
case("y-weighted-dup-child", backends="a b", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: a}, {name: a}, {name: b}]}}", names="a b"), steps=[MANY(12, Q(), tol=0)])
case("y-weighted-internal-child", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{name: noop@internal}]}}"), steps=[GET("/")])
case("y-weighted-empty-name", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: w}", services="w: {weighted: {services: [{weight: 1}, {name: a}]}}"), steps=[GET("/")])
case("y-service-unused-broken", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}", services="bad: {loadBalancer: {strategy: nope, servers: []}}\nbad2: {weighted: {services: [{name: nope}]}}"), steps=[GET("/")])
# file provider
case("y-file-bom", dyn={"main.yml": B, "bom.yml": "\ufeff" + R1("bom", "/bom")}, ready="tcp:web", steps=[SLEEP(0.4), GET("/bom"), GET("/base")])
case("y-file-toml-bad", dyn={"main.yml": B}, steps=[WRITE("x.toml", "[http\n"), SLEEP(0.4), GET("/base", want=200), WRITE("x.toml", '[http.routers.t]\nrule = "Path(`/t`)"\nservice = "a"\n'), WAIT(Q("/t"), status=200)])
case("y-file-single-delete-recreate", static_text=("static.yml", "global: {checkNewVersion: false}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\"}}\nproviders: {providersThrottleDuration: 50ms, file: {filename: \"${DIR}/dyn/main.yml\"}}\n"), dyn={"main.yml": http('rdy: {rule: "Path(`/rdy`)", service: a}')}, ready=RDY, steps=[DELETE("main.yml"), SLEEP(0.4), GET("/rdy", want=200), WRITE("main.yml", http('n: {rule: "Path(`/n`)", service: a}')), WAIT(Q("/n"), status=200), GET("/rdy")])
case("y-file-dir-missing", ready="tcp:web", static_text=("static.yml", "global: {checkNewVersion: false}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\"}}\nproviders: {file: {directory: \"${DIR}/nodir\"}}\n"), steps=[GET("/", want=404)])
case("y-file-dir-empty", ready="tcp:web", static_text=("static.yml", "global: {checkNewVersion: false}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\"}}\nproviders: {providersThrottleDuration: 50ms, file: {directory: \"${DIR}/dyn\"}}\n"), steps=[GET("/", want=404), WRITE("main.yml", B), WAIT(Q("/base"), status=200)])
def k8s(c):
    """a ConfigMap mount: ..data is a link that is swapped"""
    d = c.dir + "/dyn"
    for i in ("1", "2"):
        os.makedirs(f"{d}/..{i}")
        c.writefile(f"dyn/..{i}/cm.yml", R1("cm", f"/cm{i}"))
    os.symlink("..1", d + "/..data"); os.symlink("..data/cm.yml", d + "/cm.yml")
    return {}
def swap(c):
    d = c.dir + "/dyn"
    os.symlink("..2", d + "/..tmp"); os.rename(d + "/..tmp", d + "/..data")
    return {}
case("y-file-sort-case", dyn={"B.yml": R1("r", "/upper"), "a.yml": R1("r", "/lower"), "z.yml": B}, steps=[GET("/upper"), GET("/lower")])
case("y-file-dup-service-same", backends="a b", dyn={"1.yml": B, "2.yml": http("", services='a: {loadBalancer: {servers: [{url: "http://${BACKEND_b}"}]}}', names="")}, steps=[GET("/base")])
case("y-file-dup-transport", dyn={"1.yml": B + "\n  serversTransports: {t: {insecureSkipVerify: true}}\n", "2.yml": "http: {serversTransports: {t: {insecureSkipVerify: false}}}\n"}, ready="tcp:web", steps=[SLEEP(0.4), GET("/base")])
case("y-file-cross-file-refs", dyn={"1.yml": 'http: {routers: {r: {rule: "PathPrefix(`/x`)", service: s, middlewares: [m]}}}', "sub/2.yml": http("", services='s: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}', names=""), "sub/3.toml": '[http.middlewares.m.addPrefix]\nprefix = "/m"\n'}, steps=[GET("/x")])
case("y-file-big", dyn={"main.yml": http("\n".join(f'r{i}: {{rule: "Path(`/p{i}`)", service: a}}' for i in range(500)))}, steps=[GET("/p0"), GET("/p499"), GET("/p500")])
case("y-file-bools-and-case", dyn={"main.yml": 'HTTP:\n  ROUTERS:\n    R: {RULE: "PathPrefix(`/x`)", Service: S, ENTRYPOINTS: [web]}\n  SERVICES:\n    S: {LOADBALANCER: {PASSHOSTHEADER: False, SERVERS: [{URL: "http://${BACKEND_a}"}]}}\n'}, ready="tcp:web", steps=[WAIT(Q("/x"), status=200), GET("/x")])
case("y-file-yaml-bool-words", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s}", services='s: {loadBalancer: {passHostHeader: no, servers: [{url: "http://${BACKEND_a}"}]}}', names=""), ready="tcp:web", steps=[SLEEP(0.4), GET("/")])
case("y-file-durations", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [m]}", middlewares="m: {retry: {attempts: 2, initialInterval: 1m0.5s}}"), ready="tcp:web", steps=[SLEEP(0.3), GET("/")])
case("y-file-int-as-string", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, priority: 10, middlewares: [m]}", middlewares='m: {retry: {attempts: "2"}}'), ready="tcp:web", steps=[SLEEP(0.3), GET("/")])
case("y-file-list-as-string", dyn=http("r: {rule: \"PathPrefix(`/s`)\", service: a, middlewares: [m]}", middlewares='m: {stripPrefix: {prefixes: "/s"}}'), ready="tcp:web", steps=[SLEEP(0.3), GET("/s/x")])
case("y-file-list-as-csv", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [m]}", middlewares='m: {stripPrefix: {prefixes: "/s,/t"}}'), ready="tcp:web", steps=[SLEEP(0.3), GET("/s/x"), GET("/t/x")])
case("y-file-router-mw-csv", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: \"m,n\"}", middlewares='m: {addPrefix: {prefix: /m}}\nn: {addPrefix: {prefix: /n}}'), ready="tcp:web", steps=[SLEEP(0.3), GET("/x")])
# entry points
case("y-ep-mw-order-chain", static="entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {middlewares: [c@file]}}}", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [z]}", middlewares="c: {chain: {middlewares: [x, y]}}\nx: {addPrefix: {prefix: /x}}\ny: {addPrefix: {prefix: /y}}\nz: {addPrefix: {prefix: /z}}"), steps=[GET("/p")])
case("y-ep-mw-ping", static="entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {middlewares: [auth@file]}}}\nping: {entryPoint: web}", dyn=http("r: {rule: \"PathPrefix(`/x`)\", service: a}", middlewares="auth: {basicAuth: {users: ['u:p']}}"), steps=[GET("/ping"), GET("/x"), GET("/404")])
case("y-ep-mw-ping-missing", static="entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {middlewares: [nope@file]}}}\nping: {entryPoint: web}", dyn=http("r: {rule: \"PathPrefix(`/x`)\", service: a}"), steps=[GET("/ping"), GET("/x")])
case("y-ep-enc-ping", static="entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {encodedCharacters: {allowEncodedSlash: false}}}}\nping: {entryPoint: web}", dyn=http("r: {rule: \"PathPrefix(`/x`)\", service: a}"), steps=[GET("/ping/a%2Fb"), GET("/ping")])
case("y-ep-red-enc", static="entryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {encodedCharacters: {allowEncodedSlash: false}, redirections: {entryPoint: {to: ':443'}}}}}", dyn=B, steps=[GET("/a%2Fb"), GET("/x")])
case("y-ep-red-chain", static="""
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: web2, scheme: http}}}}
  web2: {address: "127.0.0.1:${PORT_web2}", http: {redirections: {entryPoint: {to: web3, scheme: http, permanent: false}}}}
  web3: {address: "127.0.0.1:${PORT_web3}"}
""", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a}"), steps=[GET("/x"), GET("/x", ep="web2"), GET("/x", ep="web3"), GET("/x", host="h.test:${PORT_web}"), GET("/x", host="127.0.0.1:${PORT_web}"), GET("/x", host="[::1]:80"), PUT("/x", "b"), R("DELETE", "/x"), OPTIONS("/x")])
case("y-ep-red-addr-noport", static="""
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: "8443"}}}}
""", dyn=B, steps=[GET("/x")])
case("y-ep-red-bad-port", static="""
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: ":abc"}}}}
""", dyn=B, steps=[GET("/base")])
case("y-ep-red-upper-scheme", static="""
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: ":443", scheme: HTTPS}}}}
""", dyn=B, steps=[GET("/base")])
case("y-ep-red-ws", static="""
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: ":443"}}}}
""", dyn=B, steps=[GET("/base", headers={"Connection": "Upgrade", "Upgrade": "websocket"})])
case("y-ep-red-to-udp", static="""
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}", http: {redirections: {entryPoint: {to: WEB2}}}}
  web2: {address: "127.0.0.1:${PORT_web2}"}
""", dyn=B, steps=[GET("/base")])
# env lists and so on
D = {"d.yml": 'http: {routers: {rdy: {rule: "Path(`/rdy`)", service: a}, r: {rule: "PathPrefix(`/`)", service: a, priority: 1}}, middlewares: {m1: {addPrefix: {prefix: /m1}}, m2: {addPrefix: {prefix: /m2}}}, services: {a: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}}}'}
GE = {"TRAEFIK_GLOBAL_CHECKNEWVERSION": "false", "TRAEFIK_GLOBAL_SENDANONYMOUSUSAGE": "false", "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": "127.0.0.1:${PORT_web}", "TRAEFIK_PROVIDERS_FILE_FILENAME": "${DIR}/d.yml"}
case("y-env-list", ready=RDY, files=D, env=dict(GE, TRAEFIK_ENTRYPOINTS_WEB_HTTP_MIDDLEWARES="m1@file,m2@file"), steps=[GET("/x")])
case("y-env-list-spaces", ready=RDY, files=D, env=dict(GE, TRAEFIK_ENTRYPOINTS_WEB_HTTP_MIDDLEWARES="m1@file, m2@file"), steps=[GET("/x")])
case("y-env-red", ready=RDY, files=D, env=dict(GE, TRAEFIK_ENTRYPOINTS_OLD_ADDRESS="127.0.0.1:${PORT_old}", TRAEFIK_ENTRYPOINTS_OLD_HTTP_REDIRECTIONS_ENTRYPOINT_TO="web", TRAEFIK_ENTRYPOINTS_OLD_HTTP_REDIRECTIONS_ENTRYPOINT_SCHEME="http"), steps=[GET("/x", ep="old"), GET("/x")])
case("y-env-bad-value", ready="exit", files=D, env=dict(GE, TRAEFIK_PROVIDERS_FILE_WATCH="maybe"), steps=[EXIT(timeout=4, code="zero?")])
case("y-env-throttle-int", ready=RDY, files=D, env=dict(GE, TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION="1"), steps=[GET("/x")])
case("y-env-lowercase", ready="exit", files=D, env={"traefik_entrypoints_web_address": "127.0.0.1:${PORT_web}"}, steps=[SLEEP(0.5), LISTEN("web")])
FA = ["--global.checkNewVersion=false", "--entryPoints.web.address=127.0.0.1:${PORT_web}", "--providers.file.filename=${DIR}/d.yml"]
case("y-flag-duration", ready=RDY, files=D, args=FA + ["--providers.providersThrottleDuration=10", "--entrypoints.web.transport.respondingtimeouts.readtimeout=5s"], steps=[GET("/x")])
case("y-flag-red", ready=RDY, files=D, args=FA + ["--entrypoints.old.address=127.0.0.1:${PORT_old}", "--entrypoints.old.http.redirections.entrypoint.to=web", "--entrypoints.old.http.redirections.entrypoint.scheme=http", "--entrypoints.old.http.redirections.entrypoint.permanent=false"], steps=[GET("/x", ep="old")])
case("y-flag-static-list", ready=RDY, files=D, args=FA + ["--entrypoints.web.forwardedheaders.trustedips=127.0.0.1/32,10.0.0.0/8"], steps=[GET("/x", headers={"X-Forwarded-For": "1.2.3.4"})])
case("y-flag-quoted", ready=RDY, files=D, args=FA + ["--ping.entrypoint=web", "--ping.terminatingstatuscode=204"], steps=[GET("/ping")])
case("y-flag-empty-bool", ready="exit", files=D, args=FA + ["--ping="], steps=[SLEEP(0.5), LISTEN("web")])
case("y-flag-enc", ready=RDY, files=D, args=FA + ["--entrypoints.web.http.encodedcharacters.allowencodedslash=false"], steps=[GET("/a%2Fb"), GET("/a%23b")])
case("y-flag-double-dash", ready="exit", files=D, args=["--"] + FA, steps=[SLEEP(0.6), LISTEN("web")])
case("y-static-jsonfile", ready="exit", static_text=("static.json", '{"entryPoints": {"web": {"address": "127.0.0.1:${PORT_web}"}}}'), steps=[EXIT(timeout=4, code="zero?")])
case("y-static-dup-eps-same-port", ready="exit", static_text=("static.yml", 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, web2: {address: "127.0.0.1:${PORT_web}"}}\n'), steps=[EXIT(timeout=4, code="zero?")])
case("y-static-loopback-names", ready=RDY, files=D, static_text=("static.yml", 'global: {checkNewVersion: false}\nentryPoints: {web: {address: "localhost:${PORT_web}"}}\nproviders: {file: {filename: "${DIR}/d.yml"}}\n'), steps=[GET("/x")])
# headers, misc on the wire
case("y-mw-headers-host-rule", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [h]}\nr2: {rule: \"Host(`other.host`)\", service: a, priority: 1000}", middlewares="h: {headers: {customRequestHeaders: {Host: other.host}}}"), steps=[GET("/")])
case("y-mw-basic-then-headers", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [h, b]}", middlewares="h: {headers: {customResponseHeaders: {X-H: '1'}, stsSeconds: 5, forceSTSHeader: true}}\nb: {basicAuth: {users: ['u:p']}}"), steps=[GET("/")])
case("y-mw-cors-auth-order", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [h, b]}\nq: {rule: \"PathPrefix(`/q`)\", service: a, middlewares: [b, h]}", middlewares="h: {headers: {accessControlAllowOriginList: ['http://foo.test'], accessControlAllowMethods: [GET]}}\nb: {basicAuth: {users: ['u:p']}}"), steps=[OPTIONS(p, headers={"Origin": "http://foo.test", "Access-Control-Request-Method": "GET"}) for p in ("/", "/q")])
case("y-mw-redirect-then-strip", dyn=http("r: {rule: \"PathPrefix(`/a`)\", service: a, middlewares: [st, rd]}", middlewares="st: {stripPrefix: {prefixes: [/a]}}\nrd: {redirectScheme: {scheme: https}}"), steps=[GET("/a/b?c=d"), GET("/a")])
case("y-mw-redirectregex-after-strip", dyn=http("r: {rule: \"PathPrefix(`/a`)\", service: a, middlewares: [st, rd]}", middlewares="st: {stripPrefix: {prefixes: [/a]}}\nrd: {redirectRegex: {regex: '^http://h.test/(.*)', replacement: 'http://z.test/$1'}}"), steps=[GET("/a/b?c=d"), GET("/a")])
case("y-mw-retry-sticky", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: s, middlewares: [rt]}", services='s: {loadBalancer: {sticky: {cookie: {name: c}}, servers: [{url: "http://${BACKEND_a}"}, {url: "http://${DEAD_x}"}]}}', middlewares="rt: {retry: {attempts: 4}}", names=""), steps=[CALL(lambda c: {"one": sorted({sum(k.lower() == "set-cookie" for k, _ in c.raw_req(dict(op="req", method="GET", path="/"))["headers"]) for _ in range(6)})})])
case("y-mw-retry-strip", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [rt, st]}", middlewares="rt: {retry: {attempts: 3, status: ['503']}}\nst: {stripPrefix: {prefixes: [/s]}}"), steps=[GET("/s/s/x", ctl=dict(fail=dict(n=2, key="k")))])
case("y-mw-retry-headers-accumulate", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [rt, h]}", middlewares="rt: {retry: {attempts: 3, status: ['503']}}\nh: {headers: {customRequestHeaders: {X-A: '1'}, customResponseHeaders: {X-B: '2'}}}"), steps=[GET("/x", ctl=dict(fail=dict(n=2, key="k")))])
case("y-mw-retry-503-noserver", backends="a", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: e, middlewares: [rt]}", services="e: {loadBalancer: {servers: []}}", middlewares="rt: {retry: {attempts: 3, initialInterval: 100ms}}"), steps=[GET("/", t=(0, 0.2))])
case("y-mw-replacepath-strip-query", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [rp, st]}", middlewares="rp: {replacePath: {path: /s/new}}\nst: {stripPrefix: {prefixes: [/s]}}"), steps=[GET("/old?x=1")])
