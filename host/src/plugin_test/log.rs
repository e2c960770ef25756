//! What a plugin writes to the log, kept for who tests it.

use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// More lines than that are not kept: a budget makes many.
const MAX_LINES: usize = 10_000;

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

/// As a reader sees it.
pub(crate) fn shown(lines: &[(Level, String)]) -> Vec<String> {
    lines.iter().map(|(level, text)| format!("{level} {text}")).collect()
}

/// The lines since the last time.
pub(crate) fn taken() -> Vec<(Level, String)> {
    std::mem::take(&mut *LINES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps lines of plugins, and of the engine about them; everything else is of no interest here.
pub(crate) struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Not only events: who asks whether a level is on is neither event nor span.
        !metadata.is_span() && metadata.target() == "plugin"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_LINES {
            lines.push((*event.metadata().level(), line.0));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
