//! Events for whoever listens: capture files, live streams, and what becomes of files later.
//!
//! * [`hub`] hands out what the analyzer heard; `compose` turns it into lines; `writer` puts lines into files.
//! * `reader` reads files, however they ended; `replay` makes of them the snapshot that the proxy had.

mod compose;
mod control;
mod files;
mod finding_line;
mod finding_watch;
mod hub;
mod reader;
mod replay;
mod writer;

pub use compose::Kinds;
pub use control::Events;
pub(crate) use reader::is_there;
pub(crate) use replay::replay;

/// The cause in words, without the operating system's number for it.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
