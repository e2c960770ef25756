//! Annotations that send clients elsewhere, or requests to another path.

use super::Location;
use super::annotations::Annotations;
use super::chain::Part;
use serde_json::json;

pub(super) fn app_root(a: &Annotations) -> Option<Part> {
    let path = a.text("app-root").filter(|p| p.starts_with('/'))?;
    Some(Part::new("app-root", "appRoot", json!({ "path": path })))
}

/// `temporal-redirect` wins over `permanent-redirect`.
pub(super) fn redirect(a: &Annotations, location: &Location<'_>) -> Option<Part> {
    let (url, code, default) = match (a.text("temporal-redirect"), a.text("permanent-redirect")) {
        (Some(url), _) => (url, a.number("temporal-redirect-code"), 302),
        (None, Some(url)) => (url, a.number("permanent-redirect-code"), 301),
        (None, None) => return None,
    };
    let code = code.filter(|c| (300..=308).contains(c)).unwrap_or(default);
    let regex = if location.regex { format!("^https?://[^/]+{}", location.path) } else { ".*".into() };
    Some(Part::new("redirect", "redirectRegex", json!({"regex": regex, "replacement": url, "statusCode": code})))
}

pub(super) fn rewrite(a: &Annotations, location: &Location<'_>, warnings: &mut Vec<(&'static str, String)>) -> Option<Part> {
    let prefix = a.filled("x-forwarded-prefix");
    let Some(target) = a.filled("rewrite-target").filter(|t| *t != location.path) else {
        if prefix.is_some() {
            warnings.push(("x-forwarded-prefix", "means nothing without a `rewrite-target` that changes the path".into()));
        }
        return None;
    };
    let mut config = json!({"regex": location.path, "replacement": target});
    match prefix {
        Some(p) if is_path(p) => config["xForwardedPrefix"] = p.into(),
        Some(p) => {
            warnings.push(("x-forwarded-prefix", format!("`{p}` has characters that no path with groups (`$1`) has: it is not sent")))
        }
        None => {}
    }
    Some(Part::new("rewrite-target", "rewriteTarget", config))
}

fn is_path(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~/$:".contains(c))
}

/// Where requests for the other one of `h` and `www.h` go: the rule's host, and the host that they are sent to.
pub(super) fn www(host: &str, is_host: impl Fn(&str) -> bool) -> Option<(String, &str)> {
    if host.is_empty() || host.starts_with("*.") {
        return None;
    }
    let other = host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), str::to_owned);
    (!is_host(&other)).then_some((other, host))
}

/// The middleware of [`www`].
pub(super) fn www_part(target: &str) -> Part {
    const REGEX: &str = r"^(https?)://(?:\[[^/\]]*\]|[^/:]+)(:[0-9]+)?[^/]*/(.*?)/?$";
    let config = json!({"regex": REGEX, "replacement": format!("$1://{target}$2/$3"), "statusCode": 308});
    Part::new("from-to-www-redirect", "redirectRegex", config)
}
