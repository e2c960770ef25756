//! Where the keys come from: the configuration, or a URL.
//!
//! What was fetched stands in `kv` for all instances, as `<seconds since 1970>\n<JWK set>`. Each instance keeps the keys it read from there.
//! Fetching is rate-limited for all instances together, and again in each for when there is no `kv`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json;

use crate::keys::{self, Key};

const STORE: kv::Namespace = kv::Namespace::new("jwks");

/// Well below the default of `limits.timeout`, so that old keys can still serve the request whose fetch failed.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) type Keys = Rc<[Key]>;

pub(crate) enum Source {
    Fixed(Keys),
    Remote(Remote),
}

impl Source {
    /// The keys of now; `None` when none could ever be fetched.
    pub(crate) fn keys(&self) -> Option<Keys> {
        match self {
            Source::Fixed(keys) => Some(Rc::clone(keys)),
            Source::Remote(remote) => remote.keys(),
        }
    }

    /// Newer keys, if there are some, for a token that names a key that is not known.
    pub(crate) fn newer(&self) -> Option<Keys> {
        match self {
            Source::Fixed(_) => None,
            Source::Remote(remote) => remote.newer(),
        }
    }
}

pub(crate) struct Remote {
    url: String,
    ttl: Duration,
    pause: Duration,
    current: RefCell<Option<Set>>,
    /// When this instance last tried, in monotonic time.
    tried: Cell<Option<Duration>>,
}

#[derive(Clone)]
struct Set {
    fetched: Duration,
    keys: Keys,
}

impl Remote {
    pub(crate) fn new(url: String, ttl: Duration, pause: Duration) -> Remote {
        Remote { url, ttl, pause, current: RefCell::default(), tried: Cell::default() }
    }

    fn keys(&self) -> Option<Keys> {
        if !self.current().is_some_and(|set| self.fresh(&set)) {
            self.load();
        }
        if !self.current().is_some_and(|set| self.fresh(&set)) {
            self.fetch();
        }
        self.current().map(|set| set.keys)
    }

    fn newer(&self) -> Option<Keys> {
        let before = self.current().map(|set| set.fetched);
        let is_newer = || self.current().filter(|set| Some(set.fetched) != before).map(|set| set.keys);
        self.load();
        is_newer().or_else(|| {
            self.fetch();
            is_newer()
        })
    }

    fn current(&self) -> Option<Set> {
        self.current.borrow().clone()
    }

    fn fresh(&self, set: &Set) -> bool {
        clock::unix().saturating_sub(set.fetched) < self.ttl
    }

    /// Takes over what another instance fetched.
    fn load(&self) {
        let text = match STORE.get_text(&self.url) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => return log::warn!("fetched keys are not shared: {error}"),
        };
        let Some((seconds, set)) = text.split_once('\n') else { return };
        let fetched = Duration::from_secs(seconds.parse().unwrap_or_default());
        if self.current().is_none_or(|set| set.fetched < fetched)
            && let Ok(keys) = parse(set)
        {
            *self.current.borrow_mut() = Some(Set { fetched, keys });
        }
    }

    fn fetch(&self) {
        let now = clock::monotonic();
        let paused = self.tried.get().is_some_and(|tried| now.saturating_sub(tried) < self.pause);
        if paused || !self.permitted() {
            return;
        }
        self.tried.set(Some(now));
        metrics::add("fetches", 1);
        match self.ask() {
            Ok((text, keys)) => {
                let fetched = Duration::from_secs(clock::unix().as_secs());
                *self.current.borrow_mut() = Some(Set { fetched, keys });
                if let Err(error) = STORE.set(&self.url, format!("{}\n{text}", fetched.as_secs()), None) {
                    log::warn!("fetched keys are not shared: {error}");
                }
            }
            Err(why) => {
                metrics::add("failed_fetches", 1);
                log::error!("the keys at {} cannot be fetched: {why}", self.url);
                let failed = STORE.set(&self.marker("failed"), "", Some(self.pause));
                failed.unwrap_or_else(|error| log::warn!("the failure is not shared: {error}"));
            }
        }
    }

    /// Whether it is this instance's turn. One that has no keys at all does not wait for others, unless they just failed.
    fn permitted(&self) -> bool {
        if self.current.borrow().is_none() {
            return !matches!(STORE.get(&self.marker("failed")), Ok(Some(_)));
        }
        // Without a store, the pause of this instance has to do.
        STORE.increment(&self.marker("turn"), 1, Some(self.pause)).map_or(true, |count| count == 1)
    }

    fn marker(&self, what: &str) -> String {
        format!("{what} {}", self.url)
    }

    fn ask(&self) -> Result<(String, Keys), String> {
        let request = http::get(&self.url).header("accept", "application/json").timeout(TIMEOUT);
        let answer = request.send().map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("the server answered {}", answer.status));
        }
        let text = answer.text();
        let keys = parse(&text)?;
        Ok((text, keys))
    }
}

fn parse(text: &str) -> Result<Keys, String> {
    let set = serde_json::from_str(text).map_err(|error| format!("the JWK set is no JSON: {error}"))?;
    Ok(keys::from_jwks(&set).map_err(|why| format!("the JWK set {why}"))?.into())
}
