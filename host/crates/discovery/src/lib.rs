//! What sources of objects with labels have in common (Docker, Swarm, ECS, Consul's catalogue, Nomad): labels
//! to configuration, default rules, constraints, and the merging of what many objects say.
//!
//! A source makes an [`Item`] of each container, task or instance, and [`Source::build`] makes the document of
//! all of them. An item with a mistake contributes nothing, or not all that it says, and is named in
//! [`Found::objects`]; the others are not touched.

mod constraint;
mod decode;
mod item;
mod merge;
mod rule;
mod source;
pub mod template;

pub use constraint::{Constraint, Flavour};
pub use item::{AddressWanted, Addresses, Item, ItemState, Protocol, TemplateFacts, setting};
pub use rule::{DEFAULT_RULE, Rule};
pub use source::{Found, Source};

#[cfg(test)]
mod tests;
