// Makes the hooks of a middleware from an object with `configure`, `onRequest` and `onResponse`.
import * as exchange from 'torana:plugin/exchange@0.1.0';
import { bytes, configured, hook, text } from './common.js';
import { headerLines } from './http.js';
import { listing, RequestValues, Values } from './values.js';

// Changes go out when the hook returns; reading gives what came in.
const changing = (Base) =>
  class extends Base {
    edits = [];

    setHeader(name, value) {
      this.edits.push({ tag: 'set-header', val: { name: String(name), value: String(value) } });
    }
    addHeader(name, value) {
      this.edits.push({ tag: 'add-header', val: { name: String(name), value: String(value) } });
    }
    removeHeader(name) {
      this.edits.push({ tag: 'remove-header', val: String(name) });
    }
    /** Text or bytes in place of the body. */
    setBody(body) {
      this.edits.push({ tag: 'body', val: bytes(body) });
    }
    /** The body as text, where it is buffered. */
    text() {
      return text(this.body ?? new Uint8Array());
    }
  };

export class Request extends changing(RequestValues) {
  /** Text that `onResponse` of the same exchange gets as `response.state`. */
  state = undefined;

  constructor(listed, values) {
    super(listed, values, exchange.requestValue);
  }

  /** All header lines, as `[name, value]`. */
  headers() {
    return exchange.requestHeaders().map((h) => [h.name, h.value]);
  }
  /** The bytes, with `requestBody: 'buffered'`. */
  get body() {
    return exchange.requestBody() ?? undefined;
  }

  setPath(path) {
    this.edits.push({ tag: 'path', val: String(path) });
  }
  setMethod(method) {
    this.edits.push({ tag: 'method', val: String(method) });
  }
  setHost(host) {
    this.edits.push({ tag: 'host', val: String(host) });
  }
  /** Who the client is, for the access log. */
  setUser(name) {
    exchange.setUser(String(name));
  }
}

export class Response extends changing(Values) {
  constructor(listed, values, state) {
    super(listed, values, exchange.responseValue);
    this.state = state ?? undefined;
  }

  get status() {
    return Number(this.value(':status'));
  }
  headers() {
    return exchange.responseHeaders().map((h) => [h.name, h.value]);
  }
  /** A fact of the request, as in `response.request(':path')`. */
  request(fact) {
    return this.value(fact, exchange.requestValue);
  }
  /** The bytes, with `responseBody: 'buffered'`. */
  get body() {
    return exchange.responseBody() ?? undefined;
  }

  setStatus(status) {
    this.edits.push({ tag: 'status', val: Number(status) });
  }
}

/** An answer: return it from `onRequest` to answer at once, from `onResponse` to put it in place of the response. */
export function respond(status, body = '', headers = { 'content-type': 'text/plain; charset=utf-8' }) {
  return new Answer(Number(status), headerLines(headers), bytes(body));
}

class Answer {
  constructor(status, headers, body) {
    Object.assign(this, { status, headers, body });
  }
}

function answered(answer) {
  if (answer === undefined || answer instanceof Answer) return answer;
  throw new TypeError('a hook returns `respond(…)` or nothing');
}

/**
 * The hooks. `plugin` may have:
 * - `configure(config)`: once for each instance. May return any of the four settings below, to make them depend on the configuration;
 * - `onRequest(request)`, `onResponse(response)`: called only if they are there;
 * - `onRequestBody(chunk, last)`, `onResponseBody(chunk, last)`: each piece of a body. Returns the bytes or text in its place,
 *   nothing to let it pass; what they throw breaks the message off;
 * - `requestValues`, `responseValues`: what the hooks read on every request. Other values can be read as well, but cost more;
 * - `requestBody`, `responseBody`: 'none' (default), 'buffered' or 'streamed' (default if there is a hook for its pieces).
 */
export function middleware(plugin) {
  let requestListed, responseListed;
  const piece = (call) => {
    try {
      const changed = call();
      return changed === undefined ? { tag: 'pass' } : { tag: 'replace', val: bytes(changed) };
    } catch (e) {
      return { tag: 'fail', val: e.message ?? String(e) };
    }
  };
  return {
    configure: (config) =>
      configured(config, (parsed) => {
        const set = { ...plugin, ...plugin.configure?.(parsed) };
        requestListed = listing(set.requestValues ?? []);
        responseListed = listing(set.responseValues ?? []);
        return {
          request: Boolean(plugin.onRequest),
          response: Boolean(plugin.onResponse),
          requestValues: [...requestListed.keys()],
          responseValues: [...responseListed.keys()],
          requestBody: set.requestBody ?? (plugin.onRequestBody ? 'streamed' : 'none'),
          responseBody: set.responseBody ?? (plugin.onResponseBody ? 'streamed' : 'none'),
        };
      }),
    onRequest: (values) =>
      hook(() => {
        const request = new Request(requestListed, values);
        const answer = answered(plugin.onRequest(request));
        if (answer) return { tag: 'respond', val: answer };
        return { tag: 'next', val: { edits: request.edits, state: request.state == null ? undefined : String(request.state) } };
      }),
    onResponse: (values, state) =>
      hook(() => {
        const response = new Response(responseListed, values, state);
        const answer = answered(plugin.onResponse(response));
        return answer ? { tag: 'replace', val: answer } : { tag: 'next', val: response.edits };
      }),
    onRequestBody: (chunk, last) => piece(() => plugin.onRequestBody(chunk, last)),
    onResponseBody: (chunk, last) => piece(() => plugin.onResponseBody(chunk, last)),
  };
}
