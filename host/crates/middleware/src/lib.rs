//! The HTTP middlewares, a file each: configuration, runtime and tests. A new one is a file with
//! [`MiddlewareSpec`](torana_extend::MiddlewareSpec) and one word in the list below. Those of TCP connections
//! stand in [`tcp`].

mod expression;
mod frames;
mod go_regex;
mod go_url;
mod header_modifier;
mod ip_strategy;
mod media_type;
mod omit;
mod password;
mod random_key;
mod regex_replace;
mod source_criterion;
mod status_ranges;
pub mod tcp;
mod users;
mod when_done;

pub use ip_strategy::{IpStrategy, IpStrategyConfig};
pub use source_criterion::{Fallback, Source, SourceCriterionConfig, SourceKey};
pub use status_ranges::StatusRanges;

use torana_extend::MiddlewareKind;

macro_rules! middlewares {
    ($($module:ident::$spec:ident),* $(,)?) => {
        $(pub mod $module;)*
        /// Every kind that this crate knows, in the order of the list.
        pub const KINDS: &[MiddlewareKind] = &[$(MiddlewareKind::of::<$module::$spec>()),*];
    };
}

middlewares! {
    add_prefix::AddPrefix,
    app_root::AppRoot,
    auth_tls_pass_certificate_to_upstream::AuthTlsPassCertificateToUpstream,
    basic_auth::BasicAuth,
    buffering::Buffering,
    chain::Chain,
    circuit_breaker::CircuitBreaker,
    compress::Compress,
    grpc_web::GrpcWeb,
    content_type::ContentType,
    digest_auth::DigestAuth,
    encoded_characters::EncodedCharacters,
    errors::Errors,
    forward_auth::ForwardAuth,
    headers::Headers,
    in_flight_req::InFlightReq,
    ip_allow_list::IpAllowList,
    ip_white_list::IpWhiteList,
    pass_tls_client_cert::PassTlsClientCert,
    rate_limit::RateLimit,
    redirect_regex::RedirectRegex,
    redirect_scheme::RedirectScheme,
    replace_path::ReplacePath,
    replace_path_regex::ReplacePathRegex,
    request_header_modifier::RequestHeaderModifier,
    request_redirect::RequestRedirect,
    response_header_modifier::ResponseHeaderModifier,
    retry::Retry,
    rewrite_target::RewriteTarget,
    snippet::Snippet,
    strip_prefix::StripPrefix,
    strip_prefix_regex::StripPrefixRegex,
    upstream_vhost::UpstreamVHost,
    url_rewrite::UrlRewrite,
}

/// The kind that is spelled `name`; case does not matter, as everywhere in a configuration.
pub fn kind(name: &str) -> Option<&'static MiddlewareKind> {
    KINDS.iter().find(|k| k.name == name).or_else(|| KINDS.iter().find(|k| k.name.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod compliance;
#[cfg(test)]
mod testing;
