//! `torana healthcheck`: HEAD /ping on the ping entry point.

use crate::cli::print;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use torana_config::install::{self, InstallConfig, Sources};

const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run(sources: &Sources) -> ExitCode {
    let loaded = match install::load(sources) {
        Ok(l) => l,
        Err(wrong) => return crate::cli::refused(&wrong),
    };
    match ask(&loaded.config) {
        Ok((url, 200)) => {
            print(&format!("OK: {url}\n"));
            ExitCode::SUCCESS
        }
        Ok((_, status)) => {
            eprintln!("Bad healthcheck status: {status}");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("Error calling healthcheck: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The URL asked and the status answered.
pub(crate) fn ask(config: &InstallConfig) -> Result<(String, u16), String> {
    let ping = config.ping.as_ref().ok_or("please enable `ping` to use health check: add `ping: {}`")?;
    let entry_point =
        config.entry_points.get(&ping.entry_point).ok_or_else(|| format!("ping's entry point `{}` does not exist", ping.entry_point))?;
    let host = entry_point.address.host.trim_start_matches('[').trim_end_matches(']');
    let host = match host {
        "" | "0.0.0.0" | "::" => "127.0.0.1",
        h => h,
    };
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = format!("http://{shown}:{}/ping", entry_point.address.port);
    let mut last = format!("`{host}` has no address");
    for address in (host, entry_point.address.port).to_socket_addrs().map_err(|e| e.to_string())? {
        let tried = TcpStream::connect_timeout(&address, TIMEOUT).and_then(|mut s| {
            s.set_read_timeout(Some(TIMEOUT))?;
            s.set_write_timeout(Some(TIMEOUT))?;
            write!(s, "HEAD /ping HTTP/1.1\r\nHost: {shown}:{}\r\nConnection: close\r\n\r\n", address.port())?;
            let mut line = [0; 12];
            s.read_exact(&mut line)?;
            Ok(line)
        });
        match tried {
            Ok(line) => {
                let status = std::str::from_utf8(&line).ok().and_then(|l| l.get(9..12)).and_then(|c| c.parse().ok());
                return status.map(|s| (url, s)).ok_or_else(|| "the answer is not HTTP".to_owned());
            }
            Err(e) => last = format!("{url}: {e}"),
        }
    }
    Err(last)
}
