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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, Index, IndexKey};
    use crate::facts::{Limit, OrderKey, Predicate};
    use crate::planner::{Plan, PlanNode};
    use crate::workload::BoundScan;

    /// 100,000 rows on 1,000 pages.
    fn table() -> Relation {
        let column = |name: &str| Column { name: name.to_owned(), ..Column::default() };
        Relation {
            oid: 1,
            schema: "public".to_owned(),
            name: "t".to_owned(),
            kind: 'r',
            pages: 1_000.0,
            blocks: 1_000,
            tuples: 100_000.0,
            columns: vec![column("a"), column("b")],
            ..Relation::default()
        }
    }

    fn scan() -> Scan {
        let (class, key) = (Class::Eq, Key::Column("a".to_owned()));
        let value = Value::Literal(LiteralKind::Unknown);
        let predicate = Predicate { class, key, value, text: Some("a = 1".to_owned()) };
        Scan { predicates: vec![predicate], all_columns: true, ..Scan::default() }
    }

    fn code(
        relation: Relation,
        scan: Scan,
        calls: f64,
        filtered: f64,
        cost: f64,
    ) -> Option<&'static str> {
        let mut catalog = Catalog::default();
        let table = Some(relation.oid);
        catalog.relations.insert(1, relation);
        let base = Plan {
            cost,
            startup: 0.0,
            rows: 1.0,
            used: Vec::new(),
            used_existing: Vec::new(),
            tree: PlanNode::default(),
        };
        let sample = Sample {
            digest: 0,
            weight: calls,
            select: String::new(),
            scans: vec![BoundScan { scan, table }],
            base: Some(base),
            foreign_key_of: None,
            assumed_values: false,
        };
        let digest = Digest { calls, ..Digest::default() };
        let numbers = Numbers { filtered, calls: 100.0, calls_max: 50.0 };
        of_scan(&catalog, &digest, &sample, 0, numbers).map(|verdict| verdict.code)
    }

    #[test]
    fn each_threshold_has_two_sides() {
        let of = |relation: Relation| code(relation, scan(), 20.0, 10.0, 1_000.0);
        let sized =
            |blocks: u64, tuples: f64| Relation { pages: blocks as f64, blocks, tuples, ..table() };
        let changed = |updated: u64| {
            let mut relation = table();
            relation.activity.updated = updated;
            relation.activity.modified_since_analyze = updated;
            relation
        };
        let grown = |blocks: u64| {
            let mut relation = Relation { blocks, ..table() };
            relation.activity.modified_since_analyze = 10_001;
            relation
        };
        let rows = [
            ("plain", of(table()), None),
            ("an unknown table", of(Relation { oid: 7, ..table() }), Some("V1")),
            ("63 pages", of(sized(63, 100_000.0)), Some("V2")),
            ("64 pages", of(sized(64, 100_000.0)), None),
            ("999 rows", of(sized(1_000, 999.0)), Some("V2")),
            ("1,000 rows", of(sized(1_000, 1_000.0)), None),
            ("one call of 100", code(table(), scan(), 1.0, 10.0, 1_000.0), Some("V3")),
            ("two calls of 100", code(table(), scan(), 2.0, 10.0, 1_000.0), None),
            ("10,000 rows changed", of(changed(10_000)), None),
            ("10,001 rows changed", of(changed(10_001)), Some("V5")),
            ("a tenth more blocks", of(grown(1_100)), None),
            ("more than that", of(grown(1_101)), Some("V5")),
            ("never analysed", of(Relation { tuples: -1.0, ..table() }), Some("V5")),
            ("15 % of the rows", code(table(), scan(), 20.0, 15_000.0, 1_000.0), None),
            ("more than that", code(table(), scan(), 20.0, 15_001.0, 1_000.0), Some("V11")),
        ];
        for (name, found, expected) in rows {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_limit_that_stops_early_needs_no_index() {
        let limit = Some(Limit { count: Some(10), offset: 0 });
        let key =
            OrderKey { key: Key::Column("b".to_owned()), descending: false, nulls_first: false };
        let rows = [
            (Scan { limit, ..scan() }, 99.0, Some("V12")),
            (Scan { limit, ..scan() }, 100.0, None),
            (scan(), 99.0, None),
        ];
        for (scan, cost, expected) in rows {
            assert_eq!(code(table(), scan, 20.0, 10.0, cost), expected, "{cost}");
        }
        // sorted and limited, most rows may match: the order is what an index gives
        let sorted = Scan { limit, order: vec![key], ..scan() };
        assert_eq!(code(table(), sorted, 20.0, 90_000.0, 1_000.0), None);
    }

    #[test]
    fn an_expression_over_an_indexed_column_is_named() {
        let mut relation = table();
        let key = IndexKey { column: Some("a".to_owned()), ..IndexKey::default() };
        let index =
            Index { name: "t_a".to_owned(), valid: true, keys: vec![key], ..Index::default() };
        relation.indexes.push(index);
        let over = |text: &str| {
            let key = Key::Expression(text.to_owned(), vec!["a".to_owned()]);
            let predicate = Predicate { class: Class::Eq, key, value: Value::Stable, text: None };
            Scan { predicates: vec![predicate], ..Scan::default() }
        };
        assert!(
            wrapped(&relation, &over("a::date")).is_some_and(|hint| hint.contains("half-open"))
        );
        assert!(wrapped(&relation, &over("lower(a)")).is_some_and(|hint| hint.contains("t_a")));
        assert_eq!(wrapped(&relation, &scan()), None);
    }
}
