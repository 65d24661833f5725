//! Texts to digests, and what is counted per digest.

pub mod grammar;
pub mod query_ids;
mod row;
mod statement;
mod table;
mod texts;

pub(crate) use row::{Execution, Row, Source, Wanted};
pub(crate) use statement::Statement;
pub(crate) use table::DigestTable;
pub(crate) use texts::{Described, TextEntry, Texts};
