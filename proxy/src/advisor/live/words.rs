//! What is said: verdicts as findings, and problems with their remedies. No value of the application is in it.

use super::after::{Built, Watched};
use super::lines::Target;
use crate::advisor::side::SideError;
use crate::export::AdvisorProblem;
use crate::export::advice::{Known, advised_evidence};
use crate::problem::Problem;
use pgsonde_advisor::advice::Advice;
use pgsonde_advisor::catalog::{Catalog, Relation};
use pgsonde_advisor::ddl;
use pgsonde_advisor::planner::{KeyPart, Method, Trust};
use pgsonde_analyzer::finding::{
    EvidenceValue, Finding, Fix, IndexVerdict, Proof, Severity, State,
};
use pgsonde_analyzer::snapshot::{DigestRow, Snapshot};
use std::sync::Arc;

/// Share of the workload's cost from which an index is a warning.
const WARNING_SHARE: f64 = 0.1;
const HOUR_US: f64 = 3_600e6;
/// Shortest stretch of traffic that rates are told from, microseconds.
const RATE_WINDOW_MIN_US: u64 = 60_000_000;

fn problem(what: &str, remedy: &str) -> AdvisorProblem {
    AdvisorProblem { database: None, what: what.to_owned(), remedy: remedy.to_owned() }
}

pub(super) fn no_side_connection() -> AdvisorProblem {
    problem(
        "missing indexes are suspected from the traffic alone: there is no side connection to ask the planner by",
        "set findings.missing_index.side_connection to the URL of a read-only role (env:NAME or file:PATH); `pgsonde doctor --side-connection URL` prints the GRANTs that it needs",
    )
}

pub(super) fn failed() -> AdvisorProblem {
    problem("the index advisor failed on this workload", "please report this")
}

pub(super) fn powerful(role: &str) -> AdvisorProblem {
    problem(
        &format!(
            "the role {role} of the side connection could write (it is a superuser or owns tables): it is not used"
        ),
        "use a role with SELECT alone, or set findings.missing_index.allow_powerful_role = true",
    )
}

pub(super) fn busy() -> AdvisorProblem {
    problem(
        "the server has hardly any connections left: nothing is asked now",
        "raise max_connections or let sessions end; it is tried again by itself",
    )
}

pub(super) fn unreadable(tables: &[&str]) -> AdvisorProblem {
    problem(
        &format!(
            "the role of the side connection may not read {}: nothing is advised there",
            tables.join(", ")
        ),
        "GRANT SELECT ON these tables to it, or GRANT pg_read_all_data (PostgreSQL 14 and newer)",
    )
}

pub(super) fn unverified(why: &str, remedy: &str) -> AdvisorProblem {
    problem(&format!("advice is estimated only, no planner tries it: {why}"), remedy)
}

/// Why the side connection gave nothing. Messages of the server come from connecting alone: others might quote values.
pub(super) fn side(error: &SideError) -> AdvisorProblem {
    let text = match error {
        SideError::Server { code, .. } => {
            format!("the server refused a catalogue query (SQLSTATE {code})")
        }
        other => other.to_string(),
    };
    let remedy = if text.contains("28P01") || text.contains("28000") {
        "check role and password of findings.missing_index.side_connection, LOGIN, and pg_hba.conf"
    } else if text.contains("42501") || text.contains("permission denied") {
        "GRANT CONNECT ON DATABASE … to the role of findings.missing_index.side_connection"
    } else if text.contains("53300") {
        "the role or the server has no connection left: raise CONNECTION LIMIT or max_connections"
    } else if text.contains("3D000") {
        "the database is gone, or its name differs behind a pooler"
    } else {
        "check host and port of findings.missing_index.side_connection; it is tried again by itself"
    };
    problem(&format!("the side connection does not work: {text}"), remedy)
}

pub(super) fn no_plans_shown() -> AdvisorProblem {
    problem(
        "plans name tables and columns, which profile.redact = all-text hides",
        "profile.redact = literals shows plans without their values",
    )
}

pub(super) fn unknown_statement() -> Problem {
    Problem::new(704, "no such statement is known in a database that is looked at")
        .help("the list of statements has what the proxy knows now")
}

/// The same for somebody who waits for a plan.
pub(super) fn unplanned(problem: &AdvisorProblem) -> Problem {
    Problem::new(707, problem.what.clone()).help(problem.remedy.clone())
}

pub(super) fn unreadable_statement() -> Problem {
    Problem::new(
        705,
        "this statement can't be planned: it reads nothing, or a parameter has no value",
    )
    .help("plans are those of SELECT, INSERT … SELECT, UPDATE and DELETE; they are never executed")
}

pub(super) fn refused_plan(code: &str) -> Problem {
    Problem::new(705, format!("the server could not plan it (SQLSTATE {code})")).help(
        "42P01: the role's search_path is another one; 42501: GRANT SELECT ON the table to it",
    )
}

/// What a verdict is made from.
pub(super) struct Words<'a> {
    pub(super) target: &'a Target,
    pub(super) catalog: &'a Catalog,
    pub(super) known: &'a Known<'a>,
    pub(super) snapshot: &'a Snapshot,
}

impl Words<'_> {
    fn row(&self, digest: u64) -> Option<&DigestRow> {
        let own =
            |row: &&DigestRow| row.digest == digest && row.database == self.target.origin.database;
        self.snapshot.digests.iter().find(own)
    }

    /// Digests that an index helps, with the share of their cost that it saves.
    pub(super) fn helps(&self, advice: &Advice) -> Vec<(u64, f64)> {
        let of = |affected: &pgsonde_advisor::advice::Affected| {
            let id = &self.known.workload.digests[affected.digest].id;
            let share = 1.0 - affected.after / affected.before.max(f64::MIN_POSITIVE);
            Some((u64::from_str_radix(id, 16).ok()?, share.clamp(0.0, 1.0)))
        };
        advice.statements.iter().filter_map(of).collect()
    }

    /// Milliseconds per hour that the traffic so far would have been spared.
    fn saved_ms_per_hour(&self, helps: &[(u64, f64)]) -> Option<f64> {
        let of = |(digest, share): &(u64, f64)| {
            let row = self.row(*digest)?;
            let window = row.last_seen_us.saturating_sub(row.first_seen_us).max(RATE_WINDOW_MIN_US);
            let ms = row.totals.phases.first_row_us as f64 / 1e3 * share;
            Some(ms * HOUR_US / window as f64)
        };
        let all: Vec<f64> = helps.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| all.iter().sum())
    }

    /// One line per statement: calls, cost, route, text.
    fn statements(&self, advice: &Advice) -> Vec<Arc<str>> {
        let line = |affected: &pgsonde_advisor::advice::Affected| {
            let digest = &self.known.workload.digests[affected.digest];
            let row = u64::from_str_radix(&digest.id, 16).ok().and_then(|id| self.row(id));
            let routes: Vec<&str> = row
                .into_iter()
                .flat_map(|row| &row.sources)
                .map(|source| &*source.route)
                .filter(|route| !route.is_empty())
                .take(3)
                .collect();
            let calls = row.map_or(digest.calls as u64, |row| row.totals.calls);
            let routes = match routes.as_slice() {
                [] => String::new(),
                some => format!(" ({})", some.join(", ")),
            };
            Arc::from(format!(
                "{calls} calls, cost {:.1} -> {:.1}{routes}: {}",
                affected.before, affected.after, digest.text
            ))
        };
        advice.statements.iter().map(line).collect()
    }

    /// An index that is worth having, as a finding: of a suspect, or of its own.
    pub(super) fn advised(&self, advice: &Advice, suspect: Option<&Finding>) -> Watched {
        let (catalog, spec) = (self.catalog, &advice.spec);
        let relation = catalog.relations.get(&spec.table);
        let table = relation.map(|relation| relation.name.clone()).unwrap_or_default();
        let keys: Vec<String> = spec
            .keys
            .iter()
            .map(|key| match &key.part {
                KeyPart::Column(text) | KeyPart::Expression(text) => text.clone(),
            })
            .collect();
        let helps = self.helps(advice);
        let saved = self.saved_ms_per_hour(&helps);
        let verified = advice.trust != Trust::Formula;
        let variant = if verified { "verified" } else { "estimated" };
        let first = helps.first().and_then(|(digest, _)| self.row(*digest));
        let columns: Vec<String> = keys.iter().map(|key| format!("{table}.{key}")).collect();
        let mut evidence = advised_evidence(self.known, advice);
        evidence.push(("statements", EvidenceValue::List(self.statements(advice))));
        if let Some(ms) = saved {
            evidence.push(("saved_ms_per_hour", EvidenceValue::Number(ms)));
        }
        let sentence = sentence(&table, &keys, advice, saved);
        let verdict = IndexVerdict {
            id: suspect.map_or((advice.id >> 16) & 0xffff_ffff_ffff, |finding| finding.id),
            variant,
            proof: if verified { Proof::Plan } else { Proof::Text },
            severity: if advice.saving_share >= WARNING_SHARE {
                Severity::Warning
            } else {
                Severity::Info
            },
            state: State::Open,
            database: self.target.origin.database.clone(),
            service: suspect.map_or_else(|| Arc::from(""), |finding| finding.service.clone()),
            table: Arc::from(table),
            columns: Arc::from(columns.join(", ")),
            digest: first.map_or(0, |row| row.digest),
            query_text: first.map_or_else(|| Arc::from(""), |row| row.query_text.clone()),
            sentence,
            fix: Fix {
                orm: None,
                text: crate::export::advice::fix_text(advice),
                sql: Some(advice.ddl.join("\n")),
            },
            evidence,
            saved_ms_per_hour: saved,
        };
        let index = built(catalog, advice, keys);
        Watched {
            id: verdict.id,
            origin: self.target.origin.clone(),
            index,
            helps,
            advised: verdict,
            before: None,
        }
    }

    /// A suspect that no index would help; `None` where nothing is known, so that it keeps its own words.
    pub(super) fn rejected(&self, suspect: &Finding, advice: &[Advice]) -> Option<IndexVerdict> {
        let digest = suspect.child.as_ref().map_or(0, |child| child.digest);
        let (reason, why) = self.reason(digest, suspect, advice);
        let table =
            suspect.child.as_ref().and_then(|child| child.table.clone()).unwrap_or_default();
        let waits = matches!(reason, "stale_statistics" | "type_mismatch");
        let known = reason != "not_planned";
        known.then(|| IndexVerdict {
            id: suspect.id,
            variant: if waits { "suspect" } else { "rejected" },
            proof: Proof::Text,
            severity: Severity::Info,
            state: if waits { State::Open } else { State::Resolved },
            database: self.target.origin.database.clone(),
            service: suspect.service.clone(),
            columns: suspect.column.clone().unwrap_or_default(),
            digest,
            query_text: suspect
                .child
                .as_ref()
                .map(|child| child.query_text.clone())
                .unwrap_or_default(),
            sentence: format!("No index is advised on `{table}`: {why}."),
            fix: Fix { orm: None, text: remedy(reason, &table), sql: None },
            evidence: vec![("reason", EvidenceValue::Text(Arc::from(reason)))],
            saved_ms_per_hour: None,
            table,
        })
    }

    fn reason(&self, digest: u64, suspect: &Finding, advice: &[Advice]) -> (&'static str, String) {
        let id = format!("{digest:016x}");
        let Some(at) = self.known.workload.digests.iter().position(|known| known.id == id) else {
            return ("not_planned", "its statement could not be planned".to_owned());
        };
        let served = advice
            .iter()
            .find(|advice| advice.statements.iter().any(|affected| affected.digest == at));
        if let Some(served) = served {
            let name = ddl::name(self.catalog, &served.spec);
            return (
                "served_by_another",
                format!("{name}, which is advised, serves the statement as well"),
            );
        }
        let verdicts = &self.known.report.verdicts;
        let verdict = verdicts.iter().find(|(digest, ..)| *digest == at);
        if let Some((_, table, verdict)) = verdict {
            return verdict_words(self.catalog, *table, verdict.code, &verdict.text);
        }
        if !self.known.workload.samples.iter().any(|sample| sample.digest == at) {
            return ("not_planned", "its statement could not be planned".to_owned());
        }
        match self.covering(suspect) {
            Some(index) => ("covered", format!("{index} serves the conditions already")),
            None => (
                "no_gain",
                "no index that was tried would save enough to be worth its cost".to_owned(),
            ),
        }
    }

    /// A valid index that begins with one of the suspect's columns.
    fn covering(&self, suspect: &Finding) -> Option<String> {
        let table = suspect.child.as_ref()?.table.as_deref()?;
        let name = table.rsplit('.').next()?;
        let columns = suspect.column.as_deref()?;
        let of = |relation: &&Relation| relation.name == name;
        self.catalog.relations.values().filter(of).find_map(|relation| {
            let serves = |index: &&pgsonde_advisor::catalog::Index| {
                let first = index.keys.first().and_then(|key| key.column.as_deref());
                index.valid
                    && first.is_some_and(|first| {
                        columns.split(", ").any(|column| column.rsplit('.').next() == Some(first))
                    })
            };
            relation.indexes.iter().find(serves).map(|index| index.name.clone())
        })
    }
}

/// `An index on …  would save …`
fn sentence(table: &str, keys: &[String], advice: &Advice, saved: Option<f64>) -> String {
    let verified = advice.trust != Trust::Formula;
    let count = advice.statements.len();
    let rate = saved.map_or_else(String::new, |ms| format!(", about {ms:.0} ms per hour,"));
    format!(
        "An index on `{table}` ({}) would save {}{rate} of {count} statement{}{}.",
        keys.join(", "),
        share_words(advice),
        if count == 1 { "" } else { "s" },
        if verified { "; the planner chooses it" } else { " (estimated: no planner has tried it)" },
    )
}

/// The index as the catalogue will have it.
fn built(catalog: &Catalog, advice: &Advice, keys: Vec<String>) -> Built {
    let method = match advice.spec.method {
        Method::Btree => "btree",
        Method::Gin => "gin",
    };
    let relation = catalog.relations.get(&advice.spec.table);
    Built {
        table: relation.map(ddl::qualified).unwrap_or_default(),
        name: ddl::name(catalog, &advice.spec),
        method: method.to_owned(),
        keys,
        valid: true,
    }
}

fn share_words(advice: &Advice) -> String {
    let (before, after) = advice
        .statements
        .iter()
        .fold((0.0, 0.0), |sum, affected| (sum.0 + affected.before, sum.1 + affected.after));
    let share = (1.0 - after / f64::max(before, f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    format!("{:.0} % of the cost", share * 100.0)
}

fn verdict_words(catalog: &Catalog, table: u32, code: &str, text: &str) -> (&'static str, String) {
    let (pages, rows) = catalog.pages_and_rows(table);
    match code {
        "V1" => ("unsupported", "the relation is temporary, foreign, or not a table".to_owned()),
        "V2" => ("small_table", format!("the table is small ({pages:.0} pages, {rows:.0} rows)")),
        "V3" => ("one_off", "the statement ran once".to_owned()),
        "V5" => ("stale_statistics", text.to_owned()),
        "V7" => ("type_mismatch", text.to_owned()),
        "V11" => {
            ("low_selectivity", "the conditions let through more than 15 % of the rows".to_owned())
        }
        "V12" => ("stops_early", "its LIMIT stops the scan early enough".to_owned()),
        _ => ("rejected", text.to_owned()),
    }
}

fn remedy(reason: &str, table: &str) -> String {
    match reason {
        "stale_statistics" => format!("Run ANALYZE {table}; it is looked at again by itself."),
        "type_mismatch" => "Give the parameter the column's type.".to_owned(),
        _ => "The time goes elsewhere: look at the statement's plan, at locks and at the rows that it returns.".to_owned(),
    }
}
