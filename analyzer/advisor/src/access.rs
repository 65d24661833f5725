//! What reading a table through one index would cost: the server's own cost model, in short.

use crate::catalog::{Catalog, Oid, Relation};
use crate::facts::{Class, Key, OrderKey, Predicate, Scan, Value};
use crate::planner::{CandidateSpec, KeyPart, KeySpec, Method};
use crate::size;

/// Constants of the cost model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    /// `seq_page_cost`
    pub seq_page: f64,
    /// `random_page_cost`
    pub random_page: f64,
    /// `cpu_tuple_cost`
    pub tuple: f64,
    /// `cpu_index_tuple_cost`
    pub index_tuple: f64,
    /// `cpu_operator_cost`
    pub operator: f64,
    /// `effective_cache_size`, pages.
    pub cache_pages: f64,
}

impl Units {
    /// The target's settings.
    pub fn of(catalog: &Catalog) -> Self {
        Self {
            seq_page: catalog.number("seq_page_cost", 1.0),
            random_page: catalog.number("random_page_cost", 4.0),
            tuple: catalog.number("cpu_tuple_cost", 0.01),
            index_tuple: catalog.number("cpu_index_tuple_cost", 0.005),
            operator: catalog.number("cpu_operator_cost", 0.0025),
            cache_pages: catalog.number("effective_cache_size", 524_288.0),
        }
    }
}

/// The table behind a scan, as large as the plan reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heap<'a> {
    /// The topmost table.
    pub relation: &'a Relation,
    /// Pages.
    pub pages: f64,
    /// Rows.
    pub rows: f64,
}

/// Rows that meet a set of conjuncts (places in the scan's list, sorted).
pub type Rows<'a> = dyn FnMut(&[usize]) -> f64 + 'a;

/// One way through an index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Access {
    /// Until the first row.
    pub startup: f64,
    /// All rows in index order; infinite where the index has none.
    pub plain: f64,
    /// All rows by bitmap.
    pub bitmap: f64,
    /// Rows come in the order that the statement wants.
    pub ordered: bool,
    /// Rows that come out.
    pub rows: f64,
    /// A condition bounds the part of the index that is read.
    pub bounded: bool,
}

impl Access {
    /// The cheaper of both ways.
    pub fn best(&self) -> f64 {
        self.plain.min(self.bitmap)
    }
}

/// What of a scan one index can use.
struct Match {
    /// Conjuncts that bound the range read.
    bound: Vec<usize>,
    /// Conjuncts that are checked in the index.
    checked: Vec<usize>,
    /// Join columns bound by the outer row.
    joined: Vec<KeyPart>,
    ordered: bool,
    /// Separate descents: values of an IN list.
    descents: f64,
}

/// Cost of a scan through an index. `outer`: other scans whose columns are known for each execution.
pub fn cost(
    catalog: &Catalog,
    heap: &Heap<'_>,
    scan: &Scan,
    spec: &CandidateSpec,
    outer: &[usize],
    rows: &mut Rows<'_>,
) -> Option<Access> {
    let texts: Vec<&String> =
        scan.predicates.iter().filter_map(|predicate| predicate.text.as_ref()).collect();
    if heap.rows < 1.0 || !spec.predicate.iter().all(|conjunct| implied(conjunct, &texts, scan)) {
        return None;
    }
    if spec.method == Method::Gin {
        return gin(catalog, heap, scan, spec, rows);
    }
    let found = matched(scan, spec, outer);
    if found.bound.is_empty()
        && found.joined.is_empty()
        && !found.ordered
        && spec.predicate.is_empty()
    {
        return None;
    }
    Some(btree(catalog, heap, scan, spec, &found, rows))
}

/// Whether the statement says what a partial index demands.
fn implied(conjunct: &str, texts: &[&String], scan: &Scan) -> bool {
    let said = texts.iter().any(|text| text.as_str() == conjunct);
    let column = conjunct.strip_suffix(" IS NOT NULL");
    // a strict comparison of the column says that it isn't NULL
    said || column.is_some_and(|column| {
        scan.predicates.iter().any(|predicate| {
            !matches!(predicate.class, Class::Null(_) | Class::Or(_) | Class::Residual)
                && predicate.key.columns().contains(&column)
        })
    })
}

fn is_key(key: &KeySpec, of: &Key) -> bool {
    match (&key.part, of) {
        (KeyPart::Column(column), Key::Column(other)) => column == other,
        (KeyPart::Expression(text), Key::Expression(other, _)) => text == other,
        _ => false,
    }
}

fn matched(scan: &Scan, spec: &CandidateSpec, outer: &[usize]) -> Match {
    let mut found = Match {
        bound: Vec::new(),
        checked: Vec::new(),
        joined: Vec::new(),
        ordered: false,
        descents: 1.0,
    };
    let mut open = true;
    let mut single = true;
    let mut eq_keys = 0;
    for key in &spec.keys {
        let at = |wanted: &dyn Fn(&Predicate) -> bool| {
            scan.predicates
                .iter()
                .position(|predicate| is_key(key, &predicate.key) && wanted(predicate))
        };
        let eq = at(&|predicate| matches!(predicate.class, Class::Eq | Class::Null(true)));
        let many = at(&|predicate| matches!(predicate.class, Class::In(_)));
        let join = at(
            &|predicate| matches!(predicate.class, Class::Join(with, _) if outer.contains(&with)),
        );
        if let (true, Some(at)) = (open, eq) {
            found.bound.push(at);
            eq_keys += usize::from(single);
        } else if let (true, Some(_)) = (open, join) {
            found.joined.push(key.part.clone());
            eq_keys += usize::from(single);
        } else if let (true, Some(at)) = (open, many) {
            if let Class::In(count) = scan.predicates[at].class {
                found.descents *= count.unwrap_or(10).max(1) as f64;
            }
            found.bound.push(at);
            single = false;
        } else {
            let ranges = ranges_on(scan, key, spec);
            if open {
                found.bound.extend(&ranges);
            } else {
                found.checked.extend(ranges.iter().chain(eq.iter()).chain(many.iter()));
            }
            open = false;
        }
    }
    found.ordered = !scan.order.is_empty() && delivers(&spec.keys, eq_keys, scan, &found.bound);
    found
}

/// Conjuncts that bound a key from below or above, a pattern only with the class for it.
fn ranges_on(scan: &Scan, key: &KeySpec, spec: &CandidateSpec) -> Vec<usize> {
    let fits = |predicate: &Predicate| match &predicate.class {
        Class::Range if matches!(predicate.key, Key::Row(_)) => {
            let Key::Row(columns) = &predicate.key else { return false };
            spec.keys.first() == Some(key)
                && columns.first().is_some_and(|first| key.part == KeyPart::Column(first.clone()))
        }
        // pattern classes don't know the collation's order
        Class::Range => is_key(key, &predicate.key) && key.opclass.is_none(),
        Class::LikePrefix(_) => is_key(key, &predicate.key),
        Class::Null(false) => is_key(key, &predicate.key),
        _ => false,
    };
    (0..scan.predicates.len()).filter(|at| fits(&scan.predicates[*at])).collect()
}

/// Whether rows come out in the statement's order, forwards or backwards.
fn delivers(keys: &[KeySpec], eq_keys: usize, scan: &Scan, bound: &[usize]) -> bool {
    let constant = |order: &OrderKey| {
        bound.iter().any(|at| {
            scan.predicates[*at].class == Class::Eq && scan.predicates[*at].key == order.key
        })
    };
    let wanted: Vec<&OrderKey> = scan.order.iter().filter(|order| !constant(order)).collect();
    // keys that an equality fixes may stand anywhere before
    for skipped in (0..=eq_keys.min(keys.len())).rev() {
        let rest = &keys[skipped..];
        if rest.len() < wanted.len() {
            continue;
        }
        let pairs = || wanted.iter().zip(rest);
        let same = pairs().all(|(order, key)| {
            is_key(key, &order.key)
                && key.opclass.is_none()
                && order.descending == key.descending
                && order.nulls_first == key.nulls_first
        });
        let backwards = pairs().all(|(order, key)| {
            is_key(key, &order.key)
                && key.opclass.is_none()
                && order.descending != key.descending
                && order.nulls_first != key.nulls_first
        });
        if same || backwards {
            return true;
        }
    }
    false
}

/// Share of the table per value of join columns.
fn join_share(catalog: &Catalog, heap: &Heap<'_>, table: Oid, parts: &[KeyPart]) -> f64 {
    let distinct: f64 =
        parts.iter().map(|part| size::distinct_of(catalog, table, part, heap.rows)).product();
    1.0 / distinct.clamp(1.0, heap.rows)
}

fn btree(
    catalog: &Catalog,
    heap: &Heap<'_>,
    scan: &Scan,
    spec: &CandidateSpec,
    found: &Match,
    rows: &mut Rows<'_>,
) -> Access {
    let units = Units::of(catalog);
    let predicate: Vec<usize> = (0..scan.predicates.len())
        .filter(|at| {
            scan.predicates[*at].text.as_ref().is_some_and(|text| spec.predicate.contains(text))
        })
        .collect();
    let mut count = |sets: &[&[usize]]| {
        let mut all: Vec<usize> = sets.iter().flat_map(|set| set.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() { heap.rows } else { rows(&all).min(heap.rows) }
    };
    let joined = join_share(catalog, heap, spec.table, &found.joined);
    let n = (count(&[&found.bound, &predicate]) * joined).max(1.0);
    let fetched = (count(&[&found.bound, &predicate, &found.checked]) * joined).max(1.0);
    let entries = count(&[&predicate]).max(1.0);
    let leaves = (spec.size_bytes as f64 / 8192.0).max(1.0);
    let width: f64 = spec.keys.iter().map(|_| 8.0).sum();
    let height = size::height(spec.size_bytes, width);
    let quals = scan.predicates.len() as f64;
    let k = (found.bound.len() + found.checked.len() + found.joined.len()) as f64;
    let descent = (entries.log2().ceil().max(0.0) * units.operator
        + (height + 1.0) * 50.0 * units.operator)
        * found.descents;
    let read = (n / entries * leaves).ceil().max(found.descents.min(n));
    let index = descent + read * units.random_page + n * (units.index_tuple + k * units.operator);
    let pages = heap_pages(&units, heap, fetched);
    let correlation = correlation(heap.relation, spec);
    let high = pages * units.random_page;
    let low = units.random_page
        + ((fetched / heap.rows * heap.pages).ceil() - 1.0).max(0.0) * units.seq_page;
    let covered = index_only(scan, spec);
    let visible = if covered { 1.0 - heap.relation.visible_share() } else { 1.0 };
    let heap_cost = (high + correlation * correlation * (low.min(high) - high)) * visible;
    let cpu = fetched * (units.tuple + (quals - k).max(0.0) * units.operator);
    let share = (pages / heap.pages.max(1.0)).sqrt().min(1.0);
    let per_page = units.random_page - (units.random_page - units.seq_page) * share;
    Access {
        startup: descent,
        plain: index + heap_cost + cpu,
        bitmap: index + pages * per_page + fetched * (units.tuple + quals * units.operator),
        ordered: found.ordered,
        rows: fetched,
        bounded: !found.bound.is_empty() || !found.joined.is_empty() || !spec.predicate.is_empty(),
    }
}

/// Distinct heap pages that `n` scattered rows lie on (Mackert and Lohman).
fn heap_pages(units: &Units, heap: &Heap<'_>, n: f64) -> f64 {
    let (pages, cache) = (heap.pages.max(1.0), units.cache_pages.max(1.0));
    if pages <= cache {
        return (2.0 * pages * n / (2.0 * pages + n)).min(pages).ceil();
    }
    let limit = 2.0 * pages * cache / (2.0 * pages - cache);
    if n <= limit {
        (2.0 * pages * n / (2.0 * pages + n)).ceil()
    } else {
        (cache + (n - limit) * (pages - cache) / pages).ceil()
    }
}

/// Correlation of the first key with the heap's order, weakened by further keys as the server does.
fn correlation(relation: &Relation, spec: &CandidateSpec) -> f64 {
    let Some(KeySpec { part: KeyPart::Column(column), .. }) = spec.keys.first() else { return 0.0 };
    let found = relation.statistics_of(column).and_then(|found| found.correlation).unwrap_or(0.0);
    if spec.keys.len() > 1 { found * 0.75 } else { found }
}

fn index_only(scan: &Scan, spec: &CandidateSpec) -> bool {
    let has = |column: &String| {
        spec.include.contains(column)
            || spec.keys.iter().any(|key| key.part == KeyPart::Column(column.clone()))
    };
    !scan.all_columns && !scan.columns.is_empty() && scan.columns.iter().all(has)
}

/// GIN gives bitmaps only; each term is a descent and a posting list.
fn gin(
    catalog: &Catalog,
    heap: &Heap<'_>,
    scan: &Scan,
    spec: &CandidateSpec,
    rows: &mut Rows<'_>,
) -> Option<Access> {
    let units = Units::of(catalog);
    let key = spec.keys.first()?;
    let serves = |predicate: &Predicate| {
        is_key(key, &predicate.key)
            && match &predicate.class {
                Class::Contains(_) => predicate.value != Value::Column,
                Class::LikeInfix(run) => *run >= 3,
                _ => false,
            }
    };
    let bound: Vec<usize> =
        (0..scan.predicates.len()).filter(|at| serves(&scan.predicates[*at])).collect();
    let first = *bound.first()?;
    let terms = match scan.predicates[first].class {
        Class::LikeInfix(run) => run as f64,
        _ => 3.0,
    };
    let n = rows(&bound).clamp(1.0, heap.rows);
    // terms are more frequent than what they have in common
    let entries = terms * (n + heap.rows * 0.01);
    let index = terms * 2.0 * units.random_page + entries * units.operator * 2.0;
    let pages = heap_pages(&units, heap, n);
    let share = (pages / heap.pages.max(1.0)).sqrt().min(1.0);
    let per_page = units.random_page - (units.random_page - units.seq_page) * share;
    let quals = scan.predicates.len() as f64;
    let bitmap = index + pages * per_page + n * (units.tuple + quals * units.operator);
    Some(Access {
        startup: index,
        plain: f64::INFINITY,
        bitmap,
        ordered: false,
        rows: n,
        bounded: true,
    })
}

/// An existing index in the terms of a candidate, for look-ups that a new order makes worthwhile.
pub fn of_existing(relation: &Relation) -> Vec<CandidateSpec> {
    let usable =
        relation.indexes.iter().filter(|index| index.valid && index.access_method == "btree");
    let plain = usable.filter(|index| index.predicate.is_none());
    plain
        .map(|index| CandidateSpec {
            table: relation.oid,
            method: Method::Btree,
            keys: index
                .keys
                .iter()
                .map(|key| KeySpec {
                    part: match (&key.column, &key.normal) {
                        (Some(column), _) => KeyPart::Column(column.clone()),
                        (None, normal) => {
                            KeyPart::Expression(normal.clone().unwrap_or_else(|| key.text.clone()))
                        }
                    },
                    opclass: key.opclass.1.ends_with("_pattern_ops").then(|| key.opclass.1.clone()),
                    descending: key.descending,
                    nulls_first: key.nulls_first,
                })
                .collect(),
            include: index.include.clone(),
            predicate: Vec::new(),
            size_bytes: index.blocks.max(1) * 8192,
        })
        .collect()
}
