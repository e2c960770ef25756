//! Compiled plugins on disk, so that a start does not compile what an earlier one did.

use crate::native::Compiled;
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;

/// A directory that nobody else can write to: what it holds is run as native code.
#[derive(Clone)]
pub(crate) struct Cache {
    dir: Option<PathBuf>,
}

/// Of compiled code, bytes kept; the oldest goes first.
const MAX_TOTAL: u64 = 2 << 30;

impl Cache {
    /// `$CACHE_DIRECTORY` (systemd), `$XDG_CACHE_HOME/torana` or `~/.cache/torana`; none when there is no such
    /// place, or others can write there.
    pub(crate) fn open() -> Cache {
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = var("CACHE_DIRECTORY")
            .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("torana")))
            .or_else(|| var("HOME").map(|d| d.join(".cache/torana")));
        let Some(dir) = base.map(|d| d.join("plugins")) else { return Cache { dir: None } };
        match private(&dir) {
            Ok(()) => Cache { dir: Some(dir) },
            Err(reason) => {
                tracing::warn!(dir = %dir.display(), reason, "compiled plugins are not kept on disk");
                Cache { dir: None }
            }
        }
    }

    fn path(&self, engine: &Engine, digest: &str) -> Option<PathBuf> {
        let mut h = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut h);
        Some(self.dir.as_ref()?.join(format!("{digest}-{:016x}.cwasm", h.finish())))
    }

    /// Compiles, or takes what was compiled before.
    pub(crate) fn code<C: Compiled>(&self, engine: &Engine, bytes: &[u8], digest: &str) -> wasmtime::Result<C> {
        let Some(path) = self.path(engine, digest) else { return C::compile(engine, bytes) };
        if path.exists() {
            match C::map(engine, &path) {
                Ok(c) => {
                    // So that what is used is not the oldest.
                    let _ = std::fs::File::options().append(true).open(&path).and_then(|f| f.set_modified(std::time::SystemTime::now()));
                    return Ok(c);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), error = format!("{error:#}"), "compiled anew: what was kept is not usable")
                }
            }
        }
        let compiled = C::precompile(engine, bytes)?;
        if let Err(error) = self.keep(&path, &compiled) {
            tracing::warn!(path = %path.display(), %error, "cannot keep the compiled plugin");
            return C::compile(engine, bytes);
        }
        C::map(engine, &path).or_else(|_| C::compile(engine, bytes))
    }

    fn keep(&self, path: &Path, compiled: &[u8]) -> std::io::Result<()> {
        // Two threads may compile the same file at once, for two plugins of it.
        let temporary = path.with_extension(format!("{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
        std::fs::write(&temporary, compiled)?;
        std::fs::rename(&temporary, path)?;
        self.trim(path);
        Ok(())
    }

    fn trim(&self, newest: &Path) {
        let Some(Ok(entries)) = self.dir.as_ref().map(std::fs::read_dir) else { return };
        let mut all: Vec<_> = entries
            .flatten()
            .filter_map(|e| e.metadata().ok().map(|m| (m.modified().ok(), m.len(), e.path())))
            .filter(|(_, _, p)| p.extension().is_some_and(|x| x == "cwasm") && p != newest)
            .collect();
        all.sort();
        let mut total: u64 = all.iter().map(|(_, n, _)| n).sum();
        for (_, size, path) in all {
            if total <= MAX_TOTAL {
                return;
            }
            total -= size;
            let _ = std::fs::remove_file(path);
        }
    }
}

fn private(dir: &Path) -> Result<(), String> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| e.to_string())?;
    let meta = std::fs::symlink_metadata(dir).map_err(|e| e.to_string())?;
    if !meta.is_dir() {
        return Err("it is not a directory".to_owned());
    }
    if meta.uid() != crate::native::user() {
        return Err("it belongs to another user".to_owned());
    }
    if meta.mode() & 0o022 != 0 {
        return Err("others can write to it".to_owned());
    }
    Ok(())
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut s, b| {
        use std::fmt::Write as _;
        let _ = write!(s, "{b:02x}");
        s
    })
}
