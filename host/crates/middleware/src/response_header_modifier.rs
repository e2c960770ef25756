//! `responseHeaderModifier`; see `header_modifier`.

pub use crate::header_modifier::ResponseHeaderModifier;
