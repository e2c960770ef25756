//! The states of a breaker. All workers share it, and none waits for another: a state and its end are one atomic
//! number.

use super::condition::Condition;
use super::latencies::Latencies;
use super::window::Window;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Times of a breaker, all above zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Periods {
    pub(super) check: Duration,
    pub(super) open: Duration,
    pub(super) recovery: Duration,
}

/// Every `now` is the time since the breaker was made.
#[derive(Debug)]
pub(super) struct Breaker {
    name: Arc<str>,
    condition: Condition,
    periods: Periods,
    /// A packed [`State`].
    state: AtomicU64,
    /// Requests that were let through (high half) and refused (low half) while recovering.
    ramp: AtomicU64,
    /// When the condition is looked at next, in microseconds.
    next_check: AtomicU64,
    window: Window,
    latencies: Option<Latencies>,
}

/// With the end of a state in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open(u64),
    Recovering(u64),
}

impl State {
    fn unpack(packed: u64) -> State {
        match packed & 3 {
            1 => State::Open(packed >> 2),
            2 => State::Recovering(packed >> 2),
            _ => State::Closed,
        }
    }

    fn pack(self) -> u64 {
        match self {
            State::Closed => 0,
            State::Open(until) => until << 2 | 1,
            State::Recovering(until) => until << 2 | 2,
        }
    }
}

fn micros(d: Duration) -> u64 {
    // Two bits are the kind of a state: a hundred thousand years are enough.
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX).min(u64::MAX >> 3)
}

impl Breaker {
    pub(super) fn new(name: &str, condition: Condition, periods: Periods) -> Self {
        Breaker {
            name: name.into(),
            window: Window::new(condition.counts.len()),
            latencies: condition.latencies.then(Latencies::new),
            condition,
            periods,
            state: AtomicU64::new(State::Closed.pack()),
            ramp: AtomicU64::new(0),
            next_check: AtomicU64::new(0),
        }
    }

    /// Whether a request may go on to the service.
    pub(super) fn admits(&self, now: Duration) -> bool {
        let now = micros(now);
        loop {
            let packed = self.state.load(Relaxed);
            let next = match State::unpack(packed) {
                State::Closed => return true,
                State::Open(until) if now < until => return false,
                State::Open(_) => State::Recovering(now.saturating_add(micros(self.periods.recovery)).min(u64::MAX >> 2)),
                State::Recovering(until) if now > until => State::Closed,
                State::Recovering(until) => return self.ramps_up(now, until),
            };
            if self.state.compare_exchange(packed, next.pack(), Relaxed, Relaxed).is_ok() {
                tracing::info!(middleware = &*self.name, "circuit breaker: {}", if next == State::Closed { "closed" } else { "recovering" });
            }
        }
    }

    /// Lets a part through that grows to a half; from there on Traefik lets all through, after the end of the period.
    fn ramps_up(&self, now: u64, until: u64) -> bool {
        let recovery = micros(self.periods.recovery);
        let passed = now.saturating_sub(until.saturating_sub(recovery));
        let target = 0.5 * passed as f64 / recovery.max(1) as f64;
        let mut admitted = false;
        let _ = self.ramp.fetch_update(Relaxed, Relaxed, |ramp| {
            let (allowed, refused) = (ramp >> 32, ramp & u64::from(u32::MAX));
            admitted = ((allowed + 1) as f64) / ((allowed + 1 + refused) as f64) < target;
            Some(if admitted { ramp + (1 << 32) } else { (allowed << 32) | (refused + 1).min(u64::from(u32::MAX)) })
        });
        admitted
    }

    /// Counts a response, and opens when the condition holds.
    pub(super) fn record(&self, now: Duration, code: u16, latency: Duration) {
        let counts = self.condition.counts.iter().enumerate();
        self.window.add(now, counts.filter(|(_, c)| c.matches(code)).map(|(i, _)| i));
        if let Some(latencies) = &self.latencies {
            latencies.add(now, latency);
        }
        let due = self.next_check.load(Relaxed);
        let later = micros(now).saturating_add(micros(self.periods.check));
        if micros(now) < due || self.next_check.compare_exchange(due, later, Relaxed, Relaxed).is_err() {
            return;
        }
        let packed = self.state.load(Relaxed);
        if matches!(State::unpack(packed), State::Open(_)) || !self.holds(now) {
            return;
        }
        self.ramp.store(0, Relaxed);
        let open = State::Open(micros(now).saturating_add(micros(self.periods.open)).min(u64::MAX >> 2));
        if self.state.compare_exchange(packed, open.pack(), Relaxed, Relaxed).is_ok() {
            tracing::warn!(middleware = &*self.name, "circuit breaker: open");
            self.window.reset();
            if let Some(latencies) = &self.latencies {
                latencies.reset(now);
            }
        }
    }

    fn holds(&self, now: Duration) -> bool {
        let latency = |percent| self.latencies.as_ref().map_or(0, |l| i64::try_from(l.quantile(percent).as_millis()).unwrap_or(i64::MAX));
        self.condition.holds(|counter| self.window.sum(now, counter), latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(expression: &str) -> Breaker {
        let periods = Periods { check: Duration::from_millis(100), open: Duration::from_secs(10), recovery: Duration::from_secs(10) };
        Breaker::new("b@file", Condition::parse(expression).unwrap(), periods)
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn opens_recovers_and_closes() {
        let b = breaker("ResponseCodeRatio(500, 600, 0, 600) > 0.5");
        assert!(b.admits(at(0.0)));
        b.record(at(0.0), 200, at(0.0));
        // Looked at only when the period is over.
        b.record(at(0.05), 500, at(0.0));
        b.record(at(0.05), 500, at(0.0));
        assert!(b.admits(at(0.06)));
        b.record(at(0.2), 500, at(0.0));
        assert!(!b.admits(at(0.2)) && !b.admits(at(10.1)));
        // Failures of before are forgotten; while it is open nothing opens it longer.
        b.record(at(5.0), 500, at(0.0));
        assert!(!b.admits(at(10.3)), "at the beginning of the ramp none");
        let admitted = (0..1000).filter(|i| b.admits(at(10.3 + 9.9 * f64::from(*i) / 1000.0))).count();
        assert!((300..500).contains(&admitted), "{admitted}");
        assert!((0..100).all(|_| b.admits(at(20.4))));
    }

    #[test]
    fn a_failure_while_recovering_opens_it_again() {
        let b = breaker("NetworkErrorRatio() > 0.5");
        b.record(at(0.0), 502, at(0.0));
        assert!(!b.admits(at(1.0)) && !b.admits(at(10.1)));
        b.record(at(12.0), 504, at(0.0));
        assert!(!b.admits(at(21.9)));
        assert!(!b.admits(at(30.0)) && (0..10).any(|_| b.admits(at(36.0))));
    }

    #[test]
    fn slow_answers_open_it() {
        let b = breaker("LatencyAtQuantileMS(50.0) > 100");
        b.record(at(0.0), 200, at(0.05));
        assert!(b.admits(at(0.1)));
        b.record(at(0.2), 200, at(0.3));
        b.record(at(0.4), 200, at(0.3));
        assert!(!b.admits(at(0.5)));
    }

    #[test]
    fn states_survive_packing() {
        for state in [State::Closed, State::Open(0), State::Open(u64::MAX >> 2), State::Recovering(7)] {
            assert_eq!(State::unpack(state.pack()), state);
        }
    }
}
