use crate::id::{SpanId, TraceId};
use std::sync::Arc;

/// Where in a trace something is: what goes from one process to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace: TraceId,
    pub span: SpanId,
    /// Bits of W3C Trace Context: [`Context::SAMPLED`], [`Context::RANDOM`].
    pub flags: u8,
    /// `tracestate`, members joined by commas; empty for none.
    pub state: Arc<str>,
}

impl Context {
    pub const SAMPLED: u8 = 1;
    pub const RANDOM: u8 = 2;

    pub fn is_sampled(&self) -> bool {
        self.flags & Context::SAMPLED != 0
    }

    /// A new place in the same trace.
    pub fn child(&self) -> Context {
        Context { span: SpanId::random(), ..self.clone() }
    }
}
