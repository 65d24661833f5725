//! JUnit's XML: what CI systems show as tests.

use super::{open, title};
use crate::export::shapes::{Finding, Report};
use crate::export::words;
use std::fmt::Write as _;

/// One suite of cases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub(crate) enum Outcome {
    #[default]
    Passed,
    /// Not judged, and why.
    Skipped(String),
    /// What failed in one line, and evidence and fix.
    Failed { message: String, details: String },
}

/// A case per open finding; those worth knowing only (`info`) pass.
pub(crate) fn of_findings(report: &Report) -> Suite {
    let case = |finding: &Finding| Case {
        class: format!("pgsonde.{}", finding.kind),
        name: format!("{} {}", title(finding), finding.id),
        outcome: if finding.severity == "info" {
            Outcome::Passed
        } else {
            Outcome::Failed { message: finding.sentence.clone(), details: details(finding) }
        },
    };
    Suite { name: "pgsonde".to_owned(), cases: open(report).map(case).collect() }
}

/// Evidence and fix of a finding, in lines.
pub(crate) fn details(finding: &Finding) -> String {
    let mut text = format!("{}\n{}\n", finding.sentence, words::place(finding));
    for evidence in words::evidence(finding) {
        let _ = writeln!(text, "evidence: {evidence}");
    }
    let _ = writeln!(text, "cost: {}\nfix: {}", words::cost(finding), finding.fix.text);
    if let Some(sql) = &finding.fix.sql {
        let _ = writeln!(text, "fix as SQL: {sql}");
    }
    if let Some(child) = &finding.child {
        let _ = writeln!(text, "statement {}: {}", child.digest, child.query_text);
    }
    text
}

impl Suite {
    /// The document.
    pub(crate) fn to_xml(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.cases.iter().filter(|case| wanted(&case.outcome)).count()
        };
        let failures = count(|outcome| matches!(outcome, Outcome::Failed { .. }));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let numbers = format!(
            "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"",
            self.cases.len()
        );
        let name = escaped(&self.name);
        let cases: String = self.cases.iter().map(Case::to_xml).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {numbers}>\n\
             <testsuite name=\"{name}\" {numbers}>\n{cases}</testsuite>\n</testsuites>\n"
        )
    }
}

impl Case {
    fn to_xml(&self) -> String {
        let (class, name) = (escaped(&self.class), escaped(&self.name));
        let head = format!("<testcase classname=\"{class}\" name=\"{name}\"");
        match &self.outcome {
            Outcome::Passed => format!("{head}/>\n"),
            Outcome::Skipped(why) => {
                format!("{head}><skipped message=\"{}\"/></testcase>\n", escaped(why))
            }
            Outcome::Failed { message, details } => format!(
                "{head}><failure type=\"budget\" message=\"{}\">{}</failure></testcase>\n",
                escaped(message),
                escaped(details)
            ),
        }
    }
}

/// Text in XML 1.0: five entities; control characters, which no XML may hold, become `?`.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push('?');
            }
            letter => out.push(letter),
        }
    }
    out
}
