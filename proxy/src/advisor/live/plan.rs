//! The plan of one statement, for somebody who asks for it: planned by the server as it is now, never executed.

use crate::advisor::explain;
use crate::export::advice::plan_lines;
use crate::problem::Problem;
use pgsonde_analyzer::snapshot::DigestRow;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// A setting of the side connection's own, which says nothing about the sessions.
const OWN_SETTING: &str = "plan_cache_mode";

/// Which statement, and where the answer goes.
#[derive(Debug)]
pub struct PlanRequest {
    digest: u64,
    database: Option<String>,
    answer: oneshot::Sender<Result<Planned, Problem>>,
}

/// A plan without values.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// As psql shows it.
    pub lines: Vec<String>,
    /// In planner units.
    pub cost: f64,
    /// Rows that the planner expects.
    pub rows: f64,
    /// What the server, the database or the role set differently from PostgreSQL's defaults.
    pub settings: BTreeMap<String, String>,
    /// Whether its values are such as the statistics suggest, not such as were sent.
    pub generic: bool,
}

impl PlanRequest {
    /// A request, and the end at which its answer comes.
    pub fn of(
        digest: u64,
        database: Option<String>,
    ) -> (Self, oneshot::Receiver<Result<Planned, Problem>>) {
        let (answer, answered) = oneshot::channel();
        (Self { digest, database, answer }, answered)
    }

    pub(super) fn wants(&self, row: &DigestRow) -> bool {
        let database = self.database.as_deref();
        row.digest == self.digest && database.is_none_or(|database| *row.database == *database)
    }

    pub(super) fn answer(self, planned: Result<Planned, Problem>) {
        // Whoever asked may have gone.
        let _ = self.answer.send(planned);
    }
}

impl Planned {
    /// Out of EXPLAIN (FORMAT JSON, SETTINGS).
    pub(super) fn of(json: &Value, generic: bool) -> Self {
        let plan = explain::plan_of(json);
        let settings = json[0]["Settings"].as_object().into_iter().flatten();
        let settings = settings
            .filter(|(name, _)| *name != OWN_SETTING)
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        Self {
            lines: plan_lines(&plan),
            cost: plan.cost,
            rows: plan.rows,
            settings: settings.collect(),
            generic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_has_no_values_and_only_the_settings_of_others() {
        let json = json!([{
            "Plan": {
                "Node Type": "Seq Scan", "Relation Name": "orders", "Alias": "orders",
                "Startup Cost": 0.0, "Total Cost": 18.5, "Plan Rows": 7, "Plan Width": 8,
                "Filter": "((note = 'hush'::text) AND (id < 77))",
            },
            "Settings": {"plan_cache_mode": "force_custom_plan", "work_mem": "64MB"},
        }]);
        let planned = Planned::of(&json, true);
        assert_eq!(planned.lines[0], "Seq Scan on orders  (cost=0.00..18.50 rows=7)");
        let text = planned.lines.join("\n");
        assert!(
            text.contains("note = ?") && !text.contains("hush") && !text.contains("77"),
            "{text}"
        );
        assert_eq!((planned.cost, planned.rows, planned.generic), (18.5, 7.0, true));
        assert_eq!(planned.settings, [("work_mem".to_owned(), "64MB".to_owned())].into());
    }
}
