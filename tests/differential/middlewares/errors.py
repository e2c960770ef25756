from lib.dsl import *
area("middlewares")

# The page's server says what it was asked for, and knows no X-Ctl.
PAGES = dict(a={}, page=dict(noctl=True, default=dict(echo_line=True), routes={"/st": dict(status=201, headers=[["X-Page", "1"], ["Set-Cookie", "p=1"]], body="page"), "/fail": dict(status=500, body="page failed"), "/empty": dict(body=""), "/204": dict(status=204), "/304": dict(status=304), "/red": dict(status=302, headers=[["Location", "/x"]]), "/abort": dict(abort="before"), "/mid": dict(abort="mid", body_size=200), "/chunks": dict(chunks=[[0, "one"], [0.05, "two"]]), "/trailers": dict(trailers=[["X-T", "1"]]), "/gzip": dict(gzip=True, body="zip " * 50), "/ct": dict(ct="", body="<html>x</html>"), "/ws": dict(upgrade_raw=True)}))
SVC = """
page: {loadBalancer: {servers: [{url: "http://${BACKEND_page}"}]}}
dead: {loadBalancer: {servers: [{url: "http://${DEAD_x}"}]}}
none: {loadBalancer: {servers: []}}
hostless: {loadBalancer: {passHostHeader: false, servers: [{url: "http://${BACKEND_page}"}]}}
"""


def ep(name, mw, steps, routers="", service="a", services="", mws="", **k):
    """mw: {name: options}, each on the host NAME.test"""
    import json
    rs = "\n".join(f'{n}: {{rule: "Host(`{n}.test`)", service: {service}, middlewares: [{n}]}}' for n in mw) + "\n" + routers
    ms = "\n".join(f"{n}: {{errors: {json.dumps(o)}}}" for n, o in mw.items()) + "\n" + mws
    case("erp-" + name, dyn=http(rs, services=SVC + services, middlewares=ms), backends=PAGES, steps=steps, **k)


E = lambda **k: dict(dict(status=["500-599"], service="page"), **k)
S = lambda s, **k: dict(status=s, **k)
ep("status", dict(m0=E(), m1=E(status=["500"]), m2=E(status=["404", "500-502", "599"]), m3=E(status=[]), m4=E(status=["200"]), m5=E(status=["300-200"]), m6=E(status=["0-999"])),
   [GET("/x?y=1", host=f"m{i}.test", ctl=S(s)) for i in range(7) for s in (200, 404, 500, 502, 503, 599)])
ep("bad", dict(m0=E(status=["abc"]), m1=E(service="nothere"), m2=E(service=""), m3=E(status=["500-"]), m4=E(statusRewrites={"abc": 200}), m7=E(service="a@other"), m8=E(service="page@file"), m9=E(service="noop@internal"), m11={"service": "page"}, m12={"status": ["500"]}),
   [GET("/x", host=f"m{i}.test", ctl=S(500)) for i in (0, 1, 2, 3, 4, 7, 8, 9, 11, 12)] + [API(f"/api/http/middlewares/m{i}@file") for i in (8, 9, 11)], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
Q = ["/e/{status}", "e/{status}", "//e", "", "/", "/{status}-{originalStatus}?u={url}&s={status}", "{url}", "/a b", "/%zz", "/x?y#frag", "/é", "/a%2Fb", "/{unknown}/{Status}", "http://evil/x", "/x?a=b;c", "?q={status}"]
ep("query", {f"m{i}": E(query=q) for i, q in enumerate(Q)}, [GET("/p%2Fa/th?q=1&r=%20x", host=f"m{i}.test", ctl=S(503)) for i in range(len(Q))] + [GET("/?", host="m5.test:8080", ctl=S(503)), GET("/a;b?c;d", host="m5.test", ctl=S(503)), GET("/%C3%A9'()*!~", host="m5.test", ctl=S(503)), GET("/a+b?c+d=e%2Bf", host="m5.test", ctl=S(503))])
ep("rewrites", dict(m0=E(query="/e{status}-{originalStatus}", statusRewrites={"502": 404, "503-504": 200}), m1=E(query="/{status}", statusRewrites={"500-599": 418}), m2=E(query="/{status}", statusRewrites={"404": 200}), m3=E(status=["404"], query="/{status}", statusRewrites={"500": 200}), m4=E(query="/{status}", statusRewrites={"500": 204}), m5=E(query="/{status}", statusRewrites={"500": 304}), m6=E(query="/{status}", statusRewrites={"500": 302}), m7=E(query="/{status}", statusRewrites={"500": 999})),
   [GET("/x", host=f"m{i}.test", ctl=S(s)) for i in range(8) for s in (200, 404, 500, 502, 503, 504)])
HS = [["X-One", "1"], ["X-Two", "2"], ["X-Two", "3"], ["Cookie", "a=b"], ["Authorization", "Basic x"], ["User-Agent", "ua"], ["Accept", "t/h"], ["Content-Type", "a/b"], ["Accept-Encoding", "br"], ["X-Ctl", '{"status": 500}']]
ep("request-headers", dict(m0=E(), m1=E(errorRequestHeaders=[]), m2=E(errorRequestHeaders=["X-One", "x-two", "Nothere"]), m3=E(errorRequestHeaders=["Host", "User-Agent", "Content-Length", "X-Forwarded-Host"]), m4=E(errorRequestHeaders=["X-Forwarded-For", "Accept-Encoding"])), [GET("/x", host=f"m{i}.test", headers=HS) for i in range(5)] + [POST("/x", "body", host=f"m{i}.test", headers=HS) for i in range(5)], cmp_ae=True)
ep("methods", dict(m0=E(), m1=E(query="/st")), [R(m, "/x", host=h, ctl=S(500), **({"body": "body"} if m in ("POST", "PUT", "PATCH", "DELETE") else {})) for h in ("m0.test", "m1.test") for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")])
P = ["/st", "/fail", "/empty", "/204", "/304", "/red", "/abort", "/mid", "/chunks", "/trailers", "/gzip", "/ct"]
ep("pages", {f"m{i}": E(query=p) for i, p in enumerate(P)}, [m("/x", host=f"m{i}.test", ctl=S(500, headers=[["X-Orig", "1"], ["Set-Cookie", "o=1"], ["Etag", "x"]])) for i in range(len(P)) for m in (GET, HEAD) if (P[i], m) != ("/abort", HEAD)])
ep("pages-h10", dict(m0=E(query="/st"), m1=E(query="/chunks")), [RAW(f'GET / HTTP/1.0\nHost: {h}\nX-Ctl: {{"status": 500}}\n\n') for h in ("m0.test", "m1.test")])
ep("page-server", dict(m0=E(service="dead"), m1=E(service="none"), m2=E(service="hostless", query="/x/{status}"), m3=E(service="dead", statusRewrites={"500": 418})), [m("/x", host=f"m{i}.test", ctl=S(500)) for i in range(4) for m in (GET, HEAD)])
ep("of-the-proxy", dict(m0=E(query="/{status}")), [GET("/x", host="m0.test"), HEAD("/x", host="m0.test"), POST("/x", "b", host="m0.test")], service="dead")
ep("of-none", dict(m0=E(query="/{status}"), m1=E(status=["404"])), [GET("/x", host="m0.test"), GET("/x", host="m1.test")], service="none")
ep("origins", dict(m0=E(status=["400-599"], query="/st")), [GET("/x", host="m0.test", ctl=dict(abort=a)) for a in ("before", "headers", "mid")] + [GET("/x", host="m0.test", ctl=S(500, body_size=300000)), GET("/x", host="m0.test", ctl=S(500, chunks=[[0, "a"], [0.1, "b"]])), GET("/x", host="m0.test", ctl=S(500, trailers=[["X-T", "1"]])), GET("/x", host="m0.test", ctl=S(200, sse=dict(n=3, interval=0.1))), GET("/x", host="m0.test", ctl=S(200, trailers=[["X-T", "1"]])), POST("/x", "a" * 100000, host="m0.test", ctl=S(500, early=True))])
ep("upgrade", dict(m0=E(query="/{status}"), m1=E(status=["100-199"]), m2=E(status=["401"], query="/ws")), [WS("/ws", ["hi"], host="m0.test"), WS("/ws", ["hi"], host="m0.test", ctl=S(500, noupgrade=True)), WS("/ws", ["hi"], host="m1.test"), RAW('GET /x HTTP/1.1\nHost: m2.test\nConnection: Upgrade\nUpgrade: foo\nX-Ctl: {"status": 401}\n\n')])
MW = """
auth: {basicAuth: {users: ["sha:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]}}
hd: {headers: {customResponseHeaders: {X-Out: "1"}, accessControlAllowOriginList: ["*"], addVaryHeader: true, customRequestHeaders: {X-Req: r}}}
strip: {stripPrefix: {prefixes: [/pre]}}
rep: {replacePath: {path: /rp}}
again: {retry: {attempts: 3}}
again5: {retry: {attempts: 3, status: ["500"]}}
"""
ORD = [["e", "auth"], ["auth", "e"], ["e", "hd"], ["hd", "e"], ["strip", "e"], ["e", "strip"], ["e", "rep"], ["again", "e"], ["e", "again"], ["again5", "e"], ["e", "again5"], ["e", "e2"], ["e2", "e"]]
ep("order", dict(e=E(status=["400-599"], query="/{status}?{url}"), e2=E(status=["400-599"], query="/second/{status}", statusRewrites={"500": 503})), [GET("/pre/x?q", host=f"o{i}.test", ctl=S(500), headers={"Origin": "http://o"}) for i in range(len(ORD))], mws=MW, routers="\n".join(f'o{i}: {{rule: "Host(`o{i}.test`)", service: a, middlewares: {o}}}' for i, o in enumerate(ORD)).replace("'", ""))
ep("order-dead", dict(e=E(query="/{status}")), [GET("/pre/x?q", host=f"o{i}.test") for i in range(4)], service="dead", mws=MW, routers="\n".join(f'o{i}: {{rule: "Host(`o{i}.test`)", service: dead, middlewares: {o}}}' for i, o in enumerate([["e"], ["again", "e"], ["e", "again"], ["again5", "e"]])).replace("'", ""))
ep("services", dict(m0=E(service="w", query="/{status}"), m1=E(service="behind", query="/{status}")), [GET("/x", host="m0.test", ctl=S(500)), GET("/x", host="m1.test", ctl=S(500))], services="""
w: {weighted: {services: [{name: page, weight: 1}]}}
behind: {middlewares: [pre], loadBalancer: {servers: [{url: "http://${BACKEND_page}"}]}}
""", mws="pre: {addPrefix: {prefix: /behind}}")
ep("https", dict(m0=E(query="/?{url}")), [GET("/x?y", host="m0.test", ep="websecure", tls={"sni": "m0.test"}, ctl=S(500)), GET("/x?y", host="m0.test", ep="websecure", tls={"sni": "m0.test"}, h2=True, ctl=S(500)), HEAD("/x?y", host="m0.test", ep="websecure", tls={"sni": "m0.test"}, h2=True, ctl=S(500)), POST("/x?y", "b", host="m0.test", ep="websecure", tls={"sni": "m0.test"}, h2=True, ctl=S(500))], static='entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, websecure: {address: "127.0.0.1:${PORT_websecure}", http: {tls: {}}}}')
ep("reload", dict(m0=E(query="/{status}")), [GET("/x", host="m0.test", ctl=S(500)), WRITE("dyn/main.yml", http('m0: {rule: "Host(`m0.test`)", service: a, middlewares: [m0]}', services='page: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}', middlewares='m0: {errors: {status: ["500-599"], service: page, query: "/{status}"}}')), WAIT(GET("/x", host="m0.test", ctl=S(500)), backend="a"), SLEEP(0.5), GET("/x", host="m0.test", ctl=S(500))])
ep("api", dict(m0=E(), m1=E(query="/{status}", statusRewrites={"500": 200, "501-502": 404}, errorRequestHeaders=["X-A"]), m2=E(errorRequestHeaders=[])), [API(f"/api/http/middlewares/m{i}@file") for i in range(3)] + [API("/api/http/services/page@file")], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
