//! One run: verdicts, candidates, selection, and what is said about each index.

use crate::candidate::{self, Context};
use crate::catalog::{Catalog, Oid};
use crate::ddl;
use crate::dispensable::{self, Dispensable};
use crate::facts::{Class, Key, LiteralKind, Operation, Predicate, Scan, Value};
use crate::formula::Estimator;
use crate::planner::{
    CandidateId, CandidateSpec, KeyPart, Method, Plan, PlanJob, Planner, SampleId, Trust,
};
use crate::select::{Chosen, Priced, Room, Selection, Weighted};
use crate::size;
use crate::unions;
use crate::verdict::{self, Numbers, Verdict};
use crate::workload::{BoundScan, Sample, Workload};
use crate::write_cost::{self, WriteCost};
use std::cell::RefCell;

/// Most candidates of a run.
const CANDIDATES_MAX: usize = 200;
/// Plans shown for an index.
const PLANS_MAX: usize = 3;
/// Default budget: this share of the heaps, and at least so many bytes.
const BUDGET_SHARE: f64 = 0.1;
/// As [`BUDGET_SHARE`], bytes.
const BUDGET_MIN_BYTES: u64 = 256 << 20;
/// Most new indexes of one table.
const PER_TABLE_MAX: usize = 3;
/// The same where a budget is named.
const PER_TABLE_BUDGETED_MAX: usize = 5;

/// An index worth having.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Stable identity.
    pub id: u64,
    /// What it is.
    pub spec: CandidateSpec,
    /// Statements that build it.
    pub ddl: Vec<String>,
    /// The statements that it helps, most first.
    pub statements: Vec<Affected>,
    /// Weighted saving in planner units.
    pub saving_units: f64,
    /// Of the whole workload's cost, 0 to 1.
    pub saving_share: f64,
    /// What it costs writes.
    pub write: WriteCost,
    /// What the costs are worth.
    pub trust: Trust,
    /// What speaks against it, or could change our mind.
    pub reasons_against: Vec<String>,
    /// Hints that may make it unnecessary.
    pub hints: Vec<String>,
    /// Existing indexes that it makes redundant, by name.
    pub replaces: Vec<String>,
    /// What a planner said of the samples that use it, largest saving first; empty where arithmetic did.
    pub plans: Vec<Comparison>,
}

/// One sample's plans without new indexes and with all that are advised.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The sample.
    pub sample: SampleId,
    /// Today's plan.
    pub before: Plan,
    /// The plan with the advised indexes.
    pub after: Plan,
}

/// A digest and what an index does to it, per execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Affected {
    /// Index of the digest.
    pub digest: usize,
    /// Cost per execution without the index.
    pub before: f64,
    /// And with it.
    pub after: f64,
}

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Indexes, largest saving first.
    pub advice: Vec<Advice>,
    /// What else should be known: stale statistics, wrong types.
    pub notes: Vec<String>,
    /// Existing indexes that may be unnecessary.
    pub dispensable: Vec<Dispensable>,
    /// Candidates that were considered.
    pub candidates: usize,
    /// Why scans got no candidate: digest, table, reason.
    pub verdicts: Vec<(usize, Oid, Verdict)>,
}

/// What verdicts left over.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Indexes worth trying.
    pub specs: Vec<CandidateSpec>,
    /// What people should know.
    pub notes: Vec<String>,
    /// As [`Report::verdicts`].
    pub verdicts: Vec<(usize, Oid, Verdict)>,
}

/// Verdicts and candidates; the estimator tells how many rows conditions let through.
pub fn gather(catalog: &Catalog, workload: &Workload, estimator: &mut dyn Estimator) -> Gathered {
    let mut specs: Vec<CandidateSpec> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    let mut verdicts: Vec<(usize, Oid, Verdict)> = Vec::new();
    let calls: f64 = workload.digests.iter().map(|digest| digest.calls).sum();
    let calls_max = workload.digests.iter().map(|digest| digest.calls).fold(0.0, f64::max);
    let estimator = RefCell::new(estimator);
    for (number, sample) in workload.samples.iter().enumerate() {
        for (at, bound) in sample.scans.iter().enumerate() {
            let rows_of =
                |conjuncts: &[usize]| estimator.borrow_mut().rows(SampleId(number), at, conjuncts);
            let digest = &workload.digests[sample.digest];
            let own: Vec<usize> = (0..bound.scan.predicates.len())
                .filter(|at| bound.scan.predicates[*at].text.is_some())
                .collect();
            let filtered = if own.is_empty() { f64::MAX } else { rows_of(&own) };
            let numbers = Numbers { filtered, calls, calls_max };
            if let Some(verdict) = verdict::of_scan(catalog, digest, sample, at, numbers) {
                verdicts.extend(bound.table.map(|oid| (sample.digest, oid, verdict.clone())));
                notes.extend(Some(verdict.text).filter(|text| !text.is_empty() && has_wish(bound)));
                continue;
            }
            let Some(table) = bound.table else { continue };
            let rows = catalog.pages_and_rows(table).1.max(1.0);
            let shares = |predicate: &Predicate| {
                let at = bound
                    .scan
                    .predicates
                    .iter()
                    .position(|known| known == predicate && known.text.is_some());
                at.map_or(0.01, |at| (rows_of(&[at]) / rows).clamp(0.0, 1.0))
            };
            let context = Context { catalog, table, constants: &digest.constants, shares: &shares };
            specs.extend(candidate::of_scan(&context, &bound.scan));
        }
    }
    specs.extend(unions::merged(&specs));
    specs.extend(unions::widened(catalog, &specs));
    let mut unique: Vec<CandidateSpec> = Vec::new();
    for spec in specs {
        let same = |known: &&mut CandidateSpec| {
            CandidateSpec { size_bytes: 0, ..(**known).clone() }
                == CandidateSpec { size_bytes: 0, ..spec.clone() }
        };
        match unique.iter_mut().find(same) {
            Some(known) => known.size_bytes = known.size_bytes.max(spec.size_bytes),
            None => unique.push(spec),
        }
    }
    unique.truncate(CANDIDATES_MAX);
    notes.sort_unstable();
    notes.dedup();
    Gathered { specs: unique, notes, verdicts }
}

fn has_wish(bound: &BoundScan) -> bool {
    !bound.scan.predicates.is_empty() || !bound.scan.order.is_empty()
}

/// Room for new indexes. Who names a budget says how much is wanted; otherwise it goes by the heaps.
pub fn room(catalog: &Catalog, budget_bytes: Option<u64>) -> Room {
    match budget_bytes {
        Some(bytes) => Room { bytes, per_table: PER_TABLE_BUDGETED_MAX },
        None => {
            let share = (catalog.heap_bytes() as f64 * BUDGET_SHARE) as u64;
            Room { bytes: share.max(BUDGET_MIN_BYTES), per_table: PER_TABLE_MAX }
        }
    }
}

/// Selects among `specs` with the planner's answers.
pub fn run(
    catalog: &Catalog,
    workload: &Workload,
    specs: &[CandidateSpec],
    planner: &mut dyn Planner,
    room: Room,
) -> Report {
    let ids = planner.install(specs);
    let options: Vec<Priced> = specs
        .iter()
        .zip(ids)
        .filter_map(|(spec, id)| {
            let write = write_cost::price(
                catalog,
                spec,
                workload.writes_of(spec.table),
                share_of(catalog, spec),
            );
            Some(Priced { id: id.ok()?, spec: spec.clone(), write })
        })
        .collect();
    let samples = weighted(workload, &options);
    let total: f64 = samples.iter().map(|sample| sample.weight * sample.base).sum();
    let chosen = Selection::new(&samples, &options, room).run(planner);
    let set: Vec<CandidateId> = chosen.iter().map(|chosen| chosen.id).collect();
    let mut advice = Vec::new();
    for chosen in &chosen {
        let Some(priced) = options.iter().find(|option| option.id == chosen.id) else { continue };
        let plans = compared(&samples, planner, chosen, &set);
        advice.push(Advice { plans, ..advised(catalog, workload, priced, chosen, total) });
    }
    Report {
        advice,
        notes: Vec::new(),
        dispensable: dispensable::of_tables(catalog),
        candidates: options.len(),
        verdicts: Vec::new(),
    }
}

/// Plans of the samples that an index helps most, one per digest.
fn compared(
    samples: &[Weighted],
    planner: &mut dyn Planner,
    chosen: &Chosen,
    set: &[CandidateId],
) -> Vec<Comparison> {
    let weighted = |id: SampleId| samples.iter().find(|sample| sample.id == id);
    let saving = |(id, without, with): &(SampleId, f64, f64)| {
        weighted(*id).map_or(0.0, |sample| sample.weight) * (without - with)
    };
    let mut uses = chosen.uses.clone();
    uses.retain(|(id, ..)| planner.trust_of(*id, chosen.id) > Trust::Formula);
    uses.sort_by(|one, other| saving(other).total_cmp(&saving(one)));
    let mut digests: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    for sample in uses.iter().filter_map(|(id, ..)| weighted(*id)) {
        if found.len() == PLANS_MAX || digests.contains(&sample.digest) {
            continue;
        }
        let on = set.iter().copied().filter(|id| sample.candidates.contains(id));
        let mut configuration: Vec<CandidateId> = on.collect();
        configuration.sort_unstable();
        let base = PlanJob { sample: sample.id, configuration: Vec::new() };
        let with = PlanJob { sample: sample.id, configuration };
        let mut plans = planner.plan(&[base, with]).into_iter().flatten();
        if let (Some(before), Some(after)) = (plans.next(), plans.next()) {
            digests.push(sample.digest);
            found.push(Comparison { sample: sample.id, before, after });
        }
    }
    found
}

/// Share of rows in a candidate, after its size against that of a full index.
pub fn share_of(catalog: &Catalog, spec: &CandidateSpec) -> f64 {
    if spec.predicate.is_empty() {
        return 1.0;
    }
    let rows = catalog.pages_and_rows(spec.table).1;
    let full = size::candidate_bytes(
        catalog,
        &CandidateSpec { predicate: Vec::new(), ..spec.clone() },
        rows,
    );
    (spec.size_bytes as f64 / full.max(1) as f64).min(1.0)
}

fn weighted(workload: &Workload, options: &[Priced]) -> Vec<Weighted> {
    let of = |sample: &Sample| -> Vec<CandidateId> {
        let on = |table: Oid| sample.scans.iter().any(|bound| bound.table == Some(table));
        options.iter().filter(|option| on(option.spec.table)).map(|option| option.id).collect()
    };
    let samples = workload.samples.iter().enumerate();
    samples
        .filter_map(|(at, sample)| {
            let base = sample.base.as_ref()?.cost;
            let (id, digest, weight) = (SampleId(at), sample.digest, sample.weight);
            Some(Weighted { id, digest, weight, base, candidates: of(sample) })
        })
        .collect()
}

fn advised(
    catalog: &Catalog,
    workload: &Workload,
    priced: &Priced,
    chosen: &Chosen,
    total: f64,
) -> Advice {
    let (spec, trust) = (&priced.spec, chosen.trust);
    Advice {
        id: ddl::identity(catalog, spec),
        ddl: ddl::statements(catalog, spec),
        statements: affected(workload, chosen),
        saving_units: chosen.saving,
        saving_share: if total > 0.0 { chosen.saving / total } else { 0.0 },
        write: priced.write,
        trust,
        reasons_against: reasons(catalog, priced, chosen, trust),
        hints: hints(catalog, workload, spec, chosen),
        replaces: replaces(catalog, spec),
        plans: Vec::new(),
        spec: spec.clone(),
    }
}

fn affected(workload: &Workload, chosen: &Chosen) -> Vec<Affected> {
    let mut sums: Vec<(usize, f64, f64, f64)> = Vec::new();
    for (id, without, with) in &chosen.uses {
        let Some(sample) = workload.sample(*id) else { continue };
        let at =
            sums.iter().position(|(digest, ..)| *digest == sample.digest).unwrap_or_else(|| {
                sums.push((sample.digest, 0.0, 0.0, 0.0));
                sums.len() - 1
            });
        let sum = &mut sums[at];
        *sum = (
            sum.0,
            sum.1 + sample.weight,
            sum.2 + sample.weight * without,
            sum.3 + sample.weight * with,
        );
    }
    sums.sort_by(|one, other| (other.2 - other.3).total_cmp(&(one.2 - one.3)));
    let mean = |(digest, weight, before, after): (usize, f64, f64, f64)| Affected {
        digest,
        before: before / weight.max(f64::MIN_POSITIVE),
        after: after / weight.max(f64::MIN_POSITIVE),
    };
    sums.into_iter().map(mean).collect()
}

fn reasons(catalog: &Catalog, priced: &Priced, chosen: &Chosen, trust: Trust) -> Vec<String> {
    let mut found = Vec::new();
    if trust == Trust::Formula {
        found.push(
            "estimated from statistics by arithmetic; no planner has tried the index".to_owned(),
        );
    }
    if priced.write.entries > 0.0 {
        found.push(format!(
            "writes of this workload add {:.0} index entr{} ({:.0} cost units against {:.0} saved)",
            priced.write.entries,
            if priced.write.entries.round() == 1.0 { "y" } else { "ies" },
            priced.write.units,
            chosen.saving
        ));
        let limit = chosen.saving / 1.5 / priced.write.units.max(f64::MIN_POSITIVE);
        found.push(format!("it would no longer pay if the writes were {limit:.1} times as many"));
    }
    if priced.write.loses_hot {
        found.push(
            "updates of its columns that are heap-only today would write all indexes of the table"
                .to_owned(),
        );
    }
    if priced.spec.method == Method::Gin {
        found.push("the size of a GIN index is known within a factor of two only".to_owned());
    }
    if priced.spec.keys.iter().any(|key| matches!(key.part, KeyPart::Expression(_))) {
        found.push(
            "the server has no statistics on the expression yet: run ANALYZE after building"
                .to_owned(),
        );
    }
    let unseen = catalog
        .relations
        .get(&priced.spec.table)
        .is_some_and(|relation| relation.size_from_relpages);
    found.extend(unseen.then(|| "the table's size is that of its last ANALYZE".to_owned()));
    found
}

fn hints(
    catalog: &Catalog,
    workload: &Workload,
    spec: &CandidateSpec,
    chosen: &Chosen,
) -> Vec<String> {
    let Some(relation) = catalog.relations.get(&spec.table) else { return Vec::new() };
    let samples = chosen.uses.iter().filter_map(|(id, ..)| workload.sample(*id));
    let scans = samples
        .flat_map(|sample| sample.scans.iter().filter(|bound| bound.table == Some(spec.table)));
    let mut found: Vec<String> =
        scans.filter_map(|bound| verdict::wrapped(relation, &bound.scan)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Existing indexes whose keys the new one begins with.
fn replaces(catalog: &Catalog, spec: &CandidateSpec) -> Vec<String> {
    let Some(relation) = catalog.relations.get(&spec.table) else { return Vec::new() };
    let begins = |index: &&crate::catalog::Index| {
        let same = |(have, new): (&crate::catalog::IndexKey, &crate::planner::KeySpec)| {
            have.column.as_ref().is_some_and(|column| new.part == KeyPart::Column(column.clone()))
                && have.descending == new.descending
                && have.nulls_first == new.nulls_first
                && new.opclass.is_none()
        };
        index.valid
            && index.access_method == "btree"
            && spec.method == Method::Btree
            && spec.predicate.is_empty()
            && index.predicate.is_none()
            && !index.unique
            && !index.of_constraint
            && index.include.is_empty()
            && index.keys.len() < spec.keys.len()
            && index.keys.iter().zip(&spec.keys).all(same)
    };
    relation.indexes.iter().filter(begins).map(|index| index.name.clone()).collect()
}

/// C11: what a parent's DELETE or re-keying costs in each child, as a sample of its own per foreign key without an
/// index. The text looks for one value that the statistics know.
pub fn foreign_key_samples(catalog: &Catalog, workload: &Workload) -> Vec<Sample> {
    let mut found = Vec::new();
    for (parent, writes) in &workload.writes {
        for child in
            catalog.relations.values().filter(|relation| matches!(relation.kind, 'r' | 'p'))
        {
            for key in child.constraints.iter().filter(|key| !key.inherited) {
                let Some((_, referenced, _)) = key.foreign.as_ref().filter(|(to, ..)| to == parent)
                else {
                    continue;
                };
                let rekeyed: f64 = writes
                    .updated
                    .iter()
                    .filter(|(set, _)| set.iter().any(|column| referenced.contains(column)))
                    .map(|(_, rows)| *rows)
                    .sum();
                let weight = writes.deleted + rekeyed;
                if weight < 1.0 || serves_foreign_key(child, &key.columns) {
                    continue;
                }
                let writer = |operation: Operation| {
                    workload.samples.iter().find(|sample| {
                        workload.digests[sample.digest].operation == operation
                            && sample
                                .scans
                                .first()
                                .is_some_and(|bound| bound.table == Some(*parent))
                    })
                };
                let digest = writer(Operation::Delete)
                    .or_else(|| writer(Operation::Update))
                    .map(|sample| sample.digest);
                found
                    .extend(digest.and_then(|digest| {
                        foreign_key_sample(child, &key.columns, digest, weight)
                    }));
            }
        }
    }
    found
}

/// A valid btree that begins with the columns in any order, full or for those not NULL; a hash for one column.
fn serves_foreign_key(child: &crate::catalog::Relation, columns: &[String]) -> bool {
    child.indexes.iter().any(|index| {
        let full = index.predicate.is_none()
            || index.predicate_conjuncts.iter().all(|conjunct| conjunct.ends_with(" IS NOT NULL"));
        let leading: Vec<&String> =
            index.keys.iter().take(columns.len()).filter_map(|key| key.column.as_ref()).collect();
        let method =
            index.access_method == "btree" || (index.access_method == "hash" && columns.len() == 1);
        index.valid
            && method
            && full
            && leading.len() == columns.len()
            && columns.iter().all(|column| leading.contains(&column))
    })
}

fn foreign_key_sample(
    child: &crate::catalog::Relation,
    columns: &[String],
    digest: usize,
    weight: f64,
) -> Option<Sample> {
    let mut predicates = Vec::new();
    for column in columns {
        let statistics = child.statistics_of(column)?;
        let known = statistics.common_values.as_deref().or(statistics.histogram.as_deref())?;
        let value =
            known.trim_matches(['{', '}']).split(',').next()?.trim_matches('"').replace('\'', "''");
        let text = Some(format!("{} = '{value}'", ddl::quoted(column)));
        let (key, value) = (Key::Column(column.clone()), Value::Literal(LiteralKind::Unknown));
        predicates.push(Predicate { class: Class::Eq, key, value, text });
    }
    let texts: Vec<&str> =
        predicates.iter().filter_map(|predicate| predicate.text.as_deref()).collect();
    let only = if child.kind == 'p' { "" } else { "ONLY " };
    let select =
        format!("SELECT 1 FROM {only}{} x WHERE {}", ddl::qualified(child), texts.join(" AND "));
    let scan = Scan {
        schema: Some(child.schema.clone()),
        relation: child.name.clone(),
        alias: "x".to_owned(),
        predicates,
        columns: columns.to_vec(),
        all_columns: true,
        alone: true,
        ..Scan::default()
    };
    let scans = vec![BoundScan { scan, table: Some(child.oid) }];
    let (base, foreign_key_of) = (None, Some(child.oid));
    Some(Sample { digest, weight, select, scans, base, foreign_key_of, assumed_values: false })
}
