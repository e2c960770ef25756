from lib.dsl import *
from lib.cases_common import mws
Z = lambda **k: {"compress": k}
AE = lambda h, ae, p="/", **k: GET(p, host=h + ".test", headers=dict({"Accept-Encoding": ae}, **k.pop("more", {})), **k)
BIG = dict(body_size=5000)
case("t-compress-negotiation", dyn=mws(c1=Z(), c2=Z(encodings=["br", "zstd"]), c3=Z(defaultEncoding="br"), c4=Z(defaultEncoding="gzip"), c5=Z(encodings=["zstd", "gzip"], defaultEncoding="zstd")), steps=[
    AE(c, ae, ctl=BIG) for c in ("c1", "c2", "c3", "c5") for ae in ("gzip", "br", "zstd", "br, gzip", "gzip;q=0.5, br;q=0.9", "*", "*, gzip", "identity", "identity;q=0.5, *;q=0.1", "gzip;q=0", "*;q=0", "deflate", "GZIP", "gzip; q=0.3 , zstd", "br;q=x, gzip;q=0.1", "x-gzip", "gzip, identity;q=0", "zstd;q=0.5, br;q=0.5, gzip;q=0.5", "gzip;q=-1", "br;q=2, gzip", "gzip;Q=0.1, br;q=0.05", "gzip;x=1;q=0", "", " ", ",", "gzip,br,zstd,*;q=0")] + [
    GET("/", host=c + ".test", ctl=BIG) for c in ("c1", "c2", "c3", "c4", "c5")] + [
    GET("/", host="c1.test", headers=[["Accept-Encoding", "br"], ["Accept-Encoding", "gzip"]], ctl=BIG), GET("/", host="c1.test", headers=[["Accept-Encoding", ""], ["Accept-Encoding", "br"]], ctl=BIG), GET("/", host="c1.test", headers=[["Accept-Encoding", "gzip"], ["Accept-Encoding", "br;q=0.1"]], ctl=BIG)])
case("t-compress-bodies", dyn=mws(c1=Z(), c2=Z(minResponseBodyBytes=100), c3=Z(minResponseBodyBytes=-5), c4=Z(minResponseBodyBytes=1)), steps=[
    AE(c, e, ctl=ctl) for c in ("c1", "c2", "c3", "c4") for e in ("gzip", "br", "zstd") for ctl in (dict(body_size=0), dict(body_size=99), dict(body_size=100), dict(body_size=1023), dict(body_size=1024), dict(body_size=1025), dict(body_size=0, framing="chunked"), dict(body_size=5, framing="chunked"), dict(body_size=3000, framing="chunked"), dict(body_size=150000), dict(body_size=3000, framing="close"))])
case("t-compress-heads", dyn=mws(c1=Z()), steps=[
    x for e in ("gzip", "br", "zstd") for x in (
        AE("c1", e, ctl=dict(BIG, headers=[["Content-Encoding", "deflate"]])), AE("c1", e, ctl=dict(BIG, headers=[["ETag", "\"abc\""], ["Accept-Ranges", "bytes"], ["Cache-Control", "no-transform"], ["Content-MD5", "x"]])),
        AE("c1", e, ctl=dict(BIG, headers=[["Vary", "Origin"], ["Vary", "Accept-Encoding"]])), AE("c1", e, ctl=dict(BIG, headers=[["Vary", "*"]])), AE("c1", e, ctl=dict(BIG, status=206, headers=[["Content-Range", "bytes 0-4999/9999"]]), more={"Range": "bytes=0-4999"}),
        AE("c1", e, ctl=dict(status=204)), AE("c1", e, ctl=dict(status=304, headers=[["ETag", "\"x\""]])), AE("c1", e, ctl=dict(BIG, status=404)), AE("c1", e, ctl=dict(BIG, status=500)), AE("c1", e, ctl=dict(BIG, status=301, headers=[["Location", "/x"]])),
        AE("c1", e, ctl=dict(BIG, headers=[["No-Gzip-Compression", "1"]])), AE("c1", e, ctl=dict(BIG, gzip=True)), R("HEAD", "/", host="c1.test", headers={"Accept-Encoding": e}, ctl=BIG),
        AE("c1", e, ctl=dict(abort="before")), AE("c1", e, ctl=dict(status=502)), AE("c1", e, ctl=dict(trailers=[["X-T", "1"]], body_size=3000)), AE("c1", e, ctl=dict(trailers=[["X-T", "1"]], noannounce=True)),
        AE("c1", e, ctl=dict(chunks=[[0, "a"], [0.1, "b" * 2000], [0.1, "c"]])), AE("c1", e, ctl=dict(sse=dict(n=3, interval=0.05))), AE("c1", e, ctl=dict(ct="text/event-stream", body="data: x\n\n")), AE("c1", e, ctl=dict(ct="text/event-stream", body_size=3000)),
        AE("c1", e, ctl=dict(BIG, ct="application/grpc")), AE("c1", e, ctl=dict(BIG, ct="")), AE("c1", e, ctl=dict(BIG, ct="not a type")), AE("c1", e, ctl=dict(BIG, ct="text/html; charset")),
        AE("c1", e, ctl=BIG, more={"Content-Type": "application/grpc"}), POST("/", "x=1", host="c1.test", headers={"Accept-Encoding": e, "Content-Type": "application/x-www-form-urlencoded"}, ctl=BIG))])
case("t-compress-h2", dyn=mws(c1=Z()), steps=[AE("c1", e, ctl=ctl, h2=True) for e in ("gzip", "br", "zstd") for ctl in (BIG, dict(body_size=10), dict(body_size=100000), dict(body_size=3000, framing="chunked"), dict(chunks=[[0, "a"], [0.05, "b"]]), dict(trailers=[["X-T", "1"]]), dict(status=204))])
case("t-compress-types", dyn=mws(t1=Z(includedContentTypes=["text/html", "application/json; charset=utf-8"]), t2=Z(excludedContentTypes=["text/html", "IMAGE/PNG"]), t3=Z(includedContentTypes=["application/grpc"]), t4=Z(excludedContentTypes=["text/plain; charset=utf-8"])), steps=[
    AE(t, e, ctl=dict(BIG, ct=ct)) for t in ("t1", "t2", "t3", "t4") for e in ("gzip", "br") for ct in ("text/html", "text/html; charset=utf-8", "TEXT/HTML", "application/json", "application/json; charset=utf-8", "image/png", "application/grpc", "application/grpc+proto", "text/plain", "junk type", "text/html;")] + [
    AE("t2", "gzip", ctl=BIG, more={"Content-Type": "text/html; charset=x"}), AE("t2", "gzip", ctl=BIG, more={"Content-Type": "text/css"}), AE("t1", "gzip", ctl=dict(BIG, ct="text/html"), more={"Content-Type": "text/css"})])
BAD = dict(b1=Z(includedContentTypes=["a/b"], excludedContentTypes=["c/d"]), b2=Z(encodings=["gzip", "deflate"]), b3=Z(encodings=["gzip"], defaultEncoding="br"), b4=Z(excludedContentTypes=["a b"]), b5=Z(encodings=[]), b6=Z(includedContentTypes=[""]), b7=Z(encodings=["GZIP"]), b8=Z(defaultEncoding="identity"), b9=Z(encodings=["gzip", "gzip"]))
case("t-compress-options", dyn=mws(**BAD), steps=[AE(b, "gzip, br", ctl=BIG) for b in BAD])
case("t-compress-ws", dyn=mws(c1=Z()), steps=[WS("/", ["hello"], host="c1.test", headers={"Accept-Encoding": "gzip"}), WS("/", ["hello"], host="c1.test", headers={"Accept-Encoding": "br"})])
case("t-compress-http10", dyn=mws(c1=Z()), steps=[RAW("GET /?%s HTTP/1.0\nHost: c1.test\nAccept-Encoding: br\n\n" % "", n=1)])
case("t-compress-chain", dyn=http("r: {rule: \"PathPrefix(`/`)\", service: a, middlewares: [z, i]}", middlewares="z: {compress: {minResponseBodyBytes: 5}}\ni: {inFlightReq: {amount: 0}}"), steps=[GET("/", headers={"Accept-Encoding": e}) for e in ("gzip", "br", "zstd")])
