//! Names of log fields, spelled as Traefik spells them so that existing queries go on working. In an event:
//! `tracing::warn!({ names::SERVICE } = name, "server is down")`, or the name itself.

/// Provider that a line is about, `file`.
pub const PROVIDER: &str = "providerName";

/// Router, `name@provider`.
pub const ROUTER: &str = "routerName";

/// Service, `name@provider`.
pub const SERVICE: &str = "serviceName";

/// Middleware, `name@provider`.
pub const MIDDLEWARE: &str = "middlewareName";

/// Entry point, as in `entryPoints.<name>`.
pub const ENTRY_POINT: &str = "entryPointName";

/// What went wrong. Stands before all other fields in text.
pub const ERROR: &str = "error";

/// URL of a server of a service.
pub const SERVER_URL: &str = "serverURL";

/// The text that is not a level, when `log.level` is none.
pub const LOG_LEVEL: &str = "logLevel";
