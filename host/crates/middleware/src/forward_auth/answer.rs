use super::Runtime;
use crate::go_url;
use http::header::{self, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use torana_http::{Body, Exchange, Response, exchange};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Bytes of an answer without a limit that are waited for before the client gets the first of them.
const WHOLE: usize = 1 << 20;

/// What an answer comes to.
pub(super) enum Verdict {
    /// The request may pass.
    Pass(Answer),
    /// This is what the client gets.
    Answer(Box<Response>),
}

pub(super) struct Answer {
    pub(super) headers: HeaderMap,
}

impl Runtime {
    /// Reads an answer. The error is why it is none.
    pub(super) async fn verdict(&self, answer: Response, exchange: &Exchange) -> Result<Verdict, String> {
        let (parts, body) = answer.into_parts();
        let headers = parts.headers;
        let location = headers.get(LOCATION).filter(|l| !l.is_empty()).map(|l| String::from_utf8_lossy(l.as_bytes()).into_owned());
        let resolved = location.as_ref().map(|l| self.address.as_ref().and_then(|a| a.resolve(l)));
        // Go's client looks at redirects though it does not follow them.
        if (is_redirect(parts.status) || (!self.preserve_location && !parts.status.is_success())) && resolved == Some(None) {
            return Err("its `Location` is no URL".to_owned());
        }
        if parts.status.is_success() {
            return Ok(match self.is_within_limit(body).await? {
                true => Verdict::Pass(Answer { headers }),
                false => refused(),
            });
        }
        let announces_trailers = body.length().is_none();
        let body = match (body.collect(self.answer.unwrap_or(WHOLE)).await.map_err(|e| e.to_string())?, self.answer) {
            (Ok(bytes), _) if bytes.is_empty() => Body::Empty,
            (Ok(bytes), _) => Body::Full(bytes),
            (Err(more), None) => more,
            (Err(_), Some(_)) => return Ok(refused()),
        };
        if let (Some(url), StatusCode::UNAUTHORIZED) = (&self.signin, parts.status) {
            let mut response = exchange::status(StatusCode::FOUND);
            let location = go_url::redirect_target(url, &exchange.request.path);
            response.headers_mut().extend(HeaderValue::try_from(location).ok().map(|l| (LOCATION, l)));
            return Ok(Verdict::Answer(Box::new(response)));
        }
        let length = body.length();
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        for name in [header::CONNECTION, KEEP_ALIVE, header::TE, header::TRANSFER_ENCODING, header::UPGRADE] {
            headers.remove(name);
        }
        if announces_trailers {
            headers.remove(header::TRAILER);
        }
        // The answer to a HEAD tells the length itself; of the one to a GET it is that of the body.
        match length.filter(|_| exchange.request.method == Method::HEAD) {
            Some(_) if self.method.is_none() => {}
            Some(length) => _ = headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
            None => _ = headers.remove(header::CONTENT_LENGTH),
        }
        if let (Some(Some(url)), false) = (resolved, self.preserve_location)
            && let Ok(url) = HeaderValue::try_from(url)
        {
            headers.insert(LOCATION, url);
        }
        Ok(Verdict::Answer(Box::new(response)))
    }

    /// Reads what nobody needs, so that the connection can be used again.
    async fn is_within_limit(&self, mut body: Body) -> Result<bool, String> {
        let mut left = self.answer.unwrap_or(usize::MAX);
        while let Some(frame) = body.frame().await {
            let length = frame.map_err(|e| e.to_string())?.data_ref().map_or(0, bytes::Bytes::len);
            match left.checked_sub(length) {
                Some(n) => left = n,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

fn refused() -> Verdict {
    Verdict::Answer(Box::new(exchange::status(StatusCode::UNAUTHORIZED)))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
