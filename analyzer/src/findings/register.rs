//! The register: one entry per claim, with its sightings, cost, severity and life.

mod life;
mod mutes;
mod verdicts;

use super::cost::{Costs, OccurrenceCost};
use super::hour::Hour;
use super::samples::Samples;
use super::severity::{Weight, grows_with_rows};
use crate::Map;
use crate::finding::{
    Child, Cost, EvidenceValue, Example, Finding, Fix, IndexVerdict, Kind, Parent, Proof, Severity,
    State,
};
use crate::flow::ParentEnded;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::marks::Marks;
use crate::record::Micros;
use mutes::Mutes;
use std::sync::Arc;

/// Routes told apart per finding and per parent.
const ROUTES_MAX: usize = 32;
/// Marks told apart per finding.
const MARKS_MAX: usize = 64;
/// Routes shown.
const ROUTES_SHOWN_MAX: usize = 5;
/// Occurrences kept as examples.
const EXAMPLES_MAX: usize = 3;
/// (n, rows) pairs kept to see whether n grows with the rows.
const GROWTH_MAX: usize = 8;

/// What a detector claims. Rebuilt at every sighting, so that names learnt meanwhile appear.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) variant: Option<&'static str>,
    pub(crate) proof: Proof,
    pub(crate) gate: Option<&'static str>,
    pub(crate) database: Arc<str>,
    pub(crate) parent: Option<Parent>,
    pub(crate) child: Option<Child>,
    pub(crate) service: Arc<str>,
    pub(crate) column: Option<Arc<str>>,
    pub(crate) sentence: String,
    pub(crate) fix: Fix,
    pub(crate) evidence: Vec<(&'static str, EvidenceValue)>,
    /// `sql_smell` and `lock_hazard`: which rule.
    pub(crate) rule: Option<&'static str>,
    /// Severity is never above this.
    pub(crate) severity_max: Severity,
    /// The severity that the kind's own scale gives; `None` = the general scale.
    pub(crate) severity_own: Option<Severity>,
    /// Parent whose executions are the denominator of the ratio.
    pub(crate) parent_key: Option<(DatabaseId, u64)>,
}

/// One occurrence of a claim.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    pub(crate) at_us: Micros,
    pub(crate) session: u64,
    /// Occurrences that this stands for.
    pub(crate) times: u64,
    pub(crate) n: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) coverage: Option<f64>,
    pub(crate) explained: Option<f64>,
    pub(crate) order: Option<f64>,
    pub(crate) cost: OccurrenceCost,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) wall_us: u64,
}

impl Sighting {
    fn example(&self) -> Example {
        Example {
            at_us: self.at_us,
            session: self.session,
            n: self.n.unwrap_or(self.times),
            rows: self.rows.unwrap_or(0),
            wall_us: self.wall_us,
        }
    }
}

#[derive(Clone, Debug)]
struct RouteSum {
    route: Option<Arc<str>>,
    sightings: u64,
    busy_us: u64,
}

#[derive(Debug)]
struct Entry {
    claim: Claim,
    state: State,
    reopened: u32,
    superseded_by: Option<u64>,
    sightings: u64,
    latest: Sighting,
    n: Samples,
    n_max: Option<u64>,
    rows: Samples,
    coverage: Samples,
    explained: Samples,
    order: Samples,
    saved_low: Samples,
    saved_high: Samples,
    growth: Vec<(u64, u64)>,
    hour: Hour<3>,
    busy_total_us: u64,
    routes: Vec<RouteSum>,
    /// Sightings under each mark; the first ones only.
    marks: Vec<(Arc<str>, u64)>,
    examples: Vec<Example>,
    first_us: Micros,
    last_us: Micros,
    /// Parent executions when it was last seen.
    parents_then: u64,
}

/// All findings.
#[derive(Debug)]
pub(crate) struct Register {
    limits: Limits,
    entries: Map<u64, Entry>,
    parents: Map<(DatabaseId, u64), Vec<RouteSum>>,
    opened: Vec<(Kind, u64)>,
    mutes: Mutes,
    /// What the index advisor says, by finding.
    verdicts: Map<u64, IndexVerdict>,
    /// What the application says that it does.
    pub(crate) marks: Marks,
    /// Claims that found no place.
    pub(crate) overflowed: u64,
}

impl Register {
    /// Findings that are known.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            entries: Map::default(),
            parents: Map::default(),
            opened: Vec::new(),
            mutes: Mutes::new(&limits.mutes),
            verdicts: Map::default(),
            marks: Marks::new(limits.marks_max),
            overflowed: 0,
        }
    }

    /// Findings opened since start, by kind.
    pub(crate) fn opened(&self) -> Vec<(Kind, u64)> {
        let mut opened = self.opened.clone();
        opened.sort_unstable();
        opened
    }

    /// What is claimed now of that kind, in no order.
    pub(crate) fn claims(&self, kind: Kind) -> impl Iterator<Item = &Claim> {
        let open = move |entry: &&Entry| entry.state == State::Open && entry.claim.kind == kind;
        self.entries.values().filter(open).map(|entry| &entry.claim)
    }

    /// One more execution of a parent that could have led to an occurrence.
    pub(crate) fn parent_ended(&mut self, parent: ParentEnded) {
        let key = (parent.database, parent.digest);
        if self.parents.len() < self.limits.digests_max || self.parents.contains_key(&key) {
            count_route(self.parents.entry(key).or_default(), parent.route, 1, 0);
        }
    }

    /// An occurrence that still goes on: opens or reopens the finding and shows its numbers so far, but counts
    /// nothing; that is for its end.
    pub(crate) fn progress(&mut self, claim: Claim, so_far: Sighting) {
        let id = claim.id;
        self.open(claim, so_far.at_us);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.last_us = entry.last_us.max(so_far.at_us);
            entry.latest = so_far;
        }
    }

    /// Adds an occurrence; opens or reopens the finding.
    pub(crate) fn sighting(&mut self, claim: Claim, sighting: Sighting) {
        let id = claim.id;
        let proved = claim.kind == Kind::NPlusOne && claim.proof.is_proved();
        let mark = self.marks.at(sighting.session, sighting.at_us);
        if let Some(mark) = mark.as_ref().filter(|_| proved) {
            self.marks.add_n_plus_one(mark, sighting.times);
        }
        if let Some(parents_now) = self.open(claim, sighting.at_us)
            && let Some(entry) = self.entries.get_mut(&id)
        {
            entry.parents_then = parents_now;
            entry.count_mark(mark, sighting.times);
            entry.add(sighting);
        }
    }

    /// Finds or makes the entry of a claim; returns the parent's executions, or nothing where there is no place.
    fn open(&mut self, claim: Claim, at_us: Micros) -> Option<u64> {
        let id = claim.id;
        if self.limits.disabled.contains(&claim.kind) {
            return None;
        }
        if !self.entries.contains_key(&id) && !self.make_room() {
            self.overflowed += 1;
            return None;
        }
        let parents = claim.parent_key.and_then(|key| self.parents.get(&key));
        let parents_now: u64 = parents.into_iter().flatten().map(|route| route.sightings).sum();
        let kind = claim.kind;
        let opens = match self.entries.get_mut(&id) {
            Some(entry) => entry.update(claim),
            None => {
                self.entries.insert(id, Entry::new(claim, at_us));
                true
            }
        };
        if opens {
            match self.opened.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => self.opened.push((kind, 1)),
            }
        }
        Some(parents_now)
    }

    /// At the limit the cheapest resolved finding goes, then the cheapest that is only worth knowing.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < self.limits.findings_max {
            return true;
        }
        let rank = |entry: &Entry| match (entry.state, self.severity(entry, None)) {
            (State::Resolved, _) => Some(0),
            (State::Open | State::Muted, Severity::Info) => Some(1),
            _ => None,
        };
        let cheapest = self
            .entries
            .iter()
            .filter_map(|(id, entry)| rank(entry).map(|rank| (rank, entry.busy_total_us, *id)))
            .min();
        self.overflowed += u64::from(cheapest.is_some());
        cheapest.is_some_and(|(.., id)| self.entries.remove(&id).is_some())
    }

    /// Occurrences / parent executions on the routes that it was seen on.
    fn ratio(&self, entry: &Entry) -> Option<(f64, u64)> {
        let parents = self.parents.get(&entry.claim.parent_key?)?;
        let seen_on = |route: &&RouteSum| entry.routes.iter().any(|seen| seen.route == route.route);
        let executions: u64 = parents.iter().filter(seen_on).map(|route| route.sightings).sum();
        (executions > 0)
            .then(|| ((entry.sightings as f64 / executions as f64).min(1.0), executions))
    }

    fn severity(&self, entry: &Entry, share: Option<f64>) -> Severity {
        if let Some(own) = entry.claim.severity_own {
            return own.min(entry.claim.severity_max);
        }
        let ratio =
            self.ratio(entry).is_none_or(|(ratio, _)| ratio >= self.limits.flow.ratio_min_ratio);
        let weight = Weight {
            share,
            saved_high_us: entry.saved_high.median_count().unwrap_or(0),
            n: entry.n.median_count(),
            unbounded: grows_with_rows(&entry.growth),
            consistent: ratio && entry.sightings >= self.limits.flow.sightings_min,
            max: entry.claim.severity_max,
        };
        weight.severity(&self.limits.severity)
    }

    /// All findings that are worth showing, worst first.
    pub(crate) fn findings(&self, now: Micros, costs: &Costs) -> Vec<Finding> {
        let window_us = costs.window_us(now);
        let wait_us = costs.wait_us(now);
        let mut findings: Vec<Finding> = self
            .entries
            .values()
            .filter(|entry| !self.is_coincidence(entry))
            .map(|entry| {
                let long_enough = window_us >= self.limits.rate_window_min_us;
                let [_, low_us, _] = entry.hour.sums(now);
                let share = (long_enough && wait_us > 0).then(|| low_us as f64 / wait_us as f64);
                let mut finding = entry.finding(now, long_enough.then_some(window_us));
                finding.ratio = self.ratio(entry).map(|(ratio, _)| ratio);
                finding.severity = self.severity(entry, share);
                self.lay_over(&mut finding, entry);
                self.silence(&mut finding, entry, now);
                finding
            })
            .collect();
        worst_first(&mut findings);
        findings
    }

    /// A pairing that hardly ever follows its parent.
    fn is_coincidence(&self, entry: &Entry) -> bool {
        self.ratio(entry).is_some_and(|(ratio, executions)| {
            executions >= self.limits.ratio_drop_executions && ratio < self.limits.ratio_drop_ratio
        })
    }
}

impl Entry {
    fn new(claim: Claim, first_us: Micros) -> Self {
        Self {
            claim,
            state: State::Open,
            reopened: 0,
            superseded_by: None,
            sightings: 0,
            latest: Sighting::default(),
            n: Samples::default(),
            n_max: None,
            rows: Samples::default(),
            coverage: Samples::default(),
            explained: Samples::default(),
            order: Samples::default(),
            saved_low: Samples::default(),
            saved_high: Samples::default(),
            growth: Vec::new(),
            hour: Hour::default(),
            busy_total_us: 0,
            routes: Vec::new(),
            marks: Vec::new(),
            examples: Vec::new(),
            first_us,
            last_us: first_us,
            parents_then: 0,
        }
    }

    fn count_mark(&mut self, mark: Option<Arc<str>>, times: u64) {
        let Some(mark) = mark else { return };
        if let Some(known) = self.marks.iter_mut().find(|(known, _)| *known == mark) {
            known.1 += times;
        } else if self.marks.len() < MARKS_MAX {
            self.marks.push((mark, times));
        }
    }

    fn add(&mut self, sighting: Sighting) {
        self.sightings += sighting.times;
        if let Some(n) = sighting.n {
            self.n.push(n as f64);
            self.n_max = self.n_max.max(Some(n));
        }
        let floats = [
            (&mut self.rows, sighting.rows.map(|rows| rows as f64)),
            (&mut self.coverage, sighting.coverage),
            (&mut self.explained, sighting.explained),
            (&mut self.order, sighting.order),
            (&mut self.saved_low, Some(sighting.cost.saved_low_us as f64)),
            (&mut self.saved_high, Some(sighting.cost.saved_high_us as f64)),
        ];
        for (samples, value) in floats {
            if let Some(value) = value {
                samples.push(value);
            }
        }
        if let (Some(n), Some(rows)) = (sighting.n, sighting.rows) {
            self.growth.push((n, rows));
            let excess = self.growth.len().saturating_sub(GROWTH_MAX);
            self.growth.drain(..excess);
        }
        let (low, high) = (sighting.cost.saved_low_us, sighting.cost.saved_high_us);
        let times = sighting.times;
        self.hour.add(sighting.at_us, [times, low * times, high * times]);
        self.busy_total_us += sighting.cost.busy_us;
        count_route(&mut self.routes, sighting.route.clone(), times, sighting.cost.busy_us);
        self.keep_example(sighting.example());
        self.last_us = self.last_us.max(sighting.at_us);
        self.latest = sighting;
    }

    /// The first, the largest and the latest occurrence.
    fn keep_example(&mut self, example: Example) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example);
            return;
        }
        let last = EXAMPLES_MAX - 1;
        if self.examples[last].n > self.examples[1].n {
            self.examples[1] = self.examples[last];
        }
        self.examples[last] = example;
    }

    fn finding(&self, now: Micros, window_us: Option<u64>) -> Finding {
        let mut routes: Vec<&RouteSum> =
            self.routes.iter().filter(|sum| sum.route.is_some()).collect();
        routes.sort_by_key(|sum| (std::cmp::Reverse(sum.busy_us), sum.route.clone()));
        let shown = routes.iter().filter_map(|sum| Some((sum.route.clone()?, sum.sightings)));
        let claim = self.claim.clone();
        Finding {
            id: claim.id,
            kind: claim.kind,
            variant: claim.variant,
            severity: Severity::Info,
            proof: claim.proof,
            gate: claim.gate,
            state: self.state,
            reopened: self.reopened,
            mute: None,
            superseded_by: self.superseded_by,
            rule: claim.rule,
            database: claim.database,
            parent: claim.parent,
            child: claim.child,
            n: self.latest.n,
            n_median: self.n.median_count(),
            n_max: self.n_max,
            rows_median: self.rows.median_count(),
            sightings: self.sightings,
            ratio: None,
            coverage: self.coverage.median(),
            explained: self.explained.median(),
            order: self.order.median(),
            cost: self.cost(now, window_us),
            route: routes.first().and_then(|sum| sum.route.clone()),
            routes: shown.take(ROUTES_SHOWN_MAX).collect(),
            marks: self.marks_by_sightings(),
            service: claim.service,
            column: claim.column,
            sentence: claim.sentence,
            fix: claim.fix,
            evidence: claim.evidence,
            first_seen_us: self.first_us,
            last_seen_us: self.last_us,
            examples: self.examples.clone(),
        }
    }

    fn marks_by_sightings(&self) -> Vec<(Arc<str>, u64)> {
        let mut marks = self.marks.clone();
        marks.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        marks
    }

    fn cost(&self, now: Micros, window_us: Option<u64>) -> Cost {
        const HOUR_US: f64 = 3_600.0 * 1_000_000.0;
        let [times, low_us, high_us] = self.hour.sums(now);
        let per_hour =
            |sum: u64| window_us.map(|window| sum as f64 * HOUR_US / window.max(1) as f64);
        let ms = |us: f64| us / 1_000.0;
        let latest = &self.latest.cost;
        Cost {
            saved_low_ms: ms(self.saved_low.median().unwrap_or(0.0)),
            saved_high_ms: ms(self.saved_high.median().unwrap_or(0.0)),
            saved_low_ms_per_hour: per_hour(low_us).map(ms),
            saved_high_ms_per_hour: per_hour(high_us).map(ms),
            occurrences_per_hour: per_hour(times),
            rtt_ms: latest.rtt_us.map(|us| ms(us as f64)),
            service_p50_ms: ms(latest.service_p50_us as f64),
            busy_ms: ms(latest.busy_us as f64),
            busy_total_ms: ms(self.busy_total_us as f64),
            round_trips: latest.round_trips,
            bytes: latest.bytes,
        }
    }
}

/// The order in which findings are shown.
pub(crate) fn worst_first(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let rank = |finding: &Finding| (life::rank(finding.state), finding.severity);
        rank(b)
            .cmp(&rank(a))
            .then_with(|| b.cost.busy_total_ms.total_cmp(&a.cost.busy_total_ms))
            .then_with(|| a.id.cmp(&b.id))
    });
}

/// Adds to the sum of a route; beyond the limit to that of "no route".
fn count_route(routes: &mut Vec<RouteSum>, route: Option<Arc<str>>, sightings: u64, busy_us: u64) {
    let known = routes.iter().position(|sum| sum.route == route);
    let full = known.is_none() && routes.len() >= ROUTES_MAX;
    let route = if full { None } else { route };
    let index = known.or_else(|| routes.iter().position(|sum| sum.route == route));
    let index = index.unwrap_or_else(|| {
        routes.push(RouteSum { route, sightings: 0, busy_us: 0 });
        routes.len() - 1
    });
    routes[index].sightings += sightings;
    routes[index].busy_us += busy_us;
}

#[cfg(test)]
mod tests;
