//! The grammar: PostgreSQL's own parser, asked once per shape. The only place with its types.

mod conditions;
mod ddl;
mod node;
pub mod scans;
mod scope;
mod smells;
#[cfg(test)]
mod tests;
mod walk;

use crate::facts::StatementFacts;
use crate::text::StableHash;
use pg_query::{FingerprintOptions, ParserOptions};
use std::marker::PhantomData;

/// Longest text that the parser is given, in bytes: deeper trees could exhaust the stack.
pub const PARSED_BYTES_MAX: usize = 64 * 1024;

/// The parser. Make one, on a thread that lives as long as the process and has a stack of 8 MiB: each thread that
/// ever parses costs a thread-local key of which there are about a thousand. It can't be sent elsewhere.
#[derive(Debug, Default)]
pub struct Grammar {
    on_one_thread: PhantomData<*const ()>,
}

/// What the parser says about one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysed {
    /// Equal for statements that mean the same: names of aliases, literals, parameters and list lengths are out of it.
    pub fingerprint: u64,
    /// Its facts; `None` where the tree is too deep to be read (the fingerprint still holds).
    pub facts: Option<StatementFacts>,
}

impl Grammar {
    /// Makes a parser; it has no state of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Analyses [`crate::text::Part::parser_text`]. `None` where the text is no statement of PostgreSQL 18, is empty,
    /// longer than [`PARSED_BYTES_MAX`], or holds a NUL.
    pub fn analyse(&self, parser_text: &str) -> Option<Analysed> {
        if parser_text.len() > PARSED_BYTES_MAX || parser_text.trim_ascii().is_empty() {
            return None;
        }
        // the default mode lets an alias stand for its table: `users t` would be `orders t`
        let options = FingerprintOptions::RANGEVAR_PG17_COMPAT;
        let found = pg_query::fingerprint(parser_text, ParserOptions::from(0), options).ok()?;
        let parsed = pg_query::parse(parser_text, ParserOptions::from(0)).ok();
        let statement = parsed.as_ref().and_then(|parsed| match &parsed.protobuf.stmts[..] {
            [only] => node::boxed(&only.stmt),
            _ => None,
        });
        let facts = statement.map(walk::facts);
        let fingerprint = match &facts {
            Some(facts) => with_numbered_names(found.value, facts),
            None => found.value,
        };
        Some(Analysed { fingerprint, facts })
    }
}

/// The parser's fingerprint leaves runs of two or more digits out of table names, so that names made up per
/// process are one. But `orders_2024` isn't `orders_2025`, so they are put back; what names flood the table of
/// digests is for its limit to hold.
fn with_numbered_names(fingerprint: u64, facts: &StatementFacts) -> u64 {
    let mut hash = StableHash::new(fingerprint);
    let mut any = false;
    for relation in facts.relations.iter().filter(|relation| is_numbered(&relation.name)) {
        hash.bytes(relation.name.as_bytes());
        any = true;
    }
    if any { hash.finish() } else { fingerprint }
}

fn is_numbered(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair.iter().all(u8::is_ascii_digit))
}
