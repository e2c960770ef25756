//! A line of a log as a collector takes it.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::SystemTime;
use torana_trace::Value;

/// Numbers as OpenTelemetry has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Trace = 1,
    Debug = 5,
    Info = 9,
    Warn = 13,
    Error = 17,
}

/// A line, and what it says piece by piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened.
    pub at: SystemTime,
    /// When it was told.
    pub observed: SystemTime,
    pub severity: Severity,
    /// The severity in words, where they go along.
    pub level: Option<&'static str>,
    pub body: String,
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    pub trace: Option<Trace>,
}

/// Where in a trace something is (W3C Trace Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub id: [u8; 16],
    /// The first span of the request here.
    pub span: [u8; 8],
    /// Whether anybody sees the trace.
    pub sampled: bool,
}

/// Takes records; never waits.
pub trait Records: Debug + Send + Sync {
    fn take(&self, record: Record);
}
