import hashlib, re
from lib import client
from lib.dsl import *
from lib.cases_common import mws
area("middlewares")
H = lambda s: hashlib.md5(s.encode()).hexdigest()
U = lambda name, realm, pw: f"{name}:{realm}:{H(f'{name}:{realm}:{pw}')}"


def params(www):
    return dict(re.findall(r'(\w+)="?([^",]*)"?', www))


def header(p, user="test", pw="test", method="GET", uri="/", nc="00000001", cnonce="abc", drop=(), realm=None, quote=True, scheme="Digest ", ha1=None, **over):
    realm = realm if realm is not None else p.get("realm", "")
    ha1 = ha1 or H(f"{user}:{realm}:{pw}")
    ha1 = "" if ha1 == "none" else ha1
    d = dict(username=user, realm=realm, nonce=p["nonce"], uri=uri, algorithm="MD5", qop="auth", nc=nc, cnonce=cnonce, opaque=p["opaque"])
    d.update(over)
    d["response"] = over.get("response") or H(":".join([ha1, d["nonce"], d["nc"], d["cnonce"], d["qop"], H(f"{method}:{d['uri']}")]))
    return scheme + ", ".join(f'{k}="{v}"' if quote or k in ("username", "realm") else f"{k}={v}" for k, v in d.items() if k not in drop)


def ask(c, host, path="/", method="GET", auth=None):
    o = c.raw_req(dict(op="req", method=method, path=path, host=host, headers={"Authorization": auth} if auth else {}))
    www = [v for k, v in o["headers"] if k.lower() == "www-authenticate"]
    return o["status"], (www[0] if www else None)


def shape(www):
    return re.sub(r'(nonce|opaque)="[^"]*"', r'\1="*"', www) if www else None


def forms(c):
    out = {}
    s, w = ask(c, "m0.test")
    p = params(w)
    out["first"] = [s, shape(w), len(p["nonce"]) > 10, len(p["opaque"]) > 10]
    n = [0]

    def t(label, path="/", method="GET", **k):
        n[0] += 1
        k.setdefault("nc", "%08x" % n[0])
        k.setdefault("uri", path)
        k.setdefault("method", method)
        out[label] = [(lambda r: [r[0], shape(r[1])])(ask(c, "m0.test", path, method, header(p, **k)))]
    t("good")
    t("unquoted", quote=False)
    t("post", method="POST")
    t("head", method="HEAD")
    t("wrong-method", method="POST", **{}) if False else None
    t("path", path="/a/b?x=1&y")
    t("uri-prefix", path="/a/b", uri="/a")
    t("uri-prefix-query", path="/a/b?x", uri="/a?z")
    t("uri-other", path="/a/b", uri="/b")
    t("uri-longer", path="/a", uri="/a/b")
    t("uri-full", path="/a", uri="http://m0.test/a")
    t("uri-empty", path="/a", uri="")
    t("uri-bad", path="/a", uri="/%zz")
    t("uri-escaped", path="/a%2Fb", uri="/a%2Fb")
    t("lower-scheme", scheme="digest ")
    t("upper-scheme", scheme="DIGEST ")
    t("two-spaces", scheme="Digest  ")
    t("no-opaque", drop=("opaque",))
    t("bad-opaque", opaque="x")
    t("no-algorithm", drop=("algorithm",))
    t("lower-algorithm", algorithm="md5")
    t("sess", algorithm="MD5-sess")
    t("sha", algorithm="SHA-256")
    t("no-qop", drop=("qop",))
    t("auth-int", qop="auth-int")
    t("no-realm", drop=("realm",))
    t("bad-realm-param", realm="traefik") if False else None
    t("other-realm", realm="x")
    t("no-cnonce", cnonce="", drop=("cnonce",))
    t("no-uri", uri="", drop=("uri",))
    t("no-username", drop=("username",))
    t("no-response", drop=("response",))
    t("bad-response", response="0" * 32)
    t("upper-response") if False else None
    t("nc-upper", nc="%08X" % 0xABCD)
    t("nc-again", nc="%08X" % 0xABCD)
    t("nc-lower", nc="00000005")
    t("nc-bad", nc="zz")
    t("nc-long", nc="0000000000000ffff")
    t("nc-huge", nc="ffffffffffffffffffff")
    t("nc-short", nc="1ffff")
    t("unknown", user="who")
    t("unknown-empty", user="who", ha1="none")
    t("bad-password", pw="x")
    t("bad-password-again", pw="x")
    t("nonce", nonce="zz" + p["nonce"])
    t("nonce-empty", nonce="")
    t("nonce-bad-password", nonce="zz", pw="x")
    t("extra", extra="1")
    t("quoted-comma", user="a,b") 
    for label, value in [("basic", "Basic dGVzdDp0ZXN0"), ("empty", "Digest "), ("word", "Digest"), ("junk", "Digest a b c"), ("eq", "Digest =,=,")]:
        out[label] = (lambda r: [r[0], shape(r[1])])(ask(c, "m0.test", auth=value))
    return out


def nonces(c):
    s, w1 = ask(c, "m0.test")
    s, w2 = ask(c, "m0.test")
    p1, p2 = params(w1), params(w2)
    out = {"differ": p1["nonce"] != p2["nonce"], "same-opaque": p1["opaque"] == p2["opaque"]}
    out["both"] = [ask(c, "m0.test", auth=header(p))[0] for p in (p1, p2)]
    out["replay"] = [(lambda r: [r[0], shape(r[1])])(ask(c, "m0.test", auth=header(p))) for p in (p1, p2)]
    out["next"] = ask(c, "m0.test", auth=header(p1, nc="00000002"))[0]
    out["back"] = ask(c, "m0.test", auth=header(p1, nc="00000001"))[0]
    out["jump"] = ask(c, "m0.test", auth=header(p1, nc="00001000"))[0]
    s, w = ask(c, "m1.test")
    p = params(w)
    out["other-mw"] = (lambda r: [r[0], shape(r[1])])(ask(c, "m1.test", auth=header(p1, nc="00002000")))
    out["other-opaque"] = (lambda r: [r[0], shape(r[1])])(ask(c, "m1.test", auth=header(dict(p1, opaque=p["opaque"]), nc="00002000")))
    return out


def passes(c):
    out = {}
    for host, user, realm in [("m0.test", "test", None), ("m2.test", "u2", None), ("m3.test", "test", None), ("m4.test", "f1", None), ("m4.test", "both", None)]:
        s, w = ask(c, host)
        out[host + user] = [shape(w), c.resp(path="/x", host=host, headers={"Authorization": header(params(w), user=user, uri="/x"), "X-User": "evil"}, ignore_req=["authorization"])]
    return out


BASE = dict(m0={"digestAuth": {"users": [U("test", "traefik", "test"), U("a,b", "traefik", "test")]}}, m1={"digestAuth": {"users": [U("test", "traefik", "test")]}})
DYN = mws(**BASE)
case("dig-forms", dyn=DYN, steps=[CALL(forms)])
case("dig-nonces", dyn=DYN, steps=[CALL(nonces)])
case("dig-refusal", dyn=DYN, steps=[m("/x", host="m0.test", ignore=["www-authenticate"], **k) for m in (GET, HEAD, POST, OPTIONS) for k in ({}, {"headers": {"Authorization": "Digest x"}})] + [WS("/ws", ["hi"], host="m0.test", ignore=["www-authenticate"]), POST("/x", "body", host="m0.test", ignore=["www-authenticate"])])
case("dig-passes", dyn=mws(m0=BASE["m0"], m2={"digestAuth": {"users": [U("u2", "other realm", "test")], "realm": "other realm", "removeHeader": True, "headerField": "X-User"}}, m3={"digestAuth": {"users": [U("test", "traefik", "test")], "headerField": "Authorization"}}, m4={"digestAuth": {"users": [U("both", "traefik", "test")], "usersFile": "${DIR}/users"}}),
     files={"users": f"# c\n\n{U('f1', 'traefik', 'test')}\nboth:traefik:nope\n"}, steps=[CALL(passes)])
case("dig-bad", dyn=mws(m0={"digestAuth": {"users": ["a:b"]}}, m1={"digestAuth": {"users": ["a:b:c:d"]}}, m2={"digestAuth": {"users": []}}, m3={"digestAuth": {"usersFile": "/nope"}}, m4={"digestAuth": {"users": ["a:other:" + "0" * 32]}}, m5={"digestAuth": {"realm": "x"}}, m6={"digestAuth": {"users": [U("a", 'q"r', "x")], "realm": 'q"r'}}, m7={"digestAuth": {"users": ["a:traefik:00"]}}),
     steps=[GET("/", host=f"m{i}.test", ignore=["www-authenticate"]) for i in range(8)] + [API(f"/api/http/middlewares/m{i}@file") for i in (2, 4, 5, 6, 7)], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
