from lib.dsl import *
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
API_S = """
api: {insecure: true}
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}
"""
METRICS_S = """
metrics: {prometheus: {addServicesLabels: true, addRoutersLabels: true}}
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}
"""
HC = "healthCheck: {path: /health, interval: 100ms, timeout: 90ms}"


def lb(name, backend, extra=HC):
    return '%s: {loadBalancer: {%s, servers: [{url: "http://${BACKEND_%s}"}]}}\n' % (name, extra, backend)


def comp(name, services, steps, backends="a b", names="a b", mw="", **kw):
    case("x-" + name, backends=backends, dyn=http('r: {rule: "PathPrefix(`/`)", service: s}', services=services, names=names, middlewares=mw), steps=list(steps), **kw)


def api(name, services, state="enabled", **kw):
    """How a service is shown; what is said of a broken one is each gateway's own."""
    steps = [API("/api/http/services/s@file", **({} if state == "enabled" else dict(pick=["status", "type", "usedBy", "name", "provider"]))), API("/api/http/routers/r@file", pick=["using", "service", "name"])]
    comp(name, services, [Q("/", only=("status", "backend"))] + steps, static=API_S, **kw)


# -- mirroring
MIR = "s: {mirroring: {service: a, mirrors: [{name: b, percent: %s}]%s}}"
CHUNKED = "POST %s HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n%s0\n\n"
comp("mirror-post", MIR % (100, ""), [POST("/p?x=1;y", "hello", headers={"X-A": "1", "TE": "trailers", "Connection": "x-b", "X-B": "2"}, settle=0.3), PUT("/big", "x" * 4000, settle=0.3), R("PATCH", "/m", body="ab", headers={"X-Forwarded-For": "1.2.3.4", "Cookie": "a=b; c=d", "Authorization": "Basic x"}, settle=0.3)])
comp("mirror-large-body", MIR % (100, ""), [R("POST", "/p", body_size=300000, settle=0.5), R("POST", "/q", body_size=300000, chunked=True, settle=0.5)])
comp("mirror-chunked-trailer", MIR % (100, ""), [RAW("POST /c HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\nTrailer: X-T\n\n3\nabc\n0\nX-T: v\n\n", settle=0.4)])
comp("mirror-no-body", MIR % (100, ", mirrorBody: false"), [POST("/p", "hello", settle=0.4), Q("/g", settle=0.3), POST("/e", "", settle=0.3), RAW(CHUNKED % ("/c", "3\nabc\n"), settle=0.4)])
comp("mirror-max-body", MIR % (100, ", maxBodySize: 5"), [POST("/five", "hello", settle=0.3), POST("/six", "hello!", settle=0.3), POST("/zero", "", settle=0.3), RAW(CHUNKED % ("/c", "6\nabcdef\n"), settle=0.4), RAW(CHUNKED % ("/d", "5\nabcde\n"), settle=0.4), Q("/g", settle=0.3)])
comp("mirror-max-body-zero", MIR % (100, ", maxBodySize: 0"), [POST("/five", "hello", settle=0.3), Q("/g", settle=0.3), RAW(CHUNKED % ("/c", ""), settle=0.4)])
comp("mirror-max-body-negative", MIR % (100, ", maxBodySize: -7"), [POST("/five", "hello", settle=0.3)])
comp("mirror-max-body-no-body", MIR % (100, ", maxBodySize: 2, mirrorBody: false"), [POST("/five", "hello", settle=0.4)])
for p in (0, 1, 30, 50, 67, 99):
    comp("mirror-percent-%d" % p, MIR % (p, ""), [Q("/%d" % i, settle=0.08) for i in range(10)])
comp("mirror-percent-unset", "s: {mirroring: {service: a, mirrors: [{name: b}]}}", [Q("/"), Q("/")])
comp("mirror-two", "s: {mirroring: {service: a, mirrors: [{name: b, percent: 50}, {name: c, percent: 34}]}}", [Q("/%d" % i, settle=0.15) for i in range(6)], backends="a b c", names="a b c")
comp("mirror-percent-past-limit", MIR % (50, ", maxBodySize: 2"), [POST("/1", "abc", settle=0.1), POST("/2", "ab", settle=0.2), POST("/3", "ab", settle=0.2), POST("/4", "ab", settle=0.2)])
comp("mirror-none", "s: {mirroring: {service: a}}", [Q("/"), POST("/", "abc")])
comp("mirror-missing", "s: {mirroring: {service: a, mirrors: [{name: nope, percent: 10}]}}", [Q("/")])
comp("mirror-missing-main", "s: {mirroring: {service: nope, mirrors: [{name: b, percent: 10}]}}", [Q("/")])
comp("mirror-kinds-of-requests", MIR % (100, ""), [HEAD("/h", settle=0.3), RAW("GET /old HTTP/1.0\n\n", settle=0.3), R("OPTIONS", "/o", settle=0.3), R("DELETE", "/d", settle=0.3), R("BREW", "/b", body="x", settle=0.3), POST("/2", "abc", h2=True, settle=0.3), Q("/3", h2=True, settle=0.3)])
comp("mirror-expect", MIR % (100, ""), [R("PUT", "/e", headers={"Expect": "100-continue"}, body="xyz", settle=0.4)])
comp("mirror-websocket", MIR % (100, ""), [WS("/ws", ["hi"], settle=0.5)])
comp("mirror-malformed-body", MIR % (100, ""), [RAW(CHUNKED % ("/c", "zz\nabc\n"), settle=0.4)])
comp("mirror-main-unreachable", "s: {mirroring: {service: dead, mirrors: [{name: b, percent: 100}]}}\ndead: {loadBalancer: {servers: [{url: \"http://${DEAD_x}\"}]}}", [POST("/x", "abc", settle=0.3)])
comp("mirror-main-down", "s: {mirroring: {service: pa, mirrors: [{name: b, percent: 100}], healthCheck: {}}}\n" + lb("pa", "a"), [SET("a", health=500), WAIT(Q(), status=503), SLEEP(0.2), POST("/x", "abc", settle=0.3)])
comp("mirror-main-aborts", MIR % (100, ""), [Q("/1", settle=0.3)], backends={"a": {"default": {"abort": "before"}}, "b": {}})
comp("mirror-answers", MIR % (100, ""), [Q("/1", settle=0.3), HEAD("/2", settle=0.3), Q("/3", settle=0.3)], backends={"a": {"default": {"framing": "chunked", "body_size": 5000}}, "b": {"default": {"body_size": 200000, "status": 500}}})
comp("mirror-h2c", "s: {mirroring: {service: a, mirrors: [{name: h, percent: 100}]}}\nh: {loadBalancer: {servers: [{url: \"h2c://${BACKEND_b}\"}]}}", [POST("/1", "abc", settle=0.3), POST("/2", "", settle=0.3)])
comp("mirror-of-itself", "s: {mirroring: {service: a, mirrors: [{name: a, percent: 100}]}}", [POST("/1", "abc", settle=0.3)])
comp("mirror-sticky", "s: {mirroring: {service: st, mirrors: [{name: mt, percent: 100}]}}\n" + lb("st", "a", "sticky: {cookie: {name: ck}}") + lb("mt", "b", "sticky: {cookie: {name: other}}"), [Q("/1", settle=0.3)])
comp("mirror-host", "s: {mirroring: {service: st, mirrors: [{name: mt, percent: 100}]}}\n" + lb("st", "a", "passHostHeader: false") + lb("mt", "b", "passHostHeader: false"), [Q("/1", settle=0.3)])
comp("mirror-middlewares", "s: {mirroring: {service: main, mirrors: [{name: m, percent: 100}]}, middlewares: [p]}\nmain: {middlewares: [q], loadBalancer: {servers: [{url: \"http://${BACKEND_a}\"}]}}\nm: {middlewares: [p], loadBalancer: {servers: [{url: \"http://${BACKEND_b}\"}]}}", [POST("/", "abc", settle=0.3)], mw="p: {addPrefix: {prefix: /x}}\nq: {headers: {customRequestHeaders: {X-Main: '1'}}}")
comp("mirror-metrics", MIR % (100, ""), [POST("/x", "abc", settle=0.3), METRICS(ep="traefik", values=["traefik_service_requests_total", "traefik_service_requests_bytes_total", "traefik_entrypoint_requests_total"])], static=METRICS_S)
api("mirror-api", MIR % (30, ""))
api("mirror-api-options", MIR % (0, ", mirrorBody: false, maxBodySize: 0, healthCheck: {}"))
api("mirror-api-percent-over", MIR % (101, ""), "disabled")
api("mirror-api-percent-negative", MIR % (-1, ""), "disabled")
api("mirror-health-without-child", "s: {mirroring: {service: a, healthCheck: {}}}")

# -- failover
FO = "s: {failover: {service: a, fallback: b%s}}"
api("failover-without-health", FO % "", "disabled")
api("failover-api-errors", FO % ", errors: {status: ['500']}")
api("failover-api-zero", FO % ", errors: {status: ['500'], maxRequestBodyBytes: 0}")
api("failover-bad-status", FO % ", errors: {status: ['x']}", "disabled")
api("failover-no-status", FO % ", errors: {maxRequestBodyBytes: 5}", "disabled")
api("failover-no-fallback", "s: {failover: {service: a, errors: {status: ['500']}}}", "disabled")
api("failover-unknown-fallback", "s: {failover: {service: a, fallback: nope, errors: {status: ['500']}}}", "disabled")
api("failover-fallback-without-health", "s: {failover: {service: pa, fallback: b, healthCheck: {}}}\n" + lb("pa", "a"), "disabled")
api("failover-weighted-without-health", "s: {failover: {service: w, fallback: b}}\nw: {weighted: {services: [{name: pa}]}}\n" + lb("pa", "a"), "disabled")
comp("failover-down", "s: {failover: {service: pa, fallback: b}}\n" + lb("pa", "a"), [Q("/"), SET("a", health=500), WAIT(Q("/"), backend="b"), POST("/x", "abc"), API("/api/http/services/pa@file"), API("/api/http/services/s@file"), SET("a", health=200), WAIT(Q("/"), backend="a"), Q("/y")], static=API_S)
comp("failover-both-down", "s: {failover: {service: pa, fallback: pb, healthCheck: {}}}\n" + lb("pa", "a") + lb("pb", "b"), [SET("a", health=500), SET("b", health=500), WAIT(Q("/"), status=503), POST("/x", "abc"), SET("b", health=200), WAIT(Q("/"), backend="b"), Q("/y")])
comp("failover-both-down-unseen", "s: {failover: {service: pa, fallback: pb}}\n" + lb("pa", "a") + lb("pb", "b"), [SET("a", health=500), SET("b", health=500), WAIT(Q("/"), status=503), POST("/x", "abc"), SET("b", health=200), WAIT(Q("/"), backend="b"), Q("/y")])
comp("failover-weighted", "s: {failover: {service: w, fallback: b}}\nw: {weighted: {healthCheck: {}, services: [{name: pa}]}}\n" + lb("pa", "a"), [Q("/"), SET("a", health=500), WAIT(Q("/"), backend="b"), Q("/x"), SET("a", health=200), WAIT(Q("/"), backend="a"), Q("/y")])
comp("failover-middlewares", "s: {failover: {service: pa, fallback: b}, middlewares: [m]}\npa: {middlewares: [m], loadBalancer: {%s, servers: [{url: \"http://${BACKEND_a}\"}]}}\n" % HC, [Q("/"), SET("a", health=500), WAIT(Q("/"), backend="b"), Q("/")], mw="m: {addPrefix: {prefix: /x}}")
comp("failover-errors-and-health", "s: {failover: {service: pa, fallback: b, errors: {status: ['418']}}}\n" + lb("pa", "a"), [Q("/c", ctl=dict(status=418), only=("backend",)), SET("a", health=500), SLEEP(0.5), Q("/d"), SET("a", health=200), SLEEP(0.5), Q("/d")])
comp("failover-empty", 's: {failover: {service: pa, fallback: b}}\npa: {loadBalancer: {healthCheck: {path: /health, interval: 100ms}, servers: []}}', [Q("/1"), SLEEP(0.3), Q("/2")])
BE = {"a": {"routes": {"/e": {"status": 500, "headers": [["X-Main", "1"], ["Set-Cookie", "m=1"]]}, "/big": {"status": 502, "body_size": 200000}, "/503": {"status": 503}, "/i": {"status": 200, "interim": [[103, [["Link", "x"]]]]}, "/ie": {"status": 404, "interim": [[103, [["Link", "x"]]]]}}}, "b": {"default": {"headers": [["X-Fb", "1"]], "status": 404}, "routes": {"/big": {"status": 200}}}}
ERR = FO % ", errors: {status: ['500-502', '404']%s}"
comp("failover-errors", ERR % "", [Q("/ok"), Q("/e"), POST("/e", "hello"), HEAD("/e"), Q("/503"), Q("/big"), Q("/e?x=1;2", headers={"X-A": "1", "X-Forwarded-For": "1.2.3.4"}), R("POST", "/e", body_size=300000)], backends=BE)
comp("failover-errors-interim", ERR % "", [Q("/i"), Q("/ie")], backends=dict(BE, b={"default": {"interim": [[103, [["Link", "y"]]]]}}))
comp("failover-errors-chunked", ERR % "", [RAW("POST /e HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\nTrailer: X-T\n\n3\nabc\n0\nX-T: v\n\n"), RAW("GET /e HTTP/1.0\n\n")], backends=BE)
comp("failover-errors-expect", ERR % "", [R("PUT", "/e", headers={"Expect": "100-continue"}, body="xyz")], backends=BE)
comp("failover-errors-websocket", ERR % "", [WS("/ws", ["hi"])], backends=BE)
comp("failover-errors-sticky", "s: {failover: {service: st, fallback: sb, errors: {status: ['500']}}}\n" + lb("st", "a", "sticky: {cookie: {name: ck}}") + lb("sb", "b", "sticky: {cookie: {name: cb}}"), [Q("/ok"), Q("/e")], backends=BE)
comp("failover-errors-host", "s: {failover: {service: st, fallback: sb, errors: {status: ['500']}}, middlewares: [p]}\nst: {middlewares: [p], loadBalancer: {passHostHeader: false, servers: [{url: \"http://${BACKEND_a}\"}]}}\n" + lb("sb", "b", "passHostHeader: false"), [Q("/ok"), Q("/e")], backends={"a": {"default": {"status": 500}}, "b": {}}, mw="p: {addPrefix: {prefix: /x}}")
comp("failover-errors-max", ERR % ", maxRequestBodyBytes: 5", [POST("/e", "hello"), POST("/e", "hello!"), POST("/ok", "hello!"), Q("/e"), RAW(CHUNKED % ("/e", "6\nabcdef\n")), RAW(CHUNKED % ("/c", "zz\nabc\n"))], backends=BE)
comp("failover-errors-max-zero", ERR % ", maxRequestBodyBytes: 0", [POST("/e", "h"), POST("/e", ""), RAW(CHUNKED % ("/e", "")), Q("/e")], backends=BE)
comp("failover-errors-max-h2", ERR % ", maxRequestBodyBytes: 5", [POST("/e", "abcdefgh", h2=True), POST("/e", "abc", h2=True), POST("/e", "abcdefgh", version="HTTP/1.0")], backends=BE)
comp("failover-errors-unreachable", "s: {failover: {service: dead, fallback: b, errors: {status: ['502']}}}\ndead: {loadBalancer: {servers: [{url: \"http://${DEAD_x}\"}]}}", [Q("/"), POST("/x", "abc")])
comp("failover-errors-no-server", "s: {failover: {service: none, fallback: b, errors: {status: ['503']}}}\nnone: {loadBalancer: {servers: []}}", [Q("/"), POST("/x", "abc")])
comp("failover-metrics", FO % ", errors: {status: ['500']}", [POST("/e", "abc", settle=0.3), METRICS(ep="traefik", values=["traefik_service_requests_total", "traefik_service_requests_bytes_total", "traefik_entrypoint_requests_total"])], backends=BE, static=METRICS_S)

# -- health of parts
api("weighted-health-without-child", "s: {weighted: {healthCheck: {}, services: [{name: a}]}}", "disabled")
api("weighted-health-passive-child", "s: {weighted: {healthCheck: {}, services: [{name: pa}]}}\n" + lb("pa", "a", "passiveHealthCheck: {failureWindow: 5s}"), "disabled")
api("weighted-health-mirror", "s: {weighted: {healthCheck: {}, services: [{name: m}]}}\nm: {mirroring: {service: pa, healthCheck: {}}}\n" + lb("pa", "a"))
api("weighted-health-mirror-without", "s: {weighted: {healthCheck: {}, services: [{name: m}]}}\nm: {mirroring: {service: pa}}\n" + lb("pa", "a"), "disabled")
api("weighted-health-mirror-of-none", "s: {weighted: {healthCheck: {}, services: [{name: m}]}}\nm: {mirroring: {service: a, healthCheck: {}}}\n", "disabled")
api("weighted-health-middlewares", "s: {weighted: {healthCheck: {}, services: [{name: pa}]}}\npa: {middlewares: [m], loadBalancer: {%s, servers: [{url: \"http://${BACKEND_a}\"}]}}\n" % HC, mw="m: {addPrefix: {prefix: /x}}")
comp("weighted-health", "s: {weighted: {healthCheck: {}, services: [{name: pa}, {name: pb}]}}\n" + lb("pa", "a") + lb("pb", "b"), [MANY(4, Q(), tol=0), SET("a", health=500), SLEEP(0.4), MANY(4, Q(), tol=0), SET("b", health=500), SLEEP(0.4), Q("/x"), SET("a", health=200), SLEEP(0.4), MANY(4, Q(), tol=0)])
comp("weighted-health-sticky", "s: {weighted: {healthCheck: {}, sticky: {cookie: {name: ck}}, services: [{name: pa}, {name: pb}]}}\n" + lb("pa", "a") + lb("pb", "b"), [Q("/", headers={"Cookie": "ck=pa"}), SET("a", health=500), SLEEP(0.4), Q("/", headers={"Cookie": "ck=pa"}), Q("/", headers={"Cookie": "ck=pb"})])
comp("weighted-health-levels", "s: {weighted: {healthCheck: {}, services: [{name: w}, {name: pb}]}}\nw: {weighted: {healthCheck: {}, services: [{name: f}]}}\nf: {failover: {service: pa, fallback: pc, healthCheck: {}}}\n" + lb("pa", "a") + lb("pb", "b") + lb("pc", "c"), [MANY(4, Q(), tol=0), SET("a", health=500), SLEEP(0.4), MANY(4, Q(), tol=0), SET("c", health=500), SLEEP(0.4), MANY(4, Q(), tol=0), SET("b", health=500), SLEEP(0.4), Q("/x"), SET("c", health=200), SLEEP(0.4), MANY(4, Q(), tol=0)], backends="a b c", names="")
comp("weighted-health-empty-child", "s: {weighted: {healthCheck: {}, services: [{name: pa}, {name: pb}]}}\npa: {loadBalancer: {healthCheck: {path: /health, interval: 100ms}, servers: []}}\n" + lb("pb", "b"), [MANY(4, Q("/1"), tol=0)])

# -- highestRandomWeight
api("hrw-api", "s: {highestRandomWeight: {services: [{name: a}, {name: b, weight: 3}]}}")
api("hrw-health-without-child", "s: {highestRandomWeight: {healthCheck: {}, services: [{name: a}]}}", "disabled")
api("hrw-unknown-child", "s: {highestRandomWeight: {services: [{name: a}, {name: nope}]}}", "disabled")
comp("hrw-weights", "s: {highestRandomWeight: {services: [{name: a, weight: 0}, {name: b, weight: 1}]}}", [MANY(4, Q(), tol=0)])
comp("hrw-weight-negative", "s: {highestRandomWeight: {services: [{name: a, weight: -1}, {name: b, weight: 5}]}}", [MANY(4, Q(), tol=0)])
comp("hrw-nobody", "s: {highestRandomWeight: {services: [{name: a, weight: 0}]}}", [Q()])
comp("hrw-empty", "s: {highestRandomWeight: {services: []}}", [Q()])
comp("hrw-clients", "s: {highestRandomWeight: {services: [{name: a}, {name: b, weight: 2}, {name: c@file}]}}", [Q("/%d" % i, src="127.0.0.%d" % i, cmp_backend=True) for i in range(1, 13)], backends="a b c", names="a b c")
comp("hrw-health", "s: {highestRandomWeight: {healthCheck: {}, services: [{name: pa}, {name: pb}]}}\n" + lb("pa", "a") + lb("pb", "b"), [MANY(4, Q(), tol=0), SET("a", health=500), SLEEP(0.4), MANY(4, Q(), tol=0), SET("b", health=500), SLEEP(0.4), Q("/x"), SET("a", health=200), SLEEP(0.4), MANY(4, Q(), tol=0)])

# -- passiveHealthCheck
def passive(window, attempts, more="", servers=1):
    urls = ", ".join('{url: "http://${BACKEND_%s}"}' % b for b in "ab"[:servers])
    return "s: {loadBalancer: {passiveHealthCheck: {failureWindow: %s, maxFailedAttempts: %s}%s, servers: [%s]}}" % (window, attempts, more, urls)


FAIL = dict(status=500)
api("passive-api", passive("5s", 3))
comp("passive-once", passive("1s", 1), [Q("/"), Q("/", ctl=FAIL), Q("/"), API("/api/http/services/s@file"), SLEEP(1.2), Q("/")], static=API_S)
comp("passive-defaults", 's: {loadBalancer: {passiveHealthCheck: {failureWindow: 800ms}, servers: [{url: "http://${BACKEND_a}"}]}}', [Q("/", ctl=FAIL), Q("/"), SLEEP(1), Q("/")])
comp("passive-three", passive("1s", 3), [Q("/1", ctl=FAIL), Q("/2", ctl=FAIL), Q("/3"), Q("/4", ctl=FAIL), Q("/5", ctl=dict(status=599)), Q("/6", ctl=FAIL), Q("/7"), SLEEP(1.2), Q("/8")])
comp("passive-what-counts", passive("5s", 1), [Q("/1", ctl=dict(status=499)), Q("/2", ctl=dict(status=404)), POST("/3", "x"), HEAD("/4", ctl=dict(status=503)), Q("/5")])
comp("passive-window-zero", passive("0s", 1), [Q("/1", ctl=FAIL), SLEEP(0.1), Q("/2"), Q("/3", ctl=FAIL), SLEEP(0.1), Q("/4")])
comp("passive-window-negative", passive("-1s", 1), [Q("/1", ctl=FAIL), SLEEP(0.1), Q("/2")])
comp("passive-attempts-zero", passive("1s", 0), [Q("/0"), Q("/1", ctl=FAIL), Q("/2")])
comp("passive-attempts-negative", passive("1s", -1), [Q("/0"), Q("/1", ctl=FAIL), Q("/2")])
comp("passive-window-passes", passive("500ms", 2), [Q("/1", ctl=FAIL), SLEEP(0.6), Q("/2", ctl=FAIL), Q("/3")])
comp("passive-unreachable", passive("3s", 1, servers=2), [KILL("b"), MANY(2, Q(), tol=1), MANY(6, Q(), tol=0)])
comp("passive-aborts", passive("1s", 1), [Q("/1", ctl=dict(abort="before")), Q("/2")])
comp("passive-and-active", passive("200ms", 1, ", healthCheck: {path: /health, interval: 1500ms}"), [Q("/0"), Q("/1", ctl=FAIL), Q("/2"), SLEEP(0.6), Q("/3"), SLEEP(1.6), Q("/4")])
comp("passive-sticky", passive("2s", 1, ", sticky: {cookie: {name: ck}}", 2), [Q("/", headers={"Cookie": "ck=http://${BACKEND_a}"}), Q("/", ctl=FAIL, headers={"Cookie": "ck=http://${BACKEND_a}"}), Q("/", headers={"Cookie": "ck=http://${BACKEND_a}"})])
comp("passive-failover", 's: {failover: {service: pa, fallback: b}}\npa: {loadBalancer: {passiveHealthCheck: {failureWindow: 500ms}, healthCheck: {path: /health, interval: 10s}, servers: [{url: "http://${BACKEND_a}"}]}}', [Q("/1", ctl=FAIL), Q("/2")])
comp("passive-service-middleware", 's: {middlewares: [e], loadBalancer: {passiveHealthCheck: {failureWindow: 2s}, servers: [{url: "http://${BACKEND_a}"}]}}', [Q("/1"), Q("/2")], mw="e: {ipAllowList: {sourceRange: [10.0.0.1], rejectStatusCode: 503}}")
comp("passive-metrics", passive("400ms", 1), [Q("/"), METRICS(r"server_up", ep="traefik", values=["server_up"]), Q("/", ctl=FAIL), METRICS(r"server_up", ep="traefik", values=["server_up"]), SLEEP(0.6), METRICS(r"server_up", ep="traefik", values=["server_up"])], static=METRICS_S)

# -- made of each other
comp("composite-nested", "s: {weighted: {services: [{name: m}]}}\nm: {mirroring: {service: f, mirrors: [{name: h, percent: 100}]}}\nf: {failover: {service: pa, fallback: b}}\nh: {highestRandomWeight: {services: [{name: b}]}}\n" + lb("pa", "a"), [POST("/x", "abc", settle=0.3), SET("a", health=500), SLEEP(0.4), POST("/y", "abc", settle=0.3)])
api("composite-circle", "s: {mirroring: {service: f}}\nf: {failover: {service: a, fallback: s, errors: {status: ['500']}}}", "disabled")
api("composite-two-kinds", "s: {mirroring: {service: a}, failover: {service: a, fallback: b}}", "disabled")
comp("composite-parts-of-a-broken-one", FO % "", [API("/api/http/services/a@file"), API("/api/http/services/b@file")], static=API_S)
comp("composite-parts-behind-a-missing-one", "s: {mirroring: {service: a, mirrors: [{name: nope}, {name: b}]}}", [API("/api/http/services/a@file"), API("/api/http/services/b@file")], static=API_S)
comp("weighted-parts-behind-a-missing-one", "s: {weighted: {services: [{name: a}, {name: nope}, {name: b}]}}", [API("/api/http/services/a@file"), API("/api/http/services/b@file")], static=API_S)
comp("mirror-percent-over-parts", "s: {mirroring: {service: a, mirrors: [{name: b, percent: 101}, {name: c, percent: 5}]}}", [API("/api/http/services/%s@file" % n) for n in "abc"], static=API_S, backends="a b c", names="a b c")
