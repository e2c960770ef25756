//! What changes headers: `more_set_headers` and its like, and `expires`.

use super::directive::header;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::time::Duration;
use torana_http::respond::{date_before, date_in};
use torana_http::variables::{Template, Values};

/// `-s`, `-t`, `-a` and `-r`.
#[derive(Debug, Default)]
struct Flags {
    statuses: Vec<u16>,
    types: Vec<String>,
    append: bool,
    only_existing: bool,
}

impl Flags {
    /// The flags among some parameters, and the other ones.
    fn read(parameters: &[String], response: bool) -> Result<(Flags, Vec<&str>), String> {
        let mut flags = Flags::default();
        let mut rest = Vec::new();
        let mut all = parameters.iter();
        while let Some(p) = all.next() {
            match p.as_str() {
                "-s" if !response => return Err("`-s` is for headers of responses".into()),
                "-s" => {
                    let codes = all.next().map_or("", String::as_str).split_whitespace();
                    flags.statuses.extend(codes.filter_map(|c| c.parse::<u16>().ok().filter(|c| *c > 0)));
                }
                "-t" => flags.types.extend(all.next().map_or("", String::as_str).split_whitespace().map(str::to_owned)),
                "-a" => flags.append = true,
                "-r" => flags.only_existing = true,
                other => rest.push(other),
            }
        }
        Ok((flags, rest))
    }

    /// Whether headers are meant that belong to this status; `None` for those of a request.
    fn fit(&self, headers: &HeaderMap, status: Option<StatusCode>) -> bool {
        let status = status.is_none_or(|s| self.statuses.is_empty() || self.statuses.contains(&s.as_u16()));
        status && (self.types.is_empty() || {
            let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let base = kind.split(';').next().unwrap_or_default().trim();
            self.types.iter().any(|t| t.eq_ignore_ascii_case(base))
        })
    }
}

/// `more_set_headers "Name: value"`.
#[derive(Debug)]
pub(super) struct SetHeaders {
    flags: Flags,
    /// `None` takes the header away.
    headers: Vec<(HeaderName, Option<Template>)>,
}

impl SetHeaders {
    pub(super) fn read(parameters: &[String], response: bool) -> Result<SetHeaders, String> {
        let (flags, rest) = Flags::read(parameters, response)?;
        if rest.is_empty() {
            return Err("a header belongs here, as `\"Name: value\"`".into());
        }
        let one = |text: &str| {
            let (name, value) = text.split_once(':').unwrap_or((text, ""));
            let value = value.trim();
            Ok((header(name.trim())?, (!value.is_empty()).then(|| Template::new(value))))
        };
        Ok(SetHeaders { flags, headers: rest.into_iter().map(one).collect::<Result<_, String>>()? })
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap, status: Option<StatusCode>, values: &Values<'_>) {
        if !self.flags.fit(headers, status) {
            return;
        }
        for (name, value) in &self.headers {
            let Some(value) = value else {
                headers.remove(name);
                continue;
            };
            if self.flags.only_existing && headers.get(name).is_none_or(HeaderValue::is_empty) {
                continue;
            }
            let Ok(value) = HeaderValue::try_from(value.fill(*values)) else { continue };
            if self.flags.append {
                headers.append(name.clone(), value);
            } else {
                headers.insert(name.clone(), value);
            }
        }
    }
}

/// `more_clear_headers Name Prefix-*`.
#[derive(Debug)]
pub(super) struct ClearHeaders {
    flags: Flags,
    names: Vec<HeaderName>,
    /// In lower case.
    prefixes: Vec<String>,
}

impl ClearHeaders {
    pub(super) fn read(parameters: &[String], response: bool) -> Result<ClearHeaders, String> {
        let (flags, rest) = Flags::read(parameters, response)?;
        if rest.is_empty() {
            return Err("the name of a header belongs here".into());
        }
        let mut clear = ClearHeaders { flags, names: Vec::new(), prefixes: Vec::new() };
        for name in rest {
            match name.strip_suffix('*') {
                Some("") => return Err("`*` alone would take all headers away".into()),
                Some(prefix) => clear.prefixes.push(prefix.to_ascii_lowercase()),
                None => clear.names.push(header(name)?),
            }
        }
        Ok(clear)
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap, status: Option<StatusCode>) {
        if !self.flags.fit(headers, status) {
            return;
        }
        for name in &self.names {
            headers.remove(name);
        }
        if !self.prefixes.is_empty() {
            let gone = |n: &&HeaderName| self.prefixes.iter().any(|p| n.as_str().starts_with(p.as_str()));
            let gone: Vec<HeaderName> = headers.keys().filter(gone).cloned().collect();
            for name in gone {
                headers.remove(name);
            }
        }
    }
}

/// `expires`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expires {
    Off,
    Epoch,
    Max,
    After(Duration),
    Before(Duration),
}

impl Expires {
    pub(super) fn read(text: &str) -> Result<Expires, String> {
        Ok(match text {
            "off" => Expires::Off,
            "epoch" => Expires::Epoch,
            "max" => Expires::Max,
            _ => match text.strip_prefix('-') {
                Some(text) => Expires::Before(duration(text)?),
                None => Expires::After(duration(text)?),
            },
        })
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let (at, control) = match self {
            Expires::Off => return,
            Expires::Epoch => ("Thu, 01 Jan 1970 00:00:01 GMT".to_owned(), "no-cache".to_owned()),
            Expires::Max => ("Thu, 31 Dec 2037 23:55:55 GMT".to_owned(), "max-age=315360000".to_owned()),
            Expires::After(d) => (date_in(*d), format!("max-age={}", d.as_secs())),
            Expires::Before(d) if d.is_zero() => (date_in(*d), "max-age=0".to_owned()),
            Expires::Before(d) => (date_before(*d), "no-cache".to_owned()),
        };
        for (name, text) in [(EXPIRES, at), (CACHE_CONTROL, control)] {
            headers.extend(HeaderValue::try_from(text).ok().map(|v| (name, v)));
        }
    }
}

/// `30s`, `5m`, `24h`, `1h30m`, `7d`, `1M`, `1y`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time such as 30s, 24h or 7d");
    let day = 86_400;
    let mut seconds: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let mut unit = rest[digits..].chars();
        let factor = match unit.next() {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => day,
            Some('w') => 7 * day,
            Some('M') => 30 * day,
            Some('y') => 365 * day,
            Some(_) => return Err(wrong()),
        };
        seconds = number.checked_mul(factor).and_then(|s| seconds.checked_add(s)).filter(|s| *s < 1 << 33).ok_or_else(wrong)?;
        rest = unit.as_str();
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let after = |s| Ok(Expires::After(Duration::from_secs(s)));
        for (text, expected) in [("30", after(30)), ("24h", after(86_400)), ("1h30m", after(5400)), ("1y", after(31_536_000)), ("0", after(0))] {
            assert_eq!(Expires::read(text), expected);
        }
        assert_eq!(Expires::read("-1"), Ok(Expires::Before(Duration::from_secs(1))));
        assert!(["", "-", "x", "5q", "99999999999999999999", "99999999999y"].iter().all(|t| Expires::read(t).is_err()));
    }
}
