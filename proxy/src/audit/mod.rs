//! `pgsonde audit`: runs a command through a private proxy and judges what it did to the database.
//!
//! Seven steps: read budget and baseline, find the connection strings, check and start a proxy per server, run the
//! command, let sessions end, judge, write. The command's own exit code always wins.

mod artefacts;
mod baseline;
pub(crate) mod budget;
mod child;
mod code;
mod connection_string;
mod environment;
pub(crate) mod judge;
mod proxies;
mod snapshot;
mod table;

use crate::export::formats::pretty;
use crate::export::shapes::Report;
use crate::export::shapes::audit::{AUDIT_VERSION, AuditDocument, Baseline, Totals};
use crate::problem::{LOCAL_RESOURCE, Problem};
use artefacts::Artefacts;
pub(crate) use baseline::Update;
use budget::Budget;
use child::Ended;
use environment::Leads;
use judge::{Case, Judgement};
use proxies::Proxies;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Exit code of a failed budget.
const BUDGET_FAILED: u8 = 99;
/// Name of the budget where none is given.
const BUDGET_FILE: &str = "pgsonde-budget.toml";
/// Name of the baseline where none is given.
const BASELINE_FILE: &str = "pgsonde-baseline.json";

/// What to audit and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Variables that hold connection strings.
    pub(crate) variables: Vec<String>,
    /// The server, where nothing is to be rewritten.
    pub(crate) upstream: Option<String>,
    pub(crate) budget: Option<PathBuf>,
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) out: PathBuf,
    /// Write a budget and a baseline of what is measured.
    pub(crate) init: bool,
    pub(crate) update: Option<Update>,
    /// Host name for the command; it makes the proxy listen on all interfaces.
    pub(crate) advertise: Option<String>,
    pub(crate) grace: Duration,
    pub(crate) command: Vec<OsString>,
    /// `--config`
    pub(crate) config: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Level of the log.
    pub(crate) log_level: &'static str,
}

/// What stood in the files before the run.
struct Known {
    budget: Option<Budget>,
    budget_path: PathBuf,
    baseline: Baseline,
    baseline_path: PathBuf,
}

impl Known {
    fn read(options: &Options) -> Result<Self, Problem> {
        let place = |given: &Option<PathBuf>, default: &str| {
            given.clone().unwrap_or_else(|| PathBuf::from(default))
        };
        let budget_path = place(&options.budget, BUDGET_FILE);
        let baseline_path = place(&options.baseline, BASELINE_FILE);
        if options.init {
            for path in [&budget_path, &baseline_path] {
                if path.exists() {
                    return Err(Problem::new(
                        607,
                        format!("--init: {} is already there", path.display()),
                    )
                    .help("delete it, or name another file with --budget and --baseline"));
                }
            }
            let baseline = Baseline::default();
            return Ok(Self { budget: None, budget_path, baseline, baseline_path });
        }
        // A file that was named must be there; the default ones may be absent.
        let wanted = |path: &Path, given: &Option<PathBuf>| given.is_some() || path.exists();
        let budget = wanted(&budget_path, &options.budget).then(|| Budget::read(&budget_path));
        let make = options.update == Some(Update::Accept) && !baseline_path.exists();
        let baseline = (wanted(&baseline_path, &options.baseline) && !make)
            .then(|| baseline::read(&baseline_path));
        Ok(Self {
            budget: budget.transpose()?,
            budget_path,
            baseline: baseline.transpose()?.unwrap_or_default(),
            baseline_path,
        })
    }
}

/// Everything that the run left to judge.
struct Run {
    reports: Vec<Report>,
    totals: Totals,
    ended: Ended,
    warnings: Vec<String>,
}

/// Runs the audit.
///
/// # Errors
/// PGS06 for what the user gave, PGS03 and PGS04 for a server that can't be reached, PGS01 for this machine. Once the
/// command has run its own code is given instead, unless it was 0.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Problem> {
    let known = Known::read(options)?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect();
    let leads = environment::leads(options, &environment)?;
    let proxies = Proxies::start(options, &leads)?;
    let run = execute(options, &leads, &environment, proxies)?;
    let failed_by_us = no_connection(&run, &leads);
    let mut document = judged(&known, &run, failed_by_us.is_some());
    let candidate = baseline::candidate(&run.reports, &known.baseline);
    let changed = if run.ended.code == 0 && failed_by_us.is_none() {
        keep(options, &known, &run, &candidate)
    } else {
        Ok(Vec::new())
    };
    document.warnings.extend(changed.as_ref().map_or_else(|_| Vec::new(), Clone::clone));
    let written = write(options, &known, &run, &document, &candidate, &environment);
    if options.json {
        crate::export::report::write(&pretty(&document), None)?;
    }
    // What went wrong afterwards is told, but never hides the command's own code.
    for problem in [failed_by_us, changed.err(), written.err()].into_iter().flatten() {
        if run.ended.code == 0 {
            return Err(problem);
        }
        eprint!("{}", problem.to_text());
    }
    Ok(ExitCode::from(document.exit_code))
}

/// Steps 5 and 6.
fn execute(
    options: &Options,
    leads: &Leads,
    environment: &BTreeMap<String, String>,
    proxies: Proxies,
) -> Result<Run, Problem> {
    let changes = environment::changes(leads, &proxies, environment)?;
    if !options.quiet {
        for line in &changes.lines {
            eprintln!("pgsonde audit   {line}");
        }
    }
    let snapshot = proxies.snapshot_order(&options.out);
    let order = child::Order {
        command: &options.command,
        environment: &changes.variables,
        snapshot: &snapshot,
    };
    let (ended, failure) = child::run(&order).map_err(|error| {
        Problem::new(LOCAL_RESOURCE, format!("cannot wait for the command: {error}"))
    })?;
    drop(changes.pass_file);
    if let Some(error) = failure {
        let name = options.command.first().map_or(String::new(), |name| name.display().to_string());
        let why = error.to_string();
        let why = why.split(" (os error").next().unwrap_or("");
        eprint!(
            "{}",
            Problem::new(
                608,
                format!("cannot run `{}`: {}", name.escape_debug(), why.to_lowercase())
            )
            .help("behind `--` stands the command as a shell would find it on PATH")
            .to_text()
        );
    }
    let (reports, totals) = proxies.stop(options.grace, ended.started, &options.out);
    Ok(Run { reports, totals, ended, warnings: leads.warnings() })
}

/// PGS0601: it ran, but nothing came.
fn no_connection(run: &Run, leads: &Leads) -> Option<Problem> {
    (run.ended.started && run.totals.connections == 0).then(|| {
        let problem = Problem::new(601, "the command made no connection through pgsonde");
        let rewritten = leads.names();
        let problem = match rewritten.is_empty() {
            true => problem.note("the app was not pointed at the printed address"),
            false => problem.note(format!(
                "{} was rewritten, but the app may read its settings elsewhere (config file, cached pool, container)",
                rewritten.join(", ")
            )),
        };
        problem.help("name the variable with --env, or use --upstream URL and point the app at the printed address")
    })
}

fn judged(known: &Known, run: &Run, failed_by_us: bool) -> AuditDocument {
    let none = Budget::default();
    let judgement = Judgement::of(&Case {
        reports: &run.reports,
        budget: known.budget.as_ref().unwrap_or(&none),
        baseline: &known.baseline,
        today: &today(),
    });
    let budget_failed = judgement.failed().next().is_some();
    let (exit_code, reason) = match (run.ended, failed_by_us) {
        (Ended { code: 0, .. }, false) if budget_failed => (BUDGET_FAILED, "budget"),
        (Ended { code: 0, .. }, false) => (0, "ok"),
        (Ended { code: 0, .. }, true) => (2, "pgsonde"),
        (Ended { code, .. }, _) => (code, "child"),
    };
    AuditDocument {
        version: AUDIT_VERSION,
        pgsonde: env!("CARGO_PKG_VERSION").to_owned(),
        totals: run.totals.clone(),
        limits: judgement.limits,
        findings: judgement.findings,
        warnings: run.warnings.clone(),
        exit_code,
        exit_reason: reason.to_owned(),
        child_code: run.ended.started.then_some(run.ended.code),
    }
}

/// `2026-11-23`, in UTC.
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    crate::export::rfc3339_unix(us).chars().take(10).collect()
}

/// Writes what `--init` and `--update-baseline` ask for; tells it in sentences.
fn keep(
    options: &Options,
    known: &Known,
    run: &Run,
    candidate: &Baseline,
) -> Result<Vec<String>, Problem> {
    let save = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|error| {
            Problem::new(LOCAL_RESOURCE, format!("cannot write {}: {error}", path.display()))
        })
    };
    if options.init {
        save(&known.budget_path, &budget::written(&run.reports))?;
        save(&known.baseline_path, &candidate.to_text())?;
        let (budget, baseline) = (known.budget_path.display(), known.baseline_path.display());
        return Ok(vec![format!("wrote {budget} and {baseline}: look at them, then commit both")]);
    }
    let Some(update) = options.update else { return Ok(Vec::new()) };
    let marks = run.reports.iter().filter_map(|report| report.marks.as_ref());
    let ran: BTreeSet<String> =
        marks.flat_map(|list| &list.items).map(|mark| mark.mark.clone()).collect();
    let updated = baseline::updated(&known.baseline, candidate, &ran, update)?;
    save(&known.baseline_path, &updated.to_text())?;
    Ok(vec![format!("updated {}: review it as a diff", known.baseline_path.display())])
}

/// Step 7's files, annotations and table.
fn write(
    options: &Options,
    known: &Known,
    run: &Run,
    document: &AuditDocument,
    candidate: &Baseline,
    environment: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    let report = options.out.join("report.html").display().to_string();
    let verdict = table::table(document, &report, options.init);
    let budget_file = known.budget_path.display().to_string();
    let capture = |index| options.out.join(proxies::numbered("capture", index, ".ndjson.zst"));
    let captures: Vec<PathBuf> = (0..run.reports.len()).map(capture).collect();
    let folder = std::env::current_dir().unwrap_or_default();
    let artefacts = Artefacts {
        document,
        reports: &run.reports,
        candidate,
        verdict: &verdict,
        budget_file: &budget_file,
        code: &code::places(&captures, &folder),
        environment,
    };
    let written = artefacts.write(&options.out);
    eprint!("{verdict}");
    if environment.contains_key("GITHUB_ACTIONS") {
        // The runner reads them from the step's output.
        print!("{}", artefacts.annotations());
    }
    written
}
