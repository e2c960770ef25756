use super::*;
use crate::access_log::fields::FieldOptions;
use crate::access_log::{Origin, OriginAnswer, Tls, Trace};
use http::{HeaderValue, Method};
use std::time::UNIX_EPOCH;

fn lines(format: Format, options: &FieldOptions) -> Lines {
    Lines { format, fields: Fields::new(options), zone: TimeZone::UTC }
}

fn headers_of(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
    pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_bytes(v).unwrap())).collect()
}

fn entry<'a>(method: &'a Method, headers: &'a HeaderMap) -> Entry<'a> {
    Entry {
        started: UNIX_EPOCH + Duration::new(1_767_366_245, 120_000_000),
        took: Duration::from_micros(1_500),
        count: 7,
        entry_point: "web",
        client: "10.0.0.1:999".parse().unwrap(),
        forwarded_for: None,
        user: None,
        method,
        version: Version::HTTP_11,
        host: "h.test:8080",
        path: "/a",
        query: Some("q=\"<1>"),
        tls: None,
        router: Some("r@file"),
        origin: Some(Origin {
            service: "s@file",
            url: "http://b:1",
            address: "b:1",
            answer: Some(OriginAnswer { status: 200, size: 20, took: Duration::from_micros(1_000) }),
        }),
        status: 200,
        received: 3,
        sent: 5,
        retries: 0,
        trace: None,
        request: headers,
        response: headers,
    }
}

fn line(lines: &Lines, entry: &Entry<'_>) -> String {
    let mut line = Vec::new();
    lines.write(entry, &mut line);
    String::from_utf8_lossy(&line).into_owned()
}

#[test]
fn common() {
    let headers = headers_of(&[("referer", b"r \"x\" \\"), ("user-agent", b"\xe9")]);
    let full = lines(Format::Common, &FieldOptions::default());
    assert_eq!(
        line(&full, &entry(&Method::GET, &headers)),
        "10.0.0.1 - - [02/Jan/2026:15:04:05 +0000] \"GET /a?q=\"<1> HTTP/1.1\" 200 5 \"r \\\"x\\\" \\\" \"\u{fffd}\" 7 \"r@file\" \"http://b:1\" 1ms\n"
    );
    let none = HeaderMap::new();
    let bare = Entry { router: None, origin: None, query: None, user: Some(""), ..entry(&Method::GET, &none) };
    assert_eq!(line(&full, &bare), "10.0.0.1 - - [02/Jan/2026:15:04:05 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\" 7 \"-\" \"-\" 1ms\n");
    let dropped = lines(Format::Common, &FieldOptions { default_mode: "drop".into(), ..FieldOptions::default() });
    assert_eq!(line(&dropped, &bare), "- - - [-] \"- - -\" - - \"-\" \"-\" - \"-\" \"-\" 0ms\n");
}

#[test]
fn nobody_begins_a_line_of_the_common_format() {
    let none = HeaderMap::new();
    let evil = Entry { user: Some("a\nb\x1b[m"), ..entry(&Method::GET, &none) };
    let written = line(&lines(Format::Generic, &FieldOptions::default()), &evil);
    assert_eq!(written, "10.0.0.1 - a\\x0ab\\x1b[m [02/Jan/2026:15:04:05 +0000] \"GET /a?q=\"<1> HTTP/1.1\" 200 5 \"-\" \"-\"\n");
}

#[test]
fn json() {
    let mut headers = headers_of(&[("x-two", b"a\tb"), ("content-type", b""), ("x_one", b"\xff")]);
    headers.append("x-two", HeaderValue::from_static("c"));
    let e = Entry {
        tls: Some(Tls { version: "1.3", cipher: "TLS_X", subject: Some("CN=a") }),
        forwarded_for: Some(b"1.2.3.4, 5.6.7.8"),
        user: Some("\u{1}\u{2028}"),
        version: Version::HTTP_2,
        ..entry(&Method::POST, &headers)
    };
    let kept = |prefix: &str| format!(r#""{prefix}Content-Type":"","{prefix}X-Two":"a\tb,c","{prefix}X_one":"\ufffd","#);
    let expected = [
        r#"{"ClientAddr":"10.0.0.1:999","ClientHost":"1.2.3.4, 5.6.7.8","ClientPort":"999","ClientUsername":"\u0001\u2028","#,
        r#""DownstreamContentSize":5,"DownstreamStatus":200,"Duration":1500000,"GzipRatio":4,"OriginContentSize":20,"#,
        r#""OriginDuration":1000000,"OriginStatus":200,"Overhead":500000,"RequestAddr":"h.test:8080","RequestContentSize":3,"#,
        r#""RequestCount":7,"RequestHost":"h.test","RequestMethod":"POST","RequestPath":"/a?q=\"\u003c1\u003e","RequestPort":"8080","#,
        r#""RequestProtocol":"HTTP/2.0","RequestScheme":"https","RetryAttempts":0,"RouterName":"r@file","ServiceAddr":"b:1","#,
        r#""ServiceName":"s@file","ServiceURL":"http://b:1","StartLocal":"2026-01-02T15:04:05.12Z","StartUTC":"2026-01-02T15:04:05.12Z","#,
        r#""TLSCipher":"TLS_X","TLSClientSubject":"CN=a","TLSVersion":"1.3","#,
        &kept("downstream_"),
        r#""entryPointName":"web","level":"info","msg":"","#,
        &kept("origin_"),
        &kept("request_"),
        r#""time":"2026-01-02T15:04:05Z"}"#,
        "\n",
    ];
    assert_eq!(line(&lines(Format::Json, &FieldOptions::default()), &e), expected.concat());
}

#[test]
fn traces_are_told_in_json_alone() {
    let headers = headers_of(&[("x-one", b"1")]);
    let mut id = [0; 16];
    (id[0], id[15]) = (0x0a, 0xff);
    let e = Entry { trace: Some(Trace { id, span: [0, 0, 0, 0, 0, 0, 0, 0xb7], sampled: true }), ..entry(&Method::GET, &headers) };
    let (trace, span) = ("0a0000000000000000000000000000ff", "00000000000000b7");
    let written = line(&lines(Format::Json, &FieldOptions::default()), &e);
    for text in [
        format!(r#""ServiceURL":"http://b:1","SpanId":"{span}","StartLocal":""#),
        format!(r#""StartUTC":"2026-01-02T15:04:05.12Z","TraceId":"{trace}","downstream_X-One":"1","entryPointName":"web","level":"#),
        format!(r#""request_X-One":"1","span_id":"{span}","time":"2026-01-02T15:04:05Z","trace_id":"{trace}"}}"#),
    ] {
        assert!(written.contains(&text), "{text}: {written}");
    }
    let some = ["spanid", "TRACE_ID"].map(|name| (name.to_owned(), "drop".to_owned()));
    let written = line(&lines(Format::Json, &FieldOptions { names: some.into(), ..FieldOptions::default() }), &e);
    for (key, there) in [("SpanId", false), ("TraceId", true), ("span_id", true), ("trace_id", false)] {
        assert_eq!(written.contains(&format!(r#""{key}":"#)), there, "{key}: {written}");
    }
    assert!(written.ends_with("\"time\":\"2026-01-02T15:04:05Z\"}\n"), "{written}");
    for format in [Format::Common, Format::Generic] {
        let lines = lines(format, &FieldOptions::default());
        assert_eq!(line(&lines, &e), line(&lines, &entry(&Method::GET, &headers)));
    }
}

#[test]
fn json_without_a_server() {
    let none = HeaderMap::new();
    let options = FieldOptions { query_default_mode: "drop".into(), ..FieldOptions::default() };
    let mut e = Entry { router: None, origin: None, host: "", ..entry(&Method::GET, &none) };
    let written = line(&lines(Format::Json, &options), &e);
    for (text, there) in [
        (r#""OriginStatus":0"#, true),
        (r#""GzipRatio":0,"#, true),
        (r#""Overhead":1500000"#, true),
        (r#""RequestPath":"/a","#, true),
        ("RouterName", false),
        ("Service", false),
        ("RequestAddr", false),
        ("RequestPort", false),
        ("TLS", false),
        ("origin_", false),
    ] {
        assert_eq!(written.contains(text), there, "{text}: {written}");
    }
    e.sent = 0;
    assert!(!line(&lines(Format::Json, &options), &e).contains("GzipRatio"));
}

#[test]
fn hosts_and_ports() {
    for (text, host, port) in [
        ("a", "a", "-"),
        ("a:1", "a", "1"),
        ("a:", "a", ""),
        ("[::1]:80", "::1", "80"),
        ("[::1]", "[::1]", "-"),
        ("::1", "::1", "-"),
        ("a:b", "a", "b"),
        ("1:2:3", "1:2:3", "-"),
    ] {
        assert_eq!(host_and_port(text), (host, port), "{text}");
    }
}

#[test]
fn a_record_has_the_line_and_the_kept_fields_with_their_types() {
    use crate::record::Severity;
    use torana_trace::Value::{Float, Int};
    let headers = headers_of(&[("user-agent", b"ua\xe9"), ("x-y", b"1"), ("x-y", b"2")]);
    let options = FieldOptions { names: [("RequestHost".to_owned(), "drop".to_owned())].into(), ..FieldOptions::default() };
    let lines = lines(Format::Generic, &options);
    let trace = Trace { id: [1; 16], span: [2; 8], sampled: true };
    let e = Entry { trace: Some(trace), ..entry(&Method::GET, &headers) };
    let record = lines.record(&e);
    assert_eq!((record.at, record.observed), (e.started, e.started + e.took));
    assert_eq!((record.severity, record.level, record.trace), (Severity::Info, Some("info"), Some(trace)));
    assert_eq!(record.body, line(&lines, &e));
    let value = |name: &str| record.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    assert_eq!(value("Duration"), Some(Int(1_500_000)));
    assert_eq!(value("StartUTC"), Some(Int(1_767_366_245_120_000_000)));
    assert_eq!(value("GzipRatio"), Some(Float(4.0)));
    assert_eq!(value("RouterName"), Some("r@file".to_owned().into()));
    assert_eq!(value("RequestHost"), None);
    assert_eq!(value("request_X-Y"), Some("1,2".to_owned().into()));
    assert_eq!(value("origin_User-Agent"), Some("ua\u{fffd}".to_owned().into()));
    assert_eq!(value("downstream_X-Y"), Some("1,2".to_owned().into()));
    assert_eq!(value("trace_id"), Some("01".repeat(16).into()));
}
