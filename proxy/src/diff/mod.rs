//! `pgsonde diff BASE HEAD`: what became slower, new, or more, and whether that can be told from chance.

mod compare;
mod significance;
mod words;

use crate::export::formats::pretty;
use crate::export::shapes::diff::DiffDocument;
use crate::export::shapes::{Report, SCHEMA};
use crate::export::source;
use crate::problem::Problem;

/// Exit code where `--fail-on` found something.
const FAILED: u8 = 99;
/// Statements compared; more can't be asked of a proxy.
const STATEMENTS_MAX: usize = 500;
/// Code of reports that can't be compared.
const NOT_COMPARABLE: u16 = 505;

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Text,
    Md,
    Json,
}

/// What makes the exit code 99.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FailOn {
    /// Median grown by more than this share.
    Slower(f64),
    New,
    Gone,
    MoreCalls,
    MoreRows,
    /// A proved N+1 that base doesn't have.
    NPlusOne,
    /// Any finding of severity warning or above that base doesn't have.
    Findings,
}

/// The words of `--fail-on`.
pub(crate) const FAIL_ON_WORDS: &str =
    "slower, slower=20%, new, gone, more-calls, more-rows, n-plus-one, findings";

/// Share by which a statement must be slower where none is given.
const SLOWER_SHARE: f64 = 0.2;

impl FailOn {
    /// Reads one word of `--fail-on`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let (name, value) =
            word.trim().split_once('=').map_or((word.trim(), None), |(n, v)| (n, Some(v)));
        let plain = |fail_on| value.is_none().then_some(fail_on);
        match name {
            "slower" => {
                let Some(text) = value else { return Some(Self::Slower(SLOWER_SHARE)) };
                let percent: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
                (percent.is_finite() && percent >= 0.0).then_some(Self::Slower(percent / 100.0))
            }
            "new" => plain(Self::New),
            "gone" => plain(Self::Gone),
            "more-calls" => plain(Self::MoreCalls),
            "more-rows" => plain(Self::MoreRows),
            "n-plus-one" => plain(Self::NPlusOne),
            "findings" => plain(Self::Findings),
            _ => None,
        }
    }
}

/// Compares two sources; gives the text and the exit code.
///
/// # Errors
/// PGS05 for a source that can't be read, or for two that can't be compared.
pub(crate) fn run(
    sources: [&str; 2],
    fail_on: &[FailOn],
    form: Form,
) -> Result<(String, u8), Problem> {
    let [base, head] = sources;
    let reports = [source::read(base, STATEMENTS_MAX)?, source::read(head, STATEMENTS_MAX)?];
    comparable(&reports)?;
    let document = compare::document([base, head], &reports, fail_on);
    let code = if document.failures.is_empty() { 0 } else { FAILED };
    Ok((written(&document, form), code))
}

fn comparable([base, head]: &[Report; 2]) -> Result<(), Problem> {
    let (old, new) = (base.info.hash_version, head.info.hash_version);
    if old == new && base.info.schema <= SCHEMA && head.info.schema <= SCHEMA {
        return Ok(());
    }
    Err(Problem::new(NOT_COMPARABLE, "the two reports name their statements by different rules")
        .note(format!("base hashes digests by rule {old}, head by rule {new}"))
        .help("make both reports with the same version of pgsonde"))
}

fn written(document: &DiffDocument, form: Form) -> String {
    match form {
        Form::Text => words::text(document),
        Form::Md => words::markdown(document),
        Form::Json => pretty(document),
    }
}

#[cfg(test)]
mod tests;
