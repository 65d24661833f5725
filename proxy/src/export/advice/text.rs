//! Index advice as text for people.

use super::{HYPOPG_WORDS, HypoPgSummary, IndexFinding, ShadowSummary};
use crate::export::text::bytes;
use pgsonde_advisor::advice::Report;
use std::fmt::Write as _;

/// `1 call`, `2 calls`.
fn counted(count: f64, noun: &str) -> String {
    format!("{count:.0} {noun}{}", if count.round() == 1.0 { "" } else { "s" })
}

fn counted_entries(count: f64) -> String {
    format!("{count:.0} index {}", if count.round() == 1.0 { "entry" } else { "entries" })
}

/// Plans of the first statement, and how far the shadow agrees with the target about it.
fn add_plans(text: &mut String, finding: &IndexFinding) {
    let Some(plans) = finding.plans.first() else { return };
    for (name, plan) in [("before", &plans.before), ("after", &plans.after)] {
        for (at, line) in plan.lines.iter().enumerate() {
            let _ = writeln!(text, "  {:7}{line}", if at == 0 { name } else { "" });
        }
    }
    let _ = match plans.cost_in_shadow {
        Some(shadow) => writeln!(
            text,
            "  trust  cost {:.2} on the target today, {shadow:.2} in the shadow",
            plans.cost_on_target
        ),
        None => writeln!(text, "  trust  planned by {HYPOPG_WORDS}"),
    };
}

pub(super) fn for_people(
    findings: &[IndexFinding],
    report: &Report,
    shadow: Option<&ShadowSummary>,
    hypopg: Option<&HypoPgSummary>,
) -> String {
    let mut text = String::new();
    if findings.is_empty() {
        text.push_str("No index would help this workload enough to be worth its cost.\n");
    }
    for finding in findings {
        let sql = finding.finding.ddl.as_ref().or(finding.finding.proposed_ddl.as_ref());
        let _ = writeln!(text, "{}\n", sql.map_or("", String::as_str));
        for statement in &finding.statements {
            let _ = writeln!(
                text,
                "  helps  {}, cost {:.1} -> {:.1}: {}",
                counted(statement.calls, "call"),
                statement.cost_before,
                statement.cost_after,
                statement.query_text
            );
        }
        let _ =
            writeln!(text, "  saves  {:.1} % of the workload's cost", finding.saving_share * 100.0);
        let writes = &finding.write_cost;
        let _ = writeln!(
            text,
            "  costs  about {} on disk; {} for this workload's writes",
            bytes(finding.size_bytes),
            counted_entries(writes.entries)
        );
        let _ = writeln!(text, "  sure   {}", finding.finding.tier.as_deref().unwrap_or_default());
        add_plans(&mut text, finding);
        for reason in finding.reasons_against.iter().chain(&finding.hints) {
            let _ = writeln!(text, "  but    {reason}");
        }
        for replaced in &finding.replaces {
            let _ = writeln!(text, "  then   {replaced} is no longer needed");
        }
        text.push('\n');
    }
    if let Some(shadow) = shadow {
        let _ = writeln!(
            text,
            "The shadow plans {} of {} within 0.1 % of the cost on the target.",
            shadow.within_0_1_percent,
            counted(shadow.statements as f64, "statement")
        );
    }
    if let Some(hypopg) = hypopg {
        let explains = counted(hypopg.explains as f64, "EXPLAIN");
        let _ = writeln!(text, "HypoPG planned with {explains} on the target.");
    }
    let doubts = shadow.map(|found| &found.unverified).or(hypopg.map(|found| &found.unverified));
    for unverified in doubts.into_iter().flatten() {
        let _ = writeln!(text, "  not verified: {}: {}", unverified.query_text, unverified.why);
    }
    for found in &report.dispensable {
        let _ = writeln!(
            text,
            "{} index {} on {}: {}",
            found.kind, found.index, found.table, found.why
        );
    }
    text
}
