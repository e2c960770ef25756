//! With a real server (`tests/services/zookeeper.sh`), loudly missing at home, an error where `CI` is set.

use super::*;
use std::process::{Command, Output};

struct Server {
    dir: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start() -> Option<Server> {
        // Given back at once; somebody else may take it, which the server then says.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Server { dir: tempfile::tempdir().unwrap(), port };
        let output = server.script("start");
        if output.status.success() {
            return Some(server);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "zookeeper.sh: {said}");
        eprintln!("SKIPPED: watches of single nodes need ZooKeeper: {said}");
        None
    }

    fn script(&self, verb: &str) -> Output {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/services/zookeeper.sh");
        Command::new(path).arg(verb).arg(self.dir.path()).env("PORT", self.port.to_string()).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("stop");
    }
}

async fn next(news: &mut mpsc::Receiver<News>, wanted: &[(&str, &str)]) {
    let wanted: Pairs = wanted.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect();
    loop {
        match timeout(Duration::from_secs(15), news.recv()).await.expect("no news").expect("over") {
            Ok(Change::All(pairs)) if pairs == wanted => return,
            Ok(Change::All(_)) => {}
            _ => panic!("not as expected"),
        }
    }
}

/// As servers before 3.6 are followed.
#[tokio::test]
async fn nodes_are_watched_one_by_one() {
    let Some(server) = Server::start() else { return };
    let config = ZooKeeperProviderConfig { endpoints: vec![format!("127.0.0.1:{}", server.port)], ..Default::default() };
    let mut store = ZooKeeper { config, path: "/traefik".into(), recursive: false };
    // It answers `ruok` a little before it takes clients.
    let mut opened = store.open().await;
    for _ in 0..50 {
        if opened.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            opened = store.open().await;
        }
    }
    let opened = opened.unwrap();
    assert!(opened.pairs.is_empty());
    let (tell, mut news) = mpsc::channel(4);
    let _watching = crate::kv::Aborting(tokio::spawn((opened.watch)(tell)));
    let writer = Client::connect(&format!("127.0.0.1:{}", server.port)).await.unwrap();
    let options = zookeeper_client::CreateMode::Persistent.with_acls(zookeeper_client::Acls::anyone_all());
    for path in ["/traefik", "/traefik/http", "/traefik/http/routers", "/traefik/http/routers/a"] {
        writer.create(path, b"", &options).await.unwrap();
    }
    writer.create("/traefik/http/routers/a/rule", b"one", &options).await.unwrap();
    next(&mut news, &[("http/routers/a/rule", "one")]).await;
    writer.set_data("/traefik/http/routers/a/rule", b"two", None).await.unwrap();
    next(&mut news, &[("http/routers/a/rule", "two")]).await;
    writer.delete("/traefik/http/routers/a/rule", None).await.unwrap();
    next(&mut news, &[]).await;
}
