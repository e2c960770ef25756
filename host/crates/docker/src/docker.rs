//! The provider `docker`: a list, then events, then a list again now and then.

use crate::api::{Event, Inspected, Listed};
use crate::client::{Client, Events, Failure};
use crate::container::Container;
use crate::engine::{Change, Containers};
use crate::items;
use crate::publish::Publisher;
use crate::resync::Resync;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::time::{Duration, Instant};
use torana_base::Diagnostic;
use torana_config::install::DockerConfig;
use torana_extend::{Backoff, Provider, ProviderOut, ProviderRun, Undone};

pub(crate) const NAME: &str = "docker";
/// Containers that are looked at alone at the same time.
const LOOKS: usize = 8;
/// More of them than this, and a list is quicker.
const MANY: usize = 256;
/// Events that matter here; health checks alone make three others each time.
const EVENTS: &str = r#"{"type":["container","network"],"event":["create","start","restart","die","kill","stop","pause","unpause","destroy","rename","update","health_status","connect","disconnect"]}"#;
/// For engines whose events are called otherwise.
const ALL_EVENTS: &str = r#"{"type":["container","network"]}"#;
/// A name server that does not answer holds up nothing longer than this.
const LOOK_UP: Duration = Duration::from_secs(1);
/// Names by which containers know the engine's host, where it has one.
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

pub(crate) struct DockerProvider {
    config: DockerConfig,
}

/// What lasts from one connection to the next.
struct State {
    config: DockerConfig,
    containers: Containers,
    publisher: Publisher,
    backoff: Backoff,
}

/// Why a session has ended.
enum End {
    /// All was read that is to be read.
    Done,
    Stopped,
    Failed(String),
}

impl From<torana_extend::Stopped> for End {
    fn from(_: torana_extend::Stopped) -> End {
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

impl DockerProvider {
    pub(crate) fn new(config: DockerConfig) -> DockerProvider {
        DockerProvider { config }
    }
}

impl Provider for DockerProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(follow(self.config.clone(), out))
    }
}

async fn follow(config: DockerConfig, out: ProviderOut) {
    let publisher = match Publisher::new(NAME, &config) {
        Ok(p) => p,
        Err(wrong) => return refuse(NAME, &out, wrong).await,
    };
    let mut state = State { config, containers: Containers::default(), publisher, backoff: Backoff::default() };
    loop {
        match session(&mut state, &out).await {
            End::Done | End::Stopped => return,
            End::Failed(error) => {
                if out.failed(NAME, error).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(state.backoff.pause()).await;
    }
}

/// Options that cannot be used at all: nothing will come of this provider.
pub(crate) async fn refuse(provider: &'static str, out: &ProviderOut, wrong: Diagnostic) {
    let _ = out.refused(provider, vec![wrong]).await;
}

/// The client that the options ask for. They are read again for each connection: files of certificates change.
pub(crate) async fn client(config: &DockerConfig) -> Result<Client, String> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || Client::build(&config)).await.map_err(|_| "the client could not be made".to_owned())?
}

/// Where the engine's host is, as Traefik looks for it.
async fn host_of_engine() -> String {
    let look = async |name: &str| {
        let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((name, 0))).await;
        found.ok()?.ok()?.next().map(|a| a.ip().to_string())
    };
    let (docker, podman) = tokio::join!(look(HOST_NAMES[0]), look(HOST_NAMES[1]));
    docker.or(podman).unwrap_or_else(|| "127.0.0.1".to_owned())
}

/// One connection: from its coming about to its end.
async fn session(state: &mut State, out: &ProviderOut) -> End {
    match connected(state, out).await {
        Ok(end) | Err(end) => end,
    }
}

async fn connected(state: &mut State, out: &ProviderOut) -> Result<End, End> {
    let State { config, containers, publisher, backoff } = state;
    let mut client = client(config).await.map_err(End::Failed)?;
    let engine = client.hello().await.map_err(End::Failed)?;
    let client = client;
    // What happens from here on is in them, so that nothing falls between them and the list.
    let mut events = match config.watch {
        true => Some(client.events(if engine.podman { ALL_EVENTS } else { EVENTS }).await.map_err(End::Failed)?),
        false => None,
    };
    out.connected(NAME).await?;
    tracing::debug!(providerName = NAME, engine = engine.name, api = %engine.api, "the engine answers");
    let host = host_of_engine().await;

    containers.forget_questions();
    containers.begin_list();
    let start_list = || Some(Box::pin(list(&client, engine.podman)));
    let mut listing = start_list();
    let mut looks = FuturesUnordered::new();
    let mut change = Change::None;
    let mut resync = Resync::new();
    loop {
        while resync.begun()
            && looks.len() < LOOKS
            && let Some(id) = containers.ask()
        {
            looks.push(look(&client, id));
        }
        let now = Instant::now();
        if !resync.is_listing() && (containers.unclear() > MANY || resync.due().is_some_and(|at| at <= now)) {
            containers.begin_list();
            listing = start_list();
            resync.list_begins();
        }
        if events.is_none() && listing.is_none() && looks.is_empty() && change == Change::None {
            return Ok(End::Done);
        }
        let urgent = change == Change::Now;
        // Nothing is published before there is all of it.
        let due = (change != Change::None && resync.begun()).then(|| publisher.due(urgent));
        tokio::select! {
            biased;
            // Its pace leaves room for all the others, however many events come.
            () = until(due) => {
                let made = items::make(containers, config, &host);
                change = Change::None;
                publisher.publish(out, made, urgent).await?;
                backoff.reset();
            }
            event = next(&mut events) => {
                let event = event.map_err(End::Failed)?;
                change = change.max(containers.heard(&event, Instant::now()));
            }
            Some((id, found)) = looks.next() => match found {
                Ok(found) => change = change.max(containers.answered(&id, Some(Container::from_inspection(found)), Instant::now())),
                Err(Failure::Missing) => change = change.max(containers.answered(&id, None, Instant::now())),
                Err(Failure::Other(error)) => {
                    tracing::debug!(providerName = NAME, container = id, error, "a container cannot be looked at");
                    containers.unanswered(&id);
                    resync.look_failed(Instant::now());
                }
            },
            all = ready(&mut listing) => {
                listing = None;
                let all = all.map_err(End::Failed)?;
                change = change.max(containers.listed(all, Instant::now()));
                if !resync.begun() {
                    // A first document is due whatever is found.
                    change = change.max(Change::Later);
                }
                resync.listed(Instant::now());
            }
            () = until(containers.next_expiry()) => change = change.max(containers.expire(Instant::now())),
            () = until(resync.due()) => {}
        }
    }
}

async fn look(client: &Client, id: String) -> (String, Result<Inspected, Failure>) {
    let safe: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    let found = client.json(&format!("/containers/{safe}/json")).await;
    (id, found)
}

/// All containers. What lists of Podman leave out is asked for one by one.
async fn list(client: &Client, each: bool) -> Result<Vec<Container>, String> {
    let listed: Vec<Listed> = client.json("/containers/json?all=1").await.map_err(Failure::text)?;
    if !each {
        return Ok(listed.into_iter().filter(|c| !c.id.is_empty()).map(Container::from_list).collect());
    }
    let mut looks = futures_util::stream::iter(listed.into_iter().map(|c| look(client, c.id))).buffer_unordered(LOOKS);
    let mut all = Vec::new();
    while let Some((_, found)) = looks.next().await {
        match found {
            Ok(found) => all.push(Container::from_inspection(found)),
            Err(Failure::Missing) => {}
            Err(Failure::Other(error)) => return Err(error),
        }
    }
    Ok(all)
}

async fn next(events: &mut Option<Events>) -> Result<Event, String> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

async fn ready<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
