mod nginx;

use crate::status_ranges::StatusRanges;
use crate::{go_url, omit};
use bytestring::ByteString;
use http::header::{HeaderMap, HeaderName, UPGRADE};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::mem::{replace, take};
use std::sync::Arc;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, Endpoint, Exchange, LocalFuture, Next, Response, Step, path, respond};

/// What Go leaves alone in a value of a query.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Answers with the page of another service in place of an error.
pub struct Errors;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Codes and ranges (`500-599`) that are answered so; none by default.
    #[serde(skip_serializing_if = "omit::empty")]
    pub status: Vec<String>,
    /// By code or range, what the client is told instead.
    #[serde(skip_serializing_if = "omit::empty")]
    pub status_rewrites: BTreeMap<String, i64>,
    /// Where the pages are; required. Of this middleware's provider where the name says none.
    #[serde(skip_serializing_if = "omit::empty")]
    pub service: String,
    /// Path and query of a page; `/`. `{status}` is what the client is told, `{originalStatus}` what it would have
    /// been told, `{url}` its URL, escaped.
    #[serde(skip_serializing_if = "omit::empty")]
    pub query: String,
    /// Headers of the request that the service is shown; all where none is listed.
    #[serde(skip_serializing_if = "omit::empty")]
    pub error_request_headers: Vec<String>,
    /// Sent to the service, which is then told of the request as by ingress-nginx, and whose own status the client
    /// gets. Only providers say so.
    #[serde(skip_serializing_if = "omit::empty")]
    pub nginx_headers: BTreeMap<String, Vec<String>>,
}

impl MiddlewareSpec for Errors {
    const NAME: &'static str = "errors";
    const EXAMPLE: &'static str = "status: ['500-599']\nservice: pages\nquery: /{status}.html\n";
    type Config = Config;

    fn build(config: Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let status = StatusRanges::parse(&config.status, "status")?;
        let rewrites = config.status_rewrites.iter().map(|(from, to)| rewrite(from, *to)).collect::<Result<_, _>>()?;
        // A name that is no header's can be no request's.
        let shown = config.error_request_headers.iter().filter_map(|n| HeaderName::from_bytes(n.trim().as_bytes()).ok()).collect();
        if config.service.is_empty() {
            return Err(BuildError::new("service", "there is no service to ask for a page").hint("name one of http.services"));
        }
        let service = cx.service(&config.service).map_err(|e| BuildError { key: "service".into(), ..e })?;
        let shown = (!config.error_request_headers.is_empty()).then_some(shown);
        let nginx = nginx::Told::new(&config.nginx_headers)?;
        Ok(vec![Step::around(Runtime { status, rewrites, service, query: config.query, shown, nginx })])
    }
}

fn rewrite(from: &str, to: i64) -> Result<(StatusRanges, StatusCode), BuildError> {
    let key = format!("statusRewrites.{from}");
    let range = StatusRanges::parse(&[from.to_owned()], "").map_err(|e| BuildError { key: key.clone(), ..e })?;
    let to = u16::try_from(to).ok().filter(|c| (200..1000).contains(c)).and_then(|c| StatusCode::from_u16(c).ok());
    let to = to.ok_or_else(|| BuildError::new(key, "an answer cannot have this status").hint("write one from 200 to 999"))?;
    Ok((range, to))
}

struct Runtime {
    status: StatusRanges,
    rewrites: Vec<(StatusRanges, StatusCode)>,
    service: Arc<dyn Endpoint>,
    query: String,
    shown: Option<Vec<HeaderName>>,
    nginx: Option<nginx::Told>,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let response = next.run(exchange).await;
            let status = response.status();
            if status.is_informational() || matches!(response.body(), Body::Tunnel(_)) || !self.status.contains(status.as_u16()) {
                return response;
            }
            drop(response);
            self.page(exchange, status).await
        })
    }
}

impl Runtime {
    async fn page(&self, exchange: &mut Exchange, original: StatusCode) -> Response {
        let status = self.rewrites.iter().find(|(from, _)| from.contains(original.as_u16())).map_or(original, |(_, to)| *to);
        let Some((path, query)) = self.target(exchange, status, original) else {
            return respond::error_text(status, respond::text_of(status));
        };
        let request = &mut exchange.request;
        request.body = Body::Empty;
        let method = replace(&mut request.method, Method::GET);
        let path = replace(&mut request.path, path);
        let query = replace(&mut request.query, query);
        let told = self.nginx.as_ref().map(|n| n.of(status, request, &path, query.as_deref()));
        let mut headers = self.shown.as_ref().map(|shown| {
            let all = take(&mut request.headers);
            request.headers = selected(&all, shown);
            all
        });
        if let Some(told) = told {
            headers.get_or_insert_with(|| request.headers.clone());
            told.put(&mut request.headers);
        }
        // The client did not send this request: Traefik does not tell of it.
        let keep = replace(&mut exchange.keep_forwarded_for, true);
        // The page is no other protocol, unless the headers that go along may say so.
        let upgrade = self.shown.as_ref().is_some_and(|s| !s.contains(&UPGRADE)).then(|| exchange.upgrade.take());
        let mut response = self.service.serve(exchange).await;
        if let Some(upgrade) = upgrade {
            exchange.upgrade = upgrade;
        }
        let request = &mut exchange.request;
        // What is further out sees the request that it passed on.
        (request.method, request.path, request.query) = (method, path, query);
        if let Some(all) = headers {
            request.headers = all;
        }
        exchange.keep_forwarded_for = keep;
        if self.nginx.is_none() && !matches!(response.body(), Body::Tunnel(_)) {
            *response.status_mut() = status;
        }
        response
    }

    /// Path and query of the page; `None` where they are none.
    fn target(&self, exchange: &Exchange, status: StatusCode, original: StatusCode) -> Option<(ByteString, Option<ByteString>)> {
        let mut target = format!("/{}", self.query.strip_prefix('/').unwrap_or(&self.query));
        for (name, value) in [("{status}", status), ("{originalStatus}", original)] {
            target = target.replace(name, value.as_str());
        }
        if target.contains("{url}") {
            target = target.replace("{url}", &utf8_percent_encode(&url(exchange), QUERY_VALUE).to_string());
        }
        // With some host, as what begins with two slashes would name one.
        let printed = go_url::reprint(&format!("http://h{target}"))?;
        let target = printed.strip_prefix("http://h")?.split('#').next()?.replace(' ', "%20");
        Some(match target.split_once('?') {
            Some((path, query)) => (path.into(), Some(query.into())),
            None => (target.into(), None),
        })
    }
}

/// The URL that the client asked for, as far as the middlewares before have left it.
fn url(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let query = request.query.as_ref().filter(|q| !q.is_empty()).map(|q| path::replace_semicolons(q, "&").unwrap_or_else(|| q.clone()));
    let mark = if query.is_some() { "?" } else { "" };
    format!("{}://{}{}{mark}{}", exchange.scheme(), request.host, request.path, query.unwrap_or_default())
}

fn selected(all: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut some = HeaderMap::with_capacity(names.len());
    for (name, value) in all.iter().filter(|(name, _)| names.contains(name)) {
        some.append(name.clone(), value.clone());
    }
    some
}

#[cfg(test)]
mod tests;
