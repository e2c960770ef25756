"""{{name}}: a matcher for a share of the clients, as in Share(`new-checkout`, `20`): 20 of 100, and a client always alike."""

from zlib import crc32

from torana.common import ConfigError
from torana.matcher import Matcher, RequestValues, hooks


class Plugin(Matcher):
    values = [":client-ip"]

    def configure(self, args, config):
        try:
            self.experiment, percent = args
            self.percent = float(percent)
            good = 0 <= self.percent <= 100
        except ValueError:
            good = False
        if not good:
            raise ConfigError("", "a name and a number from 0 to 100 are needed", "Share(`new-checkout`, `20`)")

    def matches(self, request: RequestValues):
        return crc32((self.experiment + request.client_ip).encode()) % 100 < self.percent


MatcherHooks = hooks(Plugin)
