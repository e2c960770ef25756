// One service: its servers, or the services that it is made of.

import { ask, wrongWith } from "./api.js";
import { h } from "./dom.js";
import {
  address,
  code,
  facts,
  heading,
  linked,
  named,
  nothing,
  options,
  panel,
  problems,
  status,
  table,
} from "./parts.js";
import { PROTOCOL, count, parted, qualified, type } from "./words.js";

function servers(service) {
  const all = service.loadBalancer?.servers;
  if (!all) return "";
  if (!all.length) return panel("Servers", nothing("There are none: requests are answered with 503."));
  const address = (s) => s.url ?? s.address ?? "";
  const states = service.serverStatus ?? {};
  const state = (s) => states[address(s)] ?? states[address(s).toLowerCase()];
  const weighted = all.some((s) => s.weight !== undefined);
  const columns = [
    { title: "Health", cell: (s) => (state(s) ? status(state(s)) : h("span", { class: "quiet" }, "not known")) },
    { title: "Server", class: "wide", cell: (s) => code(address(s)) },
    weighted && { title: "Weight", class: "number", cell: (s) => String(s.weight ?? 1) },
  ].filter(Boolean);
  const checked = service.loadBalancer.healthCheck || service.loadBalancer.passiveHealthCheck;
  return panel(
    "Servers",
    table("Servers", columns, all),
    checked
      ? ""
      : h("p", { class: "quiet" }, "No health check is configured: what is not known to be down counts as up."),
  );
}

/** Services that a service is made of, with what is said of each. */
function parts(protocol, service) {
  const to = (name) => linked(protocol, "services", qualified(name, service.provider));
  const row = (name, ...said) => ({ name, said: said.filter(Boolean).join(", ") });
  const rows = [
    ...(service.weighted?.services ?? []).map((s) => row(s.name, `weight ${s.weight ?? 1}`)),
    ...(service.highestRandomWeight?.services ?? []).map((s) => row(s.name, `weight ${s.weight ?? 1}`)),
    ...(service.mirroring
      ? [
          row(service.mirroring.service, "answers"),
          ...(service.mirroring.mirrors ?? []).map((m) => row(m.name, `mirror of ${m.percent ?? 0} %`)),
        ]
      : []),
    ...(service.failover ? [row(service.failover.service, "first"), row(service.failover.fallback, "fallback")] : []),
  ].filter((r) => r.name);
  if (!rows.length) return "";
  return panel(
    "Services",
    table(
      "Services",
      [
        { title: "Service", class: "wide", cell: (r) => to(r.name) },
        { title: "Part", cell: (r) => r.said },
      ],
      rows,
    ),
  );
}

/** Routers that use an object, `by` being how the list of routers finds all of them. */
export function users(protocol, object, by, none) {
  const all = [...new Set(object.usedBy ?? [])];
  return panel(
    "Used by",
    all.length
      ? h(
          "ul",
          { class: "links" },
          all.slice(0, 100).map((r) => h("li", {}, linked(protocol, "routers", r))),
          all.length > 100
            ? h("li", {}, h("a", { href: address([protocol, "routers"], by) }, `all ${count(all.length)}`))
            : "",
        )
      : nothing(none),
  );
}

/** Options beside what has a place of its own. */
function rest({ loadBalancer, weighted, highestRandomWeight, mirroring, failover, plugin }) {
  const known = loadBalancer ?? weighted ?? highestRandomWeight ?? mirroring ?? failover ?? plugin;
  if (!known) return "";
  const { servers, services, service, mirrors, fallback, ...others } = known;
  return Object.keys(others).length ? panel("Options", options(others)) : "";
}

export const service = (protocol, name) => ({
  title: name,
  async load(signal) {
    const [service, diagnostics] = await Promise.all([
      ask(`${protocol}/services/${encodeURIComponent(name)}`, signal),
      wrongWith(protocol, "services", name, signal),
    ]);
    return { service: service.value, diagnostics };
  },
  missing: (error) =>
    error.status === 404 && [
      heading(named(name), `${PROTOCOL[protocol]} service`),
      nothing(
        "There is no such service, or not any more. ",
        h("a", { href: address([protocol, "services"]) }, "All services"),
      ),
    ],
  draw({ service, diagnostics }) {
    const own = parted(name)[1] === "internal";
    return [
      heading(
        named(name),
        h("a", { href: address([protocol, "services"]) }, `${PROTOCOL[protocol]} services`),
        status(service.status),
      ),
      problems(service, diagnostics),
      panel(
        "Service",
        facts(["Type", own ? "of the gateway itself" : type(service.type)], ["Provider", service.provider]),
      ),
      servers(service),
      parts(protocol, service),
      rest(service),
      users(protocol, service, { serviceName: name }, "No router leads to it directly."),
    ];
  },
});
