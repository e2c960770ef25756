// Requests to other servers (`permissions.http`).
import { send } from 'torana:plugin/outgoing-http@0.1.0';
import { bytes, text, told } from './common.js';

/**
 * Sends a request and waits for the answer: `fetch('http://auth:8080/', { method: 'POST', headers: {}, body: '', timeout: 500 })`.
 * Not the fetch of browsers: it needs no `await`. Throws an Error with `code` 'denied', 'timeout', 'too-large' or 'failed'.
 */
export function fetch(url, { method = 'GET', headers = {}, body = '', timeout = undefined } = {}) {
  const request = { method, url: String(url), headers: headerLines(headers), body: bytes(body), timeoutMs: timeout };
  const answer = told(() => send(request));
  return {
    status: answer.status,
    header: (name) => answer.headers.find((h) => h.name === name.toLowerCase())?.value,
    body: answer.body,
    text: () => text(answer.body),
    json: () => JSON.parse(text(answer.body)),
  };
}

/** `{ name: value }` or `[[name, value], …]` as the contract has it. */
export function headerLines(headers) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  return pairs.map(([name, value]) => ({ name: String(name), value: String(value) }));
}
