//! What is shown: the answers of a running proxy, read in one go.

use crate::export::shapes::{Finding, List, Report, Statement, Summary};
use crate::export::source;
use crate::problem::Problem;

/// Statements that are asked for.
const STATEMENTS: usize = 200;

/// One look at the proxy.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) summary: Summary,
    pub(super) statements: Vec<Statement>,
    pub(super) findings: Vec<Finding>,
}

/// A running proxy.
#[derive(Clone, Debug)]
pub(super) struct Source {
    url: String,
}

impl Source {
    pub(super) fn new(url: &str) -> Result<Self, Problem> {
        source::base(url).map(|base| Self { url: base.to_string() })
    }

    pub(super) fn read(&self) -> Result<Data, Problem> {
        source::read(&self.url, STATEMENTS).map(Data::from)
    }
}

impl From<Report> for Data {
    fn from(report: Report) -> Self {
        let List { items, .. } = report.statements;
        Self {
            summary: report.summary,
            statements: items.into_iter().map(|detail| detail.item).collect(),
            findings: report.findings.items,
        }
    }
}
