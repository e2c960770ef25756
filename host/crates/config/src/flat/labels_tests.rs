use super::*;
use crate::routing;

const OWNER: Owner<'static> = Owner { name: "container a", noun: "label", prefix: "traefik" };

fn read(labels: &[(&str, &str)]) -> Checked<LabelTree> {
    tree(labels.iter().copied(), &OWNER)
}

fn json(labels: &[(&str, &str)]) -> String {
    let checked = read(labels);
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    checked.value.node.to_json().to_string()
}

fn said(labels: &[(&str, &str)]) -> Vec<String> {
    read(labels).diagnostics.iter().map(ToString::to_string).collect()
}

/// Every label there is, one by one and all together.
#[test]
fn every_label_is_known() {
    let all: Vec<(&str, &str)> =
        include_str!("labels.txt").lines().filter(|l| !l.starts_with('#')).map(|l| l.split_once('=').unwrap()).collect();
    assert_eq!(all.len(), 255);
    let dotted = |key: &str| key.strip_prefix("traefik.").unwrap().to_owned();
    for one in &all {
        let checked = read(std::slice::from_ref(one));
        assert!(checked.diagnostics.is_empty(), "{one:?}: {:?}", checked.diagnostics);
        let server = one.0.contains(".loadbalancer.server.");
        assert_eq!(checked.value.servers.len(), usize::from(server), "{one:?}");
        if !server {
            let found = checked.value.node.at(&dotted(one.0)).unwrap_or_else(|| panic!("{one:?}"));
            assert_eq!(found.as_str(), Some(one.1), "{one:?}");
        }
        let upper = one.0.split('.').skip(1).map(str::to_uppercase).collect::<Vec<_>>().join(".");
        let again = tree([(format!("traefik.{upper}").as_str(), one.1)], &OWNER);
        assert!(again.diagnostics.is_empty(), "{upper}: {:?}", again.diagnostics);
    }
    let whole = read(&all);
    assert!(whole.diagnostics.is_empty(), "{:?}", whole.diagnostics);
    assert_eq!(whole.value.servers.len(), 3);
    let decoded = routing::decode(&whole.value.node);
    assert!(decoded.diagnostics.is_empty(), "{:?}", decoded.diagnostics);
    let config = decoded.value;
    assert_eq!(config.http.routers["web"].config.middlewares, ["a", "b"]);
    assert_eq!(config.http.routers["web"].config.tls.as_ref().unwrap().domains[0].sans, ["a", "b"]);
    let unknown = |d: &Diagnostic| d.message.contains("unknown option");
    let items = config.http.routers.values().flat_map(|i| &i.diagnostics);
    let items = items.chain(config.http.services.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.http.middlewares.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.tcp.routers.values().flat_map(|i| &i.diagnostics));
    let items = items.chain(config.tcp.services.values().flat_map(|i| &i.diagnostics));
    assert_eq!(items.filter(|d| unknown(d)).collect::<Vec<_>>(), Vec::<&Diagnostic>::new());
}

#[test]
fn names_keep_their_case_and_options_have_none() {
    assert_eq!(
        json(&[
            ("traefik.http.routers.Foo.RULE", "Host(`a`)"),
            ("traefik.http.routers.foo.priority", "3"),
            ("traefik.HTTP.middlewares.H.Headers.CustomRequestHeaders.X-Foo", "a, b"),
            ("traefik.http.middlewares.p.plugin.Demo.someKey.Deep[0]", "x"),
            ("traefik.http.routers.foo.tls.domains[0].main", "a.b"),
            ("traefik.http.routers.foo.tls.domains[0].sans", "c.b,d.b"),
            ("com.docker.compose.project", "x"),
            ("traefik.enable", "true"),
        ]),
        r#"{"http":{"middlewares":{"H":{"headers":{"customRequestHeaders":{"X-Foo":"a, b"}}},"p":{"plugin":{"Demo":{"someKey":{"Deep":["x"]}}}}},"routers":{"Foo":{"priority":3,"rule":"Host(`a`)","tls":{"domains":[{"main":"a.b","sans":"c.b,d.b"}]}}}}}"#
    );
}

#[test]
fn our_prefix_works_beside_and_wins() {
    assert_eq!(
        json(&[("torana.http.routers.a.rule", "ours"), ("traefik.http.routers.a.rule", "theirs"), ("torana.http.routers.b.priority", "1")]),
        r#"{"http":{"routers":{"a":{"rule":"ours"},"b":{"priority":1}}}}"#
    );
    let tags = Owner { name: "service a", noun: "tag", prefix: "edge" };
    let checked = tree([("edge.http.routers.a.rule", "x"), ("traefik.http.routers.b.rule", "y")], &tags);
    assert_eq!(checked.value.node.to_json().to_string(), r#"{"http":{"routers":{"a":{"rule":"x"}}}}"#);
}

#[test]
fn servers_stand_beside_the_tree() {
    let checked = read(&[
        ("traefik.http.services.s.loadbalancer.server.port", "80"),
        ("traefik.http.services.s.loadbalancer.server.scheme", "https"),
        ("traefik.http.services.s.loadbalancer.server.Weight", "2"),
        ("traefik.http.services.u.loadbalancer.server.url", "http://a"),
        ("traefik.tcp.services.t.loadbalancer.server.port", "5"),
        ("traefik.tcp.services.t.loadbalancer.server.tls", "true"),
        ("traefik.udp.services.d.loadbalancer.server.port", "53"),
    ]);
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    let LabelTree { node, servers } = checked.value;
    assert_eq!(
        node.to_json().to_string(),
        r#"{"http":{"services":{"s":{"loadBalancer":{"servers":[{"weight":2}]}},"u":{"loadBalancer":{"servers":[{"url":"http://a"}]}}}},"tcp":{"services":{"t":{"loadBalancer":{"servers":[{"tls":true}]}}}},"udp":{"services":{"d":{"loadBalancer":{"servers":[{}]}}}}}"#
    );
    let short: Vec<_> = servers.iter().map(|s| (s.tree, s.service.as_str(), s.scheme.as_str(), s.port.as_deref())).collect();
    assert_eq!(
        short,
        [("http", "s", "https", Some("80")), ("http", "u", "", None), ("tcp", "t", "", Some("5")), ("udp", "d", "", Some("53"))]
    );
}

#[test]
fn blocks_are_switched_by_values() {
    assert_eq!(
        json(&[
            ("traefik.http.routers.a.tls", "True"),
            ("traefik.http.routers.b.tls", ""),
            ("traefik.http.routers.c.tls", "false"),
            ("traefik.http.routers.c.rule", "x"),
            ("traefik.http.services.s.loadbalancer.sticky.cookie", "true"),
            ("traefik.http.middlewares.m.compress", "true"),
        ]),
        r#"{"http":{"middlewares":{"m":{"compress":true}},"routers":{"a":{"tls":true},"b":{"tls":true},"c":{"rule":"x"}},"services":{"s":{"loadBalancer":{"sticky":{"cookie":true}}}}}}"#
    );
}

#[test]
fn mistakes_name_the_label_and_what_to_do() {
    for (label, value, expected) in [
        (
            "traefik.http.routers.a.rul",
            "x",
            "error: unknown option `rul`\n  at  http.routers.a.rul  (container a, label `traefik.http.routers.a.rul`)\n  hint: did you mean `rule`?",
        ),
        (
            "traefik.http.routers.a.priority",
            "",
            "error: a whole number belongs here, not ``\n  at  http.routers.a.priority  (container a, label `traefik.http.routers.a.priority`)",
        ),
        (
            "traefik.http.services.s.loadbalancer.healthcheck",
            "true",
            "error: `healthcheck` cannot stand alone\n  at  http.services.s.loadBalancer.healthCheck  (container a, label `traefik.http.services.s.loadbalancer.healthcheck`)\n  hint: write an option of it, such as `healthcheck.scheme`",
        ),
        (
            "traefik.http.middlewares.m.addprefix",
            "/x",
            "error: `addprefix` cannot stand alone\n  at  http.middlewares.m.addPrefix  (container a, label `traefik.http.middlewares.m.addprefix`)\n  hint: write an option of it, such as `addprefix.prefix`",
        ),
        (
            "traefik.http.foo",
            "x",
            "error: unknown option `foo`\n  at  http.foo  (container a, label `traefik.http.foo`)\n  hint: known here: routers, services, middlewares, serversTransports",
        ),
        (
            "TRAEFIK.http.routers.a.rule",
            "x",
            "error: labels begin with `traefik.`, not with `TRAEFIK.`\n  at  http.routers.a.rule  (container a, label `TRAEFIK.http.routers.a.rule`)\n  hint: write `traefik.http.routers.a.rule`",
        ),
        (
            "traefik.http.services.s.loadbalancer.servers[0].url",
            "x",
            "error: unknown option `servers`\n  at  http.services.s.loadBalancer.servers  (container a, label `traefik.http.services.s.loadbalancer.servers[0].url`)\n  hint: write `server` for the one server that this is: `loadbalancer.server.port`",
        ),
        (
            "traefik.http.services.s.loadbalancer.server.prot",
            "x",
            "error: unknown option `prot`\n  at  http.services.s.loadBalancer.server.prot  (container a, label `traefik.http.services.s.loadbalancer.server.prot`)\n  hint: did you mean `port`?",
        ),
        (
            "traefik.http..a",
            "x",
            "error: `http..a` is no path of an option\n  at  http..a  (container a, label `traefik.http..a`)\n  hint: write names with one `.` between them; `[0]` stands behind the name of a list",
        ),
        (
            "traefik.http.routers.a.parentrefs",
            "x",
            "warning: labels cannot set `parentRefs`, it is ignored\n  at  http.routers.a.parentRefs  (container a, label `traefik.http.routers.a.parentrefs`)\n  hint: write it to a file (`providers.file`) or a key-value store, and refer to it by `name@file`",
        ),
        (
            "traefik.http.routers.a.entrypoints[0]",
            "web",
            "warning: `entrypoints[0]` is ignored\n  at  http.routers.a.entryPoints  (container a, label `traefik.http.routers.a.entrypoints[0]`)\n  hint: write all values in one label: `entrypoints=a,b`",
        ),
        (
            "traefik.tls.options.x.minversion",
            "1",
            "warning: unknown option `tls` is ignored\n  at  tls.options.x.minversion  (container a, label `traefik.tls.options.x.minversion`)\n  hint: of TLS, labels set only `tls.stores.default.defaultgeneratedcert`; write the rest to a file",
        ),
        (
            "traefik.http.services.s.loadbalancer",
            "true",
            "error: `loadbalancer` cannot stand alone\n  at  http.services.s.loadBalancer  (container a, label `traefik.http.services.s.loadbalancer`)\n  hint: write an option of it, such as `loadbalancer.server.port`",
        ),
        (
            "traefik.http.routers.a.tls.domains[0]",
            "x",
            "warning: `domains` is a list of blocks, this is ignored\n  at  http.routers.a.tls.domains  (container a, label `traefik.http.routers.a.tls.domains[0]`)\n  hint: write `domains[0].main`",
        ),
        (
            "traefik.enabled",
            "true",
            "warning: unknown option `enabled` is ignored\n  at  enabled  (container a, label `traefik.enabled`)\n  hint: did you mean `enable`?",
        ),
    ] {
        assert_eq!(said(&[(label, value)]), [expected], "{label}");
    }
}

proptest::proptest! {
    #[test]
    fn no_label_panics(
        labels in proptest::collection::vec(("(traefik|torana|Traefik)\\.(http|tcp|udp|tls|[a-z]{0,3})(\\.(routers|services|a|B|loadbalancer|server|tls|domains\\[[0-9]\\]|[a-z\\[\\]é]{0,4})){0,6}", "[ -~é]{0,8}"), 0..12)
    ) {
        let checked = tree(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())), &OWNER);
        routing::decode(&checked.value.node);
        // the order in which labels come does not matter
        let again = tree(labels.iter().rev().map(|(k, v)| (k.as_str(), v.as_str())), &OWNER);
        let distinct: std::collections::BTreeSet<_> = labels.iter().map(|(k, _)| k).collect();
        if distinct.len() == labels.len() {
            proptest::prop_assert_eq!(checked.value.node.digest(), again.value.node.digest());
        }
    }

    #[test]
    fn what_is_written_is_read(routers in proptest::collection::btree_map("[a-z][a-z0-9-]{0,5}", ("[ -~]{1,12}", -5i64..99), 1..5)) {
        let labels: Vec<(String, String)> = routers.iter().flat_map(|(name, (rule, priority))| [
            (format!("traefik.http.routers.{name}.rule"), rule.clone()),
            (format!("torana.HTTP.Routers.{name}.Priority"), priority.to_string()),
        ]).collect();
        let checked = tree(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())), &OWNER);
        proptest::prop_assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
        let read = routing::decode(&checked.value.node).value.http.routers;
        let read: std::collections::BTreeMap<_, _> = read.into_iter().map(|(n, r)| (n, (r.config.rule.clone(), r.config.priority))).collect();
        proptest::prop_assert_eq!(read, routers);
    }
}
