//! One file per command: its arguments, and what it does with them.

pub(crate) mod audit;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod report;
