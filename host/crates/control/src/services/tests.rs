use super::composite::{Share, Spread};
use super::load_balancer::health_check;
use super::*;
use http::HeaderValue;
use torana_config::parse::{Format, parse};
use torana_config::routing::{HealthCheckConfig, ShareAnswer, decode};
use torana_http::Exchange;
use torana_upstream::balance::Strategy;

fn inputs(yaml: &str) -> Inputs {
    let config = decode(&parse(yaml, Format::Yaml, "t.yml".into()).unwrap()).value;
    Inputs::from([("file", Arc::new(config))])
}

/// Whether each service of a document can be used, and what is told about them and their transports.
fn built(yaml: &str, names: &[&str]) -> (Vec<bool>, Vec<String>) {
    let (inputs, internals, mut store) = (inputs(yaml), Internals::new(), Store::default());
    let kept = crate::resolve::Kept::default();
    let resolver = Resolver::new(&inputs, |_| None, &torana_extend::NoPlugins, &kept);
    let mut services = Services::new(
        &inputs,
        &internals,
        &torana_extend::NoPlugins,
        None,
        &resolver,
        &mut store,
        Arc::new(Transport::build(&Default::default())),
    );
    let outcomes: Vec<Outcome> = names.iter().map(|n| services.service(n)).collect();
    let mut told: Vec<String> = outcomes.iter().flatten().flat_map(|u| u.warnings.iter().map(|d| d.key.clone())).collect();
    told.extend(services.finish().into_iter().map(|d| d.key));
    (outcomes.iter().map(Result::is_ok).collect(), told)
}

#[test]
fn what_cannot_be_reached_is_a_server_all_the_same() {
    let yaml =
        "http: {services: {a: {loadBalancer: {servers: [{url: 'ftp://x'}]}}, b: {loadBalancer: {servers: [{url: '127.0.0.1:80'}]}}}}";
    assert_eq!(built(yaml, &["a@file", "b@file"]), (vec![true, false], vec!["http.services.a.loadBalancer.servers".to_owned()]));
}

#[test]
fn a_transport_with_a_bad_option_is_told_and_used() {
    let yaml = "http: {services: {a: {loadBalancer: {serversTransport: t}}, b: {loadBalancer: {serversTransport: u}}}, serversTransports: {t: {rootCAs: [/nope.crt]}}}";
    assert_eq!(built(yaml, &["a@file", "b@file"]), (vec![true, false], vec!["http.serversTransports.t.rootCAs".to_owned()]));
}

#[test]
fn a_child_has_its_cookie_by_the_name_as_written() {
    let inputs = inputs("http: {services: {w: {weighted: {sticky: {cookie: {name: c}}, services: [{name: a}, {name: b@file}]}}}}");
    let item = service_item(&inputs, "w@file").unwrap();
    let config = item.config.weighted.as_ref().unwrap();
    let sticky = config.sticky.as_ref().and_then(|s| s.cookie.as_ref());
    let spread = Spread { kind: "weighted", strategy: Strategy::Wrr, services: &config.services, sticky, follows: false };
    let weighted = spread.make(&"w@file".into(), Vec::new());
    // Recorded from Traefik 3.7.15.
    assert_eq!(weighted.sticky.unwrap().set_cookie(0).unwrap(), "c=ca978112ca1bbdca; Path=/");
}

/// What Traefik 3.7.15 builds, and what it does not.
#[test]
fn a_parent_follows_only_what_checks_its_health() {
    let yaml = "http: {services: {
        bare: {loadBalancer: {}},
        checked: {loadBalancer: {healthCheck: {path: /}}},
        passive: {loadBalancer: {passiveHealthCheck: {maxFailedAttempts: 2}}},
        w: {weighted: {healthCheck: {}, services: [{name: checked}]}},
        w-bare: {weighted: {healthCheck: {}, services: [{name: checked}, {name: bare}]}},
        w-passive: {weighted: {healthCheck: {}, services: [{name: passive}]}},
        w-levels: {weighted: {healthCheck: {}, services: [{name: h}, {name: m}, {name: f}]}},
        h: {highestRandomWeight: {healthCheck: {}, services: [{name: w}]}},
        m: {mirroring: {service: checked, healthCheck: {}, mirrors: [{name: bare, percent: 100}]}},
        m-bare: {mirroring: {service: bare, healthCheck: {}}},
        m-much: {mirroring: {service: bare, mirrors: [{name: bare, percent: 101}]}},
        w-m-bare: {weighted: {healthCheck: {}, services: [{name: m-bare}]}},
        f: {failover: {service: checked, fallback: w, healthCheck: {}}},
        f-unseen: {failover: {service: checked, fallback: bare}},
        f-bare: {failover: {service: bare, fallback: checked}},
        f-errors: {failover: {service: bare, fallback: bare, errors: {status: ['500-504']}}},
        f-bad: {failover: {service: bare, fallback: bare, errors: {status: ['5xx']}}},
        f-fallback: {failover: {service: checked, fallback: bare, healthCheck: {}}}}}";
    let usable = |names: &[&str]| {
        let qualified: Vec<String> = names.iter().map(|n| format!("{n}@file")).collect();
        built(yaml, &qualified.iter().map(String::as_str).collect::<Vec<_>>()).0
    };
    assert_eq!(usable(&["w", "w-levels", "h", "m", "m-bare", "f", "f-unseen", "f-errors"]), [true; 8]);
    assert_eq!(usable(&["w-bare", "w-passive", "w-m-bare", "m-much", "f-bare", "f-bad", "f-fallback"]), [false; 7]);
}

#[test]
fn a_service_without_its_middleware_is_disabled() {
    let yaml =
        "http: {services: {a: {loadBalancer: {}, middlewares: [gone]}, b: {loadBalancer: {}}, w: {weighted: {services: [{name: a}]}}}}";
    assert_eq!(built(yaml, &["a@file", "b@file", "w@file"]).0, [false, true, false]);
}

#[test]
fn a_share_without_a_service_is_answered() {
    let served = |answer| {
        let at = "127.0.0.1:1".parse().unwrap();
        let peer = torana_http::Peer::new(at, at, None, "web".into(), false);
        let mut x = Exchange::new(Default::default(), std::rc::Rc::new(peer));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Share(answer).serve(&mut x))
    };
    assert_eq!(served(ShareAnswer::Status(500)).status(), 500);
    let grpc = served(ShareAnswer::GrpcUnavailable);
    assert_eq!((grpc.status().as_u16(), &grpc.headers()["grpc-status"]), (200, &HeaderValue::from_static("14")));
}

#[test]
fn a_method_is_sent_as_written_and_host_comes_from_hostname() {
    let check = |method: &str| HealthCheckConfig {
        method: method.into(),
        headers: BTreeMap::from([("Host".into(), "x".into())]),
        ..HealthCheckConfig::default()
    };
    let built = health_check(&check("head")).unwrap();
    assert_eq!((built.method.unwrap().as_str(), built.headers.len(), built.hostname.as_str()), ("head", 0, ""));
    assert!(health_check(&check("G ET")).unwrap().method.is_none());
}

/// Each level takes room on the stack: a document must not be able to use it up.
#[test]
fn services_end_at_a_depth() {
    let chain = |levels: usize| {
        let mut yaml = String::from("http:\n  services:\n");
        for i in 0..levels {
            yaml += &format!("    s{i}: {{weighted: {{services: [{{name: s{}}}]}}}}\n", i + 1);
        }
        yaml + &format!("    s{levels}: {{loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}\n")
    };
    assert_eq!(built(&chain(60), &["s0@file"]).0, [true]);
    assert_eq!(built(&chain(5000), &["s0@file"]).0, [false]);
}
