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
//! The v2 syntax has the same grammar and matchers of its own ([`MATCHERS_V2`]); [`Syntax`] chooses.
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
mod syntax;
mod table;
mod tcp;
mod text;
mod v2;

pub use compile::{CompiledRule, compile};
pub use matcher::{Extra, HostKey, MATCHERS, Matcher, MatcherKind, Need, NoExtra, PathKey, matcher};
pub use parser::{MAX_DEPTH, parse};
pub use request::{RequestView, canonical_host, routing_path};
pub use rule::{Offset, Rule, RuleError};
pub use syntax::Syntax;
pub use table::{MAX_USER_PRIORITY, Route, RouteTable, default_priority};
pub use tcp::{
    ALPN_ACME, CompiledTcpRule, TCP_MATCHERS, TcpFacts, TcpMatcher, TcpRoute, TcpTable, canonical_sni, compile_tcp, parse_tcp, tcp_priority,
};
pub use v2::{MATCHERS_V2, TCP_MATCHERS_V2};
