/// HTTP status codes as inclusive ranges: `503`, `500-599`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(Vec<(i64, i64)>);

impl StatusRanges {
    /// The index of the first text that is neither a code nor a range, if there is one.
    pub fn parse<T: AsRef<str>>(codes: &[T]) -> Result<Self, usize> {
        let parse = |(i, text): (usize, &T)| {
            let text = text.as_ref();
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            // Traefik looks at the first two numbers only.
            let high = high.split('-').next().unwrap_or(high);
            Ok((low.parse().map_err(|_| i)?, high.parse().map_err(|_| i)?))
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
        let r = StatusRanges::parse(&["503", "400-410", "600", "500-400", "700-701-800"]).unwrap();
        for (code, hit) in [(503, true), (400, true), (410, true), (411, false), (450, false), (600, true), (701, true), (702, false)] {
            assert_eq!(r.contains(code), hit, "{code}");
        }
        for bad in ["503,504", "500 - 501", "abc", "", "404-", "-404"] {
            assert_eq!(StatusRanges::parse(&["200", bad]), Err(1), "{bad}");
        }
        assert!(StatusRanges::parse::<&str>(&[]).unwrap().is_empty());
    }
}
