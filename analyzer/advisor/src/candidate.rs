//! From what a scan asks for to the indexes that could serve it: rules C1 to C12.

use crate::catalog::{Catalog, Oid, Relation};
use crate::expression;
use crate::facts::{Class, Key, OrderKey, Predicate, Scan, Value};
use crate::planner::{CandidateSpec, KeyPart, KeySpec, Method};
use crate::size;

/// Most keys of a candidate.
const KEYS_MAX: usize = 4;
/// Longest IN list that makes a key.
const IN_MAX: usize = 100;
/// Most candidates of one scan.
const PER_SCAN_MAX: usize = 24;
/// Most INCLUDE columns, and their bytes.
const INCLUDE_MAX: usize = 4;
const INCLUDE_BYTES_MAX: f64 = 64.0;
/// Most INCLUDE columns of an index that serves several statements.
const INCLUDE_SHARED_MAX: usize = 6;
/// Most distinct values of a column whose values are states: a constant among more is somebody's key.
const STATES_MAX: f64 = 10.0;
/// Least share of all-visible pages for an INCLUDE to pay.
const VISIBLE_MIN: f64 = 0.8;

/// What is known of a scan's statement beyond the scan.
pub struct Context<'a> {
    /// The catalogue.
    pub catalog: &'a Catalog,
    /// The table.
    pub table: Oid,
    /// Share of the digest's calls by conjunct text.
    pub constants: &'a [(String, f64)],
    /// Estimated share of rows by conjunct text.
    pub shares: &'a dyn Fn(&Predicate) -> f64,
}

/// Candidates of one scan, without duplicates, most promising first; sizes are set.
pub fn of_scan(context: &Context<'_>, scan: &Scan) -> Vec<CandidateSpec> {
    let Some(relation) = context.catalog.relations.get(&context.table) else { return Vec::new() };
    let builder = Builder { context, relation };
    let mut found = builder.conjunction(&scan.predicates, scan);
    for predicate in &scan.predicates {
        if let Class::Or(arms) = &predicate.class {
            for arm in arms {
                let bare = Scan::default();
                let eqs: Vec<Predicate> = arm.iter().chain(&scan.predicates).cloned().collect();
                found.extend(builder.conjunction(arm, &bare));
                found.extend(builder.conjunction(&eqs, &bare).into_iter().take(2));
            }
        }
    }
    let mut unique: Vec<CandidateSpec> = Vec::new();
    for mut spec in found {
        spec.size_bytes = builder.size(&spec, scan);
        if !unique.contains(&spec) && !is_covered(relation, &spec) {
            unique.push(spec);
        }
    }
    unique.truncate(PER_SCAN_MAX);
    unique
}

/// V8 for one candidate: an existing btree begins with its keys.
pub fn is_covered(relation: &Relation, spec: &CandidateSpec) -> bool {
    relation.indexes.iter().any(|index| {
        let methods =
            index.access_method == if spec.method == Method::Gin { "gin" } else { "btree" };
        let implied =
            index.predicate_conjuncts.iter().all(|conjunct| spec.predicate.contains(conjunct));
        let implied =
            implied && (index.predicate.is_none() || !index.predicate_conjuncts.is_empty());
        let same = |(key, have): (&KeySpec, &crate::catalog::IndexKey)| {
            let part = match (&key.part, &have.column) {
                (KeyPart::Column(column), Some(existing)) => column == existing,
                (KeyPart::Expression(text), None) => have.normal.as_ref() == Some(text),
                _ => false,
            };
            let class = key.opclass.as_ref().is_none_or(|class| class.ends_with(&have.opclass.1));
            let default = key.opclass.is_some() || !have.opclass.1.ends_with("_pattern_ops");
            part && class
                && default
                && key.descending == have.descending
                && key.nulls_first == have.nulls_first
        };
        index.valid
            && methods
            && implied
            && spec.include.iter().all(|column| index.include.contains(column))
            && spec.keys.len() <= index.keys.len()
            && spec.keys.iter().zip(&index.keys).all(same)
    })
}

/// Whether a covering index for several statements is still narrow enough.
pub fn may_include(catalog: &Catalog, spec: &CandidateSpec) -> bool {
    let Some(relation) = catalog.relations.get(&spec.table) else { return false };
    spec.include.len() <= INCLUDE_SHARED_MAX
        && included_bytes(catalog, relation, &spec.include) <= INCLUDE_BYTES_MAX
}

fn included_bytes(catalog: &Catalog, relation: &Relation, include: &[String]) -> f64 {
    include.iter().map(|column| size::width_of(catalog, relation, column)).sum()
}

struct Builder<'a> {
    context: &'a Context<'a>,
    relation: &'a Relation,
}

/// Usable keys of one conjunction, by role.
#[derive(Default)]
struct Roles {
    eq: Vec<KeySpec>,
    many: Vec<KeySpec>,
    join: Vec<KeySpec>,
    ranges: Vec<Vec<KeySpec>>,
    order: Vec<KeySpec>,
}

impl Builder<'_> {
    fn conjunction(&self, predicates: &[Predicate], scan: &Scan) -> Vec<CandidateSpec> {
        let roles = self.roles(predicates, scan);
        let mut lists = lists(&roles);
        lists.retain(|keys| !keys.is_empty());
        let mut found: Vec<CandidateSpec> = Vec::new();
        for keys in &lists {
            found.push(self.btree(keys.clone(), Vec::new()));
        }
        found.extend(self.partial(predicates, scan, &lists));
        found.extend(self.covering(scan, &found));
        found.extend(predicates.iter().filter_map(|predicate| self.gin(predicate)));
        found
    }

    fn btree(&self, mut keys: Vec<KeySpec>, predicate: Vec<String>) -> CandidateSpec {
        keys.truncate(KEYS_MAX);
        CandidateSpec {
            table: self.context.table,
            method: Method::Btree,
            keys,
            include: Vec::new(),
            predicate,
            size_bytes: 0,
        }
    }

    fn roles(&self, predicates: &[Predicate], scan: &Scan) -> Roles {
        let mut roles = Roles::default();
        let mut ranges: Vec<(f64, Vec<KeySpec>)> = Vec::new();
        for predicate in predicates {
            let keys = self.keys(predicate);
            let Some(key) = keys.first().cloned() else { continue };
            let into = match &predicate.class {
                Class::Eq | Class::Null(true) => &mut roles.eq,
                Class::In(count) if count.is_none_or(|count| count <= IN_MAX) => &mut roles.many,
                Class::Join(..) => &mut roles.join,
                Class::Range | Class::LikePrefix(_) => {
                    ranges.push(((self.context.shares)(predicate), keys));
                    continue;
                }
                _ => continue,
            };
            if !into.iter().any(|known| known.part == key.part) {
                into.push(key);
            }
        }
        ranges.sort_by(|one, other| one.0.total_cmp(&other.0));
        roles.ranges = ranges.into_iter().map(|(_, keys)| keys).collect();
        roles.ranges.dedup();
        let rows = self.context.catalog.pages_and_rows(self.context.table).1;
        let distinct = |key: &KeySpec| {
            size::distinct_of(self.context.catalog, self.context.table, &key.part, rows)
        };
        // an equality on a few rows per value first; a stable sort keeps the statement's order else
        roles.eq.sort_by(|one, other| distinct(other).total_cmp(&distinct(one)));
        roles.many.retain(|key| !roles.eq.iter().any(|known| known.part == key.part));
        if scan.limit.is_some() {
            roles.order = self.order(&scan.order, &roles.eq);
        }
        roles
    }

    /// C3: uniform directions as ASC, mixed ones as written.
    fn order(&self, order: &[OrderKey], eq: &[KeySpec]) -> Vec<KeySpec> {
        let uniform = order
            .iter()
            .all(|key| key.descending == order[0].descending && key.nulls_first == key.descending);
        let mut keys = Vec::new();
        for item in order {
            let Some(part) = self.part(&item.key) else { return Vec::new() };
            if eq.iter().any(|known| known.part == part) {
                continue;
            }
            let (descending, nulls_first) =
                if uniform { (false, false) } else { (item.descending, item.nulls_first) };
            keys.push(KeySpec { part, opclass: None, descending, nulls_first });
        }
        keys
    }

    fn part(&self, key: &Key) -> Option<KeyPart> {
        match key {
            Key::Column(column) => {
                self.relation.column(column).map(|_| KeyPart::Column(column.clone()))
            }
            Key::Expression(text, _) => {
                expression::is_immutable(self.context.catalog, self.relation, text)
                    .then(|| KeyPart::Expression(text.clone()))
            }
            _ => None,
        }
    }

    fn keys(&self, predicate: &Predicate) -> Vec<KeySpec> {
        let plain =
            |part: KeyPart| KeySpec { part, opclass: None, descending: false, nulls_first: false };
        if let Key::Row(columns) = &predicate.key {
            return columns.iter().map(|column| plain(KeyPart::Column(column.clone()))).collect();
        }
        let Some(part) = self.part(&predicate.key) else { return Vec::new() };
        if !expression::is_btree_type(self.context.catalog, self.relation, &part) {
            return Vec::new();
        }
        let opclass = match predicate.class {
            Class::LikePrefix(_) => {
                expression::pattern_opclass(self.context.catalog, self.relation, &part)
            }
            _ => None,
        };
        vec![KeySpec { opclass, ..plain(part) }]
    }

    /// C6: a condition that few rows meet and that all calls share.
    fn partial(
        &self,
        predicates: &[Predicate],
        scan: &Scan,
        lists: &[Vec<KeySpec>],
    ) -> Vec<CandidateSpec> {
        let mut found = Vec::new();
        for condition in predicates {
            let Some(text) = self.partial_condition(condition) else { continue };
            let own = self.part(&condition.key);
            let without = |keys: &Vec<KeySpec>| {
                let rest: Vec<KeySpec> =
                    keys.iter().filter(|key| Some(&key.part) != own.as_ref()).cloned().collect();
                (!rest.is_empty()).then_some(rest)
            };
            let mut rest: Vec<Vec<KeySpec>> = lists.iter().filter_map(without).collect();
            rest.dedup();
            if rest.is_empty() {
                rest.extend(self.order_or_first(scan, own.as_ref()));
            }
            found.extend(rest.into_iter().take(3).map(|keys| self.btree(keys, vec![text.clone()])));
        }
        found
    }

    /// Keys of a partial index that needs none: what the statement sorts by, else the condition's own column.
    fn order_or_first(&self, scan: &Scan, own: Option<&KeyPart>) -> Option<Vec<KeySpec>> {
        let order = self.order(&scan.order, &[]);
        if !order.is_empty() {
            return Some(order);
        }
        let part = own?.clone();
        Some(vec![KeySpec { part, opclass: None, descending: false, nulls_first: false }])
    }

    fn partial_condition(&self, predicate: &Predicate) -> Option<String> {
        let text = predicate.text.as_ref()?;
        let share = (self.context.shares)(predicate);
        let usual = self
            .context
            .constants
            .iter()
            .find(|(known, _)| known == text)
            .is_some_and(|(_, share)| *share >= 0.9);
        let Key::Column(column) = &predicate.key else { return None };
        let limit = match (&predicate.class, &predicate.value) {
            (Class::Null(_), _) | (Class::Eq, Value::None) => 0.25,
            (Class::Eq, Value::Literal(_))
                if expression::may_be_shown(self.relation, column, text) =>
            {
                0.1
            }
            _ => return None,
        };
        // a column with a handful of values: else the constant is a key, not a state
        let distinct =
            self.relation.statistics_of(column).map_or(f64::MAX, |found| found.distinct(f64::MAX));
        let state = matches!(predicate.class, Class::Null(_)) || distinct <= STATES_MAX;
        (usual && state && share <= limit).then(|| text.clone())
    }

    /// C7: INCLUDE what else the statement reads.
    fn covering(&self, scan: &Scan, bases: &[CandidateSpec]) -> Vec<CandidateSpec> {
        if scan.all_columns || self.relation.visible_share() < VISIBLE_MIN {
            return Vec::new();
        }
        let mut found = Vec::new();
        for base in bases.iter().take(3) {
            let keyed = |column: &&String| {
                base.keys.iter().any(|key| key.part == KeyPart::Column((*column).clone()))
            };
            let rest: Vec<String> =
                scan.columns.iter().filter(|column| !keyed(column)).cloned().collect();
            let width = included_bytes(self.context.catalog, self.relation, &rest);
            let plain = base.keys.iter().all(|key| matches!(key.part, KeyPart::Column(_)));
            if plain && !rest.is_empty() && rest.len() <= INCLUDE_MAX && width <= INCLUDE_BYTES_MAX
            {
                found.push(CandidateSpec { include: rest, ..base.clone() });
            }
        }
        found
    }

    /// C8 and C9.
    fn gin(&self, predicate: &Predicate) -> Option<CandidateSpec> {
        let part = self.part(&predicate.key)?;
        let opclass = match &predicate.class {
            Class::Contains(operator) => {
                expression::gin_opclass(self.context.catalog, self.relation, &part, operator)?
            }
            Class::LikeInfix(run) if *run >= 3 => {
                expression::trigram_opclass(self.context.catalog, self.relation, &part)?
            }
            _ => return None,
        };
        let key = KeySpec { part, opclass, descending: false, nulls_first: false };
        Some(CandidateSpec { method: Method::Gin, ..self.btree(vec![key], Vec::new()) })
    }

    fn size(&self, spec: &CandidateSpec, scan: &Scan) -> u64 {
        let rows = self.context.catalog.pages_and_rows(self.context.table).1;
        let share: f64 = spec
            .predicate
            .iter()
            .filter_map(|text| {
                scan.predicates.iter().find(|predicate| predicate.text.as_ref() == Some(text))
            })
            .map(|predicate| (self.context.shares)(predicate))
            .product();
        size::candidate_bytes(self.context.catalog, spec, rows * share)
    }
}

/// C1: key lists of a conjunction, with their useful prefixes.
fn lists(roles: &Roles) -> Vec<Vec<KeySpec>> {
    let Roles { eq, many, join, ranges, order } = roles;
    let all: Vec<KeySpec> = eq.iter().chain(many).cloned().collect();
    let mut found: Vec<Vec<KeySpec>> = Vec::new();
    let mut add = |parts: &[&[KeySpec]]| {
        let mut keys: Vec<KeySpec> = Vec::new();
        for key in parts.iter().flat_map(|part| part.iter()) {
            match keys.iter_mut().find(|known| known.part == key.part) {
                // the direction of ORDER BY outranks a plain key
                Some(known) if known.opclass == key.opclass => *known = key.clone(),
                Some(_) => {}
                None => keys.push(key.clone()),
            }
        }
        keys.truncate(KEYS_MAX);
        if !found.contains(&keys) {
            found.push(keys);
        }
    };
    add(&[eq, order]);
    if let Some(range) = ranges.first() {
        add(&[&all, range]);
        add(&[eq, range]);
        add(&[eq, range, order]);
    }
    add(&[&all]);
    for range in ranges {
        add(&[eq, range]);
        add(&[range]);
    }
    for key in join {
        let one = std::slice::from_ref(key);
        add(&[one]);
        add(&[one, &all]);
        add(&[&all, one]);
        add(&[eq, one, order]);
    }
    if join.len() > 1 {
        add(&[join]);
        add(&[join, eq]);
    }
    add(&[order]);
    for length in (1..all.len()).rev() {
        add(&[&all[..length]]);
    }
    for key in &all {
        add(&[std::slice::from_ref(key)]);
    }
    found
}
