// What plugins of every kind have: the log, the time, values that all instances share, figures, secrets.
// A thin layer over the interfaces of wit/; change it as you like.
import { write, enabled } from 'torana:plugin/log@0.1.0';
import { name } from 'torana:plugin/config@0.1.0';
import { now as nanoseconds } from 'torana:plugin/clock@0.1.0';
import { get, set, delete as remove, increment } from 'torana:plugin/kv@0.1.0';
import { add, set as gauge } from 'torana:plugin/metrics@0.1.0';
import { get as secret } from 'torana:plugin/secrets@0.1.0';

/** Refuses the configuration: throw it in `configure`. `key` as in `users[1].name`, `hint`: what to write instead. */
export class ConfigError extends Error {
  constructor(key, message, hint = '') {
    super(message);
    this.key = key;
    this.hint = hint;
  }
}

/** Milliseconds since 1970. */
export const now = () => Number(nanoseconds()) / 1e6;

const line = (level) => (...parts) => {
  if (enabled(level)) write(level, parts.map(shown).join(' '));
};

function shown(part) {
  if (typeof part === 'string') return part;
  if (part instanceof Error) return `${part.name}: ${part.message}\n${part.stack ?? ''}`.trimEnd();
  return JSON.stringify(part) ?? String(part);
}

/** The gateway's log: `log.info('asked', { path })`. `console` is the same. */
export const log = { trace: line('trace'), debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };

/** Text as UTF-8; bytes as they are. */
export function bytes(text) {
  if (text instanceof Uint8Array) return text;
  if (text instanceof ArrayBuffer) return new Uint8Array(text);
  if (typeof text !== 'string') throw new TypeError(`text or bytes are needed, not ${shown(text)}`);
  const escaped = unescape(encodeURIComponent(text.toWellFormed?.() ?? text));
  return Uint8Array.from(escaped, (c) => c.charCodeAt(0));
}

/** UTF-8 as text; throws a URIError where it is none. */
export function text(bytes) {
  let escaped = '';
  for (let i = 0; i < bytes.length; i += 8192) escaped += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return decodeURIComponent(escape(escaped));
}

/** Values outside the instance, by namespace (`permissions.kv`). `ttl` is in milliseconds. Each throws an Error when it is not granted. */
export const kv = {
  get: (namespace, key) => told(() => get(namespace, String(key))) ?? undefined,
  set: (namespace, key, value, ttl) => told(() => set(namespace, String(key), bytes(value), ttl)),
  delete: (namespace, key) => told(() => remove(namespace, String(key))),
  /** Adds, and gives the sum: one step, also between workers. */
  increment: (namespace, key, by = 1, ttl = undefined) => Number(told(() => increment(namespace, String(key), by, ttl))),
};

/** Figures of the plugin's own, shown with the gateway's. */
export const metrics = { add: (name, by = 1) => add(name, by), set: (name, value) => gauge(name, value) };

/** A secret by its name (`permissions.secrets`); undefined when it is not granted. */
export const secrets = { get: (name) => secret(name) ?? undefined };

/** Under which name the plugin is used, as in `auth@file`. */
export const pluginName = name;

/** Calls an import; the errors of the gateway become ones that say what is wrong. */
export function told(call) {
  try {
    return call();
  } catch (e) {
    const { tag, val } = e?.payload ?? {};
    throw tag ? Object.assign(new Error(val ? `${tag}: ${val}` : tag), { code: tag }) : e;
  }
}

/** `configure` of a kind: hands over the parsed configuration, and turns what is thrown into the answer of the contract. */
export function configured(config, configure) {
  try {
    return configure(JSON.parse(config));
  } catch (e) {
    if (!(e instanceof ConfigError)) log.error('configure:', e);
    throw { key: e.key ?? '', message: e.message ?? String(e), hint: e.hint ?? '' };
  }
}

/** Runs a hook. What it throws goes to the log with its stack; the call then fails. */
export function hook(call) {
  try {
    return call();
  } catch (e) {
    log.error(e);
    throw e;
  }
}

// The engine is built without WASI. What would ask it, asks the gateway.
globalThis.console = { ...log, log: log.info };
const EngineDate = Date;
globalThis.Date = class Date extends EngineDate {
  constructor(...when) {
    super(...(when.length ? when : [now()]));
  }
  static now = () => Math.floor(now());
};
// Not for secrets. The engine's own would begin alike in each instance.
let seed;
Math.random = () => {
  seed ??= Number(BigInt(nanoseconds()) & 0xffffffffn);
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
