//! Sends traces, metrics and logs to OpenTelemetry collectors (OTLP, over HTTP or gRPC), from one thread that
//! nothing waits for: what cannot be sent is dropped and counted.

mod batch;
mod destination;
mod environment;
mod exporters;
mod logs;
mod metrics;
mod resource;
mod spans;

pub use destination::{Destination, Signal};
pub use environment::Environment;
pub use exporters::{Exporters, Running, Work};
pub use resource::Resource;
