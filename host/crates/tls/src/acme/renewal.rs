//! When certificates are renewed, and when what failed is tried again.

use super::AcmeError;
use super::client::RenewalWindow;
use super::pem::Facts;
use std::time::{Duration, SystemTime};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// By `certificatesDuration` in hours: how long before the end, and how often is looked (Traefik's table).
pub(crate) fn periods(hours: i64) -> (Duration, Duration) {
    let (before, every) = match hours {
        8760.. => (4 * 30 * DAY, 7 * DAY),
        2160.. => (30 * DAY, DAY),
        720.. => (10 * DAY, 12 * HOUR),
        144.. => (2 * DAY, 2 * HOUR),
        24.. => (6 * HOUR, 600),
        _ => (20 * 60, 60),
    };
    (Duration::from_secs(before), Duration::from_secs(every))
}

/// When to renew, by the window of the CA, or else by the table: `spread` (0 to 1) puts certificates of one day
/// on different moments.
///
/// A certificate of less life than the table reckons with is renewed after two thirds of it: by the table it would
/// be renewed all the time. A window that leaves no time before the end counts only up to there.
pub(crate) fn due(facts: &Facts, hours: i64, window: Option<&RenewalWindow>, spread: f64) -> SystemTime {
    let life = facts.not_after.duration_since(facts.not_before).unwrap_or_default();
    if let Some(window) = window {
        let length = window.end.duration_since(window.start).unwrap_or_default();
        let latest = facts.not_after.checked_sub(life / 10).unwrap_or(facts.not_before);
        return (window.start + length.mul_f64(spread)).min(latest);
    }
    let (before, every) = periods(hours);
    let before = before.min(life / 3);
    let every = every.min(life / 20);
    facts.not_after.checked_sub(before).unwrap_or(facts.not_before) + every.mul_f64(spread)
}

/// What stays between two orders of the same certificate, whatever the clock and the CA say: a certificate that
/// looks old as soon as it comes must not be ordered without end.
pub(crate) fn pause(facts: &Facts) -> Duration {
    let life = facts.not_after.duration_since(facts.not_before).unwrap_or_default();
    let least = (life / 2).clamp(Duration::from_secs(5), Duration::from_secs(60));
    (life / 10).clamp(least, Duration::from_secs(DAY))
}

/// Minutes to the next try after refusals. Five fall into the first hour, which is what Let's Encrypt allows.
const REFUSED: [u64; 9] = [1, 5, 15, 30, 60, 120, 240, 480, 720];
/// Seconds to the next try while the CA cannot be reached.
const UNREACHED: [u64; 9] = [2, 5, 10, 20, 40, 80, 160, 320, 600];

/// How long to wait after `failures` (1 for the first) the last of which was `e`; `jitter` from 0 to 1.
pub(crate) fn backoff(e: &AcmeError, failures: u32, now: SystemTime, jitter: f64) -> Duration {
    let step = |table: &[u64]| table[usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(table.len() - 1)];
    let mut wait = if e.lasting {
        12 * HOUR
    } else if e.is_rate_limit() {
        (step(&REFUSED) * 60).max(HOUR)
    } else if e.status.is_some() || e.kind.is_some() {
        step(&REFUSED) * 60
    } else {
        step(&UNREACHED)
    };
    if let Some(after) = e.retry_after.and_then(|t| t.duration_since(now).ok()) {
        // what the CA says counts, up to what no CA would mean
        wait = if e.is_rate_limit() { after.as_secs() + 1 } else { wait.max(after.as_secs() + 1) };
        wait = wait.min(8 * DAY);
    }
    Duration::from_secs(wait).mul_f64(1.0 + jitter / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn facts(days: u64) -> Facts {
        Facts { names: Vec::new(), not_before: at(0), not_after: at(days * DAY), id: None }
    }

    #[test]
    fn the_table_of_traefik() {
        for (hours, before, every) in [
            (8760, 120 * DAY, 7 * DAY),
            (8759, 30 * DAY, DAY),
            (2160, 30 * DAY, DAY),
            (2159, 10 * DAY, 12 * HOUR),
            (720, 10 * DAY, 12 * HOUR),
            (719, 2 * DAY, 2 * HOUR),
            (144, 2 * DAY, 2 * HOUR),
            (143, 6 * HOUR, 600),
            (24, 6 * HOUR, 600),
            (23, 1200, 60),
            (1, 1200, 60),
        ] {
            assert_eq!(periods(hours), (Duration::from_secs(before), Duration::from_secs(every)), "{hours}");
        }
    }

    #[test]
    fn when_certificates_are_renewed() {
        assert_eq!(due(&facts(90), 2160, None, 0.0), at(60 * DAY));
        assert_eq!(due(&facts(90), 2160, None, 1.0), at(61 * DAY));
        // six days of life, with the option left at 90
        assert_eq!(due(&facts(6), 2160, None, 0.0), at(4 * DAY));
        let window = RenewalWindow { start: at(10), end: at(20), explanation: None };
        assert_eq!(due(&facts(90), 2160, Some(&window), 0.5), at(15));
        let late = RenewalWindow { start: at(91 * DAY), end: at(92 * DAY), explanation: None };
        assert_eq!(due(&facts(90), 2160, Some(&late), 0.5), at(81 * DAY));
        assert_eq!((pause(&facts(90)), pause(&facts(0))), (Duration::from_secs(DAY), Duration::from_secs(5)));
    }

    #[test]
    fn how_long_a_failure_waits() {
        let now = SystemTime::now();
        let secs = |e: &AcmeError, n| backoff(e, n, now, 0.0).as_secs();
        let down = AcmeError::local("x");
        assert_eq!([secs(&down, 1), secs(&down, 4), secs(&down, 100)], [2, 20, 600]);
        let refused = AcmeError { status: Some(403), ..AcmeError::local("x") };
        assert_eq!([secs(&refused, 1), secs(&refused, 3), secs(&refused, 100)], [60, 900, 43_200]);
        assert!((0..5).map(|n| REFUSED[n]).take(4).sum::<u64>() < 60 && REFUSED.iter().take(5).sum::<u64>() > 60);
        let limited = AcmeError { status: Some(429), ..AcmeError::local("x") };
        assert_eq!(secs(&limited, 1), 3600);
        let told = AcmeError { retry_after: Some(now + Duration::from_secs(90)), ..limited };
        assert_eq!(secs(&told, 5), 91);
        let mad = AcmeError { retry_after: Some(now + Duration::from_secs(900 * DAY)), ..told };
        assert_eq!(secs(&mad, 1), 8 * DAY);
        assert_eq!(secs(&AcmeError::lasting("x"), 1), 43_200);
        assert_eq!(backoff(&down, 4, now, 1.0).as_secs(), 24);
    }
}
