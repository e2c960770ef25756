// The first page: how everything is doing.

import { ask, askAll } from "./api.js";
import { h, svg } from "./dom.js";
import { address, chip, code, heading, nothing, panel, problem, status, time } from "./parts.js";
import { PROTOCOL, TITLE, count, plural } from "./words.js";

/** A ring of what is well, odd and broken. Words beside it say the same. */
function ring({ total, warnings, errors }) {
  const round = 2 * Math.PI * 15;
  let before = 0;
  // One broken router of five thousand is to be seen too.
  const parts = [total - warnings - errors, warnings, errors].map((n) => n && Math.max(n / total, 1 / 16));
  const sum = parts.reduce((a, b) => a + b, 0);
  const arc = (kind, part) => {
    if (!part) return "";
    const length = (part / sum) * round;
    const drawn = svg("circle", {
      cx: 20,
      cy: 20,
      r: 15,
      class: kind,
      "stroke-dasharray": `${length} ${round - length}`,
      "stroke-dashoffset": -before,
    });
    before += length;
    return drawn;
  };
  return svg("svg", { viewBox: "0 0 40 40", width: 48, height: 48, class: "ring", "aria-hidden": "true" }, [
    svg("circle", { cx: 20, cy: 20, r: 15 }),
    svg(
      "g",
      { transform: "rotate(-90 20 20)" },
      ["good", "odd", "bad"].map((kind, i) => arc(kind, parts[i])),
    ),
  ]);
}

function figure(
  title,
  path,
  section,
  [odd, bad] = [
    ["warning", "warnings"],
    ["error", "errors"],
  ],
  states = ["warning", "disabled"],
) {
  const { total, warnings, errors } = section;
  const part = (n, words, state) =>
    n > 0 &&
    h("a", { href: address(path, { status: state }) }, status(state, `${count(n)} ${n === 1 ? words[0] : words[1]}`));
  return h(
    "div",
    { class: "figure" },
    ring(section),
    h(
      "div",
      {},
      h("h3", {}, h("a", { href: address(path) }, title)),
      h("p", { class: "big" }, count(total)),
      h(
        "p",
        { class: "marks" },
        total === 0
          ? h("span", { class: "quiet" }, "none")
          : warnings + errors === 0
            ? status("enabled", "all well")
            : [part(errors, bad, states[1]), part(warnings, odd, states[0])],
      ),
    ),
  );
}

const protocol = (name, sections) =>
  panel(
    PROTOCOL[name],
    h(
      "div",
      { class: "figures" },
      Object.entries(TITLE)
        .filter(([kind]) => sections[kind])
        .map(([kind, title]) => figure(title, [name, kind], sections[kind])),
    ),
  );

function entryPoint(e) {
  const [address, transport] = e.address.split("/");
  const with_tls = e.http?.tls ? chip("TLS") : "";
  const h3 = e.http3 ? chip("HTTP/3") : "";
  return h(
    "li",
    { class: "card" },
    h("h3", {}, e.name),
    h("p", { class: "big" }, address),
    h(
      "p",
      { class: "chips" },
      transport === "udp" ? chip("UDP") : "",
      with_tls,
      h3,
      e.asDefault ? chip("default") : "",
      e.reusePort ? chip("reusePort") : "",
    ),
  );
}

function provider(p) {
  const rejected = p.rejected?.length ?? 0;
  const state = p.lastError ? "disabled" : rejected ? "warning" : p.delivered ? "enabled" : "loading";
  const words = {
    disabled: "Failing",
    warning: `${plural(rejected, "object")} rejected`,
    enabled: "OK",
    loading: "Nothing yet",
  };
  return h(
    "li",
    { class: "card" },
    h("h3", {}, h("a", { href: address(["providers"]) }, p.name)),
    status(state, words[state]),
    h("p", { class: "quiet" }, "last change ", time(p.lastChange)),
  );
}

const SOME = 5;

export const overview = () => ({
  title: "Overview",
  async load(signal) {
    const wrong = (status) => ask("diagnostics", signal, { status, per_page: SOME + 1 });
    const asked = [
      ask("overview", signal),
      askAll("entrypoints", signal),
      ask("providers", signal),
      wrong("error"),
      wrong("warning"),
    ];
    const [all, entryPoints, providers, errors, warnings] = await Promise.all(asked);
    return {
      all: all.value,
      entryPoints,
      providers: providers.value.filter((p) => p.name !== "internal"),
      wrong: [...errors.value, ...warnings.value].slice(0, SOME + 1),
    };
  },
  draw({ all, entryPoints, providers, wrong }) {
    const { tracing, metrics, accessLog } = all.features;
    const feature = (name, on) =>
      h(
        "li",
        { class: "card" },
        h("h3", {}, name),
        on ? status("enabled", on === true ? "On" : on) : h("span", { class: "quiet" }, "Off"),
      );
    return [
      heading("Overview"),
      wrong.length
        ? panel(
            "What is wrong",
            h("ul", { class: "problems" }, wrong.slice(0, SOME).map(problem)),
            wrong.length > SOME ? h("p", {}, h("a", { href: address(["problems"]) }, "All problems")) : "",
          )
        : "",
      panel(
        "Entry points",
        entryPoints.length ? h("ul", { class: "cards" }, entryPoints.map(entryPoint)) : nothing("There are none."),
      ),
      protocol("http", all.http),
      h("div", { class: "beside uneven" }, protocol("tcp", all.tcp), protocol("udp", all.udp)),
      h(
        "div",
        { class: "beside" },
        panel(
          "TLS",
          h(
            "div",
            { class: "figures" },
            figure(
              "Certificates",
              ["certificates"],
              all.certificates,
              [
                ["ends soon", "end soon"],
                ["expired", "expired"],
              ],
              ["warning", "expired"],
            ),
          ),
        ),
        panel(
          "Features",
          h(
            "ul",
            { class: "cards small" },
            feature("Tracing", tracing),
            feature("Metrics", metrics),
            feature("Access log", accessLog),
          ),
        ),
      ),
      panel(
        "Providers",
        providers.length
          ? h("ul", { class: "cards" }, providers.map(provider))
          : nothing("None is configured: add one under ", code("providers"), "."),
      ),
    ];
  },
});
