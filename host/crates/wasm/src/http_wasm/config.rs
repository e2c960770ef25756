//! The configuration of a guest: what Traefik makes of it on its way, written as Go's `encoding/json` writes it.

use serde_json::{Number, Value};
use torana_config::node::{self, Node};

/// JSON of a configuration that came from `provider`.
pub(crate) fn given(config: &Node, provider: &str) -> String {
    let typed = || if config.is_null() { Value::Object(serde_json::Map::new()) } else { config.to_json() };
    as_go(&match provider {
        "file" | "http" => of_file(&typed()),
        // These have objects with types.
        _ if provider == "rest" || provider.starts_with("kubernetes") || provider.starts_with("plugin-") => typed(),
        _ if config.is_null() => typed(),
        // Labels, tags and keys are texts.
        _ => texts(config),
    })
}

/// Traefik's reader of files makes a text of each single value, and keeps types in lists of one type only.
fn of_file(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept = all.iter().filter(|(_, v)| !v.is_null());
            let empty_is_text = |v: &Value| if v.as_object().is_some_and(serde_json::Map::is_empty) { Value::from("") } else { of_file(v) };
            Value::Object(kept.map(|(k, v)| (k.clone(), empty_is_text(v))).collect())
        }
        Value::Array(all) if all.is_empty() => Value::from(""),
        Value::Array(all) if all.iter().any(|v| v.is_object() || v.is_array()) => Value::Array(all.iter().map(of_file).collect()),
        Value::Array(all) if all.iter().all(Value::is_boolean) || all.iter().all(Value::is_i64) => value.clone(),
        Value::Array(all) if all.iter().all(Value::is_number) => {
            Value::Array(all.iter().map(|v| single(v).parse::<f64>().map_or(Value::Null, Value::from)).collect())
        }
        Value::Array(all) => Value::Array(all.iter().map(|v| single(v).into()).collect()),
        one => single(one).into(),
    }
}

fn single(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Number(n) if n.is_f64() => {
            let text = format!("{:.6}", n.as_f64().unwrap_or_default());
            text.strip_suffix(".000000").map(str::to_owned).unwrap_or(text)
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn texts(config: &Node) -> Value {
    match &config.value {
        node::Value::Null => Value::from(""),
        node::Value::Scalar { text, .. } => Value::from(text.as_str()),
        node::Value::List(all) => Value::Array(all.iter().map(texts).collect()),
        node::Value::Map(all) => Value::Object(all.iter().map(|(k, v)| (k.text.clone(), texts(v))).collect()),
    }
}

/// Keys in order; `<`, `>` and `&` escaped; whole numbers without a point.
fn as_go(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => number(n, out),
        Value::String(s) => string(s, out),
        Value::Array(all) => {
            out.push('[');
            for (i, v) in all.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(v, out);
            }
            out.push(']');
        }
        Value::Object(all) => {
            let mut all: Vec<_> = all.iter().collect();
            all.sort_by_key(|(k, _)| *k);
            out.push('{');
            for (i, (k, v)) in all.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                string(k, out);
                out.push(':');
                write(v, out);
            }
            out.push('}');
        }
    }
}

fn number(n: &Number, out: &mut String) {
    match n.as_f64().filter(|_| n.is_f64()) {
        None => out.push_str(&n.to_string()),
        // As ECMAScript does: with an exponent only where the number is very large or small.
        Some(f) if f != 0.0 && !(1e-6..1e21).contains(&f.abs()) => {
            let text = format!("{f:e}");
            out.push_str(&if f.abs() >= 1.0 { text.replace('e', "e+") } else { text });
        }
        Some(f) => out.push_str(&f.to_string()),
    }
}

fn string(s: &str, out: &mut String) {
    for c in serde_json::Value::from(s).to_string().chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use torana_config::parse::{Format, parse};

    #[test]
    fn as_each_provider_gives_it() {
        let yaml = "{int: 5, hex: 0x10, float: 1.5, whole: 2.0, yes: true, nothing: ~, none: {}, empty: [], ints: [1, -2], floats: [1.5, 2], \
                    mixed: [1, a], maps: [{k: 1}], map: {b: 1}}";
        let config = parse(yaml, Format::Yaml, "t.yml".into()).unwrap();
        for (provider, expected) in [
            (
                "file",
                r#"{"empty":"","float":"1.500000","floats":[1.5,2],"hex":"16","int":"5","ints":[1,-2],"map":{"b":"1"},"maps":[{"k":"1"}],"mixed":["1","a"],"none":"","whole":"2","yes":"true"}"#,
            ),
            (
                "kubernetescrd",
                r#"{"empty":[],"float":1.5,"floats":[1.5,2],"hex":16,"int":5,"ints":[1,-2],"map":{"b":1},"maps":[{"k":1}],"mixed":[1,"a"],"none":{},"nothing":null,"whole":2,"yes":true}"#,
            ),
            (
                "docker",
                r#"{"empty":[],"float":"1.5","floats":["1.5","2"],"hex":"0x10","int":"5","ints":["1","-2"],"map":{"b":"1"},"maps":[{"k":"1"}],"mixed":["1","a"],"none":{},"nothing":"","whole":"2.0","yes":"true"}"#,
            ),
        ] {
            assert_eq!(given(&config, provider), expected, "{provider}");
            assert_eq!(given(&Node::empty(config.place.clone()), provider), "{}", "{provider}");
        }
    }

    #[test]
    fn as_go_writes_it() {
        for (value, expected) in [
            (json!({"b": 1, "a": [true, null, "x"], "A": {}}), r#"{"A":{},"a":[true,null,"x"],"b":1}"#),
            (json!("<a&b>\"\\\n\t\u{1}\u{2028}é"), r#""\u003ca\u0026b\u003e\"\\\n\t\u0001\u2028é""#),
            (json!([1.0, 0.5, 1e20, 1e21, 1.5e-7, -2.0, 0.0, 1e-6]), "[1,0.5,100000000000000000000,1e+21,1.5e-7,-2,0,0.000001]"),
            (json!([-5, 18_446_744_073_709_551_615u64]), "[-5,18446744073709551615]"),
        ] {
            assert_eq!(as_go(&value), expected);
        }
    }
}
