use crate::{Diagnostic, Place};

/// What a source holds, as of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// All that were looked at, those that were rejected too.
    pub seen: usize,
    /// Those that something is wrong with. They are left out; nothing else is.
    pub rejected: Vec<RejectedObject>,
}

impl Objects {
    /// Each reason as a mistake in its object, for the log and the API.
    pub fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        self.rejected.iter().flat_map(|r| {
            let place = Place::whole(r.name.as_str());
            r.reasons.iter().map(move |reason| Diagnostic::error("", reason.as_str()).at(&place))
        })
    }
}

/// An object of a source that contributes nothing, or not all that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedObject {
    /// As its source names it: `container whoami-1`, `ingressroute default/whoami`.
    pub name: String,
    /// At least one; what to do about it stands in it.
    pub reasons: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_a_mistake_of_its_object() {
        let rejected = RejectedObject { name: "container a".to_owned(), reasons: vec!["no port".to_owned(), "no network".to_owned()] };
        let told: Vec<String> = Objects { seen: 2, rejected: vec![rejected] }.diagnostics().map(|d| d.to_string()).collect();
        assert_eq!(told, ["error: no port\n  at  container a", "error: no network\n  at  container a"]);
    }
}
