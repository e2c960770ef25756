// What a hook is told of a request, by name; see `values` in wit/types.wit.

/** The place of each name that `configure` lists, in lower case and each once. */
export const listing = (names) => new Map([...new Set(names.map((name) => name.toLowerCase()))].map((name, at) => [name, at]));

export class Values {
  #listed;
  #values;
  #ask;

  constructor(listed, values, ask = unlisted) {
    this.#listed = listed;
    this.#values = values;
    this.#ask = ask;
  }

  /** A listed value is there already, another is asked for. Undefined when the message has no such header. */
  value(name, ask = this.#ask) {
    const at = this.#listed.get(name);
    return (at === undefined ? ask(name) : this.#values[at]) ?? undefined;
  }

  /** A header, its lines joined by `, `. */
  header(name) {
    return this.value(name.toLowerCase());
  }
}

/** The facts of a request. */
export class RequestValues extends Values {
  get method() {
    return this.value(':method');
  }
  get scheme() {
    return this.value(':scheme');
  }
  get host() {
    return this.value(':host');
  }
  /** With the query. */
  get path() {
    return this.value(':path');
  }
  get clientIp() {
    return this.value(':client-ip');
  }
}

function unlisted(name) {
  throw new Error(`\`${name}\` is not among the listed values`);
}
