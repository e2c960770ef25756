use super::*;
use crate::routing;

fn read(pairs: &[(&str, &str)]) -> Node {
    let checked = tree(pairs.iter().copied(), "traefik", "redis");
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    checked.value
}

/// Every key there is, all together.
#[test]
fn every_key_is_known() {
    let all: Vec<(&str, &str)> =
        include_str!("keys.txt").lines().filter(|l| !l.starts_with('#')).map(|l| l.split_once('=').unwrap()).collect();
    let node = read(&all);
    for (key, value) in &all {
        let mut path = String::new();
        for part in key.strip_prefix("traefik/").unwrap().split('/') {
            path.push_str(&if part.bytes().all(|b| b.is_ascii_digit()) { format!("[{part}]") } else { format!(".{part}") });
        }
        let found = node.at(&path).unwrap_or_else(|| panic!("{key}: {path}"));
        // a block that also has options is a map
        assert!(found.as_str() == Some(value) || *value == "true" && !found.entries().is_empty(), "{key}: {found:?}");
    }
    let decoded = routing::decode(&node);
    assert!(decoded.diagnostics.is_empty(), "{:?}", decoded.diagnostics);
    let config = decoded.value;
    let items = config.http.routers.values().flat_map(|i| &i.diagnostics);
    let items = items.chain(config.http.services.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.http.middlewares.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.http.servers_transports.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.tcp.services.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.tls.options.values().flat_map(|i| &i.diagnostics));
    assert_eq!(items.filter(|d| d.message.contains("unknown option")).collect::<Vec<_>>(), Vec::<&Diagnostic>::new());
}

#[test]
fn numbers_are_indexes_where_lists_belong() {
    let node = read(&[
        ("traefik/http/routers/12/entryPoints/1", "b"),
        ("traefik/http/routers/12/EntryPoints/0", "a"),
        ("/traefik/http/routers/12/middlewares", "x, y"),
        ("traefik/http/services/s/loadBalancer/servers/10/url", "http://ten"),
        ("traefik/http/services/s/loadBalancer/servers/2/url", "http://two"),
        ("traefik/http/services/", ""),
        ("traefik/http/middlewares/p/plugin/Demo/List/0", "x"),
        ("traefikx/http/routers/no/rule", "x"),
        ("other/http/routers/no/rule", "x"),
    ]);
    assert_eq!(
        node.to_json().to_string(),
        r#"{"http":{"middlewares":{"p":{"plugin":{"Demo":{"List":["x"]}}}},"routers":{"12":{"EntryPoints":["a","b"],"middlewares":"x, y"}},"services":{"s":{"loadBalancer":{"servers":[{"url":"http://ten"},{"url":"http://two"}]}}}}}"#
    );
    let config = routing::decode(&node).value;
    assert_eq!(config.http.routers["12"].config.entry_points, ["a", "b"]);
    assert_eq!(config.http.routers["12"].config.middlewares, ["x", "y"]);
}

#[test]
fn one_wrong_object_harms_no_other() {
    let node = read(&[
        ("traefik/http/routers/bad/rul", "x"),
        ("traefik/http/routers/good/rule", "PathPrefix(`/`)"),
        ("traefik/http/routers/good/tls", "true"),
    ]);
    let config = routing::decode(&node).value;
    let bad = &config.http.routers["bad"].diagnostics;
    assert_eq!(
        bad[0].to_string(),
        "error: unknown option `rul`\n  at  http.routers.bad.rul  (redis, key `traefik/http/routers/bad/rul`)\n  hint: did you mean `rule`?"
    );
    assert!(!config.http.routers["good"].has_errors() && config.http.routers["good"].config.tls.is_some());
}

#[test]
fn a_root_may_have_parts_or_none() {
    let pairs = [("a/b/http/routers/x/rule", "r")];
    assert!(tree(pairs, "/a/b/", "etcd").value.at("http.routers.x.rule").is_some());
    assert!(tree([("http/routers/x/rule", "r")], "", "etcd").value.at("http.routers.x.rule").is_some());
    assert!(tree(pairs, "a", "etcd").value.at("http").is_none());
}

proptest::proptest! {
    #[test]
    fn no_key_panics(pairs in proptest::collection::vec(("traefik(/(http|tls|certificates|routers|0|12|a|B|[ -~é]{0,4})){0,7}", "[ -~é]{0,8}"), 0..12)) {
        let checked = tree(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())), "traefik", "redis");
        routing::decode(&checked.value);
    }
}
