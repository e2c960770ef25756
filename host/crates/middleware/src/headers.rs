//! Headers of requests and responses, CORS, and the headers that harden browsers.

mod cors;
mod secure;

use crate::omit;
use bytestring::ByteString;
use cors::Cors;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use secure::Secure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::forwarded::X_FORWARDED_FOR;
use torana_http::{Exchange, Filter, Flow, Response, Step};

/// Sets and deletes headers, answers CORS preflights, adds security headers.
pub struct Headers;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Request headers to set; an empty value deletes the header. `Host` changes the host, and an empty
    /// `X-Forwarded-For` also keeps the peer from being appended.
    #[serde(skip_serializing_if = "omit::empty")]
    pub custom_request_headers: BTreeMap<String, String>,
    /// Response headers to set; an empty value deletes the header, also the server's.
    #[serde(skip_serializing_if = "omit::empty")]
    pub custom_response_headers: BTreeMap<String, String>,
    /// Sends `Access-Control-Allow-Credentials: true`, and makes `*` in the lists below mean "what was asked for".
    #[serde(skip_serializing_if = "omit::empty")]
    pub access_control_allow_credentials: bool,
    /// Request headers that a preflight allows, or `*`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub access_control_allow_headers: Vec<String>,
    /// Methods that a preflight allows, or `*`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub access_control_allow_methods: Vec<String>,
    /// Origins that are allowed, or `*`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub access_control_allow_origin_list: Vec<String>,
    /// Regular expressions for origins that are allowed.
    #[serde(skip_serializing_if = "omit::empty")]
    pub access_control_allow_origin_list_regex: Vec<String>,
    /// Response headers that scripts may read, or `*`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub access_control_expose_headers: Vec<String>,
    /// Seconds that a preflight may be kept; not sent when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_control_max_age: Option<i64>,
    /// Adds `Origin` to `Vary`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub add_vary_header: bool,
    /// Hosts, with port if it is sent, that are served; all others get 500. Empty: every host.
    #[serde(skip_serializing_if = "omit::empty")]
    pub allowed_hosts: Vec<String>,
    /// Request headers that hold the host to check; the first that is not empty counts.
    #[serde(skip_serializing_if = "omit::empty")]
    pub hosts_proxy_headers: Vec<String>,
    /// Request headers with the value that says that the client came by TLS; one of them is enough.
    #[serde(skip_serializing_if = "omit::empty")]
    pub ssl_proxy_headers: BTreeMap<String, String>,
    /// `max-age` of `Strict-Transport-Security` in seconds; 0 or unset sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_seconds: Option<i64>,
    /// Adds `includeSubDomains` to it.
    #[serde(skip_serializing_if = "omit::empty", rename = "stsIncludeSubdomains")]
    pub sts_include_subdomains: bool,
    /// Adds `preload` to it.
    #[serde(skip_serializing_if = "omit::empty")]
    pub sts_preload: bool,
    /// Sends it without TLS too.
    #[serde(skip_serializing_if = "omit::empty", rename = "forceSTSHeader")]
    pub force_sts_header: bool,
    /// `X-Frame-Options: DENY`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub frame_deny: bool,
    /// `X-Frame-Options` with this value.
    #[serde(skip_serializing_if = "omit::empty")]
    pub custom_frame_options_value: String,
    /// `X-Content-Type-Options: nosniff`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub content_type_nosniff: bool,
    /// `X-XSS-Protection: 1; mode=block`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub browser_xss_filter: bool,
    /// `X-XSS-Protection` with this value.
    #[serde(skip_serializing_if = "omit::empty", rename = "customBrowserXSSValue")]
    pub custom_browser_xss_value: String,
    /// `Content-Security-Policy`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub content_security_policy: String,
    /// `Content-Security-Policy-Report-Only`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub content_security_policy_report_only: String,
    /// `Public-Key-Pins`, with TLS only.
    #[serde(skip_serializing_if = "omit::empty")]
    pub public_key: String,
    /// `Referrer-Policy`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub referrer_policy: String,
    /// `Permissions-Policy`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub permissions_policy: String,
    /// Switches `allowedHosts`, `Strict-Transport-Security` and `Public-Key-Pins` off.
    #[serde(skip_serializing_if = "omit::empty")]
    pub is_development: bool,
    /// Deprecated, without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_policy: Option<String>,
    /// Deprecated, without effect: use `redirectScheme`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_redirect: Option<bool>,
    /// Deprecated, without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_temporary_redirect: Option<bool>,
    /// Deprecated, without effect: use `redirectRegex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_host: Option<String>,
    /// Deprecated, without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_force_host: Option<bool>,
}

impl MiddlewareSpec for Headers {
    const NAME: &'static str = "headers";
    const EXAMPLE: &'static str = "\
customRequestHeaders:
  X-Tenant: blue
customResponseHeaders:
  Server: ''
accessControlAllowOriginList:
  - https://app.example.com
accessControlAllowMethods: [GET, PUT]
accessControlMaxAge: 600
addVaryHeader: true
stsSeconds: 31536000
frameDeny: true
";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config == Config::default() {
            return Err(BuildError::new("", "no header option is set"));
        }
        let (outer, inner) = (Custom::build(&config)?, Secure::build(&config)?);
        Ok(outer.map(Step::filter).into_iter().chain(inner.map(Step::filter)).collect())
    }
}

/// A header to set, or to delete where there is no value.
type Change = (HeaderName, Option<HeaderValue>);

/// Headers by name and CORS; stands outside of [`Secure`].
struct Custom {
    request: Vec<Change>,
    host: Option<ByteString>,
    blank_forwarded_for: bool,
    response: Vec<Change>,
    cors: Option<Cors>,
}

impl Custom {
    fn build(config: &Config) -> Result<Option<Self>, BuildError> {
        let mut request = Vec::new();
        let mut host = None;
        for (name, value) in &config.custom_request_headers {
            let refuse = |what: &str| BuildError::new(format!("customRequestHeaders.{name}"), what);
            let key = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| refuse("this is not a header name"))?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| refuse("the value holds a control character"))?;
            match key {
                HOST if value.is_empty() => {}
                HOST => host = Some(String::from_utf8_lossy(value.as_bytes()).as_ref().into()),
                key if framing(&key) => {}
                key => request.push((key, Some(value).filter(|v| !v.is_empty()))),
            }
        }
        let mut response = Vec::new();
        for (name, value) in &config.custom_response_headers {
            // Names that cannot be sent are left out, and line ends in values become spaces, as Go does.
            let Ok(key) = HeaderName::from_bytes(name.trim().as_bytes()) else { continue };
            if !framing(&key) {
                response.push((key, Some(self::value(value, &format!("customResponseHeaders.{name}"))?).filter(|v| !v.is_empty())));
            }
        }
        let blank_forwarded_for = request.iter().any(|(n, v)| *n == X_FORWARDED_FOR && v.is_none());
        let custom = Custom { request, host, blank_forwarded_for, response, cors: Cors::build(config)? };
        let idle = custom.request.is_empty() && custom.host.is_none() && custom.response.is_empty() && custom.cors.is_none();
        Ok((!idle).then_some(custom))
    }
}

/// Headers that say how long a body is: they follow from the body alone.
fn framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

/// The value of a response header.
fn value(text: &str, key: &str) -> Result<HeaderValue, BuildError> {
    let text = text.replace(['\r', '\n'], " ");
    HeaderValue::from_bytes(text.trim().as_bytes()).map_err(|_| BuildError::new(key, "the value holds a control character"))
}

fn apply(changes: &[Change], headers: &mut HeaderMap) {
    for (name, value) in changes {
        match value {
            Some(value) => headers.insert(name, value.clone()),
            None => headers.remove(name),
        };
    }
}

impl Filter for Custom {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        if let Some(response) = self.cors.as_ref().and_then(|c| c.preflight(exchange)) {
            return Flow::respond(response);
        }
        apply(&self.request, &mut exchange.request.headers);
        if let Some(host) = &self.host {
            exchange.request.host = host.clone();
        }
        exchange.keep_forwarded_for |= self.blank_forwarded_for;
        Flow::Continue
    }

    fn on_response(&self, exchange: &mut Exchange, response: &mut Response) {
        apply(&self.response, response.headers_mut());
        if let Some(cors) = &self.cors {
            cors.respond(exchange, response.headers_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, ok, run_exchange, run_with, shown};

    #[test]
    fn sets_replaces_and_deletes() {
        let steps = build::<Headers>("customRequestHeaders: {X-Add: v, X-Del: '', X-Replace: new}\ncustomResponseHeaders: {X-Resp: r, X-Bk-Del: '', X-Bk-Rep: new}");
        let mut x = exchange("GET", "/");
        for name in ["x-del", "x-replace", "x-keep"] {
            x.request.headers.append(name, HeaderValue::from_static("old"));
            x.request.headers.append(name, HeaderValue::from_static("older"));
        }
        let ran = run_with(&steps, x, |x| {
            let mut r = ok(x);
            for name in ["x-bk-del", "x-bk-rep", "x-bk-keep"] {
                r.headers_mut().insert(name, HeaderValue::from_static("old"));
            }
            r
        });
        let headers = &ran.request.headers;
        assert_eq!((headers["x-add"].as_bytes(), headers.contains_key("x-del"), headers.get_all("x-replace").iter().count()), (&b"v"[..], false, 1));
        assert_eq!(headers.get_all("x-keep").iter().count(), 2);
        assert_eq!(ran.headers(), ["x-bk-keep: old", "x-bk-rep: new", "x-resp: r"]);
    }

    #[test]
    fn host_and_forwarded_for_are_special() {
        let ran = run_exchange(&build::<Headers>("customRequestHeaders: {host: cu.host, x-forwarded-for: ''}"), exchange("GET", "/"));
        assert_eq!((&*ran.request.host, ran.keep_forwarded_for), ("cu.host", true));
        let ran = run_exchange(&build::<Headers>("customRequestHeaders: {Host: '', X-Forwarded-For: 8.8.8.8}"), exchange("GET", "/"));
        assert_eq!((&*ran.request.host, ran.keep_forwarded_for), ("a.test", false));
    }

    #[test]
    fn what_cannot_be_sent() {
        assert_eq!(build_error::<Headers>("customRequestHeaders: {Bad Name: x}").key, "customRequestHeaders.Bad Name");
        assert_eq!(build_error::<Headers>("customRequestHeaders: {X-B: \"a\\nb\"}").key, "customRequestHeaders.X-B");
        let steps = build::<Headers>("customResponseHeaders: {Bad Name: x, X-B: \" a\\r\\nb \", Content-Length: '1', Transfer-Encoding: chunked}");
        assert_eq!(run_exchange(&steps, exchange("GET", "/")).headers(), ["x-b: a  b"]);
        assert_eq!(build_error::<Headers>("isDevelopment: false").key, "");
        // Options without an effect still make a middleware.
        for text in ["stsSeconds: 0", "isDevelopment: true", "sslRedirect: true", "featurePolicy: x"] {
            assert!(run_exchange(&build::<Headers>(text), exchange("GET", "/")).headers().is_empty(), "{text}");
        }
    }

    #[test]
    fn shows_what_was_written() {
        let text = "{stsSeconds: 0, stsIncludeSubdomains: true, forceSTSHeader: true, customBrowserXSSValue: q, accessControlMaxAge: 0, accessControlAllowOriginListRegex: [a], contentTypeNosniff: false, customRequestHeaders: {X-b: '', A: v}, sslHost: h}";
        assert_eq!(
            shown::<Headers>(text),
            r#"{"customRequestHeaders":{"A":"v","X-b":""},"accessControlAllowOriginListRegex":["a"],"accessControlMaxAge":0,"stsSeconds":0,"stsIncludeSubdomains":true,"forceSTSHeader":true,"customBrowserXSSValue":"q","sslHost":"h"}"#
        );
    }
}
