"""Makes the hooks of a balancer from a class with `configure` and `pick`."""

from dataclasses import dataclass
from typing import Any

from wit_world import exports
from wit_world.exports.balancer_hooks import Server as _Server
from wit_world.imports import servers as _servers

from .common import configured
from .values import RequestValues, listing

__all__ = ["Balancer", "RequestValues", "Server", "hooks"]


@dataclass
class Server:
    url: str
    weight: int
    index: int

    @property
    def in_flight(self) -> int:
        """Requests that it was given and that still run; asked of the gateway each time."""
        return _servers.in_flight(self.index)


class Balancer:
    values: list[str] = []
    """What `pick` may read, as in `["cookie"]`; `configure` may set it."""

    def configure(self, config: Any) -> None:
        """Once for each instance. May raise `ConfigError`."""

    def pick(self, request: RequestValues, servers: list[Server]) -> Server | None:
        """One of `servers`, which are those that are up; None answers 503."""
        raise NotImplementedError


def hooks(plugin_class: type[Balancer]) -> type[exports.BalancerHooks]:
    """The class that componentize-py looks for: `BalancerHooks = hooks(Plugin)`."""
    # componentize-py makes a new `Hooks` for each call: what lasts is here. What `pick` raises goes to the log with its trace.
    plugin: Balancer
    listed: dict[str, int]
    up: list[Server] = []

    class Hooks(exports.BalancerHooks):
        def configure(self, config: str) -> list[str]:
            nonlocal plugin, listed
            plugin = plugin_class()
            configured(config, plugin.configure)
            listed = listing(plugin.values)
            return list(listed)

        def update(self, all: list[_Server]) -> None:
            nonlocal up
            up = [Server(s.url, s.weight, at) for at, s in enumerate(all) if s.up]

        def pick(self, values: list[str | None]) -> int | None:
            server = plugin.pick(RequestValues(listed, values), up)
            return None if server is None else server.index

    return Hooks
