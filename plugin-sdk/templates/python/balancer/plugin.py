"""{{name}}: a balancer. Requests with the same value of a header go to the same server, the others to the least busy one."""

from hashlib import blake2b
from math import log

from torana.balancer import Balancer, RequestValues, Server, hooks


class Plugin(Balancer):
    # Once for each instance. `config` was found to fit schema.json.
    def configure(self, config):
        self.header = config.get("header", "x-user")
        self.values = [self.header]

    def pick(self, request: RequestValues, servers: list[Server]):
        servers = [s for s in servers if s.weight > 0]
        key = request.header(self.header)
        if key is None:
            return min(servers, key=lambda s: s.in_flight / s.weight, default=None)
        # Each server draws a number for the key, and the highest wins: when a server goes, only its own keys move.
        return max(servers, key=lambda s: s.weight / -log(draw(key + s.url)), default=None)


def draw(word: str) -> float:
    """A number above 0 and below 1."""
    return (int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big") + 1) / (2**32 + 1)


BalancerHooks = hooks(Plugin)
