//! Passive health checks (Traefik `loadBalancer.passiveHealthCheck`): a server that failed too often is left out for a
//! while. What is remembered of a server survives a reload.

use crate::balance::Balancer;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures are remembered at most so many times in a window; those in between count with the one before.
const MOMENTS: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassiveHealthCheck {
    /// How long a failure counts, and how long a server is left out.
    pub window: Duration,
    /// Failures in a row within the window that take a server out; 0 counts as 1.
    pub attempts: u64,
    /// An active health check brings servers back, and nothing else does.
    pub active: bool,
}

/// The servers of one load balancer.
pub(crate) struct Passive {
    check: PassiveHealthCheck,
    servers: Box<[Arc<Failures>]>,
    /// Servers that were out when this was made have been seen to.
    resumed: AtomicBool,
}

/// What is remembered of a server.
#[derive(Debug, Default)]
struct Failures {
    /// Spares requests that went well the lock.
    any: AtomicBool,
    /// The server has been left out at some time.
    out: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When, and how many, oldest first.
    failed: VecDeque<(Instant, u64)>,
    /// The server is left out until then.
    until: Option<Instant>,
}

impl Failures {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes a failure; how many count now.
    fn failed(&mut self, window: Duration, now: Instant) -> u64 {
        while self.failed.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= window) {
            self.failed.pop_front();
        }
        match self.failed.back_mut().filter(|(at, _)| now.saturating_duration_since(*at) < window / MOMENTS) {
            Some((_, count)) => *count += 1,
            None => self.failed.push_back((now, 1)),
        }
        self.failed.iter().map(|(_, count)| count).sum()
    }
}

impl Passive {
    pub(crate) fn new(check: PassiveHealthCheck, servers: usize) -> Self {
        Passive { check, servers: (0..servers).map(|_| Arc::default()).collect(), resumed: AtomicBool::new(false) }
    }

    /// Goes on with what is remembered of a server; it is left out if it was.
    pub(crate) fn take_over(&mut self, index: usize, before: &Passive, index_before: usize, balancer: &Balancer) {
        if let (Some(mine), Some(theirs)) = (self.servers.get_mut(index), before.servers.get(index_before)) {
            let out = theirs.lock().until.is_some_and(|until| until > Instant::now());
            mine.clone_from(theirs);
            if out && !self.check.active {
                balancer.set_up(index, false);
            }
        }
    }

    /// Sees to the return of servers that were left out before a reload. On a thread with a local runtime.
    pub(crate) fn resume(&self, balancer: &Arc<Balancer>) {
        if self.check.active || self.resumed.swap(true, Relaxed) {
            return;
        }
        for (index, failures) in self.servers.iter().enumerate().filter(|(i, _)| !balancer.is_up(*i)) {
            bring_back(failures.clone(), balancer, index);
        }
    }

    /// Whether a server has been left out at some time.
    pub(crate) fn was_out(&self, index: usize) -> bool {
        self.servers.get(index).is_some_and(|f| f.out.load(Relaxed))
    }

    /// Notes how a request to a server went; true if it is left out from now on.
    pub(crate) fn note(&self, index: usize, well: bool, balancer: &Arc<Balancer>) -> bool {
        let Some(failures) = self.servers.get(index) else { return false };
        if well {
            if failures.any.swap(false, Relaxed) {
                failures.lock().failed.clear();
            }
            return false;
        }
        if self.check.window.is_zero() {
            return false;
        }
        let now = Instant::now();
        let mut state = failures.lock();
        failures.any.store(true, Relaxed);
        if state.failed(self.check.window, now) < self.check.attempts.max(1) {
            return false;
        }
        // A moment that is over may be left of a balancer that went before its server was brought back.
        if !self.check.active && state.until.is_none_or(|until| until <= now) {
            state.until = Some(now + self.check.window);
        }
        failures.out.store(true, Relaxed);
        // Held until the balancer knows, as `bring_back` does: the last one who speaks is right.
        let news = balancer.set_up(index, false);
        if news && !self.check.active {
            bring_back(failures.clone(), balancer, index);
        }
        news
    }
}

/// Brings a server back when its time is over. On a thread with a local runtime.
fn bring_back(failures: Arc<Failures>, balancer: &Arc<Balancer>, index: usize) {
    let balancer = Arc::downgrade(balancer);
    tokio::task::spawn_local(async move {
        let until = failures.lock().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
        let Some(balancer) = balancer.upgrade() else { return };
        let mut state = failures.lock();
        state.until = None;
        balancer.set_up(index, true);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Candidate, Strategy};

    const WINDOW: Duration = Duration::from_millis(200);

    fn balancer(servers: usize) -> Arc<Balancer> {
        let candidates = (0..servers).map(|i| Candidate { name: i.to_string(), weight: 1, fenced: false });
        Arc::new(Balancer::new(Strategy::Wrr, candidates.collect()))
    }

    fn passive(attempts: u64, active: bool, servers: usize) -> Passive {
        Passive::new(PassiveHealthCheck { window: WINDOW, attempts, active }, servers)
    }

    fn local(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, work);
    }

    async fn up_again(balancer: &Balancer, index: usize) {
        while !balancer.is_up(index) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn so_many_failures_in_a_row_leave_a_server_out() {
        local(async {
            let (b, p) = (balancer(2), passive(3, false, 2));
            assert!(!p.note(0, false, &b) && !p.note(0, false, &b) && !p.note(0, true, &b));
            assert!(!p.note(0, false, &b) && !p.note(1, false, &b) && !p.note(0, false, &b) && b.is_up(0));
            assert!(!p.was_out(0) && p.note(0, false, &b) && !b.is_up(0) && b.is_up(1) && p.was_out(0) && !p.was_out(1));
            // Those that were under way tell nothing new.
            assert!(!p.note(0, false, &b) && !p.note(9, false, &b));
            up_again(&b, 0).await;
        });
    }

    #[test]
    fn zero_attempts_are_one_and_no_window_is_no_check() {
        local(async {
            let b = balancer(1);
            let none = Passive::new(PassiveHealthCheck { window: Duration::ZERO, attempts: 1, active: false }, 1);
            assert!(!none.note(0, false, &b) && b.is_up(0));
            assert!(passive(0, true, 1).note(0, false, &b) && !b.is_up(0));
        });
    }

    #[test]
    fn an_active_check_alone_brings_a_server_back() {
        local(async {
            let (b, p) = (balancer(1), passive(1, true, 1));
            assert!(p.note(0, false, &b));
            tokio::time::sleep(WINDOW * 3).await;
            assert!(!b.is_up(0) && b.set_up(0, true) && p.note(0, false, &b));
        });
    }

    #[test]
    fn a_moment_that_is_over_brings_no_server_back() {
        local(async {
            let (b, p) = (balancer(1), passive(1, false, 1));
            let over = Instant::now();
            p.servers[0].lock().until = Some(over);
            assert!(p.note(0, false, &b) && p.servers[0].lock().until.is_some_and(|until| until >= over + WINDOW));
            tokio::time::sleep(WINDOW / 2).await;
            assert!(!b.is_up(0));
            up_again(&b, 0).await;
        });
    }

    #[test]
    fn old_failures_do_not_count() {
        let (mut state, begun) = (State::default(), Instant::now());
        assert_eq!(state.failed(WINDOW, begun), 1);
        assert_eq!(state.failed(WINDOW, begun + WINDOW / 2), 2);
        assert_eq!(state.failed(WINDOW, begun + WINDOW), 2);
        assert_eq!(state.failed(WINDOW, begun + WINDOW * 3), 1);
        // As many as one likes take no more room.
        for i in 0..100_000 {
            state.failed(WINDOW, begun + WINDOW * 3 + WINDOW * i / 100_000);
        }
        assert!(state.failed.len() <= MOMENTS as usize + 1);
    }

    #[test]
    fn a_reload_leaves_a_server_out_for_as_long_as_it_was_to_be() {
        local(async {
            let (old, before) = (balancer(2), passive(1, false, 2));
            assert!(before.note(1, false, &old));
            let (new, mut after) = (balancer(2), passive(1, false, 2));
            after.take_over(0, &before, 1, &new);
            assert!(!new.is_up(0) && new.is_up(1));
            drop(old);
            after.resume(&new);
            after.resume(&new);
            up_again(&new, 0).await;
        });
    }
}
