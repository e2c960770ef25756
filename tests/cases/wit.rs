//! The contract with plugins is frozen: see wit/README.md for how it changes.

use crate::harness::root;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files by their name.
fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |path: &Path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
    let all: BTreeMap<_, _> = fs::read_dir(root().join(folder)).unwrap().map(|e| read(&e.unwrap().path())).collect();
    assert!(!all.is_empty(), "{folder} is empty");
    all
}

#[test]
fn version_0_1_is_what_it_was() {
    let wit = root().join("wit");
    let names = files("wit/0.1").into_keys().map(|name| format!("0.1/{name}"));
    let out = Command::new("sha256sum").args(names).current_dir(&wit).output().expect("sha256sum, of coreutils");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let frozen = fs::read_to_string(wit.join("0.1.sha256")).unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), frozen, "the contract has changed: wit/README.md says what may, and how");
}

#[test]
fn the_sdk_has_the_same_contract() {
    let (ours, copy) = (files("wit/0.1"), files("plugin-sdk/rust/wit/deps/torana-plugin"));
    assert_eq!(ours.keys().collect::<Vec<_>>(), copy.keys().collect::<Vec<_>>());
    for (name, text) in &ours {
        assert!(copy[name] == *text, "plugin-sdk/rust/wit/deps/torana-plugin/{name} differs: copy wit/0.1/{name} there");
    }
}
