from lib.dsl import *
EPS = """
entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}}
"""
A = lambda o: EPS + "accessLog: {filePath: \"${DIR}/access.log\"%s}\n" % (", " + o if o else "")
KEEP = "format: json, fields: {headers: {defaultMode: keep}}"
DYN = http("""
er: {rule: "PathPrefix(`/err`)", service: a, middlewares: [er]}
ern: {rule: "PathPrefix(`/ernone`)", service: none, middlewares: [er]}
bu: {rule: "PathPrefix(`/buf`)", service: a, middlewares: [bu]}
co: {rule: "PathPrefix(`/comp`)", service: a, middlewares: [co]}
cb: {rule: "PathPrefix(`/cb`)", service: a, middlewares: [cb]}
rt: {rule: "PathPrefix(`/retry`)", service: a, middlewares: [rt, hd]}
fa: {rule: "PathPrefix(`/fa`)", service: a, middlewares: [fa]}
dg: {rule: "PathPrefix(`/dg`)", service: a, middlewares: [dg]}
fi: {rule: "PathPrefix(`/inflight`)", service: a, middlewares: [fi]}
ra: {rule: "PathPrefix(`/rate`)", service: a, middlewares: [ra]}
ct: {rule: "PathPrefix(`/ct`)", service: a, middlewares: [ct]}
""", services="""
none: {loadBalancer: {servers: []}}
fau: {loadBalancer: {servers: [{url: "http://${BACKEND_b}"}]}}
""", middlewares="""
er: {errors: {status: ["500-599"], service: fau, query: "/page/{status}"}}
bu: {buffering: {maxRequestBodyBytes: 1000}}
co: {compress: {minResponseBodyBytes: 100}}
cb: {circuitBreaker: {expression: "ResponseCodeRatio(500, 600, 0, 600) > 0.1"}}
rt: {retry: {attempts: 3, status: ["503"], initialInterval: 1ms}}
hd: {headers: {customResponseHeaders: {X-Res: "2"}}}
fa: {forwardAuth: {address: "http://${BACKEND_b}/auth", authResponseHeaders: [X-User]}}
dg: {digestAuth: {users: ["test:traefik:a2688e031edb4be6a3797f3882655c05"]}}
fi: {inFlightReq: {amount: 1}}
ra: {rateLimit: {average: 1, burst: 1, period: 1h}}
ct: {contentType: {}}
""")
C = lambda name, *steps, **k: case("logmw-" + name, static=A(KEEP), dyn=DYN, backends={"a": {}, "b": dict(default=dict(headers=[["X-User", "joe"]]))}, steps=list(steps) + [LOG("access.log", **k)])
C("errors", GET("/err", ctl=dict(status=503, body_size=50)), GET("/err"), GET("/ernone"), POST("/err", body="abc", ctl=dict(status=500)))
C("buffering", GET("/buf"), POST("/buf", body="abc"), POST("/buf", body="a" * 2000))
C("compress", GET("/comp", headers={"Accept-Encoding": "gzip"}, ctl=dict(body_size=50000)), GET("/comp", headers={"Accept-Encoding": "gzip"}, ctl=dict(body_size=50)), GET("/comp", ctl=dict(body_size=500)))
C("circuit-breaker", GET("/cb"), GET("/cb", ctl=dict(status=500)))
C("retry", GET("/retry", ctl=dict(status=503)), GET("/retry"), POST("/retry", body="abc"))
C("forward-auth", GET("/fa"), POST("/fa", body="abc"))
C("forward-auth-denied", SET("b", default=dict(status=401, headers=[["X-No", "1"]])), GET("/fa"))
C("digest", GET("/dg"))
C("rate-limit", GET("/rate"), GET("/rate"), values=("DownstreamStatus", "OriginStatus", "DownstreamContentSize", "RouterName"))
C("content-type", GET("/ct", ctl=dict(body_size=5)))
