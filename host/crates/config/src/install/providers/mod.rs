//! `providers.<name>`: one file for each family.

mod kubernetes;

pub use kubernetes::*;
