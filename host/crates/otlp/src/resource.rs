//! Who sends: the resource of everything that is told.

use crate::environment::Environment;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1 as proto;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Of the names of attributes.
pub(crate) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.43.0";

/// Attributes by name; the last word is `OTEL_SERVICE_NAME`'s, then `OTEL_RESOURCE_ATTRIBUTES`'.
#[derive(Clone, Debug)]
pub struct Resource(BTreeMap<String, Value>);

impl Resource {
    /// Fails where `OTEL_RESOURCE_ATTRIBUTES` cannot be read.
    pub fn new(
        service_name: &str,
        attributes: &BTreeMap<String, String>,
        version: &str,
        environment: &Environment,
    ) -> Result<Self, String> {
        let mut all = of_process();
        all.insert("service.name".into(), text(service_name));
        all.insert("service.version".into(), text(version));
        all.extend(attributes.iter().map(|(k, v)| (k.clone(), text(v))));
        for pair in environment.text("OTEL_RESOURCE_ATTRIBUTES").iter().flat_map(|t| t.split(',')) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("OTEL_RESOURCE_ATTRIBUTES: `{pair}` has no value: write `key=value`"))?;
            all.insert(key.trim().to_owned(), Value::StringValue(percent_decode_str(value.trim()).decode_utf8_lossy().into_owned()));
        }
        if let Some(name) = environment.text("OTEL_SERVICE_NAME") {
            all.insert("service.name".into(), text(name));
        }
        Ok(Resource(all))
    }

    pub(crate) fn message(&self) -> proto::Resource {
        let attributes = self.0.iter().map(|(k, v)| pair(k.clone(), v.clone())).collect();
        proto::Resource { attributes, ..Default::default() }
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub(crate) fn pair(key: impl Into<String>, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

pub(crate) fn list(values: impl Iterator<Item = Value>) -> Value {
    Value::ArrayValue(ArrayValue { values: values.map(|v| AnyValue { value: Some(v) }).collect() })
}

/// What the machine and the process say of themselves.
fn of_process() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::from([
        ("host.name".to_owned(), text(&gethostname::gethostname().to_string_lossy())),
        ("os.type".to_owned(), text(std::env::consts::OS)),
        ("process.pid".to_owned(), Value::IntValue(std::process::id().into())),
        ("process.runtime.name".to_owned(), text("rust")),
        ("telemetry.sdk.name".to_owned(), text("torana")),
        ("telemetry.sdk.language".to_owned(), text("rust")),
        ("telemetry.sdk.version".to_owned(), text(env!("CARGO_PKG_VERSION"))),
    ]);
    if let Ok(path) = std::env::current_exe() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.insert("process.executable.name".into(), Value::StringValue(name));
        all.insert("process.executable.path".into(), Value::StringValue(path.to_string_lossy().into_owned()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_last_word() {
        let name = |attributes: &[(&str, &str)], environment: &[(&str, &str)]| {
            let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Resource::new("svc", &attributes, "1", &Environment::of(environment)).map(|r| r.0["service.name"].clone())
        };
        assert_eq!(name(&[], &[]), Ok(text("svc")));
        assert_eq!(name(&[("service.name", "other")], &[]), Ok(text("other")));
        let of_attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=at%20tr, a=b");
        assert_eq!(name(&[("service.name", "other")], &[of_attributes]), Ok(text("at tr")));
        assert_eq!(name(&[], &[of_attributes, ("OTEL_SERVICE_NAME", "env")]), Ok(text("env")));
        assert!(name(&[], &[("OTEL_RESOURCE_ATTRIBUTES", "a=b,bad")]).is_err());
    }
}
