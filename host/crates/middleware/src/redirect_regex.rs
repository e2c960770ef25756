use crate::redirect_scheme::{redirect, uri};
use crate::regex_replace::Replacement;
use crate::{go_regex, omit};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step, respond};

/// Sends clients to another URL, made from theirs.
pub struct RedirectRegex;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Looked for in `scheme://host/path?query`, where host is as it was sent and the scheme that of the
    /// connection. What does not match goes on unchanged.
    #[serde(skip_serializing_if = "omit::empty")]
    pub regex: String,
    /// What each match becomes; `$1`, `${1}` and `${name}` are groups.
    #[serde(skip_serializing_if = "omit::empty")]
    pub replacement: String,
    /// 301 and 308 instead of 302 and 307.
    #[serde(skip_serializing_if = "omit::empty")]
    pub permanent: bool,
    /// In place of all of these; only providers say so, and Traefik does not show it.
    #[serde(skip_serializing)]
    pub status_code: Option<u16>,
}

impl MiddlewareSpec for RedirectRegex {
    const NAME: &'static str = "redirectRegex";
    const EXAMPLE: &'static str = "regex: ^https?://www\\.([^/]+)/(.*)\nreplacement: https://${1}/${2}\npermanent: true\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let regex = go_regex::compile(&config.regex).map_err(|e| BuildError::new("regex", e))?;
        let replacement = Replacement::new(regex, &config.replacement);
        let status = config.status_code.map(StatusCode::from_u16).transpose();
        let status = status.map_err(|_| BuildError::new("statusCode", "an answer cannot have this status"))?;
        Ok(vec![Step::filter(Runtime { replacement, permanent: config.permanent, status })])
    }
}

struct Runtime {
    replacement: Replacement,
    permanent: bool,
    status: Option<StatusCode>,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let old = format!("{}://{}{}", exchange.scheme(), request.host, uri(request));
        match self.replacement.replace_all(&old) {
            Some(new) if new != old => {
                let mut response = redirect(&new, &request.method, self.permanent);
                if let Some(status) = self.status.filter(|_| response.status().is_redirection()) {
                    response = respond::with_status(response, status);
                }
                Flow::respond(response)
            }
            _ => Flow::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, https, run_exchange};

    /// Each row was observed with Traefik 3.7.15.
    #[test]
    fn redirects_like_traefik() {
        let to = |status, url: &str| Err((status, url.to_owned()));
        let new = "{regex: '^http://a.test/(.*)', replacement: 'https://new.test/$1'}";
        let groups = r"{regex: '^(?P<sch>https?)://([^/]+)/a/(.*)$', replacement: '${sch}://$2/b/${3}?x=$1x&y=$$z', permanent: true}";
        let tail = "{regex: '^http://[^/]*/(.*)$', replacement: 'https://n.test/$1'}";
        for (config, method, target, tls, host, result) in [
            (new, "GET", "/p%2Fq?a=b&c", false, "a.test", to(302, "https://new.test/p%2Fq?a=b&c")),
            (new, "HEAD", "/p", false, "a.test", to(307, "https://new.test/p")),
            (new, "GET", "/p", false, "a.test:8080", Ok(())),
            (new, "GET", "/p", true, "a.test", Ok(())),
            (groups, "GET", "/a/b%20c", false, "a.test", to(301, "http://a.test/b/b%20c?x=&y=$z")),
            (groups, "PUT", "/a/x?q", true, "a.test", to(308, "https://a.test/b/x?q?x=&y=$z")),
            ("{regex: .*, replacement: /rel path}", "GET", "/foo", false, "a.test", to(302, "/rel%20path")),
            ("{regex: foo, replacement: bar}", "GET", "/foo/%C3%A9%20", false, "a.test", to(302, "http://a.test/bar/%C3%A9%20")),
            ("{regex: foo, replacement: bar}", "GET", "/none", false, "a.test", Ok(())),
            ("{regex: '^.*$', replacement: 'http://[bad'}", "GET", "/", false, "a.test", to(502, "Bad Gateway")),
            ("{regex: '^http://(.*)/same$', replacement: 'http://$1/same'}", "GET", "/same", false, "a.test", Ok(())),
            ("{regex: '', replacement: ''}", "GET", "/same", false, "a.test", Ok(())),
            ("{regex: '^.*/p$', replacement: ''}", "GET", "/p", false, "a.test", to(302, "")),
            (tail, "GET", "/;a?x;y", false, "a.test", to(302, "https://n.test/;a?x;y")),
            (tail, "GET", "", false, "a.test", to(302, "https://n.test/")),
        ] {
            let mut x = if tls { https(method, target) } else { exchange(method, target) };
            x.request.host = host.into();
            let ran = run_exchange(&build::<RedirectRegex>(config), x);
            let got = if ran.reached { Ok(()) } else { Err((ran.status(), ran.header("location").unwrap_or(&ran.body).to_owned())) };
            assert_eq!(got, result, "{config} {target}");
        }
        assert_eq!(build_error::<RedirectRegex>("regex: '('").key, "regex");
    }
}
