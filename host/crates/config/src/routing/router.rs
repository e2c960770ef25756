use crate::install::{CoreConfig, RuleSyntax, TraceVerbosity, is_zero};
use serde::{Deserialize, Serialize};

/// `http.routers.<name>`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouterConfig {
    /// Empty for the default entry points.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry_points: Vec<String>,
    /// In the order in which requests meet them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub middlewares: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// `v2`, which is deprecated, or else v3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_syntax: Option<String>,
    /// 0 for the length of the rule.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i64,
    /// A router with it serves TLS alone, one without it none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RouterTlsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observability: Option<RouterObservabilityConfig>,
    /// Routers behind whose middlewares this one is matched; empty for one that entry points lead to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<String>,
    /// The rule is a provider's default one: what answers may be the gateway itself, so that a request that
    /// has been here is refused.
    #[serde(skip)]
    pub default_rule: bool,
}

impl RouterConfig {
    /// The syntax of its rule, as far as anything says so: its own, or else the gateway's, which is meant for rules
    /// that somebody wrote, and of those only for routers that entry points lead to.
    pub fn syntax<'a>(&'a self, provider: &str, core: &CoreConfig) -> &'a str {
        let made =
            self.default_rule || matches!(provider, "internal" | "kubernetes" | "kubernetesgateway" | "kubernetesingressnginx" | "knative");
        match self.rule_syntax.as_deref().unwrap_or_default() {
            "" if made || !self.parent_refs.is_empty() => "",
            "" => core.rule_syntax().map_or("", RuleSyntax::as_str),
            own => own,
        }
    }
}

/// `http.routers.<name>.tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouterTlsConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub options: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_resolver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainConfig>,
}

/// `http.routers.<name>.tls.domains[n]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DomainConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub main: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
}

/// `http.routers.<name>.observability`; `None` is what the entry point says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouterObservabilityConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_logs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_verbosity: Option<TraceVerbosity>,
}
