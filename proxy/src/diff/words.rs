//! The comparison for people.

use crate::export::formats::markdown::cell;
use crate::export::shapes::diff::{DiffDocument, FindingName, StatementDiff, StatementSide};
use crate::export::shapes::kind_words;
use crate::export::text::{clean, count, cut, duration_or_dash, wrap};
use std::fmt::Write as _;

/// Columns of the text.
const WIDTH: usize = 80;
/// Statements listed.
const LISTED_MAX: usize = 100;

fn verdict(diff: &StatementDiff) -> String {
    match (&diff.verdicts[..], &diff.not_judged) {
        ([], Some(_)) => "not judged".to_owned(),
        ([], None) => "same".to_owned(),
        (verdicts, _) => verdicts.join(", ").replace('_', " "),
    }
}

fn both(diff: &StatementDiff, of: impl Fn(&StatementSide) -> String) -> String {
    let side = |side: &Option<StatementSide>| side.as_ref().map_or("–".to_owned(), &of);
    format!("{} → {}", side(&diff.base), side(&diff.head))
}

fn changed(document: &DiffDocument) -> impl Iterator<Item = &StatementDiff> {
    document.statements.iter().filter(|diff| !diff.verdicts.is_empty()).take(LISTED_MAX)
}

fn tally(document: &DiffDocument) -> String {
    let with =
        |wanted: &str| document.statements.iter().filter(|diff| verdict(diff) == wanted).count();
    format!(
        "{} statements compared: {} changed, {} same, {} not judged",
        document.statements.len(),
        document.statements.iter().filter(|diff| !diff.verdicts.is_empty()).count(),
        with("same"),
        with("not judged"),
    )
}

fn test(document: &DiffDocument) -> String {
    let test = &document.test;
    format!(
        "{}, alpha {}, from {} timed executions on each side; {} asked. A change inside of one bucket or of the slow tail alone isn't seen.",
        test.name, test.alpha, test.samples_min, test.comparisons
    )
}

pub(super) fn text(document: &DiffDocument) -> String {
    let mut out = String::from("# pgsonde diff\n\n");
    for (name, side) in [("Base", &document.base), ("Head", &document.head)] {
        let statements = count(side.statements);
        let _ = writeln!(out, "{name}  {}  {statements} statements", clean(&side.source));
    }
    let _ = writeln!(out, "\n{}\n", tally(document));
    for diff in changed(document) {
        let _ = writeln!(
            out,
            "{:<22} {} {}",
            verdict(diff),
            clean(&cut(&diff.summary, 38)),
            diff.digest
        );
        let times = both(diff, |side| duration_or_dash(side.p50_ms));
        let calls = both(diff, |side| count(side.calls));
        let per_unit = both(diff, |side| count(side.calls_per_unit_max));
        let rows = both(diff, |side| {
            side.rows_per_call.map_or("–".to_owned(), |rows| format!("{rows:.1}"))
        });
        let _ = writeln!(
            out,
            "    median {times}   calls {calls}   per unit ≤ {per_unit}   rows/call {rows}"
        );
    }
    for (name, list) in
        [("New findings", &document.findings.new), ("Gone findings", &document.findings.gone)]
    {
        if !list.is_empty() {
            let _ = writeln!(out, "\n# {name}\n");
            for finding in list {
                out.push_str(&wrap(&line(finding), WIDTH - 1, "  "));
            }
        }
    }
    for note in &document.notes {
        let _ = writeln!(out, "\nnote: {}", clean(note));
    }
    let _ = write!(out, "\n{}", wrap(&test(document), WIDTH - 1, ""));
    for failure in &document.failures {
        let _ = writeln!(out, "FAIL  {}", clean(failure));
    }
    out
}

fn line(finding: &FindingName) -> String {
    let kind = kind_words(&finding.kind);
    clean(&format!("{kind} · {} · {}: {}", finding.severity, finding.finding, finding.sentence))
}

pub(super) fn markdown(document: &DiffDocument) -> String {
    let mut out = format!("# pgsonde diff\n\n{}\n\n", tally(document));
    for failure in &document.failures {
        let _ = writeln!(out, "- **FAIL** {}", cell(failure));
    }
    if !document.failures.is_empty() {
        out.push('\n');
    }
    out.push_str("| Verdict | Statement | Median | Calls | Per unit ≤ | Rows/call |\n");
    out.push_str("| --- | --- | ---: | ---: | ---: | ---: |\n");
    for diff in changed(document) {
        let _ = writeln!(
            out,
            "| {} | {} `{}` | {} | {} | {} | {} |",
            verdict(diff),
            cell(&diff.summary),
            diff.digest,
            both(diff, |side| duration_or_dash(side.p50_ms)),
            both(diff, |side| count(side.calls)),
            both(diff, |side| count(side.calls_per_unit_max)),
            both(diff, |side| side
                .rows_per_call
                .map_or("–".to_owned(), |rows| format!("{rows:.1}"))),
        );
    }
    for (name, list) in
        [("New findings", &document.findings.new), ("Gone findings", &document.findings.gone)]
    {
        if !list.is_empty() {
            let _ = writeln!(out, "\n## {name}\n");
            for finding in list {
                let _ = writeln!(out, "- {}", cell(&line(finding)));
            }
        }
    }
    let _ = writeln!(out, "\n{}", test(document));
    out
}
