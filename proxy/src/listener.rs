//! Sockets that clients connect to.

use crate::config::{Address, Listen};
use crate::problem::{CANNOT_LISTEN, Problem};
use crate::stream::Stream;
use crate::supervisor;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Connections that the kernel holds while the acceptor is busy.
const BACKLOG: i32 = 1_024;

/// Everybody on this machine may connect, as to PostgreSQL's own sockets (`unix_socket_permissions`); who may
/// come in is the server's to decide. The mode of the folder narrows it.
const SOCKET_MODE: u32 = 0o777;

/// A bound socket, in no runtime yet.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(StdListener),
    /// Unix, and its file.
    Unix(StdUnixListener, SocketFile),
    /// Unix; its file belongs to whoever handed it over.
    HandedUnix(StdUnixListener),
}

/// A socket's file, removed with this value if it is still the same.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity)
        {
            // If it can't be removed, the next start does it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// One socket per address that the name stands for.
///
/// # Errors
/// PGS0101 with the reason.
pub fn bind(listen: &Listen) -> Result<Vec<Bound>, Problem> {
    match listen {
        Listen::Tcp(address) => {
            let sockets = bind_tcp(address)?;
            Ok(sockets.into_iter().map(Bound::Tcp).collect())
        }
        Listen::Systemd => supervisor::sockets(),
        Listen::Unix(path) => {
            let bound = bind_unix(path);
            bound.map(|bound| vec![bound]).map_err(|error| unix_problem(path, &error))
        }
    }
}

/// As [`bind`], for TCP.
///
/// # Errors
/// PGS0101 with the reason.
pub fn bind_tcp(address: &Address) -> Result<Vec<StdListener>, Problem> {
    let refused = |error: io::Error| cannot_listen(address, &error);
    let resolved = address.resolve().map_err(refused)?;
    resolved.into_iter().map(|at| listen(at).map_err(refused)).collect()
}

fn listen(at: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    let listener = match StdUnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            StdUnixListener::bind(path)?
        }
        other => other?,
    };
    listener.set_nonblocking(true)?;
    let file =
        SocketFile { path: path.to_owned(), identity: identity(&std::fs::symlink_metadata(path)?) };
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(Bound::Unix(listener, file))
}

/// Removes a socket that nobody listens on any more; anything else stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is a file and no socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(in_use()),
    }
}

fn cannot_listen(address: &Address, error: &io::Error) -> Problem {
    let (what, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "the port is in use by another process".to_owned(),
            "choose another with --listen or --admin; port 0 takes any free one",
        ),
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_owned(),
            "ports below 1024 need privileges: choose a higher one",
        ),
        _ => (error.to_string(), "check the address; 127.0.0.1 is always there"),
    };
    Problem::new(CANNOT_LISTEN, format!("cannot listen on {address}: {what}")).help(help)
}

fn unix_problem(path: &Path, error: &io::Error) -> Problem {
    let (what, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "another process listens there".to_owned(),
            "choose another path, or stop that process",
        ),
        io::ErrorKind::NotFound => ("its folder is not there".to_owned(), "make the folder first"),
        _ => (error.to_string(), "check the folder and its permissions"),
    };
    Problem::new(CANNOT_LISTEN, format!("cannot listen on unix:{}: {what}", path.display()))
        .help(help)
}

impl Bound {
    /// How a client names it.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "postgresql://?".to_owned(), |at| format!("postgresql://{at}")),
            Self::Unix(_, file) => format!("unix:{}", file.path.display()),
            Self::HandedUnix(listener) => {
                let at = listener.local_addr().ok();
                let path = at.as_ref().and_then(|at| at.as_pathname());
                path.map_or_else(|| "unix:?".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }

    /// Whether other machines can reach it.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|at| !at.ip().is_loopback()),
            Self::Unix(..) | Self::HandedUnix(_) => false,
        }
    }

    /// Puts it into this thread's runtime.
    ///
    /// # Errors
    /// The runtime can't take it.
    pub fn start(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(listener) => TcpListener::from_std(listener).map(Listener::Tcp),
            Self::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                Ok(Listener::Unix(listener, Some(file)))
            }
            Self::HandedUnix(listener) => {
                UnixListener::from_std(listener).map(|listener| Listener::Unix(listener, None))
            }
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, and its file where that is ours.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// The next client, with its address where it has one.
    ///
    /// # Errors
    /// Mostly: no file descriptor is left. The listener stays usable.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(tcp, at)| (Stream::Tcp(tcp), Some(at.ip())))
            }
            Self::Unix(listener, _) => {
                listener.accept().await.map(|(unix, _)| (Stream::Unix(unix), None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_a_live_one_is_not() {
        let folder = std::env::temp_dir().join(format!("pgsonde-socket-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(".s.PGSQL.6435");
        let at = Listen::Unix(path.clone());
        drop(StdUnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, as a killed process does");
        let bound = bind(&at).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        assert_eq!(bound[0].url(), format!("unix:{}", path.display()));
        let problem = bind(&at).unwrap_err();
        assert!(problem.what().contains("another process listens there"), "{problem}");
        assert_eq!(problem.number(), 101);
        drop(bound);
        assert!(!path.exists(), "an orderly end removes the file");
        std::fs::write(&path, "precious").unwrap();
        assert!(bind(&at).unwrap_err().what().contains("no socket"));
        assert!(path.exists());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(bind(&at).unwrap_err().what().contains("folder is not there"));
    }
}
