//! Two versions of a plugin side by side, the new one for a part of the calls.

use crate::entry::{Entry, State, lock};
use crate::load::Loaded;
use crate::pool::{Hooks, Pool};
use crate::stats::Totals;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Instant;
use torana_base::Diagnostic;
use torana_config::routing::RolloutConfig;
use torana_extend::RolloutStatus;

/// The part of the calls that the new version gets; shared by all that use the plugin.
#[derive(Debug, Default)]
pub(crate) struct Share(AtomicU8);

impl Share {
    pub(crate) fn percent(&self) -> u8 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, percent: u8) {
        self.0.store(percent.min(100), Relaxed);
    }
}

/// The pools that calls of one use of a plugin go to.
pub(crate) struct Versions<H: Hooks> {
    stable: Arc<Pool<H>>,
    candidate: Option<(Arc<Pool<H>>, Arc<Share>)>,
}

impl<H: Hooks> Versions<H> {
    pub(crate) fn new(stable: Arc<Pool<H>>, candidate: Option<(Arc<Pool<H>>, Arc<Share>)>) -> Self {
        Versions { stable, candidate }
    }

    pub(crate) fn stable(&self) -> &Arc<Pool<H>> {
        &self.stable
    }

    pub(crate) fn several(&self) -> bool {
        self.candidate.is_some()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Pool<H>>> {
        std::iter::once(&self.stable).chain(self.candidate.as_ref().map(|(p, _)| p))
    }

    /// The version for one exchange.
    pub(crate) fn choose(&self) -> &Arc<Pool<H>> {
        match &self.candidate {
            Some((candidate, share)) if fastrand::u8(..100) < share.percent() => candidate,
            _ => &self.stable,
        }
    }
}

/// A new version that gets a part of the calls.
pub(crate) struct Candidate {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) share: Arc<Share>,
    step: usize,
    step_since: Instant,
    step_calls: u64,
    /// Of the old version when this one began.
    base: Totals,
}

impl Candidate {
    pub(crate) fn begin(loaded: Arc<Loaded>, stable: &Loaded, rollout: &RolloutConfig) -> Candidate {
        let share = Arc::new(Share::default());
        share.set(rollout.steps.first().copied().unwrap_or(100));
        tracing::info!(target: "plugin", plugin = &*loaded.plugin, digest = &loaded.digest[..12], percent = share.percent(), "new version on trial");
        Candidate { base: stable.stats.totals(), loaded, share, step: 0, step_since: Instant::now(), step_calls: 0 }
    }

    pub(crate) fn status(&self) -> RolloutStatus {
        let t = self.loaded.stats.totals();
        RolloutStatus { digest: self.loaded.digest.clone(), percent: self.share.percent(), calls: t.calls, failures: t.failures() }
    }
}

impl Entry {
    /// Judges a version on trial; whether something else is to be compiled.
    pub(crate) fn roll(&self) -> bool {
        let mut s = lock(&self.state);
        let State { item, stable, candidate, error, given_up, .. } = &mut *s;
        let (Some(c), Some(stable_now)) = (candidate.as_mut(), stable.as_ref()) else { return false };
        let rollout = item.config.rollout.clone().unwrap_or_default();
        let now = c.loaded.stats.totals();
        let old = stable_now.stats.totals();
        let rate = |failures: u64, calls: u64| if calls == 0 { 0.0 } else { failures as f64 * 100.0 / calls as f64 };
        let new_rate = rate(now.failures(), now.calls);
        let old_rate = rate(old.failures() - c.base.failures(), old.calls - c.base.calls);
        let enough = u64::from(rollout.minimum_calls);
        if now.calls >= enough && new_rate > old_rate + rollout.tolerance {
            let message = format!(
                "the new version {} was rolled back: {new_rate:.1} % of {} calls failed, {old_rate:.1} % of the old version's",
                &c.loaded.digest[..12],
                now.calls
            );
            tracing::error!(target: "plugin", plugin = &*self.name, "{message}");
            self.load_failures.fetch_add(1, Relaxed);
            let d = Diagnostic::error(format!("{}.path", self.key()), message).at(&item.place_of("path"));
            *error = vec![d.hint("the old version serves on; repair the new one and write the file again")];
            *given_up = Some(c.loaded.digest.clone());
            *candidate = None;
            return true;
        }
        if c.step_since.elapsed() < rollout.interval.as_duration() || now.calls - c.step_calls < enough {
            return false;
        }
        c.step += 1;
        c.step_since = Instant::now();
        c.step_calls = now.calls;
        match rollout.steps.get(c.step) {
            Some(percent) => {
                c.share.set(*percent);
                tracing::info!(target: "plugin", plugin = &*self.name, digest = &c.loaded.digest[..12], percent, "new version on trial");
                false
            }
            None => {
                tracing::info!(target: "plugin", plugin = &*self.name, digest = &c.loaded.digest[..12], "new version taken over");
                *stable = Some(c.loaded.clone());
                *candidate = None;
                true
            }
        }
    }
}
