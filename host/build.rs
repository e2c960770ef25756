//! Builds the components that `torana demo` serves: the first-party plugins `whoami` and `add-headers`. Where they
//! cannot be built (no target wasm32-wasip2, no sources beside the crate), the gateway is whole without them
//! and the demo says what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Package, file.
const COMPONENTS: [(&str, &str); 2] = [("whoami", "whoami.wasm"), ("add-headers", "add_headers.wasm")];
/// What they are made from, beside the crate.
const SOURCES: [&str; 6] = ["plugins/Cargo.toml", "plugins/Cargo.lock", "plugins/whoami", "plugins/add-headers", "plugin-sdk/rust", "wit"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for s in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(s).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let built = build(&root.join("plugins"), &out.join("plugins"));
    if let Err(why) = &built {
        println!("cargo::warning=`torana demo` will not run: its plugins cannot be built: {why}");
    }
    for (_, file) in COMPONENTS {
        let to = out.join(file);
        let copied = built.as_ref().is_ok_and(|from| fs::copy(from.join(file), &to).is_ok());
        if !copied {
            fs::write(&to, []).expect("OUT_DIR can be written");
        }
    }
}

/// The folder with the components.
fn build(plugins: &Path, target: &Path) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut c = Command::new(cargo);
    c.current_dir(plugins).args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2", "--target-dir"]).arg(target);
    for (package, _) in COMPONENTS {
        c.args(["--package", package]);
    }
    // What this build wants of its compiler is not meant for the plugins.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_FEATURE_") || text.starts_with("CARGO_CFG_") || text.starts_with("CARGO_PROFILE_") {
            c.env_remove(&name);
        }
    }
    for name in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"]
    {
        c.env_remove(name);
    }
    let done = c.output().map_err(|e| e.to_string())?;
    if done.status.success() {
        return Ok(target.join("wasm32-wasip2/release"));
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let first = said.lines().find(|l| l.starts_with("error")).unwrap_or("cargo failed").to_owned();
    let hint = if said.contains("wasm32-wasip2") { "; `rustup target add wasm32-wasip2` may help" } else { "" };
    Err(first + hint)
}
