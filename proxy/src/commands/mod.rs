//! One file per command: its arguments, and what it does with them.

pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod report;
pub(crate) mod tail;
pub(crate) mod top;

pub(crate) use crate::export::text::clean as plain;

use std::io::IsTerminal as _;

/// Whether standard output gets colours: `always`, `never`, or what terminal and environment say.
pub(crate) fn colours(when: &str) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match when {
        "always" => true,
        "never" => false,
        _ if set("CLICOLOR_FORCE") => true,
        _ => {
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
        }
    }
}
