//! CNAME flattening (`hostResolver`): what the host of a request is an alias of, so that rules can be asked for that
//! name too.

use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a host without an alias is known to have none.
const NONE_FOR: Duration = Duration::from_secs(30 * 60);
/// The same, where nobody answered.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Hosts that a worker remembers.
const REMEMBERED: usize = 4096;
const CNAME: u16 = 5;

/// Follows the aliases of hosts.
#[derive(Clone, Debug)]
pub struct Flattening {
    /// Names the servers, in the form of resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// Aliases of aliases, at most.
    pub depth: u32,
    /// Of the servers: 53, but in tests.
    pub port: u16,
}

/// A name and how long it is good for.
type Remembered = (Rc<str>, Instant);

thread_local! {
    /// Of this worker.
    static KNOWN: RefCell<FxHashMap<String, Remembered>> = RefCell::default();
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
struct Alias {
    name: String,
    ttl: u32,
}

impl Flattening {
    /// The last alias of a canonical host, or the host itself where there is none.
    pub(crate) async fn flat(&self, host: &str) -> Rc<str> {
        let now = Instant::now();
        if let Some(name) = KNOWN.with_borrow(|k| k.get(host).filter(|(_, until)| *until > now).map(|(n, _)| n.clone())) {
            return name;
        }
        let (name, keep) = self.follow(host).await;
        let name: Rc<str> = name.into();
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= REMEMBERED {
                known.retain(|_, (_, until)| *until > now);
            }
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(host.to_owned(), (name.clone(), now + keep));
        });
        name
    }

    async fn follow(&self, host: &str) -> (String, Duration) {
        let mut name = host.to_owned();
        let mut keep = NONE_FOR;
        let servers = self.servers().await;
        for step in 0..self.depth {
            match self.alias(&servers, &name).await {
                Ok(Some(alias)) => {
                    // A name that may be kept for no time would be asked for with each request.
                    if step == 0 && alias.ttl > 0 {
                        keep = Duration::from_secs(alias.ttl.into());
                    }
                    name = alias.name;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, host = name, "no server answers for the aliases of this host");
                    keep = keep.min(UNKNOWN_FOR);
                    break;
                }
            }
        }
        (name, keep)
    }

    async fn servers(&self) -> Vec<SocketAddr> {
        let path = self.resolv_conf.clone();
        let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
        match text {
            Ok(Ok(text)) => servers(&text).map(|ip| SocketAddr::new(ip, self.port)).collect(),
            Ok(Err(error)) => {
                tracing::warn!(%error, file = %self.resolv_conf.display(), "cannot read `hostResolver.resolvConfig`");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// The first server that has an alias says it. An error only if no server answers.
    async fn alias(&self, servers: &[SocketAddr], host: &str) -> io::Result<Option<Alias>> {
        let Some(question) = question(host) else { return Ok(None) };
        let mut last = Err(io::Error::new(io::ErrorKind::NotFound, "there is no name server"));
        for server in servers {
            match timeout(PATIENCE, ask(*server, &question)).await {
                Ok(Ok(Some(alias))) => return Ok(Some(alias)),
                Ok(Ok(None)) => last = Ok(None),
                Ok(Err(error)) => last = last.or(Err(error)),
                Err(_) => last = last.or(Err(io::ErrorKind::TimedOut.into())),
            }
        }
        last
    }
}

/// The servers of a resolv.conf.
fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    let words = text.lines().map(str::split_whitespace);
    words.filter_map(|mut w| (w.next() == Some("nameserver")).then(|| w.next()?.parse().ok()).flatten())
}

/// A query for the alias of a host (RFC 1035, 4.1); `None` for what is no name.
fn question(host: &str) -> Option<Vec<u8>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.len() > 253 || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let id = fastrand::u16(..).to_be_bytes();
    // Recursion desired; one question.
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in host.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n))?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    // The end of the name; type CNAME, class IN.
    query.extend_from_slice(&[0, 0, 5, 0, 1]);
    Some(query)
}

async fn ask(server: SocketAddr, question: &[u8]) -> io::Result<Option<Alias>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = [0; 1500];
    loop {
        let length = socket.recv(&mut answer).await?;
        let answer = &answer[..length];
        // Nobody else's answer, and to this question.
        if answer.starts_with(&question[..2]) && answer.get(12..question.len()).is_some_and(|q| q.eq_ignore_ascii_case(&question[12..])) {
            return Ok(alias(answer, question.len()));
        }
    }
}

/// The alias in an answer, if its first record is one; `at` is where the records begin.
fn alias(answer: &[u8], at: usize) -> Option<Alias> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    if number(6)? == 0 {
        return None;
    }
    let (_, at) = name(answer, at)?;
    let ttl = u32::from(number(at + 4)?) << 16 | u32::from(number(at + 6)?);
    let (target, _) = name(answer, at + 10)?;
    (number(at)? == CNAME && !target.is_empty()).then(|| Alias { name: target.to_ascii_lowercase(), ttl })
}

/// The name that stands at a place, and where it ends there (RFC 1035, 4.1.4).
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut end = None;
    // Pointers may lead round in a circle: no name has this many parts.
    for _ in 0..128 {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            0xc0.. => {
                end = end.or(Some(at + 2));
                at = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            }
            1..=63 => {
                let label = std::str::from_utf8(message.get(at + 1..at + 1 + length)?).ok()?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(label);
                at += 1 + length;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let text =
            "# nameserver 1.1.1.1\nsearch a.test\nnameserver 10.0.0.1\n nameserver\tfd00::1 # x\nnameserver nobody\noptions ndots:2\n";
        assert_eq!(servers(text).collect::<Vec<_>>(), ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
    }

    #[test]
    fn only_names_are_asked_for() {
        for host in ["", ".", "10.0.0.1", "::1", "a..b", &"x".repeat(64), &"a.".repeat(130)] {
            assert_eq!(question(host), None, "{host}");
        }
        let asked = question("a.test.").unwrap();
        assert_eq!(&asked[2..], b"\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x05\0\x01");
    }

    /// An answer with one record that points back to the question.
    fn answer(question: &[u8], kind: u8, target: &[u8]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        message.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 1, 44, 0, target.len() as u8]);
        message.extend_from_slice(target);
        message
    }

    #[test]
    fn answers_are_read() {
        let asked = question("www.a.test").unwrap();
        let found = |kind, target: &[u8]| alias(&answer(&asked, kind, target), asked.len());
        assert_eq!(found(5, b"\x01X\xc0\x10"), Some(Alias { name: "x.a.test".into(), ttl: 300 }));
        assert_eq!(found(1, &[10, 0, 0, 1]), None);
        assert_eq!(found(5, b"\x3fshort"), None);
        // Round in a circle.
        assert_eq!(found(5, &[0xc0, asked.len() as u8 + 12]), None);
        let whole = answer(&asked, 5, b"\x01x\xc0\x10");
        (0..whole.len()).for_each(|cut| drop(alias(&whole[..cut], asked.len().min(cut))));
    }

    #[test]
    fn aliases_are_followed_and_remembered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let dir = std::env::temp_dir().join(format!("torana-flatten-{}", std::process::id()));
            std::fs::write(&dir, "nameserver 127.0.0.1\n").unwrap();
            let flattening = Flattening { resolv_conf: dir.clone(), depth: 2, port: server.local_addr().unwrap().port() };
            let serve = async {
                let mut asked = [0; 512];
                for target in [&b"\x01b\x04test\0"[..], b"\x01c\x04test\0"] {
                    let (n, from) = server.recv_from(&mut asked).await.unwrap();
                    server.send_to(b"noise", from).await.unwrap();
                    server.send_to(&answer(&asked[..n], 5, target), from).await.unwrap();
                }
            };
            let (first, ()) = tokio::join!(flattening.flat("a.test"), serve);
            assert_eq!(&*first, "c.test");
            // Nobody answers any more.
            assert_eq!(&*flattening.flat("a.test").await, "c.test");
            assert_eq!(&*flattening.flat("10.0.0.1").await, "10.0.0.1");
            std::fs::remove_file(dir).unwrap();
        });
    }
}
