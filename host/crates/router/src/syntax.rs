use crate::compile::{CompiledRule, compile_in};
use crate::matcher::{Extra, MATCHERS, MatcherKind, NoExtra};
use crate::parser::parse_in;
use crate::rule::{Rule, RuleError};
use crate::tcp::{CompiledTcpRule, TCP_MATCHERS, TcpMatcher, compile_tcp_in};
use crate::v2::{MATCHERS_V2, TCP_MATCHERS_V2};

/// Which matchers a rule may call; the grammar is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Syntax {
    #[default]
    V3,
    /// Of Traefik v2, deprecated there and here.
    V2,
}

impl Syntax {
    /// As `ruleSyntax` says it: `v2`; everything else is v3, as in Traefik.
    pub fn named(name: &str) -> Self {
        if name == "v2" { Syntax::V2 } else { Syntax::V3 }
    }

    /// Reads and builds an HTTP rule, with matchers beside the built-in ones.
    pub fn rule(self, text: &str, extra: &dyn Extra) -> Result<CompiledRule, RuleError> {
        let table = match self {
            Syntax::V3 => MATCHERS,
            Syntax::V2 => MATCHERS_V2,
        };
        compile_in(table, &parse_in(table, text, extra)?, extra)
    }

    /// Reads a TCP rule.
    pub fn parse_tcp(self, text: &str) -> Result<Rule, RuleError> {
        parse_in(self.tcp_matchers(), text, &NoExtra)
    }

    /// Builds a TCP rule.
    pub fn compile_tcp(self, rule: &Rule) -> Result<CompiledTcpRule, RuleError> {
        compile_tcp_in(self.tcp_matchers(), rule)
    }

    fn tcp_matchers(self) -> &'static [MatcherKind<TcpMatcher>] {
        match self {
            Syntax::V3 => TCP_MATCHERS,
            Syntax::V2 => TCP_MATCHERS_V2,
        }
    }
}
