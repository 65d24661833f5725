//! Statements that mean the same, as one.

pub mod grammar;
