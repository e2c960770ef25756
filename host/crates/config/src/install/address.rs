use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `entryPoints.<name>.address`: where to listen, `[host]:port[/tcp|/udp]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Empty for every address of the machine; an IPv6 address stands here without brackets.
    pub host: String,
    /// 0 for any free port.
    pub port: u16,
    pub protocol: Protocol,
    /// As written; empty when nothing was.
    text: String,
}

/// What an entry point speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
}

impl Address {
    /// Whether no address was written, which is an error.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!("`{text}` is no listening address, {why}: write `[host]:port`, optionally with `/tcp` or `/udp`, as in `:80`")
        };
        let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(bad(&format!("`{other}` is no protocol"))),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let inner = inner.strip_suffix(']').ok_or_else(|| bad("the closing `]` is missing"))?;
                let literal = inner.split('%').next().unwrap_or(inner);
                literal.parse::<IpAddr>().map_err(|_| bad("no IP address stands between the brackets"))?;
                inner
            }
            None if host.contains([':', ']']) => return Err(bad("an IPv6 address needs brackets")),
            None => host,
        };
        let port = match port {
            "http" => 80,
            "https" => 443,
            _ if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map_err(|_| bad("the port is not between 0 and 65535"))?,
            _ => return Err(bad("the port is no number")),
        };
        Ok(Address { host: host.to_owned(), port, protocol, text: text.to_owned() })
    }
}

/// As written.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text.is_empty() { Ok(Address::default()) } else { text.parse().map_err(D::Error::custom) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port, protocol) in [
            (":80", "", 80, Protocol::Tcp),
            ("127.0.0.1:0/TCP", "127.0.0.1", 0, Protocol::Tcp),
            ("[::1]:8443/udp", "::1", 8443, Protocol::Udp),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, Protocol::Tcp),
            ("localhost:https", "localhost", 443, Protocol::Tcp),
        ] {
            let a: Address = text.parse().unwrap();
            assert_eq!((a.host.as_str(), a.port, a.protocol, a.to_string().as_str()), (host, port, protocol, text));
        }
        for (text, why) in [
            ("80", "port is missing"),
            (":80/foo", "`foo` is no protocol"),
            (":80800", "between 0 and 65535"),
            (":x", "no number"),
            (":", "between 0"),
            ("::1:80", "needs brackets"),
            ("[::1:80", "closing"),
            ("[x]:80", "brackets"),
            (":+80", "no number"),
        ] {
            assert!(text.parse::<Address>().is_err_and(|e| e.contains(why)), "{text}: {:?}", text.parse::<Address>());
        }
    }
}
