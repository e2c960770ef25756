use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Units, the largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A size in bytes, written as `64MiB`, `512KiB`, `1GiB` or a bare number of bytes; the case of the unit does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    pub const fn from_kib(n: u64) -> Self {
        ByteSize(n << 10)
    }

    pub const fn from_mib(n: u64) -> Self {
        ByteSize(n << 20)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let scale = match unit.trim_start() {
            "" => Some(1),
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, scale)| *scale),
        };
        let bytes = scale.and_then(|scale| digits.parse::<u64>().ok()?.checked_mul(scale));
        bytes.map(ByteSize).ok_or_else(|| format!("`{text}` is not a size"))
    }
}

/// In the largest unit of which it is a whole number: `64MiB`, `1500`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.trim().parse().map_err(|e| serde::de::Error::custom(format!("{e}: write `64MiB`, `512KiB`, or whole bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, bytes, printed) in [
            ("0", 0, "0"),
            ("1500", 1_500, "1500"),
            ("1024", 1_024, "1KiB"),
            ("512KiB", 512 << 10, "512KiB"),
            ("64 mib", 64 << 20, "64MiB"),
            ("4GiB", 4 << 30, "4GiB"),
            ("18446744073709551615", u64::MAX, "18446744073709551615"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, printed), "{text}");
        }
        for text in ["", "MiB", "1MB", "1.5MiB", "-1", "+1", "17179869184GiB", "18446744073709551616", "１"] {
            assert!(text.parse::<ByteSize>().is_err_and(|e| e.contains("is not a size")), "{text}");
        }
    }
}
