"""Makes the hooks of a middleware from a class with `configure`, `on_request` and `on_response`."""

from typing import Any, Callable

from wit_world import exports
from wit_world.exports.middleware_hooks import (
    ChunkAction,
    ChunkAction_Fail,
    ChunkAction_Pass,
    ChunkAction_Replace,
    Interest,
    Passed,
    RequestAction,
    RequestAction_Next,
    RequestAction_Respond,
    ResponseAction,
    ResponseAction_Next,
    ResponseAction_Replace,
)
from wit_world.imports import exchange, types
from wit_world.imports.types import BodyAccess

from .common import configured, to_bytes
from .http import Headers, header_lines
from .values import RequestValues, Values, listing

__all__ = ["BodyAccess", "Middleware", "Request", "Response", "hooks", "respond"]


class _Changes:
    """Changes go out when the hook returns; reading gives what came in."""

    edits: list[types.Edit]

    def set_header(self, name: str, value: object) -> None:
        self.edits.append(types.Edit_SetHeader(types.Header(name, str(value))))

    def add_header(self, name: str, value: object) -> None:
        self.edits.append(types.Edit_AddHeader(types.Header(name, str(value))))

    def remove_header(self, name: str) -> None:
        self.edits.append(types.Edit_RemoveHeader(name))

    def set_body(self, body: bytes | str) -> None:
        self.edits.append(types.Edit_Body(to_bytes(body)))


class Request(RequestValues, _Changes):
    state: str | None = None
    """Handed to `on_response` of the same exchange, as `response.state`."""

    def __init__(self, listed: dict[str, int], values: list[str | None]):
        super().__init__(listed, values, exchange.request_value)
        self.edits = []

    body = property(lambda self: exchange.request_body(), doc="With `request_body = BodyAccess.BUFFERED`.")

    def headers(self) -> list[tuple[str, str]]:
        """All header lines."""
        return [(h.name, h.value) for h in exchange.request_headers()]

    def set_path(self, path: str) -> None:
        self.edits.append(types.Edit_Path(path))

    def set_method(self, method: str) -> None:
        self.edits.append(types.Edit_Method(method))

    def set_host(self, host: str) -> None:
        self.edits.append(types.Edit_Host(host))

    def set_user(self, name: str) -> None:
        """Who the client is, for the access log."""
        exchange.set_user(name)


class Response(Values, _Changes):
    def __init__(self, listed: dict[str, int], values: list[str | None], state: str | None):
        super().__init__(listed, values, exchange.response_value)
        self.edits, self.state = [], state

    status = property(lambda self: int(self.value(":status") or 0))
    body = property(lambda self: exchange.response_body(), doc="With `response_body = BodyAccess.BUFFERED`.")

    def headers(self) -> list[tuple[str, str]]:
        return [(h.name, h.value) for h in exchange.response_headers()]

    def request(self, fact: str) -> str | None:
        """A fact of the request, as in `response.request(":path")`."""
        return self.value(fact, exchange.request_value)

    def set_status(self, status: int) -> None:
        self.edits.append(types.Edit_Status(status))


def respond(status: int, body: bytes | str = b"", headers: Headers = (("content-type", "text/plain; charset=utf-8"),)) -> types.Answer:
    """An answer: return it from `on_request` to answer at once, from `on_response` to put it in place of the response."""
    return types.Answer(status, header_lines(headers), to_bytes(body))


class Middleware:
    """Only the methods that a subclass has are called, and `configure` may set the fields by the configuration."""

    request_values: list[str] = []
    """What `on_request` reads of every request. Other values can be read as well, but cost more."""
    response_values: list[str] = []
    request_body: BodyAccess = BodyAccess.NONE
    response_body: BodyAccess = BodyAccess.NONE

    def configure(self, config: Any) -> None:
        """Once for each instance. May raise `ConfigError`."""

    def on_request(self, request: Request) -> types.Answer | None:
        """Returns an answer to send it at once, nothing to let the request go on."""

    def on_response(self, response: Response) -> types.Answer | None:
        """Returns an answer to put it in place of the response."""

    def on_request_body(self, chunk: bytes, last: bool) -> bytes | str | None:
        """A piece of a streamed body. Returns what takes its place, None to let it pass; what it raises breaks the message off."""

    def on_response_body(self, chunk: bytes, last: bool) -> bytes | str | None:
        """See `on_request_body`."""


def hooks(plugin_class: type[Middleware]) -> type[exports.MiddlewareHooks]:
    """The class that componentize-py looks for: `MiddlewareHooks = hooks(Plugin)`."""

    def has(method: str) -> bool:
        return getattr(plugin_class, method) is not getattr(Middleware, method)

    # componentize-py makes a new `Hooks` for each call: what lasts is here. What a hook raises goes to the log with its trace.
    plugin: Middleware
    request_listed: dict[str, int]
    response_listed: dict[str, int]

    class Hooks(exports.MiddlewareHooks):
        def configure(self, config: str) -> Interest:
            nonlocal plugin, request_listed, response_listed
            plugin = plugin_class()
            configured(config, plugin.configure)
            request_listed, response_listed = listing(plugin.request_values), listing(plugin.response_values)
            listed = list(request_listed), list(response_listed)
            return Interest(has("on_request"), has("on_response"), *listed, plugin.request_body, plugin.response_body)

        def on_request(self, values: list[str | None]) -> RequestAction:
            request = Request(request_listed, values)
            answer = plugin.on_request(request)
            return RequestAction_Next(Passed(request.edits, request.state)) if answer is None else RequestAction_Respond(answer)

        def on_response(self, values: list[str | None], state: str | None) -> ResponseAction:
            response = Response(response_listed, values, state)
            answer = plugin.on_response(response)
            return ResponseAction_Next(response.edits) if answer is None else ResponseAction_Replace(answer)

        def on_request_body(self, chunk: bytes, last: bool) -> ChunkAction:
            return _piece(plugin.on_request_body, chunk, last)

        def on_response_body(self, chunk: bytes, last: bool) -> ChunkAction:
            return _piece(plugin.on_response_body, chunk, last)

    return Hooks


def _piece(method: Callable[[bytes, bool], bytes | str | None], chunk: bytes, last: bool) -> ChunkAction:
    try:
        changed = method(chunk, last)
    except Exception as e:
        return ChunkAction_Fail(f"{type(e).__name__}: {e}")
    return ChunkAction_Pass() if changed is None else ChunkAction_Replace(to_bytes(changed))
