//! Connections in, requests through the current snapshot, responses out. Knows no configuration:
//! `torana-control` compiles what stands here.

pub mod deadline;
mod drain;
mod encoder_limit;
pub mod entry_point;
mod h1;
mod h2;
mod measure;
mod serve;
pub mod snapshot;
mod tunnel;
pub mod worker;

pub use drain::Drain;
pub use entry_point::{EntryPoint, HeaderStrategy, Trust};
pub use measure::EntryPointMeter;
pub use snapshot::{Live, Router, Snapshot};
pub use worker::{Workers, bind};
