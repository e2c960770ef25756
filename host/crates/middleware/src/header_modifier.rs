//! Headers of requests and of responses, as routes of the Gateway API change them. Only providers use these kinds.

use crate::omit;
use bytestring::ByteString;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Response, Step};

/// Changes headers of the request. `Host` changes the host.
pub struct RequestHeaderModifier;

/// Changes headers of the response.
pub struct ResponseHeaderModifier;

/// In this order: set, add, remove.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[serde(skip_serializing_if = "omit::empty")]
    pub set: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "omit::empty")]
    pub add: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "omit::empty")]
    pub remove: Vec<String>,
}

impl MiddlewareSpec for RequestHeaderModifier {
    const NAME: &'static str = "requestHeaderModifier";
    const EXAMPLE: &'static str = "set: {X-Set: a}\nadd: {X-Add: b}\nremove: [X-Remove]\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        Ok(vec![Step::filter(OnRequest(Changes::new(&config)?))])
    }
}

impl MiddlewareSpec for ResponseHeaderModifier {
    const NAME: &'static str = "responseHeaderModifier";
    const EXAMPLE: &'static str = "set: {X-Set: a}\nadd: {X-Add: b}\nremove: [X-Remove]\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        Ok(vec![Step::filter(OnResponse(Changes::new(&config)?))])
    }
}

#[derive(Debug, Default)]
struct Changes {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl Changes {
    fn new(config: &Config) -> Result<Changes, BuildError> {
        let pairs = |key: &str, map: &BTreeMap<String, String>| -> Result<Vec<_>, BuildError> {
            map.iter().map(|(n, v)| Ok((name(key, n)?, value(key, n, v)?))).collect()
        };
        let remove = config.remove.iter().map(|n| name("remove", n)).collect::<Result<_, _>>()?;
        Ok(Changes { set: pairs("set", &config.set)?, add: pairs("add", &config.add)?, remove })
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for (n, v) in &self.set {
            headers.insert(n.clone(), v.clone());
        }
        for (n, v) in &self.add {
            headers.append(n.clone(), v.clone());
        }
        for n in &self.remove {
            headers.remove(n);
        }
    }
}

fn name(key: &str, text: &str) -> Result<HeaderName, BuildError> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| BuildError::new(key, format!("`{text}` is not a header name")))
}

fn value(key: &str, name: &str, text: &str) -> Result<HeaderValue, BuildError> {
    HeaderValue::from_str(text).map_err(|_| BuildError::new(key, format!("the value of `{name}` cannot stand in a header")))
}

struct OnRequest(Changes);

impl Filter for OnRequest {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &mut exchange.request;
        self.0.apply(&mut request.headers);
        if let Some(host) = request.headers.remove(HOST).and_then(|h| h.to_str().ok().map(ByteString::from)) {
            request.host = host;
        }
        Flow::Continue
    }
}

struct OnResponse(Changes);

impl Filter for OnResponse {
    fn on_response(&self, _: &mut Exchange, response: &mut Response) {
        self.0.apply(response.headers_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, build, build_error, drive, exchange, ok, run_exchange};

    #[test]
    fn requests_are_changed_in_order() {
        let mut x = exchange("GET", "/");
        for (n, v) in [("x-set", "old"), ("x-add", "one"), ("x-remove", "gone")] {
            x.request.headers.append(n, HeaderValue::from_static(v));
        }
        let steps = build::<RequestHeaderModifier>("set: {X-Set: new, Host: b.test}\nadd: {X-Add: two}\nremove: [X-Remove]");
        let request = run_exchange(&steps, x).request;
        let all = |n: &str| request.headers.get_all(n).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(
            (all("x-set"), all("x-add"), all("x-remove")),
            (vec!["new".to_owned()], vec!["one".to_owned(), "two".to_owned()], vec![])
        );
        assert_eq!((&*request.host, request.headers.contains_key(HOST)), ("b.test", false));
    }

    #[test]
    fn responses_are_changed_whoever_made_them() {
        let steps = build::<ResponseHeaderModifier>("set: {X-Set: new}\nadd: {X-Add: two}\nremove: [X-Remove]");
        let serve = |x: &mut Exchange| {
            let mut r = ok(x);
            r.headers_mut().insert("x-set", HeaderValue::from_static("old"));
            r.headers_mut().insert("x-add", HeaderValue::from_static("one"));
            r.headers_mut().insert("x-remove", HeaderValue::from_static("gone"));
            r
        };
        let ran = block_on(drive(&steps, exchange("GET", "/"), serve));
        assert_eq!(ran.headers(), ["x-add: one", "x-add: two", "x-set: new"]);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(build_error::<RequestHeaderModifier>("set: {'a b': c}").key, "set");
        assert_eq!(build_error::<ResponseHeaderModifier>("add: {a: \"b\\nc\"}").key, "add");
        assert_eq!(build_error::<ResponseHeaderModifier>("remove: ['']").key, "remove");
    }
}
