// One router: the whole way of a request, and what is wrong with it.

import { ask, askAll, askMaybe, wrongWith } from "./client.js";
import { h } from "./dom.js";
import { address, chip, code, facts, heading, linked, named, nothing, panel, problems, status } from "./parts.js";
import { PROTOCOL, plural, qualified, type } from "./words.js";

/** A middleware with those that a chain is made of. What stands in several places is asked for once and shown whole
 *  once: a chain may lead to itself, and chains of chains to one place in many ways. */
async function chained(protocol, name, signal, seen = new Set()) {
  const again = seen.has(name);
  seen.add(name);
  const m = await askMaybe(`${protocol}/middlewares/${encodeURIComponent(name)}`, signal);
  const inside = [];
  for (const n of again ? [] : (m?.chain?.middlewares ?? []))
    inside.push(await chained(protocol, qualified(n, m.provider), signal, seen));
  return { name, status: m?.status, type: m?.type, inside };
}

const missing = (what) => status("disabled", `there is no such ${what}`);

const step = (title, ...content) => h("li", { class: "step" }, h("h3", {}, title), ...content);

function middlewares(protocol, all) {
  const one = (m) =>
    h(
      "li",
      {},
      linked(protocol, "middlewares", m.name),
      h(
        "div",
        { class: "quiet" },
        m.status ? [type(m.type), " ", m.status === "enabled" ? "" : status(m.status)] : missing("middleware"),
      ),
      m.inside.length ? h("ol", {}, m.inside.map(one)) : "",
    );
  return h("ol", { class: "inside" }, all.map(one));
}

function flow(protocol, { router, entryPoints, middlewares: chain, service }) {
  const used = new Set(router.using ?? []);
  const entry = (name) => {
    const known = entryPoints.find((e) => e.name === name);
    return h(
      "li",
      {},
      h("b", {}, name),
      h(
        "div",
        { class: "quiet" },
        known ? known.address : missing("entry point"),
        known && !used.has(name) ? " (does not serve it)" : "",
      ),
    );
  };
  const parents = router.parentRefs ?? [];
  const first = parents.length
    ? step(
        "Behind",
        h(
          "ul",
          {},
          parents.map((p) => h("li", {}, linked(protocol, "routers", p))),
        ),
      )
    : step("Entry points", h("ul", {}, [...new Set([...(router.entryPoints ?? []), ...used])].map(entry)));
  const name = router.service && qualified(router.service, router.provider);
  return h(
    "ol",
    { class: "flow" },
    first,
    step(
      "Router",
      h("div", { class: "here" }, named(router.name)),
      status(router.status),
      router.rule ? h("p", {}, code(router.rule)) : "",
    ),
    chain.length ? step("Middlewares", middlewares(protocol, chain)) : "",
    step(
      "Service",
      name
        ? [
            linked(protocol, "services", name),
            h("div", { class: "quiet" }, service ? [type(service.type), health(service)] : missing("service")),
          ]
        : h("span", { class: "quiet" }, "other routers are behind it"),
    ),
  );
}

function health(service) {
  const servers = service.loadBalancer?.servers?.length;
  if (!servers) return service.status === "enabled" ? "" : [" ", status(service.status)];
  const down = Object.values(service.serverStatus ?? {}).filter((s) => s === "DOWN").length;
  return [
    ", ",
    down ? `${servers - down} of ${plural(servers, "server")} up` : plural(servers, "server"),
    " ",
    service.status === "enabled" ? (down === servers ? status("DOWN") : "") : status(service.status),
  ];
}

function recorded(o) {
  const on = [
    ["access log", o.accessLogs],
    ["metrics", o.metrics],
    [`tracing (${o.traceVerbosity})`, o.tracing],
  ].filter(([, on]) => on);
  return on.length ? on.map(([word]) => word).join(", ") : "nothing";
}

function tls({ tls }) {
  if (!tls) return "";
  const domains = (tls.domains ?? []).map((d) =>
    h(
      "span",
      { class: "chips" },
      chip(d.main),
      (d.sans ?? []).map((s) => chip(s)),
    ),
  );
  return panel(
    "TLS",
    facts(
      ["Options", tls.options],
      ["Passed through", tls.passthrough ? "yes: the server has the certificate" : ""],
      ["Certificate resolver", tls.certResolver],
      ["Domains", domains],
    ),
    !tls.certResolver && !tls.passthrough
      ? h(
          "p",
          { class: "quiet" },
          "The certificate is chosen by name from ",
          h("a", { href: address(["certificates"]) }, "those that are there"),
          ".",
        )
      : "",
  );
}

function priority(router) {
  const text = router.priorityStr ?? (router.priority === undefined ? "" : String(router.priority));
  return text && text === String(new TextEncoder().encode(router.rule ?? "").length)
    ? `${text} (the length of the rule)`
    : text;
}

export const router = (protocol, name) => ({
  title: name,
  async load(signal) {
    const [router, entryPoints, diagnostics] = await Promise.all([
      ask(`${protocol}/routers/${encodeURIComponent(name)}`, signal),
      askAll("entrypoints", signal),
      wrongWith(protocol, "routers", name, signal),
    ]);
    const r = router.value;
    const led = r.service && `${protocol}/services/${encodeURIComponent(qualified(r.service, r.provider))}`;
    const [service, ...middlewares] = await Promise.all([
      led && askMaybe(led, signal),
      ...(r.middlewares ?? []).map((m) => chained(protocol, m, signal)),
    ]);
    return { router: r, entryPoints, diagnostics, service, middlewares };
  },
  missing: (error) =>
    error.status === 404 && [
      heading(named(name), `${PROTOCOL[protocol]} router`),
      nothing(
        "There is no such router, or not any more. ",
        h("a", { href: address([protocol, "routers"]) }, "All routers"),
      ),
    ],
  draw(data) {
    const { router, diagnostics } = data;
    const { observability: o } = router;
    return [
      heading(
        named(name),
        h("a", { href: address([protocol, "routers"]) }, `${PROTOCOL[protocol]} routers`),
        status(router.status),
      ),
      problems(router, diagnostics),
      panel("The way of a request", flow(protocol, data)),
      panel(
        "Router",
        facts(
          ["Rule", router.rule && code(router.rule)],
          ["Priority", priority(router)],
          ["Rule syntax", router.ruleSyntax],
          ["Provider", router.provider],
          ["Recorded", o && recorded(o)],
        ),
      ),
      tls(router),
    ];
  },
});
