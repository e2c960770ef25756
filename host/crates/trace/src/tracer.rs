use crate::context::Context;
use crate::id::{SpanId, TraceId};
use crate::propagate::{Carried, Propagator};
use crate::span::{Limits, Span};
use http::{HeaderMap, HeaderName};
use std::fmt;
use std::sync::Arc;

/// Takes finished spans; called by workers, so it must not wait.
pub trait Sink: Send + Sync {
    fn take(&self, span: Span);
}

/// `tracing`, as far as requests are concerned.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Share of the traces that begin here and are told: below 0 none, 1 and above all.
    pub sample_rate: f64,
    pub request_headers: Vec<HeaderName>,
    pub response_headers: Vec<HeaderName>,
    /// Query parameters that are not secret.
    pub safe_query: Vec<String>,
    /// Trace what `*@internal` answers too.
    pub internals: bool,
    pub propagators: Vec<Propagator>,
    pub limits: Limits,
}

/// Begins the traces of requests. Shared by all workers and never changed.
pub struct Tracer {
    pub(crate) options: Options,
    /// A trace whose id, without its highest bit, is below this is told.
    threshold: u64,
    pub(crate) request_headers: Vec<Captured>,
    pub(crate) response_headers: Vec<Captured>,
    pub(crate) sink: Arc<dyn Sink>,
}

/// A header, and the attribute that has its values.
pub(crate) type Captured = (HeaderName, String);

impl Tracer {
    pub fn new(options: Options, sink: Arc<dyn Sink>) -> Self {
        let captured = |headers: &[HeaderName], of: &str| -> Vec<Captured> {
            headers.iter().map(|h| (h.clone(), format!("http.{of}.header.{h}"))).collect()
        };
        // What is asked for as an attribute of its own is not told twice.
        let request_headers = captured(&options.request_headers, "request").into_iter().filter(|(h, _)| *h != http::header::USER_AGENT);
        Tracer {
            threshold: (options.sample_rate.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64,
            request_headers: request_headers.collect(),
            response_headers: captured(&options.response_headers, "response"),
            options,
            sink,
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What came with a request, and the context of the span that it begins here.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> (Carried, Context) {
        let mut carried = Carried::default();
        for p in &self.options.propagators {
            p.extract(headers, &mut carried);
        }
        let context = match &carried.parent {
            Some(parent) => parent.child(),
            None => {
                let trace = TraceId::random();
                let flags = if trace.low() >> 1 < self.threshold { Context::SAMPLED } else { 0 };
                Context { trace, span: SpanId::random(), flags, state: Arc::default() }
            }
        };
        (carried, context)
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("options", &self.options).finish_non_exhaustive()
    }
}
