//! What systemd is told (`NOTIFY_SOCKET`) and what it hands over (`LISTEN_FDS`); without it, nothing happens.

use crate::listener::Bound;
use crate::problem::{CANNOT_LISTEN, Problem};
use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Sessions can be served.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] follows.
pub(crate) fn reloading() {
    let reloading = NotifyState::Reloading;
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[reloading, now]),
        Err(_) => tell(&[reloading]),
    }
}

/// Sessions are asked to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

/// The sockets that were handed over.
///
/// # Errors
/// PGS0101: there is none, or one is no listening stream socket.
pub(crate) fn sockets() -> Result<Vec<Bound>, Problem> {
    let cannot = |why: String| {
        Problem::new(CANNOT_LISTEN, format!("cannot listen on systemd: {why}"))
            .help("start it by a .socket unit (deploy/systemd), or give proxy.listen an address")
    };
    let mut handed = ListenFd::from_env();
    let mut bound = Vec::new();
    for index in 0..handed.len() {
        // The wrong kind of socket is an error of the first call, and may be right for the second.
        let socket = match handed.take_tcp_listener(index) {
            Ok(Some(tcp)) => tcp.set_nonblocking(true).map(|()| Bound::Tcp(tcp)),
            Ok(None) => continue,
            Err(_) => match handed.take_unix_listener(index) {
                Ok(Some(unix)) => unix.set_nonblocking(true).map(|()| Bound::HandedUnix(unix)),
                Ok(None) => continue,
                Err(error) => return Err(cannot(error.to_string())),
            },
        };
        bound.push(socket.map_err(|error| cannot(error.to_string()))?);
    }
    if bound.is_empty() {
        return Err(cannot("no socket was handed over (LISTEN_FDS)".to_owned()));
    }
    Ok(bound)
}
