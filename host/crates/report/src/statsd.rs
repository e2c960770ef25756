//! Lines of StatsD, and of DogStatsD, which have tags.

use crate::changes::{Change, Labels, Value};
use crate::names::Dialect;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Bytes of a packet, so that it needs no fragments on the way.
const PACKET: usize = 1432;
/// Durations of one series in one report that are all told; of more, some that stand for the others.
const TIMES: u64 = 100;

/// The lines of a report, in packets.
pub(crate) fn packets(changes: &[Change], prefix: &str, dialect: Dialect) -> Vec<Vec<u8>> {
    let mut packets = Packets::default();
    let merged;
    let changes = match dialect {
        Dialect::StatsD => {
            merged = merged_by_name(changes);
            &merged
        }
        _ => changes,
    };
    for change in changes {
        let tags = tags(&change.labels, dialect);
        let name = format!("{prefix}.{}", change.name);
        match &change.value {
            Value::Count(n) => packets.put(&format!("{name}:{n:.6}|c{tags}\n")),
            Value::Level(n) => packets.put(&format!("{name}:{n:.6}|g{tags}\n")),
            Value::Times(times) => {
                let all: u64 = times.iter().map(|t| t.0).sum();
                for (n, seconds) in times {
                    let (value, kind) = if dialect == Dialect::StatsD { (seconds * 1e3, "ms") } else { (*seconds, "h") };
                    let told = told(*n, all);
                    let rate = if told < *n { format!("|@{}", told as f64 / *n as f64) } else { String::new() };
                    let line = format!("{name}:{value:.6}|{kind}{rate}{tags}\n");
                    (0..told).for_each(|_| packets.put(&line));
                }
            }
        }
    }
    packets.finish()
}

/// How many of `n` are told, in proportion to the others and at least one.
fn told(n: u64, all: u64) -> u64 {
    if all <= TIMES { n } else { ((n as f64 * TIMES as f64 / all as f64).round() as u64).clamp(1, n) }
}

/// Without tags a name has one value: counts and levels are added up, but of dates the first counts.
fn merged_by_name(changes: &[Change]) -> Vec<Change> {
    let mut merged: Vec<Change> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for change in changes {
        let found = places.get(change.name.as_str()).copied().and_then(|i| merged.get_mut(i));
        match (found.map(|c| &mut c.value), &change.value) {
            (Some(Value::Count(sum)), Value::Count(n)) => *sum += n,
            (Some(Value::Level(first)), Value::Level(n)) if change.name.ends_with("Timestamp") => *first = first.min(*n),
            (Some(Value::Level(sum)), Value::Level(n)) => *sum += n,
            _ => {
                places.insert(&change.name, merged.len());
                merged.push(Change { name: change.name.clone(), labels: Labels::new(), value: change.value.clone() });
            }
        }
    }
    merged
}

/// `|#name:value,name:value`
fn tags(labels: &Labels, dialect: Dialect) -> String {
    let mut tags = String::new();
    if dialect == Dialect::StatsD {
        return tags;
    }
    for (i, (name, value)) in labels.iter().enumerate() {
        let _ = write!(tags, "{}{name}:", if i == 0 { "|#" } else { "," });
        // What would end the line or the tags.
        tags.extend(value.chars().map(|c| if c == '|' || c.is_control() { '_' } else { c }));
    }
    tags
}

#[derive(Default)]
struct Packets {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Packets {
    fn put(&mut self, line: &str) {
        if !self.last.is_empty() && self.last.len() + line.len() > PACKET {
            self.full.push(std::mem::take(&mut self.last));
        }
        self.last.extend_from_slice(line.as_bytes());
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.last.is_empty() {
            self.full.push(self.last);
        }
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, labels: &[(&'static str, &str)], value: Value) -> Change {
        Change { name: name.into(), labels: labels.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(), value }
    }

    fn lines(changes: &[Change], dialect: Dialect) -> Vec<String> {
        let packets = packets(changes, "traefik", dialect);
        assert!(packets.iter().all(|p| p.len() <= PACKET && p.ends_with(b"\n")));
        packets.iter().flat_map(|p| std::str::from_utf8(p).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// As Traefik 3.7.15 sends them.
    #[test]
    fn lines_of_both() {
        let labels = [("service", "s@file"), ("method", "GET"), ("code", "200")];
        let changes = [
            change("config.reload.total", &[], Value::Count(2.0)),
            change("service.request.total", &labels, Value::Count(3.0)),
            change("open.connections", &[("entrypoint", "web")], Value::Level(0.0)),
            change("service.request.duration", &labels, Value::Times(vec![(2, 0.001_25), (1, 0.005_946)])),
        ];
        assert_eq!(
            lines(&changes, Dialect::Datadog),
            [
                "traefik.config.reload.total:2.000000|c",
                "traefik.service.request.total:3.000000|c|#service:s@file,method:GET,code:200",
                "traefik.open.connections:0.000000|g|#entrypoint:web",
                "traefik.service.request.duration:0.001250|h|#service:s@file,method:GET,code:200",
                "traefik.service.request.duration:0.001250|h|#service:s@file,method:GET,code:200",
                "traefik.service.request.duration:0.005946|h|#service:s@file,method:GET,code:200",
            ]
        );
        assert_eq!(
            lines(&changes, Dialect::StatsD)[3..],
            [
                "traefik.service.request.duration:1.250000|ms",
                "traefik.service.request.duration:1.250000|ms",
                "traefik.service.request.duration:5.946000|ms",
            ]
        );
    }

    #[test]
    fn without_tags_a_name_stands_once() {
        let of = |name: &str, value| change(name, &[("service", "x")], value);
        let changes = [
            of("a", Value::Count(1.0)),
            of("a", Value::Count(2.0)),
            of("up", Value::Level(1.0)),
            of("up", Value::Level(1.0)),
            of("notAfterTimestamp", Value::Level(9.0)),
            of("notAfterTimestamp", Value::Level(5.0)),
        ];
        let expected = ["traefik.a:3.000000|c", "traefik.up:2.000000|g", "traefik.notAfterTimestamp:5.000000|g"];
        assert_eq!(lines(&changes, Dialect::StatsD), expected);
    }

    #[test]
    fn many_durations_are_told_by_some_that_count_for_all() {
        let lines = lines(&[change("d", &[], Value::Times(vec![(100_000, 0.001), (300, 1.0), (1, 9.0)]))], Dialect::Datadog);
        assert_eq!(lines.len(), 102);
        let counted: f64 = lines.iter().map(|l| l.rsplit_once('@').map_or(1.0, |(_, rate)| 1.0 / rate.parse::<f64>().unwrap())).sum();
        assert!((counted - 100_301.0).abs() < 1e-6, "{counted}");
        assert_eq!(lines.last().unwrap(), "traefik.d:9.000000|h");
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        let change = change("a", &[("service", "x|g\ny:1|c")], Value::Count(1.0));
        assert_eq!(lines(&[change], Dialect::Datadog), ["traefik.a:1.000000|c|#service:x_g_y:1_c"]);
    }
}
