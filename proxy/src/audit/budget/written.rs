//! The budget that `--init` writes: what was measured, rounded up.

use crate::export::shapes::{Report, Route};
use std::fmt::Write as _;

/// Routes with limits of their own.
const ROUTES_MAX: usize = 50;

/// The file: every limit holds for the run that it was made of, and leaves times some room.
pub(crate) fn written(reports: &[Report]) -> String {
    let statements =
        reports.iter().map(|report| report.extremes.unit_statements).max().unwrap_or(0);
    let ms = |value: fn(&Report) -> f64| reports.iter().map(value).fold(0.0, f64::max);
    let mut out = format!(
        "# Limits of `pgsonde audit`, made of one run. A limit holds when measured <= limit.\nversion = 1\n\n\
         [budget]\nn_plus_one = 0                # proved bursts beyond the baseline\n\
         errors = {}\nstatements_per_unit = {}\nidle_in_transaction = \"{}\"\np95 = \"{}\"\n\
         new_findings = 0\n\n[budget.findings]             # beyond the baseline\nerror = 0\n",
        crate::audit::judge::errors(reports),
        rounded(statements),
        time(ms(|report| report.extremes.idle_in_transaction_ms)),
        time(ms(|report| report.summary.p95_ms.unwrap_or(0.0))),
    );
    let lists = reports.iter().filter_map(|report| report.routes.as_ref());
    let routes = lists.flat_map(|list| &list.items).map(|detail| &detail.item);
    for route in routes.filter(|route| !matches!(&*route.route, "none" | "other")).take(ROUTES_MAX)
    {
        rule(&mut out, route);
    }
    out
}

fn rule(out: &mut String, route: &Route) {
    // A name may hold a star, which would fit more than itself; that only makes the rule wider.
    let _ = write!(
        out,
        "\n[[budget.route]]\nmatch = {}\nservice = {}\nstatements = {}\n",
        quoted(&route.route),
        quoted(&route.service),
        rounded(route.largest.statements),
    );
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Up to 20 as it is, then to the next multiple of 5, 50, 500 …
fn rounded(value: u64) -> u64 {
    let mut step = 1;
    while value > step * 20 {
        step = if step == 1 { 5 } else { step * 10 };
    }
    value.div_ceil(step) * step
}

/// Shortest limit of a time, in milliseconds: below it a loaded machine fails by chance.
const TIME_MIN_MS: f64 = 50.0;

/// Twice the time, rounded up to 1, 2 or 5 and zeros: machines of CI differ that much.
fn time(ms: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let wanted_ms = (ms * 2.0).ceil().max(TIME_MIN_MS) as u64;
    let mut step_ms = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            if step_ms * factor >= wanted_ms {
                return format!("{}ms", step_ms * factor);
            }
        }
        step_ms = step_ms.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::budget::Budget;
    use crate::audit::judge::{Case, Judgement};
    use crate::export::shapes::audit::Baseline;
    use crate::export::testing::report;

    #[test]
    fn numbers_are_rounded_up() {
        for (value, wanted) in [(0, 0), (19, 19), (20, 20), (21, 25), (101, 150), (1_001, 1_500)] {
            assert_eq!(rounded(value), wanted, "{value}");
        }
        for (ms, wanted) in
            [(0.0, "50ms"), (12.0, "50ms"), (25.1, "100ms"), (51.0, "200ms"), (600.0, "2000ms")]
        {
            assert_eq!(time(ms), wanted, "{ms}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_holds_for_its_own_run() {
        let reports = [report()];
        let folder = std::env::temp_dir().join(format!("pgsonde-budget-{}", std::process::id()));
        std::fs::write(&folder, written(&reports)).unwrap();
        let budget = Budget::read(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        let baseline = crate::audit::baseline::candidate(&reports, &Baseline::default());
        let case =
            Case { reports: &reports, budget: &budget, baseline: &baseline, today: "2026-01-01" };
        let judgement = Judgement::of(&case);
        let failed: Vec<_> = judgement.failed().collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert!(judgement.limits.iter().any(|limit| limit.scope == "route"));
    }
}
