//! What ingress-nginx tells a service of pages.

use http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use http::StatusCode;
use std::collections::BTreeMap;
use torana_extend::BuildError;
use torana_http::Request;

const CODE: HeaderName = HeaderName::from_static("x-code");
const FORMAT: HeaderName = HeaderName::from_static("x-format");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");

/// Headers that are the same for all pages.
pub(super) struct Told(Vec<(HeaderName, HeaderValue)>);

impl Told {
    /// `None` without any.
    pub(super) fn new(headers: &BTreeMap<String, Vec<String>>) -> Result<Option<Told>, BuildError> {
        let pairs = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let pair = |(name, value): (&String, &String)| {
            let wrong = || BuildError::new(format!("nginxHeaders.{name}"), "this cannot stand in a header");
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, HeaderValue::from_str(value).map_err(|_| wrong())?))
        };
        let told: Vec<_> = pairs.map(pair).collect::<Result<_, BuildError>>()?;
        Ok((!told.is_empty()).then_some(Told(told)))
    }

    /// With what is said of one request, whose path and query these were.
    pub(super) fn of(&self, status: StatusCode, request: &Request, path: &str, query: Option<&str>) -> Of<'_> {
        let uri = format!("{path}{}{}", if query.is_some() { "?" } else { "" }, query.unwrap_or_default());
        let format = request.headers.get(ACCEPT).cloned();
        let one = [
            (CODE, HeaderValue::from(status.as_u16())),
            (FORMAT, format.unwrap_or(HeaderValue::from_static(""))),
            (ORIGINAL_URI, HeaderValue::try_from(uri).unwrap_or(HeaderValue::from_static(""))),
        ];
        Of { all: &self.0, one }
    }
}

/// What is said of one request.
pub(super) struct Of<'t> {
    all: &'t [(HeaderName, HeaderValue)],
    one: [(HeaderName, HeaderValue); 3],
}

impl Of<'_> {
    pub(super) fn put(self, headers: &mut HeaderMap) {
        for (name, value) in self.all {
            headers.append(name.clone(), value.clone());
        }
        for (name, value) in self.one {
            headers.insert(name, value);
        }
    }
}
