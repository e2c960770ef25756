use crate::go_url;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;
use http::HeaderValue;

/// Where the question goes.
pub(crate) struct Address {
    /// Scheme, host and port: what `Location` is seen from, with `path`.
    pub(crate) base: String,
    pub(crate) path: ByteString,
    pub(crate) query: Option<ByteString>,
    /// Of a URL with a name and a password.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Address {
    /// `None` for what is no URL of http or https.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let printed = go_url::reprint(url)?;
        let url = printed.split('#').next()?;
        let (scheme, rest) = url.split_once("://").filter(|(s, _)| matches!(*s, "http" | "https"))?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        if host.is_empty() {
            return None;
        }
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let authorization = user.and_then(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let pair = [&*go_url::decode(name), b":", &*go_url::decode(password)].concat();
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Some(Address {
            base: format!("{scheme}://{host}"),
            path: if path.is_empty() { "/".into() } else { path.into() },
            query: query.map(|q| q.replace(' ', "%20").into()),
            authorization,
        })
    }

    /// A `Location` as seen from here; `None` for what is no URL.
    pub(crate) fn resolve(&self, location: &str) -> Option<String> {
        go_url::resolve(&self.base, &self.path, self.query.as_deref(), location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = |url| {
            Address::parse(url).map(|a| {
                let secret = a.authorization.map(|v| String::from_utf8(v.as_bytes().to_vec()).unwrap());
                (a.base, a.path.to_string(), a.query.map(|q| q.to_string()), secret)
            })
        };
        assert_eq!(parse("HTTP://h.test"), Some(("http://h.test".into(), "/".into(), None, None)));
        assert_eq!(parse("http://h.test?a;b#c"), Some(("http://h.test".into(), "/".into(), Some("a;b".into()), None)));
        assert_eq!(
            parse("https://us%65r:p%40ss@[::1]:8443/x y/a%2Fb?"),
            Some(("https://[::1]:8443".into(), "/x%20y/a/b".into(), Some(String::new()), Some("Basic dXNlcjpwQHNz".into())))
        );
        for bad in ["", "/path", "127.0.0.1:80", "ftp://h", "h2c://h", "http://", "http:///x", "http://[::1", "http://h/%zz"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
