//! Which findings count: those that nobody knows or ignores.

use super::{Case, known_of};
use crate::audit::budget::{Ignore, fits};
use crate::export::shapes::audit::JudgedFinding;
use crate::export::shapes::{Finding, is_proved, kind_words};

/// Findings named in one line.
const NAMED_MAX: usize = 3;

/// A finding against budget and baseline.
pub(super) fn judged(finding: &Finding, case: &Case<'_>) -> JudgedFinding {
    let known = known_of(case.baseline, &finding.id);
    let ignored = case
        .budget
        .ignores
        .iter()
        .filter(|ignore| ignore.until.as_deref().is_none_or(|until| case.today <= until))
        .find(|ignore| covers(ignore, finding))
        .map(|ignore| ignore.reason.clone());
    JudgedFinding {
        finding: finding.clone(),
        known: known.is_some(),
        beyond_baseline: finding.sightings.saturating_sub(known.map_or(0, |known| known.count)),
        ignored,
    }
}

/// Every condition that is given holds; one about routes or marks holds if it does for all of the finding's.
fn covers(ignore: &Ignore, finding: &Finding) -> bool {
    let digests = [
        finding.child.as_ref().map(|child| child.digest.as_str()),
        finding.parent.as_ref().map(|parent| parent.digest.as_str()),
    ];
    let is = |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|w| w == given);
    is(&ignore.kind, &finding.kind)
        && is(&ignore.finding, &finding.id)
        && ignore.digest.as_deref().is_none_or(|digest| digests.contains(&Some(digest)))
        && all_fit(&ignore.route, finding.routes.iter().map(|seen| seen.route.as_str()))
        && all_fit(&ignore.mark, finding.marks.iter().map(|seen| seen.mark.as_str()))
}

/// Whether there are names, and all of them fit; without a pattern always.
fn all_fit<'a>(pattern: &Option<String>, names: impl ExactSizeIterator<Item = &'a str>) -> bool {
    let Some(pattern) = pattern else { return true };
    let mut names = names;
    names.len() > 0 && names.all(|name| fits(pattern, name))
}

/// Findings that count: not ignored, and beyond what the baseline has.
pub(super) fn counting(all: &[JudgedFinding]) -> impl Iterator<Item = &JudgedFinding> {
    all.iter().filter(|judged| judged.ignored.is_none() && judged.beyond_baseline > 0)
}

/// Bursts of proved N+1 at one place, of findings that count; `at` tells the sightings there.
pub(super) fn n_plus_one(
    all: &[JudgedFinding],
    at: impl Fn(&JudgedFinding) -> u64,
) -> (u64, String) {
    let here: Vec<&JudgedFinding> = counting(all)
        .filter(|judged| judged.finding.kind == "n_plus_one" && is_proved(&judged.finding.proof))
        .filter(|judged| at(judged) > 0)
        .collect();
    let bursts = here.iter().map(|judged| at(judged).min(judged.beyond_baseline)).sum();
    (bursts, named(&here))
}

/// `test_order_list /orders: 17 × SELECT items`, of the first ones.
pub(super) fn named(findings: &[&JudgedFinding]) -> String {
    let one = |judged: &&JudgedFinding| {
        let finding = &judged.finding;
        let words: Vec<&str> =
            [&finding.mark, &finding.route].into_iter().flatten().map(String::as_str).collect();
        let table = finding.child.as_ref().and_then(|child| child.table.as_deref());
        let times = finding.n.map_or(String::new(), |n| format!("{n} × "));
        let what = table.unwrap_or_else(|| kind_words(&finding.kind));
        format!("{}{}{times}{what}", words.join(" "), if words.is_empty() { "" } else { ": " })
    };
    let mut text = findings.iter().take(NAMED_MAX).map(one).collect::<Vec<_>>().join("; ");
    if findings.len() > NAMED_MAX {
        text.push_str(&format!("; {} more", findings.len() - NAMED_MAX));
    }
    text
}
