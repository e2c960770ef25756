//! What holds for all providers, and for those of HTTP with a server that is made up.

use crate::configured;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use torana_base::GoDuration;
use torana_config::install::{
    ConsulCatalogConfig, ConsulProviderConfig, EtcdProviderConfig, HttpProviderConfig, NomadConfig, ProvidersConfig, RedisProviderConfig,
    RedisSentinelConfig, ZooKeeperProviderConfig,
};
use torana_extend::{Event, Provider, ProviderOut};

/// Answers by path; `None` begins an answer that never ends. Ends with the process.
fn server(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move |mut stream: TcpStream, answer: &dyn Fn(&str) -> Option<String>| -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let (mut first, mut line) = (String::new(), String::new());
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            while reader.read_line(&mut line)? > 2 {
                line.clear();
            }
            match answer(first.split([' ', '?']).nth(1).unwrap_or_default()) {
                Some(body) => stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?,
                None => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?,
            }
        }
    };
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || serve(stream, &*answer));
        }
    });
    url
}

struct Running {
    events: mpsc::Receiver<Event>,
}

impl Running {
    fn start(mut provider: Box<dyn Provider>) -> Running {
        let (out, events) = ProviderOut::channel(1);
        tokio::spawn(async move { provider.run(out).await });
        Running { events }
    }

    async fn next(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(30), self.events.recv()).await.expect("nothing is told").expect("it has ended")
    }
}

#[tokio::test]
async fn passwords_in_addresses_are_never_told() {
    for endpoint in
        ["user:hunter2@127.0.0.1:1", "http://user:hunter2@127.0.0.1:1/?token=hunter2", "http://user:hun ter2/hunter2@127.0.0.1:1"]
    {
        let endpoints = vec![endpoint.to_owned()];
        let sentinel = RedisSentinelConfig { master_name: "m".into(), ..Default::default() };
        let redis = |sentinel| Some(RedisProviderConfig { endpoints: endpoints.clone(), sentinel, ..Default::default() });
        let mut config = ProvidersConfig {
            consul: Some(ConsulProviderConfig { endpoints: endpoints.clone(), ..Default::default() }),
            etcd: Some(EtcdProviderConfig { endpoints: endpoints.clone(), ..Default::default() }),
            zoo_keeper: Some(ZooKeeperProviderConfig { endpoints: endpoints.clone(), ..Default::default() }),
            http: Some(HttpProviderConfig { endpoint: endpoint.to_owned(), ..Default::default() }),
            redis: redis(None),
            ..Default::default()
        };
        let (mut nomad, mut catalog) = (NomadConfig::default(), ConsulCatalogConfig::default());
        nomad.endpoint.address = endpoint.to_owned();
        catalog.endpoint.address = endpoint.to_owned();
        (config.nomad, config.consul_catalog) = (Some(nomad), Some(catalog));
        let mut all = configured(&config);
        all.extend(configured(&ProvidersConfig { redis: redis(Some(sentinel)), ..Default::default() }));
        assert_eq!(all.len(), 8);
        for provider in all {
            let name = provider.name();
            let Event::Failed { error, .. } = Running::start(provider).next().await else { panic!("{name}: no failure") };
            assert!(!error.contains("hunter2") && !error.contains("hun ter2"), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_bug_does_not_end_the_provider_of_http() {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let answers = ["http: {routers: {a: {rule: 'Path(`/`)'}}}", crate::http::PANIC, "http: {routers: {b: {rule: 'Path(`/`)'}}}"];
    let endpoint = server(move |_| Some(answers[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(2)].to_owned()));
    let http = HttpProviderConfig { endpoint, poll_interval: GoDuration(1_000_000), ..Default::default() };
    let mut all = configured(&ProvidersConfig { http: Some(http), ..Default::default() });
    let mut running = Running::start(all.remove(0));
    let mut said = Vec::new();
    while said.len() < 5 {
        said.push(match running.next().await {
            Event::Connected { .. } => "connected".to_owned(),
            Event::Failed { error, .. } => error,
            Event::Document(d) => d.config.http.routers.keys().cloned().collect(),
            Event::Refused { .. } => "refused".to_owned(),
        });
    }
    assert_eq!(said, ["connected", "a", "a bug in Torana: odd; please report it", "connected", "b"]);
}

#[tokio::test]
async fn stale_services_of_nomad_are_read_again_without_an_event() {
    let address = server(|path| if path == "/v1/event/stream" { None } else { Some("[]".to_owned()) });
    let mut nomad = NomadConfig { watch: true, stale: true, refresh_interval: GoDuration(20_000_000), ..Default::default() };
    nomad.endpoint.address = address;
    let mut all = configured(&ProvidersConfig { nomad: Some(nomad), ..Default::default() });
    let mut running = Running::start(all.remove(0));
    assert!(matches!(running.next().await, Event::Connected { .. }));
    for _ in 0..3 {
        assert!(matches!(running.next().await, Event::Document(_)));
    }
}
