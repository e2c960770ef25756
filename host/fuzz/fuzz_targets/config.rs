//! Configuration: YAML, TOML and JSON as dynamic files (read whole, and again object by object), flags and
//! environment as install configuration. Nothing panics, and reading again what was read says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use torana_config::install::{self, Sources};
use torana_config::parse::{Format, parse};
use torana_config::routing::{Incremental, decode};

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let format = match kind % 5 {
        0 => Format::Yaml,
        1 => Format::Toml,
        2 => Format::Json,
        3 => {
            // No file of this machine is part of the experiment.
            let args = text.lines().filter(|l| !l.to_ascii_lowercase().contains("configfile")).map(str::to_owned).collect();
            let _ = install::load(&Sources { args, env: Vec::new(), cwd_lookup: false });
            return;
        }
        _ => {
            let env = text.lines().filter_map(|l| l.split_once('=')).filter(|(k, _)| !k.to_ascii_lowercase().contains("configfile"));
            let env = env.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            let _ = install::load(&Sources { args: Vec::new(), env, cwd_lookup: false });
            return;
        }
    };
    let _ = torana_config::parse::has_template(text);
    let plain = parse(text, format, "fuzz".into()).map(|node| decode(&node));
    let mut reader = Incremental::default();
    let first = reader.decode(text, format, "fuzz".into());
    let again = reader.decode(text, format, "fuzz".into());
    assert_eq!(plain.is_ok(), first.is_ok(), "reading whole and by object disagree");
    match (plain, first, again) {
        (Ok(p), Ok(f), Ok(a)) => {
            assert_eq!(p.value, f.value, "reading whole and by object differ");
            assert_eq!(f.value, a.value, "reading again differs");
            assert_eq!(f.diagnostics, a.diagnostics, "reading again complains otherwise");
        }
        (Err(_), Err(f), Err(a)) => assert_eq!(f, a, "reading again complains otherwise"),
        _ => panic!("reading again ends otherwise"),
    }
});
