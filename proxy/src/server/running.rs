//! A proxy inside of another program: no signals, its owner ends it.

use super::{Machinery, Signals, bind, no_thread, serve};
use crate::config::Settings;
use crate::export::{ProxyCounters, ProxyStatus};
use crate::problem::Problem;
use crate::shared::Shared;
use crate::tls::Tls;
use pgsonde_analyzer::snapshot::Snapshot;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

/// A proxy that serves.
pub struct Running {
    /// Where applications connect, as URLs.
    pub app: Vec<String>,
    /// Where the admin interface answers.
    pub admin: Vec<SocketAddr>,
    /// The token of the admin interface.
    pub token: String,
    shared: Arc<Shared>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// A message asks for the end; a second one for it at once.
    end: mpsc::UnboundedSender<()>,
    thread: JoinHandle<Result<(), Problem>>,
}

/// What the serving thread tells when it is ready.
pub(super) struct Ready {
    pub(super) app: Vec<String>,
    pub(super) admin: Vec<SocketAddr>,
    pub(super) token: String,
    /// Nobody chose it.
    pub(super) own_token: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// Starts a proxy on threads of its own and waits until it is ready.
///
/// # Errors
/// An address can't be listened on, or a thread can't be made. An absent server is no error; see
/// [`Running::upstream_error`].
pub fn start(settings: Settings) -> Result<Running, Problem> {
    let (tell, told) = channel();
    let (end, asked) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new()
        .name("pgsonde-proxy".to_owned())
        .spawn(move || run(settings, asked, &tell))
        .map_err(|error| no_thread(&error))?;
    let Ok(ready) = told.recv() else {
        // It ended before it was ready: its result says why.
        let failed = || no_thread(&std::io::Error::other("the proxy's thread failed"));
        return Err(thread
            .join()
            .map_or_else(|_| failed(), |end| end.err().unwrap_or_else(failed)));
    };
    let Ready { app, admin, token, shared, snapshots, .. } = ready;
    Ok(Running { app, admin, token, shared, snapshots, end, thread })
}

fn run(
    settings: Settings,
    asked: mpsc::UnboundedReceiver<()>,
    tell: &Sender<Ready>,
) -> Result<(), Problem> {
    let tls = Tls::load(&settings.proxy)?;
    let (listeners, admin_listeners) = bind(&settings)?;
    let machinery = Machinery::start(settings, tls).map_err(|error| no_thread(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_thread(&error))?;
    let ready = |ready: Ready, _exposed| {
        // The owner waits for it.
        let _ = tell.send(ready);
    };
    let serving = serve(machinery, listeners, admin_listeners, Signals::Owner(asked), ready);
    LocalSet::new().block_on(&runtime, serving).map(|_| ())
}

impl Running {
    /// Why the server can't be reached, if it can't.
    pub fn upstream_error(&self) -> Option<String> {
        self.shared.upstream_error()
    }

    /// Sessions that are open now.
    pub fn sessions_open(&self) -> u64 {
        let open = self.shared.proxy().client_connections;
        open.active + open.idle + open.idle_in_transaction
    }

    /// Clients that came so far, whatever became of them.
    pub fn clients_seen(&self) -> u64 {
        self.shared.proxy().connections.ok
    }

    /// Lets sessions end within `proxy.drain_timeout`, and gives the last snapshot with the last counters.
    pub fn stop(self) -> (Arc<Snapshot>, ProxyCounters) {
        // If it has ended already, there is nobody to ask.
        let _ = self.end.send(());
        let ended = self.thread.join();
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the proxy ended badly");
        }
        let snapshot = self.snapshots.borrow().clone();
        (snapshot, self.shared.proxy())
    }
}
