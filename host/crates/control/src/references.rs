//! Values that stand in files and in the environment: `${file:...}` and `${env:...}`. Followed for each
//! document as far as its provider may, read again when a file changes, and taken out of what is shown.

use crate::resolve::{Inputs, Kinds};
use crate::secure::{Files, Stamp};
use crate::status::{MiddlewareStatus, RouterStatus, RuntimeStatus, ServiceStatus};
use crate::status_l4::{ObjectStatus, TcpMiddlewareStatus, TcpRouterStatus, TcpServiceStatus, UdpRouterStatus, UdpServiceStatus};
use crate::tcp::{TcpKinds, shown};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use torana_base::{Diagnostic, qualify};
use torana_config::install::SecretsConfig;
use torana_config::reference::{Answer, Reference, References, Refusal, content, variable};
use torana_config::routing::{Item, RoutingConfig};

/// Another object by its name, as an object tells it that may have the name from a reference.
pub(crate) fn name<C>(item: &Item<C>, qualified: &str) -> String {
    item.conceal(format!("`{qualified}`"))
}

/// What an object tells of another, from what was wrong with that one: text of the other stays as it is, since who
/// wrote that would learn by trial what is taken out. Without a key it is only about the name, which is its own.
pub(crate) fn reason<C>(item: &Item<C>, d: Diagnostic) -> (String, Option<String>) {
    if !d.key.is_empty() {
        return (d.message, d.hint);
    }
    let told = item.conceal(d.message.as_str());
    let hint = d.hint.filter(|_| told == d.message);
    (told, hint)
}

/// [`reason`], where it is not clear that another object is meant; `kind` is what that is.
pub(crate) fn unusable<C>(item: &Item<C>, kind: &str, qualified: &str, why: Option<Diagnostic>) -> (String, Option<String>) {
    match why {
        Some(d) if d.key.is_empty() => reason(item, d),
        Some(d) => (format!("{kind} {} cannot be used: {}", name(item, qualified), d.message), d.hint),
        None => (format!("{kind} {} cannot be used", name(item, qualified)), None),
    }
}

/// A file as it was read last.
struct Read {
    stamp: Stamp,
    /// The last that could be used.
    text: Option<Arc<str>>,
    refused: Option<Refusal>,
}

impl Read {
    fn of(path: &std::path::Path, before: Option<Arc<str>>) -> Read {
        let stamp = Stamp::of(path);
        match content(path) {
            Ok(answer) => Read { stamp, text: Some(answer.text), refused: None },
            Err(refused) => Read { stamp, text: before, refused: Some(refused) },
        }
    }

    fn answer(&self) -> Result<Answer, Refusal> {
        match (&self.text, &self.refused) {
            (Some(text), None) => Ok(Answer { text: text.clone(), warning: None }),
            (Some(text), Some(refused)) => Ok(Answer { text: text.clone(), warning: Some(refused.message.clone()) }),
            (None, Some(refused)) => Err(refused.clone()),
            (None, None) => Err(Refusal::new("the file was not read", "try again")),
        }
    }
}

/// A document with what its references led to.
struct Kept {
    written: Arc<RoutingConfig>,
    /// Of the values that went in.
    epoch: u64,
    followed: Arc<RoutingConfig>,
    /// Whether it has references.
    refers: bool,
    /// That it asked for.
    files: FxHashSet<PathBuf>,
}

/// All documents with what their references led to.
pub(crate) struct Referred {
    config: SecretsConfig,
    read: FxHashMap<PathBuf, Read>,
    files: Arc<Files>,
    /// Counts up when a file has another content.
    epoch: u64,
    documents: BTreeMap<&'static str, Kept>,
    /// The files have to be read again.
    stale: bool,
}

struct Of<'a> {
    provider: &'a str,
    config: &'a SecretsConfig,
    read: &'a mut FxHashMap<PathBuf, Read>,
    asked: &'a mut FxHashSet<PathBuf>,
}

impl References for Of<'_> {
    fn look_up(&mut self, reference: &Reference) -> Result<Answer, Refusal> {
        if !self.config.allows(self.provider, reference) {
            let provider = self.provider;
            let allow = match reference {
                Reference::File(path) => {
                    let folder = path.parent().map_or_else(|| "/run/secrets".into(), |f| f.display().to_string());
                    format!("files: [{folder}]")
                }
                Reference::Env(name) => format!("env: [{name}]"),
            };
            return Err(Refusal::new(
                format!("what comes from `{provider}` may not refer to `{reference}`"),
                format!("if it should, write `secrets: {{allow: {{{provider}: {{{allow}}}}}}}` in the static configuration"),
            ));
        }
        match reference {
            Reference::File(path) => {
                self.asked.insert(path.clone());
                self.read.entry(path.clone()).or_insert_with(|| Read::of(path, None)).answer()
            }
            Reference::Env(name) => variable(name),
        }
    }
}

impl Referred {
    pub(crate) fn new(config: SecretsConfig) -> Self {
        Referred { config, read: FxHashMap::default(), files: Arc::default(), epoch: 0, documents: BTreeMap::new(), stale: false }
    }

    /// Every file that was referred to, with what it was when it was read.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Every file is read again when references are followed next.
    pub(crate) fn forget(&mut self) {
        self.stale = true;
    }

    /// Looks at every file again. One that has become unreadable keeps what it held.
    fn read_again(&mut self) {
        let mut changed = false;
        for (path, read) in &mut self.read {
            let now = Read::of(path, read.text.clone());
            changed |= now.text != read.text || now.refused != read.refused;
            *read = now;
        }
        self.epoch += u64::from(changed);
        self.list();
    }

    fn list(&mut self) {
        self.files = Arc::new(Files::of(self.read.iter().map(|(path, r)| (path.clone(), r.stamp.clone()))));
    }

    /// The documents with values in place of their references. Blocks on the file system where there are new ones,
    /// and where files have to be read again.
    pub(crate) fn follow(&mut self, inputs: &Inputs) -> Inputs {
        if self.stale {
            self.read_again();
            self.stale = false;
        }
        let mut before = std::mem::take(&mut self.documents);
        for (provider, written) in inputs {
            let kept = before.remove(provider).filter(|k| Arc::ptr_eq(&k.written, written) && (!k.refers || k.epoch == self.epoch));
            let kept = kept.unwrap_or_else(|| self.document(provider, written));
            self.documents.insert(provider, kept);
        }
        let asked: FxHashSet<&PathBuf> = self.documents.values().flat_map(|k| &k.files).collect();
        self.read.retain(|path, _| asked.contains(path));
        if !self.files.are(asked) {
            self.list();
        }
        self.documents.iter().map(|(provider, k)| (*provider, k.followed.clone())).collect()
    }

    fn document(&mut self, provider: &str, written: &Arc<RoutingConfig>) -> Kept {
        let mut files = FxHashSet::default();
        let refers = written.has_references();
        let followed = if refers {
            Arc::new(written.resolve(&mut Of { provider, config: &self.config, read: &mut self.read, asked: &mut files }))
        } else {
            written.clone()
        };
        Kept { written: written.clone(), epoch: self.epoch, followed, refers, files }
    }

    /// Shows objects as they were written. What is told of them has no values in it from the start.
    pub(crate) fn conceal(&self, status: &mut RuntimeStatus, kinds: Kinds, tcp_kinds: TcpKinds) {
        // a provider may have secrets of its own in middlewares
        let concealed = |status: &RuntimeStatus| status.middlewares.values().any(|m| m.item.shown().is_some());
        if self.documents.values().all(|k| !k.refers) && !concealed(status) {
            return;
        }
        let RuntimeStatus { routers, services, middlewares, tcp, udp, .. } = status;
        for r in routers.values_mut() {
            if let Some(item) = r.item.shown().cloned() {
                let (live, config) = (&r.item.config, &item.config);
                let middlewares = names(&r.middlewares, live.middlewares.len(), &config.middlewares, &r.provider);
                let tls = if live.tls.is_some() { config.tls.clone() } else { r.tls.clone() };
                let entry_points = written_names(&r.entry_points, &live.entry_points, &config.entry_points);
                *r = Arc::new(RouterStatus { item, middlewares, tls, entry_points, ..(**r).clone() });
            }
        }
        for s in services.values_mut() {
            if let Some(item) = s.item.shown().cloned() {
                let ServiceStatus { name, provider, state, errors, balancer, children, .. } = &**s;
                let (name, provider, balancer, children) = (name.clone(), provider.clone(), balancer.clone(), children.clone());
                *s = Arc::new(ServiceStatus { name, provider, item, state: *state, errors: errors.clone(), balancer, children });
            }
        }
        for m in middlewares.values_mut() {
            if let Some(item) = m.item.shown().cloned() {
                let node = &item.config.node;
                let shown = kinds(&item.config.kind).and_then(|k| (k.show)(node, "").ok()).unwrap_or_else(|| node.to_json());
                let (name, provider, errors) = (m.name.clone(), m.provider.clone(), m.errors.clone());
                *m = Arc::new(MiddlewareStatus { name, provider, item, shown, state: m.state, errors });
            }
        }
        for r in tcp.routers.values_mut() {
            if let Some(object) = object(&r.object) {
                let (live, config) = (&r.object.item.config, &object.item.config);
                let middlewares = names(&r.middlewares, live.middlewares.len(), &config.middlewares, &object.provider);
                let entry_points = written_names(&r.entry_points, &live.entry_points, &config.entry_points);
                *r = Arc::new(TcpRouterStatus { object, middlewares, entry_points, ..(**r).clone() });
            }
        }
        for s in tcp.services.values_mut() {
            if let Some(object) = object(&s.object) {
                *s = Arc::new(TcpServiceStatus { object, balancer: s.balancer.clone(), children: s.children.clone() });
            }
        }
        for m in tcp.middlewares.values_mut() {
            if let Some(object) = object(&m.object) {
                let shown = shown(&object.item.config, tcp_kinds);
                *m = Arc::new(TcpMiddlewareStatus { object, shown });
            }
        }
        for r in udp.routers.values_mut() {
            if let Some(object) = object(&r.object) {
                *r = Arc::new(UdpRouterStatus { object, service: r.service.clone(), using: r.using.clone() });
            }
        }
        for s in udp.services.values_mut() {
            if let Some(object) = object(&s.object) {
                *s = Arc::new(UdpServiceStatus { object, children: s.children.clone() });
            }
        }
    }
}

/// The object as it was written; `None` where it is shown as it is.
fn object<C>(object: &ObjectStatus<C>) -> Option<ObjectStatus<C>> {
    let ObjectStatus { name, provider, item, state, errors } = object;
    let item = item.shown()?.clone();
    Some(ObjectStatus { name: name.clone(), provider: provider.clone(), item, state: *state, errors: errors.clone() })
}

/// Qualified names of middlewares, of which the last `own` are the router's, with those that it was written with.
fn names(all: &[Arc<str>], own: usize, written: &[String], provider: &str) -> Vec<Arc<str>> {
    let of_entry_point = all.iter().take(all.len().saturating_sub(own)).cloned();
    of_entry_point.chain(written.iter().map(|m| qualify(m, provider).into())).collect()
}

/// Entry points that a router names, as they were written; those by default stay.
fn written_names(all: &[Arc<str>], live: &[String], written: &[String]) -> Vec<Arc<str>> {
    if live == written { all.to_vec() } else { written.iter().map(|e| e.as_str().into()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::State;
    use std::fs;
    use torana_config::install::AllowedSecretsConfig;
    use torana_config::parse::{Format, parse};
    use torana_config::routing::decode;

    fn document(file: &std::path::Path) -> Arc<RoutingConfig> {
        let text = format!("http: {{services: {{s: {{loadBalancer: {{servers: [{{url: 'http://${{file:{}}}'}}]}}}}}}}}", file.display());
        Arc::new(decode(&parse(&text, Format::Yaml, "t.yml".into()).unwrap()).value)
    }

    fn url(inputs: &Inputs, provider: &str) -> String {
        inputs[provider].http.services["s"].config.load_balancer.as_ref().unwrap().servers[0].url.clone()
    }

    fn told(inputs: &Inputs, provider: &str) -> Vec<String> {
        inputs[provider].http.services["s"].diagnostics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_provider_follows_what_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("s");
        fs::write(&secret, "one\n").unwrap();
        let allowed = AllowedSecretsConfig { files: vec![dir.path().display().to_string()], env: vec![] };
        let mut referred = Referred::new(SecretsConfig { allow: BTreeMap::from([("etcd".to_owned(), allowed)]) });
        let written = document(&secret);
        let inputs = BTreeMap::from([("file", written.clone()), ("etcd", written.clone()), ("docker", written)]);
        let followed = referred.follow(&inputs);
        assert_eq!((url(&followed, "file"), url(&followed, "etcd")), ("http://one".to_owned(), "http://one".to_owned()));
        let denied = told(&followed, "docker");
        assert!(denied[0].starts_with("error: what comes from `docker` may not refer to `${file:"), "{denied:?}");
        assert!(denied[0].contains(&format!("`secrets: {{allow: {{docker: {{files: [{}]}}}}}}`", dir.path().display())), "{denied:?}");
        assert!(!url(&followed, "docker").contains("one"));
    }

    #[test]
    fn files_are_read_again_and_keep_what_they_held() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("s");
        let mut referred = Referred::new(SecretsConfig::default());
        let inputs = BTreeMap::from([("file", document(&secret))]);
        let first = referred.follow(&inputs);
        assert!(told(&first, "file")[0].contains("cannot be read"));
        assert!(!referred.files().is_empty(), "a file that is missing may come");
        fs::write(&secret, "one").unwrap();
        assert!(Arc::ptr_eq(&referred.follow(&inputs)["file"], &first["file"]), "nothing is read before it is asked for");
        referred.forget();
        let second = referred.follow(&inputs);
        assert_eq!((url(&second, "file"), told(&second, "file")), ("http://one".to_owned(), vec![]));
        fs::write(&secret, "two").unwrap();
        referred.forget();
        let third = referred.follow(&inputs);
        assert_eq!(url(&third, "file"), "http://two");
        assert_ne!(third["file"].http.services["s"].digest, second["file"].http.services["s"].digest);
        referred.forget();
        assert!(Arc::ptr_eq(&referred.follow(&inputs)["file"], &third["file"]), "the same content is the same document");
        fs::remove_file(&secret).unwrap();
        referred.forget();
        let last = referred.follow(&inputs);
        assert_eq!(url(&last, "file"), "http://two");
        assert!(told(&last, "file")[0].starts_with("warning: the file `"), "{:?}", told(&last, "file"));
        assert!(Arc::ptr_eq(referred.follow(&inputs).get("file").unwrap(), &last["file"]));
    }

    #[test]
    fn files_are_read_when_references_are_followed_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("s");
        fs::write(&secret, "one").unwrap();
        let mut referred = Referred::new(SecretsConfig::default());
        let inputs = BTreeMap::from([("file", document(&secret))]);
        referred.follow(&inputs);
        referred.forget();
        fs::write(&secret, "two").unwrap();
        assert_eq!(url(&referred.follow(&inputs), "file"), "http://two");
    }

    #[test]
    fn files_that_nothing_refers_to_any_more_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let mut referred = Referred::new(SecretsConfig::default());
        let files = |r: &Referred| (r.files().are([&one].into_iter().collect()), r.files().are([&two].into_iter().collect()));
        referred.follow(&BTreeMap::from([("file", document(&one))]));
        assert_eq!(files(&referred), (true, false));
        referred.follow(&BTreeMap::from([("file", document(&two))]));
        assert_eq!(files(&referred), (false, true));
        referred.follow(&BTreeMap::new());
        assert!(referred.files().is_empty() && referred.read.is_empty());
    }

    #[test]
    fn values_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("s");
        fs::write(&secret, "correct-horse-battery").unwrap();
        let mut referred = Referred::new(SecretsConfig::default());
        let followed = referred.follow(&BTreeMap::from([("file", document(&secret))]));
        let item = followed["file"].http.services["s"].clone();
        let name: Arc<str> = "s@file".into();
        let mut status = RuntimeStatus::default();
        let errors = vec![item.conceal("`http://correct-horse-battery` is no address")];
        let provider: Arc<str> = "file".into();
        let service =
            ServiceStatus { name: name.clone(), provider, item, state: State::Disabled, errors, balancer: None, children: vec![] };
        status.services.insert(name.clone(), Arc::new(service));
        referred.conceal(&mut status, |_| None, |_| None);
        let reference = format!("${{file:{}}}", secret.display());
        let shown = &status.services[&name];
        assert_eq!(shown.errors, [format!("`{reference}` is no address")]);
        assert_eq!(shown.item.config.load_balancer.as_ref().unwrap().servers[0].url, format!("http://{reference}"));
    }

    #[test]
    fn what_a_provider_conceals_is_not_shown() {
        let middleware = |token: &str| {
            let text = format!("http: {{middlewares: {{m: {{plugin: {{p: {{token: '{token}'}}}}}}}}}}");
            decode(&parse(&text, Format::Yaml, "t.yml".into()).unwrap()).value.http.middlewares["m"].clone()
        };
        let mut item = middleware("correct-horse-battery");
        let live = item.config.node.to_json();
        Arc::make_mut(&mut item).show(middleware("urn:k8s:secret:login:password"));
        let name: Arc<str> = "m@kubernetescrd".into();
        let status = MiddlewareStatus {
            name: name.clone(),
            provider: "kubernetescrd".into(),
            item,
            shown: live,
            state: State::Enabled,
            errors: Vec::new(),
        };
        let mut all = RuntimeStatus::default();
        all.middlewares.insert(name.clone(), Arc::new(status));
        Referred::new(SecretsConfig::default()).conceal(&mut all, |_| None, |_| None);
        let m = &all.middlewares[&name];
        for shown in [&m.shown, &m.item.config.node.to_json()] {
            assert_eq!(shown["p"]["token"], "urn:k8s:secret:login:password");
        }
    }
}
