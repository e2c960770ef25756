from lib.dsl import *
def S(url, extra="", st=""):
    return """
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {%s servers: [{url: "%s"}]}}}
%s
""" % (extra, url, st)
case("errs-refused", dyn=S("http://${DEAD_x}"), steps=[GET("/"), GET("/", h2=True), POST("/", "abc", close_check=True), HEAD("/"), WS("/", []), POST("/", body_size=100000, close_check=True), GET("/", version="HTTP/1.0")])
case("errs-dns", dyn=S("http://nope.invalid:80"), steps=[GET("/", timeout=20)])
case("errs-dial-timeout", weight=2, dyn=S("http://${BLACKHOLE_x}", "serversTransport: t,", "  serversTransports: {t: {forwardingTimeouts: {dialTimeout: 300ms}}}"), steps=[GET("/", t=(0.2, 1.5)), POST("/", "abc"), WS("/", [])])
case("errs-rht", weight=2, dyn=S("http://${BACKEND_a}", "serversTransport: t,", "  serversTransports: {t: {forwardingTimeouts: {responseHeaderTimeout: 400ms}}}"), steps=[GET("/", ctl=dict(delay=1.5), t=(0.3, 1.2)), POST("/", "abc", ctl=dict(delay=1.5)), GET("/ok"), GET("/body", ctl=dict(chunks=[[0, "a"], [0.8, "b"]])), WS("/", ["a", 0.6, "b"]), GET("/h2", h2=True, ctl=dict(delay=1.5)), POST("/slowup", "x" * 400, slow=(4, 0.25))])
case("errs-rht-h2c", weight=2, dyn=S("h2c://${BACKEND_a}", "serversTransport: t,", "  serversTransports: {t: {forwardingTimeouts: {responseHeaderTimeout: 400ms}}}"), steps=[GET("/", ctl=dict(delay=1.5)), GET("/ok")])
case("errs-noserver", dyn="""
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: []}}}
""", steps=[GET("/"), HEAD("/"), GET("/", h2=True)])
case("errs-404", dyn=http('r: {rule: "Host(`only.test`)", service: a}'), steps=[GET("/"), HEAD("/"), POST("/", "abc"), GET("/", h2=True), HEAD("/", h2=True), GET("/", version="HTTP/1.0"), OPTIONS("/"), WS("/", []), GET("/", host="only.test:123"), GET("/", host="ONLY.test"), GET("/", host="only.test.")])
case("errs-missing-service", dyn=http('r: {rule: "PathPrefix(`/`)", service: zzz}\nq: {rule: "PathPrefix(`/q`)", service: a, middlewares: [nope]}'), steps=[GET("/"), GET("/q")])
case("errs-plain-to-tls", backends={"a": dict(tls="backend")}, dyn=S("http://${BACKEND_a}"), steps=[GET("/")])
case("errs-restart", dyn=S("http://${BACKEND_a}"), steps=[GET("/1"), KILL("a"), GET("/2"), START("a"), GET("/3"), POST("/4", "abc"), KILL("a"), START("a"), GET("/5"), POST("/6", "abc"), PUT("/7", "q"), KILL("a"), START("a"), POST("/8", "abc", chunked=True), GET("/9")])
Q = lambda p="/", **k: dict(op="req", method="GET", path=p, **k)
BASIC = http('r: {rule: "PathPrefix(`/`)", service: a}')
EP = lambda s: 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}", transport: {%s}}}' % s
case("life2-grace-cut", weight=3, static=EP("lifeCycle: {graceTimeOut: 500ms}"), dyn=BASIC, steps=[BG("s", Q("/slow", ctl=dict(delay=3), timeout=4)), SIG("TERM"), JOIN("s"), EXIT(timeout=4)])
case("life2-accept-grace", weight=3, static=EP("lifeCycle: {requestAcceptGraceTimeout: 900ms}"), dyn=BASIC, steps=[GET("/a", conn="k"), SIG("TERM"), SLEEP(0.2), GET("/new"), GET("/b", conn="k"), SLEEP(1.0), GET("/late", only=("error",)), EXIT(timeout=4)])
case("life2-int", weight=2, dyn=BASIC, steps=[GET("/"), BG("s", Q("/slow", ctl=dict(delay=0.7))), SIG("INT"), JOIN("s"), EXIT(timeout=4)])
case("life2-sse", weight=2, dyn=BASIC, steps=[BG("s", Q("/sse", ctl=dict(sse=dict(n=4, interval=0.3)))), SIG("TERM"), JOIN("s"), EXIT(timeout=4)])
case("life2-h2", weight=2, dyn=BASIC, steps=[BG("s", Q("/slow", h2=True, ctl=dict(delay=0.8))), SIG("TERM"), JOIN("s"), EXIT(timeout=4)])
case("life2-h2-idle", weight=2, dyn=BASIC, steps=[GET("/a", h2=True, conn="k"), SIG("TERM"), EXIT(timeout=4)])
case("life2-upload", weight=2, dyn=BASIC, steps=[BG("s", dict(op="req", method="POST", path="/up", body="x" * 400, slow=(5, 0.25), bg_wait=0.3)), SIG("TERM"), JOIN("s"), EXIT(timeout=4)])
case("life2-zero-grace", weight=2, static=EP("lifeCycle: {graceTimeOut: 0s}"), dyn=BASIC, steps=[BG("s", Q("/slow", ctl=dict(delay=2), timeout=3)), SIG("TERM"), JOIN("s"), EXIT(timeout=5)])
case("life2-usr1", dyn=BASIC, steps=[SIG("USR1"), GET("/")])
case("life2-hup", weight=2, dyn=BASIC, steps=[GET("/a"), SIG("HUP"), SLEEP(0.2), GET("/b", only=("status", "error"))])
