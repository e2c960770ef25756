//! systemd: readiness, watchdog, socket activation.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;
use torana_config::install::InstallConfig;

/// Says that the gateway is ready, and then, if asked to, that it still is. With `ping` enabled the
/// watchdog is fed only while `/ping` answers.
pub(crate) async fn notify(config: std::sync::Arc<InstallConfig>) {
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    let mut micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut micros) || micros == 0 {
        return;
    }
    loop {
        tokio::time::sleep(Duration::from_micros(micros / 2)).await;
        let config = config.clone();
        let alive =
            tokio::task::spawn_blocking(move || config.ping.is_none() || matches!(crate::healthcheck::ask(&config), Ok((_, 200)))).await;
        if alive.unwrap_or(false) {
            let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
        } else {
            tracing::error!("the watchdog is not fed: /ping does not answer");
        }
    }
}

/// Sockets that systemd opened, by the name of their entry point (`FileDescriptorName=`).
pub(crate) fn sockets() -> HashMap<String, OwnedFd> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let Ok(fds) = sd_notify::listen_fds() else { return HashMap::new() };
    fds.zip(names.split(':'))
        .filter_map(|(fd, name)| {
            // A flag of the open file, whatever its kind.
            let socket = TcpListener::from(adopt(fd));
            socket.set_nonblocking(true).ok()?;
            Some((name.to_owned(), socket.into()))
        })
        .collect()
}

/// Takes a descriptor over that systemd passed to this process.
#[allow(unsafe_code)]
fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: LISTEN_FDS with our own LISTEN_PID says that this descriptor is open and was passed to this
    // process for its use; it is adopted once, at start, before anything else could.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
