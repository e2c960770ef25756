import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _guests import local, static
from lib.dsl import *
from lib.cases_common import mws

area("http-wasm")


def hw(name, steps, middlewares=None, **kw):
    """One router for each configuration of the guest, by its name as host."""
    uses = {k: {"plugin": {"script": v}} for k, v in (middlewares or {"s": {}}).items()}
    kw = {"static": static(), "files": local(), **kw}
    case("hw-" + name, dyn=kw.pop("dyn", None) or mws(**uses), steps=steps, **kw)


def ask(req="", res="", method="GET", path="/", to="s", headers=(), **kw):
    if "body" in kw:
        method = "POST" if method == "GET" else method
    return R(method, path, host=to + ".test", headers=[["X-Req", req], ["X-Res", res], *headers], **kw)


hw("request", [
    ask("next"),
    ask(""),
    ask("method|uri|protocol|source|names 0|get 0 x-a|get 0 host|get 0 nothing|report 1 x-report|next", path="/a%2Fb?c=d&e", headers=[["X-A", "1"], ["X-A", "2"]]),
    ask("method|uri|protocol|source|names 0|report 1 x-report|next", path="/a?", h2=True),
    ask("names 0|get 0 content-length|report 1 x-report|next", body="hello"),
    ask("names 0|report 1 x-report|next", headers=[["Cookie", "a=1"], ["Accept-Encoding", "gzip"], ["Te", "trailers"]]),
    ask("setmethod PUT|seturi /other?x=1|set 0 x-a 1|add 0 x-b 2|add 0 x-b 3|remove 0 user-agent|next"),
    ask("setmethod foo|method|report 1 x-report|next"),
    ask("set 0 host other|get 0 host|report 1 x-report|next"),
    ask("set 0 content-length 7|set 0 x-forwarded-for 9.9.9.9|set 0 x-real-ip 8.8.8.8|next"),
    ask("set 0 connection x-a|set 0 x-a 1|next"),
    ask("set 0 te trailers|next"),
    ask("set 0 X-Empty|next"),
    ask("remove 0 x-req|remove 0 x-res|remove 0 nothing|next"),
])
hw("uri", [ask(f"seturi {u}|uri|report 1 x-report|next", path="/was?q=1") for u in (
    "", "/", "/a%2Fb", "/a?", "/a?b?c", "/a b", "/a#b", "http://other:81/p?q", "http://other", "*", "//two", "/a/../b", "/%41%2e", "/a;b?c;d", "/%C3%A9", "/a|b"[:2], "/a\"b", "/!$&'()*+,;=:@[]")])
hw("response-head", [
    ask("set 1 x-r 1|add 1 x-r 2|set 1 content-type guest|next"),
    ask("set 1 x-backend mine|next"),
    ask("set 1 server mine|set 1 date mine|next"),
    ask("set 1 x-r 1|remove 1 x-r|get 1 x-r|names 1|report 1 x-report|next"),
    ask("set 1 x-r 1|next", ctl=dict(status=204)),
    ask("set 1 x-r 1|next", ctl=dict(status=304)),
    ask("set 1 x-r 1|next", ctl=dict(status=500)),
    ask("set 1 x-r 1|next", method="HEAD"),
    ask("set 1 x-r 1|next", ctl=dict(body_size=5000, framing="chunked")),
    ask("set 1 x-r 1|next", h2=True),
    ask("set 1 a\tb 1|set 1 x-r 1|stop"),
    ask("set 1 x-r  padded |next"),
    ask("next", ctl=dict(interim=[[103, [["Link", "</x>"]]]])),
])
hw("answer", [
    ask("stop"), ask("result 4294967296"), ask("result 2"), ask("stop", method="HEAD"), ask("stop", h2=True),
    ask("setstatus 404|stop"), ask("setstatus 204|stop"), ask("setstatus 304|stop"), ask("setstatus 999|stop"), ask("setstatus 302|set 1 location /x|stop"),
    ask("write 1 hello|stop"), ask("write 1 |stop"), ask("write 1 hello|stop", method="HEAD"), ask("write 1 hello|stop", h2=True),
    ask("setstatus 403|set 1 x-r 1|write 1 hello |write 1 world|stop"),
    ask("set 1 x-r 1|setstatus 403|set 1 x-r 2|setstatus 200|write 1 hello|stop"),
    ask("write 1 hello|set 1 x-late 1|setstatus 404|stop"),
    ask("set 1 content-length 5|write 1 hello|stop"),
    ask("set 1 content-type text/html|write 1 <p>|stop"),
    ask("fill 1 3000|stop"), ask("fill 1 300000|stop"),
    ask("stop", body="hello"), ask("write 1 hello|stop", body="x" * 100000),
    ask("set 1 x-r 1|setstatus 403|set 1 x-r 2|write 1 hello|next"),
    ask("write 1 hello|next"), ask("write 1 hello|next", method="HEAD"), ask("setstatus 201|next"), ask("setstatus 201|next", ctl=dict(status=404, body_size=5000, framing="chunked")),
    ask("setstatus 103|set 1 x-r 1|stop"),
    RAW("GET / HTTP/1.0\nHost: s.test\nX-Req: write 1 hello|stop\n\n", n=1),
    RAW("GET / HTTP/1.0\nHost: s.test\nX-Req: stop\n\n", n=1),
    RAW("GET / HTTP/1.1\nHost: s.test\nConnection: close\nX-Req: write 1 hello|stop\n\n", n=1),
    RAW("GET / HTTP/1.1\nHost: s.test\nX-Req: write 1 hello|stop\n\nGET / HTTP/1.1\nHost: s.test\nX-Req: setstatus 404|stop\n\n", n=2),
])
hw("answer-held-back", [ask("features 2|" + r, **kw) for r, kw in (
    ("stop", {}), ("status|setstatus 404|status|report 1 x-report|stop", {}), ("write 1 hello|stop", {}), ("write 1 hello|write 1 world|stop", {}),
    ("set 1 x-r 1|setstatus 403|set 1 x-r 2|write 1 hello|stop", {}), ("write 1 hello|setstatus 404|set 1 x-late 1|stop", {}), ("fill 1 2048|stop", {}), ("fill 1 2049|stop", {}),
    ("fill 1 4096|stop", dict(h2=True)), ("write 1 hello|stop", dict(method="HEAD")), ("setstatus 204|stop", {}), ("set 1 content-length 5|write 1 hello|stop", {}))])
hw("held-back", [ask("features 2|next", r, ctl=c) for r in ("", "names 1|status|readall 1|report 1 x-report", "setstatus 201|add 1 x-backend more|remove 1 content-type") for c in (
    {}, dict(status=404), dict(body_size=0), dict(body_size=3000), dict(body_size=3000, framing="chunked"), dict(body_size=100, framing="chunked"), dict(body_size=2048, framing="chunked"), dict(body_size=2049, framing="chunked"),
    dict(framing="close"), dict(chunks=[[0, "a"], [0.1, "b"]]))] + [
    ask("features 2|next", "status|report 1 x-report", ctl=dict(status=204)), ask("features 2|next", "status|report 1 x-report", ctl=dict(status=304)),
    ask("features 2|next", "status|names 1|count 1|report 1 x-report", method="HEAD", ctl=dict(body_size=500)),
    ask("features 2|next", "status|report 1 x-report", h2=True), ask("features 2|next", "count 1|report 1 x-report", h2=True, ctl=dict(body_size=5000, framing="chunked")),
    ask("features 2|next", "read 1 2|read 1 100|read 1 1|report 1 x-report"), ask("features 2|next", "read 1 6|read 1 6|report 1 x-report"),
    ask("features 2|next", "write 1 other!"), ask("features 2|next", "remove 1 content-length|write 1 other"), ask("features 2|next", "set 1 content-length 5|write 1 other"),
    ask("features 2|next", "remove 1 content-length|fill 1 3000"), ask("features 2|next", "remove 1 content-length|write 1 a|write 1 b|read 1 10|report 1 x-report"),
    ask("features 2|next", "write 1 other!|readall 1|report 1 x-report"), ask("features 2|next", "readall 1|write 1 other!|readall 1|report 1 x-report"),
    ask("features 2|set 1 x-r 1|set 1 content-type guest|next", "get 1 x-r|get 1 content-type|report 1 x-report"),
    ask("features 2|setstatus 418|next", "status|report 1 x-report"),
    ask("features 2|next 7", "context|method|uri|get 0 host|protocol|source|report 1 x-report", path="/p?q"),
    ask("features 2|setmethod PUT|seturi /other|set 0 x-a 1|next 4294967295", "context|method|uri|get 0 x-a|report 1 x-report"),
    ask("features 2|next", "features 0|features 4|features 8|report 1 x-report"),
])
hw("config-features", [
    ask("features 0|report 1 x-report|next", "status|report 1 x-report2", to="b"),
    ask("features 0|report 1 x-report|next", to="p"), ask("", "", to="o"), ask("next", to="o"),
], middlewares={"b": {"start": "features 2"}, "p": {"start": "features 12"}, "o": {"request": "write 1 of the configuration|stop"}})
hw("request-body", [
    ask("readall 0|report 1 x-report|next"), ask("readall 0|report 1 x-report|stop", body="hello"), ask("read 0 5|read 0 5|report 1 x-report|stop", body="hello"),
    ask("read 0 2|read 0 2|read 0 2|report 1 x-report|stop", body="hello"), ask("count 0|report 1 x-report|stop", body="x" * 300000), ask("count 0|report 1 x-report|stop", body="x" * 300000, h2=True),
    ask("features 1|readall 0|report 1 x-report|next", body="hello"), ask("features 1|next", body="hello"), ask("features 1|next", body="x" * 300000), ask("features 1|readall 0|next"),
    ask("write 0 HELLO|next", body="hello"), ask("write 0 HE|write 0 LLO|next", body="hello"), ask("readall 0|write 0 HELLO|next", body="hello"), ask("features 1|readall 0|write 0 HELLO|next", body="hello"),
    ask("write 0 HELLO|next"),
    RAW("POST / HTTP/1.1\nHost: s.test\nX-Req: features 1|readall 0|report 1 x-report|next\nTransfer-Encoding: chunked\n\n3\nabc\n2\nde\n0\n\n", n=1),
    RAW("POST / HTTP/1.1\nHost: s.test\nX-Req: write 0 longer than before|next\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", n=1),
    RAW("POST / HTTP/1.1\nHost: s.test\nX-Req: readall 0|report 1 x-report|stop\nContent-Length: 3\nExpect: 100-continue\n\nabc", n=2),
])
hw("trailers", [
    ask("features 2|next", "names 1|names 3|get 1 x-t|report 1 x-report", ctl=dict(trailers=[["X-T", "1"]])),
    ask("features 2|next", "names 1|names 3|names 2|get 3 X-T|report 1 x-report", ctl=dict(trailers=[["X-T", "1"]], noannounce=True)),
    ask("features 6|next", "set 3 x-u 5|add 3 x-u 6", ctl=dict(body_size=100, framing="chunked")),
    ask("features 6|next", "set 3 x-u 5", ctl=dict(body_size=100)), ask("features 6|next", "set 3 x-u 5", ctl=dict(body_size=100, framing="chunked"), h2=True),
    ask("features 6|next", "remove 3 X-T|set 3 x-u 5", ctl=dict(trailers=[["X-T", "1"]], noannounce=True)),
    ask("set 3 x-u 5|add 3 x-u 6|next", ctl=dict(body_size=100, framing="chunked")), ask("set 3 x-u 5|next"), ask("set 3 x-u 5|next", ctl=dict(trailers=[["X-T", "1"]])),
    ask("set 3 x-u 5|write 1 hello|stop"), ask("set 3 x-u 5|stop"), ask("features 2|set 3 x-u 5|write 1 hello|stop"), ask("set 2 x-u 5|write 1 hello|stop"), ask("set 2 x-u 5|next", body="hello"),
    ask("set 3 x-u 5|write 1 hello|stop", h2=True),
    ask("next", "names 1|names 3", ctl=dict(trailers=[["X-T", "1"]])),
])
TYPES = """
http:
  routers:
    t: {rule: "Host(`s.test`)", service: a, middlewares: [t]}
    e: {rule: "Host(`e.test`)", service: a, middlewares: [e]}
    l: {rule: "Host(`l.test`)", service: a, middlewares: [l]}
  middlewares:
    t:
      plugin:
        script:
          zeta: last
          Alpha: first
          int: 5
          negative: -7
          big: 9007199254740993
          hex: 0x10
          float: 1.5
          whole: 2.0
          small: 0.0000001
          large: 1e21
          bool: true
          yes: "yes"
          quoted: "5"
          nothing: ~
          empty: ""
          html: "<a href='x'>&\\"\\u2028é\\t"
          list: [1, a, true]
          maps: [{k: 1, b: true}, {k: 2}]
          ints: [1, -2]
          floats: [1.5, 2]
          bools: [true, false]
          strings: [a, b]
          commas: "a,b"
          one: [x]
          onenum: [1]
          quotednum: ["1", "2"]
          emptylist: []
          bigs: [9007199254740993, 99999999999999999999]
          map: {b: 1, a: {c: [], d: 5}}
          none: {}
          long: |
            two
            lines
    e: {plugin: {script: {}}}
    l: {plugin: {script: {request: "config|configwithin 3|configwithin 0|configwithin 200|answer|stop"}}}
  services:
    a: {loadBalancer: {servers: [{url: "${BACKEND_a}"}]}}
""".replace('"${BACKEND_a}"', '"http://${BACKEND_a}"')
hw("config", [ask("config|answer|stop"), ask("config|answer|stop", to="e"), ask("", to="l")], dyn=TYPES)
TOML = """
[http.routers.t]
rule = "Host(`s.test`)"
service = "a"
middlewares = ["t"]
[http.middlewares.t.plugin.script]
text = "a"
int = 5
float = 1.5
whole = 2.0
bool = false
list = [1, 2]
empty = []
[http.middlewares.t.plugin.script.map]
b = "x"
a = 1
[http.services.a.loadBalancer]
[[http.services.a.loadBalancer.servers]]
url = "http://${BACKEND_a}"
"""
hw("config-toml", [ask("config|answer|stop")], dyn={"main.toml": TOML})

hw("environment", [ask("env TORANA_UNSET|env HOME|envs|args|clock|answer|stop")], static=static(envs=["TORANA_UNSET"]))
FILES = {**local(), "data/f.txt": "in the folder\n", "outside.txt": "outside\n"}
hw("mounts", [ask("file /data/f.txt|file /outside.txt|file /data/../outside.txt|file data/f.txt|file /data/none|save /data/new text|file /data/new|answer|stop")], static=static(mounts=["data:/data"]), files=FILES)
hw("mounts-read-only", [ask("file /data/f.txt|file /data/new|answer|stop")], static=static(mounts=["data:/data:ro"]), files=FILES)
hw("mounts-same-name", [ask("file /data/f.txt|file data/f.txt|answer|stop")], static=static(mounts=["data"]), files=FILES)
hw("no-mounts", [ask("file /data/f.txt|file /etc/hostname|answer|stop")], files=FILES)
hw("state", [
    ask("requests|next"), ask("next 5", "context"), ask("gonewrong|answer|stop"),
    ask("features 2|next", "gonewrong|report 1 x-report"), MANY(20, ask("answer|stop"), tol=0),
])
hw("chain", [
    ask("set 0 x-a 1|set 1 x-b 1|next", to="s"), ask("seturi /first|next", to="s"), ask("features 2|next", "set 1 x-c 1|status|report 1 x-report", to="s"),
    ask("setstatus 403|write 1 no|stop", to="s"),
], dyn=http("""
s: {rule: "Host(`s.test`)", service: a, middlewares: [s, p, h]}
""", middlewares="""
s: {plugin: {script: {}}}
p: {addPrefix: {prefix: /pre}}
h: {headers: {customResponseHeaders: {X-H: "1"}, customRequestHeaders: {X-Q: "1"}}}
"""))
hw("api", [API("/api/http/middlewares/s@file"), API("/api/http/routers/s@file"), API("/api/http/middlewares/none@file")],
   static={**static(), "api": {"insecure": True}, "entryPoints": {"traefik": {"address": "127.0.0.1:${PORT_traefik}"}}}, middlewares={"s": {"a": "1", "b": ["x"]}, "t": {}})
hw("upgrade", [WS("/", ["hello"], host="s.test"), WS("/", ["hello"], host="s.test", headers=[["X-Req", "set 1 x-r 1|next"]]), ask("gonewrong|answer|stop")])
hw("server-gone", [
    ask("next", "", ctl=dict(abort="before")), ask("set 1 x-r 1|next", "", ctl=dict(abort="before")), ask("features 2|next", "status|context|readall 1|report 1 x-report", ctl=dict(abort="before")),
    ask("next", "", ctl=dict(abort="mid")), ask("gonewrong|answer|stop"),
])
# What Torana does otherwise, each with its reason in docs/compatibility.md: none of these must pass.
hw("differs-failures", [ask(r) for r in ("panic", "set 1 x-r 1|write 1 a|panic", "setstatus 400|panic", "status|next", "read 1 10|next", "setmethod |next", "seturi a|next", "setstatus 99|stop", "setstatus 1000|stop", "set 9 a b|next", "set 0 |next",
    "read 0 0|next", "read 7 1|next", "write 7 a|next", "outside|next", "writeoutside 1|next", "exit 3")] + [ask("next", r) for r in ("panic", "set 1 x-r 1", "status", "read 1 10", "set 0 a b", "readall 0", "seturi /x")] + [ask("features 2|next", "panic")])
hw("differs-bodies", [
    ask("features 1|count 0|report 1 x-report|next", body="x" * 10000), ask("features 1|read 0 2|report 1 x-report|next", body="hello"), ask("read 0 2|report 1 x-report|next", body="hello"),
    ask("readall 0|report 1 x-report|next", body="hello"), ask("readall 0|next", body="hello", method="PUT", h2=True), ask("set 1 content-length 99|next"),
    ask("set 1 x-r 1|next", ctl=dict(interim=[[103, [["Link", "</x>"]]]])), ask("features 2|next", ctl=dict(interim=[[103, [["Link", "</x>"]]]])),
    ask("write 0 HELLO WORLD|next", body="hello"), ask("write 0 |next", body="hello"), ask("features 2|next", "write 1 other"), ask("features 2|next", "context|report 1 x-report", ctl=dict(abort="mid", framing="chunked")),
    ask("features 2|next", "get 3 x-t|report 1 x-report", ctl=dict(trailers=[["X-T", "1"]], noannounce=True)),
])
