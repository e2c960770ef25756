//! What is kept, and where.
//!
//! `index <resource>` names the headers by which the responses for a resource differ (`Vary`) and a number of its own; the response for
//! certain values of those headers is at `<number> <values>`. Without its index a response cannot be found, so removing that
//! invalidates all of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json;

use crate::policy::{self, Lines};

const CACHE: kv::Namespace = kv::Namespace::new("cache");

/// For how long a response that can be validated is kept once it is stale.
const KEPT_STALE: u64 = 3600;
/// A response is not validated so shortly before its end, in seconds, that it could be gone when the server answers 304.
const MARGIN: u64 = 120;

#[derive(Default, Deserialize, Serialize)]
struct Index {
    number: i64,
    vary: Vec<String>,
    /// When it may go, in seconds since 1970.
    until: u64,
}

/// A stored response without its body.
#[derive(Deserialize, Serialize)]
struct Head {
    status: u16,
    headers: Lines,
    /// When it came, in seconds since 1970.
    came: u64,
    /// How old it was then, in seconds.
    initial_age: u64,
    /// For how many seconds it is fresh, from its making.
    lifetime: u64,
}

/// A stored response.
pub(crate) struct Stored {
    head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether it may be stored, and is worth it.
    pub(crate) storable: bool,
}

/// What came of a look into the store.
pub(crate) enum Found {
    /// Nothing is known of the resource.
    Nothing,
    /// There are responses, but for other values of the headers in `Vary`.
    OtherVariant,
    /// It is stored under this key.
    Response(String, Stored),
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Stored {
    /// Of a response that just came, with its `Date`. `asked` is when the request was sent, `default` the time of those that name none.
    pub(crate) fn new(status: u16, headers: Lines, request: &[(String, String)], asked: Duration, default: Option<Duration>) -> Stored {
        let now = clock::now();
        let lifetime = policy::lifetime(status, &headers, request, default);
        let initial_age = policy::initial_age(&headers, now, clock::unix().saturating_sub(asked));
        let headers = policy::storable(headers);
        let head = Head { status, headers, came: unix(now), initial_age, lifetime: lifetime.unwrap_or_default() };
        let mut stored = Stored { head, body: Vec::new(), storable: false };
        stored.storable = lifetime.is_some() && (stored.fresh_for() > 0 || stored.can_be_validated());
        stored
    }

    /// Its headers after the server said 304: those of the 304 take the place of those stored (RFC 9111, 3.2).
    pub(crate) fn headers_after(&self, of_304: Lines) -> Lines {
        let new: Lines = policy::storable(of_304).into_iter().filter(|(name, _)| !describes_body(name)).collect();
        let kept = self.head.headers.iter().filter(|(name, _)| !new.iter().any(|(other, _)| other == name));
        kept.cloned().chain(new.iter().cloned()).collect()
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// In seconds.
    pub(crate) fn age(&self) -> u64 {
        self.head.initial_age.saturating_add(unix(clock::now()).saturating_sub(self.head.came))
    }

    /// In seconds; 0 when it is stale.
    pub(crate) fn fresh_for(&self) -> u64 {
        self.head.lifetime.saturating_sub(self.age())
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        policy::joined(&self.head.headers, name)
    }

    fn can_be_validated(&self) -> bool {
        self.header("etag").is_some() || self.header("last-modified").is_some()
    }

    /// Header and value of a request that asks the server whether it is still good; `None` when it cannot be asked.
    pub(crate) fn validation(&self) -> Option<(&'static str, String)> {
        if self.age() > self.head.lifetime.saturating_add(KEPT_STALE - MARGIN) {
            return None;
        }
        let etag = self.header("etag").map(|tag| ("if-none-match", tag));
        etag.or_else(|| Some(("if-modified-since", self.header("last-modified")?)))
    }

    /// The answer to a client with these conditions, and how it is told in `Cache-Status`.
    pub(crate) fn answer(self, if_none_match: Option<&str>, if_modified_since: Option<&str>, how: &str) -> Answer {
        let age = self.age();
        let unchanged = self.head.status == 200 && policy::not_modified(&self.head.headers, if_none_match, if_modified_since);
        let mut answer = Answer::new(if unchanged { 304 } else { self.head.status });
        for (name, value) in self.head.headers.into_iter().filter(|(name, _)| !unchanged || !describes_body(name)) {
            answer = answer.with_header(name, value);
        }
        if !unchanged {
            answer = answer.with_body(self.body);
        }
        answer.with_header("age", age.to_string()).with_header("cache-status", format!("torana; {how}"))
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = serde_json::to_vec(&self.head)?;
        // JSON in one line has no line break of its own.
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Stored> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = bytes.split_at(end);
        Some(Stored { head: serde_json::from_slice(head).ok()?, body: body.get(1..)?.to_vec(), storable: true })
    }
}

/// Whether a header says something of the body, which a 304 does not have.
fn describes_body(name: &str) -> bool {
    name.starts_with("content-") && name != "content-location" && !name.starts_with("content-security")
}

fn index_key(resource: &str) -> String {
    format!("index {resource}")
}

fn index(resource: &str) -> Result<Option<Index>, Failure> {
    let text = CACHE.get(&index_key(resource))?;
    // One that another version wrote and this one cannot read is none.
    Ok(text.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn variant_key(index: &Index, request: impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let values: Vec<Option<String>> = index.vary.iter().map(|name| request(name).map(|value| value.trim().to_owned())).collect();
    Ok(format!("{} {}", index.number, serde_json::to_string(&values)?))
}

/// The response for a resource; `request` gives the headers of the request.
pub(crate) fn find(resource: &str, request: impl Fn(&str) -> Option<String>) -> Result<Found, Failure> {
    let Some(index) = index(resource)? else { return Ok(Found::Nothing) };
    let key = variant_key(&index, request)?;
    Ok(load(&key)?.map_or(Found::OtherVariant, |stored| Found::Response(key, stored)))
}

/// The response at a key.
pub(crate) fn load(key: &str) -> Result<Option<Stored>, Failure> {
    Ok(CACHE.get(key)?.and_then(|bytes| Stored::from_bytes(&bytes)))
}

/// Keeps a response for as long as it can be of use.
pub(crate) fn save(resource: &str, request: &[(String, String)], stored: &Stored) -> Result<(), Failure> {
    let stale = if stored.can_be_validated() { KEPT_STALE } else { 0 };
    let seconds = stored.fresh_for().saturating_add(stale);
    let now = unix(clock::now());
    let mut index = index(resource)?.unwrap_or_default();
    let named = stored.header("vary").unwrap_or_default().to_ascii_lowercase();
    // A response that does not name a header that others name is found by its value all the same.
    let missing: Vec<String> = named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let missing: Vec<String> = missing.into_iter().filter(|name| !index.vary.contains(name)).collect();
    if index.number == 0 || !missing.is_empty() {
        index.vary.extend(missing);
        index.vary.sort();
        index.vary.dedup();
        index.number = CACHE.increment("number", 1, None)?;
    }
    index.until = index.until.max(now.saturating_add(seconds));
    let key = variant_key(&index, |name| policy::joined(request, name))?;
    CACHE.set(&key, stored.to_bytes()?, Some(Duration::from_secs(seconds)))?;
    let until = Duration::from_secs(index.until.saturating_sub(now));
    CACHE.set(&index_key(resource), serde_json::to_vec(&index)?, Some(until))?;
    Ok(())
}

/// Forgets all responses for a resource.
pub(crate) fn invalidate(resource: &str) -> Result<(), Failure> {
    Ok(CACHE.delete(&index_key(resource))?)
}
