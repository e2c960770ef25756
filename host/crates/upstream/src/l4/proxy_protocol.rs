//! The PROXY protocol towards servers (haproxy.org/download/2.9/doc/proxy-protocol.txt): who the client is, said
//! before anything else.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Which form is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text (section 2.1).
    V1,
    /// Binary (section 2.2).
    V2,
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// The longest line of version 1 (section 2.1); version 2 needs 52.
const LONGEST: usize = 107;

/// A header, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; LONGEST],
    length: usize,
}

impl std::ops::Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The header for a connection from `source` to `destination`. IPv4 inside IPv6 is IPv4; two families become IPv6.
pub fn header(version: Version, source: SocketAddr, destination: SocketAddr) -> Header {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let mut header = Header { bytes: [0; LONGEST], length: 0 };
    let mut out = &mut header.bytes[..];
    let ports = (source.port(), destination.port());
    let written = match version {
        Version::V1 => match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => write!(out, "PROXY TCP4 {from} {to} {} {}\r\n", ports.0, ports.1),
            _ => write!(out, "PROXY TCP6 {} {} {} {}\r\n", mapped(from), mapped(to), ports.0, ports.1),
        },
        Version::V2 => {
            let mut all = |parts: &[&[u8]]| parts.iter().try_for_each(|p| out.write_all(p));
            let (p, q) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
            match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    all(&[&SIGNATURE, &[PROXY, TCP4], &12u16.to_be_bytes(), &from.octets(), &to.octets(), &p, &q])
                }
                _ => all(&[&SIGNATURE, &[PROXY, TCP6], &36u16.to_be_bytes(), &mapped(from).octets(), &mapped(to).octets(), &p, &q]),
            }
        }
    };
    let rest = out.len();
    // Nothing is longer than `LONGEST`, so nothing is cut.
    debug_assert!(written.is_ok());
    header.length = LONGEST - rest;
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: Version, source: &str, destination: &str) -> Vec<u8> {
        header(version, source.parse().unwrap(), destination.parse().unwrap()).to_vec()
    }

    #[test]
    fn version_1_is_a_line() {
        for (source, destination, line) in [
            ("192.0.2.1:56324", "198.51.100.2:443", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"),
            ("[::ffff:192.0.2.1]:1", "[::ffff:127.0.0.1]:2", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n"),
            ("[2001:db8::1]:65535", "[::1]:1", "PROXY TCP6 2001:db8::1 ::1 65535 1\r\n"),
            ("192.0.2.1:1", "[::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"),
        ] {
            assert_eq!(String::from_utf8(told(Version::V1, source, destination)).unwrap(), line);
        }
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert!(told(Version::V1, longest, longest).ends_with(b"65535 65535\r\n"));
    }

    #[test]
    fn version_2_is_binary() {
        let start = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21";
        let v4 = told(Version::V2, "192.0.2.1:56324", "198.51.100.2:443");
        assert_eq!(v4, [&start[..], b"\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"].concat());
        let v6 = told(Version::V2, "[2001:db8::1]:256", "[::1]:258");
        let mut want = [&start[..], b"\x21\x00\x24\x20\x01\x0d\xb8"].concat();
        want.extend([0; 11]);
        want.push(1);
        want.extend([0; 15]);
        want.extend([1, 1, 0, 1, 2]);
        assert_eq!(v6, want);
        assert_eq!(v6.len(), 52);
    }
}
