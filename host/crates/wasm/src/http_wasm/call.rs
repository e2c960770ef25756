//! One call of a guest.

use super::message::Message;
use super::upload::{Ask, Source};
use super::{GuestPool, HttpWasm};
use crate::pool::{Failure, Live, Seat, broken};
use crate::service::turn::{Turns, allow};
use crate::stats::Hook;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;
use wasmtime::{TypedFunc, WasmParams, WasmResults};

/// The message comes back, also from a guest that failed; only one that was given up in the middle has it no more.
pub(super) type Called<R> = (Option<Box<Message>>, Result<R, Failure>);

pub(super) async fn handle_request(seat: &mut Seat<HttpWasm>, message: Box<Message>, source: &mut Source) -> Called<u64> {
    called(seat, Hook::OnRequest, message, Some(source), |h| h.handle_request.clone(), ()).await
}

pub(super) async fn handle_response(seat: &mut Seat<HttpWasm>, message: Box<Message>, context: u32, failed: bool) -> Called<()> {
    called(seat, Hook::OnResponse, message, None, |h| h.handle_response.clone(), (context, u32::from(failed))).await
}

async fn called<P, R>(
    seat: &mut Seat<HttpWasm>,
    hook: Hook,
    message: Box<Message>,
    source: Option<&mut Source>,
    func: impl FnOnce(&HttpWasm) -> TypedFunc<P, R>,
    params: P,
) -> Called<R>
where
    P: WasmParams + Sync + 'static,
    R: WasmResults + Sync + 'static,
{
    let mut back = None;
    let result = seat.with(hook, async |pool: &GuestPool, live: &mut Live<HttpWasm>| {
        live.store.data_mut().guest.message = Some(message);
        let func = func(&live.hooks);
        let result = run(pool, live, func, params, source).await;
        back = live.store.data_mut().guest.message.take();
        result
    });
    let result = result.await;
    (back, result)
}

enum Event<R> {
    Done(wasmtime::Result<R>),
    Asked(Ask),
}

/// `limits.deadline` is for what it does at a stretch, `limits.timeout` for all of it; the time in which it waits for
/// the client's body counts for neither.
async fn run<P, R>(
    pool: &GuestPool,
    live: &mut Live<HttpWasm>,
    func: TypedFunc<P, R>,
    params: P,
    mut source: Option<&mut Source>,
) -> Result<R, Failure>
where
    P: WasmParams + Sync + 'static,
    R: WasmResults + Sync + 'static,
{
    let limits = pool.environment.limits;
    let _held = pool.environment.ticker.hold();
    live.store.data_mut().begin();
    allow(&mut live.store, limits.deadline);
    let turn = live.store.data().hooks.turn.clone();
    let mut end = Instant::now() + limits.timeout;
    let result = {
        let mut call = Turns { turn, future: Box::pin(func.call_async(&mut live.store, params)) };
        loop {
            let event = poll_fn(|cx| match (Pin::new(&mut call).poll(cx), &mut source) {
                (Poll::Ready(r), _) => Poll::Ready(Event::Done(r)),
                (Poll::Pending, Some(source)) => source.poll_asked(cx).map(Event::Asked),
                (Poll::Pending, None) => Poll::Pending,
            });
            match (tokio::time::timeout_at(end.into(), event).await, &mut source) {
                (Ok(Event::Done(r)), _) => break r,
                (Ok(Event::Asked(ask)), Some(source)) => {
                    let begin = Instant::now();
                    source.answer(ask).await;
                    end += begin.elapsed();
                }
                (Ok(Event::Asked(_)), None) => {}
                (Err(_), _) => return Err(Failure::Timeout(limits.timeout)),
            }
        }
    };
    result.map_err(|e| {
        let state = live.store.data();
        match state.guest.message.as_ref().and_then(|m| m.upload.of_the_client()) {
            Some(why) => Failure::Client(why.to_owned()),
            None => broken(&e, state),
        }
    })
}
