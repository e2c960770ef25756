//! PROXY protocol, versions 1 and 2, as a receiver reads it: who the client of the proxy before us is
//! (haproxy.org, proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const V1: &[u8] = b"PROXY ";
/// A line of version 1 has at most this many bytes, its end included.
const V1_MAX: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// They may become a header.
    More,
    /// They are none.
    None,
    Addresses {
        /// Bytes of the header.
        length: usize,
        /// The client; `None` where the proxy speaks for itself or does not know.
        from: Option<SocketAddr>,
        /// What the client connected to.
        to: Option<SocketAddr>,
    },
    Malformed(&'static str),
}

/// Reads the header at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Header {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(V1) {
        return if bytes.len() < V1.len() { Header::More } else { version_1(bytes) };
    }
    if begins(V2) {
        return if bytes.len() < V2_HEAD { Header::More } else { version_2(bytes) };
    }
    Header::None
}

fn version_1(bytes: &[u8]) -> Header {
    let seen = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = seen.windows(2).position(|w| w == b"\r\n") else {
        return if bytes.len() >= V1_MAX { Header::Malformed("the line does not end") } else { Header::More };
    };
    let length = end + 2;
    let Ok(line) = std::str::from_utf8(&seen[V1.len()..end]) else { return Header::Malformed("not ASCII") };
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Header::Addresses { length, from: None, to: None };
    }
    let rest: Vec<&str> = words.collect();
    let [from, to, from_port, to_port] = rest[..] else { return Header::Malformed("not four fields") };
    let address = |ip: &str, port: &str| -> Option<SocketAddr> {
        let ip: IpAddr = ip.parse().ok()?;
        let plain = port.bytes().all(|b| b.is_ascii_digit());
        (plain && matches!((family, ip), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)))).then_some(())?;
        Some(SocketAddr::new(ip, port.parse().ok()?))
    };
    match (address(from, from_port), address(to, to_port)) {
        (Some(from), Some(to)) => Header::Addresses { length, from: Some(from), to: Some(to) },
        _ => Header::Malformed("not an address"),
    }
}

fn version_2(bytes: &[u8]) -> Header {
    let (version, command, family) = (bytes[12] >> 4, bytes[12] & 15, bytes[13] >> 4);
    if version != 2 || command > 1 || family > 3 || bytes[13] & 15 > 2 {
        return Header::Malformed("unknown version, command or family");
    }
    let length = V2_HEAD + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if bytes.len() < length {
        return Header::More;
    }
    let data = &bytes[V2_HEAD..length];
    if command == 0 {
        // The proxy's own connection, such as a health check.
        return Header::Addresses { length, from: None, to: None };
    }
    let port = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
    let (from, to) = match family {
        1 if data.len() >= 12 => {
            let ip = |at: usize| IpAddr::V4(Ipv4Addr::new(data[at], data[at + 1], data[at + 2], data[at + 3]));
            (SocketAddr::new(ip(0), port(8)), SocketAddr::new(ip(4), port(10)))
        }
        2 if data.len() >= 36 => {
            let ip = |at: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&data[at..at + 16]);
                IpAddr::V6(Ipv6Addr::from(octets))
            };
            (SocketAddr::new(ip(0), port(32)), SocketAddr::new(ip(16), port(34)))
        }
        1 | 2 => return Header::Malformed("too short for its addresses"),
        _ => return Header::Addresses { length, from: None, to: None },
    };
    Header::Addresses { length, from: Some(from), to: Some(to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(length: usize, from: &str, to: &str) -> Header {
        Header::Addresses { length, from: Some(from.parse().unwrap()), to: Some(to.parse().unwrap()) }
    }

    fn v2(command: u8, family: u8, data: &[u8]) -> Vec<u8> {
        [V2, &[0x20 | command, family], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    #[test]
    fn lines() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 1234 443\r\nGET";
        assert_eq!(parse(line), found(44, "192.0.2.1:1234", "198.51.100.7:443"));
        assert_eq!(parse(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), found(32, "[2001:db8::1]:1", "[::1]:2"));
        assert_eq!(parse(b"PROXY UNKNOWN a b c\r\n"), Header::Addresses { length: 21, from: None, to: None });
        for more in 0..44 {
            assert_eq!(parse(&line[..more]), Header::More, "{more}");
        }
        for none in ["GET / HTTP/1.1", "PROXX", "\r\n\r\nGET", "proxy TCP4"] {
            assert_eq!(parse(none.as_bytes()), Header::None, "{none}");
        }
        for bad in [
            "TCP4 ::1 ::1 1 2",
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 65536",
            "TCP4 1.2.3.4 1.2.3.4 1 +2",
            "UDP4 1.2.3.4 1.2.3.4 1 2",
            "TCP4  1.2.3.4 1.2.3.4 1 2",
        ] {
            assert!(matches!(parse(format!("PROXY {bad}\r\n").as_bytes()), Header::Malformed(_)), "{bad}");
        }
        assert!(matches!(parse(&[V1, &[b'x'; 101]].concat()), Header::Malformed(_)));
    }

    #[test]
    fn binary() {
        let four = [192, 0, 2, 1, 198, 51, 100, 7, 4, 210, 1, 187];
        assert_eq!(parse(&v2(1, 0x11, &four)), found(28, "192.0.2.1:1234", "198.51.100.7:443"));
        // with more than addresses behind them
        assert_eq!(parse(&v2(1, 0x11, &[&four[..], &[4, 0, 1, 0]].concat())), found(32, "192.0.2.1:1234", "198.51.100.7:443"));
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 5, 6);
        assert_eq!(parse(&v2(1, 0x21, &six)), found(52, "[::1]:5", "[::2]:6"));
        assert_eq!(parse(&v2(0, 0x00, &[1, 2])), Header::Addresses { length: 18, from: None, to: None });
        assert_eq!(parse(&v2(1, 0x31, &[0; 216])), Header::Addresses { length: 232, from: None, to: None });
        let whole = v2(1, 0x11, &four);
        for more in 1..whole.len() {
            assert_eq!(parse(&whole[..more]), Header::More, "{more}");
        }
        for bad in [v2(2, 0x11, &four), v2(1, 0x41, &four), v2(1, 0x13, &four), v2(1, 0x11, &four[..11]), v2(1, 0x21, &four)] {
            assert!(matches!(parse(&bad), Header::Malformed(_)), "{bad:?}");
        }
        let mut other = v2(1, 0x11, &four);
        other[12] = 0x31;
        assert!(matches!(parse(&other), Header::Malformed(_)));
    }
}
