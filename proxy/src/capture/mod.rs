//! Events for whoever listens: capture files, live streams, and what becomes of files later.
//!
//! * [`hub`] hands out what the analyzer heard; `compose` turns it into lines; `writer` puts lines into files.
//! * `reader` reads files, however they ended; `replay` makes of them the snapshot that the proxy had.

mod compose;
mod control;
pub(crate) mod files;
mod finding_line;
mod finding_watch;
mod hub;
mod kinds;
pub(crate) mod reader;
mod replay;
mod stream;
mod words;
mod writer;

pub(crate) use compose::{Composer, Identity, is_sampled, statement_line};
pub(crate) use files::SUFFIX;
pub(crate) use finding_line::{lasting, read as finding_of, write as write_finding};
pub(crate) use finding_watch::FindingWatch;
pub(crate) use hub::{Ear, News, STREAMS_MAX};
pub(crate) use stream::{EventStream, FileStream, Rate};
pub(crate) use writer::Ends;

pub use control::Events;
pub use kinds::Kinds;
pub(crate) use reader::{FileHead, Lines, is_capture, read as read_lines};
pub(crate) use replay::{Replayed, replay};

/// The cause in words, without the operating system's number for it.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
