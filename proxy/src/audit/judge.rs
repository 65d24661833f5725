//! Limits against what was measured: pure, the same run always gets the same verdict.

mod findings;

use super::budget::{Budget, Limit, Rule, Unit, fits};
use crate::export::shapes::audit::{Baseline, JudgedFinding, JudgedLimit, KnownFinding};
use crate::export::shapes::{Finding, Mark, Report, Route, Statement};
use findings::{counting, judged};

/// Timed statements (or units) from which a quantile is judged.
const SAMPLES_MIN: u64 = 20;

/// What is judged, and by what.
pub(crate) struct Case<'a> {
    pub(crate) reports: &'a [Report],
    pub(crate) budget: &'a Budget,
    pub(crate) baseline: &'a Baseline,
    /// `2026-11-23`
    pub(crate) today: &'a str,
}

/// The verdicts.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) limits: Vec<JudgedLimit>,
    pub(crate) findings: Vec<JudgedFinding>,
}

/// A value and where it comes from; `Err` says why there is none.
type Measured = Result<(u64, String), String>;

impl Judgement {
    pub(crate) fn of(case: &Case<'_>) -> Self {
        let findings: Vec<JudgedFinding> = case
            .reports
            .iter()
            .flat_map(|report| &report.findings.items)
            .filter(|finding| finding.state == "open")
            .map(|finding| judged(finding, case))
            .collect();
        let mut limits = Vec::new();
        for limit in &case.budget.whole {
            limits.push(verdict("run", None, limit, whole(limit.key, case, &findings)));
        }
        for limit in &case.budget.findings {
            let counted: Vec<&JudgedFinding> =
                counting(&findings).filter(|judged| is_of(&judged.finding, limit.key)).collect();
            let named = findings::named(&counted);
            limits.push(verdict("findings", None, limit, Ok((counted.len() as u64, named))));
        }
        limits.extend(routes(case, &findings));
        limits.extend(marks(case, &findings));
        limits.extend(digests(case));
        Self { limits, findings }
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = &JudgedLimit> {
        self.limits.iter().filter(|limit| limit.verdict == "fail")
    }
}

fn verdict(scope: &str, subject: Option<&str>, limit: &Limit, measured: Measured) -> JudgedLimit {
    let (measured, detail, verdict) = match measured {
        Ok((value, detail)) if value <= limit.most => (Some(value), detail, "pass"),
        Ok((value, detail)) => (Some(value), detail, "fail"),
        Err(why) => (None, why, "not judged"),
    };
    JudgedLimit {
        scope: scope.to_owned(),
        subject: subject.map(str::to_owned),
        key: limit.key.to_owned(),
        unit: match limit.unit {
            Unit::Count => "count",
            Unit::Time => "us",
            Unit::Bytes => "bytes",
        }
        .to_owned(),
        limit: limit.most,
        measured,
        verdict: verdict.to_owned(),
        detail,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn us(ms: f64) -> u64 {
    (ms * 1e3).round().max(0.0) as u64
}

/// The value of a key of `[budget]`.
fn whole(key: &str, case: &Case<'_>, all: &[JudgedFinding]) -> Measured {
    let reports = case.reports;
    match key {
        "n_plus_one" | "looped_lookup" | "duplicate_query" => {
            let proved = |judged: &&JudgedFinding| {
                key != "n_plus_one" || crate::export::shapes::is_proved(&judged.finding.proof)
            };
            let of_kind: Vec<&JudgedFinding> =
                counting(all).filter(|judged| judged.finding.kind == key).filter(proved).collect();
            let sightings = of_kind.iter().map(|judged| judged.beyond_baseline).sum();
            Ok((sightings, findings::named(&of_kind)))
        }
        "errors" => Ok((errors(reports), String::new())),
        "statements_per_unit" => {
            let most =
                reports.iter().map(|report| report.extremes.unit_statements).max().unwrap_or(0);
            let routes = routes_of(reports);
            let largest = routes.iter().find(|route| route.largest.statements == most);
            Ok((most, largest.map_or(String::new(), |route| route.route.clone())))
        }
        "idle_in_transaction" => {
            let longest = reports.iter().map(|report| us(report.extremes.idle_in_transaction_ms));
            Ok((longest.max().unwrap_or(0), String::new()))
        }
        "p95" => {
            let timed = |report: &Report| report.summary.books.exact + report.summary.books.bound;
            let slowest = reports
                .iter()
                .filter(|report| timed(report) >= SAMPLES_MIN)
                .filter_map(|report| report.summary.p95_ms)
                .map(us)
                .max();
            slowest.map(|value| (value, String::new())).ok_or_else(few)
        }
        "new_findings" => {
            let new: Vec<&JudgedFinding> = counting(all)
                .filter(|judged| !judged.known && judged.finding.severity != "info")
                .collect();
            Ok((new.len() as u64, findings::named(&new)))
        }
        other => Err(format!("`{other}` is not measured")),
    }
}

fn few() -> String {
    format!("fewer than {SAMPLES_MIN} samples")
}

/// Statements that failed.
pub(crate) fn errors(reports: &[Report]) -> u64 {
    let of = |report: &Report| {
        let shown: u64 = report.statements.items.iter().map(|detail| detail.item.errors).sum();
        shown + report.statements.other.as_ref().map_or(0, |other| other.digests.errors)
    };
    reports.iter().map(of).sum()
}

fn routes_of(reports: &[Report]) -> Vec<&Route> {
    let lists = reports.iter().filter_map(|report| report.routes.as_ref());
    lists.flat_map(|list| &list.items).map(|detail| &detail.item).collect()
}

fn routes(case: &Case<'_>, all: &[JudgedFinding]) -> Vec<JudgedLimit> {
    let routes = routes_of(case.reports);
    let fits_rule = |rule: &Rule, route: &Route| {
        fits(&rule.pattern, &route.route)
            && rule.service.as_deref().is_none_or(|service| fits(service, &route.service))
    };
    let first = |route: &Route| case.budget.routes.iter().position(|rule| fits_rule(rule, route));
    let mut limits = Vec::new();
    for (index, rule) in case.budget.routes.iter().enumerate() {
        let fitting: Vec<&&Route> =
            routes.iter().filter(|route| first(route) == Some(index)).collect();
        if fitting.is_empty() {
            limits.extend(unseen("route", rule));
        }
        for route in fitting {
            for limit in &rule.limits {
                limits.push(verdict(
                    "route",
                    Some(&route.route),
                    limit,
                    of_route(limit.key, route, all),
                ));
            }
        }
    }
    limits
}

fn unseen<'a>(scope: &'a str, rule: &'a Rule) -> impl Iterator<Item = JudgedLimit> + 'a {
    let why = format!("no {scope} that fits has run");
    rule.limits
        .iter()
        .map(move |limit| verdict(scope, Some(&rule.pattern), limit, Err(why.clone())))
}

/// Of the largest unit; `n_plus_one` counts bursts, `p95` is of the units' time in the database.
fn of_route(key: &str, route: &Route, all: &[JudgedFinding]) -> Measured {
    let largest = &route.largest;
    let value = match key {
        "statements" => largest.statements,
        "duplicates" => largest.duplicates,
        "rows" => largest.rows,
        "sent" => largest.sent_bytes,
        "db_time" => us(largest.db_ms),
        "p95" if route.units < SAMPLES_MIN => return Err(few()),
        "p95" => us(route.p95_ms.unwrap_or(0.0)),
        _ => {
            return Ok(findings::n_plus_one(all, |judged| {
                let seen = judged.finding.routes.iter().find(|seen| seen.route == route.route);
                seen.map_or(0, |seen| seen.sightings)
            }));
        }
    };
    Ok((value, format!("{} units", route.units)))
}

fn marks(case: &Case<'_>, all: &[JudgedFinding]) -> Vec<JudgedLimit> {
    let lists = case.reports.iter().filter_map(|report| report.marks.as_ref());
    let marks: Vec<&Mark> = lists.flat_map(|list| &list.items).collect();
    let first =
        |mark: &Mark| case.budget.marks.iter().position(|rule| fits(&rule.pattern, &mark.mark));
    let mut limits = Vec::new();
    for (index, rule) in case.budget.marks.iter().enumerate() {
        let fitting: Vec<&&Mark> = marks.iter().filter(|mark| first(mark) == Some(index)).collect();
        if fitting.is_empty() {
            limits.extend(unseen("mark", rule));
        }
        for mark in fitting {
            for limit in &rule.limits {
                limits.push(verdict(
                    "mark",
                    Some(&mark.mark),
                    limit,
                    of_mark(limit.key, mark, all),
                ));
            }
        }
    }
    limits
}

/// Sums of everything that ran under the mark; `p95` is of its statements.
fn of_mark(key: &str, mark: &Mark, all: &[JudgedFinding]) -> Measured {
    let value = match key {
        "statements" => mark.statements,
        "duplicates" => mark.duplicates,
        "rows" => mark.rows,
        "sent" => mark.sent_bytes,
        "db_time" => us(mark.db_ms),
        "p95" if mark.timed < SAMPLES_MIN => return Err(few()),
        "p95" => us(mark.p95_ms.unwrap_or(0.0)),
        _ => {
            return Ok(findings::n_plus_one(all, |judged| {
                let seen = judged.finding.marks.iter().find(|seen| seen.mark == mark.mark);
                seen.map_or(0, |seen| seen.sightings)
            }));
        }
    };
    Ok((value, format!("{} units", mark.units)))
}

/// A rule is about a digest by its id, or by what its statement does to which tables.
fn digests(case: &Case<'_>) -> Vec<JudgedLimit> {
    let lists = case.reports.iter().flat_map(|report| &report.statements.items);
    let statements: Vec<&Statement> = lists.map(|detail| &detail.item).collect();
    let fits_rule = |rule: &Rule, statement: &Statement| {
        fits(&rule.pattern, &statement.digest) || fits(&rule.pattern, &statement.summary)
    };
    let first = |statement: &Statement| {
        case.budget.digests.iter().position(|rule| fits_rule(rule, statement))
    };
    let mut limits = Vec::new();
    for (index, rule) in case.budget.digests.iter().enumerate() {
        let fitting: Vec<&&Statement> =
            statements.iter().filter(|statement| first(statement) == Some(index)).collect();
        if fitting.is_empty() {
            limits.extend(unseen("digest", rule));
        }
        for statement in fitting {
            for limit in &rule.limits {
                let measured = of_digest(limit.key, statement);
                limits.push(verdict("digest", Some(&statement.digest), limit, measured));
            }
        }
    }
    limits
}

/// Sums of a digest over the run; `calls_per_unit` is of the unit with most of them.
fn of_digest(key: &str, statement: &Statement) -> Measured {
    let value = match key {
        "calls" => statement.calls,
        "calls_per_unit" => statement.calls_per_unit_max,
        "errors" => statement.errors,
        "rows" => statement.rows,
        "sent" => statement.sent_bytes,
        "db_time" => us(statement.total_ms),
        _ if statement.calls.saturating_sub(statement.batch_members) < SAMPLES_MIN => {
            return Err(few());
        }
        _ => us(statement.p95_ms.unwrap_or(0.0)),
    };
    Ok((value, statement.summary.clone()))
}

/// The baseline's entry of a finding.
fn known_of<'a>(baseline: &'a Baseline, id: &str) -> Option<&'a KnownFinding> {
    baseline.findings.iter().find(|known| known.finding == id)
}

/// Whether a finding is of this severity or kind.
pub(crate) fn is_of(finding: &Finding, group: &str) -> bool {
    finding.severity == group || finding.kind == group
}

#[cfg(test)]
mod tests;
