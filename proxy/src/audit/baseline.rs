//! The baseline: which findings are known and accepted.

use crate::export::shapes::audit::{AUDIT_VERSION, Baseline, KnownDigest, KnownFinding};
use crate::export::shapes::{Finding, HASH_VERSION, Report};
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Code of everything about this file.
const BASELINE: u16 = 605;

/// Reads the file.
///
/// # Errors
/// PGS0605: it can't be read, or is of another version.
pub(crate) fn read(path: &Path) -> Result<Baseline, Problem> {
    let name = path.display();
    let bad = |why: String| {
        Problem::new(BASELINE, format!("cannot read the baseline {name}: {why}"))
            .help("`pgsonde audit --init -- COMMAND` writes one; each run leaves a candidate in its --out folder")
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let baseline: Baseline = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if baseline.version != AUDIT_VERSION {
        return Err(bad(format!("version {} is not known", baseline.version)));
    }
    if baseline.hash_version != HASH_VERSION {
        return Err(bad(format!(
            "its digests are hashed by rule {}, this version's by rule {HASH_VERSION}",
            baseline.hash_version
        )));
    }
    Ok(baseline)
}

/// What a run's baseline would be; notes are taken over.
pub(crate) fn candidate(reports: &[Report], before: &Baseline) -> Baseline {
    let notes: BTreeMap<&str, &Option<String>> =
        before.findings.iter().map(|known| (known.finding.as_str(), &known.note)).collect();
    let finding = |finding: &Finding| KnownFinding {
        finding: finding.id.clone(),
        kind: finding.kind.clone(),
        digest: finding.child.as_ref().map(|child| child.digest.clone()),
        route: finding.route.clone(),
        mark: finding.mark.clone(),
        count: finding.sightings,
        note: notes.get(finding.id.as_str()).and_then(|note| (*note).clone()),
    };
    let open = reports
        .iter()
        .flat_map(|report| report.findings.items.iter().filter(|finding| finding.state == "open"));
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for detail in reports.iter().flat_map(|report| &report.statements.items) {
        let known = most.entry(&detail.item.digest).or_default();
        *known = detail.item.calls_per_unit_max.max(*known);
    }
    let digests = most
        .into_iter()
        .map(|(digest, most)| KnownDigest { digest: digest.to_owned(), calls_per_unit_max: most });
    Baseline {
        version: AUDIT_VERSION,
        hash_version: HASH_VERSION,
        findings: open.map(finding).collect(),
        digests: digests.collect(),
    }
}

/// How the file may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// Entries may go, numbers may fall.
    Shrink,
    /// Entries may also come, numbers may rise.
    Accept,
}

/// The new baseline.
///
/// # Errors
/// PGS0606: not all of what the baseline knows has run, so nothing can be said of what is missing.
pub(crate) fn updated(
    before: &Baseline,
    candidate: &Baseline,
    marks_ran: &BTreeSet<String>,
    update: Update,
) -> Result<Baseline, Problem> {
    let missing: BTreeSet<&str> = before
        .findings
        .iter()
        .filter_map(|known| known.mark.as_deref())
        .filter(|mark| !marks_ran.contains(*mark))
        .collect();
    if let Some(first) = missing.iter().next().filter(|_| update == Update::Shrink) {
        return Err(Problem::new(
            606,
            format!("the baseline stays: {} of its marks did not run", missing.len()),
        )
        .note(format!("one of them is `{}`", first.escape_debug()))
        .help("run everything that the baseline was made of, or delete entries by hand"));
    }
    let now: BTreeMap<&str, &KnownFinding> =
        candidate.findings.iter().map(|known| (known.finding.as_str(), known)).collect();
    let findings = match update {
        Update::Shrink => before
            .findings
            .iter()
            .filter_map(|known| {
                let count = now.get(known.finding.as_str())?.count.min(known.count);
                Some(KnownFinding { count, ..known.clone() })
            })
            .collect(),
        Update::Accept => {
            let not_run = |known: &&KnownFinding| {
                known.mark.as_deref().is_some_and(|mark| missing.contains(mark))
                    && !now.contains_key(known.finding.as_str())
            };
            let kept = before.findings.iter().filter(not_run).cloned();
            candidate.findings.iter().cloned().chain(kept).collect()
        }
    };
    let before_digests: BTreeMap<&str, u64> = before
        .digests
        .iter()
        .map(|known| (known.digest.as_str(), known.calls_per_unit_max))
        .collect();
    let digests = candidate.digests.iter().filter_map(|known| match update {
        Update::Accept => Some(known.clone()),
        Update::Shrink => {
            let most = *before_digests.get(known.digest.as_str())?;
            let calls_per_unit_max = known.calls_per_unit_max.min(most);
            Some(KnownDigest { calls_per_unit_max, ..known.clone() })
        }
    });
    Ok(Baseline { findings, digests: digests.collect(), ..candidate.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(finding: &str, count: u64, mark: Option<&str>) -> KnownFinding {
        KnownFinding {
            finding: finding.to_owned(),
            kind: "n_plus_one".to_owned(),
            count,
            mark: mark.map(str::to_owned),
            ..KnownFinding::default()
        }
    }

    fn baseline(findings: Vec<KnownFinding>) -> Baseline {
        Baseline {
            version: AUDIT_VERSION,
            hash_version: HASH_VERSION,
            findings,
            digests: vec![KnownDigest { digest: "d".to_owned(), calls_per_unit_max: 3 }],
        }
    }

    fn counts(baseline: &Baseline) -> Vec<(String, u64)> {
        baseline.findings.iter().map(|known| (known.finding.clone(), known.count)).collect()
    }

    #[test]
    fn without_accept_it_only_shrinks() {
        let before =
            baseline(vec![known("a", 2, Some("t")), known("b", 5, None), known("c", 1, None)]);
        let now =
            baseline(vec![known("a", 9, Some("t")), known("b", 1, None), known("new", 1, None)]);
        let ran = BTreeSet::from(["t".to_owned()]);
        let after = updated(&before, &now, &ran, Update::Shrink).unwrap();
        assert_eq!(counts(&after), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let after = updated(&before, &now, &ran, Update::Accept).unwrap();
        assert_eq!(
            counts(&after),
            [("a".to_owned(), 9), ("b".to_owned(), 1), ("new".to_owned(), 1)]
        );
    }

    #[test]
    fn a_part_of_the_suite_removes_nothing() {
        let before = baseline(vec![known("a", 2, Some("t1")), known("b", 2, Some("t2"))]);
        let now = baseline(vec![known("a", 1, Some("t1"))]);
        let ran = BTreeSet::from(["t1".to_owned()]);
        let problem = updated(&before, &now, &ran, Update::Shrink).unwrap_err();
        assert_eq!((problem.number(), problem.exit_code()), (606, 2));
        let after = updated(&before, &now, &ran, Update::Accept).unwrap();
        assert_eq!(counts(&after), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    }

    #[test]
    fn the_file_is_sorted_with_a_line_per_entry_and_read_back() {
        let mut written = baseline(vec![known("b", 1, None), known("a", 1, None)]);
        let text = written.to_text();
        assert_eq!(text.lines().filter(|line| line.starts_with("  {\"")).count(), 3);
        let again: Baseline = serde_json::from_str(&text).unwrap();
        written.findings.reverse();
        assert_eq!(again, written);
        let empty = Baseline { version: 1, hash_version: 1, ..Baseline::default() };
        assert_eq!(serde_json::from_str::<Baseline>(&empty.to_text()).unwrap(), empty);
    }
}
