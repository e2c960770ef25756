use super::*;
use crate::testing::{block_on, build_error};

#[test]
fn keys_are_bounded() {
    assert_eq!(bucket::key("l@file", "10.0.0.1"), "rate:l@file:10.0.0.1");
    assert_eq!(bucket::key("l@file", &"x".repeat(10_000)).len(), "rate:l@file:".len() + 40);
}

fn servers(change: impl FnOnce(&mut RedisConfig)) -> Servers {
    let mut config = RedisConfig::default();
    change(&mut config);
    Servers::new(config).unwrap()
}

#[test]
fn pools_are_divided_among_workers() {
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as i64;
    assert_eq!(servers(|_| ()).connections, 1);
    assert_eq!(servers(|c| c.pool_size = workers * 3).connections, 3);
    let s = servers(|c| (c.pool_size, c.max_active_conns, c.min_idle_conns) = (workers * 3, workers * 2, workers * 9));
    assert_eq!((s.connections, s.early), (2, 2));
    assert_eq!(servers(|_| ()).patience, Some(Duration::from_secs(6)));
    assert_eq!(servers(|c| c.read_timeout = GoDuration(0)).patience, None);
    assert_eq!(servers(|c| c.dial_timeout = GoDuration(-1)).dial, Duration::from_secs(5));
    assert_eq!(servers(|c| c.endpoints = vec!["r".into(), "r:1".into(), "[::1]:2".into()]).endpoints, ["r:6379", "r:1", "[::1]:2"]);
}

#[test]
fn mistakes() {
    type R = crate::rate_limit::RateLimit;
    for (text, key) in [
        ("db: -1", "redis.db"),
        ("poolSize: -1", "redis.poolSize"),
        ("minIdleConns: -1", "redis.minIdleConns"),
        ("maxActiveConns: -1", "redis.maxActiveConns"),
        ("endpoints: [a, '']", "redis.endpoints[1]"),
        ("tls: {cert: /nope, key: /nope}", "redis.tls"),
    ] {
        assert_eq!(build_error::<R>(&format!("{{average: 1, redis: {{{text}}}}}")).key, key, "{text}");
    }
}

#[test]
fn a_server_that_is_away_is_said_to_be() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rate = Rate::of(&crate::rate_limit::Config { average: 1, ..Default::default() });
    let config = RedisConfig { endpoints: vec![closed.to_string()], ..RedisConfig::default() };
    let shared = Shared::new(config, "l@file", rate).unwrap();
    let why = block_on(shared.reserve("x")).unwrap_err();
    assert!(why.contains(&closed.to_string()), "{why}");
    assert!(!why.to_string().contains("password"));
}
