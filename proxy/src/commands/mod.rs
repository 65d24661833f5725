//! One file per command: its arguments, and what it does with them.

pub(crate) mod doctor;
pub(crate) mod report;
