//! Runs of the same statement on one session become one line, `×17`.

use crate::export::shapes::lines::{DigestLine, FindingLine, GapLine, StatementLine, head};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Summaries that are remembered; then all are forgotten, and digests are shown instead until they come again.
const SUMMARIES_MAX: usize = 50_000;
/// Sessions with a line that waits for its repetition.
const WAITING_MAX: usize = 1_024;

/// What becomes one line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    Run(Run),
    Finding { at_us: u64, state: String, title: String, proof: String, sentence: String },
    Gap { at_us: u64, dropped: u64, reason: String },
    Other { at_us: u64, words: String },
}

/// Executions of one statement in a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) at_us: u64,
    pub(super) times: u64,
    pub(super) duration_us: u64,
    pub(super) rows: u64,
    pub(super) service: String,
    pub(super) route: String,
    pub(super) summary: String,
    pub(super) failed: Option<String>,
    digest: u64,
}

/// Lines that wait for a repetition.
#[derive(Default)]
pub(super) struct Fold {
    summaries: HashMap<u64, String>,
    waiting: HashMap<u64, (Run, Instant)>,
}

impl Fold {
    /// Takes a line; gives what can be shown now.
    pub(super) fn take(&mut self, line: &str) -> Vec<Shown> {
        let bytes = line.as_bytes();
        let Some(what) = head(bytes) else { return Vec::new() };
        let at_us = what.ts_us;
        match &*what.ev {
            "statement" => match serde_json::from_slice(bytes) {
                Ok(line) => self.statement(&line),
                Err(_) => Vec::new(),
            },
            "digest" => {
                if let Ok(line) = serde_json::from_slice::<DigestLine<'_>>(bytes) {
                    self.learn(&line);
                }
                Vec::new()
            }
            "finding" => finding(bytes, at_us).into_iter().collect(),
            "gap" => gap(bytes, at_us).into_iter().collect(),
            "transaction" | "connection" => vec![other(bytes, at_us)],
            _ => Vec::new(),
        }
    }

    fn learn(&mut self, line: &DigestLine<'_>) {
        if self.summaries.len() >= SUMMARIES_MAX {
            self.summaries.clear();
        }
        self.summaries.insert(line.digest, line.summary.to_string());
    }

    fn statement(&mut self, line: &StatementLine<'_>) -> Vec<Shown> {
        let new = self.run(line);
        let mut shown = Vec::new();
        if let Some((run, since)) = self.waiting.get_mut(&line.session) {
            if run.digest == new.digest && run.failed == new.failed {
                run.times += 1;
                run.duration_us += new.duration_us;
                run.rows += new.rows;
                *since = Instant::now();
                return shown;
            }
            shown.push(Shown::Run(run.clone()));
        } else if self.waiting.len() >= WAITING_MAX {
            return vec![Shown::Run(new)];
        }
        self.waiting.insert(line.session, (new, Instant::now()));
        shown
    }

    fn run(&self, line: &StatementLine<'_>) -> Run {
        let summary = self.summaries.get(&line.digest).cloned();
        let failed = (line.outcome != "ok").then(|| {
            let state = line.err_sqlstate.as_deref().unwrap_or_default();
            format!("{} {state}", line.outcome).trim_end().to_owned()
        });
        Run {
            at_us: line.ts_us,
            times: 1,
            duration_us: line.duration_us,
            rows: line.rows,
            service: line.service.to_string(),
            route: line.route.as_deref().unwrap_or("-").to_owned(),
            summary: summary.unwrap_or_else(|| format!("digest {:016x}", line.digest)),
            failed,
            digest: line.digest,
        }
    }

    /// What has waited for long enough, oldest first.
    pub(super) fn ripe(&mut self, wait: Duration) -> Vec<Shown> {
        let over: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, (_, since))| since.elapsed() >= wait)
            .map(|(session, _)| *session)
            .collect();
        let gone = over.iter().filter_map(|session| self.waiting.remove(session));
        let mut runs: Vec<Run> = gone.map(|(run, _)| run).collect();
        runs.sort_by_key(|run| run.at_us);
        runs.into_iter().map(Shown::Run).collect()
    }
}

fn finding(line: &[u8], at_us: u64) -> Option<Shown> {
    let line: FindingLine = serde_json::from_slice(line).ok()?;
    Some(Shown::Finding {
        at_us,
        state: line.state,
        title: line.title,
        proof: line.confidence.unwrap_or_default(),
        sentence: line.sentence,
    })
}

fn gap(line: &[u8], at_us: u64) -> Option<Shown> {
    let line: GapLine<'_> = serde_json::from_slice(line).ok()?;
    Some(Shown::Gap { at_us, dropped: line.dropped, reason: line.reason.into_owned() })
}

fn other(line: &[u8], at_us: u64) -> Shown {
    let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let words = format!(
        "{} {} {} {} {} session {}",
        text("ev"),
        text("state"),
        text("outcome"),
        text("service"),
        text("db_name"),
        text("session")
    );
    Shown::Other { at_us, words: words.split_whitespace().collect::<Vec<_>>().join(" ") }
}
