//! Spans of requests, as OpenTelemetry has them: identities, what goes on to servers, sampling, and what is told
//! of a request. No I/O: finished spans go to a [`Sink`].

mod calls;
mod context;
mod id;
mod propagate;
mod query;
mod span;
mod traced;
mod tracer;

pub use calls::{Call, Calls, Durations};
pub use context::Context;
pub use id::{SpanId, TraceId};
pub use propagate::{Carried, Propagator};
pub use query::redacted;
pub use span::{Attributes, Kind, Limits, Mark, Span, Status, Value};
pub use traced::Traced;
pub use tracer::{Options, Sink, Tracer};
