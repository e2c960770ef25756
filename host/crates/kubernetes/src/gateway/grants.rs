//! References into other namespaces, and who has granted them.

use super::model::{GROUP, GrantSpec, Object};

/// All `ReferenceGrant`s.
#[derive(Debug, Default)]
pub(super) struct Grants(pub(super) Vec<Object<GrantSpec>>);

impl Grants {
    /// Whether an object of the API's own `kind` in `from` may refer to a core object of `to_kind` called `name` in `to`.
    pub(super) fn allow(&self, kind: &str, from: &str, to_kind: &str, to: &str, name: &str) -> bool {
        from == to
            || self.0.iter().filter(|g| g.key.0 == to).any(|g| {
                g.spec.from.iter().any(|f| f.group == GROUP && f.kind == kind && f.namespace == from)
                    && g.spec.to.iter().any(|t| {
                        matches!(t.group.as_str(), "" | "core")
                            && t.kind == to_kind
                            && t.name.as_deref().is_none_or(|n| n.is_empty() || n == name)
                    })
            })
    }
}
