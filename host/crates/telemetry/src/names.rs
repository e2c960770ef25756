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

/// A metric family: name, what `# HELP` says, `counter`, `gauge` or `histogram`.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: "counter" }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: "gauge" }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: "histogram" }
}

/// The families of an entry point, a router or a service.
#[derive(Clone, Copy, Debug)]
pub struct ScopeFamilies {
    pub requests: Family,
    pub requests_tls: Family,
    pub duration: Family,
    pub received: Family,
    pub sent: Family,
}

// Names that begin with `traefik_` are Traefik's, with its labels, so that dashboards and alerts go on working.

pub const ENTRY_POINT_METRICS: ScopeFamilies = ScopeFamilies {
    requests: counter("traefik_entrypoint_requests_total", "HTTP requests that an entry point has answered."),
    requests_tls: counter("traefik_entrypoint_requests_tls_total", "HTTP requests over TLS to an entry point."),
    duration: histogram(
        "traefik_entrypoint_request_duration_seconds",
        "Time from a request's routing to the end of its response, at an entry point.",
    ),
    received: counter("traefik_entrypoint_requests_bytes_total", "Bytes of request bodies that were read at an entry point."),
    sent: counter("traefik_entrypoint_responses_bytes_total", "Bytes of response bodies that were sent at an entry point."),
};

pub const ROUTER_METRICS: ScopeFamilies = ScopeFamilies {
    requests: counter("traefik_router_requests_total", "HTTP requests that a router has answered."),
    requests_tls: counter("traefik_router_requests_tls_total", "HTTP requests over TLS to a router."),
    duration: histogram(
        "traefik_router_request_duration_seconds",
        "Time from a request's routing to the end of its response, of a router.",
    ),
    received: counter("traefik_router_requests_bytes_total", "Bytes of request bodies that were read for a router."),
    sent: counter("traefik_router_responses_bytes_total", "Bytes of response bodies that were sent for a router."),
};

pub const SERVICE_METRICS: ScopeFamilies = ScopeFamilies {
    requests: counter("traefik_service_requests_total", "HTTP requests that were sent to a server of a service, each try."),
    requests_tls: counter("traefik_service_requests_tls_total", "HTTP requests over TLS of clients that went to a service."),
    duration: histogram(
        "traefik_service_request_duration_seconds",
        "Time from the choice of a server to the end of its response, of a service.",
    ),
    received: counter("traefik_service_requests_bytes_total", "Bytes of request bodies that were sent to a service."),
    sent: counter("traefik_service_responses_bytes_total", "Bytes of response bodies that came from a service."),
};

pub const CONFIG_RELOADS: Family = counter("traefik_config_reloads_total", "Configurations that were applied.");
pub const CONFIG_LAST_RELOAD: Family =
    gauge("traefik_config_last_reload_success", "When a configuration was last applied, in seconds since 1970.");
/// OpenTelemetry's own names.
pub const HTTP_SERVER_DURATION: Family = histogram("http.server.request.duration", "Time of requests that were received.");
pub const HTTP_CLIENT_DURATION: Family = histogram("http.client.request.duration", "Time of requests to servers until they answered.");

pub const OPEN_CONNECTIONS: Family = gauge("traefik_open_connections", "Open connections of clients.");
pub const CERTS_NOT_AFTER: Family = gauge("traefik_tls_certs_not_after", "When a certificate stops being valid, in seconds since 1970.");
pub const SERVER_UP: Family = gauge("traefik_service_server_up", "Whether the health check has found a server of a service well: 1 or 0.");

/// Traefik has `traefik_service_retries_total`, but never counts there: a series of that name would be a surprise.
pub const SERVICE_RETRIES: Family = counter("torana_service_retries_total", "Requests that were sent to a service again.");
pub const BUILD: Family = gauge("torana_build_info", "Always 1; the labels say what is running.");
pub const SNAPSHOT_GENERATION: Family = gauge("torana_snapshot_generation", "Number of the configuration that is served.");

pub const PLUGIN_CALLS: Family = counter("torana_plugin_calls_total", "Calls of a plugin.");
pub const PLUGIN_DURATION: Family = histogram("torana_plugin_call_duration_seconds", "Time of calls of a plugin.");
pub const PLUGIN_TRAPS: Family = counter("torana_plugin_traps_total", "Calls of a plugin that ended in a trap, deadline hits among them.");
pub const PLUGIN_DEADLINES: Family =
    counter("torana_plugin_deadline_exceeded_total", "Calls of a plugin that took too long and were cut off.");
pub const PLUGIN_REFUSED: Family =
    counter("torana_plugin_refused_total", "Calls that no instance was free for, or that a plugin resting after traps did not get.");
pub const PLUGIN_MEMORY: Family = gauge("torana_plugin_memory_bytes", "Memory of the live instances of a plugin.");
pub const PLUGIN_INSTANCES: Family = gauge("torana_plugin_instances", "Live instances of a plugin.");
pub const PLUGIN_LOADS: Family = counter("torana_plugin_loads_total", "Versions of a plugin that were taken over, the first included.");
pub const PLUGIN_RELOAD_FAILURES: Family =
    counter("torana_plugin_reload_failures_total", "New files of a plugin that were refused; the version before goes on.");
pub const PLUGIN_INFO: Family = gauge("torana_plugin_info", "Always 1; the labels say which version of a plugin is in use.");
pub const PLUGIN_METRIC: Family = gauge("torana_plugin_metric", "Figures that a plugin keeps itself.");

pub const PROVIDER_CONNECTED: Family = gauge("torana_provider_connected", "1 while the source of a provider answers, else 0.");
pub const PROVIDER_CHANGES: Family = counter("torana_provider_changes_total", "Documents of a provider that differed from the one before.");
pub const PROVIDER_FAILURES: Family = counter("torana_provider_failures_total", "Tries to read the source of a provider that failed.");
pub const PROVIDER_LAST_CHANGE: Family =
    gauge("torana_provider_last_change_timestamp_seconds", "When a provider last delivered something else, in seconds since 1970.");
pub const PROVIDER_OBJECTS: Family = gauge("torana_provider_objects", "Objects in the source of a provider, by whether they were taken.");

pub const ACME_OBTAINED: Family = counter("torana_acme_obtained_total", "Certificates that a resolver obtained, renewals too.");
pub const ACME_FAILED: Family = counter("torana_acme_failed_total", "Tries of a resolver to obtain a certificate that failed.");
pub const ACME_FAILURES: Family =
    gauge("torana_acme_failures", "Tries in a row that failed for the names of one certificate; 0 when all is well.");
pub const ACME_ON_DEMAND_CERTIFICATES: Family =
    gauge("torana_acme_on_demand_certificates", "Certificates of a resolver that no router names: handshakes asked for them.");
pub const ACME_ON_DEMAND_PENDING: Family =
    gauge("torana_acme_on_demand_pending", "Names that a resolver asks about or orders because of a handshake.");
pub const ACME_ON_DEMAND: Family = counter(
    "torana_acme_on_demand_total",
    "Names that handshakes asked a certificate for, by what came of it: obtained, failed, or the option that refused.",
);

pub const PROCESS_CPU: Family = counter("process_cpu_seconds_total", "User and system time of the process.");
pub const PROCESS_OPEN_FDS: Family = gauge("process_open_fds", "Open file descriptors.");
pub const PROCESS_MAX_FDS: Family = gauge("process_max_fds", "File descriptors that may be open.");
pub const PROCESS_RESIDENT: Family = gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.");
pub const PROCESS_VIRTUAL: Family = gauge("process_virtual_memory_bytes", "Address space of the process.");
pub const PROCESS_VIRTUAL_MAX: Family = gauge("process_virtual_memory_max_bytes", "Address space that the process may have.");
pub const PROCESS_START: Family = gauge("process_start_time_seconds", "When the process began, in seconds since 1970.");
pub const PROCESS_RECEIVED: Family =
    counter("process_network_receive_bytes_total", "Bytes received on all interfaces that the process sees.");
pub const PROCESS_SENT: Family = counter("process_network_transmit_bytes_total", "Bytes sent on all interfaces that the process sees.");
pub const ACCESS_LOG_LOST: Family = counter("torana_access_log_lost_lines_total", "Lines of the access log that could not be written.");
pub const PROCESS_THREADS: Family = gauge("torana_process_threads", "Threads of the process.");

/// Labels.
pub mod label {
    pub const CODE: &str = "code";
    pub const METHOD: &str = "method";
    pub const PROTOCOL: &str = "protocol";
    pub const ENTRY_POINT: &str = "entrypoint";
    pub const ROUTER: &str = "router";
    pub const SERVICE: &str = "service";
    pub const URL: &str = "url";
    pub const TLS_VERSION: &str = "tls_version";
    pub const TLS_CIPHER: &str = "tls_cipher";
    pub const CN: &str = "cn";
    pub const SERIAL: &str = "serial";
    pub const SANS: &str = "sans";
    pub const PLUGIN: &str = "plugin";
    pub const VERSION: &str = "version";
    pub const HOOK: &str = "hook";
    pub const KIND: &str = "kind";
    pub const DIGEST: &str = "digest";
    pub const RESOLVER: &str = "resolver";
    pub const DOMAINS: &str = "domains";
    pub const STATE: &str = "state";
    pub const OUTCOME: &str = "outcome";
    pub const NAME: &str = "name";
    pub const PROVIDER: &str = "provider";
}
