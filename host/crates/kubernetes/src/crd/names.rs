//! What objects are called in the configuration, and which may refer to which. Names are Traefik's to the letter:
//! dashboards, metrics and references from other providers use them.

use super::NAME;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use torana_base::normalize;
use torana_config::install::KubernetesCrdConfig;

/// The rules of names and references, as the options say.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Names that cannot collide (`safeNaming`).
    pub(super) safe: bool,
    pub(super) cross_namespace: bool,
    /// Namespaces that may refer to other providers; `None` for all.
    pub(super) cross_provider: Option<Vec<String>>,
}

impl Names {
    pub(super) fn new(config: &KubernetesCrdConfig) -> Names {
        Names {
            safe: config.safe_naming.unwrap_or(false),
            cross_namespace: config.allow_cross_namespace,
            cross_provider: config.cross_provider_namespaces.clone(),
        }
    }

    /// Of an object.
    pub(super) fn id(&self, namespace: &str, name: &str) -> String {
        if self.safe { format!("{namespace}_{name}") } else { normalize(&format!("{namespace}-{name}")) }
    }

    /// Of the router of a route with a rule.
    pub(super) fn router(&self, namespace: &str, name: &str, index: usize, rule: &str) -> String {
        if self.safe {
            return format!("{namespace}_{name}_{index}");
        }
        let digest = Sha256::digest(rule);
        let mut id = format!("{namespace}-{name}-");
        for byte in digest.iter().take(10) {
            // Writing to a text cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        normalize(&id)
    }

    /// Of the router of a route without a rule.
    pub(super) fn udp_router(&self, namespace: &str, name: &str, index: usize) -> String {
        if self.safe { format!("{namespace}_{name}_{index}") } else { normalize(&format!("{namespace}-{name}-{index}")) }
    }

    /// Of the one service of a router.
    pub(super) fn only(&self, router: &str) -> String {
        if self.safe { format!("{router}_lb") } else { router.to_owned() }
    }

    /// Of the services of a router as one.
    pub(super) fn all(&self, router: &str) -> String {
        if self.safe { format!("{router}_wrr") } else { router.to_owned() }
    }

    /// Of one of several HTTP services below something: those below something else with the same port are the same ones,
    /// unless names are safe.
    pub(super) fn one(&self, prefix: &str, namespace: &str, name: &str, port: &str) -> String {
        if self.safe { format!("{prefix}_{namespace}_{name}_{port}") } else { normalize(&format!("{namespace}-{name}-{port}")) }
    }

    /// Of one of several TCP or UDP services of a router.
    pub(super) fn l4_one(&self, parent: &str, index: usize, namespace: &str, name: &str, port: &str) -> String {
        if self.safe { format!("{parent}_{index}_{namespace}_{name}_{port}") } else { normalize(&format!("{parent}-{name}-{port}")) }
    }

    /// The namespace that a reference from `from` means, if it may.
    pub(super) fn namespace<'a>(&self, what: &str, from: &'a str, written: &'a str) -> Result<&'a str, String> {
        if written.is_empty() || written == from || self.cross_namespace {
            return Ok(if written.is_empty() { from } else { written });
        }
        Err(format!("{what} is in namespace `{written}`, not in `{from}`: such references are allowed by `allowCrossNamespace`"))
    }

    /// The name that a reference from an object in `from` means, without its provider when that is this one.
    pub(super) fn reference(&self, what: &str, from: &str, namespace: &str, name: &str) -> Result<String, String> {
        if name.is_empty() {
            return Err(format!("{what}: a name belongs here"));
        }
        if !name.contains('@') {
            return Ok(self.id(self.namespace(&format!("{what} {name}"), from, namespace)?, name));
        }
        self.provider(what, from, name)?;
        Ok(name.to_owned())
    }

    /// Whether an object in `from` may use `name`, which says its provider.
    pub(super) fn provider(&self, what: &str, from: &str, name: &str) -> Result<(), String> {
        if name.rsplit_once('@').is_some_and(|(_, p)| p == NAME) {
            // The namespace stands in the name, where it cannot be told apart.
            return if self.cross_namespace {
                Ok(())
            } else {
                Err(format!("{what} {name}: references with `@{NAME}` are allowed by `allowCrossNamespace`; leave `@{NAME}` out"))
            };
        }
        match &self.cross_provider {
            Some(allowed) if !allowed.iter().any(|n| n == from) => {
                Err(format!("{what} {name}: namespace `{from}` may not refer to other providers (`crossProviderNamespaces`)"))
            }
            _ => Ok(()),
        }
    }
}

/// `name@kubernetescrd`, unless the name says its provider.
pub(super) fn qualified(name: &str) -> String {
    torana_base::qualify(name, NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_traefik() {
        let n = Names::default();
        assert_eq!(n.router("default", "plain", 0, "Host(`a.test`)"), "default-plain-adb61728c085b5eef2e5");
        assert_eq!(n.router("ns2", "my.route", 0, "Host(`a.n2`)"), "ns2-my-route-0aedc50c3c5f212a6ea0");
        assert_eq!((n.id("ns2", "my.strip"), n.udp_router("default", "udp1", 1)), ("ns2-my-strip".into(), "default-udp1-1".into()));
        assert_eq!(n.one("x", "default", "whoami", "web"), "default-whoami-web");
        assert_eq!(
            n.l4_one("default-tcp1-49031bff84790deaebd5", 1, "default", "whoami", "web"),
            "default-tcp1-49031bff84790deaebd5-whoami-web"
        );
        let n = Names { safe: true, ..n };
        let router = n.router("default", "plain", 13, "x");
        assert_eq!(n.only(&router), "default_plain_13_lb");
        assert_eq!(n.one(&format!("{}_1", n.all(&router)), "default", "single", "80"), "default_plain_13_wrr_1_default_single_80");
        assert_eq!(n.id("ns2", "my.strip"), "ns2_my.strip");
    }

    #[test]
    fn references_over_borders() {
        let mut n = Names::default();
        assert_eq!(n.reference("middleware", "a", "", "m").as_deref(), Ok("a-m"));
        assert_eq!(n.reference("middleware", "a", "b", "m@file").as_deref(), Ok("m@file"));
        assert!(n.reference("middleware", "a", "b", "m").unwrap_err().contains("allowCrossNamespace"));
        assert!(n.reference("middleware", "a", "", "b-m@kubernetescrd").unwrap_err().contains("allowCrossNamespace"));
        n.cross_provider = Some(vec!["c".into()]);
        assert!(n.reference("middleware", "a", "", "m@file").unwrap_err().contains("crossProviderNamespaces"));
        assert!(n.reference("middleware", "c", "", "m@file").is_ok());
        n.cross_namespace = true;
        assert_eq!(n.reference("middleware", "a", "b", "m").as_deref(), Ok("b-m"));
    }
}
