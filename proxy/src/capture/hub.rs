//! Who listens: capture and live streams, each behind a bounded queue of its own.
//!
//! The analyzer's thread hands out what it heard without ever waiting: a queue that is full loses the whole batch, and
//! the listener learns how many events that were.

use pgsonde_analyzer::events::{Heard, Who};
use pgsonde_analyzer::snapshot::Snapshot;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Batches (at most 64 events of about 400 bytes) that wait for the capture.
const CAPTURE_QUEUE_BATCHES: usize = 512;
/// Batches that wait for one live stream.
const STREAM_QUEUE_BATCHES: usize = 128;
/// Live streams at once.
pub(crate) const STREAMS_MAX: usize = 8;

/// A client that never got a session.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// When.
    pub(crate) at_us: u64,
    /// As which it came.
    pub(crate) who: Who,
    /// Why, as lines spell it.
    pub(crate) reason: &'static str,
}

/// What listeners are told.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// What happened, in order.
    Heard(Arc<Vec<Heard>>),
    /// The snapshot of a tick.
    Snapshot(Arc<Snapshot>),
    /// A client was turned away.
    Refused(Arc<Refused>),
    /// Events that nobody can tell any more.
    Lost {
        /// How many.
        events: u64,
        /// Why.
        reason: &'static str,
    },
}

impl News {
    fn events(&self) -> u64 {
        match self {
            Self::Heard(events) => events.len() as u64,
            Self::Snapshot(_) => 0,
            Self::Refused(_) => 1,
            Self::Lost { events, .. } => *events,
        }
    }
}

#[derive(Debug)]
enum Queue {
    Thread(SyncSender<News>),
    Task(mpsc::Sender<News>),
}

#[derive(Debug)]
struct Outlet {
    queue: Queue,
    missed: Arc<AtomicU64>,
}

impl Outlet {
    /// False once nobody is at the other end.
    fn tell(&self, news: &News) -> bool {
        let (full, closed) = match &self.queue {
            Queue::Thread(queue) => match queue.try_send(news.clone()) {
                Ok(()) => (false, false),
                Err(std::sync::mpsc::TrySendError::Full(_)) => (true, false),
                Err(std::sync::mpsc::TrySendError::Disconnected(_)) => (false, true),
            },
            Queue::Task(queue) => match queue.try_send(news.clone()) {
                Ok(()) => (false, false),
                Err(mpsc::error::TrySendError::Full(_)) => (true, false),
                Err(mpsc::error::TrySendError::Closed(_)) => (false, true),
            },
        };
        if full {
            self.missed.fetch_add(news.events(), Relaxed);
        }
        !closed
    }
}

/// A listener's end: its queue, and the events that found no room in it.
#[derive(Debug)]
pub(crate) struct Ear<Q> {
    pub(crate) queue: Q,
    missed: Arc<AtomicU64>,
}

impl<Q> Ear<Q> {
    /// Events missed since the last time.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.swap(0, Relaxed)
    }
}

/// All listeners.
#[derive(Debug)]
pub struct EventHub {
    proxy_id: Arc<str>,
    listened: AtomicBool,
    outlets: Mutex<Vec<(u64, Outlet)>>,
    next: AtomicU64,
}

impl Default for EventHub {
    fn default() -> Self {
        let number = RandomState::new().hash_one(0x6964);
        Self {
            proxy_id: Arc::from(format!("{:012x}", number >> 16)),
            listened: AtomicBool::new(false),
            outlets: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }
}

impl EventHub {
    /// Identity of this start of the proxy, 12 hexadecimal digits.
    pub(crate) fn proxy_id(&self) -> Arc<str> {
        Arc::clone(&self.proxy_id)
    }

    /// Whether anybody listens.
    pub fn is_listened(&self) -> bool {
        self.listened.load(Relaxed)
    }

    fn outlets(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Outlet)>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody; forgets those who have gone.
    pub(crate) fn tell(&self, news: &News) {
        let mut outlets = self.outlets();
        outlets.retain(|(_, outlet)| outlet.tell(news));
        self.listened.store(!outlets.is_empty(), Relaxed);
    }

    fn add(&self, queue: Queue) -> (u64, Arc<AtomicU64>) {
        let missed = Arc::new(AtomicU64::new(0));
        let id = self.next.fetch_add(1, Relaxed);
        self.outlets().push((id, Outlet { queue, missed: Arc::clone(&missed) }));
        self.listened.store(true, Relaxed);
        (id, missed)
    }

    /// A listener on a thread, and the number by which it is dismissed.
    pub(crate) fn listen_on_thread(&self) -> (u64, Ear<Receiver<News>>) {
        let (sender, queue) = sync_channel(CAPTURE_QUEUE_BATCHES);
        let (id, missed) = self.add(Queue::Thread(sender));
        (id, Ear { queue, missed })
    }

    /// A listener in a task; nothing where there are too many already.
    pub(crate) fn listen_in_task(&self) -> Option<Ear<mpsc::Receiver<News>>> {
        let tasks = |outlet: &&(u64, Outlet)| match &outlet.1.queue {
            Queue::Task(queue) => !queue.is_closed(),
            Queue::Thread(_) => false,
        };
        if self.outlets().iter().filter(tasks).count() >= STREAMS_MAX {
            return None;
        }
        let (sender, queue) = mpsc::channel(STREAM_QUEUE_BATCHES);
        let (_, missed) = self.add(Queue::Task(sender));
        Some(Ear { queue, missed })
    }

    /// Tells one listener nothing any more: its queue ends.
    pub(crate) fn dismiss(&self, id: u64) {
        let mut outlets = self.outlets();
        outlets.retain(|(other, _)| *other != id);
        self.listened.store(!outlets.is_empty(), Relaxed);
    }

    /// Tells nobody anything any more: the queues end.
    pub(crate) fn close(&self) {
        self.outlets().clear();
        self.listened.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(events: usize) -> News {
        let one = Heard::Traffic(pgsonde_analyzer::record::TrafficRecord::default());
        News::Heard(Arc::new(vec![one; events]))
    }

    #[test]
    fn a_full_queue_loses_and_counts_and_nobody_waits() {
        let hub = EventHub::default();
        assert!(!hub.is_listened());
        let (_, slow) = hub.listen_on_thread();
        let mut fast = hub.listen_in_task().unwrap();
        for _ in 0..CAPTURE_QUEUE_BATCHES + 3 {
            hub.tell(&news(5));
            assert!(fast.queue.try_recv().is_ok());
        }
        assert_eq!((slow.missed(), slow.missed(), fast.missed()), (15, 0, 0));
        drop((slow, fast));
        hub.tell(&news(1));
        assert!(!hub.is_listened());
    }

    #[test]
    fn streams_are_counted_and_the_capture_can_be_dismissed() {
        let hub = EventHub::default();
        let (id, capture) = hub.listen_on_thread();
        let streams: Vec<_> = (0..STREAMS_MAX).map(|_| hub.listen_in_task().unwrap()).collect();
        assert!(hub.listen_in_task().is_none());
        drop(streams);
        assert!(hub.listen_in_task().is_some());
        hub.dismiss(id);
        assert!(capture.queue.recv().is_err());
        assert_eq!(hub.proxy_id().len(), 12);
    }
}
