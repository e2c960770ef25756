//! Configuration as written: every source (YAML, TOML, JSON, flags, environment) becomes one tree with
//! places ([`node`]), the option tables say what is known and built ([`schema`]), and the tree becomes types:
//! [`install`] (static, read once at start) and [`routing`] (dynamic, from providers). No async, no network.

pub mod de;
mod flat;
pub mod install;
pub mod node;
pub mod parse;
pub mod reference;
pub mod routing;
pub mod schema;
mod size;

pub use flat::{kv, labels};
pub use size::ByteSize;
