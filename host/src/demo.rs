//! `torana demo`: the quickstart's routers before services and a middleware that are plugins, so that there is
//! something to curl and something to edit.

use crate::cli::print;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use torana_config::install::{self, Sources};

const INSTALL: &str = include_str!("../../examples/quickstart/torana.yml");
const ROUTING: &str = include_str!("demo.yml");
/// Built by build.rs; empty where that was not possible.
const COMPONENTS: [(&str, &[u8]); 2] = [
    ("whoami.wasm", include_bytes!(concat!(env!("OUT_DIR"), "/whoami.wasm"))),
    ("add_headers.wasm", include_bytes!(concat!(env!("OUT_DIR"), "/add_headers.wasm"))),
];

pub(crate) fn run(args: &[String]) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("torana-demo-{}", std::process::id()));
    let code = match prepare(&folder) {
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
        Ok(routing) => {
            print(&format!(
                "torana demo: the gateway on http://127.0.0.1:8000, its dashboard on http://127.0.0.1:8080/dashboard/\n\n  \
                 curl http://127.0.0.1:8000/                       two services in turn\n  \
                 curl -i http://127.0.0.1:8000/api/users            prefix stripped, headers added by a plugin\n  \
                 curl -u demo:test http://127.0.0.1:8000/private    behind a password\n  \
                 curl -i http://127.0.0.1:8000/old                  redirected\n  \
                 curl http://127.0.0.1:8080/api/http/routers        what is routed\n  \
                 curl http://127.0.0.1:8080/api/plugins             the plugins, their calls and what they cost\n  \
                 curl http://127.0.0.1:8080/ready                   200 once all of it is live\n\n\
                 Edit {} and save: the change is live at once. Ctrl-C stops.\n\n",
                routing.display()
            ));
            let sources = Sources {
                args: [
                    &[
                        format!("--configfile={}", folder.join("torana.yml").display()),
                        format!("--providers.file.filename={}", routing.display()),
                    ],
                    args,
                ]
                .concat(),
                env: Vec::new(),
                cwd_lookup: false,
            };
            match install::load(&sources) {
                Ok(loaded) => crate::cli::serve(loaded),
                Err(wrong) => crate::cli::refused(&wrong),
            }
        }
    };
    let _ = std::fs::remove_dir_all(&folder);
    code
}

/// Writes the files of the demo; its routing file.
fn prepare(folder: &Path) -> std::io::Result<PathBuf> {
    if COMPONENTS.iter().any(|(_, bytes)| bytes.is_empty()) {
        return Err(std::io::Error::other(
            "this torana was built without the plugins of the demo\n  hint: `rustup target add wasm32-wasip2`, and build again from the sources",
        ));
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("torana.yml"), INSTALL)?;
    for (name, bytes) in COMPONENTS {
        std::fs::write(folder.join(name), bytes)?;
    }
    let routing = folder.join("routing.yml");
    // Paths are relative to the working directory, which is the user's.
    std::fs::write(&routing, ROUTING.replace("{ path: ", &format!("{{ path: {}/", folder.display())))?;
    Ok(routing)
}
