"""{{name}}: a middleware. Answers 403 to a path, and stamps what passes."""

from torana.common import ConfigError, log
from torana.middleware import Middleware, Request, Response, hooks, respond


class Plugin(Middleware):
    # What the methods below read of every exchange.
    request_values = [":path"]
    response_values = [":status"]

    # Once for each instance. `config` was found to fit schema.json.
    def configure(self, config):
        self.blocked = config.get("blocked")
        self.header = config.get("header", "x-{{name}}")
        if self.blocked and not self.blocked.startswith("/"):
            raise ConfigError("blocked", "a path begins with a slash", "/" + self.blocked)

    # To answer here, return `respond(…)`; to let the request go on, return nothing.
    def on_request(self, request: Request):
        if self.blocked and request.path.startswith(self.blocked):
            log.info("blocked %s", request.path)
            return respond(403, "blocked\n")
        request.set_header(self.header, "request")

    def on_response(self, response: Response):
        response.set_header(self.header, response.status)


MiddlewareHooks = hooks(Plugin)
