"""Makes the hooks of a provider from a class with `configure` and `poll`."""

import json
from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.provider_hooks import Delivery

from .common import configured

__all__ = ["Provider", "hooks"]


class Provider:
    interval: float = 10
    """Seconds until the next `poll`, at least 0.1."""

    def configure(self, config: Any) -> None:
        """Once for each instance. May raise `ConfigError`."""

    def poll(self) -> dict[str, Any] | None:
        """The whole routing configuration with the keys of a dynamic file; None when it is still the last one. What it raises
        is shown in the API, and the last configuration stays."""
        raise NotImplementedError


def hooks(plugin_class: type[Provider]) -> type[exports.ProviderHooks]:
    """The class that componentize-py looks for: `ProviderHooks = hooks(Plugin)`."""
    # componentize-py makes a new `Hooks` for each call: what lasts is here.
    plugin: Provider

    class Hooks(exports.ProviderHooks):
        def configure(self, config: str) -> None:
            nonlocal plugin
            plugin = plugin_class()
            configured(config, plugin.configure)

        def poll(self) -> Delivery:
            try:
                document = plugin.poll()
            except Exception as e:
                raise Err(f"{type(e).__name__}: {e}") from None
            return Delivery(None if document is None else json.dumps(document), round(plugin.interval * 1000))

    return Hooks
