//! One look at one database: connection, catalogue, workload, verdicts.

use super::after::{Built, Watched};
use super::lines::{self, Target};
use super::plan::Planned;
use super::state::AdvisorState;
use super::{suspects, words};
use crate::advisor::image;
use crate::advisor::pace::Pace;
use crate::advisor::run::{self, Session, Terms, normalise};
use crate::advisor::shadow::Place;
use crate::advisor::side::{Side, SideError};
use crate::config::{AdvisorSettings, Secret, WhatIf};
use crate::export::advice::Known;
use crate::export::{AdvisorDatabase, AdvisorProblem};
use crate::problem::Problem;
use pgsonde_advisor::advice::Report;
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_analyzer::digest::grammar::Grammar;
use pgsonde_analyzer::finding::{Finding, IndexVerdict};
use pgsonde_analyzer::snapshot::{DigestRow, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Existing indexes and notes that are told of one database.
const TOLD_MAX: usize = 50;

/// What a look came to.
pub(super) struct Judged {
    /// Nothing could be asked.
    pub(super) failed: bool,
    pub(super) problems: Vec<AdvisorProblem>,
    pub(super) tier: &'static str,
    /// Suspects that were looked at.
    pub(super) considered: Vec<u64>,
    pub(super) verdicts: Vec<IndexVerdict>,
    pub(super) watched: Vec<Watched>,
    pub(super) indexes: Vec<Built>,
}

impl Judged {
    pub(super) fn failed(problem: AdvisorProblem) -> Self {
        Self { failed: true, ..Self::none(problem) }
    }

    fn none(problem: AdvisorProblem) -> Self {
        Self {
            failed: false,
            problems: vec![problem],
            tier: "suspect",
            considered: Vec::new(),
            verdicts: Vec::new(),
            watched: Vec::new(),
            indexes: Vec::new(),
        }
    }
}

/// A connection and what its catalogue looked like.
struct Line {
    side: Side,
    indexes: Option<IndexMark>,
}

/// Changes when an index comes, goes, or becomes valid.
type IndexMark = (u64, u64);

/// Why a look ends before it begins.
enum Closed {
    Busy,
    /// The role of the side connection could write.
    Powerful(String),
}

/// Holds the side connections, one per database.
pub(super) struct Runner {
    state: Arc<AdvisorState>,
    url: Secret,
    settings: AdvisorSettings,
    sides: BTreeMap<Arc<str>, Line>,
    grammar: Option<Grammar>,
}

impl Runner {
    pub(super) fn new(state: Arc<AdvisorState>, url: &Secret, settings: &AdvisorSettings) -> Self {
        let (url, settings, sides) = (url.clone(), settings.clone(), BTreeMap::new());
        Self { state, url, settings, sides, grammar: None }
    }

    /// The connection of a database is not to be used again.
    pub(super) fn forget(&mut self, target: &Target) {
        self.sides.remove(&target.origin.database);
    }

    /// Whether there are other indexes than at the latest look; one query.
    pub(super) fn has_new_indexes(&mut self, target: &Target) -> bool {
        let Some(line) = self.sides.get_mut(&target.origin.database) else { return true };
        match line.side.index_mark() {
            Ok(mark) => line.indexes.replace(mark) != Some(mark),
            Err(_) => {
                self.forget(target);
                false
            }
        }
    }

    /// What `pg_stat_statements` holds of a database: `queryid` and text.
    pub(super) fn query_texts(&mut self, target: &Target) -> Result<Vec<(i64, String)>, SideError> {
        let mut line = self.connected(target)?;
        let texts = line.side.query_texts();
        self.sides.insert(target.origin.database.clone(), line);
        texts
    }

    fn connected(&mut self, target: &Target) -> Result<Line, SideError> {
        if let Some(line) = self.sides.remove(&target.origin.database)
            && !line.side.is_closed()
        {
            return Ok(line);
        }
        let mut config: tokio_postgres::Config = self
            .url
            .expose()
            .parse()
            .map_err(|_| SideError::Connect("its URL can't be read".to_owned()))?;
        config.dbname(&*target.origin.database).application_name("pgsonde-advisor");
        let mut side = Side::connect(&config)?;
        side.pace(Pace::new(self.state.clone()));
        Ok(Line { side, indexes: None })
    }

    /// Looks at a database.
    pub(super) fn judge(&mut self, target: &Target, snapshot: &Snapshot) -> Judged {
        let database = Some(target.origin.database.to_string());
        let mut judged = match self.try_judge(target, snapshot) {
            Ok(judged) => judged,
            Err(error) => {
                self.state.skip("side_connection");
                Judged::failed(words::side(&error))
            }
        };
        for problem in &mut judged.problems {
            problem.database.clone_from(&database);
        }
        judged
    }

    fn try_judge(&mut self, target: &Target, snapshot: &Snapshot) -> Result<Judged, SideError> {
        let begun = Instant::now();
        let (mut session, indexes) = match self.open(target)? {
            Ok(opened) => opened,
            Err(Closed::Busy) => return Ok(Judged::failed(words::busy())),
            Err(Closed::Powerful(role)) => {
                let considered = suspects(snapshot, target).collect();
                return Ok(Judged { considered, ..Judged::none(words::powerful(&role)) });
            }
        };
        let judged = self.judge_session(&mut session, target, snapshot, begun);
        self.close(target, session, indexes);
        Ok(judged)
    }

    /// Reads the catalogue, unless the server or the role forbid it; with the mark of its indexes.
    fn open(&mut self, target: &Target) -> Result<Result<(Session, IndexMark), Closed>, SideError> {
        let mut line = self.connected(target)?;
        line.side.begin_run();
        if line.side.is_busy()? {
            self.state.skip("server_busy");
            self.sides.insert(target.origin.database.clone(), line);
            return Ok(Err(Closed::Busy));
        }
        let indexes = line.side.index_mark()?;
        let mut catalog = image::read(&mut line.side, self.settings.statistics_values)?;
        let owns = catalog.relations.values().any(|relation| relation.owned);
        if (catalog.database.role_is_superuser || owns) && !self.settings.allow_powerful_role {
            self.state.skip("powerful_role");
            return Ok(Err(Closed::Powerful(catalog.database.role)));
        }
        let grammar = self.grammar.take().unwrap_or_default();
        normalise(&mut catalog, &grammar);
        let mut side = line.side;
        side.use_path(search_path(&catalog, target, &side.search_path));
        Ok(Ok((Session { side, grammar, catalog, notes: Vec::new(), unverified: None }, indexes)))
    }

    /// Keeps what the next look needs.
    fn close(&mut self, target: &Target, session: Session, indexes: IndexMark) {
        let Session { side, grammar, .. } = session;
        self.grammar = Some(grammar);
        let line = Line { side, indexes: Some(indexes) };
        self.sides.insert(target.origin.database.clone(), line);
    }

    /// The plan of one statement as the server has it now, with values that were seen if there are some.
    pub(super) fn plan(&mut self, target: &Target, row: &DigestRow) -> Result<Planned, Problem> {
        let side = |error: &SideError| words::unplanned(&words::side(error));
        let (mut session, indexes) = match self.open(target).map_err(|error| side(&error))? {
            Ok(opened) => opened,
            Err(Closed::Busy) => return Err(words::unplanned(&words::busy())),
            Err(Closed::Powerful(role)) => return Err(words::unplanned(&words::powerful(&role))),
        };
        let lines = lines::lines(target, &[row], &self.state.samples(), &session.catalog);
        let planned = session.plan_now(&lines);
        self.close(target, session, indexes);
        match planned {
            None => Err(words::unreadable_statement()),
            Some(Ok((json, assumed_values))) => Ok(Planned::of(&json, assumed_values)),
            Some(Err(SideError::Server { code, .. })) => Err(words::refused_plan(&code)),
            Some(Err(error)) => Err(side(&error)),
        }
    }

    fn judge_session(
        &self,
        session: &mut Session,
        target: &Target,
        snapshot: &Snapshot,
        begun: Instant,
    ) -> Judged {
        let ids: BTreeSet<u64> = suspects(snapshot, target).collect();
        let suspected: Vec<&Finding> =
            snapshot.findings.iter().filter(|finding| ids.contains(&finding.id)).collect();
        let digests: BTreeSet<u64> = suspected
            .iter()
            .filter_map(|finding| finding.child.as_ref().map(|child| child.digest))
            .collect();
        let rows = lines::rows(target, snapshot, &digests);
        let lines = lines::lines(target, &rows, &self.state.samples(), &session.catalog);
        let workload = session.workload(&lines);
        drop(lines);
        let (report, verification) = session.report(&workload, &self.terms());
        let known = Known {
            catalog: &session.catalog,
            workload: &workload,
            report: &report,
            verification: verification.as_ref(),
        };
        let words = words::Words { target, catalog: &session.catalog, known: &known, snapshot };
        let (verdicts, watched) = verdicts(&words, &report, &suspected);
        let exact = verification.as_ref().map(|found| (found.statements, found.exact));
        self.tell(target, session, &report, begun, workload.digests.len(), exact);
        let problems = self.problems(session, &workload);
        let proves = !matches!(self.what_if(), run::WhatIf::Off) && session.unverified.is_none();
        let tier = if proves { "verified" } else { "estimated" };
        let indexes = built(&session.catalog);
        let considered = ids.into_iter().collect();
        Judged { failed: false, problems, tier, considered, verdicts, watched, indexes }
    }

    fn terms(&self) -> Terms {
        let what_if = self.what_if();
        let AdvisorSettings { budget_bytes, explains_max, .. } = self.settings;
        Terms { budget_bytes, what_if, explains_max }
    }

    fn what_if(&self) -> run::WhatIf {
        let settings = &self.settings;
        match settings.what_if {
            // without the statements' own values nothing is proved, nor in a shadow without those of the tables
            _ if !settings.capture_values => run::WhatIf::Off,
            WhatIf::Shadow if !settings.statistics_values => run::WhatIf::Off,
            WhatIf::Off => run::WhatIf::Off,
            WhatIf::Shadow => run::WhatIf::Shadow(Place {
                programs: settings.shadow_bin_dir.clone(),
                folder: settings.shadow_dir.clone(),
                user: settings.shadow_user.clone(),
            }),
            WhatIf::HypoPg => run::WhatIf::HypoPg,
        }
    }

    fn problems(
        &self,
        session: &Session,
        workload: &pgsonde_advisor::workload::Workload,
    ) -> Vec<AdvisorProblem> {
        let mut found = Vec::new();
        let bound = workload.samples.iter().flat_map(|sample| &sample.scans);
        let used: BTreeSet<u32> = bound.filter_map(|bound| bound.table).collect();
        let hidden: Vec<&str> = session
            .catalog
            .relations
            .values()
            .filter(|relation| {
                !relation.readable && (used.is_empty() || used.contains(&relation.oid))
            })
            .map(|relation| relation.name.as_str())
            .take(10)
            .collect();
        found.extend((!hidden.is_empty()).then(|| words::unreadable(&hidden)));
        let unverified = session.unverified.as_ref();
        found.extend(unverified.map(|(why, remedy)| words::unverified(why, remedy)));
        found
    }

    fn tell(
        &self,
        target: &Target,
        session: &Session,
        report: &Report,
        begun: Instant,
        statements: usize,
        fidelity: Option<(usize, usize)>,
    ) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let existing = report.dispensable.iter().take(TOLD_MAX).map(|found| {
            [found.table.clone(), found.index.clone(), found.kind.to_owned(), found.why.clone()]
        });
        self.state.ran(AdvisorDatabase {
            name: target.origin.database.to_string(),
            run_unix_us: now.map_or(0, |since| since.as_micros() as u64),
            run_ms: begun.elapsed().as_millis() as u64,
            statements,
            candidates: report.candidates,
            fidelity,
            existing_indexes: existing.collect(),
            notes: session.notes.iter().chain(&report.notes).take(TOLD_MAX).cloned().collect(),
        });
    }
}

/// Advice and rejections; each suspect is spoken of once.
fn verdicts(
    words: &words::Words<'_>,
    report: &Report,
    suspected: &[&Finding],
) -> (Vec<IndexVerdict>, Vec<Watched>) {
    let (mut verdicts, mut watched): (Vec<IndexVerdict>, Vec<Watched>) = (Vec::new(), Vec::new());
    for advice in &report.advice {
        let helps = words.helps(advice);
        let table = words.catalog.relations.get(&advice.spec.table);
        let table = table.map_or("", |relation| relation.name.as_str());
        let suspect = suspected.iter().find(|finding| {
            let Some(child) = &finding.child else { return false };
            let same =
                child.table.as_deref().and_then(|name| name.rsplit('.').next()) == Some(table);
            same && helps.iter().any(|(digest, _)| *digest == child.digest)
                && !watched.iter().any(|known| known.id == finding.id)
        });
        watched.push(words.advised(advice, suspect.copied()));
    }
    verdicts.extend(watched.iter().map(|watched| watched.advised.clone()));
    for suspect in suspected {
        if !verdicts.iter().any(|verdict| verdict.id == suspect.id) {
            verdicts.extend(words.rejected(suspect, &report.advice));
        }
    }
    (verdicts, watched)
}

fn built(catalog: &Catalog) -> Vec<Built> {
    let of = |relation: &pgsonde_advisor::catalog::Relation| {
        let table = ddl::qualified(relation);
        let indexes = relation.indexes.iter().map(move |index| Built {
            table: table.clone(),
            name: index.name.clone(),
            method: index.access_method.clone(),
            keys: index
                .keys
                .iter()
                .map(|key| key.column.clone().unwrap_or_else(|| key.text.clone()))
                .collect(),
            valid: index.valid,
        });
        indexes.collect::<Vec<_>>()
    };
    catalog.relations.values().flat_map(of).collect()
}

/// The schemas that the sessions look names up in: what they set, else what their role or database has, else the
/// default of the side connection.
fn search_path(catalog: &Catalog, target: &Target, default: &[String]) -> Vec<String> {
    let user = &*target.origin.user;
    let of_role = |role: Option<&str>| {
        let found = catalog
            .role_settings
            .iter()
            .find(|setting| setting.role.as_deref() == role && setting.name == "search_path");
        found.map(|setting| setting.value.clone())
    };
    let own = target.origin.search_path.as_deref().map(str::to_owned);
    let written = own.or_else(|| of_role(Some(user))).or_else(|| of_role(None));
    let text =
        written.unwrap_or_else(|| catalog.settings.get("search_path").cloned().unwrap_or_default());
    let schemas: Vec<String> = text
        .split(',')
        .map(|name| name.trim().trim_matches(['"', '\'']).to_owned())
        .map(|name| if name == "$user" { user.to_owned() } else { name })
        .filter(|name| catalog.schemas.values().any(|known| known == name))
        .collect();
    if schemas.is_empty() { default.to_vec() } else { schemas }
}
