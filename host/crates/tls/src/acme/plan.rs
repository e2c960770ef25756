//! What a resolver has to do: a comparison of what is wanted with what is there.

use super::client::RenewalWindow;
use super::names::{covers_all, select};
use super::on_demand::Used;
use super::pem::Facts;
use super::resolver::Wanted;
use super::status::{CertificateState, CertificateStatus};
use super::storage::StoredCertificate;
use super::{AcmeError, renewal};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A certificate with what decides about its renewal.
pub(super) struct Own {
    pub(super) stored: StoredCertificate,
    pub(super) facts: Facts,
    /// 0 to 1: its place in the time in which it may be renewed.
    pub(super) spread: f64,
    pub(super) window: Option<RenewalWindow>,
    /// When the CA is asked for a window next.
    pub(super) ask: Instant,
    /// Not renewed before.
    pub(super) earliest: Instant,
    /// When clients were shown it.
    pub(super) used: Arc<Used>,
    /// No router names it: it was ordered on demand, or belonged to a router that is gone.
    pub(super) on_demand: bool,
    /// Expired, and not served any more: the next handshake orders it anew.
    pub(super) gone: bool,
}

/// A certificate on demand that was not used for longer is not renewed before it is used again.
const UNUSED: Duration = Duration::from_secs(30 * 86_400);

/// A try to get one certificate.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) names: Vec<String>,
    /// As they are stored; of a renewal perhaps not the same.
    pub(super) domains: Vec<String>,
    pub(super) store: String,
    /// The certificate that is renewed, by its id for the CA.
    pub(super) replaces: Option<String>,
    /// The end of the certificate that is renewed.
    pub(super) not_after: Option<SystemTime>,
    /// No router names it.
    pub(super) on_demand: bool,
}

/// Tries for one set of names.
#[derive(Clone)]
pub(super) struct Tries {
    pub(super) failures: u32,
    pub(super) next: Instant,
    /// The same, for those who look at a clock.
    pub(super) next_at: SystemTime,
    pub(super) running: bool,
    pub(super) error: Option<AcmeError>,
    /// The last look that still had the names.
    pub(super) seen: u64,
}

/// What has to be ordered or renewed now or later, and the status of all that need not.
///
/// `hours` is `certificatesDuration`, `wildcards` whether names are proved by DNS.
pub(super) fn plan(
    own: &[Own],
    sets: &[Wanted],
    tries: &FxHashMap<Vec<String>, Tries>,
    hours: i64,
    wildcards: bool,
    covered: &dyn Fn(&[String]) -> bool,
) -> (Vec<Job>, Vec<CertificateStatus>) {
    let by_name = index(own.iter().map(|o| &o.facts.names));
    let (mut jobs, mut shown) = (Vec::new(), Vec::new());
    let mut renewing = FxHashSet::default();
    let now = SystemTime::now();
    for o in own.iter() {
        let renew = o.due(hours);
        let state = if o.facts.not_after <= now { CertificateState::Expired } else { CertificateState::Valid };
        let mut status = CertificateStatus::new(o.stored.domains.clone(), &o.stored.store, state);
        status.not_after = Some(o.facts.not_after);
        status.renew_at = Some(renew);
        status.explanation = o.window.as_ref().and_then(|w| w.explanation.clone());
        status.on_demand = o.on_demand;
        if renew > now || o.earliest > Instant::now() {
            shown.push(status);
            continue;
        }
        if o.on_demand && (o.gone || !o.used.within(UNUSED)) {
            shown.push(CertificateStatus { state: if o.gone { state } else { CertificateState::Unused }, ..status });
            continue;
        }
        match select(&o.stored.domains, wildcards) {
            Ok(names) => {
                if renewing.insert(names.clone()) {
                    let replaces = o.facts.id.clone();
                    jobs.push(Job {
                        names,
                        domains: o.stored.domains.clone(),
                        store: o.stored.store.clone(),
                        replaces,
                        not_after: Some(o.facts.not_after),
                        on_demand: o.on_demand,
                    });
                }
            }
            Err(e) => shown.push(CertificateStatus { state: CertificateState::Failed, error: Some(e.to_string()), ..status }),
        }
    }
    let mut chosen: Vec<(Vec<String>, String)> = Vec::new();
    let mut known = FxHashSet::default();
    for want in sets {
        match select(&want.domains, wildcards) {
            Ok(names) if known.insert(names.clone()) => chosen.push((names, want.store.clone())),
            Ok(_) => {}
            Err(e) => {
                let mut status = CertificateStatus::new(want.domains.clone(), &want.store, CertificateState::Failed);
                status.error = Some(e.to_string());
                shown.push(status);
            }
        }
    }
    let by_wanted = index(chosen.iter().map(|(names, _)| names));
    for (i, (names, store)) in chosen.iter().enumerate() {
        if find(&by_name, names, |at| &own[at].facts.names).is_some() {
            continue;
        }
        if covered(names) {
            shown.push(CertificateStatus::new(names.clone(), store, CertificateState::Covered));
            continue;
        }
        // another set that is wanted too will do, unless it cannot be had
        let other = find(&by_wanted, names, |at| if at == i { &[] } else { &chosen[at].0 })
            .filter(|at| tries.get(&chosen[*at].0).is_none_or(|t| t.failures == 0))
            .filter(|at| *at < i || !covers_all(names, &chosen[*at].0));
        if other.is_some() {
            shown.push(CertificateStatus::new(names.clone(), store, CertificateState::Covered));
            continue;
        }
        let (names, domains, store) = (names.clone(), names.clone(), store.clone());
        jobs.push(Job { names, domains, store, replaces: None, not_after: None, on_demand: false });
    }
    (jobs, shown)
}

impl Own {
    pub(super) fn new(stored: StoredCertificate, facts: Facts) -> Self {
        let now = Instant::now();
        let spread = fastrand::f64();
        Own { stored, facts, spread, window: None, ask: now, earliest: now, used: Arc::default(), on_demand: false, gone: false }
    }

    pub(super) fn due(&self, hours: i64) -> SystemTime {
        renewal::due(&self.facts, hours, self.window.as_ref(), self.spread)
    }
}

/// Finds those that no router names, for a resolver with `onDemand`; how many of them are served, and whether that has
/// changed for some.
pub(super) fn mark(own: &mut [Own], sets: &[Wanted], wildcards: bool) -> (usize, bool) {
    let mut named = vec![false; own.len()];
    {
        let by_name = index(own.iter().map(|o| &o.facts.names));
        for names in sets.iter().filter_map(|want| select(&want.domains, wildcards).ok()) {
            if let Some(at) = find(&by_name, &names, |at| &own[at].facts.names) {
                named[at] = true;
            }
        }
    }
    let now = SystemTime::now();
    let (mut served, mut changed) = (0, false);
    for (o, named) in own.iter_mut().zip(named) {
        o.on_demand = !named;
        let gone = o.on_demand && o.facts.not_after <= now;
        changed |= std::mem::replace(&mut o.gone, gone) != gone;
        served += usize::from(o.on_demand && !gone);
    }
    (served, changed)
}

/// What failed here, and not at the CA, is tried at once: what makes the records has changed.
pub(super) fn hurry(tries: &mut FxHashMap<Vec<String>, Tries>) {
    for t in tries.values_mut().filter(|t| !t.running && t.error.as_ref().is_some_and(|e| e.kind.is_none() && e.status.is_none())) {
        (t.next, t.next_at) = (Instant::now(), SystemTime::now());
    }
}

/// Of a job, by its tries.
pub(super) fn status_of(job: &Job, t: &Tries) -> CertificateStatus {
    let state = match (t.running, job.not_after.is_some(), t.failures) {
        (true, false, _) => CertificateState::Ordering,
        (true, true, _) => CertificateState::Renewing,
        (false, _, 0) => CertificateState::Waiting,
        (false, ..) => CertificateState::Failed,
    };
    let mut status = CertificateStatus::new(job.domains.clone(), &job.store, state);
    status.on_demand = job.on_demand;
    status.failures = t.failures;
    status.not_after = job.not_after;
    if let Some(e) = &t.error {
        status.error = Some(e.message.clone());
        status.error_type = e.kind.clone();
    }
    if !t.running {
        status.next_attempt = Some(t.next_at);
    }
    status
}

/// Which sets have a name.
fn index<'a>(sets: impl Iterator<Item = &'a Vec<String>>) -> FxHashMap<&'a str, Vec<usize>> {
    let mut by_name: FxHashMap<&str, Vec<usize>> = FxHashMap::default();
    for (i, names) in sets.enumerate() {
        for name in names {
            by_name.entry(name).or_default().push(i);
        }
    }
    by_name
}

/// The first set that covers all of `names`.
fn find<'a>(by_name: &FxHashMap<&str, Vec<usize>>, names: &[String], set: impl Fn(usize) -> &'a [String]) -> Option<usize> {
    let first = names.first()?;
    let wildcard = first.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    let sets = [Some(first.as_str()), wildcard.as_deref()].into_iter().flatten().filter_map(|n| by_name.get(n)).flatten();
    sets.copied().find(|at| covers_all(set(*at), names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn own(names: &[&str], days_left: u64) -> Own {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let not_after = SystemTime::now() + Duration::from_secs(days_left * 86_400);
        let facts =
            Facts { names: names.clone(), not_before: not_after - Duration::from_secs(90 * 86_400), not_after, id: Some("i".into()) };
        Own::new(StoredCertificate { domains: names, chain: String::new(), key: String::new(), store: "default".into() }, facts)
    }

    fn sets(all: &[&[&str]]) -> Vec<Wanted> {
        let set = |names: &&[&str]| Wanted { domains: names.iter().map(|n| (*n).to_owned()).collect(), store: "default".into() };
        all.iter().map(set).collect()
    }

    fn jobs(own: &[Own], wanted: &[&[&str]], failed: &[&str]) -> Vec<String> {
        let now = Instant::now();
        let t = |n: &&str| {
            let tries = Tries { failures: 1, next: now, next_at: SystemTime::now(), running: false, error: None, seen: 0 };
            (vec![(*n).to_owned()], tries)
        };
        let tries = failed.iter().map(t).collect();
        let (jobs, _) = plan(own, &sets(wanted), &tries, 2160, true, &|n| n[0] == "elsewhere.test");
        jobs.iter().map(|j| format!("{}{}", j.names.join("+"), if j.replaces.is_some() { " renewed" } else { "" })).collect()
    }

    #[test]
    fn what_failed_here_is_hurried() {
        let later = Instant::now() + Duration::from_secs(600);
        let t = |running, error| Tries {
            failures: 3,
            next: later,
            next_at: SystemTime::now() + Duration::from_secs(600),
            running,
            error,
            seen: 0,
        };
        let refused = AcmeError { status: Some(403), ..AcmeError::local("no") };
        let all = [
            t(false, Some(AcmeError::local("plugin"))),
            t(false, Some(refused)),
            t(true, Some(AcmeError::local("plugin"))),
            t(false, None),
        ];
        let mut tries: FxHashMap<_, _> = all.into_iter().enumerate().map(|(n, t)| (vec![n.to_string()], t)).collect();
        hurry(&mut tries);
        let hurried: Vec<_> = (0..4).map(|n: usize| tries[&vec![n.to_string()]].next < later).collect();
        assert_eq!(hurried, [true, false, false, false]);
    }

    #[test]
    fn what_is_to_be_ordered() {
        type Case<'a> = (&'a [Own], &'a [&'a [&'a str]], &'a [&'a str], &'a [&'a str]);
        let (fresh, old, wild) = ([own(&["a.test", "b.test"], 80)], [own(&["a.test"], 20)], [own(&["*.a.test"], 80)]);
        let cases: [Case<'_>; 9] = [
            (&[], &[&["a.test"], &["A.test"], &["elsewhere.test"]], &[], &["a.test"]),
            // a part of it is there, or all
            (&fresh, &[&["a.test", "c.test"], &["b.test"], &["b.test", "a.test"]], &[], &["a.test+c.test"]),
            (&wild, &[&["x.a.test"], &["a.test"]], &[], &["a.test"]),
            // what is old is renewed, and serves until then, wanted or not
            (&old, &[&["a.test"]], &[], &["a.test renewed"]),
            (&old, &[], &[], &["a.test renewed"]),
            // one order for what a wildcard covers, unless that one fails
            (&[], &[&["x.a.test"], &["*.a.test"]], &[], &["*.a.test"]),
            (&[], &[&["x.a.test"], &["*.a.test"]], &["*.a.test"], &["x.a.test", "*.a.test"]),
            (&[], &[&["a.test", "b.test"], &["b.test", "a.test"], &["b.test"]], &[], &["a.test+b.test"]),
            (&[], &[&["*.*.test"], &[]], &[], &[]),
        ];
        for (own, wanted, failed, expected) in cases {
            assert_eq!(jobs(own, wanted, failed), expected, "{wanted:?} {failed:?}");
        }
    }

    #[test]
    fn what_was_ordered_on_demand_is_renewed_when_it_is_used() {
        let mut all = [own(&["named.test"], 20), own(&["used.test"], 20), own(&["idle.test"], 20), own(&["fresh.test"], 80)];
        let mut ended = own(&["ended.test"], 0);
        ended.facts.not_after = SystemTime::now() - Duration::from_secs(1);
        ended.used.touch();
        let mut all: Vec<Own> = all.iter_mut().map(|o| std::mem::replace(o, own(&["x.test"], 1))).chain([ended]).collect();
        all[1].used.touch();
        let wanted: &[&[&str]] = &[&["named.test"]];
        assert_eq!(mark(&mut all, &sets(wanted), false), (3, true));
        assert_eq!(
            all.iter().map(|o| (o.on_demand, o.gone)).collect::<Vec<_>>(),
            [(false, false), (true, false), (true, false), (true, false), (true, true)]
        );
        assert_eq!(jobs(&all, wanted, &[]), ["named.test renewed", "used.test renewed"]);
        let (_, shown) = plan(&all, &sets(wanted), &FxHashMap::default(), 2160, true, &|_| false);
        let states: Vec<_> = shown.iter().map(|s| (s.domains[0].as_str(), s.state, s.on_demand)).collect();
        assert_eq!(
            states,
            [
                ("idle.test", CertificateState::Unused, true),
                ("fresh.test", CertificateState::Valid, true),
                ("ended.test", CertificateState::Expired, true)
            ]
        );
        // a router comes that names it
        assert_eq!(mark(&mut all, &sets(&[&["ended.test"]]), false), (4, true));
        assert!(jobs(&all, &[&["ended.test"]], &[]).contains(&"ended.test renewed".to_owned()));
    }

    #[test]
    fn ten_thousand_names_are_no_trouble() {
        let names: Vec<String> = (0..10_000).map(|n| format!("n{n}.test")).collect();
        let own: Vec<Own> = names.iter().step_by(2).map(|n| own(&[n], 80)).collect();
        let wanted: Vec<Wanted> = names.iter().map(|n| Wanted { domains: vec![n.clone()], store: "default".into() }).collect();
        let began = std::time::Instant::now();
        let (jobs, _) = plan(&own, &wanted, &FxHashMap::default(), 2160, false, &|_| false);
        assert_eq!(jobs.len(), 5_000);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
