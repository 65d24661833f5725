//! Plain EXPLAIN: base plans, and row estimates of single conditions.

use super::side::{OneSelect, Side, SideError};
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_advisor::formula::Estimator;
use pgsonde_advisor::planner::{Plan, PlanNode, SampleId};
use pgsonde_advisor::workload::Workload;
use pgsonde_analyzer::digest::grammar::Grammar;
use serde_json::Value;
use std::collections::HashMap;

/// Share of rows taken where the server gives no estimate.
const UNKNOWN_SHARE: f64 = 0.01;

/// The plan of a SELECT as the server has it today. Where it is parallel, the tree is that of the serial plan, which
/// single scans can be compared with, under the parallel plan's cost.
pub(super) fn base_plan(side: &mut Side, select: &OneSelect) -> Result<Plan, SideError> {
    let mut whole = whole_plan(side, select)?;
    let mut parallel = false;
    whole.tree.walk(&mut |node| parallel |= node.kind.starts_with("Gather"));
    if parallel {
        whole.tree = plan(side, select, false)?;
    }
    Ok(whole)
}

/// The plan of a SELECT as the server would run it, parallel or not.
pub(super) fn whole_plan(side: &mut Side, select: &OneSelect) -> Result<Plan, SideError> {
    Ok(plan_of(&side.explain(select, true)?))
}

/// A plan, with all indexes that it uses as existing ones.
pub(super) fn plan_of(json: &Value) -> Plan {
    let plan = &json[0]["Plan"];
    let mut used_existing = Vec::new();
    index_names(plan, &mut used_existing);
    used_existing.sort_unstable();
    used_existing.dedup();
    let tree = node(plan);
    let (cost, startup, rows) = (tree.total, tree.startup, tree.rows);
    Plan { cost, startup, rows, used: Vec::new(), used_existing, tree }
}

fn plan(side: &mut Side, select: &OneSelect, parallel: bool) -> Result<PlanNode, SideError> {
    Ok(node(&side.explain(select, parallel)?[0]["Plan"]))
}

/// Names at any depth: a bitmap may come from several indexes.
fn index_names(json: &Value, names: &mut Vec<String>) {
    names.extend(json["Index Name"].as_str().map(str::to_owned));
    json["Plans"].as_array().into_iter().flatten().for_each(|child| index_names(child, names));
}

/// A node of EXPLAIN (FORMAT JSON). What is missing is zero or empty.
pub(super) fn node(json: &Value) -> PlanNode {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let number = |name: &str| json[name].as_f64().unwrap_or(0.0);
    let conditions = [
        "Filter",
        "Index Cond",
        "Recheck Cond",
        "Hash Cond",
        "Merge Cond",
        "Join Filter",
        "Output",
    ];
    let mut children: Vec<PlanNode> =
        json["Plans"].as_array().into_iter().flatten().map(node).collect();
    let bitmaps = children.iter().find_map(|child| child.index.clone());
    let kind = text("Node Type").unwrap_or_default();
    let is_bitmap = kind == "Bitmap Heap Scan";
    let mut several = Vec::new();
    if is_bitmap {
        index_names(json, &mut several);
    }
    let own: Vec<String> = conditions.iter().filter_map(|name| text(name)).collect();
    let inner: Vec<String> =
        children.iter().filter(|_| is_bitmap).flat_map(|child| child.conditions.clone()).collect();
    if is_bitmap {
        children.retain(|child| matches!(child.relationship.as_str(), "SubPlan" | "InitPlan"));
    }
    PlanNode {
        relationship: text("Parent Relationship").unwrap_or_default(),
        relation: text("Relation Name"),
        alias: text("Alias"),
        index: text("Index Name").or(bitmaps.filter(|_| is_bitmap)),
        startup: number("Startup Cost"),
        total: number("Total Cost"),
        rows: number("Plan Rows"),
        width: number("Plan Width"),
        detail: text("Strategy")
            .or_else(|| text("Join Type"))
            .unwrap_or_else(|| several.join(", ")),
        conditions: own.into_iter().chain(inner).collect(),
        kind,
        children,
    }
}

/// Asks the server's own estimator, by EXPLAIN of a SELECT with just those conditions.
pub(super) struct Probes<'a> {
    pub(super) side: &'a mut Side,
    pub(super) grammar: &'a Grammar,
    pub(super) catalog: &'a Catalog,
    pub(super) workload: &'a Workload,
    pub(super) known: &'a mut HashMap<String, f64>,
}

impl Estimator for Probes<'_> {
    fn rows(&mut self, sample: SampleId, scan: usize, conjuncts: &[usize]) -> f64 {
        let Some((sql, rows, closed)) = self.question(sample, scan, conjuncts) else { return 1.0 };
        if !closed {
            return rows * UNKNOWN_SHARE;
        }
        if let Some(known) = self.known.get(&sql) {
            return *known;
        }
        let select = OneSelect::checked(self.grammar, &sql);
        let answer = select.and_then(|select| plan(self.side, &select, false).ok());
        let estimate = answer.map_or(rows * UNKNOWN_SHARE, |tree| tree.rows);
        self.known.insert(sql, estimate);
        estimate
    }
}

impl Probes<'_> {
    /// The text to explain, the table's rows, and whether each condition is about the table alone.
    fn question(
        &self,
        sample: SampleId,
        scan: usize,
        conjuncts: &[usize],
    ) -> Option<(String, f64, bool)> {
        let bound = self.workload.sample(sample)?.scans.get(scan)?;
        let relation = self.catalog.relations.get(&bound.table?)?;
        let rows = self.catalog.pages_and_rows(relation.oid).1;
        let texts: Vec<&str> = conjuncts
            .iter()
            .filter_map(|at| bound.scan.predicates.get(*at)?.text.as_deref())
            .collect();
        let condition: Vec<String> = texts.iter().map(|text| format!("({text})")).collect();
        let sql =
            format!("SELECT 1 FROM {} WHERE {}", ddl::qualified(relation), condition.join(" AND "));
        Some((sql, rows, !texts.is_empty() && texts.len() == conjuncts.len()))
    }
}
