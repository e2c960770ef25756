//! Plugins as the compiler uses them: which are declared, as matchers in rules, as balancing strategies.

use crate::resolve::{Inputs, known};
use http::HeaderMap;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, qualify, unqualified};
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Facts, PluginHost, ServerChoice, Servers};
use torana_http::Exchange;
use torana_router::{Extra, Matcher, RequestView};
use torana_upstream::balance::{Balancer, External};

/// All declared plugins, by qualified name.
pub fn declared(inputs: &Inputs) -> BTreeMap<Arc<str>, Arc<Item<PluginConfig>>> {
    let of = |(provider, config): (&&'static str, &Arc<torana_config::routing::RoutingConfig>)| {
        let provider = *provider;
        config.plugins.iter().map(move |(n, i)| (qualify(n, provider).into(), i.clone())).collect::<Vec<_>>()
    };
    inputs.iter().flat_map(of).collect()
}

/// The digest of an object and of the version of the plugin that it uses.
pub(crate) fn mixed(digest: u64, version: u64) -> u64 {
    digest ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A plugin that nobody declared.
pub(crate) fn unknown(inputs: &Inputs, name: &str, key: &str) -> Diagnostic {
    let all: Vec<String> = inputs.values().flat_map(|c| c.plugins.keys().cloned()).collect();
    let d = Diagnostic::error(key, format!("unknown plugin `{name}`"));
    match all.is_empty() {
        true => d.hint(format!("declare it: `plugins: {{{name}: {{path: /path/to/{name}.wasm}}}}`")),
        false => d.hint(known(name, &all, "plugins")),
    }
}

/// Plugins that are matchers, by the names that rules call them.
pub(crate) struct PluginMatchers<'a> {
    host: &'a dyn PluginHost,
    /// Name in rules, qualified name.
    names: Vec<(String, String)>,
}

impl<'a> PluginMatchers<'a> {
    pub(crate) fn new(host: &'a dyn PluginHost, inputs: &Inputs) -> Self {
        let mut names: Vec<(String, String)> = Vec::new();
        for name in declared(inputs).keys().filter(|n| torana_router::matcher(unqualified(n)).is_none()) {
            // The first provider by name wins, as everywhere.
            if !names.iter().any(|(n, _)| n == unqualified(name)) && !unqualified(name).contains('-') {
                names.push((unqualified(name).to_owned(), name.to_string()));
            }
        }
        PluginMatchers { host, names }
    }

    /// Changes when a plugin that a rule may call does.
    pub(crate) fn versions(&self, rule: &str) -> u64 {
        let called = self.names.iter().filter(|(n, _)| rule.contains(n.as_str()));
        called.fold(0, |sum, (_, q)| mixed(sum.rotate_left(7), self.host.version(q)))
    }
}

impl Extra for PluginMatchers<'_> {
    fn names(&self) -> Vec<String> {
        self.names.iter().map(|(n, _)| n.clone()).collect()
    }

    fn build(&self, name: &str, args: &[String]) -> Result<Matcher, String> {
        let (_, plugin) = self.names.iter().find(|(n, _)| n == name).ok_or_else(|| format!("there is no plugin `{name}`"))?;
        let test = self.host.matcher(plugin, args)?;
        Ok(Matcher::new(move |r| test.test(&View(r))))
    }
}

/// What a rule sees, as facts for a plugin.
struct View<'a, 'r>(&'a RequestView<'r>);

impl Facts for View<'_, '_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let r = self.0;
        Some(match name {
            ":method" => r.method.into(),
            ":host" => r.host.into(),
            ":path" => match r.query {
                Some(q) => format!("{}?{q}", r.path).into(),
                None => r.path.into(),
            },
            ":client-ip" => r.client_ip.to_string().into(),
            name => return joined(r.headers, name),
        })
    }
}

fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut lines = headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
    let first = lines.next()?;
    Some(lines.fold(first, |all, line| format!("{all}, {line}").into()))
}

/// A balancing strategy that a plugin is, for a load balancer.
pub(crate) struct Strategy(pub(crate) Arc<dyn ServerChoice>);

impl External for Strategy {
    fn choose(&self, exchange: &Exchange, balancer: &Balancer) -> Option<usize> {
        self.0.choose(exchange, &All(balancer))
    }
}

struct All<'a>(&'a Balancer);

impl Servers for All<'_> {
    fn len(&self) -> usize {
        self.0.candidates().len()
    }

    fn url(&self, index: usize) -> &str {
        self.0.candidates().get(index).map_or("", |c| &c.name)
    }

    fn weight(&self, index: usize) -> u32 {
        self.0.candidates().get(index).map_or(0, |c| u32::try_from(c.weight.max(0)).unwrap_or(u32::MAX))
    }

    fn is_up(&self, index: usize) -> bool {
        self.0.is_up(index)
    }

    fn in_flight(&self, index: usize) -> u32 {
        u32::try_from(self.0.in_flight(index)).unwrap_or(u32::MAX)
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }
}
