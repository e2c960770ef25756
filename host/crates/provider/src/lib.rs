//! The providers that come with Torana: where routing configuration is read from. A new one is a file
//! with a `Provider` in it, its `NAME`, its `configured`, and one word in the list below.

mod kv;
mod link;
mod objects;
pub mod rest;
mod tags;
mod web;

macro_rules! providers {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// Names behind `@` in references, in the order of the list.
        pub const NAMES: &[&str] = &[$($name::NAME),*];

        /// The providers that the static configuration switches on.
        pub fn configured(config: &torana_config::install::ProvidersConfig) -> Vec<Box<dyn torana_extend::Provider>> {
            let mut all = Vec::new();
            $(all.extend($name::configured(config));)*
            all
        }
    };
}

providers! { consul consul_catalog ecs etcd file http nomad redis zookeeper }

pub use file::FileProvider;

#[cfg(test)]
mod tests;
