//! What an audit leaves in `--out`, and what it tells the CI system that it runs in.

use super::code::{Code, Places};
use super::judge::is_of;
use super::table::{limit_words, value};
use crate::export::formats::{Format, html, junit, markdown, pretty, render, sarif, title};
use crate::export::shapes::audit::{AuditDocument, Baseline, JudgedFinding, JudgedLimit};
use crate::export::shapes::{Finding, Report};
use crate::export::text::clean;
use crate::problem::{LOCAL_RESOURCE, Problem};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Largest summary, in bytes: GitHub takes 1 MiB per step, others show less.
const SUMMARY_BYTES_MAX: usize = 64 << 10;
/// Findings and statements in the summary.
const SUMMARY_TOP: usize = 10;
/// Annotations of one run: GitHub shows no more of one step.
const ANNOTATIONS_MAX: usize = 10;

/// Everything that is written.
pub(super) struct Artefacts<'a> {
    pub(super) document: &'a AuditDocument,
    pub(super) reports: &'a [Report],
    pub(super) candidate: &'a Baseline,
    pub(super) verdict: &'a str,
    /// Where findings are shown that no code is known of.
    pub(super) budget_file: &'a str,
    /// Where in the code statements come from.
    pub(super) code: &'a Places,
    /// Environment of this process.
    pub(super) environment: &'a BTreeMap<String, String>,
}

impl Artefacts<'_> {
    /// Writes the folder, which is made if it isn't there.
    ///
    /// # Errors
    /// PGS0102 with the file that can't be written.
    pub(super) fn write(&self, out: &Path) -> Result<(), Problem> {
        let failed = |path: &Path, error: &std::io::Error| {
            Problem::new(LOCAL_RESOURCE, format!("cannot write {}: {error}", path.display()))
        };
        std::fs::create_dir_all(out).map_err(|error| failed(out, &error))?;
        let summary = self.summary();
        let mut files = vec![
            ("audit.json".to_owned(), pretty(self.document)),
            ("summary.md".to_owned(), summary.clone()),
            ("junit.xml".to_owned(), self.junit().to_xml()),
            ("pgsonde.sarif".to_owned(), pretty(&self.sarif())),
            ("baseline.json".to_owned(), self.candidate.to_text()),
        ];
        for (index, report) in self.reports.iter().enumerate() {
            let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
            let upstreams = &self.document.totals.upstreams;
            let source = upstreams.get(index).map_or("the audit", String::as_str);
            files.push((format!("report{number}.html"), html::render(report, source)));
            files.push((format!("report{number}.json"), render(report, source, Format::Json)));
        }
        if self.environment.contains_key("GITLAB_CI") {
            files.push(("gl-code-quality-report.json".to_owned(), pretty(&self.code_quality())));
        }
        for (name, text) in files {
            let path = out.join(name);
            std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
        }
        if let Some(path) =
            self.environment.get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty())
        {
            let appended = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let written = appended.and_then(|mut file| file.write_all(summary.as_bytes()));
            written.map_err(|error| failed(Path::new(path), &error))?;
        }
        Ok(())
    }

    /// Findings that count, worst first.
    fn counting(&self) -> impl Iterator<Item = &JudgedFinding> {
        self.document.findings.iter().filter(|judged| judged.ignored.is_none())
    }

    /// Markdown: verdict, failed limits, first findings, costliest statements.
    pub(super) fn summary(&self) -> String {
        let mut out =
            format!("## pgsonde audit\n\n```text\n{}```\n\n", self.verdict.replace("```", "'''"));
        let failed: Vec<&JudgedLimit> =
            self.document.limits.iter().filter(|limit| limit.verdict == "fail").collect();
        if !failed.is_empty() {
            out.push_str("| Limit | Measured | From |\n| --- | ---: | --- |\n");
            for limit in failed {
                let measured =
                    limit.measured.map_or(String::new(), |measured| value(&limit.unit, measured));
                let words = markdown::cell(&limit_words(limit));
                let _ =
                    writeln!(out, "| {words} | {measured} | {} |", markdown::cell(&limit.detail));
            }
            out.push('\n');
        }
        for report in self.reports {
            markdown::findings(&mut out, report, SUMMARY_TOP);
            markdown::statements(&mut out, report, SUMMARY_TOP);
        }
        if out.len() > SUMMARY_BYTES_MAX {
            const CUT: &str = "\n\n… cut; the report has everything.\n";
            let kept =
                pgsonde_analyzer::text::cut(&out, SUMMARY_BYTES_MAX - CUT.len() - 16).to_owned();
            // An open fence would swallow the line.
            let open = kept.lines().filter(|line| line.starts_with("```")).count() % 2 == 1;
            out = format!("{kept}{}{CUT}", if open { "\n```" } else { "" });
        }
        out
    }

    /// A case per limit, and one per route and mark that no limit is on, so that a test is seen although it is free.
    pub(super) fn junit(&self) -> junit::Suite {
        let case = |limit: &JudgedLimit| junit::Case {
            class: match &limit.subject {
                Some(subject) => format!("pgsonde.{}.{subject}", limit.scope),
                None => format!("pgsonde.{}", limit.scope),
            },
            name: limit_words(limit),
            outcome: match limit.verdict.as_str() {
                "fail" => junit::Outcome::Failed {
                    message: format!(
                        "{}: {}",
                        limit_words(limit),
                        limit
                            .measured
                            .map_or(String::new(), |measured| value(&limit.unit, measured))
                    ),
                    details: self.evidence(limit),
                },
                "pass" => junit::Outcome::Passed,
                _ => junit::Outcome::Skipped(limit.detail.clone()),
            },
        };
        junit::Suite {
            name: "pgsonde".to_owned(),
            cases: self.document.limits.iter().map(case).chain(self.unlimited()).collect(),
        }
    }

    /// A passed case per route and mark without a limit of its own.
    fn unlimited(&self) -> Vec<junit::Case> {
        let routes = self.reports.iter().filter_map(|report| report.routes.as_ref());
        let routes =
            routes.flat_map(|list| &list.items).map(|row| ("route", row.item.route.as_str()));
        let marks = self.reports.iter().filter_map(|report| report.marks.as_ref());
        let marks = marks.flat_map(|list| &list.items).map(|row| ("mark", row.mark.as_str()));
        let mut subjects: BTreeSet<(&str, &str)> = routes.chain(marks).collect();
        for limit in &self.document.limits {
            subjects.remove(&(limit.scope.as_str(), limit.subject.as_deref().unwrap_or_default()));
        }
        let named =
            subjects.into_iter().filter(|(_, name)| !matches!(*name, "" | "none" | "other"));
        let case = |(scope, name): (&str, &str)| junit::Case {
            class: format!("pgsonde.{scope}.{name}"),
            name: "no limit".to_owned(),
            outcome: junit::Outcome::Passed,
        };
        named.map(case).collect()
    }

    /// What lies behind a failed limit: the findings of its kind and place.
    fn evidence(&self, limit: &JudgedLimit) -> String {
        let here = |judged: &&JudgedFinding| {
            let finding = &judged.finding;
            match (limit.scope.as_str(), limit.subject.as_deref()) {
                ("route", Some(route)) => finding.routes.iter().any(|seen| seen.route == route),
                ("mark", Some(mark)) => finding.marks.iter().any(|seen| seen.mark == mark),
                ("digest", Some(digest)) => {
                    finding.child.as_ref().is_some_and(|child| child.digest == digest)
                        || finding.parent.as_ref().is_some_and(|parent| parent.digest == digest)
                }
                ("findings", _) => is_of(finding, &limit.key) && judged.beyond_baseline > 0,
                _ => finding.kind == limit.key || (limit.key == "new_findings" && !judged.known),
            }
        };
        let mut text = format!("{}\n", limit.detail);
        for judged in self.counting().filter(here).take(SUMMARY_TOP) {
            text.push('\n');
            text.push_str(&junit::details(&judged.finding));
        }
        text
    }

    /// Where findings are shown.
    fn place(&self) -> sarif::Place {
        let code =
            |(digest, code): (&String, &Code)| (digest.clone(), (code.file.clone(), code.line));
        let code = self.code.iter().map(code).collect();
        sarif::Place { file: self.budget_file.to_owned(), known: None, code }
    }

    fn sarif(&self) -> Value {
        let known = self.document.findings.iter().filter(|judged| judged.known);
        let known = known.map(|judged| judged.finding.id.clone()).collect();
        let place = sarif::Place { known: Some(known), ..self.place() };
        let findings: Vec<Finding> = self.counting().map(|judged| judged.finding.clone()).collect();
        sarif::document(&findings, &place)
    }

    /// GitLab's code quality report.
    pub(super) fn code_quality(&self) -> Value {
        let place = self.place();
        let entry = |judged: &JudgedFinding| {
            let finding = &judged.finding;
            let (file, line) = place.of(finding);
            json!({
                "description": format!("{}: {}", title(finding), finding.sentence),
                "check_name": finding.kind,
                "fingerprint": finding.id,
                "severity": match finding.severity.as_str() {
                    "error" => "major",
                    "warning" => "minor",
                    _ => "info",
                },
                "location": { "path": file, "lines": { "begin": line } },
            })
        };
        self.counting().filter(|judged| !judged.known).map(entry).collect()
    }

    /// Lines that GitHub turns into annotations: failed limits, then new findings, worst first.
    pub(super) fn annotations(&self) -> String {
        let failed =
            self.document.limits.iter().filter(|limit| limit.verdict == "fail").map(|limit| {
                let measured =
                    limit.measured.map_or(String::new(), |measured| value(&limit.unit, measured));
                let text = format!("{measured} {}", limit.detail);
                ("error", limit_words(limit), text, (self.budget_file, 1))
            });
        let rank = |judged: &&JudgedFinding| match judged.finding.severity.as_str() {
            "error" => 0,
            _ => 1,
        };
        let mut new: Vec<&JudgedFinding> = self
            .counting()
            .filter(|judged| !judged.known && judged.finding.severity != "info")
            .collect();
        new.sort_by_key(rank);
        let place = self.place();
        let new = new.into_iter().map(|judged| {
            let level = if judged.finding.severity == "error" { "error" } else { "warning" };
            let at = place.of(&judged.finding);
            (level, title(&judged.finding), judged.finding.sentence.clone(), at)
        });
        let line = |(level, title, text, (file, line)): (&str, String, String, (&str, u32))| {
            let (file, title) = (property(file), property(&title));
            format!("::{level} file={file},line={line},title={title}::{}\n", message(&text))
        };
        failed.chain(new).take(ANNOTATIONS_MAX).map(line).collect()
    }
}

/// As GitHub's runner reads the text of a command.
fn message(text: &str) -> String {
    clean(text.trim()).replace('%', "%25")
}

/// As it reads a property.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests;
