// Words and numbers for people.

const number = new Intl.NumberFormat("en");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const date = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

export const count = (n) => number.format(n);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const UNITS = [
  ["year", 365 * 24 * 3600],
  ["month", 30 * 24 * 3600],
  ["day", 24 * 3600],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** `3 minutes ago`, `in 12 days`. */
export function ago(text) {
  const seconds = (Date.parse(text) - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return text;
  const distance = Math.abs(seconds);
  // Two of a unit before it is used: `45 days`, not `1 month`.
  const [unit, size] = UNITS.find(([u, s]) => distance >= (u === "month" || u === "year" ? 2 * s : s)) ?? UNITS.at(-1);
  return relative.format(Math.trunc(seconds / size), unit);
}

export const moment = (text) => (Number.isNaN(Date.parse(text)) ? text : date.format(new Date(text)));

export function bytes(n) {
  const [unit, size] = [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 1024],
  ].find(([, s]) => n >= s) ?? ["B", 1];
  return `${number.format(Math.round((n / size) * 10) / 10)} ${unit}`;
}

/** What a status is called, by the kind of thing. */
export const STATUS = {
  enabled: "OK",
  warning: "Warning",
  disabled: "Error",
  expired: "Expired",
  loading: "Loading",
  UP: "Up",
  DOWN: "Down",
};

/** What the status of a certificate is called. */
export const DATE = { enabled: "Valid", warning: "Ends soon", expired: "Expired" };

export const PROTOCOL = { http: "HTTP", tcp: "TCP", udp: "UDP" };

export const TITLE = {
  routers: "Routers",
  services: "Services",
  middlewares: "Middlewares",
};

/** `loadbalancer` is how the API calls it. */
const TYPES = {
  loadbalancer: "Load balancer",
  weighted: "Weighted",
  mirroring: "Mirroring",
  failover: "Failover",
  highestrandomweight: "Highest random weight",
};

export const type = (name) => TYPES[name] ?? name ?? "";

/** `name@provider` apart. */
export function parted(name) {
  const at = name.lastIndexOf("@");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

/** A name of an object as it is known everywhere: with the provider of who names it. */
export const qualified = (name, provider) => (name.includes("@") ? name : `${name}@${provider}`);
