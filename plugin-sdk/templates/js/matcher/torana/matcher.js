// Makes the hooks of a matcher from an object with `configure` and `matches`.
import { configured, hook } from './common.js';
import { listing, RequestValues } from './values.js';

/**
 * The hooks. `plugin` has:
 * - `values`: what `matches` may read, as in `[':path', 'cookie']`;
 * - `configure(args, config)`: the words in the brackets of the rule, and `plugins.<name>.config`; may be missing;
 * - `matches(request)`: whether the rule holds.
 */
export function matcher(plugin) {
  let listed;
  return {
    configure: (args, config) =>
      configured(config, (parsed) => {
        plugin.configure?.(args, parsed);
        listed = listing(plugin.values ?? []);
        return [...listed.keys()];
      }),
    matches: (values) => hook(() => Boolean(plugin.matches(new RequestValues(listed, values)))),
  };
}
