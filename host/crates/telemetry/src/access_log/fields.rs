//! Which fields and headers are written (`accessLog.fields`).

use http::{HeaderMap, HeaderName, HeaderValue};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $name:literal),* $(,)?) => {
        /// Fields that are no headers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field {
            $($(#[$doc])* $field),*
        }

        impl Field {
            pub(super) const ALL: [Field; [$($name),*].len()] = [$(Field::$field),*];

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name),*
                }
            }
        }
    };
}

// In the order of their names, as JSON has them.
fields! {
    ClientAddr = "ClientAddr",
    ClientHost = "ClientHost",
    ClientPort = "ClientPort",
    ClientUsername = "ClientUsername",
    DownstreamContentSize = "DownstreamContentSize",
    DownstreamStatus = "DownstreamStatus",
    Duration = "Duration",
    GzipRatio = "GzipRatio",
    OriginContentSize = "OriginContentSize",
    OriginDuration = "OriginDuration",
    OriginStatus = "OriginStatus",
    Overhead = "Overhead",
    RequestAddr = "RequestAddr",
    RequestContentSize = "RequestContentSize",
    RequestCount = "RequestCount",
    RequestHost = "RequestHost",
    RequestMethod = "RequestMethod",
    RequestPath = "RequestPath",
    RequestPort = "RequestPort",
    RequestProtocol = "RequestProtocol",
    RequestScheme = "RequestScheme",
    RetryAttempts = "RetryAttempts",
    RouterName = "RouterName",
    ServiceAddr = "ServiceAddr",
    ServiceName = "ServiceName",
    ServiceUrl = "ServiceURL",
    SpanId = "SpanId",
    StartLocal = "StartLocal",
    StartUtc = "StartUTC",
    TlsCipher = "TLSCipher",
    TlsClientSubject = "TLSClientSubject",
    TlsVersion = "TLSVersion",
    TraceId = "TraceId",
    EntryPointName = "entryPointName",
    /// `SpanId` by the name that OpenTelemetry has for it.
    OtelSpanId = "span_id",
    OtelTraceId = "trace_id",
}

/// `accessLog.fields`, as configured. Modes are `keep`, `drop` and, of headers, `redact`. A default that is none of
/// them keeps, and a mode of one name that is none of them is the default, as in Traefik.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOptions {
    pub default_mode: String,
    /// By name, in any case.
    pub names: BTreeMap<String, String>,
    pub headers_default_mode: String,
    /// By name, in any case.
    pub headers: BTreeMap<String, String>,
    /// `drop` leaves the query away.
    pub query_default_mode: String,
}

impl Default for FieldOptions {
    fn default() -> Self {
        FieldOptions {
            default_mode: "keep".into(),
            names: BTreeMap::new(),
            headers_default_mode: "drop".into(),
            headers: BTreeMap::new(),
            query_default_mode: "keep".into(),
        }
    }
}

const REDACTED: &str = "REDACTED";

/// What happens to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Keep,
    Drop,
    Redact,
}

impl Mode {
    fn parse(text: &str) -> Option<Mode> {
        match text {
            "keep" => Some(Mode::Keep),
            "drop" => Some(Mode::Drop),
            "redact" => Some(Mode::Redact),
            _ => None,
        }
    }
}

/// [`FieldOptions`], compiled.
#[derive(Debug)]
pub(super) struct Fields {
    /// One bit for each [`Field`].
    kept: u64,
    default: Mode,
    headers: FxHashMap<HeaderName, Mode>,
    pub(super) query: bool,
}

impl Fields {
    pub(super) fn new(options: &FieldOptions) -> Fields {
        let keeps = |mode: &str, otherwise| match mode {
            "keep" => true,
            "drop" => false,
            _ => otherwise,
        };
        let default = keeps(&options.default_mode, true);
        let mut kept = if default { u64::MAX } else { 0 };
        for (name, mode) in &options.names {
            if let Some(field) = Field::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(name)) {
                let bit = 1 << field as u64;
                kept = if keeps(mode, default) { kept | bit } else { kept & !bit };
            }
        }
        let default = Mode::parse(&options.headers_default_mode).unwrap_or(Mode::Keep);
        // A name that is none cannot be in a request.
        let mode = |(name, mode): (&String, &String)| Some((name.parse().ok()?, Mode::parse(mode).unwrap_or(default)));
        Fields { kept, default, headers: options.headers.iter().filter_map(mode).collect(), query: options.query_default_mode != "drop" }
    }

    pub(super) fn keeps(&self, field: Field) -> bool {
        self.kept & (1 << field as u64) != 0
    }

    fn mode(&self, name: &HeaderName) -> Mode {
        self.headers.get(name).copied().unwrap_or(self.default)
    }

    /// The value as it is written, if its header is.
    pub(super) fn shown(&self, name: &HeaderName, value: HeaderValue) -> HeaderValue {
        if self.mode(name) == Mode::Redact { HeaderValue::from_static(REDACTED) } else { value }
    }

    pub(super) fn keeps_header(&self, name: &HeaderName) -> bool {
        self.mode(name) != Mode::Drop
    }

    /// What of the headers is to be written, redacted where that is wanted.
    pub(super) fn kept(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::new();
        let mut copy = |name: &HeaderName, mode| match mode {
            Mode::Drop => {}
            Mode::Redact => _ = kept.insert(name, HeaderValue::from_static(REDACTED)),
            Mode::Keep => headers.get_all(name).iter().for_each(|v| _ = kept.append(name, v.clone())),
        };
        if self.default == Mode::Drop {
            self.headers.iter().filter(|(name, _)| headers.contains_key(*name)).for_each(|(name, mode)| copy(name, *mode));
        } else {
            headers.keys().for_each(|name| copy(name, self.mode(name)));
        }
        kept
    }

    /// Whether some header may be written.
    pub(super) fn wants_headers(&self) -> bool {
        self.default != Mode::Drop || self.headers.values().any(|m| *m != Mode::Drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn fields_stand_in_the_order_of_their_numbers_and_names() {
        assert!(Field::ALL.iter().enumerate().all(|(i, f)| *f as usize == i));
        assert!(Field::ALL.windows(2).all(|two| two[0].name() < two[1].name()));
    }

    #[test]
    fn modes_of_fields() {
        for (default, own, kept) in [
            ("keep", "", true),
            ("keep", "drop", false),
            ("drop", "keep", true),
            ("drop", "redact", false),
            ("nope", "nope", true),
            ("", "DROP", true),
            ("DROP", "", true),
        ] {
            let fields =
                Fields::new(&FieldOptions { default_mode: default.into(), names: map(&[("serviceurl", own)]), ..FieldOptions::default() });
            assert_eq!(fields.keeps(Field::ServiceUrl), kept, "{default} {own}");
            assert_eq!(fields.keeps(Field::RouterName), default != "drop", "{default}");
        }
    }

    #[test]
    fn modes_of_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-one", "1"), ("x-one", "2"), ("cookie", "c")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for (default, own, one, cookie) in [
            ("drop", "keep", 2, 0),
            ("drop", "redact", 1, 0),
            ("keep", "drop", 0, 1),
            ("keep", "nope", 2, 1),
            ("nope", "keep", 2, 1),
            ("KEEP", "KEEP", 2, 1),
            ("drop", "KEEP", 0, 0),
            ("redact", "keep", 2, 1),
        ] {
            let options = FieldOptions {
                headers_default_mode: default.into(),
                headers: map(&[("X-ONE", own), ("a b", "keep")]),
                ..FieldOptions::default()
            };
            let kept = Fields::new(&options).kept(&headers);
            assert_eq!((kept.get_all("x-one").iter().count(), kept.get_all("cookie").iter().count()), (one, cookie), "{default} {own}");
        }
        let redacted = Fields::new(&FieldOptions { headers_default_mode: "redact".into(), ..FieldOptions::default() }).kept(&headers);
        assert_eq!(
            (&redacted["x-one"], &redacted["cookie"]),
            (&HeaderValue::from_static("REDACTED"), &HeaderValue::from_static("REDACTED"))
        );
        assert!(!Fields::new(&FieldOptions::default()).wants_headers());
    }
}
