//! The log as a process starts it.

use torana_telemetry::log::{LogConfig, init};

#[test]
fn starts_once_and_tells_of_a_bad_level() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("torana.log");
    let config = LogConfig { level: "loud".into(), format: "json".into(), file_path: path.display().to_string(), ..Default::default() };
    let handle = init(&config, None).unwrap();
    tracing::warn!("not heard");
    tracing::error!("heard");
    handle.reopen().unwrap();
    assert!(init(&config, None).is_err(), "the second log of a process");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains(r#""logLevel":"loud""#) && lines[1].ends_with(r#""message":"heard"}"#), "{text}");
}
