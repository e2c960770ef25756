//! The provider `swarm`: polls, at once when the engine tells of something, and often while tasks are replaced.

use crate::api::Event;
use crate::client::{Client, Failure};
use crate::docker::{client, refuse, until};
use crate::publish::Publisher;
use crate::tasks::{self, Swarm};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};
use torana_config::install::{DockerConfig, SwarmConfig};
use torana_extend::{Backoff, Provider, ProviderOut, ProviderRun, Stopped, Undone};

pub(crate) const NAME: &str = "swarm";
/// Between polls while tasks come and go.
const BUSY: Duration = Duration::from_millis(300);
/// After an event: states of tasks follow it, and no event tells of them.
const AFTERMATH: Duration = Duration::from_secs(6);
/// After an event, for those that come with it.
const LEAST: Duration = Duration::from_millis(50);
/// The same when a task is told to end: requests to it will fail.
const LEAVING: Duration = Duration::from_millis(20);
/// A task that was told to end is believed to do so for this time.
const STOPPING: Duration = Duration::from_secs(120);
const EVENTS: &str = r#"{"type":["service","node","container"],"event":["create","update","remove","start","die","kill","health_status"]}"#;
const RUNNING: &str = "/tasks?filters=%7B%22desired-state%22%3A%5B%22running%22%5D%7D";
const NETWORKS: &str = "/networks?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D";

pub(crate) struct SwarmProvider {
    config: SwarmConfig,
}

impl SwarmProvider {
    pub(crate) fn new(config: SwarmConfig) -> SwarmProvider {
        SwarmProvider { config }
    }
}

impl Provider for SwarmProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(follow(self.config.clone(), out))
    }
}

enum End {
    Done,
    Stopped,
    Failed(String),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> End {
        End::Stopped
    }
}

impl From<Undone> for End {
    fn from(undone: Undone) -> End {
        match undone {
            Undone::Stopped => End::Stopped,
            Undone::Bug(error) => End::Failed(error),
        }
    }
}

async fn follow(config: SwarmConfig, out: ProviderOut) {
    let common = config.common();
    let mut publisher = match Publisher::new(NAME, &common) {
        Ok(p) => p,
        Err(wrong) => return refuse(NAME, &out, wrong).await,
    };
    let refresh = config.refresh_seconds.as_duration();
    let mut backoff = Backoff::default();
    loop {
        let ended = match session(&common, refresh, &mut publisher, &mut backoff, &out).await {
            Ok(end) | Err(end) => end,
        };
        match ended {
            End::Done | End::Stopped => return,
            End::Failed(error) => {
                if out.failed(NAME, error).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

async fn read(client: &Client) -> Result<Swarm, String> {
    let (services, tasks, networks, nodes) =
        tokio::try_join!(client.json("/services"), client.json(RUNNING), client.json(NETWORKS), client.json("/nodes"),)
            .map_err(Failure::text)?;
    Ok(Swarm { services, tasks, networks, nodes })
}

async fn session(
    config: &DockerConfig,
    refresh: Duration,
    publisher: &mut Publisher,
    backoff: &mut Backoff,
    out: &ProviderOut,
) -> Result<End, End> {
    let mut client = client(config).await.map_err(End::Failed)?;
    client.hello().await.map_err(End::Failed)?;
    // An engine behind a proxy may not tell events: polls alone will do.
    let mut events = match config.watch {
        true => client.events(EVENTS).await.ok(),
        false => None,
    };
    let mut known: Option<Swarm> = None;
    let mut going: HashMap<String, Instant> = HashMap::new();
    let mut busy_until = Instant::now();
    let mut left = false;
    loop {
        let swarm = read(&client).await.map_err(End::Failed)?;
        let now = Instant::now();
        if known.is_none() {
            out.connected(NAME).await?;
        }
        let before = going.len();
        going.retain(|task, until| *until > now && swarm.tasks.iter().any(|t| t.id == *task));
        if swarm.is_updating() {
            busy_until = busy_until.max(now + BUSY * 2);
        }
        let urgent = left || known.as_ref().is_some_and(|k| fewer(k, &swarm));
        if known.as_ref() != Some(&swarm) || left || going.len() != before {
            let leaving: BTreeSet<String> = going.keys().cloned().collect();
            publisher.publish(out, tasks::make(&swarm, config, &leaving), urgent).await?;
            backoff.reset();
        }
        known = Some(swarm);
        left = false;
        if !config.watch {
            return Ok(End::Done);
        }
        let mut due = now + if now < busy_until { BUSY } else { refresh };
        loop {
            tokio::select! {
                event = next(&mut events) => {
                    let now = Instant::now();
                    match event {
                        Ok(event) => {
                            let Some(task) = concerns(&event) else { continue };
                            busy_until = now + AFTERMATH;
                            if let Some(task) = task {
                                left |= going.insert(task, now + STOPPING).is_none();
                            }
                            // Tasks that are told to end together leave together.
                            due = due.min(now + if left { LEAVING } else { LEAST });
                        }
                        Err(error) => return Err(End::Failed(error)),
                    }
                }
                () = until(Some(due)) => break,
            }
        }
    }
}

async fn next(events: &mut Option<crate::client::Events>) -> Result<Event, String> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Whether a task has gone.
fn fewer(before: &Swarm, after: &Swarm) -> bool {
    let running = |s: &Swarm| s.tasks.iter().filter(|t| t.status.state == "running").map(|t| t.id.clone()).collect::<BTreeSet<_>>();
    !running(before).is_subset(&running(after))
}

/// Whether an event is about the swarm, and which task it tells to end.
fn concerns(event: &Event) -> Option<Option<String>> {
    if event.kind != "container" {
        return Some(None);
    }
    let task = event.actor.attributes.get("com.docker.swarm.task.id")?;
    let ends = event.action == "kill" && matches!(event.actor.attributes.get("signal").map(String::as_str), Some("9" | "15" | "2" | "3"));
    Some((ends || event.action == "die").then(|| task.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// An engine whose tasks end all at once after its first list.
    fn dying_engine(tasks: usize, reads: Arc<AtomicUsize>) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let serve = move |mut stream: std::net::TcpStream, reads: &AtomicUsize| -> std::io::Result<()> {
            let mut reader = BufReader::new(stream.try_clone()?);
            loop {
                let mut first = String::new();
                if reader.read_line(&mut first)? == 0 {
                    return Ok(());
                }
                let mut line = String::new();
                while reader.read_line(&mut line)? > 2 {
                    line.clear();
                }
                let path = first.split([' ', '?']).nth(1).unwrap_or_default();
                let body = match path.rsplit('/').next() {
                    Some("version") => r#"{"Version":"20.10.0","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#.to_owned(),
                    Some("events") => {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                        while reads.load(Relaxed) == 0 {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        let kill = |n| {
                            format!(
                                r#"{{"Type":"container","Action":"die","Actor":{{"Attributes":{{"com.docker.swarm.task.id":"{n}"}}}}}}"#
                            )
                        };
                        let all: Vec<String> = (0..tasks).map(kill).collect();
                        let all = all.join("\n") + "\n";
                        stream.write_all(format!("{:x}\r\n{all}\r\n", all.len()).as_bytes())?;
                        // Held open until the other side is gone.
                        reader.read_line(&mut line)?;
                        return Ok(());
                    }
                    Some("tasks") => {
                        let all: Vec<String> = (0..tasks).map(|n| format!(r#"{{"ID":"{n}","Status":{{"State":"running"}}}}"#)).collect();
                        format!("[{}]", all.join(","))
                    }
                    Some("services") => {
                        reads.fetch_add(1, Relaxed);
                        "[]".to_owned()
                    }
                    _ => "[]".to_owned(),
                };
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
            }
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let reads = reads.clone();
                std::thread::spawn(move || serve(stream, &reads));
            }
        });
        endpoint
    }

    #[tokio::test]
    async fn tasks_that_end_together_cost_one_read() {
        let reads = Arc::new(AtomicUsize::new(0));
        let config = SwarmConfig { endpoint: dying_engine(100, reads.clone()), ..SwarmConfig::default() };
        let (out, mut events) = ProviderOut::channel(1);
        let running = tokio::spawn(follow(config, out));
        let mut documents = 0;
        // All that is to be said of it is said when nothing comes for a while.
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(1), events.recv()).await {
            documents += usize::from(matches!(event, torana_extend::Event::Document(_)));
        }
        running.abort();
        let reads = reads.load(Relaxed);
        assert!(documents >= 2 && reads < 20, "{documents} documents, {reads} reads");
    }

    #[test]
    fn events_of_the_swarm() {
        let event = |text: &str| serde_json::from_str::<Event>(text).unwrap();
        assert_eq!(concerns(&event(r#"{"Type": "service", "Action": "update"}"#)), Some(None));
        assert_eq!(concerns(&event(r#"{"Type": "container", "Action": "die", "Actor": {"Attributes": {}}}"#)), None);
        let of_task = |action: &str, signal: &str| {
            let text = format!(
                r#"{{"Type": "container", "Action": "{action}", "Actor": {{"Attributes": {{"com.docker.swarm.task.id": "t", "signal": "{signal}"}}}}}}"#
            );
            concerns(&event(&text))
        };
        assert_eq!(of_task("kill", "15"), Some(Some("t".into())));
        assert_eq!(of_task("kill", "1"), Some(None));
        assert_eq!(of_task("start", ""), Some(None));
        assert_eq!(of_task("die", ""), Some(Some("t".into())));
    }
}
