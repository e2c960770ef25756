//! `requestHeaderModifier`; see `header_modifier`.

pub use crate::header_modifier::RequestHeaderModifier;
