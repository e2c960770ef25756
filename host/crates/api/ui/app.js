// The frame: which page is shown, and how it is kept fresh.

import { Refused, ask } from "./client.js";
import { h, replace } from "./dom.js";
import { address, heading, nothing } from "./parts.js";
import { PROTOCOL, TITLE, ago, moment } from "./words.js";
import { overview } from "./overview.js";
import { certificates, list } from "./lists.js";
import { router } from "./router.js";
import { service } from "./service.js";
import { middleware } from "./middleware.js";
import { certificate } from "./certificate.js";
import { resolvers } from "./resolvers.js";
import { diagnostics, plugins, providers } from "./sources.js";

/** Milliseconds between two looks at the API. */
const PERIOD = 5000;

const NAV = [
  ["", [["Overview", []]]],
  ...["http", "tcp", "udp"].map((protocol) => [
    PROTOCOL[protocol],
    Object.entries(TITLE)
      .filter(([kind]) => protocol !== "udp" || kind !== "middlewares")
      .map(([kind, title]) => [title, [protocol, kind]]),
  ]),
  [
    "Gateway",
    [
      ["Certificates", ["certificates"]],
      ["Resolvers", ["resolvers"]],
      ["Providers", ["providers"]],
      ["Plugins", ["plugins"]],
      ["Problems", ["problems"]],
    ],
  ],
];

const ONE = { routers: router, services: service, middlewares: middleware };
const SINGLE = { resolvers, providers, plugins, problems: diagnostics };

/** A page has a title, `load(signal)`, which resolves to what it shows, `draw(data)`, and maybe a frame around it. */
function page({ path, parameters }) {
  const [first, kind, name, ...more] = path;
  if (first === undefined) return overview();
  if (more.length === 0 && Object.hasOwn(PROTOCOL, first) && Object.hasOwn(TITLE, kind) && !(first === "udp" && kind === "middlewares")) {
    return name === undefined ? list(first, kind, parameters) : ONE[kind](first, name);
  }
  if (first === "certificates" && name === undefined)
    return kind === undefined ? certificates(parameters) : certificate(kind);
  if (Object.hasOwn(SINGLE, first) && kind === undefined) return SINGLE[first](parameters);
  return undefined;
}

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  try {
    return {
      path: path.split("/").filter(Boolean).map(decodeURIComponent),
      parameters: Object.fromEntries(new URLSearchParams(query)),
    };
  } catch {
    return { path: ["?"], parameters: {} };
  }
}

const at = (id) => document.getElementById(id);

let shown = { path: undefined };

/** Says what is wrong with the API; what was there stays, marked as old. */
function trouble(error) {
  const before = at("trouble").dataset.text ?? "";
  const text = error ? `${error.status || ""} ${error.message}`.trim() : "";
  at("page").classList.toggle("old", Boolean(error) && Boolean(shown.text));
  if (before === text) return;
  at("trouble").dataset.text = text;
  const denied = error?.status === 401 || error?.status === 403;
  const hint = denied
    ? "What stands before the API wants you to sign in, or does not let you in."
    : "What is shown may be old. The dashboard goes on asking.";
  replace(
    at("trouble"),
    error ? h("div", { class: "trouble" }, h("b", {}, "The API does not answer as it should. "), text, ". ", hint) : [],
  );
  at("live").textContent = before && !text ? "The API answers again." : "";
}

async function look(current) {
  clearTimeout(current.timer);
  current.asking?.abort();
  const asking = (current.asking = new AbortController());
  try {
    const data = await current.page.load(asking.signal);
    if (asking.signal.aborted || shown !== current) return;
    trouble();
    const text = JSON.stringify(data);
    if (text !== current.text) {
      current.text = text;
      replace(current.body, current.page.draw(data));
    } else {
      for (const time of current.body.querySelectorAll("time")) {
        time.textContent = ago(time.dateTime);
        time.title = moment(time.dateTime);
      }
    }
  } catch (error) {
    if (asking.signal.aborted || shown !== current) return;
    if (error instanceof Refused && current.page.missing?.(error)) {
      trouble();
      current.text = undefined;
      replace(current.body, current.page.missing(error));
    } else {
      if (!(error instanceof Refused)) console.error(error);
      trouble(error);
      if (current.text === undefined) replace(current.body, nothing("Nothing can be shown yet."));
    }
  }
  if (!document.hidden) current.timer = setTimeout(look, PERIOD, current);
}

function navigate() {
  const next = place();
  const same = shown.path && JSON.stringify(shown.path) === JSON.stringify(next.path);
  clearTimeout(shown.timer);
  shown.asking?.abort();
  const found = page(next);
  const before = shown;
  shown = { ...next, page: found, body: before.body };
  for (const link of at("nav").querySelectorAll("a")) {
    const own = link.getAttribute("href").slice(2);
    const here =
      own ===
      next.path
        .slice(0, own ? own.split("/").length : undefined)
        .map(encodeURIComponent)
        .join("/");
    if (here) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else link.removeAttribute("aria-current");
  }
  if (!found) {
    document.title = "Not found - Torana";
    replace(at("page"), heading("There is no such page"), nothing(h("a", { href: address([]) }, "To the overview")));
    return;
  }
  document.title = `${found.title} - Torana`;
  if (same && before.page?.keep && found.keep) {
    // Another part of the same list: the tools above it stay, and who types in them is not disturbed.
    before.page.keep(found);
    shown.page = before.page;
    if (before.parameters.page !== next.parameters.page) scrollTo(0, 0);
  } else {
    shown.body = h("div", { class: "body" }, nothing("Loading…"));
    replace(at("page"), found.frame ? found.frame(shown.body) : shown.body);
    if (before.path) {
      at("main").focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }
  look(shown);
}

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

function remembered(name, value) {
  // A browser may forbid it to keep anything.
  try {
    if (value === undefined) return localStorage.getItem(name) ?? "";
    localStorage.setItem(name, value);
  } catch {
    // Then it is not kept.
  }
  return "";
}

async function who() {
  try {
    const { value } = await ask("version");
    at("version").textContent = `Torana ${value.Version}`;
    at("version").title = `Started ${moment(value.startDate)}`;
    at("instance").textContent = value.dashboardName ?? "";
  } catch {
    setTimeout(who, PERIOD);
  }
}

function start() {
  theme(remembered("torana-theme"));
  at("theme").value = document.documentElement.dataset.theme ?? "";
  at("theme").addEventListener("change", (e) => {
    theme(e.target.value);
    remembered("torana-theme", e.target.value);
  });
  at("skip").addEventListener("click", () => at("main").focus());
  const group = ([title, links]) =>
    h(
      "div",
      { class: "group" },
      title && h("h2", {}, title),
      h(
        "ul",
        {},
        links.map(([word, path]) =>
          h(
            "li",
            {},
            h(
              "a",
              { href: address(path), "aria-label": title && title !== "Gateway" ? `${title} ${word}` : undefined },
              word,
            ),
          ),
        ),
      ),
    );
  replace(at("nav"), NAV.map(group));
  addEventListener("hashchange", navigate);
  document.addEventListener("visibilitychange", () => {
    if (!shown.page) return;
    clearTimeout(shown.timer);
    if (!document.hidden) look(shown);
  });
  who();
  navigate();
}

start();
