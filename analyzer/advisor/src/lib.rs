//! The core of the index advisor: what statements ask for, which indexes could serve it, what those would cost,
//! and which of them are worth having.
//!
//! Pure: no I/O, clock, threads or randomness. One run is a function of the workload, the catalogue image and the
//! planner's answers.

pub mod access;
pub mod advice;
pub mod candidate;
pub mod catalog;
pub mod ddl;
pub mod dispensable;
pub mod expression;
pub mod facts;
pub mod formula;
pub mod planner;
pub mod select;
pub mod size;
mod unions;
pub mod verdict;
pub mod workload;
pub mod write_cost;
