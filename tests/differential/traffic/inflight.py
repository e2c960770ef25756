from lib.dsl import *
from lib.cases_common import mws
IF = lambda **k: {"inFlightReq": k}
SLOW = lambda h, d=0.6, **k: BG(h, R("GET", "/", host=h + ".test", ctl=dict(delay=d), **k))
case("t-inflight-amounts", dyn=mws(a0=IF(amount=0), a1=IF(amount=-1), a2=IF(amount=1), a3=IF(amount=9223372036854775807)), steps=[
    GET("/", host="a0.test"), HEAD("/", host="a0.test"), POST("/", "x", host="a0.test"), GET("/", host="a0.test", h2=True), GET("/", host="a1.test"), GET("/", host="a3.test"),
    SLOW("a2"), SLEEP(0.15), GET("/", host="a2.test"), HEAD("/", host="a2.test"), JOIN("a2"), GET("/", host="a2.test"), GET("/", host="a2.test")])
case("t-inflight-sources", static="entryPoints: {web: {forwardedHeaders: {insecure: true}}}", dyn=mws(s1=IF(amount=1, sourceCriterion={"requestHost": True}), s2=IF(amount=1, sourceCriterion={"requestHeaderName": "X-K"}), s3=IF(amount=1, sourceCriterion={"ipStrategy": {"depth": 1}}), s4=IF(amount=1, sourceCriterion={"requestHost": True, "requestHeaderName": "X"}), s5=IF(amount=1, sourceCriterion={"ipStrategy": {"excludedIPs": ["10.0.0.1"]}})), steps=[
    SLOW("s1"), SLEEP(0.1), GET("/", host="s1.test"), GET("/", host="S1.test"), GET("/", host="s1.test", src="127.0.0.2"), JOIN("s1"),
    SLOW("s2"), SLEEP(0.1), GET("/", host="s2.test"), GET("/", host="s2.test", headers={"X-K": ""}), GET("/", host="s2.test", headers={"X-K": "b"}), JOIN("s2"),
    SLOW("s3", headers={"X-Forwarded-For": "1.1.1.1"}), SLEEP(0.1), GET("/", host="s3.test", headers={"X-Forwarded-For": "1.1.1.1"}), GET("/", host="s3.test", headers={"X-Forwarded-For": "2.2.2.2"}), JOIN("s3"),
    GET("/", host="s4.test"),
    SLOW("s5", headers={"X-Forwarded-For": "9.9.9.9, 10.0.0.1"}), SLEEP(0.1), GET("/", host="s5.test", headers={"X-Forwarded-For": "9.9.9.9"}), JOIN("s5")])
case("t-inflight-streams", dyn=mws(i1=IF(amount=1)), steps=[
    BG("x", R("GET", "/", host="i1.test", ctl=dict(chunks=[[0, "a"], [0.5, "b"]]))), SLEEP(0.2), GET("/", host="i1.test"), JOIN("x"), GET("/", host="i1.test"),
    GET("/", host="i1.test", ctl=dict(abort="before")), GET("/", host="i1.test", ctl=dict(abort="mid")), GET("/", host="i1.test"), GET("/", host="i1.test", ctl=dict(status=500))])
case("t-inflight-per-router", dyn=http("r1: {rule: \"Path(`/1`)\", service: a, middlewares: [i]}\nr2: {rule: \"Path(`/2`)\", service: a, middlewares: [i]}", middlewares="i: {inFlightReq: {amount: 1}}"), steps=[BG("x", R("GET", "/1", ctl=dict(delay=0.5))), SLEEP(0.1), GET("/2"), GET("/1"), JOIN("x")])
case("t-inflight-ws", dyn=mws(i1=IF(amount=1)), steps=[WS("/", ["hi"], host="i1.test"), SLEEP(0.1), GET("/", host="i1.test"), WS("/", ["hi"], host="i1.test")])
case("t-traffic-api", static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}", dyn=mws(i1=IF(amount=3, sourceCriterion={"requestHost": True}), i2=IF(amount=0), c1={"compress": {}}, c2={"compress": {"encodings": ["br"], "defaultEncoding": "br", "minResponseBodyBytes": 10}}, c3={"compress": {"encodings": [], "includedContentTypes": ["a/b"]}}, b1={"buffering": {"maxRequestBodyBytes": 10, "memRequestBodyBytes": 0, "retryExpression": "Attempts() < 2"}}, cb={"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.5"}}, cc={"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.5", "checkPeriod": 0, "fallbackDuration": "-1s"}}, gw={"grpcWeb": {"allowOrigins": ["*"]}}, rr={"rateLimit": {"average": 0, "redis": {"db": 2, "readTimeout": "0s"}}}), steps=[
    API(f"/api/http/middlewares/{m}@file") for m in ("i1", "i2", "c1", "c2", "c3", "b1", "cb", "cc", "gw", "rr")])
