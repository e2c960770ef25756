// Lists of objects: the API searches, filters, sorts and cuts them.

import { ask } from "./api.js";
import { h, replace } from "./dom.js";
import { address, chip, code, heading, linked, named, nothing, status, table, time } from "./parts.js";
import { DATE, PROTOCOL, TITLE, count, parted, plural, qualified, type } from "./words.js";

const PER_PAGE = 50;

const chips = (names) =>
  h(
    "span",
    { class: "chips" },
    (names ?? []).map((n) => chip(n)),
  );

const servers = (s) => {
  const of = s.loadBalancer?.servers;
  if (!of) return "";
  const down = Object.values(s.serverStatus ?? {}).filter((up) => up === "DOWN").length;
  return down
    ? status(down >= of.length ? "DOWN" : "warning", `${count(of.length - down)} of ${count(of.length)} up`)
    : count(of.length);
};

/** Columns: by what the API sorts, title, cell. */
const COLUMNS = {
  status: ["status", "Status", (o) => status(o.status)],
  name: (protocol, kind) => ["name", "Name", (o) => linked(protocol, kind, o.name, o.provider), "wide"],
  rule: [
    "rule",
    "Rule",
    (o) =>
      o.rule ? code(o.rule) : o.parentRefs ? h("span", { class: "quiet" }, "behind ", o.parentRefs.join(", ")) : "",
    "rule",
  ],
  entryPoints: ["entryPoints", "Entry points", (o) => chips(o.using ?? o.entryPoints)],
  service: (protocol) => [
    "service",
    "Service",
    (o) => (o.service ? linked(protocol, "services", qualified(o.service, o.provider), o.provider) : ""),
    "wide",
  ],
  tls: [undefined, "TLS", (o) => (o.tls ? chip("TLS") : "")],
  provider: ["provider", "Provider", (o) => o.provider ?? ""],
  priority: [
    "priority",
    "Priority",
    (o) => h("span", { title: o.priorityStr }, priority(o.priorityStr ?? String(o.priority ?? ""))),
    "number",
  ],
  type: ["type", "Type", (o) => type(o.type)],
  servers: ["servers", "Servers", servers],
  users: [
    undefined,
    "Used by",
    (o) => (o.usedBy ? plural(new Set(o.usedBy).size, "router") : h("span", { class: "quiet" }, "nobody")),
  ],
  common: [
    "name",
    "Name",
    (c) =>
      h(
        "a",
        { href: address(["certificates", c.name]) },
        h("span", { class: "name" }, c.commonName || c.sans[0] || "without a name"),
      ),
    "wide",
  ],
  sans: [
    undefined,
    "Also for",
    (c) =>
      chips(
        c.sans
          .filter((n) => n !== c.commonName)
          .slice(0, 4)
          .concat(c.sans.length > 5 ? ["…"] : []),
      ),
  ],
  issuer: ["issuer", "Issuer", (c) => c.issuerOrg || c.issuerCN || ""],
  dates: ["status", "Status", (c) => status(c.status, DATE[c.status])],
  until: ["validUntil", "Ends", (c) => time(c.notAfter)],
};

/** Those of the gateway itself are as great as numbers get. */
const priority = (text) => (text.length > 15 ? `${text[0] === "-" ? "lowest" : "highest"}` : text);

const LISTS = {
  routers: {
    http: ["status", "name", "rule", "entryPoints", "tls", "service", "provider", "priority"],
    udp: ["status", "name", "entryPoints", "service", "provider"],
  },
  services: { http: ["status", "name", "type", "servers", "users", "provider"] },
  middlewares: { http: ["status", "name", "type", "users", "provider"], tcp: ["status", "name", "type", "provider"] },
};

const STATES = [
  ["", "All"],
  ["enabled", "OK"],
  ["warning", "Warnings"],
  ["disabled", "Errors"],
];
const DATES = [
  ["", "All"],
  ["enabled", "OK"],
  ["warning", "End soon"],
  ["expired", "Expired"],
];

export const list = (protocol, kind, parameters) =>
  paged({
    title: `${PROTOCOL[protocol]} ${TITLE[kind].toLowerCase()}`,
    path: [protocol, kind],
    of: (all) => all[protocol][kind],
    what: TITLE[kind].slice(0, -1).toLowerCase(),
    names: LISTS[kind][protocol] ?? LISTS[kind].http,
    column: (name) => (typeof COLUMNS[name] === "function" ? COLUMNS[name](protocol, kind) : COLUMNS[name]),
    states: STATES,
    search: kind === "routers" && protocol !== "udp" ? "Name or rule" : "Name",
    parameters,
  });

export const certificates = (parameters) =>
  paged({
    title: "Certificates",
    path: ["certificates"],
    of: (all) => all.certificates,
    what: "certificate",
    names: ["dates", "common", "sans", "issuer", "until"],
    column: (name) => COLUMNS[name],
    states: DATES,
    search: "Name or issuer",
    parameters,
  });

function paged({ title, path, of, what, names, column, states, search, parameters }) {
  // Changed where another part of the same list is asked for.
  let wanted = parameters;
  const here = (changes) => address(path, { ...wanted, ...changes });
  const go = (changes) => location.assign(here({ page: 1, ...changes }));
  const user = () => wanted.serviceName ?? wanted.middlewareName;
  let timer;
  const field = h("input", {
    type: "search",
    id: "search",
    placeholder: search,
    autocomplete: "off",
    spellcheck: "false",
    value: wanted.search ?? "",
    oninput: typed,
    "data-key": "search",
  });
  const filter = h("div", { class: "filter", role: "group", "aria-label": "Status" });

  function typed() {
    clearTimeout(timer);
    // Each letter is no page of its own in the browser's history; who has left is not called back.
    timer = setTimeout(() => field.isConnected && location.replace(here({ page: 1, search: field.value })), 250);
  }

  function tools(section) {
    // The overview counts all of them.
    const n = user()
      ? {}
      : {
          "": section?.total,
          enabled: section && section.total - section.warnings - section.errors,
          warning: section?.warnings,
          [states.at(-1)[0]]: section?.errors,
        };
    const button = ([state, word]) =>
      h(
        "button",
        {
          type: "button",
          "data-key": `state ${state}`,
          "aria-pressed": String((wanted.status ?? "") === state),
          onclick: () => go({ status: state }),
        },
        word,
        n[state] === undefined ? "" : h("span", { class: "count" }, count(n[state])),
      );
    const off =
      user() &&
      h(
        "a",
        {
          class: "button",
          href: here({ page: 1, serviceName: undefined, middlewareName: undefined }),
          "aria-label": `Not only with ${user()}`,
        },
        "with ",
        named(user()),
        " ✕",
      );
    replace(filter, states.map(button), off);
  }

  function head([by, word, , look]) {
    const sorted = (wanted.sortBy ?? "name") === by;
    const down = wanted.direction === "desc";
    const direction = sorted ? (down ? "descending" : "ascending") : undefined;
    const sort = () => go({ sortBy: by === "name" ? undefined : by, direction: sorted && !down ? "desc" : undefined });
    return h(
      "th",
      { scope: "col", class: look, "aria-sort": direction },
      by
        ? h(
            "button",
            { type: "button", "data-key": `sort ${by}`, onclick: sort },
            word,
            h("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (down ? " ↓" : " ↑") : ""),
          )
        : word,
    );
  }

  function pages(next, section) {
    const page = Number(wanted.page ?? 1);
    // The API does not say how many are found; without a search the overview does.
    const all =
      !wanted.search && !user() && section && { "": section.total, warning: section.warnings }[wanted.status ?? ""];
    const last = all ? Math.max(1, Math.ceil(all / PER_PAGE)) : undefined;
    if (page === 1 && next === 1) return "";
    const link = (word, to, on) =>
      on
        ? h("a", { href: here({ page: to }), class: "button", "data-key": word }, word)
        : h("span", { class: "button off", "aria-hidden": "true" }, word);
    return h(
      "nav",
      { class: "pages", "aria-label": "Pages of the list" },
      link("Previous", page - 1, page > 1),
      h("span", {}, `Page ${count(page)}${last ? ` of ${count(last)}` : ""}`),
      link("Next", page + 1, next > 1),
    );
  }

  return {
    title,
    frame: (body) => [
      heading(title),
      h(
        "div",
        { class: "tools" },
        h("label", { class: "search" }, h("span", { class: "unseen" }, "Search"), field),
        filter,
      ),
      body,
    ],
    keep(other) {
      wanted = other.wanted;
      if (document.activeElement !== field) field.value = wanted.search ?? "";
    },
    get wanted() {
      return wanted;
    },
    async load(signal) {
      const asked = { ...wanted, per_page: PER_PAGE };
      const page = ask(path.join("/"), signal, asked).catch((error) => {
        // The list has become shorter than this page is far.
        if (error.status === 400 && wanted.page > 1) return { value: [], next: 1 };
        throw error;
      });
      const [found, overview] = await Promise.all([page, ask("overview", signal)]);
      return { rows: found.value, next: found.next, section: of(overview.value), wanted };
    },
    draw({ rows, next, section }) {
      tools(section);
      if (!rows.length) {
        if (wanted.page > 1)
          return nothing("The list ends before this page. ", h("a", { href: here({ page: 1 }) }, "To its first page"));
        const all = h("a", { href: address(path) }, "Show all");
        return wanted.search || wanted.status || user()
          ? nothing(`No ${what} fits. `, all)
          : nothing(`There is no ${what}.`);
      }
      const columns = names.map(column).map((c) => ({ title: c[1], class: c[3], cell: c[2], head: head(c) }));
      return [table(title, columns, rows), pages(next, section)];
    },
  };
}
