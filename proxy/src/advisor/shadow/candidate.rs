//! Candidates as real indexes of the shadow, and what the catalogue should say of them.

use super::super::side::SideError;
use super::client::{Writer, literal};
use super::files::Length;
use super::{CANDIDATE, Paths, expressions};
use pgsonde_advisor::advice::share_of;
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl::{self, qualified};
use pgsonde_advisor::planner::{CandidateSpec, KeyPart, Method};
use pgsonde_advisor::size;

/// One candidate as it was made in the shadow.
pub(super) struct Candidate {
    pub(super) parts: Vec<Part>,
    /// Sets pages and rows of all parts.
    pub(super) counts: String,
    /// Its expression has no statistics.
    pub(super) guessed: bool,
    btree: bool,
    width: f64,
    block_size: u64,
}

/// Its index on the table, or on one partition.
pub(super) struct Part {
    schema: String,
    pub(super) name: String,
    blocks: u64,
}

impl Candidate {
    /// Creates it over the empty table, or each empty partition.
    pub(super) fn create(
        builder: &Writer,
        owner: &Writer,
        catalog: &Catalog,
        spec: &CandidateSpec,
        number: usize,
    ) -> Result<Self, String> {
        let relation = catalog.relations.get(&spec.table).ok_or("its table is gone")?;
        let (_, rows) = catalog.pages_and_rows(spec.table);
        let (body, share) = (ddl::body(spec), share_of(catalog, spec));
        let (mut parts, mut counts) = (Vec::new(), Vec::new());
        let mut guessed = false;
        for (at, leaf) in catalog.leaves(spec.table).into_iter().enumerate() {
            let name = format!("{CANDIDATE}{number}_{at}");
            let sql = format!("CREATE INDEX {name} ON {} {body}", qualified(leaf));
            owner.run(&sql).map_err(|error| match error {
                SideError::Server { code, .. } => {
                    format!("the shadow refused it (SQLSTATE {code})")
                }
                other => other.to_string(),
            })?;
            if spec.keys.iter().any(|key| matches!(key.part, KeyPart::Expression(_))) {
                guessed |= !expressions::describe(builder, owner, leaf, spec, &name);
            }
            let part = leaf.rows() / rows.max(1.0);
            let bytes = spec.size_bytes as f64 * part;
            let blocks = (bytes / catalog.block_size() as f64).ceil().max(2.0) as u64;
            let tuples = leaf.rows() * share;
            counts.push(format!(
                "({}, {}, {blocks}, {tuples})",
                literal(&leaf.schema),
                literal(&name)
            ));
            parts.push(Part { schema: leaf.schema.clone(), name, blocks });
        }
        let width = spec.keys.iter().map(|key| match &key.part {
            KeyPart::Column(column) => size::width_of(catalog, relation, column),
            KeyPart::Expression(_) => 16.0,
        });
        Ok(Self {
            counts: format!(
                "UPDATE pg_class c SET relpages = v.pages, reltuples = v.tuples \
                 FROM (VALUES {}) v(schema, name, pages, tuples) JOIN pg_namespace n ON n.nspname = v.schema \
                 WHERE c.relnamespace = n.oid AND c.relname = v.name",
                counts.join(", ")
            ),
            width: width.sum(),
            btree: spec.method == Method::Btree,
            block_size: catalog.block_size(),
            parts,
            guessed,
        })
    }

    pub(super) fn lengths<'a>(&'a self, paths: &'a Paths) -> impl Iterator<Item = Length> + 'a {
        self.parts.iter().filter_map(|part| {
            let path = paths.get(&(part.schema.clone(), part.name.clone()))?.clone();
            let bytes = part.blocks * self.block_size;
            let height = self.btree.then(|| size::height(bytes, self.width) as u32);
            Some(Length { path, blocks: part.blocks, height })
        })
    }
}
