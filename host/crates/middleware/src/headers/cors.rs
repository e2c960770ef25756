use super::Config;
use crate::go_regex;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use regex::Regex;
use torana_extend::BuildError;
use torana_http::{Exchange, Response, exchange};

/// Cross-origin rules (Fetch standard), with Traefik's answers.
pub(super) struct Cors {
    credentials: bool,
    allow_headers: Option<Asked>,
    allow_methods: Option<Asked>,
    /// `*` stands in the list of origins.
    any_origin: bool,
    origins: Vec<HeaderValue>,
    patterns: Vec<Regex>,
    expose: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    vary: bool,
}

/// What a preflight allows.
enum Asked {
    These(HeaderValue),
    /// What the preflight asks for.
    Echo,
}

impl Cors {
    /// `None` when no option of it is set.
    pub(super) fn build(config: &Config) -> Result<Option<Self>, BuildError> {
        let c = config;
        let unset = !c.access_control_allow_credentials
            && c.access_control_allow_headers.is_empty()
            && c.access_control_allow_methods.is_empty()
            && c.access_control_allow_origin_list.is_empty()
            && c.access_control_allow_origin_list_regex.is_empty()
            && c.access_control_expose_headers.is_empty()
            && c.access_control_max_age.is_none()
            && !c.add_vary_header;
        if unset {
            return Ok(None);
        }
        let credentials = c.access_control_allow_credentials;
        let asked = |list: &[String], key: &str| match list {
            [] => Ok(None),
            list if credentials && has_any(list) => Ok(Some(Asked::Echo)),
            list => join(list, key).map(|v| Some(Asked::These(v))),
        };
        let expose = &c.access_control_expose_headers;
        let pattern = |(i, text): (usize, &String)| {
            go_regex::compile(text).map_err(|e| BuildError::new(format!("accessControlAllowOriginListRegex[{i}]"), e))
        };
        let origins = &c.access_control_allow_origin_list;
        Ok(Some(Cors {
            credentials,
            allow_headers: asked(&c.access_control_allow_headers, "accessControlAllowHeaders")?,
            allow_methods: asked(&c.access_control_allow_methods, "accessControlAllowMethods")?,
            any_origin: has_any(origins),
            origins: origins.iter().filter_map(|o| HeaderValue::from_bytes(o.trim().as_bytes()).ok()).collect(),
            patterns: c.access_control_allow_origin_list_regex.iter().enumerate().map(pattern).collect::<Result<_, _>>()?,
            expose: match expose.is_empty() || (credentials && has_any(expose)) {
                true => None,
                false => Some(join(expose, "accessControlExposeHeaders")?),
            },
            max_age: c.access_control_max_age.map(HeaderValue::from),
            vary: c.add_vary_header,
        }))
    }

    /// What a preflight is answered, also to origins that are not allowed.
    pub(super) fn preflight(&self, exchange: &Exchange) -> Option<Response> {
        let request = &exchange.request;
        if request.method != Method::OPTIONS {
            return None;
        }
        let filled = |name| request.headers.get(name).filter(|v| !v.is_empty());
        let method = filled(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = filled(header::ORIGIN)?;

        let mut response = exchange::status(StatusCode::OK);
        let out = response.headers_mut();
        if self.credentials {
            out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let asked = |what: &Option<Asked>, echo: Option<&HeaderValue>| match what {
            Some(Asked::These(list)) => Some(list.clone()),
            Some(Asked::Echo) => echo.cloned(),
            None => None,
        };
        let fields = [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, asked(&self.allow_headers, filled(header::ACCESS_CONTROL_REQUEST_HEADERS))),
            (header::ACCESS_CONTROL_ALLOW_METHODS, asked(&self.allow_methods, Some(method))),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, self.allow_origin(Some(origin))),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone()),
            (header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                out.insert(name, value);
            }
        }
        Some(response)
    }

    /// What every other response gets.
    pub(super) fn respond(&self, exchange: &Exchange, out: &mut HeaderMap) {
        if let Some(origin) = self.allow_origin(exchange.request.headers.get(header::ORIGIN)) {
            out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        if self.credentials {
            out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = &self.expose {
            out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        if self.vary {
            let origin = HeaderValue::from_static("Origin");
            // The first line alone is looked at and kept.
            let vary = match out.get(header::VARY) {
                Some(v) if !v.is_empty() && v != origin => HeaderValue::from_bytes(&[v.as_bytes(), b",Origin"].concat()).unwrap_or(origin),
                _ => origin,
            };
            out.insert(header::VARY, vary);
        }
    }

    /// A missing `Origin` counts as an empty one.
    fn allow_origin(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = || origin.cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        if self.any_origin {
            return Some(if self.credentials { origin() } else { HeaderValue::from_static("*") });
        }
        if self.origins.is_empty() && self.patterns.is_empty() {
            return None;
        }
        let origin = origin();
        let text = std::str::from_utf8(origin.as_bytes()).unwrap_or("");
        let allowed = self.origins.contains(&origin) || self.patterns.iter().any(|p| p.is_match(text));
        allowed.then_some(origin)
    }
}

fn has_any(list: &[String]) -> bool {
    list.iter().any(|v| v == "*")
}

fn join(list: &[String], key: &str) -> Result<HeaderValue, BuildError> {
    super::value(&list.join(","), key)
}

#[cfg(test)]
mod tests {
    use crate::headers::Headers;
    use crate::testing::{Ran, build, build_error, exchange, ok, run_with};
    use http::HeaderValue;

    const FULL: &str = "{accessControlAllowMethods: [GET, PUT], accessControlAllowHeaders: [X-A, X-B], accessControlAllowOriginList: ['https://ok.test', 'https://two.test'], accessControlMaxAge: 100, accessControlExposeHeaders: [X-E, X-F], addVaryHeader: true, accessControlAllowCredentials: true}";
    const STARS_WITH_CREDENTIALS: &str = "{accessControlAllowMethods: ['*'], accessControlAllowHeaders: [X-A, '*'], accessControlAllowOriginList: ['*'], accessControlMaxAge: 0, accessControlExposeHeaders: ['*', X-B], accessControlAllowCredentials: true}";
    const STARS: &str = "{accessControlAllowMethods: ['*'], accessControlAllowHeaders: ['*'], accessControlAllowOriginList: ['*'], accessControlExposeHeaders: ['*'], addVaryHeader: true}";
    const PATTERN: &str = "{accessControlAllowOriginListRegex: ['^https://.*\\.re\\.test$']}";

    fn send(config: &str, method: &str, headers: &[(&'static str, &'static str)], vary: &'static [&'static str]) -> Ran {
        let mut x = exchange(method, "/");
        for (name, value) in headers {
            x.request.headers.append(*name, HeaderValue::from_static(value));
        }
        run_with(&build::<Headers>(config), x, move |x| {
            let mut r = ok(x);
            for v in vary {
                r.headers_mut().append("vary", HeaderValue::from_static(v));
            }
            r
        })
    }

    /// Each row was observed with Traefik 3.7.15.
    #[test]
    fn preflights() {
        let origin = ("origin", "https://ok.test");
        let asked = [origin, ("access-control-request-method", "PUT"), ("access-control-request-headers", "X-Q, X-W")];
        let answered = |config, headers: &[_]| {
            let ran = send(config, "OPTIONS", headers, &[]);
            assert_eq!((ran.status(), ran.reached, &*ran.body), (200, false, ""), "{config}");
            ran.headers().iter().map(|h| h.trim_start_matches("access-control-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            answered(FULL, &asked),
            ["allow-credentials: true", "allow-headers: X-A,X-B", "allow-methods: GET,PUT", "allow-origin: https://ok.test", "expose-headers: X-E,X-F", "max-age: 100"]
        );
        assert_eq!(
            answered(STARS_WITH_CREDENTIALS, &asked),
            ["allow-credentials: true", "allow-headers: X-Q, X-W", "allow-methods: PUT", "allow-origin: https://ok.test", "max-age: 0"]
        );
        assert_eq!(
            answered(STARS_WITH_CREDENTIALS, &asked[..2]),
            ["allow-credentials: true", "allow-methods: PUT", "allow-origin: https://ok.test", "max-age: 0"]
        );
        assert_eq!(answered(STARS, &asked), ["allow-headers: *", "allow-methods: *", "allow-origin: *", "expose-headers: *"]);
        assert!(answered(PATTERN, &asked).is_empty());
        assert_eq!(answered(PATTERN, &[("origin", "https://x.re.test"), asked[1]]), ["allow-origin: https://x.re.test"]);
        // Any CORS option makes preflights end here; a foreign origin gets no Allow-Origin.
        for (config, headers) in [("addVaryHeader: true", vec![]), ("accessControlMaxAge: 0", vec!["max-age: 0"]), ("accessControlExposeHeaders: [A]", vec!["expose-headers: A"])] {
            assert_eq!(answered(config, &asked), headers);
        }
        assert!(!answered(FULL, &[("origin", "https://no.test"), asked[1]]).iter().any(|h| h.starts_with("allow-origin")));
    }

    #[test]
    fn what_is_no_preflight_goes_on() {
        let method = ("access-control-request-method", "PUT");
        let origin = ("origin", "https://ok.test");
        for (config, verb, headers) in [
            (FULL, "OPTIONS", vec![origin]),
            (FULL, "OPTIONS", vec![method]),
            (FULL, "OPTIONS", vec![("origin", ""), method]),
            (FULL, "OPTIONS", vec![origin, ("access-control-request-method", "")]),
            (FULL, "GET", vec![origin, method]),
            ("frameDeny: true", "OPTIONS", vec![origin, method]),
        ] {
            assert!(send(config, verb, &headers, &[]).reached, "{headers:?}");
        }
    }

    /// Each row was observed with Traefik 3.7.15.
    #[test]
    fn responses() {
        let origin = |o| vec![("origin", o)];
        for (config, headers, allow) in [
            (FULL, origin("https://ok.test"), Some("https://ok.test")),
            (FULL, origin("HTTPS://OK.test"), None),
            (FULL, vec![], None),
            (STARS_WITH_CREDENTIALS, origin("https://q"), Some("https://q")),
            (STARS_WITH_CREDENTIALS, vec![], Some("")),
            (STARS, vec![], Some("*")),
            (PATTERN, origin("https://x.re.test"), Some("https://x.re.test")),
            ("accessControlAllowOriginListRegex: ['.*']", vec![], Some("")),
            ("accessControlAllowMethods: [GET]", origin("https://ok.test"), None),
        ] {
            assert_eq!(send(config, "GET", &headers, &[]).header("access-control-allow-origin"), allow, "{config} {headers:?}");
        }
        let ran = send(FULL, "GET", &[], &[]);
        assert_eq!((ran.header("access-control-allow-credentials"), ran.header("access-control-expose-headers")), (Some("true"), Some("X-E,X-F")));
        assert_eq!(send(STARS_WITH_CREDENTIALS, "GET", &[], &[]).header("access-control-expose-headers"), None);
    }

    #[test]
    fn vary() {
        let rows: [(&[&str], &[&str]); 6] = [
            (&[], &["Origin"]),
            (&["Origin"], &["Origin"]),
            (&["origin"], &["origin,Origin"]),
            (&["accept, Origin"], &["accept, Origin,Origin"]),
            (&["A", "B"], &["A,Origin"]),
            (&["*"], &["*,Origin"]),
        ];
        for (before, after) in rows {
            let ran = send(FULL, "GET", &[], before);
            assert_eq!(ran.response.headers().get_all("vary").iter().collect::<Vec<_>>(), after);
        }
    }

    #[test]
    fn custom_headers_come_first() {
        let ran = send("{accessControlAllowOriginList: ['*'], addVaryHeader: true, customResponseHeaders: {Vary: X-V, Access-Control-Allow-Origin: zz}}", "GET", &[], &["A"]);
        assert_eq!(ran.headers(), ["access-control-allow-origin: *", "vary: X-V,Origin"]);
    }

    #[test]
    fn refuses_bad_patterns() {
        assert_eq!(build_error::<Headers>("accessControlAllowOriginListRegex: [a, '(']").key, "accessControlAllowOriginListRegex[1]");
    }
}
