/// What a client says (RFC 7616, 3.4). What it leaves out is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) username: String,
    pub(super) nonce: String,
    pub(super) uri: String,
    pub(super) response: String,
    pub(super) algorithm: Algorithm,
    pub(super) cnonce: String,
    pub(super) opaque: String,
    pub(super) qop: String,
    pub(super) nc: String,
}

/// `None` means MD5.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Algorithm(Option<String>);

impl Algorithm {
    pub(super) fn is_none_or_md5(&self) -> bool {
        self.0.as_deref().is_none_or(|a| a == "MD5")
    }
}

impl Params {
    /// Pairs with commas between them; of a name that stands there twice the last one counts.
    pub(super) fn parse(text: &str) -> Self {
        let mut params = Params::default();
        for pair in split(text) {
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value).to_owned();
            match name {
                "username" => params.username = value,
                "nonce" => params.nonce = value,
                "uri" => params.uri = value,
                "response" => params.response = value,
                "algorithm" => params.algorithm = Algorithm(Some(value)),
                "cnonce" => params.cnonce = value,
                "opaque" => params.opaque = value,
                "qop" => params.qop = value,
                "nc" => params.nc = value,
                _ => {}
            }
        }
        params
    }
}

/// At commas outside of quotes; inside of them a backslash takes the next character as it is.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '\\' if quoted && !escaped => {
                escaped = true;
                continue;
            }
            ',' if !quoted => {
                parts.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = false;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.into_iter().map(|p| p.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let p = Params::parse(r#" username="a, \"b\"\\", nc=00000001,qop="auth" , x, uri="/a=b?c", =, nc=2"#);
        assert_eq!((p.username.as_str(), p.nc.as_str(), p.qop.as_str(), p.uri.as_str()), (r#"a, "b"\"#, "2", "auth", "/a=b?c"));
        assert!(p.algorithm.is_none_or_md5() && Params::parse("algorithm=MD5").algorithm.is_none_or_md5());
        assert!(!Params::parse("algorithm=md5").algorithm.is_none_or_md5() && !Params::parse("algorithm=").algorithm.is_none_or_md5());
        assert_eq!(Params::parse("username=\"a"), Params { username: "\"a".into(), ..Params::default() });
        assert_eq!(Params::parse(""), Params::default());
    }
}
