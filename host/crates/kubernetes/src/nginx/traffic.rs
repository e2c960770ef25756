//! Annotations about how much, how often and from where.

use super::annotations::Annotations;
use super::chain::Part;
use super::options::Options;
use serde_json::{Value as Json, json};

type Warnings = Vec<(&'static str, String)>;

/// What nginx allows in files for one response, where nothing is said.
const TEMP_FILE: i64 = 1 << 30;

/// `on` is on, all else is off.
fn switch(a: &Annotations, name: &str, default: bool) -> bool {
    a.text(name).map_or(default, |t| t == "on")
}

pub(super) fn buffering(options: &Options, a: &Annotations, warnings: &mut Warnings) -> Option<Part> {
    let config = &options.config;
    let request = switch(a, "proxy-request-buffering", config.proxy_request_buffering);
    let response = switch(a, "proxy-buffering", config.proxy_buffering);
    if !request && !response {
        return None;
    }
    let mut made = json!({
        "memRequestBodyBytes": config.client_body_buffer_size,
        "maxRequestBodyBytes": config.proxy_body_size,
        "memResponseBodyBytes": config.proxy_buffer_size.saturating_mul(config.proxy_buffers_number),
    });
    if request {
        made["memRequestBodyBytes"] = size(a, "client-body-buffer-size", config.client_body_buffer_size, warnings).into();
        made["maxRequestBodyBytes"] = size(a, "proxy-body-size", config.proxy_body_size, warnings).into();
    } else {
        made["disableRequestBuffer"] = true.into();
    }
    if response {
        let buffer = size(a, "proxy-buffer-size", config.proxy_buffer_size, warnings);
        let memory = buffer.saturating_mul(a.number("proxy-buffers-number").unwrap_or(config.proxy_buffers_number));
        let file = size(a, "proxy-max-temp-file-size", TEMP_FILE, warnings);
        made["memResponseBodyBytes"] = memory.into();
        made["maxResponseBodyBytes"] = memory.saturating_add(file).into();
    } else {
        made["disableResponseBuffer"] = true.into();
    }
    Some(Part::new("buffering", "buffering", made))
}

/// A size as nginx writes it, or the default with a warning.
fn size(a: &Annotations, name: &'static str, default: i64, warnings: &mut Warnings) -> i64 {
    let Some(text) = a.filled(name) else { return default };
    bytes(text).unwrap_or_else(|| {
        warnings.push((name, format!("`{text}` is no size such as 8k, 2m or 1g: it is {default} bytes")));
        default
    })
}

/// `8k` as bytes; `None` for what is no size.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, unit) = match text.char_indices().last()? {
        (i, 'b') => (&text[..i], 1),
        (i, 'k') => (&text[..i], 1 << 10),
        (i, 'm') => (&text[..i], 1 << 20),
        (i, 'g') => (&text[..i], 1 << 30),
        _ => (text.as_str(), 1),
    };
    let digits = digits.trim_end();
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())??;
    number.checked_mul(unit)
}

pub(super) fn sources(options: &Options, a: &Annotations) -> Option<Part> {
    let list = a.text("allowlist-source-range").or(a.text("whitelist-source-range")).filter(|l| !l.is_empty())?;
    let ranges: Vec<&str> = list.split(',').map(str::trim).collect();
    let mut config = json!({ "sourceRange": ranges });
    if let Some(strategy) = &options.config.ip_allow_list_strategy {
        config["ipStrategy"] = serde_json::to_value(strategy).unwrap_or_default();
    }
    Some(Part::new("allowed-source-range", "ipAllowList", config))
}

/// `limit-rpm` and `limit-rps`.
pub(super) fn rate(a: &Annotations, name: &'static str, period: &str) -> Option<Part> {
    let average = a.number(name).filter(|n| *n > 0)?;
    let burst = a.number("limit-burst-multiplier").filter(|m| *m >= 1).unwrap_or(5);
    Some(Part::new(name, "rateLimit", json!({"average": average, "period": period, "burst": average.saturating_mul(burst)})))
}

pub(super) fn connections(a: &Annotations) -> Option<Part> {
    let amount = a.number("limit-connections").filter(|n| *n > 0)?;
    Some(Part::new("limit-connections", "inFlightReq", json!({"amount": amount, "sourceCriterion": {"ipStrategy": {}}})))
}

/// `proxy-next-upstream`. Tries without a number are one for each of the `servers`.
pub(super) fn retry(options: &Options, a: &Annotations, servers: usize, warnings: &mut Warnings) -> Option<Part> {
    let config = &options.config;
    let tries = a.number("proxy-next-upstream-tries").unwrap_or(config.proxy_next_upstream_tries);
    let conditions: Vec<&str> = a.text("proxy-next-upstream").unwrap_or(&config.proxy_next_upstream).split_whitespace().collect();
    let attempts = if tries == 0 { i64::try_from(servers).unwrap_or(i64::MAX) } else { tries };
    if conditions.is_empty() || conditions.contains(&"off") || attempts <= 0 {
        return None;
    }
    let known = |c: &str| matches!(c, "error" | "timeout" | "non_idempotent") || c.starts_with("http_");
    for other in conditions.iter().filter(|c| !known(c)) {
        warnings.push((
            "proxy-next-upstream",
            format!("`{other}` means nothing: there are error, timeout, http_<status>, non_idempotent and off"),
        ));
    }
    let status: Vec<&str> = conditions.iter().filter_map(|c| c.strip_prefix("http_")).collect();
    let limit = match size(a, "proxy-body-size", config.proxy_body_size, warnings) {
        // What has been sent to a server already and stands nowhere cannot be sent again.
        _ if !status.is_empty() && !switch(a, "proxy-request-buffering", config.proxy_request_buffering) => 0,
        0 => -1,
        n => n,
    };
    let mut made = json!({"attempts": attempts, "maxRequestBodyBytes": limit});
    let mut set = |key: &str, value: Json| made[key] = value;
    if !status.is_empty() {
        set("status", json!(status));
    }
    if !conditions.contains(&"error") && !conditions.contains(&"timeout") {
        set("disableRetryOnNetworkError", true.into());
    }
    if conditions.contains(&"non_idempotent") {
        set("retryNonIdempotentMethod", true.into());
    }
    let timeout = a.number("proxy-next-upstream-timeout").unwrap_or(config.proxy_next_upstream_timeout);
    if timeout > 0 {
        set("timeout", format!("{timeout}s").into());
    }
    Some(Part::new("retry", "retry", made))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_of_nginx() {
        for (text, size) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("7B", Some(7)),
            ("8k", Some(8192)),
            (" 2 K ", Some(2048)),
            ("3M", Some(3 << 20)),
            ("1g", Some(1 << 30)),
            ("", None),
            ("k", None),
            ("x", None),
            ("-1", None),
            ("1kb", None),
            ("1.5k", None),
            ("99999999999999999999", None),
            ("9999999999g", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }
}
