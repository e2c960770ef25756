//! When a breaker opens, and what must be counted to know it.

use crate::expression::{self, Expression, Kind, Literal, Value, int};
use std::ops::Range;

/// What is counted of responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Count {
    All,
    /// 502 and 504.
    NetworkErrors,
    Codes(Range<i64>),
}

impl Count {
    pub(super) fn matches(&self, code: u16) -> bool {
        match self {
            Count::All => true,
            Count::NetworkErrors => matches!(code, 502 | 504),
            Count::Codes(range) => range.contains(&i64::from(code)),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measure {
    /// One count divided by another, both by their place among [`Condition::counts`].
    Ratio(usize, usize),
    /// Of a latency, in percent.
    Quantile(f64),
}

#[derive(Debug)]
pub(super) struct Condition {
    expression: Expression<Measure>,
    pub(super) counts: Vec<Count>,
    /// Whether latencies must be known.
    pub(super) latencies: bool,
}

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut counts: Vec<Count> = Vec::new();
        let mut latencies = false;
        let mut place = |count: Count| match counts.iter().position(|c| *c == count) {
            Some(i) => i,
            None => {
                counts.push(count);
                counts.len() - 1
            }
        };
        let expression = expression::parse(text, &mut |name, arguments| match (name, arguments) {
            ("NetworkErrorRatio", []) => Ok((Measure::Ratio(place(Count::NetworkErrors), place(Count::All)), Kind::Float)),
            ("ResponseCodeRatio", arguments) => match arguments.iter().map(int).collect::<Option<Vec<_>>>().as_deref() {
                Some(&[from, to, divided_from, divided_to]) => {
                    Ok((Measure::Ratio(place(Count::Codes(from..to)), place(Count::Codes(divided_from..divided_to))), Kind::Float))
                }
                _ => Err("`ResponseCodeRatio` takes four whole numbers, as in `ResponseCodeRatio(500, 600, 0, 600)`".into()),
            },
            ("LatencyAtQuantileMS", [Literal::Float(quantile)]) => {
                latencies = true;
                Ok((Measure::Quantile(*quantile), Kind::Int))
            }
            ("LatencyAtQuantileMS", _) => Err("`LatencyAtQuantileMS` takes one number with a point, as in `LatencyAtQuantileMS(50.0)`".into()),
            ("NetworkErrorRatio", _) => Err("`NetworkErrorRatio` takes no arguments".into()),
            _ => Err(format!("there is no `{name}`: known are `NetworkErrorRatio`, `ResponseCodeRatio` and `LatencyAtQuantileMS`")),
        })?;
        Ok(Condition { expression, counts, latencies })
    }

    /// `counted` gives the count at a place, `latency` a quantile in milliseconds.
    pub(super) fn holds(&self, counted: impl Fn(usize) -> u64, latency: impl Fn(f64) -> i64) -> bool {
        self.expression.holds(&|measure| match measure {
            Measure::Ratio(part, whole) => Value::Float(match counted(*whole) {
                0 => 0.0,
                n => counted(*part) as f64 / n as f64,
            }),
            Measure::Quantile(percent) => Value::Int(latency(*percent)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_what_is_asked_for() {
        let c = Condition::parse("ResponseCodeRatio(500, 600, 0, 600) > 0.5 || ResponseCodeRatio(500, 600, 0, 600) > 0.9").unwrap();
        assert_eq!((c.counts, c.latencies), (vec![Count::Codes(500..600), Count::Codes(0..600)], false));
        let c = Condition::parse("NetworkErrorRatio() > 0.5 && LatencyAtQuantileMS(50.0) > 10").unwrap();
        assert_eq!((c.counts, c.latencies), (vec![Count::NetworkErrors, Count::All], true));
        assert!(Count::Codes(500..600).matches(500) && !Count::Codes(500..600).matches(600));
        assert!(Count::NetworkErrors.matches(504) && !Count::NetworkErrors.matches(503));
    }

    #[test]
    fn nothing_counted_is_a_ratio_of_zero() {
        let c = Condition::parse("NetworkErrorRatio() > 0.0").unwrap();
        assert!(!c.holds(|_| 0, |_| 0));
        assert!(c.holds(|_| 1, |_| 0));
        assert!(Condition::parse("LatencyAtQuantileMS(50.0) >= 7").unwrap().holds(|_| 0, |q| if q == 50.0 { 7 } else { 0 }));
    }

    /// As Traefik 3.7.15 does.
    #[test]
    fn refuses() {
        for text in [
            "NetworkErrorRatio() > 1", "NetworkErrorRatio()", "IsNetworkError()", "LatencyAtQuantileMS(50) > 1", "LatencyAtQuantileMS() > 1",
            "LatencyAtQuantileMS(50.0) > 1.0", "ResponseCodeRatio(500, 600, 0) > 0.5", "ResponseCodeRatio(500.0, 600, 0, 600) > 0.5",
            "RequestThreshold() > 1", "",
        ] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
