use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use torana_config::routing::ServersTransportConfig;

/// One container, task, instance of a service or entry of a catalogue.
#[derive(Clone)]
pub struct Item {
    /// Unique; for messages, and for the order of merging: `container whoami-1 (3f2a9c)`.
    pub origin: String,
    /// What its service and router are called when labels name none, before `normalize`.
    pub service_name: String,
    /// What a default rule sees.
    pub template: TemplateFacts,
    /// All of them, keys as written.
    pub labels: Arc<BTreeMap<String, String>>,
    /// As constraints on tags see them; empty for sources with labels.
    pub tags: Vec<String>,
    pub state: ItemState,
    /// Where a server of it is reached. Called for each server that labels do not give the whole address of, on
    /// every build: it has to be quick.
    pub addresses: Addresses,
    /// Transport by name that its servers are reached with, over TLS: that of a service mesh.
    pub transport: Option<(String, Arc<ServersTransportConfig>)>,
}

/// Host and port for what is wanted, or why there are none.
pub type Addresses = Arc<dyn Fn(&AddressWanted<'_>) -> Result<(String, String), String> + Send + Sync>;

/// What the template of a default rule sees as `.Name`, `.ContainerName` and `.Labels`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateFacts {
    pub name: String,
    /// For containers; elsewhere there is no such field.
    pub container_name: Option<String>,
    /// In place of the labels of the item.
    pub labels: Option<Arc<BTreeMap<String, String>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemState {
    #[default]
    Up,
    /// Unhealthy, starting, draining: left out, or with empty services there but without a server.
    NotServing,
    /// There, but without a server, whatever the options say.
    Empty,
}

/// The server that an address is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressWanted<'a> {
    /// What `server.port` says, if anything.
    pub port_label: Option<&'a str>,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Tcp,
    Udp,
}

impl Item {
    /// An item that is up, with its own labels for templates.
    pub fn new(
        origin: impl Into<String>,
        service_name: impl Into<String>,
        labels: Arc<BTreeMap<String, String>>,
        addresses: Addresses,
    ) -> Item {
        let service_name = service_name.into();
        let template = TemplateFacts { name: service_name.clone(), container_name: None, labels: None };
        Item { origin: origin.into(), service_name, template, labels, tags: Vec::new(), state: ItemState::Up, addresses, transport: None }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("origin", &self.origin)
            .field("labels", &self.labels)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The value of a key of providers themselves, such as `enable` or `docker.network`, behind either prefix and
/// in any case; `torana.` wins.
pub fn setting<'a>(labels: &'a BTreeMap<String, String>, prefix: &str, name: &str) -> Option<&'a str> {
    let find = |prefix: &str| {
        labels
            .iter()
            .find(|(key, _)| key.strip_prefix(prefix).and_then(|k| k.strip_prefix('.')).is_some_and(|k| k.eq_ignore_ascii_case(name)))
    };
    find(torana_config::labels::OWN_PREFIX).or_else(|| find(prefix)).map(|(_, value)| value.as_str())
}
