/// `name@provider`, unless the name already says its provider.
pub fn qualify(name: &str, provider: &str) -> String {
    if name.contains('@') { name.to_owned() } else { format!("{name}@{provider}") }
}

/// The part behind the last `@`, empty when there is none.
pub fn provider_of(qualified: &str) -> &str {
    qualified.rsplit_once('@').map_or("", |(_, p)| p)
}

/// The part before the last `@`.
pub fn unqualified(qualified: &str) -> &str {
    qualified.rsplit_once('@').map_or(qualified, |(n, _)| n)
}

/// Traefik's `normalize`: every run of characters that are neither letter nor digit becomes one `-`,
/// none at either end.
pub fn normalize(name: &str) -> String {
    name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(qualify("a", "file"), "a@file");
        assert_eq!(qualify("a@docker", "file"), "a@docker");
        assert_eq!((unqualified("a@file"), provider_of("a@file"), provider_of("a")), ("a", "file", ""));
        assert_eq!(normalize("/my_app.web-1"), "my-app-web-1");
    }
}
