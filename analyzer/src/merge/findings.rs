//! Findings of one identity, seen by several proxies, as one.

use super::MERGED_ROWS_MAX;
use super::rows::fold;
use crate::finding::{EvidenceValue, Finding, State};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Routes and marks that a finding names.
const NAMES_MAX: usize = 64;
/// Occurrences kept as examples.
const EXAMPLES_MAX: usize = 3;

/// All findings so far, by id.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<u64, Folded>);

#[derive(Debug)]
struct Folded {
    /// The claim of the proxy that stands for all: the best proof, then most sightings.
    main: Finding,
    /// Its own sightings, while `main` has those of all.
    main_sightings: u64,
    proxies: u64,
}

impl Findings {
    pub(super) fn add(&mut self, mut finding: Finding, started_us: u64, overflowed: &mut u64) {
        finding.first_seen_us = finding.first_seen_us.saturating_add(started_us);
        finding.last_seen_us = finding.last_seen_us.saturating_add(started_us);
        finding.examples.iter_mut().for_each(|example| example.at_us += started_us);
        if let Some(known) = self.0.get_mut(&finding.id) {
            known.fold(finding);
        } else if self.0.len() < MERGED_ROWS_MAX {
            let main_sightings = finding.sightings;
            self.0.insert(finding.id, Folded { main: finding, main_sightings, proxies: 1 });
        } else {
            *overflowed += 1;
        }
    }

    /// Findings on a clock that begins at `origin_us`; of several proxies, with the number of those that saw each.
    pub(super) fn finish(self, origin_us: u64, proxies: u64) -> Vec<Finding> {
        let finish = |folded: Folded| {
            let mut finding = folded.main;
            finding.first_seen_us = finding.first_seen_us.saturating_sub(origin_us);
            finding.last_seen_us = finding.last_seen_us.saturating_sub(origin_us);
            for example in &mut finding.examples {
                example.at_us = example.at_us.saturating_sub(origin_us);
            }
            if proxies > 1 {
                finding.evidence.push(("proxies", EvidenceValue::Count(folded.proxies)));
            }
            finding
        };
        self.0.into_values().map(finish).collect()
    }
}

impl Folded {
    fn fold(&mut self, more: Finding) {
        let rank = |finding: &Finding, sightings: u64| {
            // The later one of equals, then whatever tells them apart.
            let text = finding.sentence.clone();
            (Reverse(finding.proof), sightings, finding.last_seen_us, text)
        };
        let more_sightings = more.sightings;
        let better = rank(&self.main, self.main_sightings) < rank(&more, more_sightings);
        let mut rest = more;
        if better {
            std::mem::swap(&mut self.main, &mut rest);
            self.main_sightings = more_sightings;
        }
        self.proxies += 1;
        let main = &mut self.main;
        main.sightings += rest.sightings;
        main.reopened = main.reopened.max(rest.reopened);
        main.severity = main.severity.max(rest.severity);
        main.n_max = main.n_max.max(rest.n_max);
        main.first_seen_us = main.first_seen_us.min(rest.first_seen_us);
        main.last_seen_us = main.last_seen_us.max(rest.last_seen_us);
        if state_rank(rest.state) > state_rank(main.state) {
            main.state = rest.state;
            main.mute.clone_from(&rest.mute);
        }
        let (cost, more) = (&mut main.cost, &rest.cost);
        cost.busy_total_ms += more.busy_total_ms;
        add(&mut cost.saved_low_ms_per_hour, more.saved_low_ms_per_hour);
        add(&mut cost.saved_high_ms_per_hour, more.saved_high_ms_per_hour);
        add(&mut cost.occurrences_per_hour, more.occurrences_per_hour);
        add_names(&mut main.routes, &rest.routes);
        add_names(&mut main.marks, &rest.marks);
        main.route = main.routes.first().map(|(route, _)| route.clone()).or(main.route.take());
        main.examples.append(&mut rest.examples);
        main.examples.sort_by_key(|example| (Reverse(example.n), example.at_us, example.session));
        main.examples.truncate(EXAMPLES_MAX);
    }
}

/// Open somewhere is open.
fn state_rank(state: State) -> u8 {
    match state {
        State::Open => 2,
        State::Muted => 1,
        State::Resolved => 0,
    }
}

/// Rates per hour of proxies that ran side by side.
fn add(sum: &mut Option<f64>, more: Option<f64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0.0) + more);
    }
}

fn add_names(sum: &mut Vec<(Arc<str>, u64)>, more: &[(Arc<str>, u64)]) {
    for name in more {
        fold(sum, name.clone(), NAMES_MAX, |a, b| a.0 == b.0, |known, more| known.1 += more.1);
    }
    sum.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}
