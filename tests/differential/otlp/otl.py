import json, os, re, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _ids import traced
from _receiver import Receiver
from lib.dsl import *
from lib.harness import READY

EPS = """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: DEBUG}
providers: {providersThrottleDuration: 50ms, file: {directory: "${DIR}/dyn", watch: true}}
entryPoints: {hready: {address: "127.0.0.1:${PORT_hready}", observability: {accessLogs: false}}, web: {address: "127.0.0.1:${PORT_web}", asDefault: true}, off: {address: "127.0.0.1:${PORT_off}", asDefault: true, observability: {accessLogs: false}}, bare: {address: "127.0.0.1:${PORT_bare}"}, sec: {address: "127.0.0.1:${PORT_sec}", asDefault: true, http: {tls: {}}}}
"""
ALLOWED = "experimental: {otlpLogs: true}\n"
TO = 'http: {endpoint: "http://127.0.0.1:${PORT_otlp}%s"}'
A = lambda o="", path="", more="", to="": EPS + ALLOWED + "accessLog: {otlp: {%s%s}%s}\n" % (TO % path, ", " + to if to else "", ", " + o if o else "") + more
TRACED = 'tracing: {otlp: {http: {endpoint: "http://127.0.0.1:${PORT_otlp}"}}%s}\n'
ENV = {"OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_BSP_SCHEDULE_DELAY": "100"}


def receive(h):
    h.state["otlp"] = Receiver(h.port("otlp"))
    time.sleep(1.2)
    return {}


# of time and of ports
VOLATILE = {"Duration", "OriginDuration", "Overhead", "StartUTC", "StartLocal", "ClientAddr", "ClientPort", "RequestCount", "RequestPort", "time", "TLSCipher"}
IDS = {"TraceId", "SpanId", "trace_id", "span_id"}
OF_GO = {"container.id", "os.description", "process.command_args", "process.owner", "process.runtime.description", "process.runtime.version", "process.runtime.name", "process.executable.name", "process.executable.path", "process.pid", "host.name", "os.type", "service.version", "telemetry.sdk.version", "telemetry.sdk.language", "telemetry.sdk.name"}


def plain(h, k, v):
    if k in VOLATILE:
        return "<%s>" % type(v).__name__
    if k in IDS:
        return "<id%d>" % len(v)
    return h.norm(v) if isinstance(v, str) else v


def body(h, text):
    if text.startswith("{"):
        return {k: plain(h, k, v) for k, v in json.loads(text).items()}, text.endswith("\n")
    text = re.sub(r"\[[^]]*\]", "[<time>]", text)
    return h.norm(re.sub(r" \d+ms", " <ms>ms", re.sub(r'" \d+ "', '" <count> "', text)))


def logs(h):
    time.sleep(1.2)
    out = []
    for r in sorted(list(h.state["otlp"].got["logs"]), key=lambda r: r["attributes"].get("RequestCount", 0)):
        r = dict(r, body=body(h, r["body"]))
        same = r["trace"] == r["attributes"].get("trace_id", "") and r["span"] == r["attributes"].get("span_id", "")
        r.update(trace=len(r["trace"]), span=len(r["span"]), ids_agree=same)
        r["attributes"] = {k: plain(h, k, v) for k, v in sorted(r["attributes"].items())}
        r["resource"] = {k: v for k, v in sorted(r["resource"].items()) if k not in OF_GO}
        out.append(r)
    seen = sorted({(s["path"], s["headers"].get("content-encoding", ""), s["headers"].get("content-type", ""), s["headers"].get("x-key", "")) for s in h.state["otlp"].seen if s["path"] != "/v1/traces"})
    return {"logs": out, "requests": seen}


def C(name, *steps, static=A(), dyn=None, seen=(CALL(logs),), env=ENV, **k):
    case("otl-" + name, static_text=("static.yml", static), dyn={"main.yml": dyn or DYN, "zz_ready.yml": READY}, env=env, steps=[CALL(receive)] + list(steps) + list(seen), **k)


DYN = http("""
r: {rule: "PathPrefix(`/`)", service: a, priority: 1}
d: {rule: "PathPrefix(`/dead`)", service: dead}
no: {rule: "PathPrefix(`/noobs`)", service: a, observability: {accessLogs: false}}
noop: {rule: "PathPrefix(`/noop`)", service: noop@internal}
""", services="""
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
""")
KEPT = "fields: {headers: {defaultMode: keep, names: {Authorization: redact, X-Drop: drop}}}"
HEADERS = {"Referer": "http://r/", "User-Agent": "ua", "Authorization": "secret", "X-Drop": "x", "X-Two": "1"}

C("get", GET("/x?q=1"), POST("/x", body="abc"), GET("/x", ctl=dict(status=404)))
C("odd", GET("/dead"), GET("/nothing", ep="bare"), GET("/noobs"), GET("/x", ep="off"), GET("/noop"), HEAD("/x"))
C("headers", GET("/x", headers=HEADERS, ua=None), static=A(KEPT))
C("json", GET("/x"), static=A("format: json"))
C("json-headers", GET("/x", headers=HEADERS, ua=None), static=A("format: json, " + KEPT))
C("generic", GET("/x"), static=A("format: genericCLF"))
C("fields", GET("/x?secret=1"), static=A("fields: {defaultMode: drop, names: {RequestPath: keep, StartUTC: keep, Duration: keep}, queryParameters: {defaultMode: drop}}"))
C("filter", GET("/x"), GET("/x", ctl=dict(status=404)), static=A('filters: {statusCodes: ["400-499"]}'))
C("internals", GET("/noop"), static=A("addInternals: true"))
C("traced", traced(GET("/x")), static=A(more=TRACED % ""))
C("traced-unsampled", traced(GET("/x")), static=A(more=TRACED % ", sampleRate: 0"))
C("traced-parent", traced(GET("/x", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})), static=A(more=TRACED % ""))
C("traced-parent-unsampled", traced(GET("/x", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"})), static=A(more=TRACED % ""))
C("resource", GET("/x"), static=A(to='serviceName: mine, resourceAttributes: {k: v, service.name: other}'))
C("resource-env", GET("/x"), static=A(to='serviceName: mine'), env=dict(ENV, OTEL_SERVICE_NAME="of-env", OTEL_RESOURCE_ATTRIBUTES="a=b"))
C("path", GET("/x"), static=A(path="/own/path"))
C("sent-headers", GET("/x"), static=A().replace('"}}', '", headers: {x-key: v}}}'))
C("tls", GET("/x", tls={}, ep="sec"))
C("h2", R("GET", "/x", h2=True))
C("websocket", WS("/ws", ["hi"]))
C("dual", GET("/x"), static=A('dualOutput: true, filePath: "${DIR}/access.log"'), seen=(CALL(logs), LOG("access.log", format="common")))


def silent(h):
    return {"file": os.path.exists(os.path.join(str(h.dir), "access.log"))}


C("no-file", GET("/x"), static=A('filePath: "${DIR}/access.log"'), seen=(CALL(logs), CALL(silent)))
