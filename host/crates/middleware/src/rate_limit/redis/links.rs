//! The connections of one worker.

use super::Servers;
use super::connect::{Connection, told};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value, cmd};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// Nodes that a cluster may send us to for one command.
const MOST_HOPS: usize = 5;

pub(super) struct Links {
    servers: Arc<Servers>,
    nodes: RefCell<HashMap<String, Rc<Node>>>,
    /// Where a slot of a cluster is, as far as nodes have told.
    slots: RefCell<HashMap<u16, String>>,
}

/// Connections to one server. The locks are the worker's own: requests wait while one connects.
struct Node {
    links: Vec<Mutex<Slot>>,
    next: Cell<usize>,
}

#[derive(Default)]
struct Slot {
    connection: Option<Rc<Connection>>,
    /// How many there were, to tell them apart.
    number: u64,
    /// The last time that there was none to be had, and why.
    failed: Option<(Instant, String)>,
}

/// A server to ask.
struct Target {
    address: String,
    /// It is getting the key's slot, and answers those alone who say that they know.
    asking: bool,
}

/// What became of a command.
enum Failed {
    Unreachable(String),
    /// The connection broke, or the answer did not come in time; `true`: it was an old one.
    Lost(String, bool),
    Refused(RedisError),
}

impl Links {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        Links { servers, nodes: RefCell::default(), slots: RefCell::default() }
    }

    /// Sends a command that concerns one key, to wherever the key is. The error that a server gives is handed back.
    pub(super) async fn send(&self, key: &str, command: &Cmd) -> Result<Result<Value, RedisError>, String> {
        let slot = slot_of(key.as_bytes());
        let known = self.slots.borrow().get(&slot).cloned();
        let to = |address| Target { address, asking: false };
        let mut targets: Vec<Target> = known.into_iter().chain(self.servers.endpoints.iter().cloned()).rev().map(to).collect();
        let mut hops = 0;
        let mut why = String::from("no server is named");
        while let Some(target) = targets.pop() {
            match self.send_to(&target, command).await {
                Ok(value) => return Ok(Ok(value)),
                // A connection from before a restart of the server says nothing of the server.
                Err(Failed::Lost(_, true)) if hops < MOST_HOPS => {
                    hops += 1;
                    targets.push(target);
                }
                Err(Failed::Lost(e, _)) => return Err(e),
                Err(Failed::Unreachable(e)) => {
                    self.slots.borrow_mut().remove(&slot);
                    why = e;
                }
                Err(Failed::Refused(e)) => match e.redirect_node() {
                    Some((node, moved)) if hops < MOST_HOPS => {
                        hops += 1;
                        let address = beside(&target.address, node);
                        // While a slot moves, a key of it may be at its new place already, and the next one not yet.
                        let asking = e.kind() == ErrorKind::Ask;
                        if !asking {
                            self.slots.borrow_mut().insert(moved, address.clone());
                        }
                        targets.push(Target { address, asking });
                    }
                    _ => return Ok(Err(e)),
                },
            }
        }
        Err(why)
    }

    async fn send_to(&self, target: &Target, command: &Cmd) -> Result<Value, Failed> {
        let address = target.address.as_str();
        let node = self.node(address).await;
        let at = node.next.get();
        node.next.set((at + 1) % node.links.len());
        let link = &node.links[at];
        // Held until the answer is there: who waits for others on it is not cut off when a slot gives it up.
        let (connection, number, old) = self.connection(link, address).await.map_err(Failed::Unreachable)?;
        let mut commands = connection.commands.clone();
        let answer = ask(&mut commands, command, target.asking);
        let answer = match self.servers.patience {
            Some(patience) => tokio::time::timeout(patience, answer).await.map_err(|_| "no answer in time".to_owned()),
            None => Ok(answer.await),
        };
        let answer = answer.map(|value| value.and_then(Value::extract_error));
        let lost = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(e)) if !e.is_io_error() && !e.is_connection_dropped() => return Err(Failed::Refused(e)),
            Ok(Err(e)) => (told(&e), old),
            // It may be stuck: the server is not asked twice for what it may have done.
            Err(e) => (e, false),
        };
        let mut slot = link.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
        Err(Failed::Lost(format!("{address}: {}", lost.0), lost.1))
    }

    async fn node(&self, address: &str) -> Rc<Node> {
        if let Some(node) = self.nodes.borrow().get(address) {
            return node.clone();
        }
        let links = (0..self.servers.connections).map(|_| Mutex::default()).collect();
        let node = Rc::new(Node { links, next: Cell::new(0) });
        self.nodes.borrow_mut().insert(address.to_owned(), node.clone());
        for link in &node.links[..self.servers.early] {
            // Who needs it meets the error again; this one waits for one server that is away, not for each connection.
            if self.connection(link, address).await.is_err() {
                break;
            }
        }
        node
    }

    /// The connection of a link, its number, and whether it was there before.
    async fn connection(&self, link: &Mutex<Slot>, address: &str) -> Result<(Rc<Connection>, u64, bool), String> {
        let asked = Instant::now();
        let mut slot = link.lock().await;
        if let Some(connection) = slot.connection.as_ref().filter(|c| !c.is_over()) {
            return Ok((connection.clone(), slot.number, true));
        }
        // Who waited while another one failed has failed with it.
        if let Some((when, why)) = &slot.failed
            && *when >= asked
        {
            return Err(why.clone());
        }
        slot.connection = None;
        match Connection::open(&self.servers, address).await {
            Ok(connection) => {
                let connection = Rc::new(connection);
                slot.number += 1;
                slot.failed = None;
                slot.connection = Some(connection.clone());
                Ok((connection, slot.number, false))
            }
            Err(why) => {
                slot.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }
}

async fn ask(commands: &mut MultiplexedConnection, command: &Cmd, asking: bool) -> Result<Value, RedisError> {
    if !asking {
        return commands.req_packed_command(command).await;
    }
    // Sent as one: what others send on the connection does not come between the two.
    let mut both = Pipeline::with_capacity(2);
    both.add_command(cmd("ASKING")).add_command(command.clone());
    let mut answers = commands.req_packed_commands(&both, 1, 1).await?;
    Ok(answers.pop().unwrap_or(Value::Nil))
}

/// The address that a node has told; one that says no host is beside the one that told.
fn beside(teller: &str, told: &str) -> String {
    match (told.strip_prefix(':'), teller.rsplit_once(':')) {
        (Some(port), Some((host, _))) => format!("{host}:{port}"),
        _ => told.to_owned(),
    }
}

/// Slots that a cluster has.
const SLOTS: u16 = 16384;

/// The slot of a key: CRC16 (XMODEM) of the key, or of what stands in its first braces.
fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|b| *b == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|b| *b == b'}').filter(|close| *close > 0).map(|close| &rest[..close])
    });
    let mut crc = 0u16;
    for byte in tag.unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_nodes_tell() {
        for (told, address) in [("10.0.0.2:7000", "10.0.0.2:7000"), (":7000", "a:7000"), ("b:1", "b:1")] {
            assert_eq!(beside("a:6379", told), address);
        }
    }

    #[test]
    fn slots_of_keys() {
        // From the specification of Redis Cluster: 0x31c3 for this text.
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
    }
}
