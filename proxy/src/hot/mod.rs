//! The forwarding path, and nothing else.
//!
//! Rules, held by tests:
//! * Forward first: bytes are on their way before anything looks at them.
//! * No heap allocation per steady-state exchange; no lock, no formatting, no `String`, no SQL lexing, no log.
//! * No `.await` but socket I/O. One clock read per socket operation.
//! * Buffers are bounded. Read buffers belong to the worker thread and are lent to a session for one read, so an
//!   idle session owns none.
//! * One task per session drives both directions, so there is nothing to lock between them.
//! * An error of the observing side makes the session opaque; it never reaches the relay.

mod afterglow;
pub mod budget;
pub mod observe;
pub mod outbox;
pub mod plan;
pub mod relay;
pub mod ring;
mod scratch;
pub mod standing;
mod wakeups;
pub mod watch;
