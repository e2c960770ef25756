from lib.dsl import *
D = {"d.yml": 'http: {routers: {rdy: {rule: "Path(`/rdy`)", service: a}, r: {rule: "PathPrefix(`/`)", service: a, priority: 1}}, services: {a: {loadBalancer: {servers: [{url: "http://${BACKEND_a}"}]}}}}'}
RDY = dict(ep="web", path="/rdy", host="h.test", status=200)
BASE = 'global: {checkNewVersion: false}\nentryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}\napi: {insecure: true}\n'
SF = lambda t: ("static.yml", BASE + t)
F = 'file: {filename: "${DIR}/d.yml"}'
FLAGS = ["--global.checkNewVersion=false", "--entryPoints.web.address=127.0.0.1:${PORT_web}", "--providers.file.filename=${DIR}/d.yml"]
EXITS = [EXIT(timeout=4, code="zero?")]
# Knative has to be allowed
for name, knative in (("block", "{}"), ("true", "true"), ("options", '{endpoint: "http://${DEAD_x}", publicEntrypoints: [web]}')):
    case("kn-not-allowed-" + name, ready="exit", files=D, static_text=SF("providers: {%s, knative: %s}\n" % (F, knative)), steps=EXITS)
case("kn-forbidden", ready="exit", files=D, static_text=SF("experimental: {knative: false}\nproviders: {%s, knative: {}}\n" % F), steps=EXITS)
case("kn-not-allowed-flag", ready="exit", files=D, args=FLAGS + ["--providers.knative"], steps=EXITS)
case("kn-allowed-unused", ready=RDY, files=D, static_text=SF("experimental: {knative: true}\nproviders: {%s}\n" % F), steps=[GET("/x", want=200), API("/api/overview", pick="providers")])
case("kn-off", ready=RDY, files=D, static_text=SF("providers: {%s, knative: false}\n" % F), steps=[GET("/x", want=200)])
# the cluster is away, and everything else is served
case("kn-away", ready=RDY, files=D, static_text=SF('experimental: {knative: true}\nproviders: {%s, knative: {endpoint: "http://${DEAD_x}"}}\n' % F), steps=[GET("/x", want=200), API("/api/overview", pick="providers")])
case("kn-away-flags", ready=RDY, files=D, args=FLAGS + ["--experimental.knative", "--providers.knative.endpoint=http://${DEAD_x}", "--providers.knative.publicentrypoints=web", "--providers.knative.privateservice.name=x"], steps=[GET("/x", want=200)])
case("kn-no-cluster", ready=RDY, files=D, static_text=SF("experimental: {knative: true}\nproviders: {%s, knative: {}}\n" % F), steps=[GET("/x", want=200)])
# mistakes
for name, option in (("unknown", "nope: 1"), ("crd-option", "allowEmptyServices: true"), ("duration", "throttleDuration: soon"), ("service", "publicService: web")):
    case("kn-bad-" + name, ready="exit", files=D, static_text=SF('experimental: {knative: true}\nproviders: {%s, knative: {%s}}\n' % (F, option)), steps=EXITS)
case("kn-case", ready=RDY, files=D, static_text=SF('Experimental: {KNATIVE: true}\nproviders: {%s, Knative: {EndPoint: "http://${DEAD_x}", PublicEntryPoints: [web], privateentrypoints: []}}\n' % F), steps=[GET("/x", want=200)])
case("kn-precedence", ready=RDY, files=D, static_text=SF('experimental: {knative: true}\nproviders: {%s, precedence: [knative, file], knative: {endpoint: "http://${DEAD_x}"}}\n' % F), steps=[GET("/x", want=200)])
# ruleSyntax of TCP routers: deprecated, and not wrong
TCP_EPS = 'entryPoints: {web: {address: "127.0.0.1:${PORT_web}"}, tcp: {address: "127.0.0.1:${PORT_tcp}"}, traefik: {address: "127.0.0.1:${PORT_traefik}"}}\napi: {insecure: true}\n'
for syntax in ("v2", "v3", "default", "vx", "''"):
    case("kn-tcp-syntax-" + (syntax.strip("'") or "empty"), static=TCP_EPS, dyn="tcp: {routers: {t: {rule: 'HostSNI(`*`)', ruleSyntax: %s, service: s, entryPoints: [tcp]}}, services: {s: {loadBalancer: {servers: [{address: \"${BACKEND_t}\"}]}}}}" % syntax,
         backends={"t": dict(kind="tcp")}, steps=[TCP(b"hello"), API("/api/tcp/routers/t@file")])
