//! Middlewares: see [`Middleware`].

use std::cell::OnceCell;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::middleware::exports::torana::plugin::middleware_hooks as hooks;
use crate::{Answer, BodyFlow, Capabilities, ConfigError, Flow, Interest, Package, Request, Response};

/// Sees requests on their way to the service and responses on their way back.
///
/// One value serves many requests, one after the other, and the gateway makes as many values as it needs: what belongs to one request goes
/// into [`Request::keep`], what belongs to all into [`kv`](crate::kv). A cache of the value's own stands in a `Cell` or `RefCell`; there are no
/// threads within a plugin. Where a body is streamed, one value serves the whole exchange and no other meanwhile.
///
/// A panic ends the instance: its message is logged, the request is answered as `failure` in the gateway's configuration says, and the
/// next request gets a new instance.
pub trait Middleware: Sized + 'static {
    /// The type of the configuration; `()` for none. Its doc comments become the descriptions of the schema.
    type Config: DeserializeOwned + JsonSchema;

    /// What the plugin asks the operator for.
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    /// Called once for each instance, before anything else.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// What the middleware wants to see; asked once, after `new`.
    fn interest(&self) -> Interest;

    /// A request, its headers complete.
    fn on_request(&self, _request: &mut Request) -> Flow {
        Flow::Next
    }

    /// A response, its headers complete.
    fn on_response(&self, _response: &mut Response) -> Flow {
        Flow::Next
    }

    /// The next piece of a streamed request body; `last` comes exactly once, perhaps with no bytes.
    fn on_request_body(&self, _chunk: &[u8], _last: bool) -> BodyFlow {
        BodyFlow::Pass
    }

    /// The next piece of a streamed response body; `last` comes exactly once, perhaps with no bytes.
    fn on_response_body(&self, _chunk: &[u8], _last: bool) -> BodyFlow {
        BodyFlow::Pass
    }
}

struct Configured<T> {
    plugin: T,
    request_names: Rc<[String]>,
    response_names: Rc<[String]>,
}

/// Holds the one plugin of an instance, between the gateway's calls and the trait.
#[doc(hidden)]
pub struct Slot<T>(OnceCell<Configured<T>>);

#[doc(hidden)]
impl<T: Middleware> Slot<T> {
    pub const fn empty() -> Slot<T> {
        Slot(OnceCell::new())
    }

    pub fn plugin(&self) -> Option<&T> {
        self.0.get().map(|configured| &configured.plugin)
    }

    pub fn describe(package: Package) -> String {
        crate::manifest::manifest::<T::Config>(package, "middleware", T::CAPABILITIES)
    }

    pub fn configure(&self, config: &str) -> Result<hooks::Interest, ConfigError> {
        crate::host::start();
        let plugin = T::new(crate::config::parse(config)?)?;
        let interest = plugin.interest();
        let told = hooks::Interest {
            request: interest.request.is_some(),
            response: interest.response.is_some(),
            request_values: interest.request.unwrap_or_default(),
            response_values: interest.response.unwrap_or_default(),
            request_body: interest.request_body,
            response_body: interest.response_body,
        };
        let request_names = told.request_values.as_slice().into();
        let response_names = told.response_values.as_slice().into();
        match self.0.set(Configured { plugin, request_names, response_names }) {
            Ok(()) => Ok(told),
            Err(_) => Err(ConfigError::new("", "configured twice")),
        }
    }

    pub fn on_request(&self, values: Vec<Option<String>>) -> hooks::RequestAction {
        let Some(Configured { plugin, request_names, .. }) = self.0.get() else {
            return hooks::RequestAction::Respond(Answer::new(500));
        };
        let mut request = Request::new(request_names, values);
        match plugin.on_request(&mut request) {
            Flow::Next => {
                let (edits, state) = request.finish();
                hooks::RequestAction::Next(hooks::Passed { edits, state })
            }
            Flow::Respond(answer) => hooks::RequestAction::Respond(answer),
        }
    }

    pub fn on_response(&self, values: Vec<Option<String>>, state: Option<String>) -> hooks::ResponseAction {
        let Some(Configured { plugin, response_names, .. }) = self.0.get() else {
            return hooks::ResponseAction::Replace(Answer::new(500));
        };
        let mut response = Response::new(response_names, values, state);
        match plugin.on_response(&mut response) {
            Flow::Next => hooks::ResponseAction::Next(response.finish()),
            Flow::Respond(answer) => hooks::ResponseAction::Replace(answer),
        }
    }

    pub fn on_request_body(&self, chunk: &[u8], last: bool) -> hooks::ChunkAction {
        chunk_action(self.plugin().map(|plugin| plugin.on_request_body(chunk, last)))
    }

    pub fn on_response_body(&self, chunk: &[u8], last: bool) -> hooks::ChunkAction {
        chunk_action(self.plugin().map(|plugin| plugin.on_response_body(chunk, last)))
    }
}

fn chunk_action(flow: Option<BodyFlow>) -> hooks::ChunkAction {
    match flow {
        Some(BodyFlow::Pass) => hooks::ChunkAction::Pass,
        Some(BodyFlow::Replace(bytes)) => hooks::ChunkAction::Replace(bytes),
        Some(BodyFlow::Fail(why)) => hooks::ChunkAction::Fail(why),
        None => hooks::ChunkAction::Fail("not configured".into()),
    }
}

/// Makes the component: `export_middleware!(Hello);`, or `export_middleware!(Hello, state);` for a type that also is
/// [`State`](crate::State).
#[macro_export]
macro_rules! export_middleware {
    ($plugin:ty $(, $also:ident)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::middleware::Slot<$plugin> = const { $crate::middleware::Slot::empty() };
            }

            struct Component;

            use $crate::bindings::middleware::exports::torana::plugin::middleware_hooks as hooks;

            impl hooks::Guest for Component {
                fn configure(config: String) -> Result<hooks::Interest, hooks::ConfigError> {
                    SLOT.with(|slot| slot.configure(&config))
                }

                fn on_request(values: hooks::Values) -> hooks::RequestAction {
                    SLOT.with(|slot| slot.on_request(values))
                }

                fn on_response(values: hooks::Values, state: Option<String>) -> hooks::ResponseAction {
                    SLOT.with(|slot| slot.on_response(values, state))
                }

                fn on_request_body(chunk: Vec<u8>, last: bool) -> hooks::ChunkAction {
                    SLOT.with(|slot| slot.on_request_body(&chunk, last))
                }

                fn on_response_body(chunk: Vec<u8>, last: bool) -> hooks::ChunkAction {
                    SLOT.with(|slot| slot.on_response_body(&chunk, last))
                }
            }

            // The names of the exports are no names for a native linker; there, the crate is only tested.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(String) -> Result<hooks::Interest, hooks::ConfigError> = <Component as hooks::Guest>::configure;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::middleware::export_middleware_hooks!(Component with_types_in $crate::bindings::middleware);
            $crate::__export_description!(Component, $crate::middleware::Slot<$plugin>);
            $($crate::__export_also!($also, Component, SLOT);)?
        };
    };
}
