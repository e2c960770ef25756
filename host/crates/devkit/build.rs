//! Lists the files that `torana plugin new` writes: templates, the contract, and the Rust SDK.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Name of the static, folder below the repository's root.
const LISTS: [(&str, &str); 3] = [("TEMPLATES", "plugin-sdk/templates"), ("SDK", "plugin-sdk/rust"), ("WIT", "wit/0.1")];
/// What tools leave behind.
const SKIPPED: [&str; 4] = ["target", "node_modules", "__pycache__", "Cargo.lock"];

fn main() -> io::Result<()> {
    let root = Path::new(&var("CARGO_MANIFEST_DIR")?).join("../../..").canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    let mut text = String::new();
    for (name, folder) in LISTS {
        let folder = root.join(folder);
        let mut files = Vec::new();
        if !folder.is_dir() {
            // Looked for again each time.
            println!("cargo::rerun-if-changed={}", folder.display());
        } else if list(&folder, &mut files)? {
            println!("cargo::rerun-if-changed={}", folder.display());
        }
        files.sort();
        let _ = writeln!(text, "pub(crate) static {name}: &[(&str, &[u8])] = &[");
        for file in files {
            let below = file.strip_prefix(&folder).unwrap_or(&file);
            let below: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
            // The SDK's own tests are nothing for a project.
            if name != "SDK" || below[0] != "tests" {
                let _ = writeln!(text, "    ({:?}, include_bytes!({:?})),", below.join("/"), file.display().to_string());
            }
        }
        text.push_str("];\n");
    }
    fs::write(Path::new(&var("OUT_DIR")?).join("embedded.rs"), text)
}

/// Adds the files of a folder. True when nothing in it was skipped; else what is in it was given to cargo to
/// watch, piece by piece: a folder that cargo watches is watched with all that tools write there.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<bool> {
    let (mut whole, mut watch) = (true, Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if SKIPPED.contains(&name.as_ref()) || name.ends_with(".wasm") {
            whole = false;
        } else if !path.is_dir() {
            files.push(path.clone());
            watch.push(path);
        } else if list(&path, files)? {
            watch.push(path);
        } else {
            whole = false;
        }
    }
    if !whole {
        watch.iter().for_each(|p| println!("cargo::rerun-if-changed={}", p.display()));
    }
    Ok(whole)
}

fn var(name: &str) -> io::Result<String> {
    env::var(name).map_err(|e| io::Error::other(format!("{name}: {e}")))
}
