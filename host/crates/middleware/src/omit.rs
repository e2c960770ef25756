//! What a configuration leaves out when it is shown: the same as Go's `omitempty`.

/// For `#[serde(skip_serializing_if = "omit::empty")]`.
pub(crate) fn empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
