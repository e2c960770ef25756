//! A core module becomes a component.

use crate::embedded::WIT;
use std::path::Path;
use torana_extend::PluginKind;
use wasi_preview1_component_adapter_provider::{WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

/// The component of a core module. `typed`: the module holds the types of its component, as the object
/// file made by `wit-bindgen c` brings them; else those of the kind's world are taken, from the WIT files in
/// `wit` if that is a folder. Imports of WASI preview 1, as a libc makes them, are given by an adapter.
pub(crate) fn wrap(module: &[u8], typed: bool, kind: PluginKind, wit: &Path) -> Result<Vec<u8>, String> {
    let mut module = module.to_vec();
    if !typed {
        if kind == PluginKind::Service {
            return Err(
                "the core module does not say which interfaces of wasi:http it uses; link the object file of `wit-bindgen`".to_owned()
            );
        }
        let mut resolve = Resolve::default();
        let package = contract(&mut resolve, wit)?;
        let world = resolve.select_world(&[package], Some(kind.name())).map_err(|e| format!("{e:#}"))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|e| format!("{e:#}"))?;
    }
    let encode =
        || ComponentEncoder::default().validate(true).module(&module)?.adapter(PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?.encode();
    encode().map_err(|e| format!("{e:#}"))
}

/// The contract as the project has it, or as the gateway has it.
pub(crate) fn contract(resolve: &mut Resolve, wit: &Path) -> Result<wit_parser::PackageId, String> {
    if wit.is_dir() {
        return resolve.push_dir(wit).map(|(package, _)| package).map_err(|e| resolve.render_error(&e));
    }
    let mut files = SourceMap::new();
    for (path, content) in WIT {
        files.push_str(path, String::from_utf8_lossy(content));
    }
    let group = files.parse().map_err(|(_, e)| e.to_string())?;
    resolve.push_group(group).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Report;
    use crate::testing::wat;

    /// What a C compiler makes: no types, and a libc that uses WASI preview 1.
    const LIKE_C: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "torana:plugin/clock@0.1.0" "now" (func $now (result i64)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "torana:plugin/matcher-hooks@0.1.0#configure") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "torana:plugin/matcher-hooks@0.1.0#matches") (param i32 i32) (result i32)
            (drop (call $now)) (call $exit (i32.const 1)) unreachable))"#;

    #[test]
    fn what_a_libc_imports_is_given() {
        let nowhere = Path::new("/nowhere");
        let component = wrap(&wat(LIKE_C), false, PluginKind::Matcher, nowhere).unwrap();
        let report = Report::of(&component).unwrap();
        assert!(report.not_a(PluginKind::Matcher).is_none());
        assert!(report.imports.iter().any(|i| i.starts_with("wasi:cli/exit@0.2.")), "{:?}", report.imports);
        assert!(report.imports.iter().any(|i| i == "torana:plugin/clock@0.1.0"), "{:?}", report.imports);
        // What it does not use is not in it.
        assert!(!report.imports.iter().any(|i| i.contains("/kv@")), "{:?}", report.imports);
        assert!(report.unknown().is_empty());
    }

    #[test]
    fn says_what_a_module_lacks() {
        let nowhere = Path::new("/nowhere");
        let wrong = wrap(&wat(LIKE_C), false, PluginKind::Balancer, nowhere).unwrap_err();
        assert!(wrong.contains("balancer-hooks"), "{wrong}");
        assert!(wrap(&wat(LIKE_C), false, PluginKind::Service, nowhere).unwrap_err().contains("wasi:http"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wit"), "package a:b;\nworld matcher { inport x; }").unwrap();
        let wrong = wrap(&wat(LIKE_C), false, PluginKind::Matcher, folder.path()).unwrap_err();
        assert!(wrong.contains("a.wit:2:17") && wrong.contains("inport"), "{wrong}");
    }
}
