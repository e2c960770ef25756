//! Identities (W3C Trace Context, 3.2.2): random, never all zero.

use std::fmt;

/// Of a trace: all spans that one request causes anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Of a span within its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    pub fn random() -> Self {
        TraceId(fastrand::u128(1..).to_be_bytes())
    }

    /// Up to 32 hexadecimal digits, shorter ones with zeros in front; `None` for zero.
    pub fn from_hex(text: &str) -> Option<Self> {
        number(text, 32).filter(|n| *n != 0).map(|n| TraceId(n.to_be_bytes()))
    }

    /// The lower half, by which a share of traces is sampled.
    pub fn low(self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }
}

impl SpanId {
    pub fn random() -> Self {
        SpanId(fastrand::u64(1..).to_be_bytes())
    }

    /// Up to 16 hexadecimal digits, shorter ones with zeros in front; `None` for zero.
    pub fn from_hex(text: &str) -> Option<Self> {
        let n = number(text, 16).filter(|n| *n != 0)?;
        Some(SpanId(u64::try_from(n).ok()?.to_be_bytes()))
    }
}

fn number(text: &str, most: usize) -> Option<u128> {
    let hex = !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex() {
        let id = TraceId::from_hex("af7651916cd43dd8448eb211c80319c").unwrap();
        assert_eq!(id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(id.low(), 0x8448_eb21_1c80_319c);
        assert_eq!(SpanId::from_hex("b7ad6b7169203331").unwrap().to_string(), "b7ad6b7169203331");
        for bad in ["", "0", "00000000000000000000000000000000", "x", "+1", "0af7651916cd43dd8448eb211c80319c0"] {
            assert_eq!(TraceId::from_hex(bad), None, "{bad}");
            assert_eq!(SpanId::from_hex(bad), None, "{bad}");
        }
        assert_eq!(SpanId::from_hex("0b7ad6b7169203331"), None);
    }
}
