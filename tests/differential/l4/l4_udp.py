from lib.dsl import *
E = """
entryPoints: {udp: {address: "127.0.0.1:${PORT_udp}/udp", udp: {timeout: 1s}}, udp2: {address: "127.0.0.1:${PORT_udp2}/UDP"}}
"""
UB = {"kind": "udp"}


def udp(routers, services):
    return "udp:\n  routers:\n" + "".join("    %s\n" % r for r in routers.strip().split("\n")) + "  services:\n" + "".join("    %s\n" % s for s in services.strip().split("\n"))


def lb(*names):
    return "\n".join('%s: {loadBalancer: {servers: [{address: "${BACKEND_%s}"}]}}' % (n, n) for n in names)


R = "r: {service: a, entryPoints: [udp]}"
case("l4-udp-session", static=E, backends={"a": UB, "b": UB}, dyn=udp("r: {service: s, entryPoints: [udp]}", 's: {loadBalancer: {servers: [{address: "${BACKEND_a}"}]}}'), steps=[UDP("1", conn="c"), UDP("2", conn="c"), SLEEP(1.6), UDP("3", conn="c")])
case("l4-udp-multi", static=E, backends={"a": {"kind": "udp", "mode": "multi"}}, dyn=udp(R, lb("a")), steps=[UDP("x", n=3)])
case("l4-udp-big", static=E, backends={"a": UB}, dyn=udp(R, lb("a")), steps=[UDP("x" * 9000), UDP("y" * 60000)])
case("l4-udp-empty", static=E, backends={"a": UB}, dyn=udp(R, lb("a")), steps=[UDP("", conn="c", timeout=0.4), UDP("x", conn="c")])
case("l4-udp-dead", static=E, backends={"a": UB}, dyn=udp("r: {service: s, entryPoints: [udp]}", 's: {loadBalancer: {servers: [{address: "${DEAD_x}"}]}}'), steps=[UDP("x", timeout=0.4)])
case("l4-udp-bad-address", static=E, backends={"a": UB}, dyn=udp("r: {service: s, entryPoints: [udp]}", 's: {loadBalancer: {servers: [{address: "127.0.0.1"}, {address: "${BACKEND_a}"}]}}'), steps=[UDP("x"), UDP("y")])
case("l4-udp-no-servers", static=E, dyn=udp("r: {service: s, entryPoints: [udp]}", "s: {loadBalancer: {servers: []}}"), steps=[UDP("x", timeout=0.4)])
case("l4-udp-two-routers", static=E, backends={"a": UB, "b": UB}, dyn=udp("a: {service: a, entryPoints: [udp]}\nb: {service: b, entryPoints: [udp]}", lb("a", "b")), steps=[UDP("x")])
case("l4-udp-two-routers-broken", static=E, backends={"a": UB, "b": UB}, dyn=udp("a: {service: a, entryPoints: [udp]}\nz: {service: nix, entryPoints: [udp]}\ny: {entryPoints: [udp]}", lb("a", "b")), steps=[UDP("x")])
case("l4-udp-on-tcp-entry-point", static=E, backends={"a": UB}, dyn=udp("a: {service: a, entryPoints: [web, udp2]}", lb("a")), steps=[UDP("x", ep="udp2"), UDP("y", timeout=0.4)])
case("l4-udp-localhost", static=E, backends={"a": UB}, dyn=udp("r: {service: s, entryPoints: [udp]}", 's: {loadBalancer: {servers: [{address: "localhost:${BPORT_a}"}]}}'), steps=[UDP("x"), UDP("y")])
for n, w in {"zero": "[{name: a, weight: 0}]", "some-zero": "[{name: a, weight: 0}, {name: b}]", "empty": "[]", "unknown": "[{name: a}, {name: nix}]"}.items():
    case("l4-udp-weighted-" + n, static=E, backends={"a": UB, "b": UB}, dyn=udp("r: {service: w, entryPoints: [udp]}", lb("a", "b") + "\nw: {weighted: {services: %s}}" % w), steps=[UDP("x", timeout=0.4), UDP("y", timeout=0.4)])


def dist(c):
    import socket
    n = {}
    for _ in range(12):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(1)
        s.sendto(b"q", ("127.0.0.1", c.port("udp")))
        try:
            d = s.recv(100).decode().split(":")[0]
        except OSError:
            d = "timeout"
        n[d] = n.get(d, 0) + 1
        s.close()
    c.drain(settle=0.05)
    return {"dist": n}


case("l4-udp-weighted", static=E, backends={"a": UB, "b": UB, "c": UB}, dyn=udp("r: {service: w, entryPoints: [udp]}", lb("a", "b", "c") + "\nw: {weighted: {services: [{name: v, weight: 2}, {name: c}]}}\nv: {weighted: {services: [{name: a, weight: 3}, {name: b}]}}"), steps=[CALL(dist), CALL(dist)])
case("l4-udp-reload", static=E, backends={"a": UB, "b": UB}, dyn={"main.yml": udp(R, lb("a", "b"))}, steps=[UDP("1", conn="c"), WRITE("main.yml", udp(R.replace("service: a", "service: b"), lb("a", "b"))), SLEEP(0.6), UDP("2", conn="c"), UDP("3")])
for n, t in {"zero": "0s", "negative": "-1s", "seconds": "2"}.items():
    case("l4-udp-timeout-" + n, static=E.replace("timeout: 1s", "timeout: " + t), backends={"a": UB}, dyn=udp(R, lb("a")), ready="exit" if n != "seconds" else "file", steps=[EXIT()] if n != "seconds" else [UDP("x")])
for n, a in {"bad-protocol": "127.0.0.1:${PORT_udp}/foo", "sctp": "127.0.0.1:${PORT_udp}/sctp"}.items():
    case("l4-udp-address-" + n, static=E.replace("127.0.0.1:${PORT_udp}/udp", a), backends={"a": UB}, dyn=udp(R, lb("a")), ready="exit", steps=[EXIT()])
