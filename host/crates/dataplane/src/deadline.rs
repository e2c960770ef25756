//! Time-outs of connections. A timer per request would cost more than the request; so each connection
//! has a cell that says until when it may go on, and each worker looks at all of them now and then.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// What a connection was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    None,
    /// Its time is over.
    Expired,
    /// The gateway stops: an idle connection closes, a busy one after its response.
    Drain,
}

pub struct Deadline {
    at: Cell<Option<Instant>>,
    signal: Cell<Signal>,
    idle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Deadline {
    /// Sets the time from now; `None` for no limit.
    pub fn set(&self, limit: Option<Duration>) {
        self.at.set(limit.map(|l| Instant::now() + l));
    }

    /// An idle connection is closed at once when the gateway stops.
    pub fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// What the connection was told; else wakes the task when it is.
    pub fn poll(&self, cx: &Context<'_>) -> Signal {
        let signal = self.signal.get();
        // After `Drain` there may still come `Expired`.
        if signal != Signal::Expired {
            let mut waker = self.waker.borrow_mut();
            if waker.as_ref().is_none_or(|w| !w.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        signal
    }

    /// Forgets a signal to drain, which a busy connection heeds later.
    pub fn is_draining(&self) -> bool {
        self.signal.get() == Signal::Drain
    }

    fn tell(&self, signal: Signal) {
        self.signal.set(signal);
        if let Some(w) = self.waker.borrow_mut().take() {
            w.wake();
        }
    }
}

/// All connections of a worker.
#[derive(Default)]
pub struct Deadlines {
    all: RefCell<Vec<Rc<Deadline>>>,
}

impl Deadlines {
    pub fn add(&self) -> Rc<Deadline> {
        let d =
            Rc::new(Deadline { at: Cell::new(None), signal: Cell::new(Signal::None), idle: Cell::new(false), waker: RefCell::new(None) });
        self.all.borrow_mut().push(d.clone());
        d
    }

    /// Tells those whose time is over, and forgets closed connections.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut all = self.all.borrow_mut();
        all.retain(|d| Rc::strong_count(d) > 1);
        if all.capacity() > 1024 && all.len() < all.capacity() / 4 {
            let keep = all.len() * 2;
            all.shrink_to(keep);
        }
        for d in all.iter() {
            if d.signal.get() != Signal::Expired && d.at.get().is_some_and(|at| at <= now) {
                d.tell(Signal::Expired);
            }
        }
    }

    /// Tells every connection that the gateway stops.
    pub fn drain(&self) {
        for d in self.all.borrow().iter().filter(|d| d.signal.get() == Signal::None) {
            d.tell(Signal::Drain);
        }
    }

    pub fn open(&self) -> usize {
        let mut all = self.all.borrow_mut();
        all.retain(|d| Rc::strong_count(d) > 1);
        all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_draining_connection_still_learns_that_its_time_is_over() {
        let (all, count) = (Deadlines::default(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = count.clone().into();
        let cx = Context::from_waker(&waker);
        let d = all.add();
        assert_eq!(d.poll(&cx), Signal::None);
        all.drain();
        assert_eq!((d.poll(&cx), count.0.load(Ordering::Relaxed)), (Signal::Drain, 1));
        d.set(Some(Duration::ZERO));
        all.sweep();
        assert_eq!((d.poll(&cx), count.0.load(Ordering::Relaxed)), (Signal::Expired, 2));
    }
}
