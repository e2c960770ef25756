use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

/// Cookies that the client gets from the server that was asked.
pub(super) struct Cookies {
    names: Vec<String>,
}

impl Cookies {
    pub(super) fn new(names: Vec<String>) -> Self {
        Cookies { names }
    }

    /// Those of an answer that are meant.
    pub(super) fn of(&self, answer: &HeaderMap) -> Vec<HeaderValue> {
        if self.names.is_empty() {
            return Vec::new();
        }
        answer.get_all(SET_COOKIE).iter().filter(|c| self.is_meant(c)).cloned().collect()
    }

    /// Puts them in the place of the server's own of the listed names.
    pub(super) fn put(&self, cookies: Vec<HeaderValue>, headers: &mut HeaderMap) {
        if self.names.is_empty() {
            return;
        }
        let kept: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter(|c| !self.is_meant(c)).cloned().collect();
        headers.remove(SET_COOKIE);
        for cookie in kept.into_iter().chain(cookies) {
            headers.append(SET_COOKIE, cookie);
        }
    }

    fn is_meant(&self, cookie: &HeaderValue) -> bool {
        let name = cookie.as_bytes().split(|b| matches!(b, b'=' | b';')).next().unwrap_or_default().trim_ascii();
        self.names.iter().any(|n| n.as_bytes() == name)
    }
}
