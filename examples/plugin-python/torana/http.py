"""Requests to other servers (`permissions.http`)."""

import json
from typing import Any, Iterable, Mapping

from componentize_py_types import Err
from wit_world.imports import outgoing_http, types

from .common import to_bytes

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class HttpError(Exception):
    """`reason` is `denied`, `timeout`, `too-large` or `failed`."""

    def __init__(self, error: Any):
        self.reason = {
            outgoing_http.HttpError_Denied: "denied",
            outgoing_http.HttpError_Timeout: "timeout",
            outgoing_http.HttpError_TooLarge: "too-large",
        }.get(type(error), "failed")
        super().__init__(": ".join(filter(None, (self.reason, getattr(error, "value", "")))))


class Reply:
    def __init__(self, answer: types.Answer):
        self.status, self.body, self.headers = answer.status, answer.body, [(h.name, h.value) for h in answer.headers]

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n == name.lower()), None)

    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, url: str, headers: Headers = (), body: bytes | str = b"", timeout: float | None = None) -> Reply:
    """Sends a request and waits for the answer; `timeout` in seconds. Raises `HttpError`."""
    ms = None if timeout is None else round(timeout * 1000)
    try:
        return Reply(outgoing_http.send(outgoing_http.Request(method, url, header_lines(headers), to_bytes(body), ms)))
    except Err as e:
        raise HttpError(e.value) from None


def header_lines(headers: Headers) -> list[types.Header]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [types.Header(name, str(value)) for name, value in pairs]
