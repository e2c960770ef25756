// {{name}}: a balancer. Requests with the same value of a header go to the same server, the others to the least busy one.
import { balancer } from './torana/balancer.js';

let header;

export const balancerHooks = balancer({
  // Once for each instance. `config` was found to fit schema.json.
  configure(config) {
    header = config.header ?? 'x-user';
    return { values: [header] };
  },

  pick(request, servers) {
    const key = request.header(header);
    if (key === undefined) return best(servers, (server) => -server.inFlight / server.weight);
    // Each server draws a number for the key, and the highest wins: when a server goes, only its own keys move.
    return best(servers, (server) => server.weight / -Math.log((hash(key + server.url) + 1) / 0x100000001));
  },
});

function best(servers, score) {
  let [top, topScore] = [undefined, -Infinity];
  for (const server of servers.filter((s) => s.weight > 0)) {
    const s = score(server);
    if (s > topScore) [top, topScore] = [server, s];
  }
  return top;
}

function hash(word) {
  let h = 0x811c9dc5;
  for (let i = 0; i < word.length; i++) h = Math.imul(h ^ word.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
  return (h ^ (h >>> 16)) >>> 0;
}
