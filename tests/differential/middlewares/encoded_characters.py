from lib.dsl import *
from lib.cases_common import mws
area("middlewares")
NAMES = ["Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash"]
ESC = ["%2F", "%5c", "%00", "%3b", "%25", "%3F", "%23", "%2f", "%5C", "%3B", "%3f"]
OTHER = ["/a%20b", "/a%C3%A9", "/a;b", "/a?%2F%00", "/a%2eb/%41", "/a%7E", "/a%22", "/a%252F", "/%2e%2e%2Fx", "/a%0A", "/a%5B"]
EP = {k: v for k, v in enumerate(NAMES)}
E = lambda **k: {"encodedCharacters": k}
ONE = {f"m{i}": E(**{"allowEncoded" + n: True}) for i, n in enumerate(NAMES)}
ALL = {"allEncoded": None}
mw = dict(ONE, all=E(**{"allowEncoded" + n: True for n in NAMES}), none=E(allowEncodedSlash=False))
case("enc-each", dyn=mws(**mw), steps=[GET(f"/a{e}b", host=f"{m}.test") for m in mw for e in ESC])
case("enc-others", dyn=mws(**mw), steps=[m(p, host=f"{h}.test") for h in ("none", "all", "m0") for p in OTHER for m in (GET, HEAD, POST)])
case("enc-order", dyn=mws(m0={"chain": {"middlewares": ["pre", "no"]}}, m1={"chain": {"middlewares": ["no", "pre"]}}, m2={"chain": {"middlewares": ["strip", "no"]}}, m3={"chain": {"middlewares": ["rep", "no"]}}, pre={"addPrefix": {"prefix": "/p/%2Fx"}}, strip={"stripPrefix": {"prefixes": ["/a/b"]}}, rep={"replacePath": {"path": "/r%2Fx"}}, no=E(allowEncodedHash=True)),
     steps=[GET(p, host=f"m{i}.test") for i in range(4) for p in ("/x", "/a%2Fb/c", "/a/b/c%2Fd", "/a%23b")])
case("enc-upgrade", dyn=mws(none=mw["none"]), steps=[WS("/w%2Fs", ["hi"], host="none.test"), WS("/ws", ["hi"], host="none.test"), RAW("GET /a%2Fb HTTP/1.0\nHost: none.test\n\n"), RAW("POST /a%2Fb HTTP/1.1\nHost: none.test\nContent-Length: 3\n\nabc")])
case("enc-api", dyn=mws(m0=mw["all"], m1=mw["none"], m2=E(allowencodedslash=True)), steps=[API(f"/api/http/middlewares/m{i}@file") for i in range(3)], static="api: {insecure: true}\nentryPoints: {traefik: {address: \"127.0.0.1:${PORT_traefik}\"}}")
