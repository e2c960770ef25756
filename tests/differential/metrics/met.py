from lib.dsl import *
EPS = """
entryPoints: {web: {address: "127.0.0.1:${PORT_web}", asDefault: true}, web2: {address: "127.0.0.1:${PORT_web2}"}, noobs: {address: "127.0.0.1:${PORT_noobs}", asDefault: true, observability: {metrics: false}}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}
"""
M = EPS + "metrics: {prometheus: {addRoutersLabels: true}}\n"
P = lambda o: EPS + "metrics: {prometheus: %s}\n" % o
REQ = ["traefik_%s_requests_total" % k for k in ("entrypoint", "router", "service")]
BYTES = ["traefik_%s_%s_bytes_total" % (k, d) for k in ("entrypoint", "router", "service") for d in ("requests", "responses")]
SEEN = METRICS(r"^traefik_(entrypoint|router|service|config)", values=REQ + BYTES, buckets=True)
DYN = http("""
r: {rule: "PathPrefix(`/`)", service: a, priority: 1}
d: {rule: "PathPrefix(`/dead`)", service: dead}
n: {rule: "PathPrefix(`/none`)", service: none}
w: {rule: "PathPrefix(`/w`)", service: w}
au: {rule: "PathPrefix(`/auth`)", service: a, middlewares: [au]}
rt: {rule: "PathPrefix(`/retry`)", service: a, middlewares: [rt]}
rd: {rule: "PathPrefix(`/gone`)", service: dead, middlewares: [rt]}
no: {rule: "PathPrefix(`/noobs`)", service: a, observability: {metrics: false}}
yes: {rule: "PathPrefix(`/yes`)", service: a, observability: {metrics: true}}
noop: {rule: "PathPrefix(`/noop`)", service: noop@internal}
""", services="""
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
none: {loadBalancer: {servers: []}}
w: {weighted: {services: [{name: b, weight: 1}]}}
b: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}
""", middlewares="""
au: {basicAuth: {users: ["u:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]}}
rt: {retry: {attempts: 3, status: ["503"], initialInterval: 1ms}}
""")
C = lambda name, *steps, static=M, dyn=DYN, seen=SEEN, **k: case("met-" + name, static=static, dyn=dyn, steps=list(steps) + [SLEEP(0.3), seen], **k)
C("get", GET("/x"), GET("/x?q", ctl=dict(status=404)), GET("/big", ctl=dict(body_size=100000)))
C("methods", HEAD("/x"), POST("/x", body="abc"), PUT("/x", body="abcdef"), OPTIONS("/x"), R("PROPFIND", "/x"), R("DELETE", "/x"), R("PATCH", "/x", body="q"), R("TRACE", "/x"))
C("chunked", GET("/x", ctl=dict(framing="chunked", body_size=5000)), GET("/x", ctl=dict(framing="close", body_size=70000)))
C("upload-chunked", POST("/x", body="abc" * 1000, chunked=True))
C("codes", *[GET("/x", ctl=dict(status=s)) for s in (200, 201, 204, 206, 299, 301, 304, 400, 404, 418, 429, 500, 503, 599, 999)])
C("no-server", GET("/none"), POST("/none", body="abc"))
C("dead", GET("/dead"), POST("/dead", body="abcdef"))
C("weighted", GET("/w"))
C("middleware-answers", GET("/auth"), POST("/auth", body="abc"))
C("retry-status", GET("/retry", ctl=dict(status=503)))
C("retry-fail-once", GET("/retry", ctl=dict(fail=dict(n=1, status=503, key="met"))))
C("retry-network", GET("/gone"), POST("/gone", body="abc"))
C("router-off", GET("/noobs"), GET("/x"))
C("entry-point-off", GET("/x", ep="noobs"), GET("/yes", ep="noobs"), GET("/yes"))
C("internal", GET("/noop"), GET("/nothing", ep="web2"))
C("internals-counted", GET("/noop"), GET("/nothing", ep="web2"), static=EPS + "metrics: {addInternals: true, prometheus: {addRoutersLabels: true}}\n")
C("404", GET("/nothing", ep="web2"), POST("/nothing", ep="web2", body="abc"), R("OPTIONS", "*", ep="web2"))
C("headers", GET("/x", headers={"User-Agent": "ua\"q\\b", "X-B": "1"}), GET("/x", headers={"X-B": "2"}), static=P("{addRoutersLabels: true, headerLabels: {ua: User-Agent, xb: x-b}}"))
C("sse", GET("/x", headers={"Accept": "text/html, text/event-stream"}))
C("websocket-refused", GET("/x", headers={"Connection": "Upgrade", "Upgrade": "websocket"}))
C("grpc-headers", POST("/x", headers={"Content-Type": "application/grpc"}, ctl=dict(headers=[["Grpc-Status", "5"]])), POST("/x", headers={"Content-Type": "application/grpc-web+proto"}, ctl=dict(headers=[["Grpc-Status", "0"]])), POST("/x", headers={"Content-Type": "application/grpc"}))
C("grpc-trailers", POST("/x", headers={"Content-Type": "application/grpc"}, ctl=dict(framing="chunked", trailers=[["Grpc-Status", "7"]])))
C("grpc-trailers-unannounced", POST("/x", headers={"Content-Type": "application/grpc"}, ctl=dict(framing="chunked", noannounce=True, trailers=[["Grpc-Status", "7"]])))
C("buckets", GET("/x"), static=P("{buckets: [0.5, 10]}"))
C("no-services", GET("/x"), static=P("{addServicesLabels: false}"))
C("only-services", GET("/x"), static=P("{addEntryPointsLabels: false}"))
C("entry-point-option", GET("/x"), GET("/metrics"), static=P("{entryPoint: web2}"), seen=METRICS(r"^traefik_", ep="web2", values=REQ))
C("manual", GET("/x"), static=P("{manualRouting: true}"), dyn=http('m: {rule: "Path(`/mine`)", service: prometheus@internal, entryPoints: [web2], priority: 9}\nr: {rule: "PathPrefix(`/`)", service: a}'), seen=METRICS(r"^traefik_", path="/mine", ep="web2", values=REQ))
C("not-enabled", GET("/m"), static=EPS, dyn=http('m: {rule: "PathPrefix(`/m`)", service: prometheus@internal}'), seen=GET("/metrics"))
C("health", SLEEP(1.5), GET("/x"), dyn=http('r: {rule: "PathPrefix(`/`)", service: h}', services='h: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}, {url: "http://${DEAD_x}"}], healthCheck: {path: /health, interval: 500ms}}}'), seen=METRICS("server_up", values=["traefik_service_server_up"]))
C("health-not-yet", GET("/x"), dyn=http('r: {rule: "PathPrefix(`/`)", service: h}', services='h: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}], healthCheck: {path: /health, interval: 30s}}}'), seen=METRICS("server_up", values=["traefik_service_server_up"]))
C("connections", GET("/x"), seen=METRICS("open_connections"))
C("reload-drops-series", GET("/dead"), WRITE("main.yml", http('r: {rule: "PathPrefix(`/`)", service: a}')), WAIT(dict(op="req", method="GET", path="/dead"), status=200), SLEEP(0.3), METRICS(r"^traefik_(router|service)"), seen=METRICS(r"^traefik_(router|service)"))
C("h2", GET("/x", h2=True), POST("/x", body="abc", h2=True), HEAD("/x", h2=True), GET("/big", h2=True, ctl=dict(body_size=100000)), GET("/nothing", ep="web2", h2=True))
C("h2-grpc-trailers", POST("/x", h2=True, headers={"Content-Type": "application/grpc"}, ctl=dict(framing="chunked", trailers=[["Grpc-Status", "7"]])))
C("retry-says-nothing", GET("/retry", ctl=dict(status=503)), seen=METRICS("^traefik_.*retries"))
