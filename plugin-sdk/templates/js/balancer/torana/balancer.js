// Makes the hooks of a balancer from an object with `configure` and `pick`.
import { inFlight } from 'torana:plugin/servers@0.1.0';
import { configured, hook } from './common.js';
import { listing, RequestValues } from './values.js';

/**
 * The hooks. `plugin` has:
 * - `configure(config)`: once for each instance. May return `{ values: […] }`;
 * - `values`: what `pick` may read, as in `['cookie']`;
 * - `pick(request, servers)`: returns one of `servers`, or nothing, which answers 503. The servers are those that are up, each
 *   `{ url, weight, inFlight }`; `inFlight` is asked of the gateway each time.
 */
export function balancer(plugin) {
  let listed;
  let servers = [];
  return {
    configure: (config) =>
      configured(config, (parsed) => {
        listed = listing({ ...plugin, ...plugin.configure?.(parsed) }.values ?? []);
        return [...listed.keys()];
      }),
    update(all) {
      const known = all.map(({ url, weight, up }, index) => ({
        ...{ url, weight, up, index },
        get inFlight() {
          return inFlight(index);
        },
      }));
      servers = known.filter((server) => server.up);
    },
    pick: (values) => hook(() => plugin.pick(new RequestValues(listed, values), servers)?.index),
  };
}
