//! The functions of the module `http_handler` that guests import (https://http-wasm.io/http-handler-abi).

use super::message::{Change, Kind, Message, Refusal};
use super::upload::Piece;
use crate::state::State;
use tokio::sync::oneshot;
use tracing::Level;
use wasmtime::{Caller, Engine, Error, Extern, Linker, Result};

pub(super) const MODULE: &str = "http_handler";

/// Everything that guests find: `http_handler`, and WASI preview 1.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut l = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut l, State::preview1)?;
    own(&mut l)?;
    head(&mut l)?;
    headers(&mut l)?;
    bodies(&mut l)?;
    Ok(l)
}

/// What concerns the guest itself.
fn own(l: &mut Linker<State>) -> Result<()> {
    l.func_wrap(MODULE, "enable_features", |mut c: Caller<'_, State>, features: u32| {
        let guest = &mut c.data_mut().guest;
        match &mut guest.message {
            Some(message) => message.enable(features),
            None => {
                guest.features |= features;
                guest.features
            }
        }
    })?;
    l.func_wrap(MODULE, "get_config", |mut c: Caller<'_, State>, buf: u32, limit: u32| {
        let (memory, state) = parts(&mut c)?;
        Ok(give(memory, buf, limit, state.environment.config.as_bytes()))
    })?;
    // Traefik says so of every level, and leaves it to the log what is written.
    l.func_wrap(MODULE, "log_enabled", |_level: i32| 1u32)?;
    l.func_wrap(MODULE, "log", |mut c: Caller<'_, State>, level: i32, message: u32, len: u32| {
        let (memory, state) = parts(&mut c)?;
        let level = match level {
            ..=-1 => Level::DEBUG,
            0 => Level::INFO,
            1 => Level::WARN,
            _ => Level::ERROR,
        };
        state.log(level, &String::from_utf8_lossy(slice(memory, message, len)?));
        Ok(())
    })?;
    Ok(())
}

/// Method, URI, status and what cannot be changed.
fn head(l: &mut Linker<State>) -> Result<()> {
    l.func_wrap(MODULE, "get_method", |mut c: Caller<'_, State>, buf: u32, limit: u32| {
        let (memory, m) = message(&mut c)?;
        Ok(give(memory, buf, limit, m.request.method.as_str().as_bytes()))
    })?;
    l.func_wrap(MODULE, "set_method", |mut c: Caller<'_, State>, at: u32, len: u32| {
        let (memory, m) = message(&mut c)?;
        m.set_method(slice(memory, at, len)?).map_err(Error::msg)
    })?;
    l.func_wrap(MODULE, "get_uri", |mut c: Caller<'_, State>, buf: u32, limit: u32| {
        let (memory, m) = message(&mut c)?;
        Ok(give(memory, buf, limit, m.uri().as_bytes()))
    })?;
    l.func_wrap(MODULE, "set_uri", |mut c: Caller<'_, State>, at: u32, len: u32| {
        let (memory, m) = message(&mut c)?;
        m.set_uri(slice(memory, at, len)?).map_err(Error::msg)
    })?;
    l.func_wrap(MODULE, "get_protocol_version", |mut c: Caller<'_, State>, buf: u32, limit: u32| {
        let (memory, m) = message(&mut c)?;
        Ok(give(memory, buf, limit, m.protocol().as_bytes()))
    })?;
    l.func_wrap(MODULE, "get_source_addr", |mut c: Caller<'_, State>, buf: u32, limit: u32| {
        let (memory, m) = message(&mut c)?;
        Ok(give(memory, buf, limit, m.source.to_string().as_bytes()))
    })?;
    l.func_wrap(MODULE, "get_status_code", |mut c: Caller<'_, State>| message(&mut c)?.1.status().map_err(Error::msg))?;
    l.func_wrap(MODULE, "set_status_code", |mut c: Caller<'_, State>, code: u32| message(&mut c)?.1.set_status(code).map_err(Error::msg))?;
    Ok(())
}

fn headers(l: &mut Linker<State>) -> Result<()> {
    l.func_wrap(MODULE, "get_header_names", |mut c: Caller<'_, State>, kind: u32, buf: u32, limit: u32| {
        let (memory, m) = message(&mut c)?;
        give_all(memory, buf, limit, &m.names(Kind::of(kind).map_err(Error::msg)?))
    })?;
    l.func_wrap(MODULE, "get_header_values", |mut c: Caller<'_, State>, kind: u32, name: u32, name_len: u32, buf: u32, limit: u32| {
        let (memory, m) = message(&mut c)?;
        let kind = Kind::of(kind).map_err(Error::msg)?;
        let values = m.values(kind, slice(memory, name, name_len)?).map_err(Error::msg)?;
        give_all(memory, buf, limit, &values)
    })?;
    for (function, change) in [("set_header_value", Change::Set), ("add_header_value", Change::Add)] {
        l.func_wrap(MODULE, function, move |mut c: Caller<'_, State>, kind: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            let (memory, m) = message(&mut c)?;
            let kind = Kind::of(kind).map_err(Error::msg)?;
            m.change(kind, change, slice(memory, name, name_len)?, slice(memory, value, value_len)?).map_err(Error::msg)
        })?;
    }
    l.func_wrap(MODULE, "remove_header", |mut c: Caller<'_, State>, kind: u32, name: u32, name_len: u32| {
        let (memory, m) = message(&mut c)?;
        let kind = Kind::of(kind).map_err(Error::msg)?;
        m.change(kind, Change::Remove, slice(memory, name, name_len)?, &[]).map_err(Error::msg)
    })?;
    Ok(())
}

const OF_REQUEST: u32 = 0;
const OF_RESPONSE: u32 = 1;

fn bodies(l: &mut Linker<State>) -> Result<()> {
    l.func_wrap_async(MODULE, "read_body", |mut c: Caller<'_, State>, (kind, buf, limit): (u32, u32, u32)| {
        Box::new(async move {
            if limit == 0 {
                return Err(Error::msg("it reads a body into a buffer without room"));
            }
            let (length, end) = match kind {
                OF_REQUEST => read_request(&mut c, buf, limit).await?,
                OF_RESPONSE => {
                    let (memory, m) = message(&mut c)?;
                    m.read_response(slice_mut(memory, buf, limit)?).map_err(Error::msg)?
                }
                other => return Err(no_body(other)),
            };
            Ok(u64::from(end) << 32 | length as u64)
        })
    })?;
    l.func_wrap(MODULE, "write_body", |mut c: Caller<'_, State>, kind: u32, body: u32, len: u32| {
        let (memory, m) = message(&mut c)?;
        let body = slice(memory, body, len)?;
        let written: std::result::Result<(), Refusal> = match kind {
            OF_REQUEST => m.write_request(body),
            OF_RESPONSE => m.write_response(body),
            other => return Err(no_body(other)),
        };
        written.map_err(Error::msg)
    })?;
    Ok(())
}

fn no_body(kind: u32) -> Error {
    Error::msg(format!("{kind} is no kind of body"))
}

/// Fills the buffer, unless the body ends before.
async fn read_request(c: &mut Caller<'_, State>, buf: u32, limit: u32) -> Result<(usize, bool)> {
    let mut filled = 0;
    loop {
        let (memory, m) = message(c)?;
        let room = slice_mut(memory, buf, limit)?;
        if !m.may_read_request().map_err(Error::msg)? {
            return Ok((0, true));
        }
        let (n, more) = m.upload.take(&mut room[filled..]);
        filled += n;
        let Some(whom) = more.filter(|_| filled < room.len()) else { return Ok((filled, m.upload.ended())) };
        let (ask, answer) = oneshot::channel();
        let gone = || Error::msg("the body is gone");
        whom.send(ask).await.map_err(|_| gone())?;
        let piece: Piece = answer.await.map_err(|_| gone())?;
        message(c)?.1.upload.arrived(piece).map_err(Error::msg)?;
    }
}

/// The guest's memory, and what the gateway holds for it.
fn parts<'a>(c: &'a mut Caller<'_, State>) -> Result<(&'a mut [u8], &'a mut State)> {
    let memory = match c.data().guest.memory {
        Some(memory) => memory,
        // In a function that the engine calls while it instantiates.
        None => c.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| Error::msg("it exports no memory"))?,
    };
    Ok(memory.data_and_store_mut(c))
}

fn message<'a>(c: &'a mut Caller<'_, State>) -> Result<(&'a mut [u8], &'a mut Message)> {
    let (memory, state) = parts(c)?;
    let message = state.guest.message.as_deref_mut();
    Ok((memory, message.ok_or_else(|| Error::msg("it asks for a message outside of a request"))?))
}

fn range(at: u32, len: u32) -> std::ops::Range<usize> {
    at as usize..at as usize + len as usize
}

fn slice(memory: &[u8], at: u32, len: u32) -> Result<&[u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    memory.get(range(at, len)).ok_or_else(|| Error::msg("it points outside of its memory"))
}

fn slice_mut(memory: &mut [u8], at: u32, len: u32) -> Result<&mut [u8]> {
    memory.get_mut(range(at, len)).ok_or_else(|| Error::msg("it points outside of its memory"))
}

/// Writes a value if there is room for all of it, and gives its length in any case.
fn give(memory: &mut [u8], buf: u32, limit: u32, value: &[u8]) -> u32 {
    let length = value.len() as u32;
    if length <= limit
        && let Some(to) = memory.get_mut(range(buf, length))
    {
        to.copy_from_slice(value);
    }
    length
}

/// The same of a list: each with a NUL after it, and their count in the upper half of what it gives.
fn give_all(memory: &mut [u8], buf: u32, limit: u32, values: &[&[u8]]) -> Result<u64> {
    let length = values.iter().map(|v| v.len() + 1).sum::<usize>() as u32;
    if length > 0 && length <= limit {
        let mut to = slice_mut(memory, buf, length)?;
        for value in values {
            let (this, rest) = to.split_at_mut(value.len() + 1);
            this[..value.len()].copy_from_slice(value);
            this[value.len()] = 0;
            to = rest;
        }
    }
    Ok((values.len() as u64) << 32 | u64::from(length))
}
