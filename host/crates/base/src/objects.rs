/// What a source holds, as of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// All that were looked at, those that were rejected too.
    pub seen: usize,
    /// Those that something is wrong with. They are left out; nothing else is.
    pub rejected: Vec<RejectedObject>,
}

/// An object of a source that contributes nothing, or not all that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedObject {
    /// As its source names it: `container whoami-1`, `ingressroute default/whoami`.
    pub name: String,
    /// At least one; what to do about it stands in it.
    pub reasons: Vec<String>,
}
