//! Which imports a component finds.

use crate::abi::v0_1::balancer::torana::plugin::servers;
use crate::abi::v0_1::torana::plugin as wit;
use crate::state::State;
use futures_util::FutureExt;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime::{Engine, Result};
use wasmtime_wasi::p2::bindings::sync::io::streams::StreamError as SyncStreamError;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError};
use wasmtime_wasi_io::bindings::wasi::io::{poll, streams};

/// The linkers of one engine.
pub(crate) struct Linkers {
    /// For components that cannot wait: called without a stack of their own.
    pub(crate) plain: Linker<State>,
    /// For the others.
    pub(crate) waiting: Linker<State>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Linkers> {
        let mut plain = Linker::new(engine);
        base(&mut plain)?;
        wasmtime_wasi::p2::add_to_linker_sync(&mut plain)?;
        never_block(&mut plain)?;
        let mut waiting = Linker::new(engine);
        base(&mut waiting)?;
        wit::outgoing_http::add_to_linker::<State, HasSelf<State>>(&mut waiting, |s| s)?;
        wasmtime_wasi::p2::add_to_linker_async(&mut waiting)?;
        crate::service::link_p2(&mut waiting)?;
        Ok(Linkers { plain, waiting })
    }
}

fn base(l: &mut Linker<State>) -> Result<()> {
    wit::types::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::log::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::config::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::clock::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::kv::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::metrics::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::secrets::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    wit::exchange::add_to_linker::<State, HasSelf<State>>(l, |s| s)?;
    servers::add_to_linker::<State, HasSelf<State>>(l, |s| s)
}

/// Whether a component with these imports may wait, and so has to be called on a stack of its own.
pub(crate) fn may_wait<'a>(mut imports: impl Iterator<Item = &'a str>) -> bool {
    imports.any(|i| ["torana:plugin/outgoing-http", "wasi:sockets/", "wasi:http/"].iter().any(|w| i.starts_with(w)))
}

/// wasmtime's synchronous WASI blocks the thread in these functions; on a worker it may not. Nothing that
/// such a component can reach is ever not ready, except a timer, and to wait for one is refused.
fn never_block(l: &mut Linker<State>) -> Result<()> {
    fn now<T>(future: impl Future<Output = T>) -> Result<T> {
        future.now_or_never().ok_or_else(|| wasmtime::Error::msg("this plugin may not wait: it imports nothing that it could wait for"))
    }
    /// Errors of a stream are a value for the guest, all others a trap.
    fn told<T>(state: &mut State, result: Result<T, StreamError>) -> Result<(Result<T, SyncStreamError>,)> {
        match result {
            Ok(v) => Ok((Ok(v),)),
            Err(e) => Ok((Err(match streams::Host::convert_stream_error(&mut state.table, e)? {
                streams::StreamError::LastOperationFailed(e) => SyncStreamError::LastOperationFailed(e),
                streams::StreamError::Closed => SyncStreamError::Closed,
            }),)),
        }
    }
    l.allow_shadowing(true);
    let mut i = l.instance("wasi:io/streams@0.2.12")?;
    i.func_wrap("[method]output-stream.blocking-write-and-flush", |mut s, (stream, bytes): (Resource<DynOutputStream>, Vec<u8>)| {
        let s: &mut State = s.data_mut();
        let r = now(streams::HostOutputStream::blocking_write_and_flush(&mut s.table, stream, bytes))?;
        told(s, r)
    })?;
    i.func_wrap("[method]output-stream.blocking-flush", |mut s, (stream,): (Resource<DynOutputStream>,)| {
        let s: &mut State = s.data_mut();
        let r = now(streams::HostOutputStream::blocking_flush(&mut s.table, stream))?;
        told(s, r)
    })?;
    i.func_wrap("[method]output-stream.blocking-write-zeroes-and-flush", |mut s, (stream, n): (Resource<DynOutputStream>, u64)| {
        let s: &mut State = s.data_mut();
        let r = now(streams::HostOutputStream::blocking_write_zeroes_and_flush(&mut s.table, stream, n))?;
        told(s, r)
    })?;
    i.func_wrap("[method]input-stream.blocking-read", |mut s, (stream, n): (Resource<DynInputStream>, u64)| {
        let s: &mut State = s.data_mut();
        let r = now(streams::HostInputStream::blocking_read(&mut s.table, stream, n))?;
        told(s, r)
    })?;
    i.func_wrap("[method]input-stream.blocking-skip", |mut s, (stream, n): (Resource<DynInputStream>, u64)| {
        let s: &mut State = s.data_mut();
        let r = now(streams::HostInputStream::blocking_skip(&mut s.table, stream, n))?;
        told(s, r)
    })?;
    type Spliced = (Resource<DynOutputStream>, Resource<DynInputStream>, u64);
    i.func_wrap("[method]output-stream.blocking-splice", |mut s, (to, from, n): Spliced| {
        let s: &mut State = s.data_mut();
        let r = now(streams::HostOutputStream::blocking_splice(&mut s.table, to, from, n))?;
        told(s, r)
    })?;
    i.resource("output-stream", wasmtime::component::ResourceType::host::<DynOutputStream>(), |mut s, rep| {
        let s: &mut State = s.data_mut();
        now(streams::HostOutputStream::drop(&mut s.table, Resource::new_own(rep)))?
    })?;
    i.resource("input-stream", wasmtime::component::ResourceType::host::<DynInputStream>(), |mut s, rep| {
        let s: &mut State = s.data_mut();
        now(streams::HostInputStream::drop(&mut s.table, Resource::new_own(rep)))?
    })?;
    let mut i = l.instance("wasi:io/poll@0.2.12")?;
    i.func_wrap("[method]pollable.block", |mut s, (p,): (Resource<DynPollable>,)| {
        let s: &mut State = s.data_mut();
        now(poll::HostPollable::block(&mut s.table, p))?
    })?;
    i.func_wrap("[method]pollable.ready", |mut s, (p,): (Resource<DynPollable>,)| {
        let s: &mut State = s.data_mut();
        Ok((poll::HostPollable::ready(&mut s.table, p).now_or_never().transpose()?.unwrap_or(false),))
    })?;
    i.func_wrap("poll", |mut s, (all,): (Vec<Resource<DynPollable>>,)| {
        let s: &mut State = s.data_mut();
        Ok((now(poll::Host::poll(&mut s.table, all))??,))
    })?;
    l.allow_shadowing(false);
    Ok(())
}
