//! Which entry points serve a router, and the copies that entry points with defaults make of it
//! (features 1.2.2 and 2.1).

use std::collections::BTreeSet;
use std::sync::Arc;
use torana_config::install::{CoreConfig, EntryPointConfig, InstallConfig, Protocol};
use torana_config::routing::{RouterConfig, RouterTlsConfig, TcpRouterConfig};
use torana_dataplane::Verbosity;
use torana_http::path::encoded;
use torana_router::Syntax;

/// What an entry point adds to its routers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub name: Arc<str>,
    /// Qualified names, before the router's own.
    pub middlewares: Vec<String>,
    pub denied_escapes: u8,
    /// Of routers without one of their own.
    pub tls: Option<RouterTlsConfig>,
    /// `observability.metrics`, for routers that do not say.
    pub metered: bool,
    /// `observability.accessLogs`, for routers that do not say.
    pub logged: bool,
    /// How the requests of routers that do not say are traced.
    pub traced: Option<Verbosity>,
    /// Whether routers on it are copied under a name of their own.
    pub carries_defaults: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    all: Vec<Model>,
    core: CoreConfig,
    default: Vec<Arc<str>>,
}

/// A router on the entry points that treat it alike.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Goes before the router's name, with a hyphen.
    pub prefix: Option<Arc<str>>,
    pub entry_points: Vec<Arc<str>>,
}

impl Models {
    pub(crate) fn new(install: &InstallConfig) -> Self {
        let all = install
            .entry_points
            .iter()
            .filter(|(_, e)| e.address.protocol == Protocol::Tcp)
            .map(|(name, e)| {
                let mut m = model(name, e);
                m.carries_defaults |= install.core.rule_syntax().is_some();
                m
            })
            .collect();
        Models { all, core: install.core.clone(), default: install.default_entry_points().into_iter().map(Into::into).collect() }
    }

    /// The syntax of a router's rule.
    pub(crate) fn syntax(&self, provider: &str, config: &RouterConfig) -> Syntax {
        Syntax::named(config.syntax(provider, &self.core))
    }

    /// The same of a TCP router.
    pub(crate) fn tcp_syntax(&self, config: &TcpRouterConfig) -> Syntax {
        Syntax::named(self.tcp_syntax_name(config))
    }

    pub(crate) fn tcp_syntax_name<'a>(&self, config: &'a TcpRouterConfig) -> &'a str {
        config.syntax(&self.core)
    }

    pub(crate) fn model(&self, name: &str) -> Option<&Model> {
        self.all.iter().find(|m| &*m.name == name)
    }

    /// Whether some entry point gives its routers TLS.
    pub(crate) fn carry_tls(&self) -> bool {
        self.all.iter().any(|m| m.tls.is_some())
    }

    /// Whether some entry point carries defaults.
    pub(crate) fn carry_defaults(&self) -> bool {
        self.all.iter().any(|m| m.carries_defaults)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|m| &*m.name)
    }

    /// Entry points as configured or by default, and those of them that do not exist.
    pub(crate) fn effective(&self, configured: &[String]) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let listed: Vec<Arc<str>> =
            if configured.is_empty() { self.default.clone() } else { configured.iter().map(|n| n.as_str().into()).collect() };
        let unknown = listed.iter().filter(|n| self.model(n).is_none()).cloned().collect();
        (listed, unknown)
    }

    /// Several entry points in the list, known or not, make a copy for each that carries defaults; all
    /// others share the router as it is.
    pub(crate) fn copies(&self, listed: &[Arc<str>]) -> Vec<Copy> {
        let distinct: BTreeSet<&Arc<str>> = listed.iter().collect();
        if listed.len() <= 1 {
            return vec![Copy { prefix: None, entry_points: distinct.into_iter().cloned().collect() }];
        }
        let carries = |n: &Arc<str>| self.model(n).is_some_and(|m| m.carries_defaults);
        let plain: Vec<Arc<str>> = distinct.iter().filter(|n| !carries(n)).map(|n| (*n).clone()).collect();
        let mut copies: Vec<Copy> =
            distinct.into_iter().filter(|n| carries(n)).map(|n| Copy { prefix: Some(n.clone()), entry_points: vec![n.clone()] }).collect();
        if !plain.is_empty() {
            copies.push(Copy { prefix: None, entry_points: plain });
        }
        copies
    }
}

fn model(name: &str, config: &EntryPointConfig) -> Model {
    let http = &config.http;
    let denied = http.encoded_characters.as_ref().map_or(0, |c| {
        [
            (c.allow_encoded_slash, encoded::SLASH),
            (c.allow_encoded_back_slash, encoded::BACK_SLASH),
            (c.allow_encoded_null_character, encoded::NULL),
            (c.allow_encoded_semicolon, encoded::SEMICOLON),
            (c.allow_encoded_percent, encoded::PERCENT),
            (c.allow_encoded_question_mark, encoded::QUESTION_MARK),
            (c.allow_encoded_hash, encoded::HASH),
        ]
        .into_iter()
        .filter(|(allowed, _)| !allowed)
        .fold(0, |bits, (_, bit)| bits | bit)
    });
    Model {
        name: name.into(),
        middlewares: http.middlewares.clone(),
        denied_escapes: denied,
        metered: config.observability.as_ref().is_none_or(|o| o.metrics),
        logged: config.observability.as_ref().is_none_or(|o| o.access_logs),
        traced: crate::spans::of_entry_point(config),
        tls: http.tls.clone(),
        carries_defaults: !http.middlewares.is_empty()
            || http.tls.is_some()
            || http.encoded_characters.is_some()
            || config.observability.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Models {
        let one = |name: &str, carries_defaults| Model { name: name.into(), carries_defaults, ..Model::default() };
        Models { all: vec![one("web", false), one("web2", false), one("sec", true)], default: vec!["web".into()], ..Models::default() }
    }

    #[test]
    fn copies_are_named_after_entry_points_with_defaults() {
        let names = |list: &[&str]| list.iter().map(|n| Arc::from(*n)).collect::<Vec<Arc<str>>>();
        let m = models();
        assert_eq!(m.copies(&names(&["sec"])), [Copy { prefix: None, entry_points: names(&["sec"]) }]);
        assert_eq!(
            m.copies(&names(&["web", "sec", "web2"])),
            [
                Copy { prefix: Some("sec".into()), entry_points: names(&["sec"]) },
                Copy { prefix: None, entry_points: names(&["web", "web2"]) }
            ]
        );
        assert_eq!(m.copies(&names(&["sec", "nix"])).len(), 2);
        assert_eq!(m.copies(&names(&["sec", "sec"])), [Copy { prefix: Some("sec".into()), entry_points: names(&["sec"]) }]);
        assert_eq!(m.effective(&["web".into(), "nope".into()]).1, names(&["nope"]));
        assert_eq!(m.effective(&[]).0, names(&["web"]));
    }
}
