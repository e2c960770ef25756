//! The application log (`log.*`): events of `tracing` as lines of text or JSON, in the form of Traefik's.
//!
//! A line is written by the thread that logs it, in one piece. Libraries are heard from `WARN` on, and in
//! full at `TRACE` only.

mod file;
mod record;

pub use file::Rotation;
pub use record::enter_sender;

use crate::names;
use crate::record::Records;
use file::LogFile;
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{self, Interest};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// `log`, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `FATAL` or `PANIC`, in any case, or `disabled`. Default
    /// `ERROR`; the last two mean the same here.
    pub level: String,
    /// `json`; anything else, and the default `common`, is text.
    pub format: String,
    /// Default false: text on a terminal has colours.
    pub no_color: bool,
    /// Empty, the default, for standard output. The directories on the way are made.
    pub file_path: String,
    /// Of the file.
    pub rotation: Rotation,
}

/// Keeps hold of the log while the process runs.
#[derive(Clone, Debug)]
pub struct LogHandle {
    sink: Arc<Sink>,
}

impl LogHandle {
    /// Opens `filePath` again, after it has been moved away (SIGUSR1). Without a file there is nothing to do;
    /// if it cannot be opened, the old one goes on being written.
    pub fn reopen(&self) -> io::Result<()> {
        if let Sink::File(file) = &*self.sink { file.reopen() } else { Ok(()) }
    }
}

/// Starts the log, once per process; `records` is told what is logged too. A level that is none is logged and means
/// `ERROR`.
pub fn init(config: &LogConfig, records: Option<Arc<dyn Records>>) -> io::Result<LogHandle> {
    let sink = Arc::new(Sink::of(config)?);
    let lines = Lines { records, ..Lines::new(config, sink.clone()) };
    subscriber::set_global_default(Registry::default().with(lines)).map_err(io::Error::other)?;
    complain(config);
    Ok(LogHandle { sink })
}

fn complain(config: &LogConfig) {
    if level(&config.level).is_none() {
        tracing::error!(
            { names::LOG_LEVEL } = config.level,
            "there is no such log level, errors are logged: write one of TRACE, DEBUG, INFO, WARN, ERROR"
        );
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        "" | "error" | "fatal" | "panic" => LevelFilter::ERROR,
        "disabled" => LevelFilter::OFF,
        _ => return None,
    })
}

/// Where lines go.
enum Sink {
    Stdout,
    File(Arc<LogFile>),
    /// For tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests capture what is logged"))]
    Writer(Mutex<Box<dyn Write + Send>>),
}

impl Sink {
    fn of(config: &LogConfig) -> io::Result<Self> {
        if config.file_path.is_empty() {
            return Ok(Sink::Stdout);
        }
        LogFile::open(Path::new(&config.file_path), config.rotation).map(Sink::File)
    }

    /// Text has colours only where somebody looks at it.
    fn has_colours(&self) -> bool {
        matches!(self, Sink::Stdout) && io::stdout().is_terminal()
    }

    /// A line that cannot be written is lost: there is nowhere to say so.
    fn write(&self, line: &[u8]) {
        _ = match self {
            Sink::Stdout => io::stdout().lock().write_all(line),
            Sink::File(file) => return file.write(line),
            Sink::Writer(w) => w.lock().unwrap_or_else(PoisonError::into_inner).write_all(line),
        };
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Stdout => f.write_str("Stdout"),
            Sink::File(file) => write!(f, "File({})", file.path().display()),
            Sink::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// Makes lines of events.
struct Lines {
    level: LevelFilter,
    json: bool,
    colour: bool,
    sink: Arc<Sink>,
    records: Option<Arc<dyn Records>>,
    clock: fn() -> SystemTime,
}

impl Lines {
    fn new(config: &LogConfig, sink: Arc<Sink>) -> Self {
        let json = config.format == "json";
        let colour = !json && !config.no_color && sink.has_colours();
        Lines { level: level(&config.level).unwrap_or(LevelFilter::ERROR), json, colour, sink, records: None, clock: SystemTime::now }
    }

    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        let ours = || {
            ["torana", "plugin"].iter().any(|t| metadata.target().starts_with(t))
                || level <= Level::WARN
                || self.level == LevelFilter::TRACE
        };
        metadata.is_event() && level <= self.level && ours()
    }

    /// Source file and line, for those who look for mistakes.
    fn caller<'a>(&self, metadata: &Metadata<'a>) -> Option<(&'a str, u32)> {
        (self.level >= LevelFilter::DEBUG).then(|| metadata.file().zip(metadata.line())).flatten()
    }

    /// `2026-01-02T15:04:05Z INF file.rs:5 > message error=... key=value`
    fn text(&self, line: &mut String, event: &Event<'_>, fields: &Fields) -> fmt::Result {
        let metadata = event.metadata();
        let (name, colour) = match *metadata.level() {
            Level::TRACE => ("TRC", BLUE),
            Level::DEBUG => ("DBG", ""),
            Level::INFO => ("INF", GREEN),
            Level::WARN => ("WRN", YELLOW),
            Level::ERROR => ("ERR", RED),
        };
        let bold = if *metadata.level() <= Level::INFO { BOLD } else { "" };
        self.paint(line, GREY, &Rfc3339((self.clock)()))?;
        line.push(' ');
        self.paint(line, colour, &name)?;
        if let Some((file, number)) = self.caller(metadata) {
            line.push(' ');
            self.paint(line, BOLD, &format_args!("{file}:{number}"))?;
            self.paint(line, CYAN, &" >")?;
        }
        if !fields.message.is_empty() {
            line.push(' ');
            self.paint(line, bold, &Printable(&fields.message))?;
        }
        for (name, value) in &fields.list {
            line.push(' ');
            self.paint(line, CYAN, &format_args!("{name}="))?;
            let colour = if *name == names::ERROR { RED } else { "" };
            match value {
                Value::Raw(raw) => self.paint(line, colour, raw)?,
                Value::Text(text) if is_plain(text) => self.paint(line, colour, text)?,
                Value::Text(text) => self.paint(line, colour, &format_args!("{text:?}"))?,
            }
        }
        Ok(())
    }

    fn paint(&self, line: &mut String, colour: &str, what: &dyn fmt::Display) -> fmt::Result {
        if self.colour && !colour.is_empty() { write!(line, "{colour}{what}\x1b[0m") } else { write!(line, "{what}") }
    }

    /// `{"level":"info","key":"value","time":"...","message":"..."}`, in the order in which zerolog writes.
    fn json(&self, line: &mut String, event: &Event<'_>, fields: &Fields) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::TRACE => "trace",
            Level::DEBUG => "debug",
            Level::INFO => "info",
            Level::WARN => "warn",
            Level::ERROR => "error",
        };
        write!(line, r#"{{"level":"{level}""#)?;
        for (name, value) in &fields.list {
            match value {
                Value::Raw(raw) => write!(line, ",{}:{raw}", Json(name))?,
                Value::Text(text) => write!(line, ",{}:{}", Json(name), Json(text))?,
            }
        }
        write!(line, r#","time":"{}""#, Rfc3339((self.clock)()))?;
        if let Some((file, number)) = self.caller(metadata) {
            write!(line, r#","caller":{}"#, Json(&format!("{file}:{number}")))?;
        }
        if !fields.message.is_empty() {
            write!(line, r#","message":{}"#, Json(&fields.message))?;
        }
        line.push('}');
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.hears(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        thread_local!(static LINE: Cell<String> = const { Cell::new(String::new()) });
        let mut fields = Fields::default();
        event.record(&mut fields);
        if !self.json {
            fields.list.sort_by_key(|(name, _)| (*name != names::ERROR, *name));
        }
        // Taken, not borrowed: writing a field might log.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        if (if self.json { self.json(&mut line, event, &fields) } else { self.text(&mut line, event, &fields) }).is_ok() {
            line.push('\n');
            self.sink.write(line.as_bytes());
        }
        if let Some(records) = self.records.as_ref().filter(|_| !record::is_of_sending(event.metadata())) {
            records.take(self.record(event.metadata(), fields));
        }
        if line.capacity() <= KEPT {
            _ = LINE.try_with(|l| l.set(line));
        }
    }
}

/// Bytes of a line's memory that a thread keeps for its next, at most.
const KEPT: usize = 16 << 10;

const GREY: &str = "\x1b[90m";
const BLUE: &str = "\x1b[34m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[36m";
const BOLD: &str = "\x1b[1m";

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    list: Vec<(&'static str, Value)>,
}

enum Value {
    /// A number or a boolean.
    Raw(String),
    Text(String),
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Raw(text)) => self.message = text,
            (name, value) => self.list.push((name.strip_prefix("r#").unwrap_or(name), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::Text(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Raw(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Raw(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Raw(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, if value.is_finite() { Value::Raw(value.to_string()) } else { Value::Text(value.to_string()) });
    }
}

/// Whether a value needs no quotes in text.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'!'..=b'~') && !matches!(b, b'"' | b'\\'))
}

/// A message: may have several lines, but cannot steer a terminal.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() && !matches!(c, '\n' | '\t') { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}

/// A string as JSON has it.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// A moment in UTC, to the second.
struct Rfc3339(SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0.max(UNIX_EPOCH)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_366_245)
    }

    /// What is written while `f` runs.
    fn logged(config: &LogConfig, colour: bool, f: impl FnOnce()) -> String {
        let captured = Captured::default();
        let sink = Arc::new(Sink::Writer(Mutex::new(Box::new(captured.clone()))));
        let lines = Lines { clock: noon, colour, ..Lines::new(config, sink) };
        subscriber::with_default(Registry::default().with(lines), f);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    pub(super) fn config(level: &str, format: &str) -> LogConfig {
        LogConfig { level: level.into(), format: format.into(), ..Default::default() }
    }

    pub(super) fn say() {
        let failure = io::Error::other("no \"route\"");
        tracing::info!(z = 1, r#type = true, { names::ROUTER } = "a@file", { names::ERROR } = %failure, path = "/a b", "took over");
    }

    #[test]
    fn text() {
        let out = logged(&config("info", "common"), false, say);
        assert_eq!(out, "2026-01-02T15:04:05Z INF took over error=\"no \\\"route\\\"\" path=\"/a b\" routerName=a@file type=true z=1\n");
    }

    #[test]
    fn text_in_colour() {
        let out = logged(&config("INFO", ""), true, || tracing::warn!({ names::ERROR } = "bad", a = 1, "told"));
        assert_eq!(
            out,
            "\x1b[90m2026-01-02T15:04:05Z\x1b[0m \x1b[33mWRN\x1b[0m \x1b[1mtold\x1b[0m \x1b[36merror=\x1b[0m\x1b[31mbad\x1b[0m \x1b[36ma=\x1b[0m1\n"
        );
    }

    #[test]
    fn json() {
        let out = logged(&config("INFO", "json"), false, || {
            say();
            tracing::error!(ratio = 0.5, nan = f64::NAN, text = "a\"\\\n\u{1}é", "");
        });
        assert_eq!(
            out,
            concat!(
                r#"{"level":"info","z":1,"type":true,"routerName":"a@file","error":"no \"route\"","path":"/a b","time":"2026-01-02T15:04:05Z","message":"took over"}"#,
                "\n",
                r#"{"level":"error","ratio":0.5,"nan":"NaN","text":"a\"\\\n\u0001é","time":"2026-01-02T15:04:05Z"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn levels() {
        let all = || {
            tracing::trace!("1");
            tracing::debug!("2");
            tracing::info!("3");
            tracing::warn!("4");
            tracing::error!("5");
        };
        for (level, lines) in [
            ("trace", 5),
            ("Debug", 4),
            ("INFO", 3),
            ("warn", 2),
            ("ERROR", 1),
            ("FATAL", 1),
            ("panic", 1),
            ("", 1),
            ("loud", 1),
            ("disabled", 0),
        ] {
            assert_eq!(logged(&config(level, ""), false, all).lines().count(), lines, "{level}");
        }
        let told = logged(&config("loud", ""), false, || complain(&config("loud", "")));
        assert!(told.contains("ERR there is no such log level") && told.ends_with("logLevel=loud\n"), "{told}");
        assert_eq!(logged(&config("", ""), false, || complain(&config("", ""))), "");
    }

    #[test]
    fn libraries_are_heard_when_it_matters() {
        let library = || {
            tracing::debug!(target: "h2::codec", "frame");
            tracing::info!(target: "h2", "connected");
            tracing::warn!(target: "h2", "odd");
        };
        assert_eq!(logged(&config("DEBUG", "json"), false, library).lines().count(), 1);
        assert_eq!(logged(&config("TRACE", "json"), false, library).lines().count(), 3);
    }

    #[test]
    fn debugging_shows_the_caller() {
        let out = logged(&config("DEBUG", ""), false, || tracing::error!("x"));
        assert!(out.starts_with("2026-01-02T15:04:05Z ERR ") && out.contains("log.rs:") && out.ends_with(" > x\n"), "{out}");
        assert!(logged(&config("DEBUG", "json"), false, || tracing::error!("x")).contains("\"caller\":\""));
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let out = logged(&config("", ""), false, || tracing::error!(a = "\x1b[2J", "two\nlines\x1b[2J\r"));
        assert!(out.ends_with("ERR two\nlines\\u{1b}[2J\\r a=\"\\u{1b}[2J\"\n"), "{out:?}");
    }

    #[test]
    fn a_file_is_appended_to_and_opened_again() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("deep/er/torana.log");
        let config = LogConfig { file_path: path.display().to_string(), ..config("info", "") };
        for _ in 0..2 {
            let sink = Arc::new(Sink::of(&config).unwrap());
            let handle = LogHandle { sink: sink.clone() };
            subscriber::with_default(Registry::default().with(Lines::new(&config, sink)), || {
                tracing::info!("one");
                fs::rename(&path, path.with_extension("1")).unwrap();
                tracing::info!("two");
                handle.reopen().unwrap();
                tracing::info!("three");
            });
            let read =
                |p: &Path| fs::read_to_string(p).unwrap().lines().map(|l| l.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
            assert_eq!(read(&path), ["three"]);
            let moved = read(&path.with_extension("1"));
            assert!(moved == ["one", "two"] || moved == ["three", "one", "two"], "{moved:?}");
        }
        assert!(Sink::of(&LogConfig { file_path: "/dev/null/x".into(), ..Default::default() }).is_err());
        LogHandle { sink: Arc::new(Sink::Stdout) }.reopen().unwrap();
    }

    #[test]
    fn dates() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(Rfc3339(UNIX_EPOCH + Duration::from_secs(secs)).to_string(), text);
        }
    }
}
