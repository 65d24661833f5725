//! Carries out the orders of the admin listener that don't end the process.

use crate::config::mutes;
use crate::logging;
use crate::orders::{AnalyzerOrder, Order};
use crate::problem::Problem;
use crate::reload::{Reach, at_own_clock};
use pgsonde_analyzer::finding::{MuteRule, MuteTarget};
use tokio::sync::oneshot;

type AnswerTo = oneshot::Sender<Result<(), Problem>>;

/// Carries out `order`; where that is the analyzer's part, the answer comes with its next snapshot.
pub(crate) fn obey(reach: &Reach<'_>, order: Order, answer: AnswerTo) {
    let outcome = match order {
        Order::Mode(mode) => {
            reach.set_mode(mode);
            Ok(())
        }
        Order::LogFilter(text) => logging::set_filter(&text),
        Order::Mute(rule) => return mute(reach, rule, answer),
        Order::Unmute(target) => return unmute(reach, target, answer),
        Order::Sketch(to) => {
            // The analyzer ends only with the process.
            let _ = reach.analyzer.send(AnalyzerOrder::Sketch(to));
            Ok(())
        }
        Order::Plan(request) => {
            reach.shared.advisor.ask(request);
            Ok(())
        }
        Order::Reload | Order::Drain => Err(Problem::new(705, "the proxy is ending")),
    };
    // Whoever asked may have gone.
    let _ = answer.send(outcome);
}

fn mute(reach: &Reach<'_>, mut rule: MuteRule, answer: AnswerTo) {
    rule.until_us = rule.until_unix_us.map(at_own_clock);
    if let Err(problem) = write_down(reach, &rule.target, Some(&rule)) {
        let _ = answer.send(Err(problem));
        return;
    }
    let full = || Problem::new(705, "there is no room for one more mute");
    pass_on(reach, |to| AnalyzerOrder::Mute(rule, to), full, answer);
}

fn unmute(reach: &Reach<'_>, target: MuteTarget, answer: AnswerTo) {
    if let Err(problem) = write_down(reach, &target, None) {
        let _ = answer.send(Err(problem));
        return;
    }
    let none = || Problem::new(705, "no mute names this finding itself");
    pass_on(reach, |to| AnalyzerOrder::Unmute(target, to), none, answer);
}

/// What survives a restart stands in the file of mutes, where one is configured.
fn write_down(
    reach: &Reach<'_>,
    target: &MuteTarget,
    rule: Option<&MuteRule>,
) -> Result<(), Problem> {
    match &reach.shared.current().settings.findings.mutes_file {
        Some(path) => mutes::change(path, target, rule),
        None => Ok(()),
    }
}

fn pass_on(
    reach: &Reach<'_>,
    order: impl FnOnce(oneshot::Sender<bool>) -> AnalyzerOrder,
    otherwise: impl FnOnce() -> Problem + 'static,
    answer: AnswerTo,
) {
    let (to, done) = oneshot::channel();
    // The analyzer ends only with the process.
    let _ = reach.analyzer.send(order(to));
    tokio::task::spawn_local(async move {
        let outcome = match done.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(otherwise()),
        };
        let _ = answer.send(outcome);
    });
}
