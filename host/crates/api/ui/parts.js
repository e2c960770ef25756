// Pieces that pages are made of.

import { h, svg } from "./dom.js";
import { STATUS, ago, moment, parted } from "./words.js";

/** The address of a page of this dashboard. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, v]) => v !== undefined && v !== "" && v !== 1),
  );
  return `#/${path.map(encodeURIComponent).join("/")}${query.size ? `?${query}` : ""}`;
}

const KIND = {
  enabled: "good",
  UP: "good",
  warning: "odd",
  loading: "odd",
  disabled: "bad",
  expired: "bad",
  DOWN: "bad",
};
const SIGN = { good: "M4 8.5l2.7 2.7L12 5.5", odd: "M8 4.2v4.6M8 11.5v.1", bad: "M5 5l6 6M11 5l-6 6" };

const sign = (kind) =>
  svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", class: "sign" }, [
    svg("circle", { cx: 8, cy: 8, r: 8 }),
    svg("path", { d: SIGN[kind] }),
  ]);

/** A status with its sign: never by colour alone. */
export function status(name, word = STATUS[name] ?? name) {
  const kind = KIND[name];
  return h("span", { class: `status ${kind ?? ""}` }, kind && sign(kind), h("span", {}, word));
}

/** A name with its provider in small; of the gateway itself too. */
export function named(name) {
  const [own, provider] = parted(name);
  return [h("span", { class: "name" }, own), provider && h("span", { class: "at" }, `@${provider}`)];
}

/** A link to the page of an object; the provider is left out where it is told already. */
export const linked = (protocol, kind, name, told) => {
  const [own, provider] = parted(name);
  return h(
    "a",
    { href: address([protocol, kind, name]) },
    provider === told ? h("span", { class: "name" }, own) : named(name),
  );
};

export const chip = (...content) => h("span", { class: "chip" }, ...content);

export const code = (text) => h("code", {}, text);

export const time = (text) => (text ? h("time", { datetime: text, title: moment(text) }, ago(text)) : "never");

/** A part of a page with a title. */
export const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), ...content);

/** Terms and what they are; those without a value are left out. */
export function facts(...pairs) {
  const there = pairs.filter(
    ([, value]) => value !== undefined && value !== null && value !== "" && value?.length !== 0,
  );
  return there.length
    ? h(
        "dl",
        { class: "facts" },
        there.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
      )
    : "";
}

/** Any value of the configuration, as it is written. */
export function options(value) {
  if (Array.isArray(value)) {
    if (value.every((v) => typeof v !== "object"))
      return h(
        "span",
        { class: "chips" },
        value.map((v) => chip(code(String(v)))),
      );
    return h(
      "ol",
      { class: "tree" },
      value.map((v) => h("li", {}, options(v))),
    );
  }
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    if (!entries.length) return h("span", { class: "quiet" }, "defaults");
    return h(
      "dl",
      { class: "tree" },
      entries.map(([key, v]) => h("div", {}, h("dt", {}, key), h("dd", {}, options(v)))),
    );
  }
  return code(value === "" ? "“”" : String(value));
}

function outdented(lines) {
  const indent = Math.min(...lines.map((l) => l.search(/\S|$/)));
  return lines.map((l) => l.slice(indent)).join("\n");
}

/** One thing that is wrong: what, where, and what to do. */
export function problem({ severity, message, key, source, line, column, hint }) {
  // Below its first line a message may point into a rule.
  const [first, ...more] = message.split("\n");
  const place = source && [source, line, line && column].filter(Boolean).join(":");
  return h(
    "li",
    { class: `problem ${severity === "warning" ? "odd" : "bad"}` },
    sign(severity === "warning" ? "odd" : "bad"),
    h(
      "div",
      {},
      h("p", { class: "what" }, first),
      more.length ? h("pre", {}, outdented(more)) : "",
      key || place
        ? h("p", { class: "where" }, key && code(key), key && place ? " in " : "", place && code(place))
        : "",
      hint && h("p", { class: "hint" }, hint),
    ),
  );
}

/** What is wrong with an object: by diagnostics where they tell it, else by the texts that stand at it. */
export function problems(object, told) {
  const said = new Set(told.map((d) => d.message));
  const severity = object.status === "warning" ? "warning" : "error";
  const others = (object.error ?? []).filter((e) => ![...said].some((s) => e.includes(s) || s.includes(e)));
  const all = [...told, ...others.map((message) => ({ severity, message }))];
  return all.length ? panel("What is wrong", h("ul", { class: "problems" }, all.map(problem))) : "";
}

/** The head of a page. */
export const heading = (title, above, ...rest) =>
  h(
    "div",
    { class: "heading" },
    above && h("p", { class: "above" }, above),
    h("div", { class: "titled" }, h("h1", {}, title), ...rest),
  );

export const nothing = (...text) => h("p", { class: "nothing" }, ...text);

/** A table whose cells know their column, for screens that are too narrow for one. */
export function table(caption, columns, rows) {
  const head = columns.map((c) =>
    c.head instanceof Node ? c.head : h("th", { scope: "col", class: c.class }, c.title),
  );
  const cell = (c, row) => h("td", { "data-title": c.title, class: c.class }, c.cell(row));
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, head)),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            columns.map((c) => cell(c, row)),
          ),
        ),
      ),
    ),
  );
}
