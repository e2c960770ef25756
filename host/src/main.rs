//! The `torana` binary: command line and wiring. The only crate that sees every other.

mod access_log;
mod cli;
mod demo;
mod egress;
mod healthcheck;
mod listen;
mod local_plugins;
mod observe;
mod plugin;
mod plugin_test;
mod snippets;
mod systemd;
mod wire;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args().skip(1).collect())
}
