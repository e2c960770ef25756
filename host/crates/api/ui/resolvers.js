// Resolvers: what was ordered of a CA, and what could not be had.

import { askAll } from "./client.js";
import { h } from "./dom.js";
import { chip, code, facts, heading, nothing, problem, status, table, time } from "./parts.js";
import { count, plural } from "./words.js";

/** States of a certificate by how much they want to be seen, with the status that they look like. */
const STATES = {
  failed: ["disabled", "Failed"],
  expired: ["expired", "Expired"],
  ordering: ["loading", "Being ordered"],
  renewing: ["loading", "Being renewed"],
  waiting: ["loading", "Waits for its turn"],
  valid: ["enabled", "Valid"],
  covered: ["enabled", "Another one has its names"],
  unused: ["enabled", "Not used lately"],
};

const ORDER = Object.keys(STATES);
const AT_MOST = 200;

const COLUMNS = [
  { title: "State", cell: (c) => status(...(STATES[c.state] ?? [c.state])) },
  {
    title: "Names",
    class: "wide",
    cell: (c) =>
      h(
        "span",
        { class: "chips" },
        c.domains.map((d) => chip(d)),
      ),
  },
  { title: "Ends", cell: (c) => (c.notAfter ? time(c.notAfter) : "") },
  { title: "Next", cell: (c) => next(c) },
];

function next(c) {
  if (c.nextAttempt) return ["tried again ", time(c.nextAttempt)];
  return c.renewAt ? ["renewed ", time(c.renewAt)] : "";
}

function wrong(c) {
  const failures = c.failures > 1 ? `, ${plural(c.failures, "time")} in a row` : "";
  const severity = c.state === "failed" || c.state === "expired" ? "error" : "warning";
  return problem({ severity, message: c.error, hint: `${(c.domains ?? [c.domain]).join(", ")}${failures}` });
}

function resolver(r) {
  const sorted = r.certificates.toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  const failed = sorted.filter((c) => c.error);
  const { onDemand } = r;
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, r.resolver),
    facts(
      ["Obtained since the start", count(r.obtained)],
      ["Tries that failed", count(r.failed)],
      ["On demand", onDemand && `${count(onDemand.certificates)} of ${count(onDemand.maxCertificates)} at most`],
      ["Handshakes that wait", onDemand && count(onDemand.waiting)],
    ),
    failed.length ? h("ul", { class: "problems" }, failed.slice(0, AT_MOST).map(wrong)) : "",
    onDemand?.failed.length ? h("ul", { class: "problems" }, onDemand.failed.slice(0, AT_MOST).map(wrong)) : "",
    sorted.length
      ? table(`Certificates of ${r.resolver}`, COLUMNS, sorted.slice(0, AT_MOST))
      : nothing("Nothing is ordered of it."),
    sorted.length > AT_MOST ? h("p", { class: "quiet" }, `and ${count(sorted.length - AT_MOST)} more`) : "",
  );
}

export const resolvers = () => ({
  title: "Resolvers",
  load: (signal) => askAll("certificatesResolvers", signal),
  draw: (all) => [
    heading("Resolvers"),
    all.length ? all.map(resolver) : nothing("None is configured: add one under ", code("certificatesResolvers"), "."),
  ],
});
