//! Tags of Consul's and Nomad's catalogues, `key=value`, as the labels that they stand for.

use std::collections::BTreeMap;
use std::sync::Arc;
use torana_config::labels::OWN_PREFIX;
use torana_discovery::{Item, setting};
use torana_extend::RejectedObject;

/// The prefix that templates see, whatever the option `prefix` says.
const NEUTRAL: &str = "traefik";

/// The tags that are ours.
pub(crate) struct Tagged {
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    /// As the template of a default rule sees them.
    pub(crate) neutral: Option<Arc<BTreeMap<String, String>>>,
}

impl Tagged {
    /// Of two tags with the same key the later one counts.
    pub(crate) fn new(tags: &[String], prefix: &str) -> Tagged {
        let own = |key: &str, prefix: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        let pairs = tags.iter().filter_map(|t| t.split_once('='));
        let labels: BTreeMap<String, String> =
            pairs.filter(|(k, _)| own(k, prefix) || own(k, OWN_PREFIX)).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let neutral = (prefix != NEUTRAL).then(|| {
            let rename = |k: &str| k.strip_prefix(prefix).map_or_else(|| k.to_owned(), |rest| format!("{NEUTRAL}{rest}"));
            Arc::new(labels.iter().map(|(k, v)| (rename(k), v.clone())).collect())
        });
        Tagged { labels: Arc::new(labels), neutral }
    }

    /// A setting of the provider itself that is true or false.
    pub(crate) fn flag(&self, prefix: &str, name: &str) -> Result<Option<bool>, String> {
        match setting(&self.labels, prefix, name) {
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(Some(false)),
            Some(other) => Err(format!("`{prefix}.{name}` is `true` or `false`, not `{other}`")),
        }
    }
}

/// Whether any instance of a service with these tags can be exposed. They are those of all instances together.
pub(crate) fn may_be_exposed(tags: &[String], prefix: &str, by_default: bool) -> bool {
    by_default
        || tags.iter().filter_map(|t| t.split_once('=')).any(|(key, _)| {
            [prefix, OWN_PREFIX]
                .iter()
                .any(|p| key.strip_prefix(p).and_then(|k| k.strip_prefix('.')).is_some_and(|k| k.eq_ignore_ascii_case("enable")))
        })
}

/// What a canary is called: instances with other tags than the rest are a service of their own.
pub(crate) fn canary_name(name: &str, tags: &[String]) -> String {
    let mut sorted: Vec<&str> = tags.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    // FNV-1, 64 bits
    let hash =
        sorted.iter().flat_map(|t| t.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |h, b| h.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b));
    format!("{name}-{hash}")
}

/// An instance of a service with where it listens; a port of 0 or less is none.
pub(crate) struct Instance<'a> {
    pub(crate) origin: String,
    pub(crate) service: &'a str,
    pub(crate) tags: &'a [String],
    pub(crate) address: &'a str,
    pub(crate) port: i64,
}

/// As an item of the provider `kind`, which is the second part of the keys of its own settings.
pub(crate) fn item(instance: Instance<'_>, tagged: &Tagged, prefix: &str, kind: &str) -> Result<Item, RejectedObject> {
    let Instance { origin, service, tags, address, port } = instance;
    let canary = match tagged.flag(prefix, &format!("{kind}.canary")) {
        Ok(canary) => canary.unwrap_or(false),
        Err(reason) => return Err(RejectedObject { name: origin, reasons: vec![reason] }),
    };
    let called = if canary { canary_name(service, tags) } else { service.to_owned() };
    let host = address.to_owned();
    let addresses = Arc::new(move |wanted: &torana_discovery::AddressWanted<'_>| {
        if host.is_empty() {
            return Err("it is registered without an address".to_owned());
        }
        let own = if port > 0 { port.to_string() } else { String::new() };
        Ok((host.clone(), wanted.port_label.map_or(own, str::to_owned)))
    });
    let mut item = Item::new(origin, called, tagged.labels.clone(), addresses);
    item.template.name = service.to_owned();
    item.template.labels = tagged.neutral.clone();
    item.tags = tags.to_vec();
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Vec<String> {
        all.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn tags_with_a_prefix_are_labels() {
        let of = tags(&["edge.enable=true", "edge.http.routers.r.rule=Host(`a=b`)", "edgeways.x=1", "other", "torana.x=1", "traefik.y=2"]);
        let tagged = Tagged::new(&of, "edge");
        let keys: Vec<&str> = tagged.labels.keys().map(String::as_str).collect();
        assert_eq!(keys, ["edge.enable", "edge.http.routers.r.rule", "torana.x"]);
        assert_eq!(tagged.labels["edge.http.routers.r.rule"], "Host(`a=b`)");
        let neutral = tagged.neutral.as_ref().unwrap();
        assert_eq!(neutral.keys().next().unwrap(), "torana.x");
        assert_eq!(neutral["traefik.enable"], "true");
        assert_eq!(tagged.flag("edge", "enable"), Ok(Some(true)));
        assert!(tagged.flag("edge", "http.routers.r.rule").unwrap_err().contains("`edge.http.routers.r.rule`"));
    }

    #[test]
    fn services_that_nobody_exposes_are_not_asked_for() {
        assert!(may_be_exposed(&tags(&[]), "traefik", true));
        assert!(!may_be_exposed(&tags(&["traefik.http.x=1", "enable=true"]), "traefik", false));
        assert!(may_be_exposed(&tags(&["x", "Traefik.enable=true", "traefik.Enable=true"]), "traefik", false));
        assert!(may_be_exposed(&tags(&["torana.enable=true"]), "edge", false));
    }

    #[test]
    fn a_canary_is_called_after_all_its_tags() {
        // what Traefik 3.7.15 says
        assert_eq!(canary_name("web", &tags(&["b", "a"])), canary_name("web", &tags(&["a", "b"])));
        assert_eq!(canary_name("web", &[]), "web-14695981039346656037");
    }
}
