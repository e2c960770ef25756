"""{{name}}: a provider. Asks a URL for a list of servers, and makes a router and a service of it."""

from torana import http
from torana.common import ConfigError, log
from torana.provider import Provider, hooks


class Plugin(Provider):
    interval = 5
    last = None

    # Once for each instance. `config` was found to fit schema.json.
    def configure(self, config):
        self.url = config["url"]
        self.rule = config.get("rule", "PathPrefix(`/`)")
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError("url", "an address with its scheme is needed", "http://" + self.url)

    # What it raises is shown in the API and the log; the last configuration stays.
    def poll(self):
        reply = http.request("GET", self.url, timeout=2)
        if reply.status != 200:
            raise RuntimeError(f"{self.url} answers {reply.status}")
        if reply.body == self.last:
            return None  # Nothing new.
        servers = [{"url": url} for url in reply.json()]
        self.last = reply.body
        log.info("servers: %d", len(servers))
        return {
            "http": {
                "routers": {"{{name}}": {"rule": self.rule, "service": "{{name}}"}},
                "services": {"{{name}}": {"loadBalancer": {"servers": servers}}},
            }
        }


ProviderHooks = hooks(Plugin)
