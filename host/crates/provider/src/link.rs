//! What the providers of catalogues have in common: a source that comes and goes, and objects that become a document.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use torana_base::Diagnostic;
use torana_discovery::{Constraint, Flavour, Item, Rule, Source};
use torana_extend::{Backoff, Document, Provider, ProviderOut, RejectedObject, Stopped, Undone, apart};

/// From objects of a source to what is published.
pub(crate) struct Link {
    name: &'static str,
    out: ProviderOut,
    backoff: Backoff,
    connected: bool,
    /// Documents are not held up by `providers.providersThrottleDuration`.
    own_pace: bool,
    /// Its options alone.
    blank: Source,
    /// What was built last; `None` while it builds, and after a bug.
    source: Option<Source>,
}

impl Link {
    pub(crate) fn new(name: &'static str, out: ProviderOut, source: Source) -> Link {
        Link { name, out, backoff: Backoff::default(), connected: false, own_pace: false, blank: source, source: None }
    }

    /// With a pace of its own, in place of `providers.providersThrottleDuration`.
    pub(crate) fn at_own_pace(self) -> Link {
        Link { own_pace: true, ..self }
    }

    /// The source has answered.
    pub(crate) async fn up(&mut self) -> Result<(), Stopped> {
        if !self.connected {
            self.connected = true;
            self.out.connected(self.name).await?;
        }
        Ok(())
    }

    /// The source is away; returns when it is time to try again.
    pub(crate) async fn down(&mut self, error: String) -> Result<(), Stopped> {
        self.connected = false;
        self.out.failed(self.name, error).await?;
        tokio::time::sleep(self.backoff.pause()).await;
        Ok(())
    }

    /// Goes [`Link::down`] after a source was followed, or could not be.
    pub(crate) async fn lost(&mut self, ended: Result<Infallible, Ended>) -> Result<(), Stopped> {
        match ended {
            Ok(never) => match never {},
            Err(Ended::Stopped) => Err(Stopped),
            Err(Ended::Away(error)) => self.down(error).await,
        }
    }

    /// All that the source holds now; `rejected` are those of `seen` objects that are no items. After a bug the caller
    /// goes [`Link::down`] and begins anew.
    pub(crate) async fn publish(&mut self, items: Vec<Item>, seen: usize, rejected: Vec<RejectedObject>) -> Result<(), Undone> {
        let mut source = self.source.take().unwrap_or_else(|| self.blank.fresh());
        let built = apart(move || {
            let found = source.build(items);
            (source, found)
        });
        let (source, found) = built.await?;
        self.backoff.reset();
        self.source = Some(source);
        let mut objects = found.objects;
        objects.seen = seen;
        objects.rejected.extend(rejected);
        objects.rejected.sort_by(|a, b| a.name.cmp(&b.name));
        let mut diagnostics = found.diagnostics;
        diagnostics.extend(objects.diagnostics());
        let document = Document { provider: self.name, config: found.config, diagnostics, objects, own_pace: self.own_pace };
        Ok(self.out.publish(document).await?)
    }
}

/// One provider for each namespace, `NAME-namespace`; without any, one that is called `name` and asks for none.
pub(crate) fn each_namespace<P: Provider + 'static>(
    name: &'static str,
    namespaces: &[String],
    one: impl Fn(&'static str, &str) -> P,
) -> Vec<Box<dyn Provider>> {
    if namespaces.is_empty() {
        return vec![Box::new(one(name, ""))];
    }
    // Names live as long as the process, which makes them once.
    let named = |n: &String| Box::new(one(Box::leak(format!("{name}-{n}").into_boxed_str()), n)) as Box<dyn Provider>;
    namespaces.iter().map(named).collect()
}

/// Why a source is not followed any more.
pub(crate) enum Ended {
    /// The gateway is stopping.
    Stopped,
    /// In words for `/api/providers`.
    Away(String),
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Ended::Stopped
    }
}

impl From<Undone> for Ended {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Stopped => Ended::Stopped,
            Undone::Bug(error) => Ended::Away(error),
        }
    }
}

/// The options of a provider that are a template, and an expression.
pub(crate) fn parsed(option: &str, rule: &str, constraints: &str, flavour: Flavour) -> Result<(Rule, Option<Constraint>), Diagnostic> {
    let rule = Rule::parse(&format!("{option}.defaultRule"), rule)?;
    Ok((rule, Constraint::parse(&format!("{option}.constraints"), constraints, flavour)?))
}

/// An option cannot be used: the provider delivers nothing, and says why. Returns when the gateway stops.
pub(crate) async fn refused(name: &'static str, out: &ProviderOut, wrong: Diagnostic) -> Result<(), Stopped> {
    out.refused(name, vec![wrong]).await?;
    pending().await
}

/// Waits for a change, or `every` so long.
pub(crate) async fn or_after<E>(every: Option<Duration>, change: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    match every {
        Some(every) => tokio::time::timeout(every, change).await.unwrap_or(Ok(())),
        None => change.await,
    }
}

/// From the begin of a read that took so long to the begin of the next, when a source tells of changes: reading takes
/// half of the time at most, and changes that come together are read together.
pub(crate) fn pause_after(read: Duration, least: Duration) -> Duration {
    (read * 2).min(Duration::from_secs(5)).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use torana_discovery::{AddressWanted, DEFAULT_RULE, Rule};
    use torana_extend::Event;

    #[tokio::test(start_paused = true)]
    async fn a_bug_is_told_and_ends_nothing() {
        let (out, mut events) = ProviderOut::channel(8);
        let rule = Rule::parse("", DEFAULT_RULE).unwrap();
        let mut link = Link::new("nomad", out, Source::new("nomad", rule));
        let item = |panics: bool| {
            let address = move |_: &AddressWanted<'_>| if panics { panic!("odd") } else { Ok(("h".to_owned(), "1".to_owned())) };
            Item::new("a", "a", Arc::new(BTreeMap::new()), Arc::new(address))
        };
        for _ in 0..2 {
            let Err(Undone::Bug(bug)) = link.publish(vec![item(true)], 1, Vec::new()).await else { panic!("no bug") };
            link.down(bug).await.unwrap();
        }
        link.publish(vec![item(false)], 1, Vec::new()).await.unwrap();
        for _ in 0..2 {
            let Some(Event::Failed { error, .. }) = events.recv().await else { panic!("not told") };
            assert_eq!(error, "a bug in Torana: odd; please report it");
        }
        let Some(Event::Document(d)) = events.recv().await else { panic!("nothing published") };
        assert!(d.config.http.services.contains_key("a"));
    }
}
