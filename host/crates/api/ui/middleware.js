// One middleware: its options, and who uses it.

import { ask, wrongWith } from "./api.js";
import { h } from "./dom.js";
import { address, facts, heading, linked, named, nothing, options, panel, problems, status } from "./parts.js";
import { users } from "./service.js";
import { PROTOCOL, qualified, type } from "./words.js";

const BESIDE = ["name", "provider", "status", "error", "usedBy", "type"];

export const middleware = (protocol, name) => ({
  title: name,
  async load(signal) {
    const [middleware, diagnostics] = await Promise.all([
      ask(`${protocol}/middlewares/${encodeURIComponent(name)}`, signal),
      wrongWith(protocol, "middlewares", name, signal),
    ]);
    return { middleware: middleware.value, diagnostics };
  },
  missing: (error) =>
    error.status === 404 && [
      heading(named(name), `${PROTOCOL[protocol]} middleware`),
      nothing(
        "There is no such middleware, or not any more. ",
        h("a", { href: address([protocol, "middlewares"]) }, "All middlewares"),
      ),
    ],
  draw({ middleware: m, diagnostics }) {
    const written = Object.fromEntries(Object.entries(m).filter(([key]) => !BESIDE.includes(key)));
    const [kind, value] = Object.entries(written)[0] ?? [m.type, {}];
    const members = m.chain?.middlewares;
    return [
      heading(
        named(name),
        h("a", { href: address([protocol, "middlewares"]) }, `${PROTOCOL[protocol]} middlewares`),
        status(m.status),
      ),
      problems(m, diagnostics),
      panel("Middleware", facts(["Type", kind && type(kind)], ["Provider", m.provider])),
      members
        ? panel(
            "Middlewares in order",
            h(
              "ol",
              { class: "links" },
              members.map((n) => h("li", {}, linked(protocol, "middlewares", qualified(n, m.provider)))),
            ),
          )
        : panel("Options", options(Object.keys(written).length > 1 ? written : value)),
      // The API does not say it of TCP.
      protocol === "http" ? users(protocol, m, { middlewareName: name }, "No router has it directly.") : "",
    ];
  },
});
