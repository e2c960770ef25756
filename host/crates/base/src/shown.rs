//! Addresses as messages show them.

/// An address, or what was written in its place, without what may be secret in it: user, password, query and
/// fragment. Where an `@` stands so that it cannot be told what is a password and what is not, only the scheme is left.
pub fn shown(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").map_or(("", endpoint), |(scheme, rest)| (scheme, rest));
    // A scheme has no `@`: it is a password that has `://` in it.
    let (scheme, rest) = if scheme.contains('@') || scheme.contains(':') { ("", "…") } else { (scheme, rest) };
    let (authority, behind) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let path = behind.split(['?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (host, path) = if behind.contains('@') { ("…", "") } else { (host, path) };
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        for (text, expected) in [
            ("https://host/a", "https://host/a"),
            ("host:2379", "host:2379"),
            ("[::1]:6379", "[::1]:6379"),
            ("https://user:hunter2@host:1/a?token=x", "https://host:1/a"),
            ("https://host/a?token=hunter2#hunter2", "https://host/a"),
            ("https://host?hunter2", "https://host"),
            ("user:hunter2@host:2379", "host:2379"),
            ("user:hun@ter2@host", "host"),
            // no URLs, or ones that are not meant so
            ("https://user:hun/ter2@host", "https://…"),
            ("https://user:hun?ter2@host", "https://…"),
            ("https://host/a?token=hun@ter2", "https://…"),
            ("user:hun://ter2@host", "…"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
