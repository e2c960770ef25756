// Where the configuration comes from: providers, plugins, and all that is wrong with it.

import { ask, askAll } from "./api.js";
import { h } from "./dom.js";
import { address, code, facts, heading, nothing, panel, problem, status, table, time } from "./parts.js";
import { bytes, count, plural } from "./words.js";

function provider(p) {
  const rejected = p.rejected ?? [];
  const state = p.lastError
    ? ["disabled", "Failing"]
    : !p.delivered
      ? ["loading", "Nothing yet"]
      : rejected.length
        ? ["warning", `${plural(rejected.length, "object")} rejected`]
        : ["enabled"];
  return h(
    "section",
    { class: "panel" },
    h("div", { class: "titled" }, h("h2", {}, p.name), status(...state)),
    facts(
      ["Connected", p.connectedSince ? ["since ", time(p.connectedSince)] : "no"],
      ["Last change", time(p.lastChange)],
      ["Changes", count(p.changes)],
      ["Objects", p.objects ? count(p.objects) : ""],
      ["Failures", p.failures ? [count(p.failures), p.lastFailure ? [", the last ", time(p.lastFailure)] : ""] : ""],
      ["Last error", p.lastError && code(p.lastError)],
    ),
    rejected.length
      ? [
          h("h3", {}, "Rejected"),
          h(
            "ul",
            { class: "problems" },
            rejected.map((r) => problem({ severity: "warning", message: r.name, hint: r.reasons.join("; ") })),
          ),
        ]
      : "",
  );
}

export const providers = () => ({
  title: "Providers",
  load: async (signal) => (await ask("providers", signal)).value.filter((p) => p.name !== "internal"),
  draw: (all) => [
    heading("Providers"),
    all.length ? all.map(provider) : nothing("None is configured: add one under ", code("providers"), "."),
  ],
});

const figures = (p) =>
  facts(
    ["Calls", count(p.calls)],
    ["Traps", p.traps ? count(p.traps) : ""],
    ["Deadline hits", p.deadlineHits ? count(p.deadlineHits) : ""],
    ["Refused calls", p.refused ? count(p.refused) : ""],
    ["Instances", `${count(p.instances)} with ${bytes(p.memory)}`],
    ["Versions loaded", count(p.loads)],
    ["Files refused", p.loadFailures ? count(p.loadFailures) : ""],
  );

const plugin = (p) =>
  h(
    "section",
    { class: "panel" },
    h("div", { class: "titled" }, h("h2", {}, p.name), status(p.status)),
    p.description ? h("p", {}, p.description) : "",
    p.error?.length
      ? h(
          "ul",
          { class: "problems" },
          p.error.map((message) => problem({ severity: p.status === "warning" ? "warning" : "error", message })),
        )
      : "",
    facts(
      ["Kind", p.kind],
      ["Version", p.version],
      ["File", code(p.path)],
      ["Size", bytes(p.size)],
      ["SHA-256", p.digest && code(p.digest)],
    ),
    figures(p),
    p.metrics && Object.keys(p.metrics).length
      ? [h("h3", {}, "Its own figures"), facts(...Object.entries(p.metrics).map(([name, n]) => [name, count(n)]))]
      : "",
  );

export const plugins = () => ({
  title: "Plugins",
  load: (signal) => askAll("plugins", signal),
  draw: (all) => [
    heading("Plugins"),
    all.length ? all.map(plugin) : nothing("No plugin is loaded: declare one under ", code("plugins"), "."),
  ],
});

const PER_PAGE = 100;

export const diagnostics = ({ status: state, page = "1" }) => ({
  title: "Problems",
  async load(signal) {
    const { value, next } = await ask("diagnostics", signal, { status: state, page, per_page: PER_PAGE });
    return { all: value, next };
  },
  draw({ all, next }) {
    const filter = ([value, word]) =>
      h(
        "a",
        {
          class: "button",
          href: address(["problems"], { status: value }),
          "aria-current": (state ?? "") === value ? "true" : undefined,
        },
        word,
      );
    const link = (word, to, on) =>
      on
        ? h("a", { class: "button", href: address(["problems"], { status: state, page: to }) }, word)
        : h("span", { class: "button off", "aria-hidden": "true" }, word);
    return [
      heading("Problems"),
      h(
        "div",
        { class: "tools" },
        h(
          "nav",
          { class: "filter", "aria-label": "Severity" },
          [
            ["", "All"],
            ["error", "Errors"],
            ["warning", "Warnings"],
          ].map(filter),
        ),
      ),
      all.length
        ? h("section", { class: "panel" }, h("ul", { class: "problems" }, all.map(problem)))
        : nothing(state ? `There is no ${state}.` : "Nothing is wrong with the configuration."),
      page > 1 || next > 1
        ? h(
            "nav",
            { class: "pages", "aria-label": "Pages of the list" },
            link("Previous", page - 1, page > 1),
            h("span", {}, `Page ${page}`),
            link("Next", next, next > 1),
          )
        : "",
    ];
  },
});
