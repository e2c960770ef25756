//! Middlewares by name: built once and kept while they do not change, so that their state (buckets,
//! caches) outlives a reload that does not touch them.

use crate::references::{self, reason};
use crate::spans;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, closest, provider_of, qualify, unqualified};
use torana_config::node::Node;
use torana_config::routing::{Item, MiddlewareConfig, RoutingConfig, ServersTransportConfig};
use torana_extend::{BuildCx, BuildError, MiddlewareKind, PluginHost, Scope};
use torana_http::{Client, Clients, Endpoint, Step};
use torana_upstream::Transport;

/// Documents by provider.
pub(crate) type Inputs = BTreeMap<&'static str, Arc<RoutingConfig>>;

/// Looks a row of the registry up.
pub type Kinds = fn(&str) -> Option<&'static MiddlewareKind>;

/// How deep services, and middlewares, may stand in each other: each level takes room on the stack.
pub(crate) const MOST_LEVELS: usize = 64;

pub(crate) fn too_deep(what: &str) -> Diagnostic {
    Diagnostic::error("", format!("{what} stand in each other more than {MOST_LEVELS} levels deep")).hint("name the inner ones directly")
}

/// Of a middleware with state: the router it belongs to.
type Owner = Option<Arc<str>>;

/// Leaves of the last compile, by owner and qualified name.
pub(crate) type Kept = FxHashMap<(Owner, Arc<str>), KeptSteps>;

/// Services that steps lead to, by qualified name.
type Targets = Vec<(String, Arc<dyn Endpoint>)>;

/// Valid while the middleware's text and the services that it leads to are the same.
#[derive(Clone)]
pub(crate) struct KeptSteps {
    digest: u64,
    steps: Vec<Step>,
    targets: Targets,
}

/// Services for middlewares that lead to one.
pub(crate) trait ServiceByName {
    fn endpoint(&mut self, qualified: &str) -> Result<Arc<dyn Endpoint>, Vec<Diagnostic>>;
}

type BuiltSteps = Result<Vec<Step>, Vec<Diagnostic>>;

/// Resolves names within one compile.
pub(crate) struct Resolver<'a> {
    inputs: &'a Inputs,
    kinds: Kinds,
    plugins: &'a dyn PluginHost,
    before: &'a Kept,
    kept: RefCell<Kept>,
    /// Middlewares have marks, where spans may begin.
    marking: bool,
    memo: RefCell<FxHashMap<(Owner, Arc<str>), BuiltSteps>>,
    led_to: RefCell<FxHashSet<String>>,
}

pub(crate) fn middleware_item<'a>(inputs: &'a Inputs, qualified: &str) -> Option<&'a Arc<Item<MiddlewareConfig>>> {
    inputs.get(provider_of(qualified))?.http.middlewares.get(unqualified(qualified))
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(inputs: &'a Inputs, kinds: Kinds, plugins: &'a dyn PluginHost, before: &'a Kept) -> Self {
        Resolver {
            inputs,
            kinds,
            plugins,
            before,
            kept: RefCell::default(),
            marking: false,
            memo: RefCell::default(),
            led_to: RefCell::default(),
        }
    }

    /// The same; `marking`: before the steps of each middleware stands the mark of its span.
    pub(crate) fn marking(self, marking: bool) -> Self {
        Resolver { marking, ..self }
    }

    /// What the next compile may reuse, and the services that some middleware leads to.
    pub(crate) fn finish(self) -> (Kept, FxHashSet<String>) {
        (self.kept.into_inner(), self.led_to.into_inner())
    }

    /// The steps of a middleware for a router. The diagnostics of a failure point into the middleware.
    pub(crate) fn steps(&self, qualified: &str, router: &Arc<str>, services: &mut dyn ServiceByName) -> BuiltSteps {
        let stateful = Cell::new(false);
        self.build(qualified, router, &[], &stateful, services)
    }

    fn build(
        &self,
        qualified: &str,
        router: &Arc<str>,
        above: &[&str],
        stateful: &Cell<bool>,
        services: &mut dyn ServiceByName,
    ) -> BuiltSteps {
        let name: Arc<str> = qualified.into();
        for owner in [None, Some(router.clone())] {
            if let Some(done) = self.memo.borrow().get(&(owner.clone(), name.clone())) {
                stateful.set(stateful.get() | owner.is_some());
                return done.clone();
            }
        }
        let within = Cell::new(false);
        let built = self.build_new(&name, router, above, &within, services).map(|steps| self.mark(&name, steps));
        stateful.set(stateful.get() | within.get());
        let owner = within.get().then(|| router.clone());
        // Inside a loop of references the result depends on where one came in.
        if above.is_empty() || built.is_ok() {
            self.memo.borrow_mut().insert((owner, name), built.clone());
        }
        built
    }

    fn mark(&self, name: &str, steps: Vec<Step>) -> Vec<Step> {
        let mark = middleware_item(self.inputs, name).filter(|_| self.marking).and_then(|i| spans::middleware(&i.config.kind, name));
        match mark {
            Some(mark) => std::iter::once(mark).chain(steps).collect(),
            None => steps,
        }
    }

    fn build_new(
        &self,
        name: &Arc<str>,
        router: &Arc<str>,
        above: &[&str],
        stateful: &Cell<bool>,
        services: &mut dyn ServiceByName,
    ) -> BuiltSteps {
        let Some(item) = middleware_item(self.inputs, name) else { return Err(vec![self.unknown(name)]) };
        if above.len() >= MOST_LEVELS {
            return Err(vec![too_deep("middlewares")]);
        }
        if item.has_errors() {
            return Err(item.diagnostics.clone());
        }
        let key = format!("http.middlewares.{}.{}", unqualified(name), item.config.kind);
        if let Some((plugin, config)) = item.config.plugin() {
            return self.plugin(name, item, plugin, config, &key);
        }
        let Some(kind) = (self.kinds)(&item.config.kind) else {
            return Err(vec![Diagnostic::error(key, format!("there is no middleware of kind `{}`", item.config.kind)).at(&item.place)]);
        };
        if kind.scope == Scope::Router {
            stateful.set(true);
        }
        let owner = stateful.get().then(|| router.clone());
        let slot = (owner, name.clone());
        if let Some(kept) = self.before.get(&slot)
            && kept.digest == item.digest
            && kept.targets.iter().all(|(name, before)| services.endpoint(name).is_ok_and(|now| Arc::ptr_eq(&now, before)))
        {
            self.led_to.borrow_mut().extend(kept.targets.iter().map(|(name, _)| name.clone()));
            self.kept.borrow_mut().insert(slot, kept.clone());
            return Ok(kept.steps.clone());
        }
        let mut path = above.to_vec();
        path.push(name);
        let cx = Cx {
            resolver: self,
            router,
            name,
            item,
            path: &path,
            used_middlewares: Cell::new(false),
            quotes: Cell::new(false),
            targets: RefCell::default(),
            stateful,
            services: RefCell::new(services),
        };
        let built = (kind.build)(&item.config.node, &key, &cx);
        let steps = built.map_err(|wrong| if cx.quotes.get() { wrong } else { own(item, wrong) })?.steps;
        let targets = cx.targets.into_inner();
        self.led_to.borrow_mut().extend(targets.iter().map(|(name, _)| name.clone()));
        if !cx.used_middlewares.get() {
            self.kept.borrow_mut().insert(slot, KeptSteps { digest: item.digest, steps: steps.clone(), targets });
        }
        Ok(steps)
    }

    /// A middleware that a plugin is. It belongs to no router: state of instances is common.
    fn plugin(&self, name: &Arc<str>, item: &Item<MiddlewareConfig>, plugin: &str, config: &Node, key: &str) -> BuiltSteps {
        let key = format!("{key}.{plugin}");
        let Some(found) = self.plugins.find(plugin, provider_of(name)) else {
            return Err(vec![crate::plugins::unknown(self.inputs, plugin, &key).at(&item.place_of("plugin"))]);
        };
        let digest = crate::plugins::mixed(item.digest, self.plugins.version(&found));
        let slot = (None, name.clone());
        let steps = match self.before.get(&slot) {
            Some(kept) if kept.digest == digest => kept.steps.clone(),
            _ => self.plugins.middleware(&found, config, &key, provider_of(name)).map_err(|wrong| own(item, wrong))?.steps,
        };
        self.kept.borrow_mut().insert(slot, KeptSteps { digest, steps: steps.clone(), targets: Targets::new() });
        Ok(steps)
    }

    fn unknown(&self, name: &str) -> Diagnostic {
        let all: Vec<String> = self.inputs.iter().flat_map(|(p, c)| c.http.middlewares.keys().map(move |n| qualify(n, p))).collect();
        let d = Diagnostic::error("", format!("unknown middleware `{name}`"));
        d.hint(known(name, &all, "middlewares"))
    }
}

/// Diagnostics in whose texts there is nothing of another object.
pub(crate) fn own<C>(item: &Item<C>, wrong: Vec<Diagnostic>) -> Vec<Diagnostic> {
    wrong.into_iter().map(|d| item.conceal_in(d)).collect()
}

/// "did you mean", and what is there.
pub(crate) fn known(name: &str, all: &[String], what: &str) -> String {
    let near = closest(name, all.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
    match all {
        [] => format!("no {what} are configured"),
        all => {
            let list: Vec<&str> = all.iter().take(10).map(String::as_str).collect();
            let more = if all.len() > 10 { format!(" and {} more", all.len() - 10) } else { String::new() };
            format!("{near}known here: {}{more}", list.join(", "))
        }
    }
}

struct Cx<'a> {
    resolver: &'a Resolver<'a>,
    router: &'a Arc<str>,
    name: &'a str,
    item: &'a Item<MiddlewareConfig>,
    path: &'a [&'a str],
    /// What is made of other middlewares is made anew each time: they are what is kept.
    used_middlewares: Cell<bool>,
    /// An error may hold the text of another object.
    quotes: Cell<bool>,
    targets: RefCell<Targets>,
    stateful: &'a Cell<bool>,
    services: RefCell<&'a mut dyn ServiceByName>,
}

impl Cx<'_> {
    /// An error that says why another object cannot be used.
    fn because(&self, what: &str, qualified: &str, wrong: Vec<Diagnostic>) -> BuildError {
        self.quotes.set(true);
        let shown = references::name(self.item, qualified);
        let (text, hint) = match wrong.into_iter().next().map(|d| reason(self.item, d)) {
            Some((why, hint)) => (format!("{what} {shown} cannot be used: {why}"), hint),
            None => (format!("{what} {shown} is disabled"), None),
        };
        BuildError { hint, ..BuildError::new("", text) }
    }
}

impl BuildCx for Cx<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn middleware(&self, name: &str) -> Result<Vec<Step>, BuildError> {
        self.used_middlewares.set(true);
        let qualified = qualify(name, provider_of(self.name));
        if self.path.contains(&qualified.as_str()) {
            self.quotes.set(true);
            let round = self.path.iter().copied().chain([qualified.as_str()]).collect::<Vec<_>>().join(" -> ");
            return Err(BuildError::new("", format!("middlewares refer to each other in a circle: {round}"))
                .hint("take one of them out of the chain"));
        }
        let services = &mut **self.services.borrow_mut();
        let built = self.resolver.build(&qualified, self.router, self.path, self.stateful, services);
        built.map_err(|wrong| self.because("middleware", &qualified, wrong))
    }

    fn service(&self, name: &str) -> Result<Arc<dyn Endpoint>, BuildError> {
        let qualified = qualify(name, provider_of(self.name));
        let found = self.services.borrow_mut().endpoint(&qualified).map_err(|wrong| self.because("service", &qualified, wrong))?;
        self.targets.borrow_mut().push((qualified, found.clone()));
        Ok(found)
    }

    fn client(&self, url: &str, transport: &ServersTransportConfig) -> Result<Arc<dyn Client>, BuildError> {
        Ok(Arc::new(torana_upstream::Client::new(url, of_client(transport)?)))
    }

    fn clients(&self, transport: &ServersTransportConfig) -> Result<Arc<dyn Clients>, BuildError> {
        Ok(Arc::new(torana_upstream::Clients::new(of_client(transport)?)))
    }
}

fn of_client(transport: &ServersTransportConfig) -> Result<Transport, BuildError> {
    let transport = Transport::build(transport);
    match transport.problems.first() {
        Some(p) => Err(BuildError::new(p.key, p.message.clone())),
        None => Ok(transport),
    }
}
