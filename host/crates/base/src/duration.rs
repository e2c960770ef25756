use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A signed duration as Go writes it (`1m30s`, `300ms`, `-1s`), or a bare integer meaning seconds, which
/// is what Traefik accepts in every source. Held in nanoseconds, like Go's `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub i64);

impl GoDuration {
    pub const fn from_secs(s: i64) -> Self {
        GoDuration(s * 1_000_000_000)
    }

    pub const fn from_millis(ms: i64) -> Self {
        GoDuration(ms * 1_000_000)
    }

    /// Zero for a negative duration.
    pub fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0.max(0) as u64)
    }

    /// `None` for zero and below, which Traefik's time-outs mean as "no limit".
    pub fn positive(self) -> Option<Duration> {
        (self.0 > 0).then(|| self.as_duration())
    }
}

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a duration");
        if let Ok(s) = text.parse::<i64>() {
            return s.checked_mul(1_000_000_000).map(GoDuration).ok_or_else(bad);
        }
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest.is_empty() {
            return Err(bad());
        }
        let mut nanos = 0f64;
        let mut exact: i128 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_len);
            let scale: i64 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err(bad()),
            };
            match number.parse::<i64>() {
                Ok(n) => exact += i128::from(n) * i128::from(scale),
                Err(_) => nanos += number.parse::<f64>().map_err(|_| bad())? * scale as f64,
            }
            rest = tail;
        }
        let total = exact + nanos.round() as i128;
        let total = i64::try_from(if negative { -total } else { total }).map_err(|_| bad())?;
        Ok(GoDuration(total))
    }
}

/// As Go prints a `time.Duration`: `0s`, `1.5ms`, `1m30s`, `2h0m0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        fn fraction(f: &mut fmt::Formatter<'_>, whole: u64, part: u64, width: usize, unit: &str) -> fmt::Result {
            let digits = format!("{part:0width$}");
            let digits = digits.trim_end_matches('0');
            if digits.is_empty() { write!(f, "{whole}{unit}") } else { write!(f, "{whole}.{digits}{unit}") }
        }
        match n {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{n}ns"),
            1_000..1_000_000 => fraction(f, n / 1_000, n % 1_000, 3, "µs"),
            1_000_000..1_000_000_000 => fraction(f, n / 1_000_000, n % 1_000_000, 6, "ms"),
            _ => {
                let (h, m) = (n / 3_600_000_000_000, n / 60_000_000_000 % 60);
                if h > 0 {
                    write!(f, "{h}h{m}m")?;
                } else if m > 0 {
                    write!(f, "{m}m")?;
                }
                let s = n % 60_000_000_000;
                fraction(f, s / 1_000_000_000, s % 1_000_000_000, 9, "s")
            }
        }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.trim().parse().map_err(|e: String| serde::de::Error::custom(format!("{e}: write `10s`, `1m30s`, `300ms`, or whole seconds")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_like_go() {
        for (text, printed) in [
            ("7", "7s"),
            ("0", "0s"),
            ("300ms", "300ms"),
            ("1m30s", "1m30s"),
            ("1.5ms", "1.5ms"),
            ("90s", "1m30s"),
            ("2h", "2h0m0s"),
            ("-1s", "-1s"),
            ("1h0m0.25s", "1h0m0.25s"),
            ("1500us", "1.5ms"),
            ("10ns", "10ns"),
            ("-5", "-5s"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), printed, "{text}");
        }
        for bad in ["", "s", "1", "1x", "ten", "1s2", "9999999999999h", "-", "1..2s"].iter().filter(|t| **t != "1") {
            assert!(bad.parse::<GoDuration>().is_err(), "{bad}");
        }
    }
}
