//! Events as a collector takes them.

use super::{Fields, Lines, Value};
use crate::record::{Record, Severity};
use std::borrow::Cow;
use std::cell::Cell;
use tracing::{Level, Metadata};

/// Sends records: what libraries log on this thread is not sent, or it would never end.
pub fn enter_sender() {
    SENDER.with(|s| s.set(true));
}

thread_local!(static SENDER: Cell<bool> = const { Cell::new(false) });

/// Whether an event comes of sending records.
pub(super) fn is_of_sending(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target.starts_with("torana_otlp") || (SENDER.try_with(Cell::get).unwrap_or(true) && !target.starts_with("torana"))
}

impl Lines {
    /// The message is the body, all else stands by its name.
    pub(super) fn record(&self, metadata: &Metadata<'_>, fields: Fields) -> Record {
        let severity = match *metadata.level() {
            Level::TRACE => Severity::Trace,
            Level::DEBUG => Severity::Debug,
            Level::INFO => Severity::Info,
            Level::WARN => Severity::Warn,
            Level::ERROR => Severity::Error,
        };
        let mut attributes: Vec<(Cow<'static, str>, torana_trace::Value)> =
            fields.list.into_iter().map(|(name, value)| (name.into(), value.typed())).collect();
        attributes.extend(self.caller(metadata).map(|(file, line)| ("caller".into(), format!("{file}:{line}").into())));
        let at = (self.clock)();
        Record { at, observed: at, severity, level: None, body: fields.message, attributes, trace: None }
    }
}

impl Value {
    fn typed(self) -> torana_trace::Value {
        use torana_trace::Value as Typed;
        match self {
            Value::Text(text) => text.into(),
            Value::Raw(raw) => match (raw.parse(), raw.parse(), raw.parse()) {
                (Ok(b), _, _) => Typed::Bool(b),
                (_, Ok(n), _) => Typed::Int(n),
                (_, _, Ok(n)) => Typed::Float(n),
                _ => raw.into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sink;
    use super::super::tests::{config, noon, say};
    use super::*;
    use crate::record::Records;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::subscriber;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry::Registry;

    #[derive(Debug, Default)]
    struct Taken(Mutex<Vec<Record>>);

    impl Records for Taken {
        fn take(&self, record: Record) {
            self.0.lock().unwrap().push(record);
        }
    }

    #[test]
    fn records_say_what_lines_say() {
        let taken = Arc::new(Taken::default());
        let sink = Arc::new(Sink::Writer(Mutex::new(Box::new(io::sink()))));
        let lines = Lines { clock: noon, records: Some(taken.clone()), ..Lines::new(&config("debug", "json"), sink) };
        subscriber::with_default(Registry::default().with(lines), || {
            say();
            tracing::trace!("not heard");
            tracing::error!(target: "torana_otlp", "of sending");
            enter_sender();
            tracing::error!(target: "h2", "of sending too");
            tracing::warn!(ratio = 0.5, "of ours");
            SENDER.with(|s| s.set(false));
        });
        let all = taken.0.lock().unwrap();
        assert_eq!(
            all.iter().map(|r| (r.body.as_str(), r.severity)).collect::<Vec<_>>(),
            [("took over", Severity::Info), ("of ours", Severity::Warn)]
        );
        let value = |i: usize, name: &str| all[i].attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        use torana_trace::Value as Typed;
        assert_eq!((value(0, "z"), value(0, "type")), (Some(Typed::Int(1)), Some(Typed::Bool(true))));
        assert_eq!((value(0, "error"), value(1, "ratio")), (Some("no \"route\"".to_owned().into()), Some(Typed::Float(0.5))));
        assert!(value(0, "caller").is_some() && all[0].at == noon());
    }
}
