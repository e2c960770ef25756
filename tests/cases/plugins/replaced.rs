//! Replaced while the gateway serves: at once, and in steps.

use super::{File, MIB, beside, one, says, soon, status};
use crate::harness::{Backend, Gateway, PATIENCE, eventually, guests, lock, within};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// `TORANA_TEST_REPLACEMENTS`: how many, 200 by default.
#[test]
fn replacements_under_traffic_fail_no_request() {
    let swaps = std::env::var("TORANA_TEST_REPLACEMENTS").map_or(200, |n| n.parse().expect("a number of replacements"));
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let versions = [guests.bytes("reload"), guests.second("reload")];
    let file = File::new(&versions[0]);
    let gateway = one(&backend.url(), file.declared_patient(), json!({}));
    eventually("the plugin serves", || (gateway.get("/m").text() == "version 1").then_some(()));

    let (stop, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (seen, failed) = (Mutex::new(BTreeMap::<String, usize>::new()), Mutex::new(Vec::<String>::new()));
    let begin = Instant::now();
    let (mut warm, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut c = gateway.connect();
                let mut mine = BTreeMap::<String, usize>::new();
                while !stop.load(Ordering::SeqCst) {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let sent = c.try_send(b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n").and_then(|()| c.try_response(false));
                    match sent {
                        Ok(Some(r)) if r.status == 200 => *mine.entry(r.text().to_owned()).or_default() += 1,
                        other => {
                            lock(&failed).push(format!("{other:?}"));
                            c = gateway.connect();
                        }
                    }
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                for (version, n) in mine {
                    *lock(&seen).entry(version).or_default() += n;
                }
            });
        }
        // Nothing in here panics: the threads would go on for ever.
        let mut c = gateway.connect();
        for swap in 1..=swaps {
            let (bytes, wanted) = (&versions[swap % 2], format!("version {}", swap % 2 + 1));
            file.replace(bytes);
            let written = Instant::now();
            loop {
                if written.elapsed() > PATIENCE {
                    lock(&failed).push(format!("replacement {swap} is not live after {PATIENCE:?}"));
                    break;
                }
                _ = c.try_send(b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n");
                match c.try_response(false) {
                    Ok(Some(r)) if r.body == wanted.as_bytes() => break,
                    Ok(Some(r)) if r.status == 200 => std::thread::park_timeout(Duration::from_millis(2)),
                    other => {
                        lock(&failed).push(format!("{other:?}"));
                        break;
                    }
                }
            }
            slowest = slowest.max(written.elapsed());
            if swap == 20 {
                warm = gateway.rss();
            }
            if !lock(&failed).is_empty() {
                break;
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let took = begin.elapsed();
    let after = gateway.settled_rss();
    let (requests, seen) = (requests.load(Ordering::SeqCst), lock(&seen).clone());
    eprintln!(
        "{swaps} replacements in {took:?} (the slowest live after {slowest:?}), {requests} requests, {seen:?}; RSS {:.1} MiB after 20, {:.1} MiB after {swaps}",
        warm as f64 / MIB as f64,
        after as f64 / MIB as f64,
    );
    assert!(lock(&failed).is_empty(), "{:?}", lock(&failed));
    assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), ["version 1", "version 2"]);
    let shown = status(&gateway, "p");
    assert_eq!((&shown["loads"], &shown["loadFailures"]), (&json!(swaps + 1), &json!(0)), "{shown:#}");
    assert_eq!((&shown["status"], &shown["traps"], &shown["refused"]), (&json!("enabled"), &json!(0), &json!(0)), "{shown:#}");
    assert!(after < warm + 32 * MIB, "{warm} bytes grew to {after}");
}

/// Version 2 is live after `change`; prints how soon.
#[track_caller]
fn assert_live_soon(gateway: &Gateway, how: &str, version: u8, change: impl FnOnce()) {
    let mut c = gateway.connect();
    let begin = Instant::now();
    change();
    let wanted = format!("version {version}");
    within(soon(), &format!("{how} is live"), || {
        let r = c.get("a", "/m");
        assert_eq!(r.status, 200, "{r:?}");
        (r.text() == wanted).then_some(())
    });
    let took = begin.elapsed();
    eprintln!("{how}: live after {took:?}");
    assert!(took < soon(), "{how}: live after {took:?}");
}

#[test]
fn a_rewritten_plugin_is_live_within_a_second() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let second = guests.second("reload");
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    assert_live_soon(&gateway, "a rewrite", 2, || fs::write(file.path(), &second).unwrap());
}

#[test]
fn a_renamed_plugin_is_live_within_a_second() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let second = guests.second("reload");
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    assert_live_soon(&gateway, "a rename", 2, || file.replace(&second));
}

#[test]
fn a_switched_link_is_live_within_a_second() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("1")).unwrap();
    fs::create_dir(at("2")).unwrap();
    fs::write(at("1/p.wasm"), guests.bytes("reload")).unwrap();
    fs::write(at("2/p.wasm"), guests.second("reload")).unwrap();
    symlink("1", at("current")).unwrap();
    let gateway = one(&backend.url(), json!({"path": at("current/p.wasm")}), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    for (how, version) in [("a switched link", 2), ("a link switched back", 1)] {
        assert_live_soon(&gateway, how, version, || {
            symlink(version.to_string(), at("new")).unwrap();
            fs::rename(at("new"), at("current")).unwrap();
        });
    }
}

#[test]
fn the_same_bytes_do_nothing() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let bytes = guests.bytes("reload");
    let file = File::new(&bytes);
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    let before = status(&gateway, "p");
    file.replace(&bytes);
    // The look at another plugin, declared now, comes after that at this one: when it was replaced, this one was seen.
    let witness = File::new(&bytes);
    gateway.reload("w.yml", &json!({"plugins": {"w": witness.declared()}}).to_string());
    eventually("the witness is declared", || (gateway.admin("/api/plugins/w@file").status == 200).then_some(()));
    eventually("the witness is loaded", || (status(&gateway, "w")["loads"] == 1).then_some(()));
    witness.replace(&guests.second("reload"));
    eventually("the witness is replaced", || (status(&gateway, "w")["loads"] == 2).then_some(()));
    let after = status(&gateway, "p");
    for key in ["loads", "loadFailures", "digest", "status"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(after["loads"], 1);
}

#[test]
fn a_broken_new_file_keeps_the_old_one() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), file.declared(), json!({}));
    let digest = status(&gateway, "p")["digest"].clone();
    let second = guests.second("reload");
    let broken: [(&str, &[u8]); 3] = [("is not WebAssembly", b"oh no"), ("cut off", &second[..second.len() / 2]), ("is empty", b"")];
    for (n, (words, bytes)) in broken.into_iter().enumerate() {
        beside(&gateway, || {
            file.replace(bytes);
            let shown = eventually("the API tells of it", || {
                assert_eq!(gateway.get("/m").text(), "version 1");
                let shown = status(&gateway, "p");
                (shown["loadFailures"] == n + 1).then_some(shown)
            });
            assert_eq!((&shown["status"], &shown["digest"]), (&json!("warning"), &digest), "{shown:#}");
            assert!(says(&shown, words), "{shown:#}");
        });
        gateway.wait_log("what is wrong", |l| l.contains(r#""level":"error""#) && l.contains(words) && l.contains("version before stays"));
        assert_eq!(gateway.get("/m").text(), "version 1");
    }
    assert_live_soon(&gateway, "a repaired file", 2, || file.replace(&second));
    let shown = status(&gateway, "p");
    assert_eq!((&shown["status"], &shown["loads"], shown.get("error")), (&json!("enabled"), &json!(2), None), "{shown:#}");
}

#[test]
fn a_new_file_that_refuses_a_configuration_in_use_keeps_the_old_one() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    // It needs `mode`.
    file.replace(&guests.bytes("bad"));
    eventually("it is refused", || says(&status(&gateway, "p"), "cannot take over").then_some(()));
    assert_eq!((status(&gateway, "p")["status"].clone(), gateway.get("/m").text()), (json!("warning"), "version 1"));
}

/// With a rollout in quick steps.
fn staged(file: &File) -> Value {
    json!({"path": file.path(), "rollout": {"steps": [20, 50], "interval": "200ms", "minimumCalls": 5}})
}

#[test]
fn a_rollout_in_steps_succeeds() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), staged(&file), json!({}));
    let old = status(&gateway, "p")["digest"].clone();
    file.replace(&guests.second("reload"));
    let (mut seen, mut percents) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    let shown = eventually("the new version has taken over", || {
        for _ in 0..10 {
            let r = gateway.get("/m");
            assert_eq!(r.status, 200, "{r:?}");
            *seen.entry(r.text().to_owned()).or_default() += 1;
        }
        let shown = status(&gateway, "p");
        percents.extend(shown["rollout"]["percent"].as_u64());
        (shown["digest"] != old).then_some(shown)
    });
    assert_eq!((&shown["status"], shown.get("rollout")), (&json!("enabled"), None), "{shown:#}");
    eprintln!("a rollout: {seen:?}, at {percents:?} percent");
    assert_eq!(percents.into_iter().collect::<Vec<_>>(), [20, 50]);
    assert!(seen["version 1"] > 0 && seen["version 2"] > 0);
    eventually("only the new one serves", || (0..30).all(|_| gateway.get("/m").text() == "version 2").then_some(()));
}

#[test]
fn a_rollout_is_rolled_back() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), staged(&file), json!({}));
    let old = status(&gateway, "p")["digest"].clone();
    // It takes the same configuration, and without its grant all that it does is to answer 503.
    file.replace(&guests.bytes("kv-counter"));
    let (mut good, mut failed) = (0, 0);
    let shown = eventually("it is rolled back", || {
        for _ in 0..10 {
            match gateway.get("/m").status {
                200 => good += 1,
                503 => failed += 1,
                other => panic!("{other}"),
            }
        }
        let shown = status(&gateway, "p");
        says(&shown, "rolled back").then_some(shown)
    });
    eprintln!("a rollback: {good} good answers, {failed} failed");
    assert!(failed >= 5 && good > failed, "{good} good, {failed} failed");
    assert_eq!((&shown["status"], &shown["digest"], &shown["loadFailures"]), (&json!("warning"), &old, &json!(1)), "{shown:#}");
    eventually("only the old one serves", || (0..30).all(|_| gateway.get("/m").body == b"version 1").then_some(()));
    // A repaired one is tried again.
    file.replace(&guests.second("reload"));
    eventually("the next version takes over", || {
        assert_eq!(gateway.get("/m").status, 200);
        (status(&gateway, "p")["digest"] != old).then_some(())
    });
}
