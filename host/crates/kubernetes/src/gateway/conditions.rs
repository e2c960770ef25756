//! Conditions, and the times at which they came to be.

use serde_json::{Value, json};

/// What is so of an object, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) kind: &'static str,
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    /// Never empty.
    pub(super) message: String,
}

impl Condition {
    pub(super) fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Condition {
        Condition { kind, holds: true, reason, message: message.into() }
    }

    pub(super) fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Condition {
        Condition { kind, holds: false, reason, message: message.into() }
    }

    /// Of the object's `generation`; the time is filled in by [`stamp`].
    pub(super) fn to_json(&self, generation: i64) -> Value {
        json!({
            "type": self.kind,
            "status": if self.holds { "True" } else { "False" },
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": generation,
            "lastTransitionTime": "",
        })
    }
}

pub(super) fn list(conditions: &[Condition], generation: i64) -> Value {
    conditions.iter().map(|c| c.to_json(generation)).collect()
}

/// Gives each condition of `status` its time: that of the same condition in one of `before` if it held or did not hold
/// there too, else `now`.
pub(crate) fn stamp(status: &mut Value, before: &[&Value], now: &str) {
    match status {
        Value::Object(map) if map.contains_key("lastTransitionTime") => {
            let same = before.iter().find(|b| b.get("status") == map.get("status"));
            let time = same.and_then(|b| b.get("lastTransitionTime")?.as_str()).filter(|t| !t.is_empty()).unwrap_or(now);
            map.insert("lastTransitionTime".into(), time.into());
        }
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let there: Vec<&Value> = before.iter().filter_map(|b| b.get(key)).collect();
                stamp(value, &there, now);
            }
        }
        Value::Array(items) => {
            for item in items {
                let there: Vec<&Value> = before.iter().filter_map(|b| b.as_array()?.iter().find(|other| is_same(item, other))).collect();
                stamp(item, &there, now);
            }
        }
        _ => {}
    }
}

/// Whether two elements of a list are about the same thing.
fn is_same(a: &Value, b: &Value) -> bool {
    ["type", "name", "parentRef", "ancestorRef", "controllerName"].iter().all(|k| a.get(k) == b.get(k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let status = |a: bool, b: bool| {
            let of = |kind, holds| Condition { kind, holds, reason: "R", message: "m".into() }.to_json(2);
            json!({"parents": [{"parentRef": {"name": "g"}, "conditions": [of("A", a), of("B", b)]}]})
        };
        let mut first = status(true, true);
        stamp(&mut first, &[&Value::Null], "t1");
        let mut second = status(true, false);
        stamp(&mut second, &[&first], "t2");
        let times = |s: &Value| [0, 1].map(|i| s["parents"][0]["conditions"][i]["lastTransitionTime"].as_str().unwrap().to_owned());
        assert_eq!((times(&first), times(&second)), (["t1", "t1"].map(str::to_owned), ["t1", "t2"].map(str::to_owned)));
    }
}
