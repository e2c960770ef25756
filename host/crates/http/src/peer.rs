use http::{HeaderMap, HeaderValue, StatusCode};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// Writes a 1xx response to the client at once (RFC 9110, 15.2).
pub type Interim = Rc<dyn Fn(StatusCode, &HeaderMap)>;

/// What the TLS handshake with the client settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The name that the client asked for, in lower case and without a dot at its end.
    pub sni: Option<String>,
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The suite as Go names it, such as `TLS_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// The client's chain as DER, its own certificate first; empty where it showed none.
    pub certificates: Vec<Vec<u8>>,
    /// The TLS options of the handshake. Requests for a router with others are misdirected.
    pub options: Arc<str>,
    /// Of all that they said then.
    pub options_digest: [u8; 32],
}

/// What is known about the client's connection; made once per connection.
pub struct Peer {
    /// The client, as PROXY protocol says where it is trusted.
    pub addr: SocketAddr,
    pub local: SocketAddr,
    /// `None` for a connection without TLS.
    pub tls: Option<Rc<TlsFacts>>,
    pub entry_point: Arc<str>,
    /// `addr.ip()` as a header value: `X-Real-Ip`, `X-Forwarded-For`.
    pub ip_value: HeaderValue,
    /// Whether its forwarding headers are believed.
    pub trusted: bool,
    /// How to send 1xx; `None` where the protocol or the client cannot take them. Set by the
    /// connection for the request being served; on HTTP/2 each stream has a `Peer` of its own.
    pub interim: RefCell<Option<Interim>>,
    /// A response could not be sent to its end.
    pub cut: Cell<bool>,
    pub attached: Attached,
}

/// What others keep for as long as the client's connection lives; all of its streams share it.
#[derive(Clone, Default)]
pub struct Attached(Rc<RefCell<Vec<Kept>>>);

/// An address of the owner's, and what it keeps.
type Kept = (usize, Rc<dyn Any>);

impl Attached {
    /// What is kept under an address of its owner's.
    pub fn get<T: 'static>(&self, key: usize) -> Option<Rc<T>> {
        self.0.borrow().iter().filter(|(k, _)| *k == key).find_map(|(_, kept)| kept.clone().downcast().ok())
    }

    /// Keeps a value, after those that are kept under the same key.
    pub fn keep<T: 'static>(&self, key: usize, value: Rc<T>) {
        self.0.borrow_mut().push((key, value));
    }
}

impl Peer {
    pub fn new(addr: SocketAddr, local: SocketAddr, tls: Option<Rc<TlsFacts>>, entry_point: Arc<str>, trusted: bool) -> Self {
        let addr = canonical(addr);
        let ip_value = HeaderValue::from_str(&addr.ip().to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Peer {
            addr,
            local: canonical(local),
            tls,
            entry_point,
            ip_value,
            trusted,
            interim: RefCell::new(None),
            cut: Cell::new(false),
            attached: Attached::default(),
        }
    }

    /// The same connection, for another stream of it.
    pub fn stream(&self, interim: Option<Interim>) -> Self {
        Peer {
            addr: self.addr,
            local: self.local,
            tls: self.tls.clone(),
            entry_point: self.entry_point.clone(),
            ip_value: self.ip_value.clone(),
            trusted: self.trusted,
            interim: RefCell::new(interim),
            cut: Cell::new(false),
            attached: self.attached.clone(),
        }
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub fn ip(&self) -> IpAddr {
        self.addr.ip()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.addr, self.local, self.entry_point)
    }
}

/// An IPv4 address that came through an IPv6 socket is an IPv4 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
