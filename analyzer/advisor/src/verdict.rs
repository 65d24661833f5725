//! Reasons to advise nothing for a scan, checked before candidates are made.

use crate::catalog::{Catalog, Relation};
use crate::expression;
use crate::facts::{Class, Key, LiteralKind, Scan, Value};
use crate::workload::{Digest, Sample};

/// Tables below either are read faster whole.
const SMALL_PAGES: f64 = 64.0;
/// As [`SMALL_PAGES`], in rows.
const SMALL_ROWS: f64 = 1000.0;
/// Largest share of a table that is worth looking up by index.
const SHARE_MAX: f64 = 0.15;
/// A LIMIT plan below this cost stops early enough.
const EARLY_COST: f64 = 100.0;
/// A statement that ran once among so many others is a one-off.
const ONE_OFF_AMONG: f64 = 20.0;
/// Most changes since ANALYZE that statistics survive: this share of the rows, at least so many.
const STALE_SHARE: f64 = 0.1;
/// As [`STALE_SHARE`], in rows.
const STALE_ROWS: f64 = 1000.0;

/// Why nothing is advised for a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// V1 to V12.
    pub code: &'static str,
    /// What a person should know; empty where there is nothing to say.
    pub text: String,
}

fn silent(code: &'static str) -> Verdict {
    Verdict { code, text: String::new() }
}

/// What a scan's filters let through, of how many rows; and the busiest digest's calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// Rows that meet all conjuncts of the scan alone.
    pub filtered: f64,
    /// All calls of the workload.
    pub calls: f64,
    /// Calls of the digest that is called most.
    pub calls_max: f64,
}

/// The first reason against an index for this scan; `None` = go on.
pub fn of_scan(
    catalog: &Catalog,
    digest: &Digest,
    sample: &Sample,
    at: usize,
    numbers: Numbers,
) -> Option<Verdict> {
    let bound = sample.scans.get(at)?;
    let Some(relation) = bound.table.and_then(|oid| catalog.relations.get(&oid)) else {
        return Some(silent("V1"));
    };
    let (pages, rows) = catalog.pages_and_rows(relation.oid);
    if let Some(stale) = staleness(catalog, relation) {
        return Some(stale);
    }
    if pages < SMALL_PAGES || rows < SMALL_ROWS {
        return Some(silent("V2"));
    }
    if digest.calls <= 1.0
        && numbers.calls >= ONE_OFF_AMONG
        && numbers.calls_max >= ONE_OFF_AMONG / 2.0
    {
        return Some(silent("V3"));
    }
    if let Some(mismatch) = mismatch(catalog, relation, &bound.scan) {
        return Some(mismatch);
    }
    let sorted = !bound.scan.order.is_empty() && bound.scan.limit.is_some();
    let joined =
        bound.scan.predicates.iter().any(|predicate| matches!(predicate.class, Class::Join(..)));
    if !sorted
        && !joined
        && rows > 0.0
        && numbers.filtered / rows > SHARE_MAX
        && !may_cover(relation, &bound.scan)
    {
        return Some(silent("V11"));
    }
    let cheap = sample.base.as_ref().is_some_and(|plan| plan.cost < EARLY_COST);
    (bound.scan.limit.is_some() && cheap).then(|| silent("V12"))
}

/// V5: nobody can tell from old statistics what an index would do.
fn staleness(catalog: &Catalog, relation: &Relation) -> Option<Verdict> {
    let stale = |leaf: &&Relation| {
        let limit = (leaf.tuples * STALE_SHARE).max(STALE_ROWS);
        let activity = &leaf.activity;
        let modified = activity.modified_since_analyze;
        // a session that loads and analyses reports its inserts late, as if they came after: believe the file's
        // length about inserts, and the counters about the rest
        let rewritten = modified.min(activity.updated + activity.deleted) as f64 > limit;
        let grown =
            modified as f64 > limit && leaf.blocks as f64 > leaf.pages * (1.0 + STALE_SHARE);
        (leaf.tuples < 0.0 && leaf.blocks > 0) || rewritten || grown
    };
    let leaves = catalog.leaves(relation.oid);
    let worst = leaves.iter().find(|leaf| stale(leaf))?;
    let name = crate::ddl::qualified(worst);
    let text = if worst.tuples < 0.0 {
        format!("{name} was never analysed: run ANALYZE {name}, then ask again")
    } else {
        let changed = worst.activity.modified_since_analyze;
        format!(
            "the statistics of {name} are old ({changed} rows changed since): run ANALYZE {name}, then ask again"
        )
    };
    Some(Verdict { code: "V5", text })
}

/// V7: the literal's type makes the server cast the column.
fn mismatch(catalog: &Catalog, relation: &Relation, scan: &Scan) -> Option<Verdict> {
    scan.predicates.iter().find_map(|predicate| {
        let (Class::Eq | Class::In(_) | Class::Range, Key::Column(column)) = (&predicate.class, &predicate.key) else {
            return None;
        };
        let literal = match &predicate.value {
            Value::Literal(LiteralKind::Numeric) => "numeric",
            Value::Literal(LiteralKind::Typed(name)) => name.as_str(),
            _ => return None,
        };
        if !expression::casts_column(catalog, relation, column, literal) {
            return None;
        }
        let own = relation.column(column).map_or("", |column| column.type_text.as_str());
        let text = format!(
            "{}.{column} is {own} but is compared with {literal}: the server casts the column for each row. \
             Fix the parameter's type; an index can't help",
            relation.name
        );
        Some(Verdict { code: "V7", text })
    })
}

/// V9: an expression over a column that has an index of its own; a hint, not a verdict.
pub fn wrapped(relation: &Relation, scan: &Scan) -> Option<String> {
    scan.predicates.iter().find_map(|predicate| {
        let Key::Expression(text, columns) = &predicate.key else { return None };
        let [column] = &columns[..] else { return None };
        if let Some(bare) = text.strip_suffix("::date").filter(|bare| bare == column) {
            return Some(format!("compare {bare} with a half-open range of times instead of {text}: a plain index on {bare} serves that"));
        }
        let own = relation.indexes.iter().find(|index| {
            index.valid && index.keys.first().is_some_and(|key| key.column.as_ref() == Some(column))
        })?;
        Some(format!("{} on {column} can't serve {text}; if the expression can be dropped, no new index is needed", own.name))
    })
}

fn may_cover(relation: &Relation, scan: &Scan) -> bool {
    !scan.all_columns && scan.columns.len() <= 4 && relation.visible_share() >= 0.8
}
