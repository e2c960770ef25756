//! What is known of the containers of one engine, and what its events change in it. No I/O, no clock of its own.

use crate::api::Event;
use crate::container::{Container, Health};
use crate::signal::ends;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// A container that was told to end and has not done so in this time goes back into service, unless its own time is longer.
const STOPPING: Duration = Duration::from_secs(60);

/// Podman tells of a check before it has kept what came of it: the container is looked at once more after this.
const SETTLING: Duration = Duration::from_secs(1);

/// What is to be done after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing that is served has changed.
    None,
    /// Publish, as soon as the pace allows.
    Later,
    /// Somebody is going away: publish before requests fail.
    Now,
}

/// The containers of an engine.
#[derive(Default)]
pub(crate) struct Containers {
    known: HashMap<String, Container>,
    /// Told to end; until when that is believed.
    stopping: HashMap<String, Instant>,
    /// To be looked at alone.
    unclear: BTreeSet<String>,
    /// To be looked at alone once more, and when.
    settling: HashMap<String, Instant>,
    /// Looked at now; what is heard of them meanwhile makes the answer an old one.
    asked: HashMap<String, bool>,
    /// Heard of since the list was asked for, if one is.
    since_list: Option<HashSet<String>>,
}

impl Containers {
    pub(crate) fn known(&self) -> &HashMap<String, Container> {
        &self.known
    }

    /// It was told to end.
    pub(crate) fn is_stopping(&self, id: &str) -> bool {
        self.stopping.contains_key(id)
    }

    pub(crate) fn unclear(&self) -> usize {
        self.unclear.len()
    }

    /// The next one to look at alone.
    pub(crate) fn ask(&mut self) -> Option<String> {
        let id = self.unclear.iter().find(|id| !self.asked.contains_key(*id))?.clone();
        self.unclear.remove(&id);
        self.asked.insert(id.clone(), false);
        Some(id)
    }

    /// Nothing that was asked will be answered: the connection is another one.
    pub(crate) fn forget_questions(&mut self) {
        self.asked.clear();
        self.unclear.clear();
        self.settling.clear();
        self.since_list = None;
    }

    /// What a look at one container has found; `None` when it is gone.
    pub(crate) fn answered(&mut self, id: &str, found: Option<Container>, now: Instant) -> Change {
        if self.asked.remove(id) == Some(true) {
            self.unclear.insert(id.to_owned());
            return Change::None;
        }
        match found {
            Some(c) => self.put(c, now),
            None => self.remove(id),
        }
    }

    /// A look at one container failed: the next list will tell.
    pub(crate) fn unanswered(&mut self, id: &str) {
        if self.asked.remove(id) == Some(true) {
            self.unclear.insert(id.to_owned());
        }
    }

    /// A list is about to be asked for.
    pub(crate) fn begin_list(&mut self) {
        self.since_list = Some(HashSet::new());
        self.unclear.clear();
    }

    /// All containers that there are.
    pub(crate) fn listed(&mut self, all: Vec<Container>, now: Instant) -> Change {
        let heard = self.since_list.take().unwrap_or_default();
        let mut change = Change::None;
        let there: HashSet<String> = all.iter().map(|c| c.id.clone()).collect();
        let gone: Vec<String> = self.known.keys().filter(|id| !there.contains(*id) && !heard.contains(*id)).cloned().collect();
        for id in gone {
            change = change.max(self.remove(&id));
        }
        for c in all {
            // What was heard since is newer than the list.
            if heard.contains(&c.id) {
                if !self.known.contains_key(&c.id) {
                    self.unclear.insert(c.id);
                }
                continue;
            }
            change = change.max(self.put(c, now));
        }
        self.stopping.retain(|id, _| self.known.contains_key(id));
        change
    }

    fn put(&mut self, c: Container, now: Instant) -> Change {
        if !c.running {
            self.stopping.remove(&c.id);
        } else if let (Some(until), Some(stop)) = (self.stopping.get_mut(&c.id), &c.stop) {
            *until = (*until).max(now + Duration::from_secs(stop.timeout.min(86_400)));
        }
        let change = match self.known.get(&c.id) {
            Some(before) if before.same(&c) => Change::None,
            Some(before) if serves(before) && !serves(&c) => Change::Now,
            _ => Change::Later,
        };
        match self.known.get_mut(&c.id) {
            // A list says nothing of how to stop.
            Some(before) if change == Change::None => before.stop = c.stop.or(before.stop.take()),
            _ => {
                self.known.insert(c.id.clone(), c);
            }
        }
        change
    }

    fn remove(&mut self, id: &str) -> Change {
        self.stopping.remove(id);
        match self.known.remove(id) {
            Some(c) if serves(&c) => Change::Now,
            Some(_) => Change::Later,
            None => Change::None,
        }
    }

    /// Puts containers back that were told to end and go on, and has those looked at again whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Change {
        let before = self.stopping.len();
        let unclear = &mut self.unclear;
        for waiting in [&mut self.stopping, &mut self.settling] {
            waiting.retain(|id, until| {
                let keep = *until > now;
                if !keep {
                    unclear.insert(id.clone());
                }
                keep
            });
        }
        if self.stopping.len() == before { Change::None } else { Change::Later }
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.stopping.values().chain(self.settling.values()).min().copied()
    }

    /// An event of the engine.
    pub(crate) fn heard(&mut self, event: &Event, now: Instant) -> Change {
        let id = match event.kind.as_str() {
            "container" => &event.actor.id,
            // Docker's is about the network, Podman's about the container.
            "network" => event.actor.attributes.get("container").unwrap_or(&event.actor.id),
            _ => return Change::None,
        };
        let (action, detail) = event.action.split_once(':').map_or((event.action.as_str(), ""), |(a, d)| (a, d.trim()));
        let counts = match event.kind.as_str() {
            "network" => matches!(action, "connect" | "disconnect"),
            _ => matches!(
                action,
                "create"
                    | "start"
                    | "restart"
                    | "unpause"
                    | "pause"
                    | "die"
                    | "died"
                    | "stop"
                    | "kill"
                    | "destroy"
                    | "remove"
                    | "rename"
                    | "update"
                    | "health_status"
            ),
        };
        if !counts {
            return Change::None;
        }
        if let Some(heard) = &mut self.since_list {
            heard.insert(id.clone());
        }
        if let Some(stale) = self.asked.get_mut(id) {
            *stale = true;
        }
        if event.kind == "network" {
            return self.look(id);
        }
        match action {
            "kill" => self.killed(id, event.actor.attributes.get("signal").map_or("", String::as_str), now),
            "die" | "died" | "stop" => {
                self.unclear.remove(id);
                self.state(id, "exited")
            }
            "pause" => self.state(id, "paused"),
            "destroy" | "remove" => {
                self.unclear.remove(id);
                self.remove(id)
            }
            "health_status" => {
                if detail.is_empty() {
                    self.settling.insert(id.clone(), now + SETTLING);
                }
                self.health(id, Health::parse(detail))
            }
            "start" | "restart" => {
                self.stopping.remove(id);
                self.look(id)
            }
            _ => self.look(id),
        }
    }

    fn look(&mut self, id: &str) -> Change {
        self.unclear.insert(id.to_owned());
        Change::None
    }

    fn state(&mut self, id: &str, state: &str) -> Change {
        self.stopping.remove(id);
        let Some(c) = self.known.get_mut(id) else { return self.look(id) };
        let served = serves(c);
        let same = c.state == state;
        c.running = false;
        state.clone_into(&mut c.state);
        // An engine takes these away too.
        if state == "exited" {
            c.health = Health::None;
            c.ports.clear();
            c.networks.iter_mut().for_each(|(_, a)| *a = Default::default());
        }
        match (same, served) {
            (true, _) => Change::None,
            (false, true) => Change::Now,
            (false, false) => Change::Later,
        }
    }

    fn health(&mut self, id: &str, health: Health) -> Change {
        // Engines that do not say in the event what it is now, and containers that nobody knows yet.
        if health == Health::None || self.unclear.contains(id) {
            return self.look(id);
        }
        match self.known.get_mut(id) {
            Some(c) if c.running => {
                if c.health == health {
                    return Change::None;
                }
                let served = serves(c);
                c.health = health;
                if served && !health.is_up() { Change::Now } else { Change::Later }
            }
            _ => self.look(id),
        }
    }

    /// A signal was sent. Most end the container; some are messages that it goes on after.
    fn killed(&mut self, id: &str, signal: &str, now: Instant) -> Change {
        let Some(c) = self.known.get(id) else { return Change::None };
        // Podman does not say which.
        if signal.is_empty() {
            return self.look(id);
        }
        if !ends(signal, c.stop.as_ref()) {
            // Its own stop signal may be any.
            return if c.stop.is_none() && !matches!(signal, "1" | "10" | "12") { self.look(id) } else { Change::None };
        }
        let own = c.stop.as_ref().map_or(0, |s| s.timeout).min(86_400);
        let until = now + STOPPING.max(Duration::from_secs(own + 10));
        let served = serves(c);
        let fresh = self.stopping.insert(id.to_owned(), until).is_none();
        if fresh && served { Change::Now } else { Change::None }
    }
}

fn serves(c: &Container) -> bool {
    c.running && c.health.is_up()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Stop;

    fn container(id: &str) -> Container {
        Container { id: id.into(), name: id.into(), running: true, state: "running".into(), ..Container::default() }
    }

    fn event(kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) -> Event {
        let mut e = Event { kind: kind.into(), action: action.into(), ..Event::default() };
        e.actor.id = id.into();
        e.actor.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        e
    }

    fn with(ids: &[&str]) -> Containers {
        let mut all = Containers::default();
        assert_eq!(all.listed(ids.iter().map(|id| container(id)).collect(), Instant::now()), Change::Later);
        all
    }

    #[test]
    fn a_container_comes_and_goes() {
        let mut all = Containers::default();
        let now = Instant::now();
        assert_eq!(all.heard(&event("container", "start", "a", &[]), now), Change::None);
        assert_eq!((all.ask().as_deref(), all.ask()), (Some("a"), None));
        assert_eq!(all.answered("a", Some(container("a")), now), Change::Later);
        assert_eq!(all.heard(&event("container", "kill", "a", &[("signal", "15")]), now), Change::Now);
        assert!(all.is_stopping("a"));
        assert_eq!(all.heard(&event("container", "kill", "a", &[("signal", "9")]), now), Change::None, "known already");
        assert_eq!(all.heard(&event("container", "die", "a", &[]), now), Change::Now);
        assert_eq!(all.heard(&event("container", "stop", "a", &[]), now), Change::None);
        assert!(!all.is_stopping("a") && !all.known()["a"].running);
        assert_eq!(all.heard(&event("container", "destroy", "a", &[]), now), Change::Later);
        assert!(all.known().is_empty() && all.ask().is_none());
    }

    #[test]
    fn signals_that_are_messages() {
        let now = Instant::now();
        for (signal, stop, change) in [
            ("1", Some(""), Change::None),
            ("10", None, Change::None),
            ("3", Some("SIGTERM"), Change::None),
            ("3", Some("SIGQUIT"), Change::Now),
            ("28", Some("WINCH"), Change::Now),
            ("37", Some("RTMIN+3"), Change::Now),
            ("15", Some("SIGQUIT"), Change::Now),
            ("9", None, Change::Now),
        ] {
            let mut all = Containers::default();
            let stop = stop.map(|s| Stop { signal: s.into(), timeout: 0 });
            all.listed(vec![Container { stop, ..container("a") }], now);
            assert_eq!(all.heard(&event("container", "kill", "a", &[("signal", signal)]), now), change, "{signal}");
        }
        // When the stop signal is not known yet, it is asked for.
        let mut all = with(&["a"]);
        all.heard(&event("container", "kill", "a", &[("signal", "3")]), now);
        assert_eq!(all.ask().as_deref(), Some("a"));
    }

    #[test]
    fn one_that_does_not_end_comes_back() {
        let now = Instant::now();
        let mut all = with(&["a"]);
        all.heard(&event("container", "kill", "a", &[("signal", "15")]), now);
        assert_eq!(all.expire(now + STOPPING / 2), Change::None);
        assert!(all.next_expiry().unwrap() >= now + STOPPING);
        assert_eq!(all.expire(now + STOPPING + Duration::from_secs(1)), Change::Later);
        assert!(!all.is_stopping("a"));
        // A list does not end it.
        all.heard(&event("container", "kill", "a", &[("signal", "15")]), now);
        all.begin_list();
        all.listed(vec![container("a")], now);
        assert!(all.is_stopping("a"));
    }

    #[test]
    fn what_podman_tells_less_of_is_asked_for() {
        let now = Instant::now();
        let mut all = with(&["a"]);
        for told in
            [event("network", "connect", "a", &[]), event("container", "kill", "a", &[]), event("container", "health_status", "a", &[])]
        {
            assert_eq!(all.heard(&told, now), Change::None);
            assert_eq!(all.ask().as_deref(), Some("a"), "{told:?}");
            assert_eq!(all.answered("a", Some(container("a")), now), Change::None);
        }
        assert!(!all.is_stopping("a"));
        // What came of a check may not have been there yet.
        assert_eq!(all.next_expiry(), Some(now + SETTLING));
        assert_eq!((all.expire(now + SETTLING), all.ask().as_deref()), (Change::None, Some("a")));
        assert_eq!(all.next_expiry(), None);
    }

    #[test]
    fn answers_that_are_old_are_asked_for_again() {
        let now = Instant::now();
        let mut all = with(&["a"]);
        all.heard(&event("network", "connect", "net", &[("container", "a")]), now);
        assert_eq!(all.ask().as_deref(), Some("a"));
        assert_eq!(all.heard(&event("container", "die", "a", &[]), now), Change::Now);
        assert_eq!(all.answered("a", Some(container("a")), now), Change::None);
        assert!(!all.known()["a"].running, "the answer is from before");
        assert_eq!(all.ask().as_deref(), Some("a"));
        assert_eq!(all.answered("a", None, now), Change::Later);
    }

    #[test]
    fn what_was_heard_is_newer_than_the_list() {
        let now = Instant::now();
        let mut all = with(&["a", "b", "c"]);
        all.begin_list();
        assert_eq!(all.heard(&event("container", "die", "a", &[]), now), Change::Now);
        all.heard(&event("container", "start", "d", &[]), now);
        assert_eq!(all.listed(vec![container("a"), container("b")], now), Change::Now, "c is gone");
        let mut there: Vec<_> = all.known().iter().map(|(id, c)| (id.as_str(), c.running)).collect();
        there.sort_unstable();
        assert_eq!(there, [("a", false), ("b", true)]);
        assert_eq!(all.ask().as_deref(), Some("d"));
    }

    #[test]
    fn health_is_taken_from_the_event() {
        let now = Instant::now();
        let mut all = with(&["a"]);
        assert_eq!(all.heard(&event("container", "health_status: unhealthy", "a", &[]), now), Change::Now);
        assert_eq!(all.heard(&event("container", "health_status: unhealthy", "a", &[]), now), Change::None);
        assert_eq!(all.heard(&event("container", "health_status: healthy", "a", &[]), now), Change::Later);
        assert!(all.ask().is_none());
        all.heard(&event("container", "health_status", "a", &[]), now);
        assert_eq!(all.ask().as_deref(), Some("a"));
    }

    #[test]
    fn what_does_not_matter_is_not_looked_at() {
        let now = Instant::now();
        let mut all = with(&["a"]);
        for (kind, action) in
            [("container", "exec_start: sh"), ("container", "attach"), ("network", "create"), ("image", "pull"), ("volume", "mount")]
        {
            assert_eq!(all.heard(&event(kind, action, "a", &[]), now), Change::None);
        }
        assert!(all.ask().is_none());
    }
}
