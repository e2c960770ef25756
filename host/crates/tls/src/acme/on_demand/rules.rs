//! Which names may have a certificate on demand, as far as the configuration alone says.

use super::super::AcmeError;
use super::super::names::select;
use rustc_hash::FxHashSet;

/// Compiled `onDemand.hosts`.
#[derive(Debug, Default)]
pub(super) struct Rules {
    exact: FxHashSet<Box<str>>,
    /// What follows the star and its dot.
    wildcards: FxHashSet<Box<str>>,
    expressions: Vec<regex::Regex>,
    /// Nothing was written: whoever is asked decides alone.
    any: bool,
}

impl Rules {
    pub(super) fn new(hosts: &[String]) -> Result<Rules, AcmeError> {
        let mut rules = Rules { any: hosts.is_empty(), ..Rules::default() };
        for host in hosts {
            let wrong = |why: &dyn std::fmt::Display| AcmeError::lasting(format!("onDemand.hosts: `{host}`: {why}"));
            if let Some(inner) = host.strip_prefix('^') {
                let inner = inner.strip_suffix('$').ok_or_else(|| wrong(&"a regular expression must end with `$`"))?;
                // so that `^a|b$` is no way in for whatever ends with b
                let expression = regex::RegexBuilder::new(&format!("^(?:{inner})$")).case_insensitive(true).size_limit(1 << 20).build();
                rules.expressions.push(expression.map_err(|e| wrong(&e))?);
                continue;
            }
            let name = select(std::slice::from_ref(host), true)?.swap_remove(0);
            match name.strip_prefix("*.") {
                Some(tail) => rules.wildcards.insert(tail.into()),
                None => rules.exact.insert(name.into()),
            };
        }
        Ok(rules)
    }

    /// `name` in lower case, without a dot at its end.
    pub(super) fn allow(&self, name: &str) -> bool {
        self.any
            || self.exact.contains(name)
            || name.split_once('.').is_some_and(|(_, tail)| self.wildcards.contains(tail))
            || self.expressions.iter().any(|e| e.is_match(name))
    }
}

/// Whether a public CA could have a certificate for such a name (RFC 1035, 2.3.1): letters, digits and hyphens in at
/// least two labels, the last of which is not a number, as it is in an address.
pub(super) fn is_fit(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name.rsplit_once('.').is_some_and(|(_, top)| top.bytes().any(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str]) -> Result<Rules, AcmeError> {
        Rules::new(&hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_written_decides() {
        let all = rules(&["Shop.Example.com", "*.customers.test", "^[a-z]+-shop\\.test|b\\.test$", "bücher.test"]).unwrap();
        for (name, yes) in [
            ("shop.example.com", true),
            ("x.shop.example.com", false),
            ("a.customers.test", true),
            ("customers.test", false),
            ("b.a.customers.test", false),
            ("my-shop.test", true),
            ("b.test", true),
            ("evil-b.test", false),
            ("my-shop.test.evil.test", false),
            ("xn--bcher-kva.test", true),
            ("else.test", false),
        ] {
            assert_eq!(all.allow(name), yes, "{name}");
        }
        assert!(rules(&[]).unwrap().allow("any.test"));
        for bad in ["^(a$", "^a", "a..b"] {
            assert!(rules(&[bad]).unwrap_err().message.contains(bad), "{bad}");
        }
    }

    #[test]
    fn names_that_no_ca_has() {
        for (name, yes) in [
            ("a.test", true),
            ("xn--bcher-kva.test", true),
            ("a-b.c1.test", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("a.1", false),
            ("::1", false),
            ("a_b.test", false),
            ("-a.test", false),
            ("a-.test", false),
            ("a..test", false),
            (".test", false),
            ("*.test", false),
            ("", false),
        ] {
            assert_eq!(is_fit(name), yes, "{name}");
        }
        assert!(!is_fit(&format!("{}.test", "a".repeat(64))) && !is_fit(&format!("{}test", "abcdefg.".repeat(40))));
    }

    proptest::proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,60}") {
            let _ = is_fit(&name);
        }
    }
}
