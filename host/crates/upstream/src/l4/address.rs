use std::net::SocketAddr;
use std::str::FromStr;

/// `host:port`, as TCP and UDP servers are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or IP address, without brackets; empty for this machine.
    pub host: String,
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    /// After Go's `net.SplitHostPort`, whose refusals Traefik logs.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port: write `host:port`"))?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner
                .strip_suffix(']')
                .filter(|i| !i.contains(['[', ']']))
                .ok_or_else(|| format!("`{text}` has a bracket too many or too few"))?,
            None if host.contains(':') => {
                return Err(format!("`{text}` has too many colons: write `host:port`, and IPv6 addresses in brackets"));
            }
            None if host.contains(['[', ']']) => return Err(format!("`{text}` has a bracket too many or too few")),
            None => host,
        };
        let port = port.parse().map_err(|_| format!("the port of `{text}` is no number up to 65535"))?;
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl HostPort {
    /// The address, when no name has to be looked up for it.
    pub fn literal(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }

    /// What a resolver is asked for.
    pub(crate) fn name(&self) -> &str {
        if self.host.is_empty() { "localhost" } else { &self.host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in
            [("a.test:80", "a.test", 80), ("[::1]:5", "::1", 5), (":9", "", 9), ("127.0.0.1:65535", "127.0.0.1", 65535)]
        {
            assert_eq!(text.parse::<HostPort>().unwrap(), HostPort { host: host.into(), port }, "{text}");
        }
        for text in ["", "a", "http://a:80", "::1:5", "[::1:5", "a]:5", "a:65536", "a:", "a:x", "[::1]]:5"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }
}
