"""What a hook is told of a request, by name; see `values` in wit/types.wit."""

from typing import Callable, Iterable


def listing(names: Iterable[str]) -> dict[str, int]:
    """The place of each name that `configure` lists, in lower case and each once."""
    return {name: at for at, name in enumerate(dict.fromkeys(n.lower() for n in names))}


def _unlisted(name: str) -> str | None:
    raise KeyError(f"`{name}` is not among the listed values")


class Values:
    def __init__(self, listed: dict[str, int], values: list[str | None], ask: Callable[[str], str | None] = _unlisted):
        self._listed, self._values, self._ask = listed, values, ask

    def value(self, name: str, ask: Callable[[str], str | None] | None = None) -> str | None:
        """A listed value is there already, another is asked for. None when the message has no such header."""
        at = self._listed.get(name)
        return (ask or self._ask)(name) if at is None else self._values[at]

    def header(self, name: str) -> str | None:
        """A header, its lines joined by `, `."""
        return self.value(name.lower())


class RequestValues(Values):
    """The facts of a request."""

    def _fact(self, name: str) -> str:
        return self.value(name) or ""

    method = property(lambda self: self._fact(":method"))
    scheme = property(lambda self: self._fact(":scheme"))
    host = property(lambda self: self._fact(":host"))
    path = property(lambda self: self._fact(":path"), doc="With the query.")
    client_ip = property(lambda self: self._fact(":client-ip"))
