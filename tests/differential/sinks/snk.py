import os, re, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _receivers import Lines, Points
from lib.dsl import *
from lib.harness import READY

EPS = """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: DEBUG}
providers: {providersThrottleDuration: 50ms, file: {directory: "${DIR}/dyn", watch: true}}
entryPoints: {hready: {address: "127.0.0.1:${PORT_hready}", observability: {metrics: false}}, web: {address: "127.0.0.1:${PORT_web}", asDefault: true}, off: {address: "127.0.0.1:${PORT_off}", asDefault: true, observability: {metrics: false}}, bare: {address: "127.0.0.1:${PORT_bare}"}, sec: {address: "127.0.0.1:${PORT_sec}", asDefault: true, http: {tls: {}}}}
"""
S = lambda o="", a='address: "127.0.0.1:${PORT_sink}", ': EPS + "metrics: {statsD: {%spushInterval: 300ms%s}}\n" % (a, ", " + o if o else "")
D = lambda o="", a='address: "127.0.0.1:${PORT_sink}", ': EPS + "metrics: {datadog: {%spushInterval: 300ms%s}}\n" % (a, ", " + o if o else "")
I = lambda o="", a="", t=", token: tok, org: my org, bucket: b": EPS + 'metrics: {influxDB2: {address: "http://127.0.0.1:${PORT_sink}%s", pushInterval: 300ms%s%s}}\n' % (a, t, ", " + o if o else "")
# of the harness' own router
SKIP = re.compile("hready|zz-ready")
# what Traefik sends once, to nobody if the receiver is later
TIMED = ("reload.total", "Timestamp", "open.connections")


def lines(h):
    h.state["sink"] = Lines(h.port("sink"))
    time.sleep(2.5)  # Traefik waits before it tries again what nobody received
    return {}


def points(h):
    h.state["sink"] = Points(h.port("sink"))
    return {}


def known(text, h):
    text = re.sub(r"tls_cipher:[^,]*", "tls_cipher:<cipher>", text)
    text = re.sub(r"tls_cipher=[^, ]*", "tls_cipher=<cipher>", text)
    return h.norm(text)


def counted(h):
    """Counters added up, and how many durations, by name and tags."""
    time.sleep(1.2)
    sums, times = {}, {}
    with h.state["sink"].lock:
        got = list(h.state["sink"].got)
    for line in got:
        if SKIP.search(line):
            continue
        m = re.fullmatch(r"([^:]+):([-0-9.]+)\|(c|g|h|ms)(?:\|@([0-9.]+))?(\|#.*)?", line)
        if not m:
            sums["?? " + line] = 1
            continue
        name, value, kind, rate, tags = m.groups()
        key = known(name + "|" + kind + (tags or ""), h)
        if name.endswith(TIMED):
            pass
        elif kind in ("h", "ms"):
            assert 0 <= float(value) < (30 if kind == "h" else 30000), line
            times[key] = times.get(key, 0) + 1 / float(rate or 1)
        elif kind == "c":
            sums[key] = sums.get(key, 0) + float(value)
        else:
            sums[key] = float(value)
    return {"counted": dict(sorted(sums.items())), "times": {k: round(n) for k, n in sorted(times.items())}}


def written(h):
    time.sleep(1.2)
    sums, fields = {}, {}
    sink = h.state["sink"]
    with sink.lock:
        got, requests = list(sink.got), list(sink.requests)
    for line in got:
        if SKIP.search(line):
            continue
        series, values, at = re.fullmatch(r"((?:\\.|[^ \\])+) (\S+) (\d+)", line).groups()
        assert len(at) == 19, line
        pairs = dict(p.split("=") for p in values.split(","))
        key = known(series, h) + " " + ",".join(pairs)
        if series.split(",")[0].endswith(TIMED):
            pass
        elif "count" in pairs:
            sums[key] = sums.get(key, 0) + float(pairs["count"])
        elif "value" in pairs:
            sums[key] = float(pairs["value"])
        else:
            v = [float(x) for x in pairs.values()]
            assert v == sorted(v) and 0 <= v[0] < 30, line
            fields[key] = True
    about = [dict(r) for r in requests[:1]]
    return {"requests": about, "counted": dict(sorted(sums.items())), "fields": sorted(fields)}


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


def case_of(name, static, receive, seen, *steps, dyn=None, **k):
    case("snk-" + name, static_text=("static.yml", static), dyn={"main.yml": dyn or DYN, "zz_ready.yml": READY}, steps=[CALL(receive)] + list(steps) + [CALL(seen)], **k)


SEVERAL = (GET("/x"), GET("/x"), GET("/x", ctl=dict(status=404)), POST("/x", body="abc"), GET("/x", ctl=dict(body_size=1000)))
ODD = (GET("/dead"), GET("/none"), GET("/nothing", ep="bare"), HEAD("/x"), R("FOO", "/x"), GET("/noobs"), GET("/x", ep="off"), GET("/noop"))
for sink, static, receive, seen in (("statsd", S, lines, counted), ("datadog", D, lines, counted), ("influx", I, points, written)):
    C = lambda name, *steps, static=static(), **k: case_of(f"{sink}-{name}", static, receive, seen, *steps, **k)
    C("get", *SEVERAL)
    C("odd", *ODD)
    C("routers", *SEVERAL, static=static("addRoutersLabels: true"))
    C("routers-alone", GET("/x"), static=static("addRoutersLabels: true, addEntryPointsLabels: false, addServicesLabels: false"))
    C("none", GET("/x"), static=static("addEntryPointsLabels: false, addServicesLabels: false"))
    C("tls", GET("/x", tls={}, ep="sec"), static=static("addRoutersLabels: true"))
    C("retry", GET("/retry", ctl=dict(status=503)))
    C("grpc", R("POST", "/x", h2=True, headers={"Content-Type": "application/grpc"}), R("GET", "/x", h2=True))
    C("websocket", WS("/ws", ["hi"]))
    C("many", MANY(250, GET("/x")))
    C("reload", GET("/x"), WRITE("main.yml", DYN.replace("r: {rule", "q: {rule")), SLEEP(1), GET("/x"), static=static("addRoutersLabels: true"))
    C("internals", GET("/noop"), static=static("addRoutersLabels: true").replace("metrics: {", "metrics: {addInternals: true, "))
for sink, static in (("statsd", S), ("datadog", D)):
    case_of(f"{sink}-prefix", static("prefix: a.b"), lines, counted, GET("/x"))
    case_of(f"{sink}-prefix-empty", static('prefix: ""'), lines, counted, GET("/x"))
case_of("datadog-env", D(a=""), lines, counted, GET("/x"), env={"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": "${PORT_sink}"})
case_of("datadog-env-loses", D(), lines, counted, GET("/x"), env={"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": "9"})


def socket_of(stream):
    def receive(h):
        h.state["sink"] = Lines(path=os.path.join(str(h.dir), "sink.sock"), stream=stream)
        time.sleep(5)
        return {}
    return receive


for scheme, stream in (("unix", False), ("unix", True), ("unixgram", False), ("unixstream", True)):
    case_of(f"datadog-{scheme}-{'stream' if stream else 'datagram'}", D(a='address: "%s://${DIR}/sink.sock", ' % scheme), socket_of(stream), counted, GET("/x"))
case_of("influx-path", I(a="/sub/path"), points, written, GET("/x"))
case_of("influx-labels", I('additionalLabels: {host: h1, "we ird": "a b,c=d", empty: "", code: mine}'), points, written, GET("/x"))
case_of("influx-token-file", I(t=', token: "${DIR}/tok", org: o, bucket: b'), points, written, GET("/x"), files={"tok": "filetok\n"})
case_of("influx-no-token", I(t=", org: o, bucket: b"), points, written, GET("/x"))
