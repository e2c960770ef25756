//! The crate carries a copy of the contract, so that it can be copied into a project. Here it is held against the original.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn the_copy_is_the_contract() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let original = here.join("../../wit/0.1");
    if !original.exists() {
        // A copy in a plugin's project.
        return;
    }
    let (copy, original) = (files(&here.join("wit/deps/torana-plugin")), files(&original));
    let names = copy.keys().chain(original.keys());
    let others: BTreeSet<&String> = names.filter(|name| copy.get(*name) != original.get(*name)).collect();
    assert!(others.is_empty(), "{others:?} differ: copy wit/0.1 to plugin-sdk/rust/wit/deps/torana-plugin");
}
