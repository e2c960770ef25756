from lib.dsl import *
import textwrap
E = """
entryPoints: {tcp: {address: "127.0.0.1:${PORT_tcp}"}, web: {transport: {respondingTimeouts: {readTimeout: 2s}}}}
"""
T = {"kind": "tcp", "tls": "backend"}
P = {"kind": "tcp"}


def tcp(routers, services, top=""):
    d = lambda s: textwrap.indent(textwrap.dedent(s).strip("\n"), "    ") + "\n"
    return "tcp:\n  routers:\n" + d(routers) + "  services:\n" + d(services) + "\n" + top


def lb(*names):
    return "\n".join('%s: {loadBalancer: {servers: [{address: "${BACKEND_%s}"}]}}' % (n, n) for n in names)


def r(i, rule, service, more=""):
    return 'r%d: {rule: "%s", service: %s, entryPoints: [tcp], tls: {passthrough: true}%s}\n' % (i, rule, service, more)


def hi(sni, **kw):
    return TCP("hi", tls={"sni": sni, **kw})


ABC = {"a": T, "b": T, "c": T}
case("l4-sni-exact", static=E, backends=ABC, dyn=tcp(r(1, "HostSNI(`a.test`)", "a") + r(2, "HostSNI(`B.test`)", "b") + r(3, "HostSNI(`c.test.`)", "c"), lb("a", "b", "c")), steps=[hi("a.test"), hi("b.test"), hi("B.TEST"), hi("c.test"), hi("x.a.test"), hi("other.test"), hi(None), TCP("plain")])
case("l4-sni-wildcard", static=E, backends=ABC, dyn=tcp(r(1, "HostSNI(`*.a.test`)", "a") + r(2, "HostSNI(`xyz.a.test`)", "b") + r(3, "HostSNI(`*`)", "c"), lb("a", "b", "c")), steps=[hi("xyz.a.test"), hi("y.a.test"), hi("a.test"), hi("z.y.a.test"), hi(None)])
case("l4-sni-wildcard-prio", static=E, backends=ABC, dyn=tcp(r(1, "HostSNI(`*.a.test`)", "a", ", priority: 100") + r(2, "HostSNI(`x.a.test`)", "b"), lb("a", "b", "c")), steps=[hi("x.a.test")])
case("l4-sni-regexp", static=E, backends=ABC, dyn=tcp(r(1, "HostSNIRegexp(`^[a-c]+[.]test$`)", "a") + r(2, "HostSNIRegexp(`^$`)", "b") + r(3, "HostSNIRegexp(`UPPER`)", "c"), lb("a", "b", "c")), steps=[hi("abc.test"), hi("ABC.test"), hi("xabc.test"), hi(None), hi("upper.test")])
case("l4-alpn", static=E, backends=ABC, dyn=tcp(r(1, "HostSNI(`a.test`) && ALPN(`p1`)", "a") + r(2, "HostSNI(`a.test`)", "b") + r(3, "ALPN(`p2`)", "c"), lb("a", "b", "c")), steps=[hi("a.test"), hi("a.test", alpn=["p1"]), hi("a.test", alpn=["x", "p1"]), hi("b.test", alpn=["p2"]), hi("b.test", alpn=["P2"]), hi(None, alpn=["p2"])])
case("l4-sni-or-not", static=E, backends=ABC, dyn=tcp(r(1, "HostSNI(`a.test`) || HostSNI(`b.test`)", "a") + r(2, "!HostSNI(`c.test`) && ClientIP(`127.0.0.1`)", "b", ", priority: 1"), lb("a", "b", "c")), steps=[hi("a.test"), hi("b.test"), hi("c.test"), hi("d.test")])
case("l4-catch-all-prio-tls", static=E, backends=ABC, dyn=tcp(r(1, "HostSNI(`*`)", "a", ", priority: 1000") + r(2, "HostSNI(`b.test`)", "b"), lb("a", "b", "c")), steps=[hi("b.test"), hi("x.test")])
case("l4-plain-and-tls", static=E, backends={"a": T, "p": P}, dyn=tcp(r(1, "HostSNI(`*`)", "a") + 'p: {rule: "HostSNI(`*`)", service: p, entryPoints: [tcp]}', lb("a", "p")), steps=[hi("x.test"), TCP("plain"), TCP("\x00\x00\x00\x08rest"), TCP("\x80x")])
case("l4-plain-and-tls-banner", static=E, backends={"a": T, "p": {"kind": "tcp", "mode": "banner"}}, dyn=tcp(r(1, "HostSNI(`a.test`)", "a") + 'p: {rule: "HostSNI(`*`)", service: p, entryPoints: [tcp]}', lb("a", "p")), steps=[TCP("x"), hi("a.test")])
case("l4-https-beside", static=E, backends={"a": T, "b": T, "h": {"kind": "http"}}, dyn=tcp(r(1, "HostSNI(`a.test`)", "a") + r(2, "HostSNI(`*`)", "b"), lb("a", "b"), top=http('h: {rule: "Host(`h.test`)", service: h, entryPoints: [tcp], tls: {}}\nh2: {rule: "Host(`a.test`)", service: h, entryPoints: [tcp], tls: {}}', names="h")), steps=[hi("a.test"), hi("b.test"), GET("/", ep="tcp", host="h.test", tls={"sni": "h.test"}), GET("/", ep="tcp", host="a.test", tls={"sni": "a.test"})])
case("l4-https-catch-all-beside", static=E, backends={"a": T, "b": T, "h": {"kind": "http"}}, dyn=tcp(r(1, "HostSNI(`a.test`)", "a") + r(2, "HostSNI(`*`)", "b"), lb("a", "b"), top=http('h: {rule: "PathPrefix(`/`)", service: h, entryPoints: [tcp], tls: {}}', names="h")), steps=[hi("a.test"), GET("/", ep="tcp", host="x.test", tls={"sni": "x.test"})])
case("l4-terminate", static=E, backends={"p": P, "q": P}, dyn=tcp('r: {rule: "HostSNI(`a.test`)", service: p, entryPoints: [tcp], tls: {}}\nq: {rule: "HostSNI(`*`)", service: q, entryPoints: [tcp], tls: {}}', lb("p", "q")), steps=[hi("a.test"), hi("b.test"), hi(None), hi("a.test", alpn=["h2"]), TCP("plain")])
case("l4-terminate-banner", static=E, backends={"p": {"kind": "tcp", "mode": "banner"}}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: p, entryPoints: [tcp], tls: {}}', lb("p")), steps=[TCP("", tls={"sni": "a.test"}, wait_banner=True)])
OPT = "tls:\n  options:\n    t12: {maxVersion: VersionTLS12}\n    strict: {sniStrict: true}\n"
case("l4-options", static=E, backends={"p": P, "q": P}, dyn=tcp('r: {rule: "HostSNI(`a.test`)", service: p, entryPoints: [tcp], tls: {options: t12}}\nq: {rule: "HostSNI(`a.test`) && ALPN(`x`)", service: q, entryPoints: [tcp], tls: {}}\nn: {rule: "HostSNI(`n.test`)", service: q, entryPoints: [tcp], tls: {options: nix}}\ns: {rule: "HostSNI(`s.test`)", service: q, entryPoints: [tcp], tls: {options: strict}}', lb("p", "q"), top=OPT), steps=[hi("a.test"), hi("n.test")])
PG = lambda sni, **kw: TCP("hi", starttls={"sni": sni, **kw})
case("l4-postgres", static=E, backends={"p": P, "q": P}, dyn=tcp('r: {rule: "HostSNI(`a.test`)", service: p, entryPoints: [tcp], tls: {}}\nq: {rule: "HostSNI(`*`)", service: q, entryPoints: [tcp], tls: {}}', lb("p", "q")), steps=[PG("a.test"), PG("b.test"), PG(None)])
case("l4-postgres-no-route", static=E, backends={"p": P}, dyn=tcp('r: {rule: "HostSNI(`a.test`)", service: p, entryPoints: [tcp], tls: {}}', lb("p")), steps=[PG("a.test"), PG("b.test")])
case("l4-postgres-not-https", static=E, backends={"p": P, "h": {"kind": "http"}}, dyn=tcp('r: {rule: "HostSNI(`a.test`)", service: p, entryPoints: [tcp], tls: {}}', lb("p"), top=http('h: {rule: "Host(`h.test`)", service: h, entryPoints: [tcp], tls: {}}', names="h")), steps=[PG("h.test")])
case("l4-postgres-plain", static=E, backends={"p": P}, dyn=tcp('r: {rule: "HostSNI(`*`)", service: p, entryPoints: [tcp]}', lb("p")), steps=[TCP(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")])
case("l4-mw-tls", static=E, backends={"p": P}, dyn=tcp('r: {rule: "HostSNI(`a.test`)", service: p, entryPoints: [tcp], tls: {}, middlewares: [far]}', lb("p")) + "  middlewares:\n    far: {ipAllowList: {sourceRange: [\"10.0.0.1\"]}}\n", steps=[hi("a.test")])
case("l4-no-sni-routers-silent-client", static=E, backends={"a": T}, dyn=tcp(r(1, "HostSNI(`a.test`)", "a"), lb("a")), steps=[GET("/", ep="tcp"), hi("b.test")])
