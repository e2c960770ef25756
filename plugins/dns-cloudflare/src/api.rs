//! What is needed of Cloudflare's API v4: zones by name, and TXT records.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use plugin_support::{encode, retry_after, words};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde::de::DeserializeOwned;
use torana_plugin_sdk::serde_json::json;

/// Times to live in seconds, beside 1, which is automatic.
pub(crate) const TTL: RangeInclusive<u32> = 30..=86_400;
/// "An identical record already exists", and what it was called before.
const EXISTS: [i64; 2] = [81_058, 81_057];
/// "Record does not exist."
const GONE: i64 = 81_044;
/// Records in one page of a list.
const PAGE: u32 = 100;

pub(crate) struct Api {
    base: String,
    token: String,
    zone_token: Option<String>,
    zone_id: Option<String>,
    ttl: u32,
    /// Identifiers of zones by the names of records.
    zones: RefCell<BTreeMap<String, String>>,
    /// On the monotonic clock: before this Cloudflare does not want to be asked.
    pause: Cell<Option<Duration>>,
}

/// The envelope of all answers.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    success: bool,
    errors: Option<Vec<Problem>>,
    result: Option<T>,
    result_info: Option<Pages>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    error_chain: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Pages {
    #[serde(default)]
    total_pages: u32,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    content: String,
}

/// What the API refused.
struct Refused {
    what: String,
    codes: Vec<i64>,
    status: u16,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        refused.what.into()
    }
}

impl Api {
    pub(crate) fn new(base: String, token: String, zone_token: Option<String>, zone_id: Option<String>, ttl: u32) -> Api {
        Api { base, token, zone_token, zone_id, ttl, zones: RefCell::default(), pause: Cell::default() }
    }

    /// Makes a record; one that is there already is as good.
    pub(crate) fn create(&self, name: &str, value: &str) -> Result<(), Failure> {
        let zone = self.zone(name)?;
        let record = json!({
            "type": "TXT", "name": name, "content": format!("\"{value}\""), "ttl": self.ttl, "comment": "ACME challenge, made by Torana",
        });
        let path = format!("/zones/{}/dns_records", encode(&zone));
        match self.send::<Made>("POST", &path, &self.token, Some(record)) {
            Ok(_) => Ok(()),
            Err(refused) if refused.codes.iter().any(|code| EXISTS.contains(code)) => Ok(()),
            Err(refused) => Err(self.forget(name, refused)),
        }
    }

    /// Removes the records of that name with that very value; others of the name stay.
    pub(crate) fn delete(&self, name: &str, value: &str) -> Result<(), Failure> {
        let zone = encode(&self.zone(name)?);
        let mut ours = Vec::new();
        for page in 1.. {
            let path = format!("/zones/{zone}/dns_records?type=TXT&name={}&page={page}&per_page={PAGE}", encode(name));
            let (records, pages) =
                self.send::<Vec<Record>>("GET", &path, &self.token, None).map_err(|refused| self.forget(name, refused))?;
            ours.extend(records.into_iter().flatten().filter(|record| record.content.trim_matches('"') == value).map(|record| record.id));
            if page >= pages {
                break;
            }
        }
        for id in ours {
            let path = format!("/zones/{zone}/dns_records/{}", encode(&id));
            match self.send::<Made>("DELETE", &path, &self.token, None) {
                Ok(_) => {}
                Err(refused) if refused.status == 404 || refused.codes.contains(&GONE) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(())
    }

    /// The zone of a name: that of the name itself, or of the longest of its parents that the token can see.
    fn zone(&self, name: &str) -> Result<String, Failure> {
        if let Some(id) = &self.zone_id {
            return Ok(id.clone());
        }
        if let Some(id) = self.zones.borrow().get(name) {
            return Ok(id.clone());
        }
        let token = self.zone_token.as_ref().unwrap_or(&self.token);
        let mut candidate = name;
        loop {
            let (zones, _) = self.send::<Vec<Zone>>("GET", &format!("/zones?name={}", encode(candidate)), token, None)?;
            // A name may also wait to be activated, in this account or another one.
            let zones = zones.unwrap_or_default();
            let best = zones.iter().find(|zone| zone.status == "active").or(zones.first());
            if let Some(zone) = best {
                self.zones.borrow_mut().insert(name.to_owned(), zone.id.clone());
                return Ok(zone.id.clone());
            }
            match candidate.split_once('.') {
                // No top-level domain is anybody's zone.
                Some((_, parent)) if parent.contains('.') => candidate = parent,
                _ => return Err(format!("Cloudflare: the token sees no zone that `{name}` is in").into()),
            }
        }
    }

    /// The zone may be another one by now.
    fn forget(&self, name: &str, refused: Refused) -> Failure {
        self.zones.borrow_mut().remove(name);
        refused.into()
    }

    /// One exchange; gives the result and the number of its pages.
    fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<torana_plugin_sdk::serde_json::Value>,
    ) -> Result<(Option<T>, u32), Refused> {
        let failed = |what: String, status: u16| Refused { what: format!("Cloudflare: {what}"), codes: Vec::new(), status };
        if let Some(left) = self.pause.get().and_then(|until| until.checked_sub(clock::monotonic())).filter(|left| !left.is_zero()) {
            return Err(failed(format!("it wants fewer requests; asked again in {} s", left.as_secs().max(1)), 429));
        }
        let mut request = http::request(method, format!("{}{path}", self.base)).header("authorization", format!("Bearer {token}"));
        request = request.header("accept", "application/json");
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().map_err(|error| failed(error.to_string(), 0))?;
        if answer.status == 429 {
            self.pause.set(retry_after(&answer).map(|pause| clock::monotonic().saturating_add(pause)));
        }
        let status = answer.status;
        let Ok(envelope) = answer.json::<Envelope<T>>() else {
            return Err(failed(unreadable(method, path, &answer), status));
        };
        if envelope.success && (200..300).contains(&status) {
            return Ok((envelope.result, envelope.result_info.map_or(1, |pages| pages.total_pages)));
        }
        let (mut told, mut codes) = (Vec::new(), Vec::new());
        tell(envelope.errors.as_deref().unwrap_or_default(), &mut told, &mut codes);
        if told.is_empty() {
            return Err(failed(unreadable(method, path, &answer), status));
        }
        Err(Refused { codes, ..failed(format!("{}{}", told.join("; "), again(&answer)), status) })
    }
}

/// A record that was made or removed; nothing of it is needed.
#[derive(Deserialize)]
struct Made {}

/// Messages in Cloudflare's own words, each with its code.
fn tell(problems: &[Problem], told: &mut Vec<String>, codes: &mut Vec<i64>) {
    for problem in problems {
        let message: String = problem.message.chars().filter(|c| !c.is_control()).take(300).collect();
        told.push(format!("{message} ({})", problem.code));
        codes.push(problem.code);
        tell(problem.error_chain.as_deref().unwrap_or_default(), told, codes);
    }
}

/// Of an answer that is not in the form of the API, as those of proxies are.
fn unreadable(method: &str, path: &str, answer: &Answer) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let words = words(answer);
    let separator = if words.is_empty() { "" } else { ": " };
    format!("{method} {path} was answered with status {}{separator}{words}{}", answer.status, again(answer))
}

fn again(answer: &Answer) -> String {
    retry_after(answer).map(|pause| format!("; asked again in {} s", pause.as_secs())).unwrap_or_default()
}
