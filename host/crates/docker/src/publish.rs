//! From what is known to a document, at a pace that leaves the machine to the requests.

use crate::items::Made;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use torana_base::{Diagnostic, Place};
use torana_config::install::DockerConfig;
use torana_discovery::{Constraint, Flavour, Rule, Source};
use torana_extend::{Document, ProviderOut, RejectedObject, Undone, apart};

/// Of all time, so much may go into building documents: a fifth.
const SHARE: u32 = 4;
/// No change waits longer for its turn.
const LONGEST: Duration = Duration::from_secs(1);
/// Nor does one by which requests would fail.
const URGENT: Duration = Duration::from_millis(100);

/// Builds and publishes.
pub(crate) struct Publisher {
    /// Its options alone.
    blank: Source,
    /// What was built last; `None` while it builds, and after a bug.
    source: Option<Source>,
    provider: &'static str,
    last: Option<Instant>,
    cost: Duration,
}

impl Publisher {
    /// An error names the option that cannot be used.
    pub(crate) fn new(provider: &'static str, config: &DockerConfig) -> Result<Publisher, Diagnostic> {
        let key = |option: &str| format!("providers.{provider}.{option}");
        let mut source = Source::new(provider, Rule::parse(&key("defaultRule"), &config.default_rule)?);
        source.exposed_by_default = config.exposed_by_default;
        source.allow_empty_services = config.allow_empty_services;
        source.constraints = Constraint::parse(&key("constraints"), &config.constraints, Flavour::Label)?;
        Ok(Publisher { blank: source, source: None, provider, last: None, cost: Duration::ZERO })
    }

    /// When the next document may be built.
    pub(crate) fn due(&self, urgent: bool) -> Instant {
        let now = Instant::now();
        let Some(last) = self.last else { return now };
        let pause = (self.cost * SHARE).min(if urgent { URGENT } else { LONGEST });
        (last + pause).max(now)
    }

    /// Returns when the document was taken over. After a bug the next one is built from scratch.
    pub(crate) async fn publish(&mut self, out: &ProviderOut, made: Made, urgent: bool) -> Result<(), Undone> {
        let begin = Instant::now();
        let mut source = self.source.take().unwrap_or_else(|| self.blank.fresh());
        let Made { items, rejected, warnings, going, seen } = made;
        let built = apart(move || {
            let mut found = source.build(items);
            going.leave(&mut found.config);
            (source, found)
        });
        let (source, mut found) = built.await?;
        self.source = Some(source);
        found.objects.seen = seen;
        found.objects.rejected = merged(found.objects.rejected, rejected);
        found.diagnostics.extend(found.objects.diagnostics());
        let warning = |(of, what): (String, String)| Diagnostic::warning("", what).at(&Place::whole(of));
        found.diagnostics.extend(warnings.into_iter().map(warning));
        self.cost = begin.elapsed();
        tracing::debug!(providerName = self.provider, objects = seen, micros = self.cost.as_micros() as u64, "document built");
        let document = Document {
            provider: self.provider,
            config: found.config,
            diagnostics: found.diagnostics,
            objects: found.objects,
            own_pace: urgent,
        };
        let published = out.publish(document).await;
        self.last = Some(Instant::now());
        Ok(published?)
    }
}

/// One entry for each object.
fn merged(a: Vec<RejectedObject>, b: Vec<RejectedObject>) -> Vec<RejectedObject> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for r in a.into_iter().chain(b) {
        all.entry(r.name).or_default().extend(r.reasons);
    }
    all.into_iter().map(|(name, reasons)| RejectedObject { name, reasons }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use torana_discovery::{AddressWanted, Item};
    use torana_extend::Event;

    #[tokio::test]
    async fn a_bug_is_told_and_ends_nothing() {
        let (out, mut events) = ProviderOut::channel(1);
        let mut publisher = Publisher::new("docker", &DockerConfig::default()).unwrap();
        let made = |panics: bool| {
            let address = move |_: &AddressWanted<'_>| if panics { panic!("odd") } else { Ok(("h".to_owned(), "1".to_owned())) };
            Made { items: vec![Item::new("a", "a", Arc::new(BTreeMap::new()), Arc::new(address))], ..Made::default() }
        };
        let Err(Undone::Bug(bug)) = publisher.publish(&out, made(true), false).await else { panic!("no bug") };
        assert_eq!(bug, "a bug in Torana: odd; please report it");
        publisher.publish(&out, made(false), false).await.unwrap();
        let Some(Event::Document(d)) = events.recv().await else { panic!("nothing published") };
        assert!(d.config.http.services.contains_key("a"));
    }
}
