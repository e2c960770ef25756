//! What a component says of itself, for tools.

use crate::cache::Cache;
use crate::clock::Clock;
use crate::load::{Lasting, Loader};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use torana_base::Place;
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Egress, EgressError, Manifest, SendFuture};

/// The manifest of a component, embedded or by its `describe` export; `None` when it has neither. The error
/// says why a gateway would not load it. Nothing is granted to the component.
pub fn describe(component: &[u8]) -> Result<Option<Manifest>, String> {
    let loader = Arc::new(Loader::new(Arc::new(NoWay), Cache::open(), 1, Clock::System)?);
    let config = PluginConfig { path: "the component".to_owned(), ..PluginConfig::default() };
    let item = Item::new(config, Place::whole("command line"), 0);
    let loaded = loader.load(&"plugin".into(), &item, component, &Lasting::default());
    loaded.map(|l| l.manifest.clone()).map_err(|wrong| wrong.into_iter().map(|d| d.message).collect::<Vec<_>>().join("; "))
}

/// No way out.
struct NoWay;

impl Egress for NoWay {
    fn send(&self, _: http::Request<Bytes>, _: Duration, _: usize) -> SendFuture<'static, Result<http::Response<Bytes>, EgressError>> {
        Box::pin(std::future::ready(Err(EgressError::Failed("there is no network here".to_owned()))))
    }
}
