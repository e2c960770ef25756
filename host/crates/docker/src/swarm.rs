//! The provider `swarm`: polls, at once when the engine tells of something, and often while tasks are replaced.

use crate::api::Event;
use crate::client::{Client, Failure};
use crate::docker::{client, refuse, until};
use crate::publish::Publisher;
use crate::tasks::{self, Swarm};
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};
use torana_config::install::{DockerConfig, SwarmConfig};
use torana_extend::{Backoff, Provider, ProviderOut, Stop, Stopped};

pub(crate) const NAME: &str = "swarm";
/// Between polls while tasks come and go.
const BUSY: Duration = Duration::from_millis(300);
/// After an event: states of tasks follow it, and no event tells of them.
const AFTERMATH: Duration = Duration::from_secs(6);
/// Between two polls, always.
const LEAST: Duration = Duration::from_millis(50);
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

    fn run(self: Box<Self>, out: ProviderOut, mut stop: Stop) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            tokio::select! {
                () = follow(self.config, out) => {}
                _ = stop.wait_for(|s| *s) => {}
            }
        })
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
            backoff.reset();
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
                            due = due.min(now + LEAST);
                        }
                        Err(error) => return Err(End::Failed(error)),
                    }
                }
                () = until(Some(due)) => break,
            }
            if left {
                break;
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
