//! The token bucket as a script that Redis runs in one go.

use super::connect::told;
use super::links::Links;
use crate::rate_limit::Rate;
use redis::{ErrorKind, Value, cmd};
use sha1::{Digest, Sha1};
use std::time::Duration;

/// Takes a token of bucket `KEYS[1]`. `ARGV`: tokens a microsecond, burst, seconds until it is forgotten, longest
/// wait in microseconds. Gives the wait in microseconds; what is too long has taken nothing. The time is that of
/// Redis, as the clocks of gateways differ. Names and meaning of the fields are those of Traefik.
const SCRIPT: &str = "local rate, burst, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4]) \
    local clock = redis.call('TIME') \
    local now = clock[1] * 1000000 + clock[2] \
    local kept = redis.call('HMGET', KEYS[1], 'last', 'tokens') \
    local last, tokens = tonumber(kept[1] or ''), tonumber(kept[2] or '') \
    if not last or not tokens then last, tokens = now, burst end \
    tokens = math.min(burst, tokens + math.max(0, now - last) * rate) - 1 \
    local wait = 0 \
    if tokens < 0 then wait = -tokens / rate end \
    if wait > most then tokens = tokens + 1 end \
    redis.call('HSET', KEYS[1], 'last', string.format('%.0f', now), 'tokens', string.format('%.17g', tokens)) \
    redis.call('EXPIRE', KEYS[1], ARGV[3]) \
    return string.format('%.0f', wait)";

/// Sources whose names are longer are called by their hash.
const LONGEST: usize = 256;

/// The key of a source, as in Traefik.
pub(super) fn key(middleware: &str, source: &str) -> String {
    if source.len() <= LONGEST {
        return format!("rate:{middleware}:{source}");
    }
    format!("rate:{middleware}:{}", hex(&Sha1::digest(source.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) struct Bucket {
    /// By which Redis knows the script when it has seen it.
    hash: String,
    arguments: [String; 4],
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let arguments = [
            format!("{:e}", rate.per_second / 1e6),
            rate.burst.to_string(),
            rate.forget_after.as_secs().min(i32::MAX as u64).to_string(),
            rate.max_wait.as_micros().to_string(),
        ];
        Bucket { hash: hex(&Sha1::digest(SCRIPT.as_bytes())), arguments }
    }

    /// Takes a token: how long to wait for it.
    pub(super) async fn take(&self, key: &str, links: &Links) -> Result<Duration, String> {
        let mut answer = links.send(key, cmd("EVALSHA").arg(&self.hash).arg(1).arg(key).arg(&self.arguments[..])).await?;
        if answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::NoScriptError) {
            answer = links.send(key, cmd("EVAL").arg(SCRIPT).arg(1).arg(key).arg(&self.arguments[..])).await?;
        }
        let wait = match answer.map_err(|e| told(&e))? {
            Value::BulkString(bytes) => std::str::from_utf8(&bytes).ok().and_then(|t| t.parse::<u64>().ok()),
            _ => None,
        };
        wait.map(Duration::from_micros).ok_or_else(|| "an answer that the script does not give".to_owned())
    }
}
