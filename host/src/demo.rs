//! `torana demo`: the quickstart example with backends of its own, so that there is something to curl.

use crate::cli::print;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use torana_config::install::{self, Sources};

const INSTALL: &str = include_str!("../../examples/quickstart/torana.yml");
const ROUTING: &str = include_str!("../../examples/quickstart/routing.yml");
const BACKENDS: [&str; 2] = ["127.0.0.1:8001", "127.0.0.1:8002"];

pub(crate) fn run(args: &[String]) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("torana-demo-{}", std::process::id()));
    let code = match prepare(&folder) {
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
        Ok(routing) => {
            print(&format!(
                "torana demo: the gateway on http://127.0.0.1:8000, its API on http://127.0.0.1:8080\n\n  \
                 curl http://127.0.0.1:8000/                       two backends in turn\n  \
                 curl -i http://127.0.0.1:8000/api/users            prefix stripped, header added\n  \
                 curl -u demo:test http://127.0.0.1:8000/private    behind a password\n  \
                 curl -i http://127.0.0.1:8000/old                  redirected\n  \
                 curl http://127.0.0.1:8080/api/http/routers        what is routed\n  \
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

fn prepare(folder: &PathBuf) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("torana.yml"), INSTALL)?;
    let routing = folder.join("routing.yml");
    std::fs::write(&routing, ROUTING)?;
    for address in BACKENDS {
        let listener = TcpListener::bind(address)
            .map_err(|e| std::io::Error::new(e.kind(), format!("the demo's backend cannot listen on {address}: {e}")))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let _ = answer(stream, address);
                });
            }
        });
    }
    Ok(routing)
}

/// Says what it was asked, as `whoami` does.
fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = String::new();
        let mut length = 0u64;
        loop {
            let mut line = String::new();
            if reader.by_ref().take(64 * 1024).read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((key, value)) = line.split_once(':')
                && key.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let body = format!("backend {name}\n{head}");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
}
