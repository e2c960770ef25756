//! Moments, as Go writes them.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use std::io::Write;
use std::time::SystemTime;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment and the clock that it is read from.
pub(super) struct Moment {
    at: Timestamp,
    offset: Offset,
}

impl Moment {
    pub(super) fn utc(at: SystemTime) -> Moment {
        Moment { at: Timestamp::try_from(at).unwrap_or_default(), offset: Offset::UTC }
    }

    pub(super) fn local(at: SystemTime, zone: &TimeZone) -> Moment {
        let at = Timestamp::try_from(at).unwrap_or_default();
        Moment { at, offset: zone.to_offset(at) }
    }

    /// Hours and minutes from UTC, with their sign.
    fn distance(&self) -> (char, i32, i32) {
        let seconds = self.offset.seconds();
        (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 3600, seconds.abs() / 60 % 60)
    }

    /// `02/Jan/2006:15:04:05 -0700`
    pub(super) fn clf(&self, line: &mut Vec<u8>) {
        let t = self.offset.to_datetime(self.at);
        let month = MONTHS[usize::try_from(t.month() - 1).unwrap_or(0).min(11)];
        let (sign, hours, minutes) = self.distance();
        let (d, y, h, m, s) = (t.day(), t.year(), t.hour(), t.minute(), t.second());
        let _ = write!(line, "{d:02}/{month}/{y:04}:{h:02}:{m:02}:{s:02} {sign}{hours:02}{minutes:02}");
    }

    /// RFC 3339, with the digits of the second that are not zero if `fraction`.
    pub(super) fn rfc3339(&self, fraction: bool, line: &mut Vec<u8>) {
        let t = self.offset.to_datetime(self.at);
        let (y, mo, d, h, m, s) = (t.year(), t.month(), t.day(), t.hour(), t.minute(), t.second());
        let _ = write!(line, "{y:04}-{mo:02}-{d:02}T{h:02}:{m:02}:{s:02}");
        if fraction && t.subsec_nanosecond() != 0 {
            let _ = write!(line, ".{:09}", t.subsec_nanosecond());
            while line.last() == Some(&b'0') {
                line.pop();
            }
        }
        match self.distance() {
            (_, 0, 0) => line.push(b'Z'),
            (sign, hours, minutes) => drop(write!(line, "{sign}{hours:02}:{minutes:02}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn as_go_writes_them() {
        let zone = |hours, minutes| TimeZone::fixed(Offset::from_seconds(hours * 3600 + minutes * 60).unwrap());
        let written = |nanos, zone: &TimeZone| {
            let at = Moment::local(UNIX_EPOCH + Duration::new(1_767_366_245, nanos), zone);
            let (mut clf, mut full, mut short) = (Vec::new(), Vec::new(), Vec::new());
            at.clf(&mut clf);
            at.rfc3339(true, &mut full);
            at.rfc3339(false, &mut short);
            [clf, full, short].map(|v| String::from_utf8(v).unwrap())
        };
        assert_eq!(written(120_000_000, &TimeZone::UTC), ["02/Jan/2026:15:04:05 +0000", "2026-01-02T15:04:05.12Z", "2026-01-02T15:04:05Z"]);
        assert_eq!(
            written(1, &zone(-3, -30)),
            ["02/Jan/2026:11:34:05 -0330", "2026-01-02T11:34:05.000000001-03:30", "2026-01-02T11:34:05-03:30"]
        );
        assert_eq!(written(0, &zone(10, 0)), ["03/Jan/2026:01:04:05 +1000", "2026-01-03T01:04:05+10:00", "2026-01-03T01:04:05+10:00"]);
    }
}
