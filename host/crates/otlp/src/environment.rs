//! The variables of OpenTelemetry's SDK that are honoured, as Traefik honours them: those of resources, propagators,
//! limits and batches. Where and how to send is said by the configuration alone.

use std::collections::BTreeMap;
use std::time::Duration;
use torana_trace::{Limits, Propagator};

/// The longest queue that may be asked for: far more than anybody has room for, and a channel takes it.
const LONGEST_QUEUE: usize = 1 << 20;

/// A copy of the variables that begin with `OTEL_`.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

/// How many spans or records wait, and how they are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchLimits {
    pub queue: usize,
    pub batch: usize,
    pub delay: Duration,
}

impl Environment {
    /// Of this process.
    pub fn new() -> Self {
        let text = |s: std::ffi::OsString| s.into_string().ok();
        let all = std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?)));
        Environment(all.filter(|(k, _)| k.starts_with("OTEL_")).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// `OTEL_PROPAGATORS`, by default `tracecontext,baggage`; and the names that are none.
    pub fn propagators(&self) -> (Vec<Propagator>, Vec<String>) {
        let default = vec![Propagator::TraceContext, Propagator::Baggage];
        let Some(text) = self.text("OTEL_PROPAGATORS") else { return (default, Vec::new()) };
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names.contains(&"none") {
            return (Vec::new(), Vec::new());
        }
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for name in names {
            match Propagator::named(name) {
                Some(p) if known.contains(&p) => {}
                Some(p) => known.push(p),
                None => unknown.push(name.to_owned()),
            }
        }
        (if known.is_empty() { default } else { known }, unknown)
    }

    /// `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` and `OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT`, and the older names without `SPAN_`.
    pub fn span_limits(&self) -> Limits {
        let limit = |what: &str, default: Option<usize>| {
            let said = self.number(&format!("OTEL_SPAN_ATTRIBUTE_{what}")).or_else(|| self.number(&format!("OTEL_ATTRIBUTE_{what}")));
            said.map_or(default, |n| usize::try_from(n).ok())
        };
        Limits { count: limit("COUNT_LIMIT", Limits::default().count), length: limit("VALUE_LENGTH_LIMIT", None) }
    }

    /// `OTEL_BSP_*` (of spans) or `OTEL_BLRP_*` (of log records): sizes, and milliseconds.
    pub(crate) fn batches(&self, of: &str, delay: Duration) -> BatchLimits {
        let number = |what: &str| self.number(&format!("OTEL_{of}_{what}")).filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
        let queue = number("MAX_QUEUE_SIZE").unwrap_or(2048).min(LONGEST_QUEUE);
        BatchLimits {
            queue,
            batch: number("MAX_EXPORT_BATCH_SIZE").unwrap_or(512).min(queue),
            delay: number("SCHEDULE_DELAY").map_or(delay, |ms| Duration::from_millis(ms as u64)),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(all: &[(&str, &str)]) -> Self {
        Environment(all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Traefik 3.7.15 takes them.
    #[test]
    fn propagators() {
        let of = |text| Environment::of(&[("OTEL_PROPAGATORS", text)]).propagators();
        let default = vec![Propagator::TraceContext, Propagator::Baggage];
        assert_eq!(of(""), (default.clone(), vec![]));
        assert_eq!(of("none"), (vec![], vec![]));
        assert_eq!(of("nope"), (default, vec!["nope".to_owned()]));
        assert_eq!(of("nope, b3"), (vec![Propagator::B3], vec!["nope".to_owned()]));
        assert_eq!(of("b3multi,b3,b3").0, [Propagator::B3Multi, Propagator::B3]);
    }

    #[test]
    fn limits() {
        let of = |all| Environment::of(all).span_limits();
        assert_eq!(of(&[]), Limits::default());
        assert_eq!(
            of(&[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1")]),
            Limits { count: None, length: Some(5) }
        );
        let batches =
            Environment::of(&[("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_BSP_SCHEDULE_DELAY", "x")]).batches("BSP", Duration::from_secs(5));
        assert_eq!(batches, BatchLimits { queue: 10, batch: 10, delay: Duration::from_secs(5) });
    }

    #[test]
    fn no_queue_is_too_long_for_a_channel() {
        let most = i64::MAX.to_string();
        let limits = Environment::of(&[("OTEL_BSP_MAX_QUEUE_SIZE", &most), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &most)])
            .batches("BSP", Duration::from_secs(5));
        assert_eq!((limits.queue, limits.batch), (LONGEST_QUEUE, LONGEST_QUEUE));
        let (_sender, _receiver) = tokio::sync::mpsc::channel::<u8>(limits.queue);
    }
}
