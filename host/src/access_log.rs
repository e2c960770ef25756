//! `accessLog`, made of what is configured.

use std::path::PathBuf;
use std::sync::Arc;
use torana_base::{Diagnostic, NoStatusRange, StatusRanges};
use torana_config::install::{AccessLogConfig, AccessLogFiltersConfig, InstallConfig};
use torana_telemetry::Records;
use torana_telemetry::access_log::{AccessLog, AccessLogHandle, FieldOptions, Filter, Format, Options};

/// What is wrong and does not keep the gateway from starting, as in Traefik.
fn doubts(config: &AccessLogConfig) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if Format::parse(&config.format).is_none() {
        let text = format!("there is no access log format `{}`: `common` is written", config.format);
        found.push(Diagnostic::error("accessLog.format", text).hint("write common, genericCLF or json"));
    }
    let Some(filters) = &config.filters else { return found };
    if let Err(e) = StatusRanges::parse(&codes(filters)) {
        let text = format!("{e}: none of the codes filters");
        found.push(Diagnostic::error(format!("accessLog.filters.statusCodes[{}]", e.index), text).hint(NoStatusRange::HINT));
    }
    if filters.retry_attempts && !config.count_retries {
        let text = "no request is ever taken for a retried one: Traefik does not count tries, and so Torana does not unless asked to";
        found.push(Diagnostic::warning("accessLog.filters.retryAttempts", text).hint("add `accessLog.countRetries: true`"));
    }
    found
}

fn codes(filters: &AccessLogFiltersConfig) -> Vec<String> {
    filters.status_codes.iter().map(|c| c.trim().to_owned()).collect()
}

fn options(config: &AccessLogConfig, workers: usize, records: Option<Arc<dyn Records>>) -> Options {
    let filter = config.filters.as_ref().map_or_else(Filter::default, |f| Filter {
        status: StatusRanges::parse(&codes(f)).unwrap_or_default(),
        retried: f.retry_attempts,
        min_nanos: f.min_duration.0,
    });
    let fields = &config.fields;
    Options {
        format: Format::parse(&config.format).unwrap_or_default(),
        file: (!config.file_path.is_empty()).then(|| PathBuf::from(&config.file_path)),
        filter,
        fields: FieldOptions {
            default_mode: fields.default_mode.clone(),
            names: fields.names.clone(),
            headers_default_mode: fields.headers.default_mode.clone(),
            headers: fields.headers.names.clone(),
            query_default_mode: fields.query_parameters.default_mode.clone(),
        },
        internals: config.add_internals,
        buffering: u64::try_from(config.buffering_size).unwrap_or(0),
        retries: config.count_retries,
        workers,
        // A collector that cannot be told takes nothing away from the file.
        silent: records.is_some() && !config.dual_output,
        records,
    }
}

/// Starts the access log, if there is one; `records` is told of each request too.
pub(crate) fn open(
    install: &InstallConfig,
    workers: usize,
    records: Option<Arc<dyn Records>>,
) -> Result<Option<(Arc<AccessLog>, AccessLogHandle)>, Diagnostic> {
    let Some(config) = &install.access_log else { return Ok(None) };
    for d in doubts(config) {
        let text = d.to_string().replace('\n', " ");
        if d.is_error() { tracing::error!("{text}") } else { tracing::warn!("{text}") }
    }
    AccessLog::open(options(config, workers, records)).map(Some).map_err(|e| {
        Diagnostic::error("accessLog.filePath", format!("cannot write the access log to `{}`: {e}", config.file_path))
            .hint("create the folder, or let torana's user write there")
    })
}

/// What `check` says of it.
pub(crate) fn check(install: &InstallConfig) -> Vec<Diagnostic> {
    install.access_log.as_ref().map_or_else(Vec::new, doubts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(filters: AccessLogFiltersConfig) -> AccessLogConfig {
        AccessLogConfig { filters: Some(filters), ..AccessLogConfig::default() }
    }

    #[test]
    fn bad_options_are_named_and_do_nothing() {
        let bad = AccessLogConfig {
            format: "JSON".into(),
            ..config(AccessLogFiltersConfig { status_codes: vec!["200".into(), "x".into()], ..Default::default() })
        };
        let keys: Vec<String> = doubts(&bad).into_iter().map(|d| d.key).collect();
        assert_eq!(keys, ["accessLog.format", "accessLog.filters.statusCodes[1]"]);
        let options = options(&bad, 1, None);
        assert_eq!((options.format, options.filter), (Format::Common, Filter::default()));
    }

    #[test]
    fn codes_may_have_spaces_around_them() {
        let spaced = config(AccessLogFiltersConfig { status_codes: vec![" 404 ".into()], ..Default::default() });
        assert!(doubts(&spaced).is_empty() && options(&spaced, 1, None).filter.status.contains(404));
    }

    #[test]
    fn a_filter_by_tries_needs_them_counted() {
        let filter = AccessLogFiltersConfig { retry_attempts: true, ..Default::default() };
        assert_eq!(doubts(&config(filter.clone())).len(), 1);
        assert!(doubts(&AccessLogConfig { count_retries: true, ..config(filter) }).is_empty());
    }
}
