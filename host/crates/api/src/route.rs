//! Paths below `/api/`, as they are escaped on the wire.

use percent_encoding::percent_decode_str;

/// Kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Router,
    Service,
    Middleware,
}

impl Kind {
    fn of(plural: &str) -> Option<Kind> {
        match plural {
            "routers" => Some(Kind::Router),
            "services" => Some(Kind::Service),
            "middlewares" => Some(Kind::Middleware),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Router => "router",
            Kind::Service => "service",
            Kind::Middleware => "middleware",
        }
    }
}

/// What is asked for; names are unescaped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Version,
    Overview,
    RawData,
    EntryPoints,
    EntryPoint(String),
    List(Kind),
    One(Kind, String),
    TcpList(Kind),
    TcpOne(Kind, String),
    /// Never of middlewares, here and below.
    UdpList(Kind),
    UdpOne(Kind, String),
    Certificates,
    /// By fingerprint.
    Certificate(String),
    Providers,
    Resolvers,
    Plugins,
    Plugin(String),
    Diagnostics,
}

/// `None` for what the API does not have.
pub(crate) fn find(path: &str) -> Option<Route> {
    let mut parts = path.split('/');
    let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
    if parts.contains(&Some("")) {
        return None;
    }
    let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    Some(match parts {
        [Some("version"), None, ..] => Route::Version,
        [Some("overview"), None, ..] => Route::Overview,
        [Some("rawdata"), None, ..] => Route::RawData,
        [Some("providers"), None, ..] => Route::Providers,
        [Some("certificatesResolvers"), None, ..] => Route::Resolvers,
        [Some("plugins"), None, ..] => Route::Plugins,
        [Some("plugins"), Some(name), None, _] => Route::Plugin(text(name)),
        [Some("diagnostics"), None, ..] => Route::Diagnostics,
        [Some("entrypoints"), None, ..] => Route::EntryPoints,
        [Some("entrypoints"), Some(name), None, _] => Route::EntryPoint(text(name)),
        [Some("certificates"), None, ..] => Route::Certificates,
        [Some("certificates"), Some(name), None, _] => Route::Certificate(text(name)),
        [Some("http"), Some(kind), None, _] => Route::List(Kind::of(kind)?),
        [Some("http"), Some(kind), Some(name), None] => Route::One(Kind::of(kind)?, text(name)),
        [Some("udp"), Some("middlewares"), ..] => return None,
        [Some("tcp"), Some(kind), None, _] => Route::TcpList(Kind::of(kind)?),
        [Some("tcp"), Some(kind), Some(name), None] => Route::TcpOne(Kind::of(kind)?, text(name)),
        [Some("udp"), Some(kind), None, _] => Route::UdpList(Kind::of(kind)?),
        [Some("udp"), Some(kind), Some(name), None] => Route::UdpOne(Kind::of(kind)?, text(name)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, route) in [
            ("version", Some(Route::Version)),
            ("version/", None),
            ("version/x", None),
            ("", None),
            ("x", None),
            ("http", None),
            ("http/tcp", None),
            ("http/routers", Some(Route::List(Kind::Router))),
            ("http/routers/", None),
            ("http/routers/na%20me%2Fx%40file", Some(Route::One(Kind::Router, "na me/x@file".into()))),
            ("http/routers/a%2540file", Some(Route::One(Kind::Router, "a%40file".into()))),
            ("http/routers/a/b", None),
            ("entrypoints/web", Some(Route::EntryPoint("web".into()))),
            ("tcp/middlewares", Some(Route::TcpList(Kind::Middleware))),
            ("tcp/middlewares/x", Some(Route::TcpOne(Kind::Middleware, "x".into()))),
            ("udp/services", Some(Route::UdpList(Kind::Service))),
            ("udp/middlewares", None),
            ("udp/middlewares/x", None),
            ("http/routers/a/b/c/d", None),
        ] {
            assert_eq!(find(path), route, "{path}");
        }
    }
}
