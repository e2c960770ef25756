//! The doubles of the gateway's interfaces, with the signatures that `wit-bindgen` gives the real ones.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Line, Message};
use crate::bindings::hosts::torana::plugin::types::Header;
use crate::{Answer, http};

/// What the gateway of a test knows.
#[derive(Default)]
pub(super) struct World {
    /// Nanoseconds since 1970.
    pub(super) now: u64,
    /// Nanoseconds since the test began.
    pub(super) monotonic: u64,
    pub(super) namespaces: BTreeSet<String>,
    /// By namespace and key: the value, and when its time has passed, in `monotonic`.
    pub(super) values: BTreeMap<(String, String), (Vec<u8>, Option<u64>)>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) answers: BTreeMap<String, Result<Answer, http::Error>>,
    pub(super) sent: Vec<Message>,
    pub(super) lines: Vec<Line>,
    pub(super) counters: BTreeMap<String, u64>,
    pub(super) gauges: BTreeMap<String, f64>,
    pub(super) in_flight: Vec<u32>,
    pub(super) request: Message,
    pub(super) request_buffered: bool,
    pub(super) response: Option<Answer>,
    pub(super) response_buffered: bool,
    pub(super) user: Option<String>,
}

impl World {
    pub(super) fn value(&mut self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        let key = (namespace.to_owned(), key.to_owned());
        let (value, until) = self.values.get(&key)?;
        if until.is_none_or(|until| self.monotonic < until) {
            return Some(value.clone());
        }
        self.values.remove(&key);
        None
    }
}

thread_local! {
    static CURRENT: RefCell<Rc<RefCell<World>>> = RefCell::default();
}

/// Makes a world the one that the plugin's calls on this thread go to.
pub(super) fn enter(world: &Rc<RefCell<World>>) {
    CURRENT.with(|current| *current.borrow_mut() = Rc::clone(world));
}

fn world<R>(with: impl FnOnce(&mut World) -> R) -> R {
    let current = CURRENT.with(|current| Rc::clone(&current.borrow()));
    with(&mut current.borrow_mut())
}

pub(super) fn joined(headers: &[Header], name: &str) -> Option<String> {
    let lines: Vec<&str> = headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value.as_str()).collect();
    if lines.is_empty() { None } else { Some(lines.join(", ")) }
}

fn lines(headers: &[Header], name: &str) -> Vec<Vec<u8>> {
    headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value.clone().into_bytes()).collect()
}

pub(crate) mod log {
    use super::{Line, world};
    use crate::bindings::hosts::torana::plugin::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        world(|world| world.lines.push(Line { level, message: message.to_owned() }));
    }

    pub(crate) fn enabled(_: Level) -> bool {
        true
    }
}

pub(crate) mod config {
    pub(crate) fn name() -> String {
        "test".into()
    }
}

pub(crate) mod clock {
    pub(crate) fn now() -> u64 {
        super::world(|world| world.now)
    }

    pub(crate) fn monotonic() -> u64 {
        super::world(|world| world.monotonic)
    }
}

pub(crate) mod kv {
    use super::{World, world};
    use crate::bindings::hosts::torana::plugin::kv::KvError;

    fn granted<R>(namespace: &str, with: impl FnOnce(&mut World) -> R) -> Result<R, KvError> {
        world(|world| if world.namespaces.contains(namespace) { Ok(with(world)) } else { Err(KvError::Denied) })
    }

    fn put(world: &mut World, namespace: &str, key: &str, value: &[u8], until: Option<u64>) {
        world.values.insert((namespace.to_owned(), key.to_owned()), (value.to_vec(), until));
    }

    fn until(world: &World, ttl_ms: Option<u64>) -> Option<u64> {
        ttl_ms.map(|ttl| world.monotonic.saturating_add(ttl.saturating_mul(1_000_000)))
    }

    pub(crate) fn get(namespace: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        granted(namespace, |world| world.value(namespace, key))
    }

    pub(crate) fn set(namespace: &str, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        granted(namespace, |world| put(world, namespace, key, value, until(world, ttl_ms)))
    }

    pub(crate) fn delete(namespace: &str, key: &str) -> Result<(), KvError> {
        granted(namespace, |world| drop(world.values.remove(&(namespace.to_owned(), key.to_owned()))))
    }

    pub(crate) fn increment(namespace: &str, key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        granted(namespace, |world| {
            let old = world.value(namespace, key);
            let until = match world.values.get(&(namespace.to_owned(), key.to_owned())) {
                Some((_, until)) => *until,
                None => until(world, ttl_ms),
            };
            let number = old.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<i64>().ok()).unwrap_or_default();
            let sum = number.saturating_add(by);
            put(world, namespace, key, sum.to_string().as_bytes(), until);
            sum
        })
    }
}

pub(crate) mod metrics {
    use super::world;

    pub(crate) fn add(name: &str, by: u64) {
        world(|world| *world.counters.entry(name.to_owned()).or_default() += by);
    }

    pub(crate) fn set(name: &str, value: f64) {
        world(|world| world.gauges.insert(name.to_owned(), value));
    }
}

pub(crate) mod secrets {
    pub(crate) fn get(name: &str) -> Option<String> {
        super::world(|world| world.secrets.get(name).cloned())
    }
}

pub(crate) mod servers {
    pub(crate) fn in_flight(index: u32) -> u32 {
        super::world(|world| world.in_flight.get(index as usize).copied().unwrap_or_default())
    }
}

pub(crate) mod outgoing_http {
    use super::{Message, world};
    use crate::bindings::hosts::torana::plugin::outgoing_http::{HttpError, Request};
    use crate::{Answer, http};

    pub(crate) fn send(what: &Request) -> Result<Answer, HttpError> {
        world(|world| {
            let mut message = super::super::request(&what.method, &what.url);
            message.headers.clone_from(&what.headers);
            message.body = vec![what.body.clone()];
            world.sent.push(Message { url: what.url.clone(), ..message });
            match world.answers.get(&what.url) {
                Some(Ok(answer)) => Ok(answer.clone()),
                Some(Err(error)) => Err(match error.clone() {
                    http::Error::Denied(host) => HttpError::Denied(host),
                    http::Error::Timeout => HttpError::Timeout,
                    http::Error::TooLarge => HttpError::TooLarge,
                    http::Error::Failed(why) => HttpError::Failed(why),
                }),
                None => Err(HttpError::Denied(what.url.clone())),
            }
        })
    }
}

pub(crate) mod exchange {
    use super::{joined, lines, world};
    use crate::Header;

    pub(crate) fn request_value(name: &str) -> Option<String> {
        world(|world| world.request.value(name))
    }

    pub(crate) fn request_headers() -> Vec<Header> {
        world(|world| world.request.headers.clone())
    }

    pub(crate) fn request_header_lines(name: &str) -> Vec<Vec<u8>> {
        world(|world| lines(&world.request.headers, name))
    }

    pub(crate) fn request_body() -> Option<Vec<u8>> {
        world(|world| world.request_buffered.then(|| world.request.body.concat()))
    }

    pub(crate) fn response_value(name: &str) -> Option<String> {
        world(|world| {
            let response = world.response.as_ref()?;
            if name == ":status" { Some(response.status.to_string()) } else { joined(&response.headers, name) }
        })
    }

    pub(crate) fn response_headers() -> Vec<Header> {
        world(|world| world.response.as_ref().map(|response| response.headers.clone()).unwrap_or_default())
    }

    pub(crate) fn response_header_lines(name: &str) -> Vec<Vec<u8>> {
        world(|world| world.response.as_ref().map(|response| lines(&response.headers, name)).unwrap_or_default())
    }

    pub(crate) fn response_body() -> Option<Vec<u8>> {
        world(|world| if world.response_buffered { world.response.as_ref().map(|response| response.body.clone()) } else { None })
    }

    pub(crate) fn set_user(name: &str) {
        world(|world| world.user = Some(name.to_owned()));
    }
}
