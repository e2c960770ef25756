"""Makes the hooks of a matcher from a class with `configure` and `matches`."""

from typing import Any

from wit_world import exports

from .common import configured
from .values import RequestValues, listing

__all__ = ["Matcher", "RequestValues", "hooks"]


class Matcher:
    values: list[str] = []
    """What `matches` may read, as in `[":path", "cookie"]`."""

    def configure(self, args: list[str], config: Any) -> None:
        """Once for each instance: the words in the brackets of the rule, and `plugins.<name>.config`. May raise `ConfigError`."""

    def matches(self, request: RequestValues) -> bool:
        """Whether the rule holds."""
        raise NotImplementedError


def hooks(plugin_class: type[Matcher]) -> type[exports.MatcherHooks]:
    """The class that componentize-py looks for: `MatcherHooks = hooks(Plugin)`."""
    # componentize-py makes a new `Hooks` for each call: what lasts is here. What `matches` raises goes to the log with its trace.
    plugin: Matcher
    listed: dict[str, int]

    class Hooks(exports.MatcherHooks):
        def configure(self, args: list[str], config: str) -> list[str]:
            nonlocal plugin, listed
            plugin = plugin_class()
            configured(config, lambda parsed: plugin.configure(args, parsed))
            listed = listing(plugin.values)
            return list(listed)

        def matches(self, values: list[str | None]) -> bool:
            return bool(plugin.matches(RequestValues(listed, values)))

    return Hooks
