//! The PostgreSQL wire protocol (version 3) as pgsonde reads it.
//!
//! Pure and deterministic: bytes and time stamps go in, facts come out. No sockets, no clock, no threads. Nothing
//! in this crate can stop, delay or change the conversation: an [`Error`] only means that the caller should
//! forward the session without looking at it any more.
//!
//! * [`frame`] finds messages in a byte stream, whatever its chunking.
//! * [`frontend`] and [`backend`] are borrowed views of the messages that matter.
//! * [`sasl`] edits the offer of SASL mechanisms where channel binding can't pass.
//! * [`startup`] reads what a client says before the main phase.
//! * [`tracker`] pairs requests with answers and times them.
//! * [`foreign`] is the only place that knows the `pgwire` crate.
//!
//! Source: PostgreSQL manual, chapter "Frontend/Backend Protocol".

pub mod backend;
pub mod foreign;
pub mod frame;
pub mod frontend;
pub mod limits;
pub mod reader;
pub mod sasl;
pub mod startup;
pub mod tracker;

/// Microseconds on the caller's monotonic clock.
pub type Micros = u64;

/// Why a byte stream can't be followed any more. Carries no user bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A frame length below 4 or above 2^31 - 1.
    #[error("frame {tag:?} has an impossible length")]
    Length {
        /// Tag of the frame.
        tag: char,
    },
    /// The inside of a frame that must be understood is broken.
    #[error("frame {tag:?} is malformed at byte {offset} of its body")]
    Malformed {
        /// Tag of the frame.
        tag: char,
        /// Offset in the body, in bytes.
        offset: u32,
    },
    /// A server frame that answers nothing that was asked.
    #[error("the server sent {tag:?}, which answers nothing that was asked")]
    Desync {
        /// Tag of the frame.
        tag: char,
    },
    /// CopyBothResponse: the session became a replication stream.
    #[error("the session became a replication stream")]
    Replication,
    /// More requests are outstanding than [`limits::REPLY_QUEUE_ENTRIES_MAX`].
    #[error("too many requests are outstanding")]
    QueueFull,
}
