//! Which scan of a statement a node of its plan is.

use crate::catalog::Catalog;
use crate::planner::PlanNode;
use crate::workload::{BoundScan, Sample};

/// Which scan a plan node belongs to, by the node's address in the walk.
pub(super) struct Assigned<'p> {
    pairs: Vec<(&'p PlanNode, usize)>,
}

fn is_scan(node: &PlanNode) -> bool {
    matches!(node.kind.as_str(), "Seq Scan" | "Index Scan" | "Index Only Scan" | "Bitmap Heap Scan")
}

fn is_append(node: &PlanNode) -> bool {
    matches!(node.kind.as_str(), "Append" | "Merge Append")
}

impl<'p> Assigned<'p> {
    pub(super) fn of(catalog: &Catalog, sample: &Sample, tree: &'p PlanNode) -> Self {
        let mut pairs: Vec<(&PlanNode, usize)> = Vec::new();
        tree.walk(&mut |node| {
            if !is_scan(node) && !is_append(node) {
                return;
            }
            let leaf = if is_append(node) {
                node.children.first().filter(|child| is_scan(child))
            } else {
                Some(node)
            };
            let Some((relation, alias)) =
                leaf.and_then(|leaf| leaf.relation.as_deref().zip(leaf.alias.as_deref()))
            else {
                return;
            };
            // the server numbers equal aliases: o, o_1, o_2; children of a partitioned table too
            let stem = alias
                .rsplit_once('_')
                .filter(|(_, tail)| tail.bytes().all(|byte| byte.is_ascii_digit()))
                .map_or(alias, |(stem, _)| stem);
            let of_table = |bound: &BoundScan| {
                bound.table.and_then(|oid| catalog.relations.get(&oid)).is_some_and(|table| {
                    table.name == relation
                        || catalog.leaves(table.oid).iter().any(|leaf| leaf.name == relation)
                })
            };
            let fits = |name: &str| {
                (0..sample.scans.len()).find(|at| {
                    let bound = &sample.scans[*at];
                    let taken = pairs.iter().any(|(_, scan)| scan == at);
                    !taken && bound.scan.alias == name && of_table(bound)
                })
            };
            if let Some(scan) = fits(alias).or_else(|| fits(stem)) {
                pairs.push((node, scan));
            }
        });
        Self { pairs }
    }

    pub(super) fn scan(&self, node: &PlanNode) -> Option<usize> {
        self.pairs.iter().find(|(known, _)| std::ptr::eq(*known, node)).map(|(_, scan)| *scan)
    }
}
