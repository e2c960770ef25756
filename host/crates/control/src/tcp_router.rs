//! One TCP router: its rule, service, middlewares and entry points to what is served.

use crate::references::unusable;
use crate::resolve::known;
use crate::status::State;
use crate::status_l4::{ObjectStatus, TcpRouterStatus};
use crate::tcp::{Filters, KeptRouter, TcpCx, TcpKinds, filter};
use crate::tcp_services::TcpServices;
use std::sync::Arc;
use torana_base::{Diagnostic, Severity, provider_of, qualify, unqualified};
use torana_config::routing::{Item, TcpRouterConfig};
use torana_dataplane::{TcpRouter, TcpTls};
use torana_http::TcpFilter;
use torana_router::{CompiledTcpRule, MAX_USER_PRIORITY, tcp_priority};
use torana_upstream::l4::TcpService;

/// One TCP router within one compile.
pub(crate) struct Build<'a, 'b> {
    pub cx: &'a TcpCx<'a>,
    pub kinds: TcpKinds,
    pub services: &'a mut TcpServices<'b>,
    pub before_filters: &'a Filters,
    pub filters: &'a mut Filters,
    /// Of the same digest.
    pub before: Option<&'a KeptRouter>,
    pub placed_before: &'a [(Arc<str>, Arc<TcpRouter>)],
    pub name: Arc<str>,
    pub provider: &'a Arc<str>,
    pub item: &'a Arc<Item<TcpRouterConfig>>,
    pub errors: Vec<Diagnostic>,
}

impl Build<'_, '_> {
    /// Says what is wrong, in a text that is all its own.
    fn wrong(&mut self, option: &str, message: impl Into<String>, hint: Option<String>) {
        let message = self.item.conceal(message);
        self.quote(option, message, hint);
    }

    /// Says what is wrong, in a text that may be another object's.
    fn quote(&mut self, option: &str, message: String, hint: Option<String>) {
        let dot = if option.is_empty() { "" } else { "." };
        let d = Diagnostic::error(format!("tcp.routers.{}{dot}{option}", unqualified(&self.name)), message);
        self.errors.push(Diagnostic { hint, ..d.at(&self.item.place_of(option)) });
    }

    /// Its status, and what is served of it, if anything is.
    pub(crate) fn run(&mut self) -> (Arc<TcpRouterStatus>, Option<KeptRouter>) {
        let config = &self.item.config;
        let (rule, priority) = self.rule();
        if priority > MAX_USER_PRIORITY {
            let text = format!("the router priority {priority} exceeds the max user-defined priority {MAX_USER_PRIORITY}");
            self.wrong("priority", text, Some("lower it".to_owned()));
        }
        let service_name: Arc<str> = config.service.as_deref().map(|s| qualify(s, self.provider)).unwrap_or_default().into();
        let service = self.service(&service_name);
        let tls = self.tls();
        let (listed, unknown) = self.cx.models.effective(&config.entry_points);
        let mut using: Vec<Arc<str>> = listed.iter().filter(|e| !unknown.contains(e)).cloned().collect();
        using.sort_unstable();
        using.dedup();
        for u in &unknown {
            let from = self.errors.len();
            let i = config.entry_points.iter().position(|e| e.as_str() == &**u).unwrap_or(0);
            let all: Vec<String> = self.cx.models.names().map(str::to_owned).collect();
            self.wrong(&format!("entryPoints[{i}]"), format!("entryPoint `{u}` does not exist"), Some(known(u, &all, "TCP entry points")));
            if !using.is_empty() {
                // The router is served all the same, where it can be.
                self.errors[from..].iter_mut().for_each(|d| d.severity = Severity::Warning);
            }
        }
        if using.is_empty() {
            self.wrong("entryPoints", "no valid entryPoint for this router", Some("name one of the TCP entry points".to_owned()));
        }
        let middlewares: Vec<Arc<str>> = config.middlewares.iter().map(|m| qualify(m, self.provider).into()).collect();
        let mut placed = Vec::new();
        for entry_point in &using {
            let Some(filters) = self.filters(&middlewares, entry_point) else { break };
            let Some(service) = &service else { continue };
            let reuse = self
                .placed_before
                .iter()
                .find(|(e, r)| e == entry_point && r.service.is_same(service) && r.tls == tls && same_filters(&r.middlewares, &filters));
            let router = match reuse {
                Some((_, r)) => r.clone(),
                None => Arc::new(TcpRouter { name: self.name.clone(), middlewares: filters, service: service.clone(), tls: tls.clone() }),
            };
            placed.push((entry_point.clone(), router));
        }
        let usable = !self.errors.iter().any(Diagnostic::is_error);
        // Connections that such a router would take are closed, and not given to the next one.
        if let TcpTls::Terminate { options } = &tls
            && **options != *"default"
            && !(self.cx.tls_options)(options)
        {
            self.wrong("tls.options", format!("unknown TLS options: {options}"), Some("name one of tls.options".to_owned()));
        }
        let state = match (self.errors.iter().any(Diagnostic::is_error), self.errors.is_empty()) {
            (true, _) => State::Disabled,
            (false, true) => State::Enabled,
            (false, false) => State::Warning,
        };
        let object = ObjectStatus {
            name: self.name.clone(),
            provider: self.provider.clone(),
            item: self.item.clone(),
            state,
            errors: self.errors.iter().map(|d| d.message.clone()).collect(),
        };
        let syntax = self.cx.models.tcp_syntax_name(config).to_owned();
        let plain = self.errors.is_empty() && middlewares.is_empty();
        let status =
            Arc::new(TcpRouterStatus { object, priority, syntax, middlewares, service: service_name, entry_points: listed, using });
        let made = match rule {
            Some(rule) if usable => Some(KeptRouter { digest: self.item.digest, rule, priority, placed, status: status.clone(), plain }),
            _ => None,
        };
        (status, made)
    }

    /// The compiled rule, and the priority.
    fn rule(&mut self) -> (Option<Arc<CompiledTcpRule>>, i64) {
        let (text, written) = (&self.item.config.rule, self.item.config.priority);
        if let Some(b) = self.before {
            return (Some(b.rule.clone()), b.priority);
        }
        let computed = |by_rule: i64| if written == 0 { by_rule } else { written };
        if text.trim().is_empty() {
            if !self.item.has_errors() {
                self.wrong("rule", "router has no rule", Some("add one, such as rule: \"HostSNI(`*`)\"".to_owned()));
            }
            return (None, written);
        }
        let syntax = self.cx.models.tcp_syntax(&self.item.config);
        let parsed = syntax.parse_tcp(text);
        let priority = computed(parsed.as_ref().map_or(text.len() as i64, |p| tcp_priority(text, p)));
        match parsed.and_then(|p| syntax.compile_tcp(&p)) {
            Ok(rule) => {
                if rule.needs_tls() && self.item.config.tls.is_none() {
                    let hint = "add `tls: {}`, or `tls: {passthrough: true}`; a name is known of TLS connections only";
                    self.wrong("rule", "the rule has a HostSNI matcher, but there is no TLS on the router", Some(hint.to_owned()));
                }
                (Some(Arc::new(rule)), priority)
            }
            Err(e) => {
                let d = e.to_diagnostic(format!("tcp.routers.{}.rule", unqualified(&self.name)), text);
                self.errors.push(self.item.conceal_in(d).at(&self.item.place_of("rule")));
                (None, priority)
            }
        }
    }

    fn tls(&self) -> TcpTls {
        match &self.item.config.tls {
            None => TcpTls::None,
            Some(t) if t.passthrough => TcpTls::Passthrough,
            Some(t) if matches!(t.options.as_str(), "" | "default") => TcpTls::Terminate { options: "default".into() },
            Some(t) => TcpTls::Terminate { options: qualify(&t.options, self.provider).into() },
        }
    }

    fn service(&mut self, qualified: &str) -> Option<TcpService> {
        if qualified.is_empty() {
            if !self.item.has_errors() {
                self.wrong("service", "the service is missing on the router", Some("name one of tcp.services".to_owned()));
            }
            return None;
        }
        let why = match self.services.service(qualified) {
            Ok(usable) => return Some(usable.service),
            Err(why) => why.into_iter().next(),
        };
        let (message, hint) = unusable(self.item, "service", qualified, why);
        self.quote("service", message, hint);
        None
    }

    /// The middlewares of the router on an entry point; `None` when one cannot be used.
    fn filters(&mut self, middlewares: &[Arc<str>], entry_point: &Arc<str>) -> Option<Vec<Arc<dyn TcpFilter>>> {
        let mut all = Vec::with_capacity(middlewares.len());
        for (i, name) in middlewares.iter().enumerate() {
            let slot = (self.name.clone(), entry_point.clone(), name.clone());
            let item = self.cx.inputs.get(provider_of(name)).and_then(|c| c.tcp.middlewares.get(unqualified(name)));
            let kept = self.before_filters.get(&slot).filter(|(digest, _)| item.is_some_and(|i| i.digest == *digest));
            let built = match kept {
                Some(kept) => Ok(kept.clone()),
                None => filter(self.cx.inputs, self.kinds, name),
            };
            match built {
                Ok(built) => {
                    all.push(built.1.clone());
                    self.filters.insert(slot, built);
                }
                Err(why) => {
                    let (message, hint) = unusable(self.item, "middleware", name, why.into_iter().next());
                    self.quote(&format!("middlewares[{i}]"), message, hint);
                    return None;
                }
            }
        }
        Some(all)
    }
}

fn same_filters(a: &[Arc<dyn TcpFilter>], b: &[Arc<dyn TcpFilter>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
