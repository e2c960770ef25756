//! The world that a plugin asks: only the answers that a transcript has for it.

use super::Miss;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use torana_devkit::transcript::{Answer, Canned, Content};
use torana_extend::{Egress, EgressError, SendFuture};

type Answered = Result<http::Response<Bytes>, EgressError>;

#[derive(Default)]
pub(crate) struct World(Mutex<State>);

#[derive(Default)]
struct State {
    /// For any request, again and again.
    standing: Vec<Canned>,
    /// For one request each, and whether it came.
    once: Vec<(Canned, bool)>,
    /// Those for one request serve again.
    again: bool,
    misses: Vec<Miss>,
    /// Requests without an answer.
    unknown: Vec<String>,
}

impl World {
    pub(crate) fn new(standing: &[Canned]) -> World {
        World(Mutex::new(State { standing: standing.to_vec(), ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a step: the answers it has.
    pub(crate) fn expect(&self, answers: &[Canned], again: bool) {
        let mut s = self.state();
        s.once = answers.iter().map(|c| (c.clone(), false)).collect();
        s.again = again;
        s.unknown.clear();
        s.misses.clear();
    }

    /// After a step: what was asked otherwise than it is written. `key`: of the step.
    pub(crate) fn misses(&self, key: &str) -> Vec<Miss> {
        let mut s = self.state();
        let mut misses = std::mem::take(&mut s.misses);
        for (c, _) in s.once.iter().filter(|(_, came)| !came) {
            let wanted = format!("the plugin sends {} {}", c.method, c.url);
            misses.push(Miss { key: c.key.clone(), place: Some(c.place.clone()), wanted, got: "no such request".to_owned() });
        }
        for sent in std::mem::take(&mut s.unknown) {
            let key = format!("{key}.outgoing");
            misses.push(Miss { key, place: None, wanted: "no other request of the plugin".to_owned(), got: sent });
        }
        misses
    }

    fn answer(&self, request: &http::Request<Bytes>, limit: usize) -> Answered {
        let mut s = self.state();
        let fits = |c: &Canned| c.method == *request.method() && c.url.parse::<http::Uri>().is_ok_and(|u| u == *request.uri());
        let again = s.again;
        let found = match s.once.iter_mut().find(|(c, came)| (again || !came) && fits(c)) {
            Some((c, came)) => {
                *came = true;
                Some(c.clone())
            }
            None => s.standing.iter().find(|c| fits(c)).cloned(),
        };
        let Some(canned) = found else {
            let asked = format!("{} {}", request.method(), request.uri());
            s.unknown.push(asked.clone());
            return Err(EgressError::Failed(format!("the transcript has no answer for {asked}")));
        };
        for (name, wanted) in &canned.headers {
            let lines = super::check::lines(request.headers(), name);
            s.misses.extend(Miss::unless(wanted, &lines));
        }
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let body = if body.is_empty() { Vec::new() } else { vec![body] };
        s.misses.extend(canned.body.iter().filter_map(|wanted| Miss::unless(wanted, &body)));
        drop(s);
        match canned.answer {
            Answer::Timeout => Err(EgressError::Timeout),
            Answer::TooLarge => Err(EgressError::TooLarge),
            Answer::Failed(why) => Err(EgressError::Failed(why)),
            Answer::Reply(reply) => {
                let text = match reply.body {
                    Content::Whole(text) => text,
                    Content::Pieces(pieces) => pieces.concat(),
                };
                if text.len() > limit {
                    return Err(EgressError::TooLarge);
                }
                let mut response = http::Response::new(Bytes::from(text));
                *response.status_mut() = reply.status;
                *response.headers_mut() = reply.headers;
                Ok(response)
            }
        }
    }
}

impl Egress for World {
    fn send(&self, request: http::Request<Bytes>, _: Duration, limit: usize) -> SendFuture<'static, Answered> {
        Box::pin(std::future::ready(self.answer(&request, limit)))
    }
}
