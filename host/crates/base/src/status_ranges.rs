//! Lists of status codes and ranges: `503`, `500-599`.

use std::fmt;

/// Codes as inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(Vec<(i64, i64)>);

/// A text that is neither a code nor a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoStatusRange {
    /// Its position in the list.
    pub index: usize,
    pub text: String,
}

impl NoStatusRange {
    pub const HINT: &str = "write `503` or `500-599`";
}

impl fmt::Display for NoStatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a status code or a range of them", self.text)
    }
}

impl std::error::Error for NoStatusRange {}

impl StatusRanges {
    pub fn parse(codes: &[String]) -> Result<Self, NoStatusRange> {
        let parse = |(index, text): (usize, &String)| {
            let bad = || NoStatusRange { index, text: text.clone() };
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            // Traefik looks at the first two numbers only.
            let high = high.split('-').next().unwrap_or(high);
            Ok((low.parse().map_err(|_| bad())?, high.parse().map_err(|_| bad())?))
        };
        codes.iter().enumerate().map(parse).collect::<Result<_, _>>().map(StatusRanges)
    }

    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&i64::from(code)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_like_traefik() {
        let ranges = |codes: &[&str]| StatusRanges::parse(&codes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
        let r = ranges(&["503", "400-410", "600", "500-400"]).unwrap();
        for (code, hit) in [(503, true), (400, true), (410, true), (411, false), (450, false), (600, true)] {
            assert_eq!(r.contains(code), hit, "{code}");
        }
        assert_eq!(ranges(&["503", "503,504"]).unwrap_err().index, 1);
        assert!(ranges(&["500 - 501"]).is_err() && ranges(&["abc"]).is_err() && ranges(&[""]).is_err());
        assert!(ranges(&[]).unwrap().is_empty());
    }
}
