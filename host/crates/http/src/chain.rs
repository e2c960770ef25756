//! Middlewares: nine in ten are a `Filter` (two plain calls); what must see the request again, wait, or
//! answer later is an `Around`. A chain is a flat slice of steps, made once per router.

use crate::exchange::{Exchange, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use torana_trace::Mark;

pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a filter decides about a request.
pub enum Flow {
    Continue,
    /// Answer at once; steps after this one never see the request.
    Respond(Box<Response>),
}

impl Flow {
    pub fn respond(response: Response) -> Self {
        Flow::Respond(Box::new(response))
    }
}

/// A middleware that only looks at heads. `on_response` runs in reverse order, for every filter whose
/// `on_request` ran and continued, also on error responses.
pub trait Filter: Send + Sync {
    fn on_request(&self, _exchange: &mut Exchange) -> Flow {
        Flow::Continue
    }

    fn on_response(&self, _exchange: &mut Exchange, _response: &mut Response) {}
}

/// A middleware that decides if and how often the rest of the chain runs.
pub trait Around: Send + Sync {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response>;
}

/// What stands at the end of a chain: a service.
pub trait Endpoint: Send + Sync {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response>;
}

/// One compiled middleware, or a mark between them.
#[derive(Clone)]
pub enum Step {
    Filter(Arc<dyn Filter>),
    Around(Arc<dyn Around>),
    /// A span of its own for the steps after this one, of requests whose steps are traced.
    Span(Arc<Mark>),
}

impl Step {
    pub fn filter(f: impl Filter + 'static) -> Self {
        Step::Filter(Arc::new(f))
    }

    pub fn around(a: impl Around + 'static) -> Self {
        Step::Around(Arc::new(a))
    }

    /// Whether both are the same object.
    pub fn is(&self, other: &Step) -> bool {
        match (self, other) {
            (Step::Filter(a), Step::Filter(b)) => Arc::ptr_eq(a, b),
            (Step::Around(a), Step::Around(b)) => Arc::ptr_eq(a, b),
            (Step::Span(a), Step::Span(b)) => a == b,
            _ => false,
        }
    }
}

/// The rest of a chain; may be run again.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    steps: &'a [Step],
    endpoint: &'a dyn Endpoint,
}

impl<'a> Next<'a> {
    pub fn new(steps: &'a [Step], endpoint: &'a dyn Endpoint) -> Self {
        Next { steps, endpoint }
    }

    pub async fn run(self, exchange: &mut Exchange) -> Response {
        run(self.steps, self.endpoint, exchange).await
    }
}

/// Serves a request through `steps` and then `endpoint`. Allocates nothing itself; an `Around` and an
/// `Endpoint` box their futures, once a call.
pub async fn run(steps: &[Step], endpoint: &dyn Endpoint, exchange: &mut Exchange) -> Response {
    let mut ran = 0;
    let mut early = None;
    let mut around = None;
    let outside = exchange.trace.as_ref().map_or(0, |t| t.depth());
    for step in steps {
        match step {
            Step::Filter(f) => match f.on_request(exchange) {
                Flow::Continue => ran += 1,
                Flow::Respond(r) => {
                    early = Some(*r);
                    break;
                }
            },
            Step::Around(a) => {
                around = Some(a);
                break;
            }
            Step::Span(mark) => {
                if let Some(trace) = &mut exchange.trace {
                    trace.enter(mark);
                }
                ran += 1;
            }
        }
    }
    let mut response = match (early, around) {
        (Some(r), _) => r,
        (None, Some(a)) => a.call(exchange, Next { steps: &steps[ran + 1..], endpoint }).await,
        (None, None) => endpoint.serve(exchange).await,
    };
    for step in steps[..ran].iter().rev() {
        if let Step::Filter(f) = step {
            f.on_response(exchange, &mut response);
        }
    }
    if let Some(trace) = &mut exchange.trace {
        trace.close(outside, response.body().is_streamed());
    }
    response
}
