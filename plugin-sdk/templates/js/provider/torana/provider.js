// Makes the hooks of a provider from an object with `configure` and `poll`.
import { configured, log } from './common.js';

/**
 * The hooks. `plugin` has:
 * - `configure(config)`: once for each instance; may be missing;
 * - `poll()`: returns the whole routing configuration as an object with the keys of a dynamic file, or nothing when it is still the
 *   last one. What it throws is shown in the API, and the last configuration stays;
 * - `interval`: milliseconds until the next `poll`, at least 100. Default: 10 000.
 */
export function provider(plugin) {
  return {
    configure: (config) => configured(config, (parsed) => void plugin.configure?.(parsed)),
    poll() {
      try {
        const document = plugin.poll();
        return { document: document && JSON.stringify(document), againMs: Math.round(plugin.interval ?? 10_000) };
      } catch (e) {
        log.debug(e);
        throw e.message ?? String(e);
      }
    },
  };
}
