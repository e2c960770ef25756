//! What a file became: a component, or a core module.

use crate::state::State;
use wasmtime::{Engine, Result, Store};

/// Compiled and linked.
pub(crate) enum Code {
    Component { component: wasmtime::component::Component, pre: wasmtime::component::InstancePre<State> },
    Module(wasmtime::InstancePre<State>),
}

/// An instance of either.
pub(crate) enum Instance {
    Component(wasmtime::component::Instance),
    Module(wasmtime::Instance),
}

impl Code {
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Code::Component { component, .. } => component.engine(),
            Code::Module(pre) => pre.module().engine(),
        }
    }

    /// For one that has no need of a stack of its own.
    pub(crate) fn instantiate(&self, store: &mut Store<State>) -> Result<Instance> {
        match self {
            Code::Component { pre, .. } => pre.instantiate(store).map(Instance::Component),
            Code::Module(pre) => pre.instantiate(store).map(Instance::Module),
        }
    }

    /// On a stack of its own.
    pub(crate) async fn instantiate_async(&self, store: &mut Store<State>) -> Result<Instance> {
        match self {
            Code::Component { pre, .. } => pre.instantiate_async(store).await.map(Instance::Component),
            Code::Module(pre) => pre.instantiate_async(store).await.map(Instance::Module),
        }
    }

    /// Of a component.
    pub(crate) fn linked(&self) -> Option<&wasmtime::component::InstancePre<State>> {
        match self {
            Code::Component { pre, .. } => Some(pre),
            Code::Module(_) => None,
        }
    }
}
