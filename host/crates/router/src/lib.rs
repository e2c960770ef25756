//! Rules and the table of routes: from the text of a rule to "which route serves this request".
//!
//! ```text
//! text --parse--> Rule --compile--> CompiledRule --RouteTable::new--> RouteTable --find--> &T
//! ```
//!
//! Grammar and meaning are those of Traefik v3.7 rules; where its documentation is silent the behaviour
//! of the 3.7.15 binary was observed and is pinned by the tables in `tests/`. No I/O, no async, and no
//! input of any kind makes it panic.
//!
//! TCP rules have the same grammar and algebra, matchers of their own ([`TCP_MATCHERS`]) and a table of their
//! own ([`TcpTable`]).
//!
//! To add a matcher, add one entry to [`MATCHERS`].

mod compile;
mod index;
mod lexer;
mod matcher;
mod parser;
mod regexp;
mod request;
mod rule;
mod table;
mod tcp;
mod text;

pub use compile::{CompiledRule, compile, compile_with};
pub use matcher::{Extra, HostKey, MATCHERS, Matcher, MatcherKind, Need, NoExtra, PathKey, matcher};
pub use parser::{MAX_DEPTH, parse, parse_with};
pub use request::{RequestView, canonical_host, routing_path};
pub use rule::{Offset, Rule, RuleError};
pub use table::{MAX_USER_PRIORITY, Route, RouteTable, default_priority};
pub use tcp::{
    ALPN_ACME, CompiledTcpRule, TCP_MATCHERS, TcpFacts, TcpMatcher, TcpRoute, TcpTable, canonical_sni, compile_tcp, parse_tcp, tcp_priority,
};
