// The API: where it is, and how it is asked.

import { parted } from "./words.js";

/** What the API, or what is before it, answered in place of a document. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A proxy in front may have taken a prefix off; then the API is beside this page, below the same prefix. */
function candidates() {
  const base = document.documentElement.dataset.base;
  const here = location.pathname;
  const all = [`${base}/api/`];
  if (here.endsWith(`${base}/dashboard/`)) all.unshift(`${here.slice(0, -"/dashboard/".length)}/api/`);
  return [...new Set(all)];
}

let found;

async function fetched(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The gateway cannot be reached.");
  }
  const text = await response.text();
  if (!response.ok) {
    let message = text.trim();
    try {
      message = JSON.parse(text).message ?? message;
    } catch {
      // No document, then: a text or a page of what is in front.
    }
    if (/^\s*</.test(message)) message = "";
    throw new Refused(response.status, message || response.statusText);
  }
  try {
    // What is shown goes by the text, so that what has not changed is not drawn again.
    return { text, value: JSON.parse(text), next: Number(response.headers.get("x-next-page") ?? 1) };
  } catch {
    throw new Refused(response.status, `${url} is no JSON: is this the API of Torana?`);
  }
}

/** Asks for a document: `{ value, text, next }`, `next` being the number of the next page or 1. */
export async function ask(path, signal, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, v]) => v !== undefined && v !== ""));
  const tail = query.size ? `${path}?${query}` : path;
  if (found !== undefined) return fetched(found + tail, signal);
  let refused;
  for (const root of candidates()) {
    try {
      await fetched(`${root}version`, signal);
      found = root;
      return await fetched(root + tail, signal);
    } catch (error) {
      if (found !== undefined || error.status !== 404) throw error;
      refused = error;
    }
  }
  throw new Refused(0, `There is no API at ${candidates().join(" or ")}. ${refused.message}`);
}

/** A document, or `undefined` where there is none of that name. */
export async function askMaybe(path, signal) {
  try {
    return (await ask(path, signal)).value;
  } catch (error) {
    if (error.status === 404) return undefined;
    throw error;
  }
}

/** All pages of a list. */
export async function askAll(path, signal) {
  const all = [];
  let page = 1;
  do {
    const { value, next } = await ask(path, signal, { page, per_page: 1000 });
    all.push(...value);
    page = next;
  } while (page > 1);
  return all;
}

/** Diagnostics about one object: `http`, `routers`, `a@file`. */
export async function wrongWith(protocol, kind, name, signal) {
  const key = `${protocol}.${kind}.${parted(name)[0]}`;
  const { value } = await ask("diagnostics", signal, { search: key, per_page: 100 });
  return value.filter((d) => d.key === key || d.key?.startsWith(`${key}.`));
}
