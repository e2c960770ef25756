//! OCSP stapling: what the issuers of certificates say of them, fetched beforehand and sent in handshakes.

mod message;

use crate::certificate::Certificate;
use bytes::Bytes;
use message::{Question, verify};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use torana_extend::{Egress, EgressError};

/// A responder has this long to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often answers are looked at.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long the answer for a certificate stays that is gone, in case that it comes back.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The largest answer that is read; usual ones have 2 KiB.
const MAX_ANSWER: usize = 64 * 1024;

/// After a failure the responder is left alone for this long, however often the configuration changes.
const PAUSE: Duration = Duration::from_secs(300);

/// The answers of responders, by certificate. Lives as long as the process.
pub struct Stapler {
    egress: Arc<dyn Egress>,
    /// Responders to ask in place of others, by URL: `ocsp.responderOverrides`.
    overrides: BTreeMap<String, String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    staples: FxHashMap<[u8; 32], Staple>,
    /// When a responder failed, by its URL.
    failed: FxHashMap<String, SystemTime>,
}

#[derive(Clone)]
struct Staple {
    der: Arc<[u8]>,
    /// From here on a newer one is asked for: half of its time.
    refresh: SystemTime,
    until: SystemTime,
    /// When its certificate was last in use.
    wanted: SystemTime,
}

impl fmt::Debug for Stapler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stapler").field("overrides", &self.overrides).finish_non_exhaustive()
    }
}

impl Stapler {
    pub fn new(egress: Arc<dyn Egress>, overrides: BTreeMap<String, String>) -> Self {
        Stapler { egress, overrides, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate with the answer for it, where there is one that still holds; else as it is.
    pub fn staple(&self, certificate: Arc<Certificate>) -> Arc<Certificate> {
        self.staple_at(certificate, SystemTime::now())
    }

    fn staple_at(&self, certificate: Arc<Certificate>, now: SystemTime) -> Arc<Certificate> {
        match self.state().staples.get(certificate.digest()).filter(|s| s.until > now) {
            Some(staple) => Arc::new(certificate.with_staple(&staple.der)),
            None => certificate,
        }
    }

    /// Follows the certificates in use: asks for them when they change, and once an hour for those whose
    /// answer has passed half of its time. Calls `changed` after answers have come or gone, so that the
    /// certificates are stapled anew. Ends with the sender.
    pub async fn run(&self, mut certificates: watch::Receiver<Vec<Arc<Certificate>>>, changed: impl Fn()) {
        loop {
            let all = certificates.borrow_and_update().clone();
            if self.refresh(&all, SystemTime::now()).await {
                changed();
            }
            let now = SystemTime::now();
            let first_end = self.state().staples.values().filter_map(|s| s.until.duration_since(now).ok()).min();
            let wait = first_end.map_or(INTERVAL, |end| end.clamp(Duration::from_secs(1), INTERVAL));
            if let Ok(Err(_)) = tokio::time::timeout(wait, certificates.changed()).await {
                return;
            }
        }
    }

    /// One round; whether any answer has changed. One that cannot be had leaves the one before in use.
    async fn refresh(&self, certificates: &[Arc<Certificate>], now: SystemTime) -> bool {
        let mut changed = self.forget(certificates, now);
        for certificate in certificates {
            if self.state().staples.get(certificate.digest()).is_some_and(|s| s.refresh > now) {
                continue;
            }
            let Some(question) = Question::of(&certificate.key().cert) else { continue };
            let responder = self.responder(&question).to_owned();
            if self.state().failed.get(&responder).is_some_and(|at| *at + PAUSE > now) {
                continue;
            }
            match self.ask(&responder, &question, now).await {
                Ok(mut staple) => {
                    staple.until = staple.until.min(certificate.not_after());
                    let before = self.state().staples.insert(*certificate.digest(), staple.clone());
                    changed |= before.is_none_or(|b| b.der != staple.der);
                }
                Err(failure) => {
                    tracing::warn!(certificate = %certificate.names().join(", "), %responder, error = %failure.message, "no OCSP answer");
                    if failure.unreachable {
                        self.state().failed.insert(responder, now);
                    }
                }
            }
        }
        changed
    }

    /// Drops answers that hold no longer, and those whose certificates are gone for long; whether one in use
    /// went.
    fn forget(&self, certificates: &[Arc<Certificate>], now: SystemTime) -> bool {
        let mut state = self.state();
        for certificate in certificates {
            if let Some(staple) = state.staples.get_mut(certificate.digest()) {
                staple.wanted = now;
            }
        }
        let mut expired = false;
        state.staples.retain(|_, s| {
            expired |= s.until <= now && s.wanted == now;
            s.until > now && s.wanted + KEPT > now
        });
        // One from the future was noted before the clock was set.
        state.failed.retain(|_, at| *at <= now && *at + PAUSE > now);
        expired
    }

    fn responder<'a>(&'a self, question: &'a Question) -> &'a str {
        self.overrides.get(&question.url).map_or(question.url.as_str(), String::as_str)
    }

    async fn ask(&self, responder: &str, question: &Question, now: SystemTime) -> Result<Staple, Failure> {
        let no = |message: &dyn fmt::Display| Failure { message: message.to_string(), unreachable: true };
        let request = http::Request::post(responder)
            .header(http::header::CONTENT_TYPE, "application/ocsp-request")
            .header(http::header::ACCEPT, "application/ocsp-response")
            .body(Bytes::from(question.to_der()))
            .map_err(|e| no(&e))?;
        let response = self.egress.send(request, TIMEOUT, MAX_ANSWER).await.map_err(|e| match e {
            EgressError::Timeout => no(&format_args!("no answer in {} seconds", TIMEOUT.as_secs())),
            EgressError::TooLarge => no(&format_args!("the answer has more than {MAX_ANSWER} bytes")),
            EgressError::Failed(e) => no(&e),
        })?;
        if !response.status().is_success() {
            return Err(no(&format_args!("the responder answers {}", response.status())));
        }
        let der = response.into_body();
        let answer = verify(&der, question, &crate::provider().signature_verification_algorithms, now)
            .map_err(|e| Failure { message: e.to_owned(), unreachable: false })?;
        let half = answer.next_update.duration_since(answer.this_update).unwrap_or_default() / 2;
        Ok(Staple {
            der: der.as_ref().into(),
            refresh: (answer.this_update + half).max(now + PAUSE),
            until: answer.next_update,
            wanted: now,
        })
    }
}

struct Failure {
    message: String,
    /// Whether the responder itself failed, and not what it says.
    unreachable: bool,
}

#[cfg(test)]
mod tests;
