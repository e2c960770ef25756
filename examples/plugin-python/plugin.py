"""request-id: a middleware. Each request has an id, which the client gets back, and a copy of its path that may be logged: personal
data in the query is masked."""

import re
import uuid
from urllib.parse import parse_qsl, quote, urlencode

from torana.middleware import Middleware, Request, Response, hooks

# An id that came in is kept if it is harmless in a log.
GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
# 13 to 19 digits, perhaps in groups: a card number, unless its check digit is wrong.
CARD = re.compile(r"\d(?:[ -]?\d){12,18}")
MASK = "***"


class Plugin(Middleware):
    def configure(self, config):
        self.header = config.get("header", "x-request-id")
        self.safe_path = config.get("safePathHeader", "x-safe-path")
        self.masked = {name.lower() for name in config.get("mask", [])}
        self.request_values = [":path", self.header]

    def on_request(self, request: Request):
        request_id = request.header(self.header) or ""
        if not GOOD_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
            request.set_header(self.header, request_id)
        request.set_header(self.safe_path, self.mask(request.path))
        request.state = request_id

    def on_response(self, response: Response):
        response.set_header(self.header, response.state)

    def mask(self, path: str) -> str:
        path, mark, query = path.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        masked = [(name, MASK if name.lower() in self.masked or personal(value) else value) for name, value in pairs]
        return path + mark + urlencode(masked, safe="*/", quote_via=quote)


def personal(value: str) -> bool:
    return bool(MAIL.search(value)) or any(is_card(m.group()) for m in CARD.finditer(value))


def is_card(text: str) -> bool:
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


MiddlewareHooks = hooks(Plugin)
