//! The access log (`accessLog`): one line for each request that has ended, in Traefik's formats, and one record for a
//! collector.
//!
//! A worker makes the line and puts it into memory of its own; one thread takes the lines of all workers and writes
//! them, at once while there are few and together while there are many. Nobody waits for that thread: where lines
//! come faster than a disk or a reader takes them, what finds no room any more is dropped and counted.

mod entry;
mod fields;
mod filter;
mod format;
mod record;
mod time;
mod writer;

pub use crate::record::Trace;
pub use entry::{Entry, Origin, OriginAnswer, Tls};
pub use fields::FieldOptions;
pub use filter::Filter;
pub use format::Format;

use crate::metrics::worker;
use crate::record::Records;
use fields::Fields;
use format::Lines;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use writer::{Queue, Sink, Writer};

/// `accessLog`
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub format: Format,
    /// Standard output without one.
    pub file: Option<PathBuf>,
    pub filter: Filter,
    pub fields: FieldOptions,
    /// Write requests to `*@internal` services too.
    pub internals: bool,
    /// Lines that may wait for the writer, if that is more than there is room for anyway.
    pub buffering: u64,
    /// Count tries after the first as `RetryAttempts`; Traefik does not.
    pub retries: bool,
    pub workers: usize,
    /// Who is told too.
    pub records: Option<Arc<dyn Records>>,
    /// Write no lines: only `records` are told.
    pub silent: bool,
}

/// The access log as workers see it.
#[derive(Debug)]
pub struct AccessLog {
    lines: Lines,
    filter: Filter,
    internals: bool,
    retries: bool,
    /// Of the lines, if there are any.
    queue: Option<Arc<Queue>>,
    records: Option<Arc<dyn Records>>,
    requests: AtomicU64,
}

/// Keeps hold of the log while the process runs.
#[derive(Debug)]
pub struct AccessLogHandle {
    writer: Option<(Arc<Queue>, Writer)>,
}

impl AccessLog {
    /// Opens the file, if there is one, and starts the thread that writes.
    pub fn open(options: Options) -> io::Result<(Arc<AccessLog>, AccessLogHandle)> {
        // As in Traefik, the file is there also where nothing is written to it.
        let sink = Sink::open(options.file.as_deref())?;
        let writer = if options.silent {
            None
        } else {
            let queue = Arc::new(Queue::new(options.workers, options.buffering));
            Some((queue.clone(), Writer::spawn(queue, sink)?))
        };
        let log = AccessLog {
            lines: Lines { format: options.format, fields: Fields::new(&options.fields), zone: TimeZone::system() },
            filter: options.filter,
            internals: options.internals,
            retries: options.retries,
            queue: writer.as_ref().map(|(queue, _)| queue.clone()),
            records: options.records,
            requests: AtomicU64::new(0),
        };
        Ok((Arc::new(log), AccessLogHandle { writer }))
    }

    /// Whether requests to `*@internal` services are written too.
    pub fn internals(&self) -> bool {
        self.internals
    }

    /// The number of a request that begins.
    pub fn begin(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// What a line will need of the headers of a request or response.
    pub fn kept(&self, headers: &HeaderMap) -> HeaderMap {
        if self.wants_headers() { self.lines.fields.kept(headers) } else { HeaderMap::new() }
    }

    /// The value of a header that is kept, as it is written.
    pub fn shown(&self, name: &HeaderName, value: HeaderValue) -> HeaderValue {
        self.lines.fields.shown(name, value)
    }

    pub fn keeps_header(&self, name: &HeaderName) -> bool {
        self.lines.fields.keeps_header(name)
    }

    /// Whether any header is written.
    pub fn wants_headers(&self) -> bool {
        self.lines.fields.wants_headers()
    }

    /// Writes the line of a request, unless it is filtered out.
    pub fn write(&self, entry: &Entry<'_>) {
        let entry = Entry { retries: if self.retries { entry.retries } else { 0 }, ..*entry };
        if self.filter.keeps(entry.status, entry.retries, entry.took) {
            if let Some(queue) = &self.queue {
                queue.put(worker(), |line| self.lines.write(&entry, line));
            }
            if let Some(records) = &self.records {
                records.take(self.lines.record(&entry));
            }
        }
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.queue.as_ref().map_or(0, |q| q.lost())
    }
}

impl AccessLogHandle {
    /// Opens the file again, after it has been moved away (SIGUSR1). If it cannot be opened, the old one goes on being
    /// written.
    pub fn reopen(&self) {
        if let Some((queue, _)) = &self.writer {
            queue.reopen();
        }
    }

    /// Writes what waits. What is put there later is lost.
    pub fn close(self) {
        if let Some((_, writer)) = self.writer {
            writer.close();
        }
    }
}
