//! A worker: one OS thread, one current-thread runtime, many sessions.
//!
//! A session never leaves its worker, so the forwarding path wakes no other thread and shares nothing behind a
//! lock. Records of all its sessions go into one outbox.

use crate::hot::outbox::{Outbox, Parcel};
use crate::hot::relay::size_lent_buffer;
use crate::session::{Arrival, DrainSwitch, Surroundings, serve};
use crate::shared::Shared;
use crate::startups::StartupPlace;
use crate::stream::Socket;
use pgsonde_analyzer::record::RecordBatch;
use pgsonde_analyzer::value::Salt;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A batch leaves at the latest after this time.
const BATCH_AGE_MAX: Duration = Duration::from_millis(100);

/// What the acceptor tells a worker. The channel needs no bound of its own: clients are counted before.
enum Order {
    Serve(Socket, StartupPlace),
    Drain,
    End,
}

/// The acceptor's view of a worker.
pub struct Worker {
    orders: UnboundedSender<Order>,
    sessions: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// What a worker thread is made of.
pub struct Parts {
    /// Its index.
    pub index: usize,
    /// Process-wide state.
    pub shared: Arc<Shared>,
    /// Key of the value hashes.
    pub salt: Salt,
    /// Batches to the analyzer.
    pub full: SyncSender<Parcel>,
    /// Empty batches back.
    pub spare: Receiver<RecordBatch>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread or its runtime can't be made.
    pub fn spawn(parts: Parts) -> io::Result<Self> {
        let (orders, inbox) = unbounded_channel();
        let sessions = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sessions);
        let name = format!("pgsonde-worker-{}", parts.index);
        // The runtime can't leave its thread, so that it is made there.
        let (tell, made) = std::sync::mpsc::sync_channel(1);
        let work = move || {
            let options = LocalOptions::default();
            match Builder::new_current_thread().enable_all().build_local(options) {
                Ok(runtime) => {
                    let _ = tell.send(Ok(()));
                    runtime.block_on(run(parts, inbox, counted));
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(work)?;
        made.recv().unwrap_or_else(|_| Err(io::Error::other("the worker's thread failed")))?;
        Ok(Self { orders, sessions, thread })
    }

    /// Sessions that it serves.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// Hands over a client.
    pub fn serve(&self, client: Socket, startup: StartupPlace) {
        self.sessions.fetch_add(1, Relaxed);
        // A worker that is gone means that the process is ending; the client sees the close.
        if self.orders.send(Order::Serve(client, startup)).is_err() {
            self.sessions.fetch_sub(1, Relaxed);
        }
    }

    /// Asks all sessions to end at their next idle moment, and the worker when they did.
    pub fn drain(&self) {
        // As above.
        let _ = self.orders.send(Order::Drain);
    }

    /// Asks all sessions to end now, whatever they are doing.
    pub fn end(&self) {
        // As above.
        let _ = self.orders.send(Order::End);
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Local {
    around: Rc<Surroundings>,
    switches: Rc<RefCell<BTreeMap<u64, Rc<DrainSwitch>>>>,
    sessions: Arc<AtomicUsize>,
    next: u64,
}

async fn run(parts: Parts, mut inbox: UnboundedReceiver<Order>, sessions: Arc<AtomicUsize>) {
    size_lent_buffer(parts.shared.settings.proxy.buffer_bytes);
    let counters = Arc::clone(&parts.shared.outbox);
    let outbox = Outbox::new(parts.index, parts.full, parts.spare, counters);
    let around = Rc::new(Surroundings {
        gauges: Arc::clone(&parts.shared.gauges[parts.index]),
        shared: parts.shared,
        outbox: Rc::new(RefCell::new(outbox)),
        salt: Rc::new(parts.salt),
        name_seed: RandomState::new().hash_one(parts.index),
    });
    let mut local = Local { around, switches: Rc::default(), sessions, next: 0 };
    let mut clock = tokio::time::interval(BATCH_AGE_MAX);
    let (mut draining, mut ended) = (false, false);
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Serve(client, startup)) => local.start(client, startup),
                Some(Order::Drain) => {
                    draining = true;
                    local.switches.borrow().values().for_each(|switch| switch.drain());
                }
                Some(Order::End) => {
                    (draining, ended) = (true, true);
                    local.switches.borrow().values().for_each(|switch| switch.end());
                }
                None => break,
            },
            _ = clock.tick() => {
                local.tell();
                if draining && !ended {
                    // Nothing wakes a session whose silence alone tells that it is idle.
                    local.switches.borrow().values().for_each(|switch| switch.drain());
                }
            }
        }
        if draining && local.switches.borrow().is_empty() {
            break;
        }
    }
    local.around.outbox.borrow_mut().send();
}

impl Local {
    /// Tells of sessions that work long or wait inside a transaction, and sends off the batch.
    fn tell(&self) {
        let now_us = crate::clock::now_us();
        let mut outbox = self.around.outbox.borrow_mut();
        let switches = self.switches.borrow();
        let lasting = switches.values().filter_map(|switch| switch.standing.tell(now_us));
        lasting.for_each(|event| outbox.push(event));
        outbox.send();
    }

    fn start(&mut self, client: Socket, startup: StartupPlace) {
        let id = self.next;
        self.next += 1;
        let switch = Rc::new(DrainSwitch::default());
        self.switches.borrow_mut().insert(id, Rc::clone(&switch));
        let around = Rc::clone(&self.around);
        let (switches, sessions) = (Rc::clone(&self.switches), Arc::clone(&self.sessions));
        let place = Place { id, switches, sessions, counted: Cell::new(true) };
        tokio::task::spawn_local(async move {
            match client.into_stream(around.shared.current().settings.proxy.tcp_keepalive) {
                Ok(client) => {
                    let arrival = Arrival { client, startup };
                    serve(arrival, &around, &switch, || place.uncount()).await;
                }
                Err(error) => tracing::warn!(%error, "cannot take over a client socket"),
            }
            drop(place);
        });
    }
}

/// A session's place; given back however the session ends, a panic included.
struct Place {
    id: u64,
    switches: Rc<RefCell<BTreeMap<u64, Rc<DrainSwitch>>>>,
    sessions: Arc<AtomicUsize>,
    counted: Cell<bool>,
}

impl Place {
    /// It is no session: cancel connections have places of their own.
    fn uncount(&self) {
        if self.counted.replace(false) {
            self.sessions.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.switches.borrow_mut().remove(&self.id);
        self.uncount();
    }
}
