from lib.dsl import *
import textwrap
E = """
entryPoints: {tcp: {address: "127.0.0.1:${PORT_tcp}"}, tcp2: {address: "127.0.0.1:${PORT_tcp2}"}}
"""
TB = {"kind": "tcp"}
SINK = {"kind": "tcp", "mode": "sink"}
PB = {"kind": "tcp", "proxy": True}
ANY = 'r: {rule: "HostSNI(`*`)", service: a, entryPoints: [tcp]}'


def tcp(routers, services, middlewares="", transports="", top=""):
    d = lambda s: textwrap.indent(textwrap.dedent(s).strip("\n"), "    ") + "\n"
    out = "tcp:\n  routers:\n" + d(routers) + "  services:\n" + d(services)
    if middlewares:
        out += "  middlewares:\n" + d(middlewares)
    if transports:
        out += "  serversTransports:\n" + d(transports)
    return out + "\n" + top


def lb(*names, opts="", srv=""):
    return "\n".join('%s: {loadBalancer: {%sservers: [{address: "${BACKEND_%s}"%s}]}}' % (n, opts, n, srv) for n in names)


def one(name, opts="", transports="", backend=SINK, steps=(), srv="", static=E, **kw):
    case(name, static=static, backends={"a": backend}, dyn=tcp(ANY, lb("a", opts=opts, srv=srv), transports=transports), steps=list(steps), **kw)


HALF = dict(shutdown=True, until_eof=True, timeout=4)
# half-close: the sink answers 250 ms after the end of its client
one("l4-half-default", steps=[TCP("x", **HALF)])
one("l4-half-named", opts="serversTransport: t, ", transports="t: {terminationDelay: 1s}", steps=[TCP("x", **HALF)])
one("l4-half-named-default", opts="serversTransport: t, ", transports="t: {dialTimeout: 5s}", steps=[TCP("x", **HALF)])
one("l4-half-forever", opts="serversTransport: t, ", transports="t: {terminationDelay: -1s}", steps=[TCP("x", **HALF)])
one("l4-half-zero", opts="serversTransport: t, ", transports="t: {terminationDelay: 0s}", steps=[TCP("x", **HALF)])
one("l4-half-old-option", opts="terminationDelay: 2000, ", steps=[TCP("x", **HALF)])
one("l4-half-old-option-nanos", opts="terminationDelay: 2000000000, ", steps=[TCP("x", **HALF)])
one("l4-half-old-option-negative", opts="terminationDelay: -1, ", steps=[TCP("x", **HALF)])
one("l4-half-old-beside-named", opts="terminationDelay: 2000000000, serversTransport: t, ", transports="t: {}", steps=[TCP("x", **HALF)])
one("l4-half-static", static=E + "tcpServersTransport: {terminationDelay: 2s}\n", steps=[TCP("x", **HALF)])

# PROXY protocol towards servers
for n, (o, t) in {
    "v1": ("serversTransport: t, ", "t: {proxyProtocol: {version: 1}}"),
    "v2": ("serversTransport: t, ", "t: {proxyProtocol: {version: 2}}"),
    "default": ("serversTransport: t, ", "t: {proxyProtocol: {}}"),
    "true": ("serversTransport: t, ", "t: {proxyProtocol: true}"),
    "bad": ("serversTransport: t, ", "t: {proxyProtocol: {version: 3}}"),
    "zero": ("serversTransport: t, ", "t: {proxyProtocol: {version: 0}}"),
    "old-v1": ("proxyProtocol: {version: 1}, ", ""),
    "old-default": ("proxyProtocol: {}, ", ""),
    "old-bad": ("proxyProtocol: {version: 9}, ", ""),
    "old-beside-named": ("proxyProtocol: {version: 1}, serversTransport: t, ", "t: {}"),
    "old-beside-named-2": ("proxyProtocol: {version: 1}, serversTransport: t, ", "t: {proxyProtocol: {version: 2}}"),
}.items():
    one("l4-proxy-" + n, opts=o, transports=t, backend=PB, steps=[TCP("payload")])

# TLS towards servers
TLSB = {"kind": "tcp", "tls": "backend"}
for n, (o, t) in {
    "name-ca": ("serversTransport: t, ", 't: {tls: {rootCAs: ["${PKI}/ca.crt"], serverName: backend.test}}'),
    "wrong-name": ("serversTransport: t, ", 't: {tls: {rootCAs: ["${PKI}/ca.crt"], serverName: nope.test}}'),
    "no-name": ("serversTransport: t, ", 't: {tls: {rootCAs: ["${PKI}/ca.crt"]}}'),
    "skip": ("serversTransport: t, ", "t: {tls: {insecureSkipVerify: true}}"),
    "skip-name": ("serversTransport: t, ", "t: {tls: {insecureSkipVerify: true, serverName: nope.test}}"),
    "missing-ca": ("serversTransport: t, ", 't: {tls: {rootCAs: ["${PKI}/nix.crt"], serverName: backend.test}}'),
    "default": ("", ""),
    "proxy-first": ("serversTransport: t, ", "t: {proxyProtocol: {version: 1}, tls: {insecureSkipVerify: true}}"),
}.items():
    one("l4-tls-out-" + n, opts=o, transports=t, backend=TLSB, srv=", tls: true", steps=[TCP("hello")])
one("l4-tls-out-static-skip", backend=TLSB, srv=", tls: true", static=E + "tcpServersTransport: {tls: {insecureSkipVerify: true}}\n", steps=[TCP("hello")])
one("l4-tls-out-only-transport", backend=TB, opts="serversTransport: t, ", transports="t: {tls: {insecureSkipVerify: true}}", steps=[TCP("hello")])
case("l4-tls-out-mtls", static=E, backends={"a": {"kind": "tcp", "tls": "backend", "client_ca": "ca", "require": True}}, dyn=tcp(ANY, lb("a", opts="serversTransport: t, ", srv=", tls: true"), transports='t: {tls: {insecureSkipVerify: true, certificates: [{certFile: "${PKI}/client1.crt", keyFile: "${PKI}/client1.key"}]}}'), steps=[TCP("hello")])

# servers that are not there
case("l4-dead", static=E, dyn=tcp('r: {rule: "HostSNI(`*`)", service: s, entryPoints: [tcp]}', 's: {loadBalancer: {servers: [{address: "${DEAD_x}"}]}}'), steps=[TCP("x")])
case("l4-bad-address", static=E, backends={"a": TB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: s, entryPoints: [tcp]}', 's: {loadBalancer: {servers: [{address: "127.0.0.1"}, {address: "${BACKEND_a}"}, {address: "http://x:1"}]}}'), steps=[TCP("x"), TCP("y"), TCP("z")])
case("l4-no-servers", static=E, dyn=tcp('r: {rule: "HostSNI(`*`)", service: s, entryPoints: [tcp]}', "s: {loadBalancer: {servers: []}}"), steps=[TCP("x")])
case("l4-localhost-name", static=E, backends={"a": TB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: s, entryPoints: [tcp]}', 's: {loadBalancer: {servers: [{address: "localhost:${BPORT_a}"}]}}'), steps=[TCP("x")])
for n, w in {"zero": "[{name: a, weight: 0}]", "some-zero": "[{name: a, weight: 0}, {name: b}]", "empty": "[]", "unknown": "[{name: a}, {name: nix}]", "twice": "[{name: a}, {name: a}]"}.items():
    case("l4-weighted-" + n, static=E, backends={"a": TB, "b": TB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: w, entryPoints: [tcp]}', lb("a", "b") + "\nw: {weighted: {services: %s}}" % w), steps=[TCP("x"), TCP("y")])


def dist(n, ep="tcp"):
    def run(c):
        from lib import client as C
        got = {}
        for _ in range(n):
            s = C.connect(("127.0.0.1", c.port(ep)))
            s.sendall(b"q")
            s.settimeout(2)
            try:
                d = s.recv(100).decode().split(":")[0] or "closed"
            except OSError:
                d = "closed"
            got[d] = got.get(d, 0) + 1
            s.close()
        c.drain(settle=0.05)
        return {"dist": got}
    run.__name__ = "dist"
    return run


case("l4-weighted-nested", static=E, backends={"a": TB, "b": TB, "c": TB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: w, entryPoints: [tcp]}', lb("a", "b", "c") + "\nw: {weighted: {services: [{name: v, weight: 2}, {name: c, weight: 4}]}}\nv: {weighted: {services: [{name: a}, {name: b}]}}"), steps=[CALL(dist(12)), CALL(dist(24))])
case("l4-three-servers", static=E, backends={"a": TB, "b": TB, "c": TB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: s, entryPoints: [tcp]}', 's: {loadBalancer: {servers: [{address: "${BACKEND_a}"}, {address: "${BACKEND_b}"}, {address: "${BACKEND_c}"}]}}'), steps=[CALL(dist(9)), CALL(dist(6))])

# health checks
HB = {"kind": "tcp", "mode": "health"}
HC = "healthCheck: {send: PING, expect: PONG, interval: 200ms, unhealthyInterval: 200ms, timeout: 1s}, "
HS = 's: {loadBalancer: {%sservers: [{address: "${BACKEND_a}"}, {address: "${BACKEND_b}"}]}}' % HC
case("l4-health", static=E, backends={"a": HB, "b": HB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: s, entryPoints: [tcp]}', HS), steps=[CALL(dist(4)), SET("a", health=500), SLEEP(0.9), CALL(dist(4)), SET("b", health=500), SLEEP(0.9), CALL(dist(2)), SET("a", health=200), SLEEP(0.9), CALL(dist(4))])
case("l4-health-other-port", static=E, backends={"a": TB, "b": HB}, dyn=tcp(ANY, 'a: {loadBalancer: {healthCheck: {port: ${BPORT_b}, send: PING, expect: PONG, interval: 200ms}, servers: [{address: "${BACKEND_a}"}]}}'), steps=[TCP("x"), SET("b", health=500), SLEEP(0.9), TCP("x")])
case("l4-health-connect-only", static=E, backends={"a": TB}, dyn=tcp(ANY, 'a: {loadBalancer: {healthCheck: {interval: 200ms, timeout: 500ms}, servers: [{address: "${BACKEND_a}"}, {address: "${DEAD_x}"}]}}'), steps=[SLEEP(0.9), CALL(dist(4))])
WH = 'w: {weighted: {healthCheck: {}, services: [{name: s}, {name: t}]}}\ns: {loadBalancer: {%sservers: [{address: "${BACKEND_a}"}]}}\nt: {loadBalancer: {%sservers: [{address: "${BACKEND_b}"}]}}' % (HC, HC)
case("l4-health-weighted", static=E, backends={"a": HB, "b": HB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: w, entryPoints: [tcp]}', WH), steps=[CALL(dist(4)), SET("a", health=500), SLEEP(0.9), CALL(dist(4))])
case("l4-health-weighted-not-followed", static=E, backends={"a": HB, "b": HB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: w, entryPoints: [tcp]}', WH.replace("healthCheck: {}, services", "services", 1)), steps=[CALL(dist(4)), SET("a", health=500), SLEEP(0.9), CALL(dist(4))])
case("l4-health-weighted-unchecked", static=E, backends={"a": TB, "b": TB}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: w, entryPoints: [tcp]}', lb("a", "b") + "\nw: {weighted: {healthCheck: {}, services: [{name: a}, {name: b}]}}"), steps=[TCP("x")])

# rules and priorities without TLS
RB = {"a": TB, "b": TB, "c": TB}
for n, r in {
    "catch-all-last": 'r1: {rule: "HostSNI(`*`)", service: a, entryPoints: [tcp]}\nr2: {rule: "ClientIP(`127.0.0.1`)", service: b, entryPoints: [tcp]}',
    "catch-all-prio": 'r1: {rule: "HostSNI(`*`)", service: a, entryPoints: [tcp], priority: 100}\nr2: {rule: "ClientIP(`127.0.0.1`)", service: b, entryPoints: [tcp]}',
    "not": 'r1: {rule: "!ClientIP(`127.0.0.1`)", service: a, entryPoints: [tcp]}\nr2: {rule: "!ClientIP(`10.0.0.1`)", service: b, entryPoints: [tcp]}',
    "sni-without-tls": 'r1: {rule: "HostSNI(`x.test`)", service: a, entryPoints: [tcp]}\nr2: {rule: "HostSNI(`*`)", service: b, entryPoints: [tcp]}',
    "sni-or-any": 'r1: {rule: "HostSNI(`*`) || HostSNI(`x.test`)", service: a, entryPoints: [tcp]}\nr2: {rule: "HostSNI(`*`)", service: b, entryPoints: [tcp]}',
    "regexp-empty": 'r1: {rule: "HostSNIRegexp(`^$`)", service: a, entryPoints: [tcp]}\nr2: {rule: "HostSNIRegexp(`.+`)", service: b, entryPoints: [tcp]}',
    "alpn-plain": 'r1: {rule: "ALPN(`h2`)", service: a, entryPoints: [tcp]}\nr2: {rule: "!ALPN(`h2`)", service: b, entryPoints: [tcp]}',
    "ranges": 'r1: {rule: "ClientIP(`127.0.0.0/8`) && !ClientIP(`127.0.0.1/32`)", service: a, entryPoints: [tcp]}\nr2: {rule: "ClientIP(`127.0.0.0/8`)", service: b, entryPoints: [tcp]}',
    "bad-ip": 'r1: {rule: "ClientIP(`127.0.0`)", service: a, entryPoints: [tcp]}\nr2: {rule: "HostSNI(`*`)", service: b, entryPoints: [tcp]}',
    "negative-prio": 'r1: {rule: "ClientIP(`127.0.0.1`)", service: a, entryPoints: [tcp], priority: -5}\nr2: {rule: "HostSNI(`*`)", service: b, entryPoints: [tcp]}',
    "case": 'r1: {rule: "hostsni(`*`)", service: a, entryPoints: [tcp]}',
    "http-matcher": 'r1: {rule: "Host(`*`)", service: a, entryPoints: [tcp]}\nr2: {rule: "HostSNI(`*`)", service: b, entryPoints: [tcp]}',
}.items():
    case("l4-rule-" + n, static=E, backends=RB, dyn=tcp(r, lb("a", "b", "c")), steps=[TCP("x")])
case("l4-http-beside", static=E, backends={"a": TB, "h": {"kind": "http"}}, dyn=tcp('r: {rule: "ClientIP(`10.0.0.1`)", service: a, entryPoints: [web]}', lb("a"), top=http('h: {rule: "PathPrefix(`/`)", service: h}', names="h")), steps=[GET("/x")])
case("l4-tcp-takes-http", static=E, backends={"a": TB, "h": {"kind": "http"}}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: a, entryPoints: [web]}', lb("a"), top=http('h: {rule: "PathPrefix(`/`)", service: h}', names="h")), steps=[TCP("GET / HTTP/1.1\r\n\r\n", ep="web")])

# middlewares
M = 'm: {rule: "HostSNI(`*`)", service: a, entryPoints: [tcp], middlewares: [%s]}'
MW = """
near: {ipAllowList: {sourceRange: ["127.0.0.1"]}}
far: {ipAllowList: {sourceRange: ["10.0.0.0/8"]}}
old: {ipWhiteList: {sourceRange: ["10.0.0.0/8"]}}
none: {inFlightConn: {amount: 0}}
one: {inFlightConn: {amount: 1}}
bad: {ipAllowList: {sourceRange: ["nope"]}}
both: {inFlightConn: {amount: 0}, ipAllowList: {sourceRange: ["127.0.0.1"]}}
both2: {inFlightConn: {amount: 1}, ipAllowList: {sourceRange: ["10.0.0.1"]}}
"""
for n in ("near", "far", "old", "none", "bad", "both", "both2", "near, one", "nix", "far, near"):
    case("l4-mw-" + n.replace(", ", "-"), static=E, backends={"a": TB}, dyn=tcp(M % n, lb("a"), middlewares=MW), steps=[TCP("x"), TCP("y")])
case("l4-mw-in-flight", static=E, backends={"a": TB}, dyn=tcp(M % "one", lb("a"), middlewares=MW), steps=[TCP("x", conn="c"), TCP("y"), TCP("z", conn="c", close=True), SLEEP(0.2), TCP("again")])
case("l4-mw-in-flight-two-entry-points", static=E, backends={"a": TB}, dyn=tcp((M % "one").replace("[tcp]", "[tcp, tcp2]"), lb("a"), middlewares=MW), steps=[TCP("x", conn="c"), TCP("y", ep="tcp2"), TCP("y")])

# reload
R2 = tcp(ANY.replace("service: a", "service: b"), lb("a", "b"))
case("l4-reload", static=E, backends={"a": TB, "b": TB}, dyn={"main.yml": tcp(ANY, lb("a", "b"))}, steps=[TCP("1", conn="c"), WRITE("main.yml", R2), SLEEP(0.6), TCP("2", conn="c"), TCP("3")])
