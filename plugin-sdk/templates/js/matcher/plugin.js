// {{name}}: a matcher for a share of the clients, as in Share(`new-checkout`, `20`): 20 of 100, and a client always alike.
import { ConfigError } from './torana/common.js';
import { matcher } from './torana/matcher.js';

let experiment, percent;

export const matcherHooks = matcher({
  values: [':client-ip'],

  configure(args) {
    experiment = args[0];
    percent = Number(args[1]);
    if (args.length !== 2 || !(percent >= 0 && percent <= 100)) {
      throw new ConfigError('', 'a name and a number from 0 to 100 are needed', 'Share(`new-checkout`, `20`)');
    }
  },

  matches(request) {
    return hash(experiment + request.clientIp) % 100 < percent;
  },
});

// FNV-1a, with a last stir, as its low bits alone are alike for addresses that are.
function hash(word) {
  let h = 0x811c9dc5;
  for (let i = 0; i < word.length; i++) h = Math.imul(h ^ word.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
  return (h ^ (h >>> 16)) >>> 0;
}
