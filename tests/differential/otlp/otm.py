import os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _receiver import Receiver
from lib.dsl import *
from lib.harness import READY

BASE = """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: DEBUG}
providers: {providersThrottleDuration: 50ms, file: {directory: "${DIR}/dyn", watch: true}}
entryPoints: {hready: {address: "127.0.0.1:${PORT_hready}", observability: {metrics: false}}, web: {address: "127.0.0.1:${PORT_web}", asDefault: true}, off: {address: "127.0.0.1:${PORT_off}", asDefault: true, observability: {metrics: false}}, bare: {address: "127.0.0.1:${PORT_bare}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}
"""
M = lambda o="": BASE + 'metrics: {otlp: {http: {endpoint: "http://127.0.0.1:${PORT_otlp}"}, pushInterval: 300ms%s}}\n' % (", " + o if o else "")


def receive(h):
    h.state["otlp"] = Receiver(h.port("otlp"))
    return {}


TIMED = ("traefik_config_last_reload_success", "traefik_config_reloads_total")
# of Go's runtime, and of the harness' own router
SKIP = ("go_", "process_", "go.", "torana_")


def metrics(h):
    time.sleep(1.2)
    newest = {}
    for p in list(h.state["otlp"].got["metrics"]):
        if p["name"] == "traefik_open_connections":
            continue
        if "tls_cipher" in p["attributes"]:
            p["attributes"]["tls_cipher"] = "<cipher>"
        if p["name"].startswith(SKIP) or "zz-ready" in str(p["attributes"]) or "hready" in str(p["attributes"]):
            continue
        newest[(p["name"], str(sorted(p["attributes"].items())))] = p
    out = {}
    for (name, _), p in sorted(newest.items()):
        about = out.setdefault(name, dict({k: p[k] for k in ("unit", "kind", "temporality", "scope", "schema", "resource_schema")}, points=[]))
        point = {"attributes": {k: h.norm(v) if isinstance(v, str) else "<port>" if k == "server.port" else v for k, v in sorted(p["attributes"].items())}}
        if p["kind"] == "histogram":
            point.update({k: p[k] for k in ("count", "bounds", "buckets")})
        else:
            point["integer"] = p["integer"]
            about["monotonic"] = p["monotonic"]
            if name not in TIMED:
                point["value"] = p["value"]
        about["points"].append(point)
    return {"metrics": out}


def C(name, *steps, static=M(), dyn=None, seen=(CALL(metrics),), **k):
    case("otm-" + name, static_text=("static.yml", static), dyn={"main.yml": dyn or DYN, "zz_ready.yml": READY}, steps=[CALL(receive)] + list(steps) + list(seen), **k)


DYN = http("""
r: {rule: "PathPrefix(`/`)", service: a, priority: 1}
d: {rule: "PathPrefix(`/dead`)", service: dead}
n: {rule: "PathPrefix(`/none`)", service: none}
no: {rule: "PathPrefix(`/noobs`)", service: a, observability: {metrics: false}}
noop: {rule: "PathPrefix(`/noop`)", service: noop@internal}
rt: {rule: "PathPrefix(`/retry`)", service: a, middlewares: [rt]}
""", services="""
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
none: {loadBalancer: {servers: []}}
""", middlewares="""
rt: {retry: {attempts: 3, status: ["503"], initialInterval: 1ms}}
""")
C("get", GET("/x"), GET("/x", ctl=dict(status=404)), POST("/x", body="abc"), GET("/x", ctl=dict(body_size=1000)))
C("labels", GET("/x"), static=M("addRoutersLabels: true, addEntryPointsLabels: false, addServicesLabels: false"))
C("all-labels", GET("/x"), static=M("addRoutersLabels: true"))
C("bounds", GET("/x"), static=M("explicitBoundaries: [0.5, 10]"))
C("bounds-none", GET("/x"), static=M("explicitBoundaries: []"))
C("errors", GET("/dead"), GET("/none"), GET("/nothing", ep="bare"), GET("/x", ctl=dict(status=500)), GET("/x", ctl=dict(status=999)))
C("off", GET("/noobs"), GET("/x", ep="off"), GET("/noop"))
C("retry", GET("/retry", ctl=dict(status=503)))
C("methods", HEAD("/x"), R("PROPFIND", "/x"), R("FOO", "/x"), OPTIONS("/x"))
C("h2", R("GET", "/x", h2=True), RAW("GET /x HTTP/1.0\n\n"))
C("host", GET("/x", host="h.test:8080"), GET("/x", host="1.2.3.4"))
C("tls", GET("/x", tls={}, ep="sec"), static=M().replace("bare:", 'sec: {address: "127.0.0.1:${PORT_sec}", asDefault: true, http: {tls: {}}}, bare:'))
C("websocket", WS("/ws", ["hi"]))
C("with-prometheus", GET("/x"), static=M().replace("metrics: {otlp", "metrics: {prometheus: {buckets: [1, 2], addServicesLabels: false}, otlp"), seen=(CALL(metrics), METRICS(r"^traefik_(entrypoint|router|service)", ep="traefik", buckets=True)))
