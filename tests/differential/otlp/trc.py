import os, re, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _ids import scrub, traced
from _receiver import Receiver
from lib.dsl import *
from lib.harness import READY

EPS = """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: DEBUG}
providers: {providersThrottleDuration: 50ms, file: {directory: "${DIR}/dyn", watch: true}}
entryPoints: {hready: {address: "127.0.0.1:${PORT_hready}"}, web: {address: "127.0.0.1:${PORT_web}", asDefault: true}, det: {address: "127.0.0.1:${PORT_det}", asDefault: true, observability: {traceVerbosity: detailed}}, off: {address: "127.0.0.1:${PORT_off}", asDefault: true, observability: {tracing: false}}, bare: {address: "127.0.0.1:${PORT_bare}"}}
"""
T = lambda o="": EPS + 'tracing: {otlp: {http: {endpoint: "http://127.0.0.1:${PORT_otlp}/v1/traces"}}%s}\n' % (", " + o if o else "")
ENV = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


def receive(h):
    h.state["otlp"] = Receiver(h.port("otlp"))
    return {}


def text(h, v):
    return h.norm(v) if isinstance(v, str) else v


VOLATILE = {"client.port", "network.peer.port", "network.local.port", "process.pid", "host.name", "host.id", "os.description", "service.version", "telemetry.sdk.version", "telemetry.sdk.language", "telemetry.sdk.name", "process.command_args", "process.executable.name", "process.executable.path", "process.owner", "process.runtime.description", "process.runtime.name", "process.runtime.version", "os.type", "container.id", "server.port"}


# of the runtime and the machine: what of these is told is the implementation's
OF_GO = {"container.id", "os.description", "process.command_args", "process.owner", "process.runtime.description", "process.runtime.version"}


def tidy(h, attributes):
    return {k: ("<%s>" % type(v).__name__ if k in VOLATILE else [text(h, x) for x in v] if isinstance(v, list) else text(h, v)) for k, v in sorted(attributes.items())}


def tree(h, spans):
    """traces as nested spans, in the order of their beginning"""
    spans = sorted(spans, key=lambda s: s["start"])
    ids = {s["id"] for s in spans}

    def node(s):
        n = {k: s[k] for k in ("name", "kind", "status", "description", "attributes")}
        n["description"] = text(h, n["description"])
        n["attributes"] = tidy(h, s["attributes"])
        n["events"] = [dict(name=e["name"], attributes=sorted(e["attributes"])) for e in s["events"]]
        if s["state"]:
            n["state"] = s["state"]
        if s["parent"] and s["parent"] not in ids:
            n["remote parent"] = s["parent"]
            n["trace"] = s["trace"]
        n["within"] = [node(c) for c in spans if c["parent"] == s["id"]]
        return n

    return [node(s) for s in spans if s["parent"] not in ids]


def settled(h, kind, enough=0.8, timeout=6):
    """what was received, once nothing more comes"""
    got, last, since = h.state["otlp"].got[kind], -1, time.time()
    end = time.time() + timeout
    while time.time() < end:
        if len(got) != last:
            last, since = len(got), time.time()
        elif got and time.time() - since > enough or time.time() - since > 2.5 * enough:
            break
        time.sleep(0.05)
    out = list(got)
    return out


def traces(h):
    all = settled(h, "traces")
    hidden = {s["trace"] for s in all if str(s["attributes"].get("entry_point")).startswith("hread")}
    return {"traces": tree(h, [s for s in all if s["trace"] not in hidden])}


def about(h):
    all = settled(h, "traces")
    keys = ("scope", "scope_version", "schema", "resource_schema")
    rs = []
    for s in all:
        r = dict({k: s[k] for k in keys}, resource={k: v for k, v in tidy(h, s["resource"]).items() if k not in OF_GO})
        if r not in rs:
            rs.append(r)
    seen = []
    for s in h.state["otlp"].seen:
        hs = {k: v for k, v in s["headers"].items() if k not in ("content-length", "user-agent", "host", "accept-encoding", "transfer-encoding", "accept")}
        r = dict(path=s["path"], headers=hs)
        if r not in seen:
            seen.append(r)
    return {"about": rs, "requests": seen}


DYN = http("""
r: {rule: "PathPrefix(`/`)", service: a, priority: 1}
d: {rule: "PathPrefix(`/dead`)", service: dead}
n: {rule: "PathPrefix(`/none`)", service: none}
w: {rule: "PathPrefix(`/w`)", service: w}
au: {rule: "PathPrefix(`/auth`)", service: a, middlewares: [au]}
sp: {rule: "PathPrefix(`/rw`)", service: a, middlewares: [sp, hd]}
ch: {rule: "PathPrefix(`/chain`)", service: a, middlewares: [ch]}
rd: {rule: "PathPrefix(`/redir`)", service: a, middlewares: [rd]}
rt: {rule: "PathPrefix(`/retry`)", service: a, middlewares: [rt]}
no: {rule: "PathPrefix(`/notrace`)", service: a, observability: {tracing: false}}
yes: {rule: "PathPrefix(`/yes`)", service: a, observability: {tracing: true}}
de: {rule: "PathPrefix(`/detail`)", service: a, observability: {traceVerbosity: detailed}}
mi: {rule: "PathPrefix(`/mini`)", service: a, observability: {traceVerbosity: minimal}}
noop: {rule: "PathPrefix(`/noop`)", service: noop@internal}
""", services="""
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
none: {loadBalancer: {servers: []}}
w: {weighted: {services: [{name: v, weight: 1}]}}
v: {weighted: {services: [{name: b, weight: 1}]}}
b: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}
""", middlewares="""
au: {basicAuth: {users: ["u:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]}}
rt: {retry: {attempts: 3, status: ["503"], initialInterval: 1ms}}
sp: {stripPrefix: {prefixes: [/rw]}}
hd: {headers: {customRequestHeaders: {X-A: "1"}}}
ch: {chain: {middlewares: [hd, sp]}}
rd: {redirectScheme: {scheme: https}}
""")


def C(name, *steps, static=T(), dyn=DYN, seen=(CALL(traces),), env=ENV, **k):
    case("trc-" + name, static_text=("static.yml", static), dyn={"main.yml": dyn, "zz_ready.yml": READY}, env=env, steps=[CALL(receive)] + [s if s["op"] in ("sleep", "call") else traced(s) for s in steps] + list(seen), **k)


BOTH = lambda f: [f("web"), f("det")]
C("get", GET("/x"), GET("/x?q=1&b=%20&a", ep="det"), GET("/x", ctl=dict(status=404)), GET("/x", ctl=dict(status=500), ep="det"))
C("methods", HEAD("/x"), POST("/x", body="abc"), POST("/x", body="abc" * 1000, chunked=True), R("PROPFIND", "/x"), OPTIONS("/x"), R("OPTIONS", "*"))
C("404", *BOTH(lambda e: GET("/nothing", ep="bare")))
C("no-server", *BOTH(lambda e: GET("/none", ep=e)))
C("dead", *BOTH(lambda e: GET("/dead", ep=e)))
C("weighted", *BOTH(lambda e: GET("/w", ep=e)))
C("auth", *BOTH(lambda e: GET("/auth", ep=e)), GET("/auth", headers={"Authorization": "Basic dTpw"}, ep="det"))
C("steps", *BOTH(lambda e: GET("/rw/x?y", ep=e)))
C("chain", *BOTH(lambda e: GET("/chain/x?y", ep=e)))
C("redirect", *BOTH(lambda e: GET("/redir/x?y", ep=e)))
C("retry", *BOTH(lambda e: GET("/retry", ctl=dict(status=503), ep=e)), GET("/retry", ctl=dict(fail=dict(n=1, status=503, key="trc")), ep="det"))
C("off", GET("/x", ep="off"), GET("/yes", ep="off"), GET("/notrace"), GET("/notrace", ep="det"))
C("verbosity", GET("/detail"), GET("/mini", ep="det"), GET("/detail", ep="det"))
C("internal", *BOTH(lambda e: GET("/noop", ep=e)))
C("internals", *BOTH(lambda e: GET("/noop", ep=e)), static=T("addInternals: true"))
C("about", GET("/x"), seen=[CALL(about)])
C("resource", GET("/x"), seen=[CALL(about)], static=T('serviceName: svc, resourceAttributes: {a: b, service.name: other}, globalAttributes: {g: h, a: c}'), env=dict(ENV, OTEL_RESOURCE_ATTRIBUTES="x=y%20z,a=q,service.version=9", OTEL_SERVICE_NAME="envname"))
C("resource-name", GET("/x"), seen=[CALL(about)], env=dict(ENV, OTEL_RESOURCE_ATTRIBUTES="service.name=attr,bad"))
C("resource-env-name", GET("/x"), seen=[CALL(about)], env=dict(ENV, OTEL_SERVICE_NAME="envname"))
C("headers", GET("/x", headers={"X-One": "1", "x-two": "2", "User-Agent": "ua", "Accept": "a"}, ctl=dict(headers=[["X-Res", "r1"], ["X-Res", "r2"]])), static=T('capturedRequestHeaders: [x-one, X-Two, X-None, user-agent, Host, x-forwarded-for], capturedResponseHeaders: [x-res, Content-Type, X-Nope]'))
C("query", GET("/x?a=1&b=2&c=%20x&a=3&d&=e&B=4"), GET("/x?"), GET("/x?a=%zz&b=1;c=2"), static=T('safeQueryParams: [b, c]'))
C("sampled-none", GET("/x"), GET("/x", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}), GET("/x", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}), static=T("sampleRate: 0"))
C("sampled-not", GET("/x", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}), seen=[CALL(traces)])
TP = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b, c=d", "baggage": "k=v,  n=m;p=q"}
C("parent", *BOTH(lambda e: GET("/x", headers=TP, ep=e)))
WEIRD = ["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "junk"]
C("parent-bad", *[GET("/x", headers={"traceparent": w, "tracestate": "a=b"}) for w in WEIRD])
C("state-bad", *[GET("/x", headers={"traceparent": TP["traceparent"], "tracestate": w}) for w in ["", "A=b", "a=b,a=c", "a=b,,c=d", "a b", "a=b\t,c=d ", ",".join("k%d=v" % i for i in range(33))]])
C("baggage-bad", *[GET("/x", headers={"baggage": w}) for w in ["", "a", "a=%20b", "a=b;c", "=b", "a=b,a=c", "a=b, ,c=d", "k v=1", "a=b c", "a=\"x\""]], seen=[])
C("websocket", WS("/ws", ["hi"]), WS("/ws", ["hi"], ep="det"))
C("method-odd", R("FOO", "/x"), R("get", "/x"))
C("target", GET("/a%20b/%2Fc/../d?x=1#y"), GET("/x", host="H.test:8080"), RAW("GET http://other.test/x?y=1 HTTP/1.1\nHost: h.test\n\n"), RAW("GET /x HTTP/1.0\n\n"), GET("/x", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}))
C("abort", *BOTH(lambda e: GET("/x", ctl=dict(abort="before"), ep=e)))
# Traefik loses the span of the request
C("abort-mid", *BOTH(lambda e: GET("/x", ctl=dict(body_size=5000, abort="mid"), ep=e)))
C("timeout-client", *BOTH(lambda e: GET("/x", ctl=dict(delay=1), ep=e, timeout=0.3)), SLEEP(1))
KINDS = """
addPrefix: {prefix: /a}
stripPrefix: {prefixes: [/m]}
stripPrefixRegex: {regex: ["^/m"]}
replacePath: {path: /z}
replacePathRegex: {regex: "^/m", replacement: /z}
headers: {customResponseHeaders: {A: b}}
ipAllowList: {sourceRange: [10.0.0.1]}
ipWhiteList: {sourceRange: [10.0.0.1]}
inFlightReq: {amount: 10}
rateLimit: {average: 1, burst: 1, period: 1m}
redirectRegex: {regex: "nope", replacement: z}
buffering: {maxRequestBodyBytes: 100}
circuitBreaker: {expression: "NetworkErrorRatio() > 0.5"}
compress: {}
contentType: {}
digestAuth: {users: ["u:r:a"]}
errors: {status: ["500"], service: a, query: /e}
forwardAuth: {address: "http://${BACKEND_a}/auth"}
grpcWeb: {allowOrigins: ["*"]}
passTLSClientCert: {pem: true}
encodedCharacters: {allowEncodedSlash: true}
retry: {attempts: 2, status: ["503"], initialInterval: 1ms}
"""
OF = {line.split(":")[0]: http('m: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}', middlewares="m: {%s}" % line) for line in KINDS.strip().split("\n")}
for kind, dyn in OF.items():
    C("kind-" + kind, *BOTH(lambda e: GET("/m/x", ep=e, ignore=("www-authenticate",))), dyn=dyn)
C("rate-limited", *[GET("/m/x", ep=e, ignore=("retry-after", "x-retry-in")) for e in ("web", "web", "det", "det")], dyn=OF["rateLimit"])
C("body-too-large", *BOTH(lambda e: POST("/m/x", body="a" * 200, ep=e)), dyn=OF["buffering"])
C("errors-page", *BOTH(lambda e: GET("/x", ep=e, ctl=dict(status=500))), dyn=OF["errors"])
C("forward-auth-refuses", *BOTH(lambda e: GET("/x", ep=e)), dyn=OF["forwardAuth"], backends={"a": dict(routes={"/auth": dict(status=401)})})
C("metrics", GET("/x", ep="det"), GET("/x"), GET("/rw/x", ep="det"), GET("/none", ep="det"), GET("/noop", ep="det"), static=T() + "metrics: {prometheus: {addRoutersLabels: true}, addInternals: true}\n")
for p in ("tracecontext", "b3", "b3multi", "jaeger", "xray", "ottrace", "baggage", "none", "b3,tracecontext", "b3multi,b3", "nope", "nope,b3", ""):
    hs = [{}, TP, {"b3": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1-05e3ac9a4f6e3b90"}, {"b3": "0"}, {"X-B3-TraceId": "8448eb211c80319c", "X-B3-SpanId": "b7ad6b7169203331", "X-B3-Sampled": "1"}, {"X-B3-Flags": "1"}, {"uber-trace-id": "af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1", "uberctx-k": "v"}, {"X-Amzn-Trace-Id": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"}, {"ot-tracer-traceid": "8448eb211c80319c", "ot-tracer-spanid": "b7ad6b7169203331", "ot-tracer-sampled": "true", "ot-baggage-k": "v"}]
    C("propagators-" + (p or "empty").replace(",", "-"), *[GET("/x", headers=h) for h in hs], env=dict(ENV, OTEL_PROPAGATORS=p))
for n, w in dict(res="resourceAttributes: {service.name: other}", glob="globalAttributes: {g: h}", name="serviceName: ''").items():
    C("resource-of-" + n, GET("/x"), seen=[CALL(about)], static=T(w))
for r in ("1.5", "-1", "0.5"):
    C("rate" + r, *([GET("/x")] if r != "0.5" else []), static=T("sampleRate: " + r))
C("flags", *[GET("/x", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-" + f}) for f in ("02", "03", "04", "05")], GET("/x", headers={"traceparent": "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-05"}), GET("/x", headers={"Traceparent": " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 "}))
for s in ("always_off", "traceidratio", "parentbased_always_off", "nope"):
    C("sampler-" + s, GET("/x"), env=dict(ENV, OTEL_TRACES_SAMPLER=s, OTEL_TRACES_SAMPLER_ARG="0"))
C("tls", GET("/x", tls={}, ep="sec"), R("GET", "/x", tls={"alpn": ["h2"]}, h2=True, ep="sec"), static=T().replace("bare:", 'sec: {address: "127.0.0.1:${PORT_sec}", asDefault: true, http: {tls: {}}}, bare:'))
C("h2c", R("GET", "/x?a", h2=True))
C("grpc", POST("/x", body="abc", headers={"Content-Type": "application/grpc"}, ctl=dict(headers=[["Grpc-Status", "5"]])))
C("limits-env", GET("/x?" + "a" * 300), env=dict(ENV, OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="5", OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="3"))
C("disabled-env", GET("/x"), env=dict(ENV, OTEL_SDK_DISABLED="true"))
C("headers-env", GET("/x"), seen=[CALL(about)], env=dict(ENV, OTEL_EXPORTER_OTLP_HEADERS="a=b,x=y%20z", OTEL_EXPORTER_OTLP_TRACES_HEADERS="c=d", OTEL_EXPORTER_OTLP_COMPRESSION="none"))
C("headers-both", GET("/x"), seen=[CALL(about)], env=dict(ENV, OTEL_EXPORTER_OTLP_HEADERS="a=b"), static=EPS + 'tracing: {otlp: {http: {endpoint: "http://127.0.0.1:${PORT_otlp}/v1/traces", headers: {q: w}}}}\n')
C("endpoint-env", GET("/x"), seen=[CALL(about)], env=dict(ENV, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:${PORT_otlp}/base", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:${PORT_otlp}/env"), static=EPS + 'tracing: {}\n')
for n, e in dict(root="http://127.0.0.1:${PORT_otlp}", slash="http://127.0.0.1:${PORT_otlp}/", path="http://127.0.0.1:${PORT_otlp}/a/b", query="http://127.0.0.1:${PORT_otlp}/a?k=v").items():
    C("endpoint-" + n, GET("/x"), seen=[CALL(about)], static=EPS + 'tracing: {otlp: {http: {endpoint: "%s"}}}\n' % e)
