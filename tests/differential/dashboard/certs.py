from lib.dsl import *

STATIC = """
api: {insecure: true}
entryPoints:
  web: {address: "127.0.0.1:${PORT_web}"}
  traefik: {address: "127.0.0.1:${PORT_traefik}"}
"""
ALL = "backend default foo_example multi rsa_host snitest_com snitest_org wild_example client_full client_expired client_other".split()

def tls(names, more="", stores=""):
    certs = "".join("  - {certFile: ${PKI}/%s.crt, keyFile: ${PKI}/%s.key%s}\n" % (n.split(":")[0], n.split(":")[0], ", stores: [%s]" % n.split(":")[1] if ":" in n else "") for n in names)
    return http('r: {rule: "Host(`snitest.com`)", service: a, entryPoints: [web]}') + "tls:\n" + stores + ("  certificates:\n" + certs if certs else "") + more

LIST = "/api/certificates"
T = dict(ep="traefik")
case("crt-none", static=STATIC, dyn=http('r: {rule: "Path(`/`)", service: a, tls: {}}'), steps=[API(LIST), API("/api/overview"), GET(LIST + "/x", **T), GET(LIST + "/", **T), GET(LIST + "?page=2", **T), POST(LIST, **T), HEAD(LIST, **T)])
case("crt-list", static=STATIC, dyn=tls(ALL), steps=[API(LIST), API("/api/overview")])
case("crt-default", static=STATIC, dyn=tls(["snitest_com", "foo_example:other", "multi:default", "rsa_host:other, default"],
    stores="  stores:\n    default: {defaultCertificate: {certFile: ${PKI}/default.crt, keyFile: ${PKI}/default.key}}\n    other: {}\n"), steps=[API(LIST), API("/api/overview")])
case("crt-default-twice", static=STATIC, dyn=tls(["default", "default", "snitest_com"],
    stores="  stores:\n    default: {defaultCertificate: {certFile: ${PKI}/default.crt, keyFile: ${PKI}/default.key}}\n"), steps=[API(LIST), API("/api/overview")])
case("crt-broken", static=STATIC, dyn=tls(["snitest_com", "nothing"]), steps=[API(LIST), API("/api/overview")])
case("crt-sort", static=STATIC, dyn=tls(ALL), steps=[GET(LIST + "?sortBy=%s&direction=%s" % (by, d), **T)
    for by in ("name", "status", "nonsense", "commonName", "provider", "") for d in ("asc", "desc")])
case("crt-sort-issuer", static=STATIC, dyn=tls(["client_full", "snitest_com"]), steps=[GET(LIST + "?sortBy=%s&direction=%s" % (by, d), **T) for by in ("issuer", "validUntil", "Issuer") for d in ("asc", "desc", "DESC")])
case("crt-sort-until", static=STATIC, dyn=tls(["client_expired", "snitest_com"]), steps=[GET(LIST + "?sortBy=%s&direction=%s" % (by, d), **T) for by in ("validUntil", "status") for d in ("asc", "desc")])
case("crt-search", static=STATIC, dyn=tls(ALL), steps=[GET(LIST + "?search=" + s, **T) for s in
    ("snitest", "SNITEST", "org", "HoldoutOrg", "cheese", "Cheese%202", "root", "lyon", "nothing", "127.0.0.1", "%25", "RSA", "expired", "FR", "2045", "v3", "v1", "multi&status=enabled", "client&status=expired")])
case("crt-status", static=STATIC, dyn=tls(ALL), steps=[GET(LIST + "?status=" + s, **T) for s in ("enabled", "expired", "EXPIRED", "warning", "disabled", "x", "")])
case("crt-pages", static=STATIC, dyn=tls(ALL), steps=[GET(LIST + "?" + q, **T) for q in
    ("per_page=4", "per_page=4&page=2", "per_page=4&page=3", "per_page=4&page=4", "page=0", "page=-1", "page=x", "per_page=0", "per_page=x", "page=1&per_page=11", "page=2&per_page=11", "serviceName=x", "middlewareName=x")])
