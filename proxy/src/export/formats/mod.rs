//! A report in the forms that people and machines read.

mod flame;
pub(crate) mod html;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod sarif;

pub(crate) use flame::{folded, speedscope};

use super::report_text;
use super::shapes::{Finding, Report, kind_words};
use super::words;

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One file for a browser.
    Html,
    /// For a terminal.
    Text,
    /// For a merge request or a wiki.
    Md,
    /// The whole report as one document.
    Json,
    /// JUnit's XML: a case per finding.
    Junit,
    /// SARIF 2.1.0.
    Sarif,
    /// For speedscope.app.
    Speedscope,
    /// Folded stacks: `service;route;statement;phase microseconds`.
    Folded,
}

/// The report in that form; `source` says where it comes from.
pub(crate) fn render(report: &Report, source: &str, format: Format) -> String {
    let flame = || report.flame.clone().unwrap_or_default();
    match format {
        Format::Html => html::render(report, source),
        Format::Text => report_text::render(report, source),
        Format::Md => markdown::render(report, source),
        Format::Json => pretty(report),
        Format::Junit => junit::of_findings(report).to_xml(),
        Format::Sarif => pretty(&sarif::document(&report.findings.items, &sarif::Place::default())),
        Format::Speedscope => pretty(&speedscope(&flame())),
        Format::Folded => folded(&flame()),
    }
}

/// Indented JSON with a newline at its end.
pub(crate) fn pretty<T: serde::Serialize>(value: &T) -> String {
    // Maps with text keys and finite numbers always have a JSON form.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// `N+1 · proved`
pub(crate) fn title(finding: &Finding) -> String {
    format!("{} · {}", kind_words(&finding.kind), words::grade(finding))
}

/// Findings that count: neither resolved nor muted.
pub(crate) fn open(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings.items.iter().filter(|finding| finding.state == "open")
}

#[cfg(test)]
mod tests;
