//! The fallback planner: the live plan, with scans replaced by what an index would make of them.

mod assigned;

use crate::access::{self, Access, Heap, Units};
use crate::catalog::Catalog;
use crate::facts::{Class, Scan};
use crate::planner::{
    CandidateId, CandidateSpec, Plan, PlanFailure, PlanJob, PlanNode, Planner, SampleId, Trust,
    Unsupported,
};
use crate::workload::{Sample, Workload};
use assigned::Assigned;

/// Estimates rows of a scan under some of its conjuncts (places, sorted): the server's own estimate where there is one.
pub trait Estimator {
    /// Rows, at least 0.
    fn rows(&mut self, sample: SampleId, scan: usize, conjuncts: &[usize]) -> f64;
}

/// Plans by arithmetic; its answers are worth `estimated`.
pub struct Formula<'a, E> {
    catalog: &'a Catalog,
    workload: &'a Workload,
    estimator: E,
    specs: Vec<CandidateSpec>,
}

/// One way to execute a node.
#[derive(Clone, Debug, PartialEq)]
struct Way {
    startup: f64,
    total: f64,
    /// In the order of the statement's ORDER BY.
    ordered: bool,
    used: Vec<CandidateId>,
}

impl<'a, E: Estimator> Formula<'a, E> {
    /// A planner over the base plans of `workload`.
    pub fn new(catalog: &'a Catalog, workload: &'a Workload, estimator: E) -> Self {
        Self { catalog, workload, estimator, specs: Vec::new() }
    }

    /// Who estimates rows.
    pub fn estimator(&mut self) -> &mut E {
        &mut self.estimator
    }

    fn answer(&mut self, job: &PlanJob) -> Result<Plan, PlanFailure> {
        let sample = self
            .workload
            .sample(job.sample)
            .ok_or_else(|| PlanFailure::Lost("no such sample".into()))?;
        let base =
            sample.base.clone().ok_or_else(|| PlanFailure::Refused("no base plan".into()))?;
        let nodes = Assigned::of(self.catalog, sample, &base.tree);
        let mut recost = Recost { formula: self, job, sample, nodes };
        let mut ways = recost.ways(&base.tree);
        ways.sort_by(|one, other| one.total.total_cmp(&other.total));
        let Some(best) = ways.into_iter().next().filter(|way| way.total < base.cost) else {
            return Ok(base);
        };
        let mut used = best.used;
        used.sort_unstable();
        used.dedup();
        Ok(Plan { cost: best.total, startup: best.startup, used, ..base })
    }
}

impl<E: Estimator> Planner for Formula<'_, E> {
    fn trust(&self) -> Trust {
        Trust::Formula
    }

    fn install(&mut self, specs: &[CandidateSpec]) -> Vec<Result<CandidateId, Unsupported>> {
        let first = self.specs.len();
        self.specs.extend_from_slice(specs);
        (first..self.specs.len()).map(|at| Ok(CandidateId(at))).collect()
    }

    fn plan(&mut self, jobs: &[PlanJob]) -> Vec<Result<Plan, PlanFailure>> {
        jobs.iter().map(|job| self.answer(job)).collect()
    }
}

struct Recost<'f, 'a, 'p, E> {
    formula: &'f mut Formula<'a, E>,
    job: &'f PlanJob,
    sample: &'f Sample,
    nodes: Assigned<'p>,
}

impl<E: Estimator> Recost<'_, '_, '_, E> {
    /// The ways to execute a node; never empty, its own as the server planned it among them.
    fn ways(&mut self, node: &PlanNode) -> Vec<Way> {
        let same =
            Way { startup: node.startup, total: node.total, ordered: false, used: Vec::new() };
        if let Some(scan) = self.nodes.scan(node) {
            return self.scan_ways(node, scan, same);
        }
        let ways = match node.kind.as_str() {
            "Limit" => self.limit(node),
            "Sort" | "Incremental Sort" => self.sort(node),
            "Nested Loop" | "Hash Join" | "Merge Join" => self.join(node),
            "Aggregate" => self.aggregate(node),
            _ => vec![self.generic(node, 1.0)],
        };
        if ways.is_empty() { vec![same] } else { ways }
    }

    fn best(&mut self, node: &PlanNode) -> Way {
        let ways = self.ways(node);
        let same =
            Way { startup: node.startup, total: node.total, ordered: false, used: Vec::new() };
        ways.into_iter()
            .chain([same])
            .min_by(|one, other| one.total.total_cmp(&other.total))
            .unwrap_or_else(|| as_planned(node))
    }

    /// A node that costs what it did, less what its children save.
    fn generic(&mut self, node: &PlanNode, own_loops: f64) -> Way {
        let mut way =
            Way { startup: node.startup, total: node.total, ordered: false, used: Vec::new() };
        for child in &node.children {
            let best = self.best(child);
            let loops = match child.relationship.as_str() {
                "SubPlan" => sub_plan_loops(node, child),
                "InitPlan" => 1.0,
                _ => own_loops,
            };
            let saved = (child.total - best.total) * loops;
            way.total -= saved;
            way.startup = (way.startup - saved).max(0.0).min(way.total);
            way.used.extend(best.used);
        }
        way.total = way.total.max(0.0);
        way
    }

    fn heap(&self, scan: usize, node: &PlanNode) -> Option<Heap<'_>> {
        let catalog = self.formula.catalog;
        let relation = catalog.relations.get(&self.sample.scans[scan].table?)?;
        let (mut pages, mut rows) = (0.0, 0.0);
        let mut names: Vec<&str> = Vec::new();
        node.walk(&mut |inner| names.extend(inner.relation.as_deref()));
        for leaf in catalog.leaves(relation.oid) {
            if relation.kind != 'p' || names.contains(&leaf.name.as_str()) {
                pages += leaf.blocks as f64;
                rows += leaf.rows();
            }
        }
        Some(Heap { relation, pages, rows })
    }

    fn access(
        &mut self,
        scan: usize,
        node: &PlanNode,
        spec: &CandidateSpec,
        outer: &[usize],
    ) -> Option<Access> {
        let Self { formula, job, sample, .. } = self;
        let catalog: &Catalog = formula.catalog;
        let bound = &sample.scans[scan];
        let relation = catalog.relations.get(&bound.table?)?;
        let mut heap = Heap { relation, pages: 0.0, rows: 0.0 };
        let mut names: Vec<&str> = Vec::new();
        node.walk(&mut |inner| names.extend(inner.relation.as_deref()));
        let mut parts = 0.0_f64;
        for leaf in catalog.leaves(relation.oid) {
            if relation.kind != 'p' || names.contains(&leaf.name.as_str()) {
                heap.pages += leaf.blocks as f64;
                heap.rows += leaf.rows();
                parts += 1.0;
            }
        }
        let estimator = &mut formula.estimator;
        let mut rows = |conjuncts: &[usize]| estimator.rows(job.sample, scan, conjuncts);
        let mut access = access::cost(catalog, &heap, &bound.scan, spec, outer, &mut rows)?;
        // every partition is descended into
        access.plain += access.startup * (parts - 1.0).max(0.0);
        access.bitmap += access.startup * (parts - 1.0).max(0.0);
        Some(access)
    }

    fn candidates(&self, scan: usize) -> Vec<(CandidateId, CandidateSpec)> {
        let table = self.sample.scans[scan].table;
        let specs = self
            .job
            .configuration
            .iter()
            .filter_map(|id| Some((*id, self.formula.specs.get(id.0)?)));
        specs
            .filter(|(_, spec)| Some(spec.table) == table)
            .map(|(id, spec)| (id, spec.clone()))
            .collect()
    }

    fn scan_ways(&mut self, node: &PlanNode, scan: usize, same: Way) -> Vec<Way> {
        let sub_plans: Vec<&PlanNode> = node
            .children
            .iter()
            .filter(|child| matches!(child.relationship.as_str(), "SubPlan" | "InitPlan"))
            .collect();
        let mut base = same;
        if !sub_plans.is_empty() {
            base = self.with_sub_plans(node, base);
        }
        let extra: f64 = node.total - base.total;
        // an index scan inside of a nested loop may be bound by the outer row
        let outer: Vec<usize> = if is_parameterised(node, &self.sample.scans[scan].scan) {
            (0..self.sample.scans.len()).filter(|other| *other != scan).collect()
        } else {
            Vec::new()
        };
        let mut ways = vec![base.clone()];
        let mut accesses = Vec::new();
        for (id, spec) in self.candidates(scan) {
            if let Some(access) = self.access(scan, node, &spec, &outer) {
                accesses.push((id, access));
                let used = |id| base.used.iter().copied().chain([id]).collect::<Vec<_>>();
                if access.bounded {
                    ways.push(Way {
                        startup: access.startup,
                        total: access.best(),
                        ordered: false,
                        used: used(id),
                    });
                }
                if access.ordered {
                    ways.push(Way {
                        startup: access.startup,
                        total: access.plain,
                        ordered: true,
                        used: used(id),
                    });
                }
            }
        }
        if sub_plans.is_empty() || extra >= 0.0 {
            ways.extend(self.or_ways(node, scan, &accesses));
        }
        ways
    }

    fn with_sub_plans(&mut self, node: &PlanNode, mut way: Way) -> Way {
        for child in node
            .children
            .iter()
            .filter(|child| child.relationship == "SubPlan" || child.relationship == "InitPlan")
        {
            let best = self.best(child);
            let loops =
                if child.relationship == "InitPlan" { 1.0 } else { sub_plan_loops(node, child) };
            way.total = (way.total - (child.total - best.total) * loops).max(0.0);
            way.startup = way.startup.min(way.total);
            way.used.extend(best.used);
        }
        way
    }

    /// C10: each arm of an OR by an index of its own, together as a BitmapOr.
    fn or_ways(
        &mut self,
        node: &PlanNode,
        scan: usize,
        _: &[(CandidateId, Access)],
    ) -> Option<Way> {
        let bound = self.sample.scans[scan].clone();
        let table = bound.table?;
        let relation = self.formula.catalog.relations.get(&table)?;
        let arms = bound.scan.predicates.iter().find_map(|predicate| match &predicate.class {
            Class::Or(arms) => Some(arms.clone()),
            _ => None,
        })?;
        let heap = self.heap(scan, node)?;
        let (pages, rows_all) = (heap.pages, heap.rows);
        let mut way = Way { startup: 0.0, total: 0.0, ordered: false, used: Vec::new() };
        let existing = access::of_existing(relation);
        for arm in arms {
            let arm_scan = Scan { predicates: arm, all_columns: true, ..Scan::default() };
            let mut best: Option<(f64, Option<CandidateId>)> = None;
            let known = existing.iter().map(|spec| (None, spec.clone()));
            let specs: Vec<_> = known
                .chain(self.candidates(scan).into_iter().map(|(id, spec)| (Some(id), spec)))
                .collect();
            for (id, spec) in specs {
                let heap = Heap { relation, pages, rows: rows_all };
                let mut rows = |conjuncts: &[usize]| {
                    rows_all
                        * conjuncts
                            .iter()
                            .map(|at| plain_share(self.formula.catalog, relation, &arm_scan, *at))
                            .product::<f64>()
                };
                let Some(access) =
                    access::cost(self.formula.catalog, &heap, &arm_scan, &spec, &[], &mut rows)
                else {
                    continue;
                };
                if access.bounded && best.as_ref().is_none_or(|(cost, _)| access.bitmap < *cost) {
                    best = Some((access.bitmap, id));
                }
            }
            let (cost, id) = best?;
            way.total += cost;
            way.used.extend(id);
        }
        way.startup = way.total * 0.5;
        (!way.used.is_empty()).then_some(way)
    }

    fn limit(&mut self, node: &PlanNode) -> Vec<Way> {
        let Some(child) = node.children.first() else { return Vec::new() };
        let share = (node.rows / child.rows.max(1.0)).clamp(0.0, 1.0);
        // what the server paid for the first rows, then each alternative for as many
        let ways = self.ways(child);
        let cut = |way: Way| {
            let total = way.startup + (way.total - way.startup).max(0.0) * share;
            Way { total, ..way }
        };
        let mut found: Vec<Way> = ways.into_iter().map(cut).collect();
        found.push(Way {
            startup: node.startup,
            total: node.total,
            ordered: false,
            used: Vec::new(),
        });
        found
    }

    fn sort(&mut self, node: &PlanNode) -> Vec<Way> {
        let Some(child) = node.children.first() else { return Vec::new() };
        let own = (node.total - child.total).max(0.0);
        let own_startup = (node.startup - child.total).max(0.0);
        let mut found = vec![Way {
            startup: node.startup,
            total: node.total,
            ordered: false,
            used: Vec::new(),
        }];
        for way in self.ways(child) {
            if way.ordered {
                found.push(way.clone());
            }
            found.push(Way {
                startup: way.total + own_startup,
                total: way.total + own,
                ordered: false,
                used: way.used,
            });
        }
        found
    }

    /// `min` and `max` alone take the first row of an index.
    fn aggregate(&mut self, node: &PlanNode) -> Vec<Way> {
        let mut found = vec![self.generic(node, 1.0)];
        let direct =
            node.children.first().filter(|_| node.detail == "Plain" && node.children.len() == 1);
        if let Some((child, scan)) = direct.and_then(|child| Some((child, self.nodes.scan(child)?)))
        {
            let extremum = &self.sample.scans[scan].scan;
            if extremum.order.len() == 1
                && extremum.limit.is_some_and(|limit| limit.count == Some(1))
            {
                for way in self.ways(child).into_iter().filter(|way| way.ordered) {
                    let total =
                        way.startup + (way.total - way.startup) / child.rows.max(1.0) + 0.02;
                    found.push(Way { total, ..way });
                }
            }
        }
        found
    }

    /// A join as it is with cheaper sides, or as a nested loop into an index.
    fn join(&mut self, node: &PlanNode) -> Vec<Way> {
        let sides: Vec<&PlanNode> = node
            .children
            .iter()
            .filter(|child| matches!(child.relationship.as_str(), "Outer" | "Inner"))
            .collect();
        let [left, right] = sides[..] else { return vec![self.generic(node, 1.0)] };
        let mut found = Vec::new();
        if node.kind == "Nested Loop" && !matches!(right.kind.as_str(), "Materialize" | "Memoize") {
            let (outer, inner) = (self.ways(left), self.best(right));
            for way in outer {
                let saved =
                    (left.total - way.total) + (right.total - inner.total) * left.rows.max(1.0);
                let total = (node.total - saved).max(0.0);
                let startup = (node.startup - (left.startup - way.startup)).clamp(0.0, total);
                let used = way.used.iter().chain(&inner.used).copied().collect();
                found.push(Way { startup, total, ordered: way.ordered, used });
            }
        } else {
            found.push(self.generic(node, 1.0));
        }
        let (into_right, into_left) = match node.detail.as_str() {
            "Inner" => (true, true),
            "Right" | "Right Anti" | "Right Semi" => (false, true),
            "Full" => (false, false),
            _ => (true, false),
        };
        if into_right {
            found.extend(self.nested(node, left, right));
        }
        if into_left {
            found.extend(self.nested(node, right, left));
        }
        found
    }

    /// `driver` drives look-ups into the only scan below `inner`.
    fn nested(&mut self, node: &PlanNode, driver: &PlanNode, inner: &PlanNode) -> Vec<Way> {
        let Some((leaf, scan)) = self.only_scan(inner) else { return Vec::new() };
        let mut outer = Vec::new();
        driver.walk(&mut |found| outer.extend(self.nodes.scan(found)));
        let units = Units::of(self.formula.catalog);
        let Some(relation) =
            self.sample.scans[scan].table.and_then(|oid| self.formula.catalog.relations.get(&oid))
        else {
            return Vec::new();
        };
        let existing = access::of_existing(relation).into_iter().map(|spec| (None, spec));
        let specs: Vec<_> = existing
            .chain(self.candidates(scan).into_iter().map(|(id, spec)| (Some(id), spec)))
            .collect();
        let mut best: Option<(f64, f64, Option<CandidateId>)> = None;
        for (id, spec) in specs {
            let joins = |access: &Access| {
                access.bounded && self_joins(&self.sample.scans[scan].scan, &spec, &outer)
            };
            let Some(access) = self.access(scan, leaf, &spec, &outer).filter(joins) else {
                continue;
            };
            if best.as_ref().is_none_or(|(cost, ..)| access.best() < *cost) {
                best = Some((access.best(), access.startup, id));
            }
        }
        let Some((cost, startup, id)) = best else { return Vec::new() };
        let drive = |way: Way| Way {
            startup: way.startup + startup,
            total: way.total + driver.rows.max(1.0) * cost + node.rows * units.tuple,
            ordered: way.ordered,
            used: way.used.into_iter().chain(id).collect(),
        };
        self.driving_ways(driver).into_iter().map(drive).collect()
    }

    /// The ways of a join's driving side, without the Hash or Sort that the old join needed.
    fn driving_ways(&mut self, node: &PlanNode) -> Vec<Way> {
        match (node.kind.as_str(), node.children.first()) {
            ("Hash" | "Sort" | "Materialize", Some(child)) => self.driving_ways(child),
            _ => self.ways(node),
        }
    }

    fn only_scan<'t>(&self, node: &'t PlanNode) -> Option<(&'t PlanNode, usize)> {
        if let Some(scan) = self.nodes.scan(node) {
            return Some((node, scan));
        }
        match (node.kind.as_str(), &node.children[..]) {
            ("Hash" | "Sort" | "Materialize" | "Memoize" | "Unique", [child]) => {
                self.only_scan(child)
            }
            // a semi-join's inner side is made unique first
            ("Aggregate", [child]) if node.detail == "Hashed" => self.only_scan(child),
            _ => None,
        }
    }
}

/// A node as the server planned it.
fn as_planned(node: &PlanNode) -> Way {
    Way { startup: node.startup, total: node.total, ordered: false, used: Vec::new() }
}

/// Whether an index's leading keys hold a column that the driving side knows.
fn self_joins(scan: &Scan, spec: &CandidateSpec, outer: &[usize]) -> bool {
    spec.keys.iter().any(|key| {
        scan.predicates.iter().any(|predicate| {
            matches!(predicate.class, Class::Join(with, _) if outer.contains(&with))
                && match (&key.part, &predicate.key) {
                    (crate::planner::KeyPart::Column(column), crate::facts::Key::Column(other)) => {
                        column == other
                    }
                    (
                        crate::planner::KeyPart::Expression(text),
                        crate::facts::Key::Expression(other, _),
                    ) => text == other,
                    _ => false,
                }
        })
    })
}

/// A scan whose condition names another scan's column is executed once per outer row.
fn is_parameterised(node: &PlanNode, scan: &Scan) -> bool {
    let joins = scan.predicates.iter().any(|predicate| matches!(predicate.class, Class::Join(..)));
    joins
        && node.conditions.iter().any(|condition| {
            // `(o.customer_id = c.id)`: own columns are bare in a plan of EXPLAIN without VERBOSE
            condition.contains('.') || condition.contains('$')
        })
}

/// How often a sub-plan runs inside of a node: what the node costs beyond itself, by what one run costs.
fn sub_plan_loops(node: &PlanNode, sub: &PlanNode) -> f64 {
    if node.conditions.iter().any(|condition| condition.contains("hashed SubPlan")) {
        return 1.0;
    }
    let inputs: f64 = node
        .children
        .iter()
        .filter(|child| !matches!(child.relationship.as_str(), "SubPlan" | "InitPlan"))
        .map(|child| child.total)
        .sum();
    ((node.total - inputs) / sub.total.max(0.01)).floor().max(1.0)
}

/// Share of rows of one simple conjunct from the statistics alone.
fn plain_share(
    catalog: &Catalog,
    relation: &crate::catalog::Relation,
    scan: &Scan,
    at: usize,
) -> f64 {
    let predicate = &scan.predicates[at];
    let rows = catalog.pages_and_rows(relation.oid).1.max(1.0);
    let distinct =
        |column: &str| relation.statistics_of(column).map_or(200.0, |found| found.distinct(rows));
    match (&predicate.class, &predicate.key) {
        (Class::Eq, crate::facts::Key::Column(column)) => 1.0 / distinct(column),
        (Class::In(count), crate::facts::Key::Column(column)) => {
            (count.unwrap_or(10) as f64 / distinct(column)).min(1.0)
        }
        (Class::Null(true), crate::facts::Key::Column(column)) => {
            relation.statistics_of(column).map_or(0.01, |found| found.null_fraction)
        }
        (Class::Range, _) => 0.1,
        (Class::Eq, _) => 0.005,
        _ => 0.01,
    }
}
