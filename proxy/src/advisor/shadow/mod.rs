//! The shadow: a private scratch server with the target's schema and statistics and no rows.
//!
//! Candidates are really created there, over empty tables, and switched on and off; what the planner would do with
//! them is then asked with the workload's own values. Files have the target's sizes and no contents, so nothing can be
//! read there, and nothing is: only EXPLAIN runs. Two roles divide the work. The builder, a superuser, writes
//! catalogues and never runs a text of the target; the planner, a plain role that owns what was imported, plans, since
//! planning executes immutable functions of the target.

mod candidate;
mod client;
mod cluster;
mod combinations;
mod expressions;
mod files;
mod planner;
mod programs;
mod schema;
mod spine;
mod statistics;

pub(super) use planner::Tiered;

use super::proof::Unavailable;
use super::side::{Side, SideError};
use candidate::Candidate;
use client::{Writer, literal};
use cluster::{BUILDER, Cluster};
use files::{Files, Length};
use pgsonde_advisor::catalog::{Catalog, ExtendedStatistics, Index, Oid, Relation};
use pgsonde_advisor::planner::CandidateSpec;
use pgsonde_advisor::size;
use pgsonde_advisor::workload::{Sample, Workload};
use schema::By;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The role that owns what was imported, and plans.
const PLANNER: &str = "planner";
/// Relations that a shadow may hold.
const RELATIONS_MAX: usize = 5_000;
/// Names of candidates begin so.
const CANDIDATE: &str = "pgsonde_candidate_";

/// Where shadows come from and go to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The folder of `initdb` and `postgres`, if not found by itself.
    pub(crate) programs: Option<PathBuf>,
    /// The folder to make shadows in.
    pub(crate) folder: Option<PathBuf>,
    /// The account that the server runs as when we are root.
    pub(crate) user: String,
}

impl From<SideError> for Unavailable {
    fn from(error: SideError) -> Self {
        // a message of the shadow may quote a value of the statistics: its code says enough
        let why = match error {
            SideError::Server { code, .. } => {
                format!("the shadow refused a step (SQLSTATE {code})")
            }
            other => format!("the shadow did not answer: {other}"),
        };
        Self::new(why, "please report this".to_owned())
    }
}

/// A shadow of one target.
pub(super) struct Shadow {
    // closed before the server ends
    builder: Option<Writer>,
    side: Option<Side>,
    cluster: Cluster,
    search_path: Vec<String>,
    /// Relations that aren't what they are on the target, and why.
    unlike: BTreeMap<Oid, String>,
    /// This machine lacks the target's locale.
    foreign_locale: bool,
    /// Extended statistics whose most common combinations could not be copied, by schema and name.
    uncombined: BTreeSet<(String, String)>,
    /// Levels of btrees, as the target's plans tell them.
    heights: HashMap<String, u32>,
    /// Candidates: names of their indexes (one per table or partition).
    candidates: Vec<Vec<String>>,
    /// Candidates whose expression has no statistics.
    guessed: Vec<bool>,
    on: Vec<usize>,
    /// Time that building took, all waves of candidates included.
    took: Duration,
}

impl Shadow {
    /// Builds schema and statistics; the files are still empty, so that indexes can be made.
    pub(super) fn build(
        catalog: &Catalog,
        workload: &Workload,
        search_path: &[String],
        place: &Place,
    ) -> Result<Self, Unavailable> {
        let begun = Instant::now();
        if catalog.relations.len() > RELATIONS_MAX {
            return Err(Unavailable::new(
                format!("the database has more than {RELATIONS_MAX} relations"),
                "use a role that may read the relevant schemas only".to_owned(),
            ));
        }
        let programs = programs::find(catalog.server_version / 10_000, place.programs.as_deref())?;
        let (mut cluster, same_locale) = Cluster::create(&programs, place, catalog)?;
        cluster.start()?;
        let builder = Writer::connect(&cluster, BUILDER)?;
        check_layout(&builder, catalog)?;
        let mut shadow = Self {
            builder: Some(builder),
            side: None,
            cluster,
            search_path: search_path.to_vec(),
            unlike: BTreeMap::new(),
            foreign_locale: !same_locale,
            uncombined: BTreeSet::new(),
            heights: heights(catalog, workload),
            candidates: Vec::new(),
            guessed: Vec::new(),
            on: Vec::new(),
            took: Duration::ZERO,
        };
        shadow.import(catalog)?;
        shadow.took = begun.elapsed();
        Ok(shadow)
    }

    fn builder(&self) -> Result<&Writer, Unavailable> {
        self.builder
            .as_ref()
            .ok_or_else(|| Unavailable::new("the shadow is gone".to_owned(), String::new()))
    }

    fn import(&mut self, catalog: &Catalog) -> Result<(), Unavailable> {
        let builder = self.builder()?;
        builder.run(&format!("CREATE ROLE {PLANNER} LOGIN"))?;
        builder.run(&format!("ALTER DATABASE {} OWNER TO {PLANNER}", client::DATABASE))?;
        for setting in schema::settings(catalog, &self.search_path) {
            // a setting that this minor version lacks has its default on the target as well
            let _ = builder.run(&setting);
        }
        let owner = Writer::connect(&self.cluster, PLANNER)?;
        let failed = create(builder, &owner, schema::objects(catalog));
        statistics::prepare(builder)?;
        let unread = statistics::copy(builder, catalog)?;
        let extended: Vec<String> = statistics::extended(catalog);
        let unextended = extended.iter().filter(|sql| builder.run(sql).is_err()).count();
        let lists =
            catalog.extended.iter().filter(|found| found.readable && found.common_values.is_some());
        let castable = combinations::prepare(builder).is_ok();
        let uncopied = lists
            .filter(|found| !castable || !combinations::copy(builder, &owner, catalog, found))
            .map(|found| found.name.clone())
            .collect();
        self.uncombined = uncopied;
        self.note_failures(catalog, failed, unread);
        self.note_doubts(catalog, unextended > 0);
        Ok(())
    }

    fn note_failures(
        &mut self,
        catalog: &Catalog,
        failed: Vec<(Oid, String)>,
        unread: Vec<(String, String, String)>,
    ) {
        for (oid, why) in failed {
            self.unlike.entry(oid).or_insert(why);
        }
        for (schema, name, column) in unread {
            let of = |relation: &&Relation| {
                relation.schema == schema
                    && (relation.name == name
                        || relation.indexes.iter().any(|index| index.name == name))
            };
            if let Some(relation) = catalog.relations.values().find(of) {
                let why = format!("the statistics of {column} could not be copied");
                self.unlike.entry(relation.oid).or_insert(why);
            }
        }
    }

    /// What the catalogue itself says can't be carried over.
    fn note_doubts(&mut self, catalog: &Catalog, unextended: bool) {
        for relation in catalog.relations.values() {
            let why = if relation.row_security {
                Some("row security adds conditions that the shadow does not have")
            } else if relation.kind == 'f' {
                Some("it is a foreign table")
            } else if !relation.readable {
                Some("the role may not read it")
            } else {
                None
            };
            if let Some(why) = why {
                self.unlike.entry(relation.oid).or_insert(why.to_owned());
            }
        }
        for extended in &catalog.extended {
            if !extended.readable || unextended {
                let why = format!(
                    "its extended statistics {} are shown to its owner only, or have not been gathered",
                    extended.name.1
                );
                self.unlike.entry(extended.relation).or_insert(why);
            }
        }
    }

    /// Why answers about this sample prove nothing, if so.
    fn doubt(&self, catalog: &Catalog, sample: &Sample) -> Option<String> {
        if sample.assumed_values {
            return Some("its values are not known".to_owned());
        }
        for table in sample.scans.iter().filter_map(|bound| bound.table) {
            if let Some((oid, why)) = self.unlike_part(catalog, table) {
                let name = catalog.relations.get(oid).map_or("", |relation| relation.name.as_str());
                return Some(format!("{name} could not be rebuilt as it is: {why}"));
            }
        }
        if let Some(name) = self.common_combinations(catalog, sample) {
            return Some(format!("the most common combinations of {name} could not be copied"));
        }
        (self.foreign_locale && compares_text(catalog, sample))
            .then(|| format!("this machine lacks the target's locale {}", catalog.database.collate))
    }

    /// The first part of a table, or the table itself, that isn't as on the target; and why.
    fn unlike_part(&self, catalog: &Catalog, table: Oid) -> Option<(&Oid, &String)> {
        let parts = catalog.leaves(table);
        let mut parts = parts.iter().map(|leaf| leaf.oid).chain([table]);
        parts.find_map(|oid| self.unlike.get_key_value(&oid))
    }

    /// Extended statistics whose list is missing and that two or more conditions of the sample are about.
    fn common_combinations<'a>(&self, catalog: &'a Catalog, sample: &Sample) -> Option<&'a str> {
        sample.scans.iter().filter(|bound| bound.scan.predicates.len() > 1).find_map(|bound| {
            let parts = catalog.leaves(bound.table?);
            let of =
                |oid: Oid| Some(oid) == bound.table || parts.iter().any(|leaf| leaf.oid == oid);
            let missing = |found: &&ExtendedStatistics| {
                self.uncombined.contains(&found.name) && of(found.relation)
            };
            catalog.extended.iter().find(missing).map(|found| found.name.1.as_str())
        })
    }

    /// Creates candidates, gives every file its length, and opens the side that plans. One reason per candidate that
    /// can't be made.
    fn add(
        &mut self,
        catalog: &Catalog,
        specs: &[CandidateSpec],
    ) -> Result<Vec<Option<String>>, Unavailable> {
        let begun = Instant::now();
        if self.side.take().is_some() {
            self.empty_heaps(catalog)?;
        }
        let owner = Writer::connect(&self.cluster, PLANNER)?;
        // expressions of the workload name functions and operators as its sessions find them
        owner.run(&schema::set_search_path(&self.search_path))?;
        let builder = self.builder()?;
        let (mut made, mut lengths) = (Vec::new(), Vec::new());
        for (at, spec) in specs.iter().enumerate() {
            let number = self.candidates.len() + at;
            made.push(Candidate::create(builder, &owner, catalog, spec, number));
        }
        if let Some(counts) = statistics::counts(catalog) {
            builder.run(&counts)?;
        }
        for candidate in made.iter().flatten() {
            builder.run(&candidate.counts)?;
        }
        let paths = paths(builder)?;
        drop(owner);
        for candidate in made.iter().flatten() {
            lengths.extend(candidate.lengths(&paths));
        }
        lengths.extend(self.lengths(catalog, &paths));
        self.reopen(catalog, |files| files.extend(&lengths))?;
        let mut outcome = Vec::new();
        for (made, spec) in made.into_iter().zip(specs) {
            let (names, guessed, why) = match made {
                Ok(candidate) => (
                    candidate.parts.into_iter().map(|part| part.name).collect(),
                    candidate.guessed,
                    None,
                ),
                // Arithmetic has to do for a table that isn't here.
                Err(_) if self.unlike_part(catalog, spec.table).is_some() => {
                    (Vec::new(), true, None)
                }
                Err(why) => (Vec::new(), true, Some(why)),
            };
            self.candidates.push(names);
            self.guessed.push(guessed);
            outcome.push(why);
        }
        self.switch(&[])?;
        self.side = Some(Side::connect(&client::config(&self.cluster.folder, PLANNER))?);
        self.took += begun.elapsed();
        Ok(outcome)
    }

    /// A later wave: tables become empty again, else CREATE INDEX would read their holes.
    fn empty_heaps(&mut self, catalog: &Catalog) -> Result<(), Unavailable> {
        let paths = paths(self.builder()?)?;
        let heaps: Vec<String> = catalog
            .relations
            .values()
            .filter(|relation| matches!(relation.kind, 'r' | 'm'))
            .filter_map(|relation| paths.get(&(relation.schema.clone(), relation.name.clone())))
            .cloned()
            .collect();
        self.reopen(catalog, |files| {
            files.shorten(&heaps).map_err(|error| {
                Unavailable::new(
                    format!("cannot shorten the shadow's files: {error}"),
                    String::new(),
                )
            })
        })
    }

    /// Changes files while the server stands still.
    fn reopen(
        &mut self,
        catalog: &Catalog,
        change: impl FnOnce(&Files<'_>) -> Result<(), Unavailable>,
    ) -> Result<(), Unavailable> {
        (self.builder, self.side) = (None, None);
        self.cluster.stop()?;
        let data = self.cluster.folder.join("data");
        change(&Files {
            data: &data,
            owner: self.cluster.owner,
            block_size: catalog.block_size(),
            segment_blocks: catalog.number("segment_size", 131_072.0) as u64,
        })?;
        self.cluster.start()?;
        self.builder = Some(Writer::connect(&self.cluster, BUILDER)?);
        Ok(())
    }

    /// Lengths of what exists on the target.
    fn lengths(&self, catalog: &Catalog, paths: &Paths) -> Vec<Length> {
        let mut all = Vec::new();
        for relation in
            catalog.relations.values().filter(|relation| matches!(relation.kind, 'r' | 'm'))
        {
            let mut add = |name: &str, blocks: u64, height: Option<u32>| {
                if let Some(path) = paths.get(&(relation.schema.clone(), name.to_owned())) {
                    all.push(Length { path: path.clone(), blocks, height });
                }
            };
            add(&relation.name, relation.blocks, None);
            for index in relation.indexes.iter().filter(|index| index.valid) {
                let is_btree = index.access_method == "btree";
                let height = is_btree.then(|| self.height(catalog, relation, index));
                add(&index.name, index.blocks, height);
            }
        }
        all
    }

    fn height(&self, catalog: &Catalog, relation: &Relation, index: &Index) -> u32 {
        if let Some(known) = self.heights.get(&index.name) {
            return *known;
        }
        let width = index.keys.iter().map(|key| {
            key.column.as_ref().map_or(16.0, |column| size::width_of(catalog, relation, column))
        });
        size::height(index.blocks * catalog.block_size(), width.sum()) as u32
    }

    /// Takes exactly these candidates as existing.
    fn switch(&mut self, on: &[usize]) -> Result<(), Unavailable> {
        let flip: Vec<usize> = (0..self.candidates.len())
            .filter(|at| on.contains(at) != self.on.contains(at) || self.side.is_none())
            .collect();
        let mut sql = String::new();
        for valid in [true, false] {
            let names: Vec<String> = flip
                .iter()
                .filter(|at| on.contains(at) == valid)
                .flat_map(|at| &self.candidates[*at])
                .map(|name| literal(name))
                .collect();
            if !names.is_empty() {
                sql.push_str(&format!(
                    "UPDATE pg_index SET indisvalid = {valid} FROM pg_class c \
                     WHERE c.oid = indexrelid AND c.relname IN ({});",
                    names.join(", ")
                ));
            }
        }
        if !sql.is_empty() {
            self.builder()?.run(&sql)?;
        }
        self.on = on.to_vec();
        Ok(())
    }
}

/// File below the data folder by schema and name.
type Paths = HashMap<(String, String), String>;

fn paths(builder: &Writer) -> Result<Paths, Unavailable> {
    let mut found = HashMap::new();
    let sql = "SELECT n.nspname, c.relname, pg_relation_filepath(c.oid) AS path FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'i', 'm') \
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    builder.each(sql, |row| {
        found.insert((row.text("nspname"), row.text("relname")), row.text("path"));
    })?;
    Ok(found)
}

/// Makes everything that can be made, in as many passes as bring something; gives relations that miss something.
fn create(
    builder: &Writer,
    owner: &Writer,
    mut objects: Vec<schema::Object>,
) -> Vec<(Oid, String)> {
    loop {
        let before = objects.len();
        let mut failed = Vec::new();
        let mut why = Vec::new();
        for object in objects {
            let by = if object.by == By::Builder { builder } else { owner };
            match by.run(&object.sql) {
                Ok(()) => {}
                Err(error) => {
                    why.push(match error {
                        SideError::Server { message, .. } => message,
                        other => other.to_string(),
                    });
                    failed.push(object);
                }
            }
        }
        if failed.is_empty() || failed.len() == before {
            let named = failed.into_iter().zip(why);
            return named
                .filter_map(|(object, why)| {
                    Some((object.relation?, format!("{} is missing ({why})", object.what)))
                })
                .collect();
        }
        objects = failed;
    }
}

fn check_layout(builder: &Writer, catalog: &Catalog) -> Result<(), Unavailable> {
    let mut same = true;
    let sql = "SELECT name, setting FROM pg_settings WHERE name IN ('block_size', 'segment_size')";
    builder.each(sql, |row| {
        same &= catalog
            .settings
            .get(&row.text("name"))
            .is_none_or(|known| *known == row.text("setting"));
    })?;
    same.then_some(()).ok_or_else(|| {
        Unavailable::new(
            "the target was built with another block or segment size than the programs here"
                .to_owned(),
            "name the folder of the target's own build in shadow_bin_dir".to_owned(),
        )
    })
}

fn compares_text(catalog: &Catalog, sample: &Sample) -> bool {
    let is_text = |table: Oid, column: &str| {
        let relation = catalog.relations.get(&table);
        let column = relation.and_then(|relation| relation.column(column));
        let of = column.and_then(|column| catalog.types.get(&column.type_oid));
        of.is_some_and(|found| found.category == 'S')
    };
    sample.scans.iter().any(|bound| {
        bound
            .table
            .is_some_and(|table| bound.scan.columns.iter().any(|column| is_text(table, column)))
    })
}

/// Levels of btrees, from the cost that plans of the target have until the first row of an index scan: so many
/// comparisons as the logarithm of the entries, and 50 for each level.
fn heights(catalog: &Catalog, workload: &Workload) -> HashMap<String, u32> {
    let operator = catalog.number("cpu_operator_cost", 0.0025);
    let rows: HashMap<&str, f64> = catalog
        .relations
        .values()
        .flat_map(|relation| {
            relation.indexes.iter().filter(|index| index.access_method == "btree").map(|index| {
                let partial = index.predicate.is_some();
                (index.name.as_str(), if partial { index.tuples } else { relation.rows() })
            })
        })
        .collect();
    let mut found = HashMap::new();
    for plan in workload.samples.iter().filter_map(|sample| sample.base.as_ref()) {
        plan.tree.walk(&mut |node| {
            let Some(name) = node.index.as_deref() else { return };
            let Some(rows) = rows.get(name).filter(|_| node.kind.starts_with("Index")) else {
                return;
            };
            let compared = if *rows > 1.0 { rows.round().log2().ceil() * operator } else { 0.0 };
            let levels = (node.startup - compared) / (50.0 * operator) - 1.0;
            if (levels - levels.round()).abs() < 0.2 && (0.0..=6.0).contains(&levels.round()) {
                found.insert(name.to_owned(), levels.round() as u32);
            }
        });
    }
    found
}
