//! Two versions of a plugin side by side, the new one for a part of the calls.

use crate::pool::{Hooks, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

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
