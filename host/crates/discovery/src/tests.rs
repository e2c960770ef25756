use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use torana_config::routing::ServersTransportConfig;

fn source() -> Source {
    Source::new("docker", Rule::parse("providers.docker.defaultRule", DEFAULT_RULE).unwrap())
}

fn labels(pairs: &[(&str, &str)]) -> Arc<BTreeMap<String, String>> {
    Arc::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

/// At 10.0.0.`n`, with 80 as its own port.
fn item(name: &str, n: u8, pairs: &[(&str, &str)]) -> Item {
    let addresses: Addresses =
        Arc::new(move |wanted| Ok((format!("10.0.0.{n}"), wanted.port_label.map_or_else(|| "80".to_owned(), str::to_owned))));
    Item::new(format!("container {name}-{n}"), name, labels(pairs), addresses)
}

/// Routers as `name: rule -> service`, services as `name: servers`, and why what is left out.
fn shown(found: &Found) -> String {
    let mut out = String::new();
    for (name, r) in &found.config.http.routers {
        out += &format!("{name}: {} -> {}\n", r.config.rule, r.config.service.as_deref().unwrap_or("-"));
    }
    for (name, s) in &found.config.http.services {
        let servers = s.config.load_balancer.iter().flat_map(|b| &b.servers);
        out += &format!("{name}: {}\n", servers.map(|s| s.url.as_str()).collect::<Vec<_>>().join(" "));
    }
    for (name, r) in &found.config.tcp.routers {
        out += &format!("tcp {name}: {} -> {}\n", r.config.rule, r.config.service.as_deref().unwrap_or("-"));
    }
    for (name, s) in &found.config.tcp.services {
        let servers = s.config.load_balancer.iter().flat_map(|b| &b.servers);
        out += &format!(
            "tcp {name}: {}\n",
            servers.map(|s| format!("{}{}", s.address, if s.tls { " tls" } else { "" })).collect::<Vec<_>>().join(" ")
        );
    }
    for (name, r) in &found.config.udp.routers {
        out += &format!("udp {name} -> {}\n", r.config.service.as_deref().unwrap_or("-"));
    }
    for (name, s) in &found.config.udp.services {
        let servers = s.config.load_balancer.iter().flat_map(|b| &b.servers);
        out += &format!("udp {name}: {}\n", servers.map(|s| s.address.as_str()).collect::<Vec<_>>().join(" "));
    }
    for r in &found.objects.rejected {
        out += &format!("{}: {}\n", r.name, r.reasons.join(" | "));
    }
    out
}

fn build(items: Vec<Item>) -> String {
    shown(&source().build(items))
}

#[test]
fn routers_and_services_complete_each_other() {
    for (pairs, expected) in [
        (&[][..], "web-shop: Host(`web-shop`) -> web-shop\nweb-shop: http://10.0.0.1:80\n"),
        (
            &[("traefik.http.routers.a.rule", "PathPrefix(`/`)"), ("traefik.http.services.s.loadbalancer.server.port", "8080")],
            "a: PathPrefix(`/`) -> s\ns: http://10.0.0.1:8080\n",
        ),
        (&[("traefik.http.routers.a.priority", "5")], "a: Host(`web-shop`) -> web-shop\nweb-shop: http://10.0.0.1:80\n"),
        (
            &[("traefik.http.services.s.loadbalancer.server.port", "1"), ("traefik.http.services.t.loadbalancer.server.scheme", "h2c")],
            "s: http://10.0.0.1:1\nt: h2c://10.0.0.1:80\ncontainer web_shop-1: no router is made: there are several services (s, t); write `http.routers.<name>.service`\n",
        ),
        (
            &[
                ("traefik.http.services.s.loadbalancer.server.port", "1"),
                ("traefik.http.services.t.loadbalancer.server.port", "2"),
                ("traefik.http.routers.a.rule", "x"),
                ("traefik.http.routers.b.rule", "y"),
                ("traefik.http.routers.b.service", "t"),
            ],
            "b: y -> t\ns: http://10.0.0.1:1\nt: http://10.0.0.1:2\ncontainer web_shop-1: router `a`: it has no service, and there are several (s, t); write `service`\n",
        ),
        (&[("traefik.http.services.s.loadbalancer.server.url", "http://else:9")], "web-shop: Host(`web-shop`) -> s\ns: http://else:9\n"),
        (
            &[
                ("traefik.tcp.routers.db.rule", "HostSNI(`*`)"),
                ("traefik.tcp.services.db.loadbalancer.server.port", "5432"),
                ("traefik.tcp.services.db.loadbalancer.server.tls", "true"),
            ],
            "tcp db: HostSNI(`*`) -> db\ntcp db: 10.0.0.1:5432 tls\n",
        ),
        (
            &[("traefik.tcp.routers.db.entrypoints", "x"), ("traefik.http.middlewares.m.addprefix.prefix", "/x")],
            "web-shop: Host(`web-shop`) -> web-shop\nweb-shop: http://10.0.0.1:80\ntcp web-shop: 10.0.0.1:80\ncontainer web_shop-1: router `db`: it has no rule; write `rule`, such as HostSNI(`*`)\n",
        ),
        (&[("traefik.udp.routers.d.entrypoints", "dns")], "udp d -> web-shop\nudp web-shop: 10.0.0.1:80\n"),
        (
            &[("traefik.http.services.s.loadbalancer.server.url", "http://x"), ("traefik.http.services.s.loadbalancer.server.port", "8")],
            "container web_shop-1: service `s`: `server.url` says scheme and port already; remove `server.scheme` and `server.port`, or `server.url`\n",
        ),
        (
            &[("traefik.http.services.s.middlewares", "m")],
            "container web_shop-1: service `s`: it has no load balancer; write an option of `loadbalancer`, such as `server.port`\n",
        ),
        (
            &[("traefik.http.routers.a.rul", "x")],
            "container web_shop-1: unknown option `rul`, at container web_shop-1, label `traefik.http.routers.a.rul`; did you mean `rule`?\n",
        ),
        (&[("traefik.enable", "false")], ""),
        (&[("traefik.enable", "yes")], "container web_shop-1: `traefik.enable` is `true` or `false`, not `yes`\n"),
        (
            &[("torana.enable", "true"), ("traefik.Enable", "false"), ("torana.http.routers.r.rule", "x")],
            "r: x -> web-shop\nweb-shop: http://10.0.0.1:80\n",
        ),
    ] {
        assert_eq!(build(vec![item("web_shop", 1, pairs)]), expected, "{pairs:?}");
    }
}

#[test]
fn a_port_that_is_none_disables_its_service_alone() {
    let found = source().build(vec![item("a", 1, &[("traefik.http.services.s.loadbalancer.server.port", "http")]), item("b", 2, &[])]);
    let d = &found.config.http.services["s"].diagnostics[0];
    assert_eq!(
        d.to_string(),
        "error: `http` is no port\n  at  http.services.s.loadBalancer.server.port  (container a-1, label `traefik.http.services.s.loadbalancer.server.port`)\n  hint: write a number from 1 to 65535"
    );
    assert!(!found.config.http.services["b"].has_errors());
}

#[test]
fn replicas_share_a_service_and_contradictions_are_left_out() {
    let rule = ("traefik.http.routers.web.rule", "x");
    let found = source().build(vec![item("web", 2, &[rule]), item("web", 1, &[rule]), item("web", 3, &[rule])]);
    assert_eq!(shown(&found), "web: x -> web\nweb: http://10.0.0.1:80 http://10.0.0.2:80 http://10.0.0.3:80\n");
    let other = ("traefik.http.routers.web.rule", "y");
    let found = source().build(vec![item("web", 1, &[rule]), item("web", 2, &[other]), item("else", 3, &[])]);
    let why = "`http.routers.web` is left out: it is not the same in container web-1, container web-2";
    assert_eq!(
        shown(&found),
        format!(
            "else: Host(`else`) -> else\nelse: http://10.0.0.3:80\nweb: http://10.0.0.1:80 http://10.0.0.2:80\ncontainer web-1: {why}\ncontainer web-2: {why}\n"
        )
    );
    assert_eq!(found.diagnostics[0].hint.as_deref(), Some("write the same everywhere, or give it different names"));
    let sticky = ("traefik.http.services.s.loadbalancer.sticky.cookie", "true");
    let port = ("traefik.http.services.s.loadbalancer.server.port", "80");
    let found = source().build(vec![item("a", 1, &[port]), item("b", 2, &[port, sticky])]);
    assert!(found.config.http.services.is_empty() && found.objects.rejected.len() == 2, "{}", shown(&found));
    // one server with a wrong port is no reason to lose the others
    let wrong = ("traefik.http.services.s.loadbalancer.server.port", "x");
    let found = source().build(vec![item("a", 1, &[wrong]), item("b", 2, &[port])]);
    assert_eq!(
        shown(&found).lines().skip(2).collect::<Vec<_>>(),
        ["s: http://10.0.0.2:80", "container a-1: service `s`: `x` is no port; its server is left out"]
    );
    assert!(!found.config.http.services["s"].has_errors());
}

#[test]
fn state_and_options_decide_who_is_there() {
    let mut source = source();
    let mut sick = item("sick", 1, &[]);
    sick.state = ItemState::NotServing;
    let mut stopped = item("stopped", 2, &[("traefik.http.services.stopped.loadbalancer.server.port", "5")]);
    stopped.state = ItemState::Empty;
    assert_eq!(shown(&source.build(vec![sick.clone(), stopped.clone()])), "stopped: Host(`stopped`) -> stopped\nstopped: \n");
    // options do not change while a source lives: another one
    let mut source = self::source();
    source.allow_empty_services = true;
    let found = shown(&source.build(vec![sick, stopped]));
    assert_eq!(found, "sick: Host(`sick`) -> sick\nstopped: Host(`stopped`) -> stopped\nsick: \nstopped: \n");
    let mut source = Source::new("docker", Rule::parse("o", "{{ .Labels.none | default \"\" }}").unwrap());
    source.exposed_by_default = false;
    source.constraints = Constraint::parse("o", "Label(`stage`,`prod`)", Flavour::Label).unwrap();
    let found = source.build(vec![
        item("a", 1, &[("stage", "prod")]),
        item("b", 2, &[("traefik.enable", "true")]),
        item("c", 3, &[("traefik.enable", "true"), ("stage", "prod")]),
    ]);
    assert_eq!(shown(&found), "c: http://10.0.0.3:80\ncontainer c-3: router `c`: the default rule is empty; write `rule`\n");
    assert_eq!(found.objects.seen, 3);
}

#[test]
fn addresses_that_fail_leave_the_item_out() {
    let mut a = item("a", 1, &[]);
    a.addresses = Arc::new(|_| Err("it is in no network".into()));
    let mut b = item("b", 2, &[]);
    b.addresses = Arc::new(|_| Ok(("10.0.0.2".into(), String::new())));
    let mut c = item("c", 3, &[]);
    c.addresses = Arc::new(|_| Ok(("fd00::3".into(), "80".into())));
    let mut d = item("d", 4, &[]);
    d.transport = Some(("tls-d".into(), Arc::new(ServersTransportConfig::default())));
    let found = source().build(vec![a, b, c, d]);
    assert_eq!(
        shown(&found),
        "c: Host(`c`) -> c\nd: Host(`d`) -> d\nc: http://[fd00::3]:80\nd: https://10.0.0.4:80\n\
         container a-1: service `a`: it is in no network\n\
         container b-2: service `b`: its port is not known; write it as `traefik.http.services.b.loadbalancer.server.port`\n"
    );
    assert_eq!(found.config.http.services["d"].config.load_balancer.as_ref().unwrap().servers_transport.as_deref(), Some("tls-d"));
    assert!(found.config.http.servers_transports.contains_key("tls-d"));
    assert!(found.config.http.routers["c"].config.default_rule);
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let mut source = source();
    let items = |port: &str| {
        let port = port.to_owned();
        let mut moved = item("moved", 1, &[]);
        moved.addresses = Arc::new(move |_| Ok(("h".into(), port.clone())));
        vec![moved, item("same", 2, &[]), item("twin", 3, &[]), item("twin", 4, &[])]
    };
    let first = source.build(items("1"));
    let second = source.build(items("2"));
    let (a, b) = (&first.config.http.services, &second.config.http.services);
    for (name, same) in [("moved", false), ("same", true), ("twin", true)] {
        assert_eq!(Arc::ptr_eq(&a[name], &b[name]), same, "{name}");
        assert_eq!(a[name].digest == b[name].digest, same, "{name}");
    }
    assert_eq!(shown(&second).lines().nth(3), Some("moved: http://h:2"));
    let third = source.build(items("2").into_iter().skip(1).take(2).collect());
    assert_eq!(
        shown(&third),
        "same: Host(`same`) -> same\ntwin: Host(`twin`) -> twin\nsame: http://10.0.0.2:80\ntwin: http://10.0.0.3:80\n"
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let mut counted = item("n", 1, &[]);
    let count = asked.clone();
    counted.addresses = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(("h".into(), "1".into()))
    });
    source.build(vec![counted.clone()]);
    source.build(vec![counted]);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// Routers, services and middlewares of one service in many ports and prefixes: as the same in any order.
#[test]
fn the_order_of_items_does_not_matter() {
    let all = || vec![item("b", 2, &[]), item("a", 1, &[("traefik.http.middlewares.m.addprefix.prefix", "/x")]), item("b", 3, &[])];
    let mut reversed = all();
    reversed.reverse();
    assert_eq!(source().build(all()).config, source().build(reversed).config);
}

/// Containers with all kinds of labels, and what Traefik 3.7.15 made of them. What it showed beside that stands in
/// the API, such as defaults of middlewares, is left out; `OTHERWISE` is what we do in another way.
#[test]
fn the_same_as_in_traefik() {
    const OTHERWISE: [(&str, &str); 4] = [
        ("domains without a name are none", "routers do0 don"),
        ("the default name of a cookie is made later", "services stc"),
        ("a strategy that is none is told with its service", "services stg"),
        ("defaults are shown by the API, and a middleware of two kinds is none", "middlewares co re tk"),
    ];
    let file: serde_json::Value = serde_json::from_str(include_str!("testdata/traefik.json")).unwrap();
    let containers: Vec<(String, BTreeMap<String, String>)> = serde_json::from_value(file["containers"].clone()).unwrap();
    let items = containers.into_iter().enumerate().map(|(i, (name, labels))| {
        let host = format!("10.0.0.{}", i + 1);
        let addresses: Addresses = Arc::new(move |wanted| Ok((host.clone(), wanted.port_label.unwrap_or("80").to_owned())));
        Item::new(name.clone(), torana_base::normalize(&name), Arc::new(labels), addresses)
    });
    let found = source().build(items.collect());
    let (mut compared, mut wrong) = (0, Vec::new());
    macro_rules! compare {
        ($kind:literal, $($items:ident).+) => {
            let theirs = file[$kind].as_object().unwrap();
            let ours: BTreeMap<&String, serde_json::Value> =
                found.config.$($items).+.iter().map(|(n, i)| (n, serde_json::to_value(&i.config).unwrap())).collect();
            for name in theirs.keys().chain(ours.keys().copied()).collect::<std::collections::BTreeSet<_>>() {
                let otherwise = OTHERWISE.iter().any(|(_, all)| all.starts_with($kind) && all.split(' ').skip(1).any(|n| n == name));
                compared += 1;
                if theirs.get(name) != ours.get(name) && !otherwise {
                    wrong.push(format!("{} {name}: {:?} there, {:?} here", $kind, theirs.get(name), ours.get(name)));
                }
            }
        };
    }
    compare!("routers", http.routers);
    compare!("services", http.services);
    compare!("middlewares", http.middlewares);
    compare!("tcpRouters", tcp.routers);
    compare!("tcpServices", tcp.services);
    compare!("tcpMiddlewares", tcp.middlewares);
    compare!("udpRouters", udp.routers);
    compare!("udpServices", udp.services);
    assert!(compared > 100 && wrong.is_empty(), "{compared} compared\n{}", wrong.join("\n"));
}

/// Values that stand elsewhere are looked up after everything here is done, and objects are read again then.
#[test]
fn references_in_labels_leave_servers_and_rules() {
    use torana_config::reference::{Answer, Reference, References, Refusal};

    struct Secret;
    impl References for Secret {
        fn look_up(&mut self, reference: &Reference) -> Result<Answer, Refusal> {
            let text = if reference.to_string().contains("PRIORITY") { "7" } else { "secret" };
            Ok(Answer { text: text.into(), warning: None })
        }
    }

    let labels = [
        ("traefik.http.routers.r.priority", "${env:PRIORITY}"),
        ("traefik.http.services.s.loadbalancer.healthcheck.path", "/"),
        ("traefik.http.services.s.loadbalancer.healthcheck.headers.Authorization", "${env:TOKEN}"),
    ];
    let mut source = source();
    let one = source.build(vec![item("web", 1, &labels)]);
    let two = source.build(vec![item("web", 1, &labels), item("web", 2, &labels)]);
    assert!(one.config.has_references() && one.objects.rejected.is_empty(), "{}", shown(&one));
    let (one, two) = (one.config.resolve(&mut Secret), two.config.resolve(&mut Secret));
    let balancer = |config: &torana_config::routing::RoutingConfig| config.http.services["s"].config.load_balancer.clone().unwrap();
    assert_eq!(balancer(&one).health_check.unwrap().headers["Authorization"], "secret");
    assert_eq!(balancer(&one).servers.iter().map(|s| s.url.as_str()).collect::<Vec<_>>(), ["http://10.0.0.1:80"]);
    assert_eq!(balancer(&two).servers.iter().map(|s| s.url.as_str()).collect::<Vec<_>>(), ["http://10.0.0.1:80", "http://10.0.0.2:80"]);
    assert_ne!(one.http.services["s"].digest, two.http.services["s"].digest);
    let router = &one.http.routers["r"].config;
    assert_eq!(
        (router.rule.as_str(), router.service.as_deref(), router.priority, router.default_rule),
        ("Host(`web`)", Some("s"), 7, true)
    );
    let shown = one.http.services["s"].shown().unwrap();
    assert_eq!(shown.config.load_balancer.as_ref().unwrap().servers.len(), 1);
    assert_eq!(shown.config.load_balancer.as_ref().unwrap().health_check.as_ref().unwrap().headers["Authorization"], "${env:TOKEN}");
}

/// What stands for a number says nothing before it is followed, so it is compared as written.
#[test]
fn references_of_several_objects_are_not_lost() {
    use torana_config::reference::{Answer, Reference, References, Refusal};

    struct Seven;
    impl References for Seven {
        fn look_up(&mut self, _: &Reference) -> Result<Answer, Refusal> {
            Ok(Answer { text: "7".into(), warning: None })
        }
    }

    let weight = [("traefik.http.services.s.loadbalancer.server.weight", "${env:APP_W}")];
    let mut source = source();
    let one = source.build(vec![item("web", 1, &weight)]).config.resolve(&mut Seven);
    let s = &one.http.services["s"];
    assert_eq!((s.diagnostics.len(), s.config.load_balancer.as_ref().unwrap().servers[0].weight), (0, Some(7)));
    let two = source.build(vec![item("web", 1, &weight), item("web", 2, &weight)]);
    for s in [&two.config.http.services["s"], &two.config.resolve(&mut Seven).http.services["s"]] {
        let told: Vec<String> = s.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].contains("written with a reference") && told[0].contains("http.services.s"), "{told:?}");
    }
    let tcp =
        [("traefik.tcp.services.t.loadbalancer.server.port", "1"), ("traefik.tcp.services.t.loadbalancer.server.tls", "${env:APP_T}")];
    let two = source.build(vec![item("web", 1, &tcp), item("web", 2, &tcp)]);
    assert!(two.config.tcp.services["t"].has_errors());
    // Two references where numbers belong are not the same.
    fn both<'a>(port: &'a str, priority: &'a str) -> [(&'static str, &'a str); 4] {
        [
            ("traefik.http.services.s.loadbalancer.healthcheck.path", "/"),
            ("traefik.http.services.s.loadbalancer.healthcheck.port", port),
            ("traefik.http.routers.r.rule", "Host(`a`)"),
            ("traefik.http.routers.r.priority", priority),
        ]
    }
    let built = |source: &mut crate::Source, a: &str, b: &str| {
        let found = source.build(vec![item("web", 1, &both("${env:A}", "${env:A}")), item("web", 2, &both(a, b))]);
        (found.config.http.services.contains_key("s"), found.config.http.routers.contains_key("r"))
    };
    assert_eq!(built(&mut source, "${env:A}", "${env:A}"), (true, true));
    assert_eq!(built(&mut source, "${env:B}", "${env:B}"), (false, false));
    assert_eq!(built(&mut source, "${env:A}", "${env:B}"), (true, false));
}

/// Replicas write the same labels, each on its own container.
#[test]
fn replicas_may_have_middlewares_and_plugins() {
    let labels = [
        ("traefik.http.middlewares.strip.stripprefix.prefixes", "/api"),
        ("traefik.http.middlewares.auth.plugin.demo.Key", "x"),
        ("traefik.http.services.web.loadbalancer.plugin.demo.Key", "x"),
        ("traefik.tcp.middlewares.few.inflightconn.amount", "3"),
        ("traefik.tls.stores.default.defaultgeneratedcert.resolver", "le"),
        ("traefik.http.routers.web.tls.domains[0].main", "a.example.com"),
    ];
    let found = source().build((1..4).map(|n| item("web", n, &labels)).collect());
    assert_eq!(shown(&found), "web: Host(`web`) -> web\nweb: http://10.0.0.1:80 http://10.0.0.2:80 http://10.0.0.3:80\n");
    let middlewares: Vec<&String> = found.config.http.middlewares.keys().chain(found.config.tcp.middlewares.keys()).collect();
    assert_eq!(middlewares, ["auth", "strip", "few"]);
    assert!(found.config.tls.stores.contains_key("default") && found.diagnostics.is_empty(), "{:?}", found.diagnostics);
    // another spelling of the same
    let other = ("torana.http.middlewares.few.RateLimit.Average", "07");
    let found = source().build(vec![item("a", 1, &[("traefik.http.middlewares.few.ratelimit.average", "7")]), item("b", 2, &[other])]);
    assert!(found.config.http.middlewares.contains_key("few"), "{}", shown(&found));
    let found = source().build(vec![
        item("a", 1, &[("traefik.http.middlewares.m.plugin.demo.Key", "x")]),
        item("b", 2, &[("traefik.http.middlewares.m.plugin.demo.Key", "y")]),
    ]);
    assert!(found.config.http.middlewares.is_empty() && found.objects.rejected.len() == 2, "{}", shown(&found));
}

/// Replicas say the same of a middleware, each in labels of its own.
#[test]
fn one_middleware_of_two_items() {
    let pairs = [("traefik.http.routers.r.middlewares", "m"), ("traefik.http.middlewares.m.headers.customresponseheaders.X-A", "b")];
    let found = source().build(vec![item("web", 1, &pairs), item("web", 2, &pairs)]);
    assert!(found.config.http.middlewares.contains_key("m") && found.objects.rejected.is_empty(), "{:?}", found.objects);
    let other = [pairs[0], ("traefik.http.middlewares.m.headers.customresponseheaders.X-A", "c")];
    let found = source().build(vec![item("web", 1, &pairs), item("web", 2, &other)]);
    assert!(found.config.http.middlewares.is_empty() && found.objects.rejected.len() == 2, "{:?}", found.objects);
}

#[test]
fn replicas_agree_about_the_middlewares_of_their_service() {
    let with = |value: &'static str| ("traefik.http.services.web.middlewares", value);
    let port = ("traefik.http.services.web.loadbalancer.server.port", "80");
    let found = source().build(vec![item("web", 1, &[port, with("a")]), item("web", 2, &[port, with("b")])]);
    assert!(!found.config.http.services.contains_key("web"));
    assert!(found.objects.rejected[0].reasons[0].contains("it is not the same in"), "{:?}", found.objects.rejected);
    let found = source().build(vec![item("web", 1, &[port, with("a")]), item("web", 2, &[port, with("a")])]);
    assert_eq!(found.config.http.services["web"].config.middlewares, ["a"]);
}
