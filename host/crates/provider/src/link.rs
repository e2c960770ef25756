//! What the providers of catalogues have in common: a source that comes and goes, and objects that become a document.

use std::future::pending;
use std::time::Duration;
use torana_base::Diagnostic;
use torana_discovery::{Constraint, Flavour, Item, Rule, Source};
use torana_extend::{Backoff, Document, ProviderOut, RejectedObject, Stopped};

/// From objects of a source to what is published.
pub(crate) struct Link {
    name: &'static str,
    out: ProviderOut,
    backoff: Backoff,
    connected: bool,
    /// Documents are not held up by `providers.providersThrottleDuration`.
    own_pace: bool,
    /// Away only while it builds.
    source: Option<Source>,
}

impl Link {
    pub(crate) fn new(name: &'static str, out: ProviderOut, source: Source) -> Link {
        Link { name, out, backoff: Backoff::default(), connected: false, own_pace: false, source: Some(source) }
    }

    /// With a pace of its own, in place of `providers.providersThrottleDuration`.
    pub(crate) fn at_own_pace(self) -> Link {
        Link { own_pace: true, ..self }
    }

    /// The source has answered.
    pub(crate) async fn up(&mut self) -> Result<(), Stopped> {
        self.backoff.reset();
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

    /// All that the source holds now; `rejected` are those of `seen` objects that are no items.
    pub(crate) async fn publish(&mut self, items: Vec<Item>, seen: usize, rejected: Vec<RejectedObject>) -> Result<(), Stopped> {
        let Some(mut source) = self.source.take() else { return Ok(()) };
        let built = tokio::task::spawn_blocking(move || {
            let found = source.build(items);
            (source, found)
        });
        let Ok((source, found)) = built.await else { return Err(Stopped) };
        self.source = Some(source);
        let mut objects = found.objects;
        objects.seen = seen;
        objects.rejected.extend(rejected);
        objects.rejected.sort_by(|a, b| a.name.cmp(&b.name));
        let document =
            Document { provider: self.name, config: found.config, diagnostics: found.diagnostics, objects, own_pace: self.own_pace };
        self.out.publish(document).await
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

/// From the begin of a read that took so long to the begin of the next, when a source tells of changes: reading takes
/// half of the time at most, and changes that come together are read together.
pub(crate) fn pause_after(read: Duration, least: Duration) -> Duration {
    (read * 2).min(Duration::from_secs(5)).max(least)
}
