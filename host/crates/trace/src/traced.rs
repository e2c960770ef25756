use crate::context::Context;
use crate::propagate::Carried;
use crate::span::{Attributes, Kind, Mark, Span, Value};
use crate::tracer::{Captured, Tracer};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

/// A request that is traced, and its spans that have not ended. When it is dropped they end.
#[derive(Debug)]
pub struct Traced {
    tracer: Arc<Tracer>,
    carried: Carried,
    /// Of the first span.
    root: Context,
    /// The trace is told; else only its context goes on to servers.
    sampled: bool,
    detailed: bool,
    /// Open spans, the outermost first; empty if the trace is not told.
    open: Vec<Span>,
    /// Spans whose work is done, but for the body of the response.
    late: Vec<Span>,
    answered: bool,
}

/// What a request ends with whose client has gone.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Traced {
    /// Begins the span of a request that was received. `detailed`: steps on its way get spans too.
    pub fn begin(tracer: &Arc<Tracer>, method: &str, headers: &HeaderMap, detailed: bool) -> Self {
        let (carried, root) = tracer.begin(headers);
        let sampled = root.is_sampled();
        let mut open = Vec::new();
        if sampled {
            let parent = carried.parent.as_ref().map(|p| p.span);
            open.push(Span::new(root.clone(), parent, method.to_owned().into(), Kind::Server));
        }
        Traced { tracer: tracer.clone(), carried, root, sampled, detailed: detailed && sampled, open, late: Vec::new(), answered: false }
    }

    /// Where the request's first span is, for logs.
    pub fn context(&self) -> &Context {
        &self.root
    }

    pub fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }

    /// Whether anybody will see what is set.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Whether steps have spans.
    pub fn is_detailed(&self) -> bool {
        self.detailed
    }

    /// How many spans are open: what [`Traced::close`] goes back to.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Opens a span within the one that is open.
    pub fn open(&mut self, name: impl Into<Cow<'static, str>>, kind: Kind) {
        if !self.sampled {
            return;
        }
        let parent = self.open.last().map_or(&self.root, |s| &s.context);
        let span = Span::new(parent.child(), Some(parent.span), name.into(), kind);
        self.open.push(span);
    }

    /// Opens the span of a step, if steps have spans.
    pub fn enter(&mut self, mark: &Mark) {
        self.enter_with(mark.name, || mark.attributes.clone());
    }

    /// The same, with attributes that are made only if they are needed.
    pub fn enter_with(&mut self, name: &'static str, attributes: impl FnOnce() -> Attributes) {
        if self.detailed {
            self.open(name, Kind::Internal);
            for (key, value) in attributes() {
                self.set(key, value);
            }
        }
    }

    /// Ends the spans that are open above `depth`; with `late`, when the response has been sent.
    pub fn close(&mut self, depth: usize, late: bool) {
        if self.open.len() <= depth.max(1) {
            return;
        }
        let now = SystemTime::now();
        while self.open.len() > depth.max(1) {
            if let Some(mut span) = self.open.pop() {
                if late {
                    self.late.push(span);
                } else {
                    span.end(now);
                    self.tracer.sink.take(span);
                }
            }
        }
    }

    /// A request is sent again by the step whose span is open: that one ends, and another like it begins.
    pub fn resend(&mut self, count: u64) {
        if !self.detailed || self.open.len() < 2 {
            return;
        }
        let Some(before) = self.open.last() else { return };
        let (name, attributes) = (before.name.clone(), before.attributes.clone());
        self.close(self.open.len() - 1, false);
        self.open(name, Kind::Internal);
        for (key, value) in attributes {
            self.set(key, value);
        }
        self.set("http.request.resend_count", i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets an attribute of the open span.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        if let Some(span) = self.open.last_mut() {
            span.set(self.tracer.options.limits, key, value);
        }
    }

    /// The open span is an error. The first one that is told stays.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = self.open.last_mut() {
            span.fail(why.into());
        }
    }

    /// Sets the captured request headers; `other` gives a header that goes another way than `headers` has it.
    pub fn request_headers(&mut self, headers: &HeaderMap, other: impl Fn(&http::HeaderName) -> Option<HeaderValue>) {
        let tracer = self.tracer.clone();
        for (name, key) in &tracer.request_headers {
            match other(name) {
                Some(v) => self.set(key.clone(), vec![text(&v)]),
                None => self.header(headers, (name, key)),
            }
        }
    }

    fn header(&mut self, headers: &HeaderMap, (name, key): (&http::HeaderName, &String)) {
        let values: Vec<String> = headers.get_all(name).iter().map(text).collect();
        if !values.is_empty() {
            self.set(key.clone(), values);
        }
    }

    /// The open span has been answered: a client's span is an error from 400 on, a server's from 500 on.
    pub fn response(&mut self, status: u16, headers: &HeaderMap) {
        let Some(kind) = self.open.last().map(|s| s.kind) else { return };
        if !(100..600).contains(&status) {
            self.fail(format!("Invalid HTTP status code {status}"));
        } else if status >= if kind == Kind::Client { 400 } else { 500 } {
            self.fail("");
        }
        if status > 0 {
            self.set("http.response.status_code", status);
        }
        let tracer = self.tracer.clone();
        for (name, key) in &tracer.response_headers as &[Captured] {
            self.header(headers, (name, key));
        }
    }

    /// The request has its response; its span and those that are late go on until this is dropped.
    pub fn answer(&mut self, status: u16, headers: &HeaderMap) {
        self.close(1, true);
        self.response(status, headers);
        self.answered = true;
    }

    /// Puts the context of the open span, or of a new one if none is told, into a request that is about to be sent.
    pub fn inject(&self, headers: &mut HeaderMap) {
        let untold;
        let context = match self.open.last() {
            Some(span) => &span.context,
            None => {
                untold = self.root.child();
                &untold
            }
        };
        for p in &self.tracer.options.propagators {
            p.inject(context, &self.carried, headers);
        }
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.answered {
            let nobody = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).map_or(0, |s| s.as_u16());
            while self.open.len() > 1 {
                if self.open.last().is_some_and(|s| s.kind == Kind::Client) {
                    self.response(nobody, &HeaderMap::new());
                }
                self.close(self.open.len() - 1, false);
            }
            self.response(nobody, &HeaderMap::new());
        }
        let now = SystemTime::now();
        for mut span in self.late.drain(..).chain(self.open.drain(..).rev()) {
            span.end(now);
            self.tracer.sink.take(span);
        }
    }
}
