"""What plugins of every kind have: the log, the time, values that all instances share, figures, secrets."""

import json
import logging
import random
import sys
import time
import traceback
from typing import Any, Callable, TypeVar

from componentize_py_types import Err
from wit_world.imports import clock, kv as _kv, log as _log, metrics, secrets, types
from wit_world.imports.config import name as plugin_name

__all__ = ["ConfigError", "KvError", "kv", "log", "metrics", "now", "plugin_name", "secrets"]

T = TypeVar("T")


class ConfigError(Exception):
    """Refuses the configuration: raise it in `configure`. `key` as in `users[1].name`, `hint`: what to write instead."""

    def __init__(self, key: str, message: str, hint: str = ""):
        super().__init__(message)
        self.key, self.message, self.hint = key, message, hint


def now() -> float:
    """Seconds since 1970."""
    return clock.now() / 1e9


# The gateway's clock, which tests may turn; and there is no other where the component is built without WASI.
time.time, time.time_ns = now, clock.now
time.monotonic, time.monotonic_ns = (lambda: clock.monotonic() / 1e9), clock.monotonic

_LEVELS = ((logging.ERROR, _log.Level.ERROR), (logging.WARNING, _log.Level.WARN), (logging.INFO, _log.Level.INFO), (logging.DEBUG, _log.Level.DEBUG))


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = next((to for least, to in _LEVELS if record.levelno >= least), _log.Level.TRACE)
        if _log.enabled(level):
            _log.write(level, self.format(record))


log = logging.getLogger("plugin")
"""The gateway's log. All of Python's `logging` goes there."""
logging.basicConfig(handlers=[_Handler()], level=logging.NOTSET, format="%(message)s", force=True)


class _Lines:
    """What is printed goes to the log, line by line; so does the trace of what a hook raises."""

    def __init__(self, level: _log.Level):
        self.level, self.rest = level, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            _log.write(self.level, line)
        return len(text)

    def flush(self) -> None:
        pass


class KvError(Exception):
    """`reason` is `denied`, `too-large` or `unavailable`."""

    def __init__(self, error: Any):
        self.reason = {_kv.KvError_Denied: "denied", _kv.KvError_TooLarge: "too-large"}.get(type(error), "unavailable")
        super().__init__(": ".join(filter(None, (self.reason, getattr(error, "value", "")))))


class kv:
    """Values outside the instance, by namespace (`permissions.kv`). `ttl` is in seconds. Each raises `KvError`."""

    @staticmethod
    def get(namespace: str, key: str) -> bytes | None:
        return _told(lambda: _kv.get(namespace, key))

    @staticmethod
    def set(namespace: str, key: str, value: bytes | str, ttl: float | None = None) -> None:
        _told(lambda: _kv.set(namespace, key, to_bytes(value), _ms(ttl)))

    @staticmethod
    def delete(namespace: str, key: str) -> None:
        _told(lambda: _kv.delete(namespace, key))

    @staticmethod
    def increment(namespace: str, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Adds, and gives the sum: one step, also between workers."""
        return _told(lambda: _kv.increment(namespace, key, by, _ms(ttl)))


def _told(call: Callable[[], T]) -> T:
    try:
        return call()
    except Err as e:
        raise KvError(e.value) from None


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def to_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def configured(config: str, configure: Callable[[Any], T]) -> T:
    """`configure` of a kind: hands over the parsed configuration, and turns what is raised into the answer of the contract."""
    # Here and not above: what is done above is done once, when the component is built, and is the same in each instance.
    random.seed(clock.now())
    sys.stdout, sys.stderr = _Lines(_log.Level.INFO), _Lines(_log.Level.ERROR)
    try:
        return configure(json.loads(config))
    except ConfigError as e:
        raise Err(types.ConfigError(e.key, e.message, e.hint)) from None
    except Exception as e:
        _log.write(_log.Level.ERROR, traceback.format_exc())
        raise Err(types.ConfigError("", f"{type(e).__name__}: {e}", "")) from None
