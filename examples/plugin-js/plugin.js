// site-guard: a middleware in front of a site. A maintenance page, a list of user agents that get no answer, and the headers that
// browsers obey.
import { metrics } from './torana/common.js';
import { middleware, respond } from './torana/middleware.js';

const SECURITY = {
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'strict-origin-when-cross-origin',
};

let denied, maintenance, headers, removed;

export const middlewareHooks = middleware({
  requestValues: [':path', 'user-agent'],

  configure(config) {
    denied = (config.denyAgents ?? []).map((word) => word.toLowerCase());
    maintenance = config.maintenance;
    // `null` in the configuration takes one of the defaults away.
    headers = Object.entries({ ...SECURITY, ...config.headers }).filter(([, value]) => value !== null);
    removed = config.removeHeaders ?? ['server', 'x-powered-by'];
  },

  onRequest(request) {
    const agent = (request.header('user-agent') ?? '').toLowerCase();
    if (denied.some((word) => agent.includes(word))) {
      metrics.add('denied_agents');
      return respond(403, 'not for robots\n', plain());
    }
    if (maintenance && !(maintenance.except ?? []).some((prefix) => request.path.startsWith(prefix))) {
      const { message = 'We will be back soon.', retryAfter = 300 } = maintenance;
      return respond(503, `${message}\n`, { ...plain(), 'retry-after': retryAfter, 'cache-control': 'no-store' });
    }
  },

  onResponse(response) {
    for (const name of removed) response.removeHeader(name);
    for (const [name, value] of headers) response.setHeader(name, value);
  },
});

// An answer made here does not pass `onResponse`: it has the same headers, then.
const plain = () => ({ 'content-type': 'text/plain; charset=utf-8', ...Object.fromEntries(headers) });
