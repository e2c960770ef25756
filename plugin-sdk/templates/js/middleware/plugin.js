// {{name}}: a middleware. Answers 403 to a path, and stamps what passes.
import { ConfigError, log } from './torana/common.js';
import { middleware, respond } from './torana/middleware.js';

let settings;

export const middlewareHooks = middleware({
  // What the hooks below read of every exchange.
  requestValues: [':path'],
  responseValues: [':status'],

  // Once for each instance. `config` was found to fit schema.json.
  configure(config) {
    if (config.blocked && !config.blocked.startsWith('/')) {
      throw new ConfigError('blocked', 'a path begins with a slash', `/${config.blocked}`);
    }
    settings = { header: 'x-{{name}}', ...config };
  },

  // To answer here, return `respond(…)`; to let the request go on, return nothing.
  onRequest(request) {
    if (settings.blocked && request.path.startsWith(settings.blocked)) {
      log.info('blocked', request.path);
      return respond(403, 'blocked\n');
    }
    request.setHeader(settings.header, 'request');
  },

  onResponse(response) {
    response.setHeader(settings.header, response.status);
  },
});
