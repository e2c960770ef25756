// {{name}}: a provider. Asks a URL for a list of servers, and makes a router and a service of it.
import { ConfigError, log } from './torana/common.js';
import { fetch } from './torana/http.js';
import { provider } from './torana/provider.js';

let settings, last;

export const providerHooks = provider({
  interval: 5_000,

  // Once for each instance. `config` was found to fit schema.json.
  configure(config) {
    if (!/^https?:/.test(config.url)) {
      throw new ConfigError('url', 'an address with its scheme is needed', `http://${config.url}`);
    }
    settings = { rule: 'PathPrefix(`/`)', ...config };
  },

  // What it throws is shown in the API and the log; the last configuration stays.
  poll() {
    const reply = fetch(settings.url, { timeout: 2_000 });
    if (reply.status !== 200) throw new Error(`${settings.url} answers ${reply.status}`);
    const list = reply.text();
    if (list === last) return; // Nothing new.
    const servers = JSON.parse(list).map((url) => ({ url }));
    last = list;
    log.info('servers:', servers.length);
    return {
      http: {
        routers: { '{{name}}': { rule: settings.rule, service: '{{name}}' } },
        services: { '{{name}}': { loadBalancer: { servers } } },
      },
    };
  },
});
