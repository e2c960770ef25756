//! Lists of status codes as an option of a middleware.

use std::ops::Deref;
use torana_base::NoStatusRange;
use torana_extend::BuildError;

/// Codes and ranges, told about by the option they stand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(torana_base::StatusRanges);

impl StatusRanges {
    /// `key` is the option that `codes` stand in.
    pub fn parse(codes: &[String], key: &str) -> Result<Self, BuildError> {
        let ranges = torana_base::StatusRanges::parse(codes);
        ranges.map(StatusRanges).map_err(|e| BuildError::new(format!("{key}[{}]", e.index), e.to_string()).hint(NoStatusRange::HINT))
    }
}

impl Deref for StatusRanges {
    type Target = torana_base::StatusRanges;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
