//! What a step found, and how it is printed: one line each, and below it what to do.

use serde_json::{Value, json};
use std::fmt::Write as _;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Works, and will trouble somebody.
    Warn,
    /// Doesn't work.
    Fail,
    /// Couldn't be tried after a failure.
    Skip,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) step: &'static str,
    pub(super) status: Status,
    pub(super) detail: String,
    pub(super) fix: Option<String>,
}

impl Outcome {
    pub(super) fn new(status: Status, step: &'static str, detail: impl Into<String>) -> Self {
        Self { step, status, detail: detail.into(), fix: None }
    }

    pub(super) fn ok(step: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Ok, step, detail)
    }

    pub(super) fn note(step: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Note, step, detail)
    }

    pub(super) fn warn(step: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Warn, step, detail)
    }

    pub(super) fn fail(step: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Fail, step, detail)
    }

    pub(super) fn skip(step: &'static str) -> Self {
        Self::new(Status::Skip, step, "not tried after the failure above")
    }

    #[must_use]
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// All lines, and the exit code: 3 where something fails, 1 where `strict` asks for more than that.
pub(super) fn exit_code(outcomes: &[Outcome], strict: bool) -> u8 {
    let any = |status| outcomes.iter().any(|outcome| outcome.status == status);
    match (any(Status::Fail), any(Status::Warn) && strict) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 0,
    }
}

/// For people.
pub(super) fn to_text(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let word = match outcome.status {
            Status::Fail => "FAIL",
            other => other.name(),
        };
        // Names and messages come from elsewhere: nothing in them may steer the terminal.
        let _ = writeln!(text, "{word:<5}{:<11}{}", outcome.step, printable(&outcome.detail));
        for line in outcome.fix.iter().flat_map(|fix| fix.lines()) {
            let _ = writeln!(text, "{:<16}help: {}", "", printable(line));
        }
    }
    text
}

/// For programs.
pub(super) fn to_json(outcomes: &[Outcome], code: u8) -> Value {
    let step = |outcome: &Outcome| {
        json!({
            "step": outcome.step,
            "status": outcome.status.name(),
            "detail": outcome.detail,
            "fix": outcome.fix,
        })
    };
    json!({ "steps": outcomes.iter().map(step).collect::<Vec<_>>(), "exit_code": code })
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_line_decides() {
        let warn = || Outcome::warn("clock", "2 ms");
        let rows = [
            (vec![Outcome::ok("tcp", "")], false, 0),
            (vec![warn()], false, 0),
            (vec![warn()], true, 1),
            (vec![warn(), Outcome::fail("tls", ""), Outcome::skip("auth")], true, 3),
        ];
        for (outcomes, strict, expected) in rows {
            assert_eq!(exit_code(&outcomes, strict), expected, "{outcomes:?}");
        }
    }

    #[test]
    fn a_line_has_word_step_and_help() {
        let outcome = Outcome::fail("tcp", "refused\u{1b}[2J").fix("start it\nor not");
        let help = "                help: ";
        assert_eq!(
            to_text(&[outcome]),
            format!("FAIL tcp        refused [2J\n{help}start it\n{help}or not\n")
        );
    }
}
