from lib.dsl import *
BASIC = http("""
r: {rule: "PathPrefix(`/`)", service: a}
""")
EP = lambda s: 'entryPoints: {web: {address: ":${PORT_web}", %s}}' % s
X = [["X-Forwarded-For", "1.2.3.4"], ["X-Real-Ip", "9.9.9.9"], ["X-Forwarded-Proto", "https"], ["X-Forwarded-Host", "s.test"], ["X-Forwarded-Port", "99"], ["X-Forwarded-Server", "srv"]]
case("fwd2-default", dyn=BASIC, steps=[GET("/"), GET("/", host="h.test:8080"), GET("/", host="[::1]:90"), GET("/", host="[::1]"), GET("/", headers=X), GET("/", host=None, version="HTTP/1.0"), GET("/", headers=[["X_Forwarded_For", "1"], ["X-Forwarded_Proto", "https"], ["x_real_ip", "2"], ["X_Real-Ip", "2"]]), GET("/", headers=[["Forwarded", "for=x"], ["X-Forwarded-User", "u"], ["X-Forwarded-Ssl", "on"], ["X-Forwarded", "z"], ["X-Forwarded-Scheme", "q"], ["X-Forwarded-By", "q"], ["X-Original-Host", "a"], ["X-Client-Ip", "1"], ["True-Client-Ip", "3"], ["Via", "1.0 x"]]), GET("/", headers=X, h2=True), GET("/", host="h.test:443", h2=True), GET("/", host="h.test:")])
case("fwd2-insecure", static=EP("forwardedHeaders: {insecure: true}"), dyn=BASIC, steps=[GET("/", headers=X), GET("/", headers=[["X-Forwarded-For", "1.1.1.1"], ["X-Forwarded-For", ""], ["X-Forwarded-For", "2.2.2.2"]]), GET("/", headers=[["X-Forwarded-For", "1.1.1.1,2.2.2.2"]]), GET("/", headers={"X-Forwarded-Proto": "wss"}), GET("/", headers={"X-Forwarded-Proto": "foo"}), GET("/", headers={"X-Forwarded-Proto": ""}), GET("/", headers={"X-Forwarded-Port": ""}), GET("/", headers={"X-Forwarded-Host": ""}), GET("/", headers={"X-Real-Ip": ""}), GET("/", headers=[["X-Forwarded-Proto", "https"], ["X-Forwarded-Proto", "http"]]), GET("/", headers=[["X-Real-Ip", "1"], ["X-Real-Ip", "2"]]), GET("/", headers=[["X_Forwarded_For", "1"], ["X_Real_Ip", "z"]]), GET("/", headers=[["Connection", "X-Forwarded-For, X-Real-Ip, X-Forwarded-User"], ["X-Forwarded-For", "1"], ["X-Forwarded-User", "u"]]), WS("/", ["a"]), WS("/", ["a"], headers={"X-Forwarded-Proto": "https"}), WS("/", ["a"], headers={"X-Forwarded-Proto": "http"}), GET("/", headers=X, h2=True), GET("/", headers=[["X-Forwarded-For", "1.1.1.1"], ["X-Forwarded-For", "2.2.2.2"]], h2=True), GET("/", host="h.test:123", headers={"X-Forwarded-Proto": "https"}), GET("/", headers={"X-Forwarded-Prefix": "/p", "X-Forwarded-Uri": "/u", "X-Forwarded-Method": "M", "X-Forwarded-Tls-Client-Cert": "c"})])
case("fwd2-trusted", static=EP('forwardedHeaders: {trustedIPs: ["127.0.0.2/32", "127.0.7.0/24", "::1"]}'), dyn=BASIC, steps=[GET("/", headers=X), GET("/", headers=X, src="127.0.0.2"), GET("/", headers=X, src="127.0.7.255"), GET("/", headers=X, src="127.0.8.1"), GET("/", headers=X, ip="::1"), GET("/", ip="::1")])
case("fwd2-notappend", static=EP("forwardedHeaders: {insecure: true, notAppendXForwardedFor: true}"), dyn=BASIC, steps=[GET("/"), GET("/", headers=X), GET("/", headers=[["X-Forwarded-For", "1.1.1.1"], ["X-Forwarded-For", "2.2.2.2"]]), WS("/", ["a"])])
case("fwd2-notappend-untrusted", static=EP("forwardedHeaders: {notAppendXForwardedFor: true}"), dyn=BASIC, steps=[GET("/"), GET("/", headers=X)])
case("fwd2-connection", static=EP("forwardedHeaders: {connection: [X-Keep, x-other, X-Forwarded-User]}"), dyn=http("""
r: {rule: "PathPrefix(`/`)", service: a}
k: {rule: "Header(`X-Keep`, `1`)", service: b, priority: 1000}
g: {rule: "Header(`X-Gone`, `1`)", service: b, priority: 1001}
""", names="a b"), backends="a b", steps=[GET("/", headers=[["Connection", "X-Keep"], ["X-Keep", "1"]]), GET("/", headers=[["Connection", "x-gone"], ["X-Gone", "1"]]), GET("/", headers=[["Connection", "X-Other, X-Keep, X-Gone"], ["X-Keep", "1"], ["X-Gone", "1"], ["X-Other", "2"]]), GET("/", headers=[["X-Gone", "1"]])])
case("fwd2-blank-xff", dyn=http("""
r: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}
""", middlewares="""
m: {headers: {customRequestHeaders: {X-Forwarded-For: ""}}}
"""), steps=[GET("/"), GET("/", headers={"X-Forwarded-For": "1.1.1.1"})])
case("fwd2-set-xff", dyn=http("""
r: {rule: "PathPrefix(`/`)", service: a, middlewares: [m]}
""", middlewares="""
m: {headers: {customRequestHeaders: {X-Forwarded-For: "7.7.7.7", Host: "set.test", X-Forwarded-Host: "xh"}}}
"""), steps=[GET("/"), GET("/", headers={"X-Forwarded-For": "1.1.1.1"})])
case("fwd2-routing", dyn=http("""
p: {rule: "HeaderRegexp(`X-Forwarded-Proto`, `.+`) && Path(`/p`)", service: a}
h: {rule: "Header(`X-Real-Ip`, `127.0.0.1`) && Path(`/h`)", service: a}
f: {rule: "HeaderRegexp(`X-Forwarded-For`, `.*`) && Path(`/f`)", service: a}
"""), steps=[GET("/p"), GET("/h"), GET("/f")])
case("fwd2-passhost", dyn="""
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {passHostHeader: false, servers: [{url: "http://${BACKEND_a}"}]}}}
""", steps=[GET("/"), GET("/", host="h.test:90"), WS("/", ["x"]), GET("/", h2=True)])
case("fwd2-preserve-path", dyn="""
http:
  routers: {r: {rule: "PathPrefix(`/`)", service: a}}
  services: {a: {loadBalancer: {servers: [{url: "http://${BACKEND_a}/base/", preservePath: true}]}}}
""", steps=[GET("/"), GET("/x?y"), GET("/a%2fb"), GET("/base"), GET("//x")])
case("fwd2-query", dyn=BASIC, steps=[GET(p) for p in ("/?", "/??", "/?a=1&a=2&b", "/?a=b;c=d", "/?a=%3B", "/?a=b%20c+d", "/?&&&", "/?=", "/?a=%zz", "/?x=http://y/z?q", "/?a='\"<>", "/?%41=%42", "/?a=[1]&b={2}", "/p?a|b^c`d", "/?a=1#x", "/?;", "/?a;b=%3b;c")])
case("fwd2-encq", static=EP("http: {encodeQuerySemicolons: true}"), dyn=http("""
q: {rule: "Query(`a`, `1;b=2`)", service: b}
r: {rule: "PathPrefix(`/`)", service: a}
""", names="a b"), backends="a b", steps=[GET("/?a=1;b=2"), GET("/?;"), GET("/?a=%3B"), GET("/?"), GET("/x;y?a;b")])
