//! What has changed since the last report.

use crate::names::{self, Dialect, LABELS};
use crate::spread::spread;
use std::collections::{BTreeMap, BTreeSet};
use torana_telemetry::metrics::Reader;
use torana_telemetry::names::Family;

pub(crate) type Labels = Vec<(&'static str, String)>;

/// One line of a report.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub name: String,
    pub labels: Labels,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// So many more.
    Count(f64),
    /// As it is now.
    Level(f64),
    /// How often which duration in seconds, from the shortest.
    Times(Vec<(u64, f64)>),
}

/// What was counted until a report, since the process began or the scope was made.
#[derive(Clone, Debug, Default)]
struct Total {
    scope: u64,
    /// Of a counter, or seconds.
    sum: f64,
    /// Of durations.
    buckets: Vec<u64>,
}

impl Total {
    /// What came on top of `before`; a scope that was made since began at zero.
    fn since(&self, before: Option<&Total>) -> Total {
        let Some(before) = before.filter(|b| b.scope == self.scope) else { return self.clone() };
        let older = |i: usize| before.buckets.get(i).copied().unwrap_or(0);
        Total {
            scope: self.scope,
            sum: (self.sum - before.sum).max(0.0),
            buckets: self.buckets.iter().enumerate().map(|(i, n)| n.saturating_sub(older(i))).collect(),
        }
    }
}

type Totals = BTreeMap<(&'static str, Labels), Total>;

/// Everything as it is at one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    family: Family,
    scope: u64,
    /// In the order in which they were read.
    order: Vec<(Family, Labels)>,
    totals: Totals,
    bounds: Vec<f64>,
}

impl Reading {
    pub(crate) fn new() -> Self {
        Reading { family: Family { name: "", help: "", kind: "" }, scope: 0, order: Vec::new(), totals: Totals::new(), bounds: Vec::new() }
    }

    /// Labels from headers are not reported: what they tell apart is one series here.
    fn total(&mut self, labels: &[(&str, &str)]) -> &mut Total {
        let value = |name: &'static str| labels.iter().find(|(n, _)| *n == name).map(|(_, v)| (name, (*v).to_owned()));
        let labels: Labels = LABELS.iter().filter_map(|n| value(n)).collect();
        let key = (self.family.name, labels);
        if !self.totals.contains_key(&key) {
            self.order.push((self.family, key.1.clone()));
        }
        let scope = self.scope;
        self.totals.entry(key).or_insert_with(|| Total { scope, ..Total::default() })
    }
}

impl Reader for Reading {
    fn family(&mut self, family: Family) {
        self.family = family;
        self.scope = 0;
    }

    fn counted_in(&mut self, scope: u64) {
        self.scope = scope;
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.total(labels).sum += value;
    }

    fn durations(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], seconds: f64) {
        self.bounds = bounds.to_vec();
        let total = self.total(labels);
        total.sum = seconds;
        total.buckets = buckets.to_vec();
    }
}

/// What has been reported.
#[derive(Debug, Default)]
pub(crate) struct Reported(Totals);

impl Reported {
    /// What is new: counters that grew, with the bytes of each kind of request that came, even if there were none, and
    /// all levels.
    pub(crate) fn changes(&self, reading: &Reading, dialect: Dialect) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut requested: BTreeSet<&Labels> = BTreeSet::new();
        for (family, labels) in &reading.order {
            let Some(name) = names::of(family.name, dialect) else { continue };
            let key = (family.name, labels.clone());
            let Some(total) = reading.totals.get(&key) else { continue };
            let new = total.since(self.0.get(&key));
            let value = match family.kind {
                "counter" if new.sum > 0.0 || requested.contains(labels) => Value::Count(new.sum),
                "counter" => continue,
                "histogram" => {
                    let times = spread(&reading.bounds, &new.buckets, new.sum);
                    if times.is_empty() {
                        continue;
                    }
                    requested.insert(labels);
                    Value::Times(times)
                }
                _ => Value::Level(total.sum),
            };
            changes.push(Change { name, labels: labels.clone(), value });
        }
        changes
    }

    /// What was read counts as reported from now on.
    pub(crate) fn set(&mut self, reading: Reading) {
        self.0 = reading.totals;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_telemetry::names::{CONFIG_RELOADS, OPEN_CONNECTIONS, SERVICE_METRICS, SERVICE_RETRIES};

    const LABEL: &[(&str, &str)] = &[("code", "200"), ("service", "s@file")];

    fn read(scope: u64, buckets: [u64; 2], seconds: f64, sent: f64) -> Reading {
        let mut r = Reading::new();
        r.family(CONFIG_RELOADS);
        r.value(&[], 1.0);
        r.family(OPEN_CONNECTIONS);
        r.value(&[("entrypoint", "web")], 3.0);
        r.family(SERVICE_METRICS.duration);
        r.counted_in(scope);
        r.durations(LABEL, &[1.0], &buckets, seconds);
        r.family(SERVICE_METRICS.requests);
        r.counted_in(scope);
        r.value(&[LABEL, &[("agent", "a")]].concat(), 1.0);
        r.value(&[LABEL, &[("agent", "b")]].concat(), (buckets.iter().sum::<u64>() - 1) as f64);
        r.family(SERVICE_METRICS.sent);
        r.counted_in(scope);
        r.value(LABEL, sent);
        r.family(SERVICE_RETRIES);
        r.value(&[("service", "s@file")], 1.0);
        r
    }

    fn told(reported: &mut Reported, reading: Reading) -> Vec<(String, Value)> {
        let all = reported.changes(&reading, Dialect::Datadog);
        reported.set(reading);
        all.into_iter().map(|c| (c.name, c.value)).collect()
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut reported = Reported::default();
        let first = told(&mut reported, read(1, [1, 0], 0.5, 7.0));
        let service = |duration: Value, requests: f64, sent: f64| {
            vec![
                ("service.request.duration".to_owned(), duration),
                ("service.request.total".to_owned(), Value::Count(requests)),
                ("service.responses.bytes.total".to_owned(), Value::Count(sent)),
            ]
        };
        let open = ("open.connections".to_owned(), Value::Level(3.0));
        let reloads = ("config.reload.total".to_owned(), Value::Count(1.0));
        assert_eq!(first, [vec![reloads, open.clone()], service(Value::Times(vec![(1, 0.5)]), 1.0, 7.0)].concat());
        assert_eq!(told(&mut reported, read(1, [1, 0], 0.5, 7.0)), std::slice::from_ref(&open));
        // No bytes, but a request.
        let next = told(&mut reported, read(1, [1, 1], 2.5, 7.0));
        assert_eq!(next, [vec![open.clone()], service(Value::Times(vec![(1, 2.0)]), 1.0, 0.0)].concat());
        // It went and came back.
        let anew = told(&mut reported, read(2, [5, 0], 2.0, 9.0));
        assert_eq!(anew, [vec![open], service(Value::Times(vec![(5, 0.4)]), 5.0, 9.0)].concat());
    }

    #[test]
    fn labels_stand_in_their_order() {
        let changes = Reported::default().changes(&read(1, [1, 0], 0.5, 7.0), Dialect::Influx);
        assert_eq!(changes[2].labels, [("service", "s@file".to_owned()), ("code", "200".to_owned())]);
    }
}
