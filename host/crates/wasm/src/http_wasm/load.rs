//! From a core module to a guest.

use crate::code::Code;
use crate::load::{Form, Linked, Loader, Wrong, uncompiled};
use crate::passing::one_line;
use crate::state::State;
use torana_extend::PluginKind;
use wasmtime::{ExternType, FuncType, Linker, Module, ValType};

impl Loader {
    /// Compiles and links a core module, which has to be a guest of http-wasm.
    pub(crate) fn module(&self, path: &str, bytes: &[u8], digest: &str) -> Result<Linked, Wrong> {
        let engine = &self.engines.fast;
        let module: Module = self.cache.code(engine, bytes, digest).map_err(|e| uncompiled(path, "WebAssembly module", &e))?;
        check(&module).map_err(|(what, hint)| (format!("`{path}` {what}"), hint))?;
        let linker = self.guests().map_err(|e| (e, String::new()))?;
        let pre = linker.instantiate_pre(&module).map_err(|e| missing(path, &module, &e))?;
        Ok(Linked { code: Code::Module(pre), kind: PluginKind::Middleware, form: Form::HttpWasm, waits: true, describes: false })
    }

    fn guests(&self) -> Result<&Linker<State>, String> {
        let made = self.modules.get_or_init(|| super::linker::linker(&self.engines.fast).map_err(|e| one_line(&e)));
        made.as_ref().map_err(Clone::clone)
    }
}

const HANDLE_REQUEST: &str = "handle_request";
const HANDLE_RESPONSE: &str = "handle_response";

/// Whether a module is a guest.
fn check(module: &Module) -> Result<(), Wrong> {
    let i32s = |n: usize| vec![ValType::I32; n];
    let functions = [(HANDLE_REQUEST, i32s(0), vec![ValType::I64], "() -> i64"), (HANDLE_RESPONSE, i32s(2), vec![], "(i32, i32) -> ()")];
    if functions.iter().all(|(name, ..)| module.get_export(name).is_none()) {
        return Err((
            "is a WebAssembly module, not a component".to_owned(),
            "build it as a component: `torana plugin build`, or cargo with `--target wasm32-wasip2`; of modules, guests of http-wasm are \
             plugins: they export `handle_request` and `handle_response`"
                .to_owned(),
        ));
    }
    let hint = || "see http-wasm.io/http-handler-abi, and docs/plugins/http-wasm.md".to_owned();
    for (name, params, results, written) in functions {
        let wanted = FuncType::new(module.engine(), params, results);
        match module.get_export(name) {
            Some(ExternType::Func(f)) if f.matches(&wanted) => {}
            Some(_) => return Err((format!("exports `{name}` otherwise than as a function {written}"), hint())),
            None => return Err((format!("exports no function `{name}`"), hint())),
        }
    }
    match module.get_export("memory") {
        Some(ExternType::Memory(_)) => Ok(()),
        _ => Err(("exports no `memory`".to_owned(), hint())),
    }
}

/// What a guest imports and nobody provides.
fn missing(path: &str, module: &Module, error: &wasmtime::Error) -> Wrong {
    let strange: Vec<String> = module
        .imports()
        .filter(|i| !matches!(i.module(), super::linker::MODULE | "wasi_snapshot_preview1") || i.name().starts_with("sock_"))
        .map(|i| format!("{}.{}", i.module(), i.name()))
        .collect();
    let hint = "a guest finds the functions of http_handler and WASI preview 1, without extensions for sockets; \
                a component may ask for `outgoing-http` (docs/plugins)";
    match strange.is_empty() {
        true => (format!("`{path}` does not fit this gateway: {}", one_line(error)), hint.to_owned()),
        false => (format!("`{path}` imports what this gateway does not have: {}", strange.join(", ")), hint.to_owned()),
    }
}
