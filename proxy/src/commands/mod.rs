//! Commands of the command line: arguments, and the call that does it.

pub(crate) mod doctor;
