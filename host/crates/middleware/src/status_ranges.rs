//! Lists of status codes and ranges: `503`, `500-599`.

use torana_extend::BuildError;

/// Codes as inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(torana_base::StatusRanges);

impl StatusRanges {
    /// `key` is the option that `codes` stand in.
    pub fn parse(codes: &[String], key: &str) -> Result<Self, BuildError> {
        let bad = |i: usize| {
            BuildError::new(format!("{key}[{i}]"), format!("`{}` is not a status code or a range of them", codes[i]))
                .hint("write `503` or `500-599`")
        };
        torana_base::StatusRanges::parse(codes).map(StatusRanges).map_err(bad)
    }

    pub fn contains(&self, code: u16) -> bool {
        self.0.contains(code)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_code_is_named() {
        let codes = ["503".to_owned(), "503,504".to_owned()];
        assert_eq!(StatusRanges::parse(&codes, "status").unwrap_err().key, "status[1]");
        assert!(StatusRanges::parse(&codes[..1], "status").unwrap().contains(503));
    }
}
