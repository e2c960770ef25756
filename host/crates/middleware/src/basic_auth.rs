use crate::password::Hash;
use crate::{omit, random_key, users};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use torana_base::Secret;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Response, Step, exchange};

/// How long a password that was checked the slow way is known.
const KNOWN_FOR: Duration = Duration::from_secs(30);
const SHARDS: usize = 16;
/// Passwords known in one shard, at most.
const MAX_KNOWN: usize = 64;

/// Asks for a name and a password.
pub struct BasicAuth;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// `name:hash` each; bcrypt, MD5-crypt (`$apr1$`, `$1$`) or SHA-1 (`{SHA}`), as `htpasswd` writes them.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "users::show")]
    pub users: Vec<Secret>,
    /// A file of such entries, one a line; read when the configuration is. `users` win over it.
    #[serde(skip_serializing_if = "omit::empty")]
    pub users_file: String,
    /// What clients are told that the password is for; `traefik`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub realm: String,
    /// Whether `Authorization` is taken off requests that pass.
    #[serde(skip_serializing_if = "omit::empty")]
    pub remove_header: bool,
    /// A request header that tells the server the user's name.
    #[serde(skip_serializing_if = "omit::empty")]
    pub header_field: String,
}

impl MiddlewareSpec for BasicAuth {
    const NAME: &'static str = "basicAuth";
    const EXAMPLE: &'static str = "users:\n  - test:$apr1$abcdefgh$/cesMUEGhga5MgaTGywaW0\nrealm: staff\nremoveHeader: true\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let users: HashMap<_, _> =
            users::load(&config.users, &config.users_file, 2)?.into_iter().map(|(n, s)| (n, Hash::parse(s.expose()))).collect();
        let stranger = users.values().max_by_key(|h| h.cost()).cloned().unwrap_or(Hash::Unusable);
        let realm = if config.realm.is_empty() { "traefik" } else { &config.realm };
        let challenge = HeaderValue::from_bytes(format!("Basic realm=\"{realm}\"").as_bytes());
        let user_header = match config.header_field.trim() {
            "" => None,
            name => Some(HeaderName::from_bytes(name.as_bytes()).map_err(|_| BuildError::new("headerField", "this is not a header name"))?),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(vec![Step::around(Runtime {
            users,
            stranger,
            challenge: challenge.map_err(|_| BuildError::new("realm", "the realm holds a control character"))?,
            // `Host` is no header in Traefik's map of them, and does not go out.
            user_header: user_header.filter(|n| *n != HOST),
            remove_header: config.remove_header,
            known: Known::default(),
            slots: Arc::new(Semaphore::new(cores)),
        })])
    }
}

struct Runtime {
    users: HashMap<String, Hash>,
    /// Checked for names that nobody has, so that the time tells nothing.
    stranger: Hash,
    challenge: HeaderValue,
    user_header: Option<HeaderName>,
    remove_header: bool,
    known: Known,
    /// How many passwords are checked at a time.
    slots: Arc<Semaphore>,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let Some((name, password)) = credentials(&exchange.request.headers) else {
                exchange.user = Some(String::new());
                return self.refuse(exchange);
            };
            exchange.user = Some(name.clone());
            if !self.is_right(&name, password).await {
                return self.refuse(exchange);
            }
            let headers = &mut exchange.request.headers;
            if let Some(header) = &self.user_header {
                match HeaderValue::from_bytes(name.as_bytes()) {
                    Ok(value) => headers.insert(header, value),
                    Err(_) => headers.remove(header),
                };
            }
            if self.remove_header {
                headers.remove(AUTHORIZATION);
            }
            next.run(exchange).await
        })
    }
}

impl Runtime {
    async fn is_right(&self, name: &str, password: Vec<u8>) -> bool {
        let (hash, exists) = self.users.get(name).map_or((&self.stranger, false), |h| (h, true));
        if !hash.is_slow() {
            return hash.verify(&password) && exists;
        }
        let key = self.known.key(name, &password);
        if self.known.has(&key, Instant::now()) {
            return true;
        }
        let Ok(slot) = self.slots.clone().acquire_owned().await else { return false };
        // Somebody else may have checked it in the meantime.
        if self.known.has(&key, Instant::now()) {
            return true;
        }
        let hash = hash.clone();
        let check = tokio::task::spawn_blocking(move || {
            let right = hash.verify(&password);
            drop(slot);
            right
        });
        let right = check.await.unwrap_or(false) && exists;
        if right {
            self.known.insert(key, Instant::now());
        }
        right
    }

    fn refuse(&self, exchange: &mut Exchange) -> Response {
        exchange.trace_error("Authentication failed");
        let mut r = exchange::status(StatusCode::UNAUTHORIZED);
        r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        r.headers_mut().insert(WWW_AUTHENTICATE, self.challenge.clone());
        *r.body_mut() = Body::from("401 Unauthorized\n");
        r
    }
}

/// Name and password of the first `Authorization` line, if it is one for us.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    Some((String::from_utf8_lossy(&decoded[..colon]).into_owned(), decoded[colon + 1..].to_vec()))
}

type KnownKey = [u8; 32];

/// Pairs of name and password that were right a moment ago, as digests under a key that nobody knows.
struct Known {
    secret: [u8; 32],
    shards: [Mutex<HashMap<KnownKey, Instant>>; SHARDS],
}

impl Default for Known {
    fn default() -> Self {
        Known { secret: random_key::new(), shards: Default::default() }
    }
}

impl Known {
    fn key(&self, name: &str, password: &[u8]) -> KnownKey {
        let length = (name.len() as u64).to_le_bytes();
        Sha256::new().chain_update(self.secret).chain_update(length).chain_update(name).chain_update(password).finalize().into()
    }

    fn shard(&self, key: &KnownKey) -> std::sync::MutexGuard<'_, HashMap<KnownKey, Instant>> {
        self.shards[usize::from(key[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, key: &KnownKey, now: Instant) -> bool {
        self.shard(key).get(key).is_some_and(|since| now.saturating_duration_since(*since) < KNOWN_FOR)
    }

    fn insert(&self, key: KnownKey, now: Instant) {
        let mut shard = self.shard(&key);
        if shard.len() >= MAX_KNOWN {
            shard.retain(|_, since| now.saturating_duration_since(*since) < KNOWN_FOR);
        }
        if shard.len() >= MAX_KNOWN {
            shard.clear();
        }
        shard.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ran, block_on, build, build_error, drive, exchange, ok, run_exchange, shown};

    const SHA: &str = "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=";

    fn with(value: &str) -> Exchange {
        let mut x = exchange("GET", "/");
        x.request.headers.append(AUTHORIZATION, value.parse().unwrap());
        x
    }

    fn basic(pair: &str) -> Exchange {
        with(&format!("Basic {}", STANDARD.encode(pair)))
    }

    fn send(users: &str, pair: &str) -> Ran {
        run_exchange(&build::<BasicAuth>(&format!("users: [{users}]")), basic(pair))
    }

    #[test]
    fn every_hash_opens() {
        let users = format!(
            "'apr:$apr1$abcdefgh$/cesMUEGhga5MgaTGywaW0', 'sha:{SHA}', 'bc:$2y$05$0qf28j/eocH4wI2YYQHsVugwByaikFH5L89zg7wALDWuW0IKUIeK.', plain:secret, ':{SHA}'"
        );
        for (pair, passes) in [
            ("apr:test", true),
            ("apr:nope", false),
            ("sha:test", true),
            ("sha:test:x", false),
            ("bc:test", true),
            ("bc:nope", false),
            ("who:test", false),
            (":test", true),
            // Plain text is no hash.
            ("plain:secret", false),
        ] {
            let ran = send(&users, pair);
            assert_eq!((ran.reached, ran.user.as_deref()), (passes, pair.split(':').next()), "{pair}");
        }
    }

    /// Observed with Traefik 3.7.15.
    #[test]
    fn refuses_like_traefik() {
        let steps = build::<BasicAuth>(&format!("{{users: ['a:{SHA}'], realm: 'my \"realm\"'}}"));
        let token = STANDARD.encode("a:test");
        for value in ["Bearer x", "Basic !!!", "Basic", &format!("Basic  {token}"), &format!("Basic {token}="), &format!("Basic {}", STANDARD.encode("a"))] {
            let ran = run_exchange(&steps, with(value));
            assert_eq!((ran.status(), ran.reached, &*ran.body), (401, false, "401 Unauthorized\n"), "{value}");
            assert_eq!(ran.headers(), ["content-type: text/plain", "www-authenticate: Basic realm=\"my \"realm\"\""]);
            assert_eq!(ran.user.as_deref(), Some(""));
        }
        assert_eq!(run_exchange(&steps, exchange("GET", "/")).status(), 401);
        assert!(run_exchange(&steps, with(&format!("bAsIc {token}"))).reached);
        let mut second = with("x");
        second.request.headers.append(AUTHORIZATION, format!("Basic {token}").parse().unwrap());
        assert_eq!(run_exchange(&steps, second).status(), 401, "the first line counts");
        assert_eq!(send(&format!("'a:{SHA}'"), "a:no").header("www-authenticate"), Some("Basic realm=\"traefik\""));
    }

    #[test]
    fn tells_the_server_who_it_is() {
        let steps = build::<BasicAuth>(&format!("{{users: ['a:{SHA}'], headerField: x-web-user, removeHeader: true}}"));
        let mut x = basic("a:test");
        x.request.headers.append("X-Web-User", HeaderValue::from_static("evil"));
        let ran = run_exchange(&steps, x);
        assert_eq!(ran.request.headers.get_all("x-web-user").iter().collect::<Vec<_>>(), ["a"]);
        assert!(!ran.request.headers.contains_key(AUTHORIZATION));
        let same = run_exchange(&build::<BasicAuth>(&format!("{{users: ['a:{SHA}'], headerField: Authorization, removeHeader: true}}")), basic("a:test"));
        assert!(!same.request.headers.contains_key(AUTHORIZATION));
        assert!(send(&format!("'a:{SHA}'"), "a:test").request.headers.contains_key(AUTHORIZATION));
    }

    #[test]
    fn slow_hashes_are_paid_once() {
        // Cost 9 takes tens of milliseconds even in a release build.
        let hash = bcrypt::hash("test", 9).unwrap();
        let steps = build::<BasicAuth>(&format!("users: ['a:{hash}']"));
        block_on(async {
            let time = async |pair: &str, passes: bool| {
                let before = Instant::now();
                assert_eq!(drive(&steps, basic(pair), ok).await.reached, passes, "{pair}");
                before.elapsed()
            };
            let first = time("a:test", true).await;
            assert!(time("a:test", true).await < first / 4);
            // What is wrong is paid each time, and so are strangers.
            for pair in ["a:no", "a:no", "b:test", "b:test"] {
                assert!(time(pair, false).await > first / 4, "{pair}");
            }
        });
    }

    #[test]
    fn what_is_known_is_bounded_and_expires() {
        let (known, t) = (Known::default(), Instant::now());
        for i in 0..10_000 {
            known.insert(known.key("a", i.to_string().as_bytes()), t);
        }
        assert!(known.shards.iter().all(|s| s.lock().unwrap().len() <= MAX_KNOWN));
        let key = known.key("a", b"x");
        known.insert(key, t);
        assert!(known.has(&key, t) && !known.has(&key, t + KNOWN_FOR));
        assert_ne!(known.key("a", b"bc"), known.key("ab", b"c"));
        assert_ne!(key, Known::default().key("a", b"x"));
    }

    #[test]
    fn options() {
        for (text, key) in
            [("realm: x", "users"), ("users: [x]", "users[0]"), ("users: ['a:b:c']", "users[0]"), ("usersFile: /nope", "usersFile"), ("{users: ['a:b'], headerField: 'a b'}", "headerField")]
        {
            assert_eq!(build_error::<BasicAuth>(text).key, key);
        }
        assert_eq!(shown::<BasicAuth>("{users: ['a:b'], realm: '', removeHeader: false}"), r#"{"users":["a:b"]}"#);
    }
}
