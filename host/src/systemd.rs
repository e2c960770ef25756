//! systemd: readiness, watchdog, socket activation.

use socket2::{Socket, Type};
use std::collections::HashMap;
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

/// What kind of socket was passed; an entry point with HTTP/3 may have one of each under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Stream,
    Datagram,
}

/// Sockets that systemd opened, by the name of their entry point (`FileDescriptorName=`).
pub(crate) fn sockets() -> HashMap<(String, Kind), OwnedFd> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let Ok(fds) = sd_notify::listen_fds() else { return HashMap::new() };
    fds.zip(names.split(':'))
        .filter_map(|(fd, name)| {
            let socket = Socket::from(adopt(fd));
            socket.set_nonblocking(true).ok()?;
            let kind = if socket.r#type().ok()? == Type::DGRAM { Kind::Datagram } else { Kind::Stream };
            Some(((name.to_owned(), kind), socket.into()))
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
