//! Which direction of a session was woken: each has a waker of its own, so that a wake-up for one doesn't poll the
//! sockets of the other as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Wakes the session's task, and remembers for which direction.
struct Direction {
    woken: AtomicBool,
    task: Waker,
}

impl Wake for Direction {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// A direction as the relay sees it.
struct Side {
    direction: Arc<Direction>,
    /// The same, as sockets want it.
    waker: Waker,
}

impl Side {
    /// Nothing is known of its sockets yet, so that it counts as woken.
    fn new(task: &Waker) -> Self {
        let direction = Direction { woken: AtomicBool::new(true), task: task.clone() };
        let direction = Arc::new(direction);
        Self { waker: Waker::from(Arc::clone(&direction)), direction }
    }
}

/// The wake-ups of both directions of one session.
#[derive(Default)]
pub(super) struct Wakeups {
    sides: Option<[Side; 2]>,
    /// The directions share no place for a waker. Those of TLS do: reading may have to write.
    apart: bool,
}

impl Wakeups {
    /// For two sockets without TLS.
    pub(super) fn apart() -> Self {
        Self { apart: true, sides: None }
    }

    /// Comes before everything else whenever the task is polled.
    pub(super) fn polled_by(&mut self, task: &Waker) {
        let same = |sides: &[Side; 2]| sides[0].direction.task.will_wake(task);
        if !self.sides.as_ref().is_some_and(same) {
            self.sides = Some([Side::new(task), Side::new(task)]);
        }
        if !self.apart && (0..2).any(|side| self.is_woken(side)) {
            self.wake_both();
        }
    }

    fn is_woken(&self, side: usize) -> bool {
        self.flag(side).is_some_and(|woken| woken.load(Ordering::Acquire))
    }

    fn flag(&self, side: usize) -> Option<&AtomicBool> {
        self.sides.as_ref().map(|sides| &sides[side].direction.woken)
    }

    /// Whether a direction was woken since the last time; if so, what its sockets are to wake.
    ///
    /// The note is taken away before the sockets are asked: a wake-up in between stays noted.
    pub(super) fn take(&self, side: usize) -> Option<Waker> {
        let side = &self.sides.as_ref()?[side];
        let woken = side.direction.woken.load(Ordering::Acquire);
        woken.then(|| {
            side.direction.woken.store(false, Ordering::Release);
            side.waker.clone()
        })
    }

    /// A direction has moved something, and may be able to go on.
    pub(super) fn keep(&self, side: usize) {
        if let Some(woken) = self.flag(side) {
            woken.store(true, Ordering::Release);
        }
    }

    /// One direction changed what the other one has to do.
    pub(super) fn wake_both(&self) {
        (0..2).for_each(|side| self.keep(side));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_is_woken_alone() {
        let mut wakeups = Wakeups::apart();
        wakeups.polled_by(Waker::noop());
        let first = wakeups.take(0).expect("new, so woken");
        assert!(wakeups.take(1).is_some() && wakeups.take(0).is_none());
        first.wake();
        wakeups.polled_by(Waker::noop());
        assert!(wakeups.take(1).is_none() && wakeups.take(0).is_some());
        wakeups.keep(0);
        assert!(wakeups.take(0).is_some());
    }

    #[test]
    fn directions_that_share_are_woken_together() {
        let mut wakeups = Wakeups::default();
        wakeups.polled_by(Waker::noop());
        let first = wakeups.take(0).expect("new, so woken");
        assert!(wakeups.take(1).is_some());
        first.wake_by_ref();
        wakeups.polled_by(Waker::noop());
        assert!(wakeups.take(1).is_some() && wakeups.take(0).is_some());
    }

    #[test]
    fn another_task_gets_wakers_of_its_own() {
        let mut wakeups = Wakeups::apart();
        wakeups.polled_by(Waker::noop());
        assert!(wakeups.take(0).is_some() && wakeups.take(1).is_some());
        struct Other;
        impl Wake for Other {
            fn wake(self: Arc<Self>) {}
        }
        wakeups.polled_by(&Waker::from(Arc::new(Other)));
        assert!(wakeups.take(0).is_some() && wakeups.take(1).is_some());
    }
}
