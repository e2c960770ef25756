from lib.dsl import *
EPS = """
entryPoints: {web: {address: "127.0.0.1:${PORT_web}", asDefault: true}, web2: {address: "127.0.0.1:${PORT_web2}"}, quiet: {address: "127.0.0.1:${PORT_quiet}", asDefault: true, observability: {accessLogs: false}}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}
"""
TLS_EPS = """
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, websecure: {address: "127.0.0.1:${PORT_websecure}", http3: {}}}
"""
A = lambda o: EPS + "accessLog: {filePath: \"${DIR}/access.log\"%s}\n" % (", " + o if o else "")
KEEP = "format: json, fields: {headers: {defaultMode: keep}}"
CLF = LOG("access.log", format="common")
JSON = LOG("access.log")
DYN = http("""
r: {rule: "PathPrefix(`/`)", service: a, priority: 1}
d: {rule: "PathPrefix(`/dead`)", service: dead}
n: {rule: "PathPrefix(`/none`)", service: none}
w: {rule: "PathPrefix(`/w`)", service: w}
m: {rule: "PathPrefix(`/mirror`)", service: mir}
fo: {rule: "PathPrefix(`/failover`)", service: fo}
wd: {rule: "PathPrefix(`/wd`)", service: wd}
au: {rule: "PathPrefix(`/auth`)", service: a, middlewares: [au]}
aur: {rule: "PathPrefix(`/authrm`)", service: a, middlewares: [aur]}
rt: {rule: "PathPrefix(`/retry`)", service: a, middlewares: [rt]}
rd: {rule: "PathPrefix(`/gone`)", service: dead, middlewares: [rt]}
sp: {rule: "PathPrefix(`/rw`)", service: a, middlewares: [sp]}
re: {rule: "PathPrefix(`/redirect`)", service: a, middlewares: [re]}
hd: {rule: "PathPrefix(`/headers`)", service: a, middlewares: [hd]}
al: {rule: "PathPrefix(`/forbidden`)", service: a, middlewares: [al]}
no: {rule: "PathPrefix(`/noobs`)", service: a, observability: {accessLogs: false}}
yes: {rule: "PathPrefix(`/yes`)", service: a, observability: {accessLogs: true}}
noop: {rule: "PathPrefix(`/noop`)", service: noop@internal}
pp: {rule: "PathPrefix(`/base`)", service: pp}
""", services="""
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
none: {loadBalancer: {servers: []}}
w: {weighted: {services: [{name: a, weight: 1}]}}
wd: {weighted: {services: [{name: dead, weight: 1}]}}
mir: {mirroring: {service: a, mirrors: [{name: b, percent: 100}]}}
fo: {failover: {service: a, fallback: b}}
b: {loadBalancer: {servers: [{url: "http://${BACKEND_b}"}]}}
pp: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/sub/path/?q=1", preservePath: true}]}}
""", middlewares="""
au: {basicAuth: {users: ["u:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]}}
aur: {basicAuth: {users: ["u:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="], removeHeader: true, headerField: X-User}}
rt: {retry: {attempts: 3, status: ["503"], initialInterval: 1ms}}
sp: {stripPrefix: {prefixes: [/rw]}}
re: {redirectScheme: {scheme: https}}
hd: {headers: {customRequestHeaders: {X-Req: "1", User-Agent: other, X-Gone: ""}, customResponseHeaders: {X-Res: "2", X-B: ""}}}
al: {ipAllowList: {sourceRange: ["10.0.0.0/8"]}}
""")
C = lambda name, *steps, static, log=(JSON,), dyn=DYN, backends="a b", **k: case("log-" + name, static=static, dyn=dyn, backends=backends, steps=list(steps) + list(log), **k)
REQS = [
    GET("/x?q=1", headers={"Referer": "http://ref/\"q\"", "User-Agent": "ua \"x\" \\ \u00e9"}, ua=None),
    GET("/404", ctl=dict(status=404)), POST("/x", body="abc"), HEAD("/x", ctl=dict(body_size=100)),
    GET("/x", headers={"X-Forwarded-For": "1.2.3.4, 5.6.7.8"}), GET("/auth", headers={"Authorization": "Basic dTp0ZXN0"}),
    GET("/none"), GET("/dead"), GET("/nothing", ep="web2"), GET("/rw/a?b"),
]
KEPT = "fields: {headers: {names: {Referer: keep, User-Agent: keep}}}"

# formats
C("clf", *REQS, static=A(""), log=[CLF])
C("clf-headers-kept", *REQS, static=A(KEPT), log=[CLF])
C("generic", *REQS, static=A("format: genericCLF"), log=[CLF])
C("generic-headers-kept", *REQS, static=A("format: genericCLF, " + KEPT), log=[CLF])
C("json", *REQS, static=A("format: json"))
C("json-headers-kept", *REQS, static=A(KEEP))
C("format-unknown", GET("/x"), static=A("format: nope"), log=[CLF])
C("format-case", GET("/x"), static=A("format: JSON"), log=[CLF])
C("format-empty", GET("/x"), static=A("format: \"\""), log=[CLF])
C("clf-redact", *REQS[:2], static=A("fields: {headers: {defaultMode: redact}}"), log=[CLF])
C("clf-fields-drop", *REQS[:2], static=A("fields: {defaultMode: drop}"), log=[LOG("access.log", format="common", n=2)])
C("generic-fields-drop", *REQS[:2], static=A("format: genericCLF, fields: {defaultMode: drop}"), log=[LOG("access.log", format="common", n=2)])
C("clf-no-start-utc", *REQS[:1], static=A("fields: {names: {StartUTC: drop}}"), log=[CLF])
C("clf-some-fields", *REQS[:2], static=A("fields: {names: {ClientHost: drop, requestpath: drop, DOWNSTREAMSTATUS: drop, ServiceURL: drop, Duration: drop}}"), log=[LOG("access.log", format="common", n=2)])
C("clf-odd", static=A(KEPT), log=[CLF], *[
    GET("/%22q%22/%C3%A9;a?x=\"y\"&z=%20"), GET("//a//b/../c?"), GET("/x?"), R("PROPFIND", "/x"), GET("/x", version="HTTP/1.0"),
    GET("/x", headers={"User-Agent": "a\tb"}, ua=None), GET("/x", headers=[["User-Agent", "one"], ["Referer", ""]], ua=None),
    GET("/auth", headers={"X-Forwarded-For": ""}), GET("http://abs.test/abs?q"), R("OPTIONS", "*"), GET("/x#frag"), GET("/%2e%2e/x"), GET("/x?a;b")])

# json: who answered
C("json-dead", GET("/dead"), GET("/gone"), GET("/wd"), static=A("format: json"))
C("json-none", GET("/none"), POST("/none", body="abc"), static=A("format: json"))
C("json-404", GET("/nothing", ep="web2"), POST("/nothing?x", ep="web2", body="abc"), R("OPTIONS", "*", ep="web2"), R("OPTIONS", "*"), static=A("format: json"))
C("json-weighted", GET("/w"), static=A("format: json"))
C("json-mirror", GET("/mirror"), POST("/mirror", body="abc"), SLEEP(0.3), static=A("format: json"))
C("json-failover", GET("/failover"), static=A("format: json"))
C("json-preserve-path", GET("/base/x"), static=A("format: json"))
C("json-auth", GET("/auth"), GET("/auth", headers={"Authorization": "Basic dTp0ZXN0"}), GET("/auth", headers={"Authorization": "Basic dTp4"}), static=A("format: json"))
C("json-auth-removed", GET("/authrm", headers={"Authorization": "Basic dTp0ZXN0"}), static=A(KEEP))
C("json-retry", GET("/retry", ctl=dict(status=503)), GET("/retry", ctl=dict(fail=dict(n=1, status=503, key="log"))), GET("/retry"), static=A("format: json"))
C("json-redirect", GET("/redirect"), GET("/forbidden"), POST("/forbidden", body="abc"), static=A(KEEP))
C("json-middleware-headers", GET("/headers", headers={"X-Gone": "x"}, ctl=dict(headers=[["X-B", "b"]])), static=A(KEEP))
C("json-strip", GET("/rw/a/b?c=d"), static=A(KEEP))
C("json-host", GET("/x", host="h.test:8080"), GET("/x", host="[::1]:80"), GET("/x", host="[::1]"), GET("/x", host="::1"), GET("/x", host="a:b"), GET("/x", version="HTTP/1.0", host=None), static=A("format: json"))
C("json-user-in-url", GET("http://bob:pw@abs.test/abs?q"), static=A("format: json"))
C("json-bytes", POST("/x", body="abc" * 1000), POST("/x", body="abc" * 1000, chunked=True), GET("/x", ctl=dict(framing="chunked", body_size=5000)), GET("/x", ctl=dict(framing="close", body_size=70000)), GET("/big", ctl=dict(body_size=200000)), static=A("format: json"))
C("json-codes", *[GET("/x", ctl=dict(status=s)) for s in (201, 204, 206, 301, 304, 401, 418, 500, 503, 599, 999)], static=A("format: json"))
C("json-gzip", GET("/x", headers={"Accept-Encoding": "gzip"}, ctl=dict(gzip=True, body_size=5000)), GET("/x", ctl=dict(gzip=True, body_size=5000)), static=A(KEEP))
C("json-trailers", GET("/x", ctl=dict(framing="chunked", trailers=[["X-T", "1"]])), POST("/x", body="abc", chunked=True, trailers=[["X-U", "2"]]), static=A(KEEP))
C("json-interim", GET("/x", ctl=dict(interim=[[103, [["Link", "</a>"]]]])), POST("/x", body="abc", headers={"Expect": "100-continue"}), static=A(KEEP))
C("json-aborted-by-server", *[GET("/x", ctl=dict(body_size=5000, abort=a, **k)) for a in ("before", "rst", "headers", "mid") for k in ({}, dict(framing="chunked"))], static=A("format: json"))
C("json-upgrade", WS("/ws", ["hello", "x" * 200]), static=A(KEEP))
C("json-upgrade-refused", GET("/x", headers={"Connection": "Upgrade", "Upgrade": "websocket"}), static=A(KEEP))
C("json-malformed", RAW("GET / HTTP/9.9\nHost: x\n\n"), RAW("GET /%zz HTTP/1.1\nHost: x\n\n", only_resp=("status",)), RAW("GET / HTTP/1.1\n\n", only_resp=("status",)), RAW("CONNECT h.test:443 HTTP/1.1\nHost: h.test\n\n"), RAW("GET /x#y HTTP/1.1\nHost: x\n\n"), RAW("GET /a/%2F%00 HTTP/1.1\nHost: x\n\n"), static=A("format: json"))
C("json-client-gone", RAW("GET /x HTTP/1.1\nHost: x\nX-Ctl: {\"delay\":1}\n\n", n=0, settle=0.3), SLEEP(1.5), static=A("format: json"), log=[LOG("access.log")])
C("json-h2c", GET("/x?q", h2=True), POST("/x", body="abc", h2=True), GET("/nothing", h2=True, ep="web2"), GET("/x", h2=True, ctl=dict(body_size=70000)), static=A(KEEP))
C("json-keep-alive", GET("/x", conn="k"), GET("/x", conn="k"), static=A("format: json"))
C("json-internal", GET("/noop"), static=A("format: json"))
C("json-internals", GET("/noop"), GET("/nothing", ep="web2"), static=A(KEEP + ", addInternals: true"))
C("json-api", GET("/api/version", ep="traefik", only=("status",)), GET("/ping", ep="traefik"), static=A("format: json") + "api: {insecure: true}\nping: {}\n")
C("json-api-internals", GET("/ping", ep="traefik"), static=A("format: json, addInternals: true") + "api: {insecure: true}\nping: {}\n")
C("json-redirection", GET("/x"), static="accessLog: {filePath: \"${DIR}/access.log\", format: json}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {redirections: {entryPoint: {to: \":443\"}}}}}\n")
C("json-health-check", SLEEP(1.2), GET("/x"), dyn=http('r: {rule: "PathPrefix(`/`)", service: h}', services='h: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}], healthCheck: {path: /health, interval: 300ms}}}'), static=A("format: json"))
C("json-sticky", GET("/x"), dyn=http('r: {rule: "PathPrefix(`/`)", service: s}', services='s: {loadBalancer: {sticky: {cookie: {name: c}}, servers: [{url: "http://${BACKEND_a}"}]}}'), static=A(KEEP))

# where
C("router-off", GET("/noobs"), GET("/x"), static=A(""), log=[CLF])
C("entry-point-off", GET("/x", ep="quiet"), GET("/yes", ep="quiet"), GET("/yes"), GET("/noobs", ep="quiet"), static=A(""), log=[CLF])
C("entry-point-off-404", GET("/nothing", ep="quiet2"), GET("/nothing", ep="web2"), static="accessLog: {filePath: \"${DIR}/access.log\"}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", asDefault: true}, web2: {address: \"127.0.0.1:${PORT_web2}\"}, quiet2: {address: \"127.0.0.1:${PORT_quiet2}\", observability: {accessLogs: false}}}\n", log=[CLF])
C("api-shows", API("/api/http/routers/no@file"), API("/api/http/routers/quiet-yes@file"), API("/api/http/routers/quiet-r@file"), API("/api/overview", pick=["features"]), static=A("") + "api: {insecure: true}\n", log=[])
C("stdout", GET("/x"), static=EPS + "accessLog: {}\nlog: {level: ERROR}\n", log=[LOG("gateway.log", grep="HTTP/1.1", format="common")])
C("stdout-json", GET("/x"), static=EPS + "accessLog: {format: json}\nlog: {level: ERROR}\n", log=[LOG("gateway.log", grep="RequestPath")])
C("folders-made", GET("/x"), static=EPS + "accessLog: {filePath: \"${DIR}/a/b/access.log\"}\n", log=[LOG("a/b/access.log", format="common")])

# filters
F = lambda o: A("format: json, fields: {defaultMode: drop, names: {DownstreamStatus: keep, RetryAttempts: keep, RequestPath: keep}}, filters: %s" % o)
FREQ = [GET("/a"), GET("/b", ctl=dict(status=404)), GET("/c", ctl=dict(status=500)), GET("/retry/d", ctl=dict(fail=dict(n=1, status=503, key="logf"))), GET("/slow", ctl=dict(delay=0.4)), GET("/nothing", ep="web2")]
for name, o in [("one", '{statusCodes: ["404"]}'), ("range", '{statusCodes: ["400-404", "500-599"]}'), ("comma", '{statusCodes: ["200,404"]}'), ("bad", '{statusCodes: ["abc"]}'), ("bad-and-good", '{statusCodes: ["abc", "404"]}'), ("bad-retry", '{statusCodes: ["abc"], retryAttempts: true}'),
                ("reversed", '{statusCodes: ["404-400"]}'), ("number", "{statusCodes: [404]}"), ("scalar", '{statusCodes: "404,500"}'), ("retry", "{retryAttempts: true}"), ("min", "{minDuration: 300ms}"), ("min-number", "{minDuration: 1}"), ("min-zero", "{minDuration: 0}"), ("min-negative", "{minDuration: -1s}"),
                ("all", '{statusCodes: ["500"], retryAttempts: true, minDuration: 300ms}'), ("spaces", '{statusCodes: [" 404 "]}'), ("open", '{statusCodes: ["404-"]}'), ("big", '{statusCodes: ["0-99999"]}'), ("empty-text", '{statusCodes: [""]}'), ("three", '{statusCodes: ["400-404-500"]}')]:
    C("filter-" + name, *FREQ, static=F(o))

# fields
for name, o in [("drop", "{defaultMode: drop}"), ("drop-keep", "{defaultMode: drop, names: {requestpath: keep, ROUTERNAME: keep, ClientHost: redact}}"), ("keep-drop", "{names: {RequestPath: drop, ClientUsername: drop, StartLocal: drop, StartUTC: drop, entryPointName: drop, time: drop, level: drop, msg: drop}}"),
                ("mode-unknown", "{defaultMode: nope}"), ("mode-redact", "{defaultMode: redact}"), ("mode-empty", '{defaultMode: ""}'), ("mode-upper", "{defaultMode: DROP}"), ("name-mode-unknown", "{names: {RequestPath: nope, RequestHost: DROP, RequestPort: \"\"}}"),
                ("headers-keep", "{headers: {defaultMode: keep}}"), ("headers-redact", "{headers: {defaultMode: redact}}"), ("headers-drop", "{headers: {defaultMode: drop, names: {x-one: keep, X-Two: redact, content-type: keep, X-THREE: drop}}}"),
                ("headers-names-drop", "{headers: {defaultMode: keep, names: {x-one: drop, Cookie: redact, Date: drop, nope: keep}}}"), ("headers-mode-unknown", "{headers: {defaultMode: nope}}"), ("headers-mode-upper", "{headers: {defaultMode: KEEP}}"), ("headers-name-mode-unknown", "{headers: {defaultMode: keep, names: {X-One: nope}}}"),
                ("headers-only-names", "{headers: {names: {X-One: keep}}}"), ("field-as-header", "{defaultMode: drop, headers: {defaultMode: keep}}"), ("header-as-field", "{names: {request_X-One: drop}, headers: {defaultMode: keep}}"), ("headers-odd-name", "{headers: {names: {\"x_one\": keep, \"x one\": keep, XONE: keep}}}"),
                ("query-drop", "{queryParameters: {defaultMode: drop}}"), ("query-keep", "{queryParameters: {defaultMode: keep}}"), ("query-redact", "{queryParameters: {defaultMode: redact}}"), ("query-unknown", "{queryParameters: {defaultMode: nope}}"), ("query-upper", "{queryParameters: {defaultMode: DROP}}"), ("query-field-drop", "{defaultMode: drop, queryParameters: {defaultMode: drop}}")]:
    C("fields-" + name, GET("/x?a=b&c=d", headers=[["X-One", "1"], ["X-One", "2"], ["X-Two", "t"], ["X-Three", "3"], ["Cookie", "a=b"], ["x_one", "u"], ["XONE", "o"], ["Referer", "http://r/?a=b"]], ctl=dict(headers=[["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X-One", "res"]])), GET("/x?"), static=A("format: json, fields: " + o), log=[LOG("access.log", n=2)])

# writing
for name, o in [("buffering", "bufferingSize: 100"), ("buffering-one", "bufferingSize: 1"), ("buffering-zero", "bufferingSize: 0"), ("dual-output", "dualOutput: true")]:
    C(name, *[GET("/x%d" % i) for i in range(5)], static=A(o), log=[CLF])
C("reopen", GET("/one"), CALL(lambda h: (__import__("os").rename(h.dir + "/access.log", h.dir + "/access.log.1"), {})[1]), GET("/two"), SIG("USR1"), SLEEP(0.3), GET("/three"), static=A(""), log=[LOG("access.log", format="common"), LOG("access.log.1", format="common")])
C("stop", GET("/one"), SIG("TERM"), EXIT(), static=A("bufferingSize: 1000"), log=[CLF])
C("all-together", GET("/x"), static=A("bufferingSize: 10, format: json, filters: {statusCodes: [\"200-299\"]}, fields: {names: {ServiceURL: drop}}"))

# TLS
TDYN = http('r: {rule: "PathPrefix(`/`)", service: a, tls: {}}', extra="""
tls: {options: {default: {clientAuth: {caFiles: ["${PKI}/ca.crt"], clientAuthType: VerifyClientCertIfGiven}}}}
""")
TSTATIC = TLS_EPS + "accessLog: {filePath: \"${DIR}/access.log\", format: json}\n"
C("tls", GET("/x", ep="websecure", tls={}), GET("/x", ep="websecure", tls={"max": "1.2"}), GET("/x", ep="websecure", tls={}, h2=True), GET("/x", ep="websecure", tls={"cert": "client1"}), GET("/x", ep="websecure", tls={"cert": "client_full"}), static=TSTATIC, dyn=TDYN, log=[LOG("access.log", values=("TLSVersion", "TLSClientSubject", "RequestScheme", "RequestProtocol", "RouterName", "DownstreamStatus", "entryPointName"))])
C("tls-404", GET("/x", ep="websecure", tls={}), static=TSTATIC, dyn=http('r: {rule: "Path(`/nope`)", service: a, tls: {}}'), log=[LOG("access.log", values=("TLSVersion", "TLSClientSubject", "RequestScheme", "RequestProtocol", "RouterName", "DownstreamStatus", "entryPointName"))])
C("tls-h3", H3("/x?q=1"), static=TSTATIC, dyn=TDYN, log=[LOG("access.log", values=("TLSVersion", "TLSClientSubject", "RequestScheme", "RequestProtocol", "RouterName", "DownstreamStatus", "entryPointName"))])

# clients and servers that go
C("json-client-gone-in-body", RAW("GET /x HTTP/1.1\nHost: x\nX-Ctl: {\"body_size\":30000000}\n\n", n=0, settle=0.3), SLEEP(1), static=A("format: json"), log=[LOG("access.log", values=("DownstreamStatus", "OriginStatus", "OriginContentSize", "OriginDuration", "GzipRatio", "RouterName", "ServiceURL"))])
C("json-client-gone-in-upload", RAW("POST /x HTTP/1.1\nHost: x\nContent-Length: 100\n\nabc", n=0, settle=0.3), SLEEP(1), static=A("format: json"))
C("json-slow", GET("/x", ctl=dict(delay=0.3)), static=A("format: json"))
C("json-connect", R("CONNECT", "h.test:443"), static=A("format: json"))
C("json-head", *[HEAD(p) for p in ("/nothing-here", "/dead", "/none", "/redirect", "/forbidden", "/auth", "/noop", "/headers")], HEAD("/nothing", ep="web2"), HEAD("/x", h2=True), static=A(KEEP))
C("json-bodiless", *[GET("/x", ctl=dict(status=st, **k)) for st in (200, 204, 304) for k in ({}, dict(body="")) if not (st == 304 and k)], GET("/x", ctl=dict(body="", framing="chunked")), static=A(KEEP))
C("json-h2c-trailers", GET("/x", h2=True, ctl=dict(framing="chunked", trailers=[["X-T", "1"]])), static=A(KEEP))
C("json-odd-headers", GET("/x", headers=[["x-lower-case", "1"], ["X_Under", "2"], ["X.dot", "<&>"], ["Empty", ""], ["Accept-Language", "d\u00e9"]]), static=A(KEEP))
C("json-put", PUT("/x", body="abc", headers={"Content-Type": "text/x"}), POST("/dead", body="abcdef"), POST("/auth", body="abc", h2=True), static=A(KEEP))
C("json-expect-refused", POST("/forbidden", body="abc", headers={"Expect": "100-continue"}), static=A(KEEP))
C("json-trusted-forwarded", GET("/x", headers={"X-Forwarded-For": "1.2.3.4, 5.6.7.8", "X-Forwarded-Proto": "https"}), GET("/x", headers=[["X-Forwarded-For", "1.2.3.4"], ["X-Forwarded-For", "5.6.7.8"]]), static="accessLog: {filePath: \"${DIR}/access.log\", format: json, fields: {headers: {defaultMode: keep}}}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", forwardedHeaders: {insecure: true}}}\n")
C("json-encoded-denied", GET("/a%2Fb"), static="accessLog: {filePath: \"${DIR}/access.log\", format: json, fields: {headers: {defaultMode: keep}}}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {encodedCharacters: {allowEncodedSlash: false}}}}\n")
C("json-sanitize-off", GET("//a//b/../c?"), GET("/a%2e/b"), static="accessLog: {filePath: \"${DIR}/access.log\", format: json}\nentryPoints: {web: {address: \"127.0.0.1:${PORT_web}\", http: {sanitizePath: false, encodeQuerySemicolons: true}}}\n")
C("json-raw-path", RAW(b"GET /a\"b<c>{d}|\xc3\xa9^`?x=\"<>\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n"), static=A("format: json"), log=[LOG("access.log", values=("RequestPath",))])
C("fields-tls-drop", GET("/x", ep="websecure", tls={}), static=TSTATIC.replace("json", "json, fields: {names: {TLSVersion: drop, tlscipher: drop}}"), dyn=TDYN)
C("flags", GET("/x"), args=["--entrypoints.web.address=127.0.0.1:${PORT_web}", "--providers.file.directory=${DIR}/dyn", "--accesslog", "--accesslog.filepath=${DIR}/access.log", "--accesslog.format=json", "--accesslog.fields.names.RequestPath=drop", "--accesslog.fields.headers.names.User-Agent=keep", "--accesslog.filters.statuscodes=200,300-302"], static=None, ready=dict(ep="web", path="/x", status=200), log=[LOG("access.log", n=1)])
C("env", GET("/x"), env={"TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": "127.0.0.1:${PORT_web}", "TRAEFIK_PROVIDERS_FILE_DIRECTORY": "${DIR}/dyn", "TRAEFIK_ACCESSLOG": "true", "TRAEFIK_ACCESSLOG_FILEPATH": "${DIR}/access.log", "TRAEFIK_ACCESSLOG_FORMAT": "json", "TRAEFIK_ACCESSLOG_FIELDS_HEADERS_NAMES_USER_AGENT": "keep", "TRAEFIK_ACCESSLOG_FIELDS_NAMES_RouterName": "drop"}, static=None, ready=dict(ep="web", path="/x", status=200), log=[LOG("access.log", n=1)])
