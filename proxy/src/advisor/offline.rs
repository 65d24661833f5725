//! `pgsonde advise`: a file of statements and a database; advice.

use super::explain::{self, Probes};
use super::shadow::{Fidelity, Place, Shadow, Tiered};
use super::side::{OneSelect, Side, SideError};
use super::{image, values, workload_file};
use crate::export::advice as output;
use crate::problem::Problem;
use pgsonde_advisor::advice::{self, Report};
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::facts::{Operation, StatementFacts};
use pgsonde_advisor::formula::Formula;
use pgsonde_advisor::workload::{self, Digest, Sample, Workload};
use pgsonde_analyzer::digest::grammar::Grammar;
use pgsonde_analyzer::digest::grammar::scans::Names;
use pgsonde_analyzer::text;
use pgsonde_analyzer::value::Salt;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use tokio_postgres::Config;
use workload_file::Line;

/// Stack of the thread that parses, bytes: statements nest deeply.
const STACK_BYTES: usize = 16 << 20;
/// Samples of a digest.
const SAMPLES_MAX: usize = 3;
/// Texts of a digest that are planned to find the costliest.
const TRIED_MAX: usize = 8;
/// EXPLAINs in the shadow in one run.
const EXPLAINS_MAX: usize = 3_000;
/// Texts of a digest that are looked at for constants.
const TEXTS_MAX: usize = 200;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database, or `env:NAME` of a variable that holds its URL.
    pub url: String,
    /// The file of statements.
    pub workload: PathBuf,
    /// All new indexes together, bytes.
    pub budget_bytes: Option<u64>,
    /// Ask for a planner's proof.
    pub verified: bool,
    /// The folder of the server's programs, if not found by itself.
    pub shadow_bin_dir: Option<PathBuf>,
    /// The folder to make a shadow in.
    pub shadow_dir: Option<PathBuf>,
    /// The account that a shadow runs as when we are root.
    pub shadow_user: String,
    /// One JSON document instead of text.
    pub json: bool,
}

/// Reads, thinks, prints.
///
/// # Errors
/// PGS0210 for a URL or a file that can't be read (exit code 2), PGS0301 for a database that can't be reached (3).
pub fn run(options: Options) -> Result<(), Problem> {
    // the parser wants a deep stack and one thread for all of its calls
    let thread = std::thread::Builder::new()
        .name("advise".into())
        .stack_size(STACK_BYTES)
        .spawn(move || advise(&options));
    let joined = thread
        .map_err(|error| Problem::new(102, format!("cannot start a thread: {error}")))?
        .join();
    joined.unwrap_or_else(|_| {
        Err(Problem::new(103, "the advisor failed on this workload").help("please report this"))
    })
}

fn advise(options: &Options) -> Result<(), Problem> {
    let grammar = Grammar::new();
    let config = config(&options.url)?;
    let mut source = source(options)?;
    let mut side = Side::connect(&config).map_err(|error| unreachable(&config, &error))?;
    let mut catalog = image::read(&mut side).map_err(|error| unreachable(&config, &error))?;
    normalise(&mut catalog, &grammar);
    let (lines, mut notes) = source.lines(&catalog.database.name, &grammar);
    notes.extend(powers(&catalog));
    let mut session = Session { side, grammar, catalog, notes };
    let workload = session.workload(&lines);
    let (report, fidelity) = session.report(&workload, options);
    let verification = verification(&workload, &fidelity);
    let known = output::Known {
        catalog: &session.catalog,
        workload: &workload,
        report: &report,
        verification: verification.as_ref(),
    };
    output::print(&known, &session.notes, options.json)
}

fn config(url: &str) -> Result<Config, Problem> {
    let bad = |what: String| {
        Problem::new(210, what).help("the form is postgresql://user@host:5432/database")
    };
    let text = match url.strip_prefix("env:") {
        Some(name) => std::env::var(name)
            .map_err(|_| bad(format!("the environment has no variable {name}")))?,
        None => url.to_owned(),
    };
    let mut config: Config = text
        .parse()
        .map_err(|_| bad("--url is not a URL that PostgreSQL clients know".to_owned()))?;
    if config.get_hosts().is_empty() {
        return Err(bad("--url names no host".to_owned()));
    }
    if let (None, Ok(password)) = (config.get_password(), std::env::var("PGPASSWORD")) {
        config.password(password);
    }
    config.application_name("pgsonde-advisor");
    Ok(config)
}

/// Where the statements come from.
enum Source {
    /// A file of statements.
    Text(String),
    /// A capture, read back.
    Capture(Box<crate::capture::Replayed>),
}

impl Source {
    fn lines(&mut self, database: &str, grammar: &Grammar) -> (Vec<Line>, Vec<String>) {
        match self {
            Self::Text(content) => {
                let (lines, failed) = workload_file::read(content, grammar);
                let note = |line: &usize| {
                    format!(
                        "line {line} of the workload is no statement that PostgreSQL's parser knows; skipped"
                    )
                };
                (lines, failed.iter().map(note).collect())
            }
            Self::Capture(replayed) => {
                let (lines, notes) = workload_file::of_snapshot(&replayed.snapshot, database);
                (lines, replayed.notes.drain(..).chain(notes).collect())
            }
        }
    }
}

/// A folder and a file that doesn't begin as a text of statements are captures.
fn source(options: &Options) -> Result<Source, Problem> {
    use std::io::Read as _;
    let path = &options.workload;
    let mut first = [0; 2];
    let starts = std::fs::File::open(path).and_then(|mut file| file.read(&mut first)).unwrap_or(0);
    // one JSON object per line, plain or compressed
    let is_capture =
        starts == 2 && (first[0] == b'{' || first == [0x1f, 0x8b] || first == [0x28, 0xb5]);
    if path.is_dir() || is_capture {
        return Ok(Source::Capture(Box::new(crate::capture::replay(path)?)));
    }
    content(options).map(Source::Text)
}

fn content(options: &Options) -> Result<String, Problem> {
    let shown = options.workload.display();
    let bad = |why: String| {
        Problem::new(210, format!("cannot read the workload {shown}: {why}"))
            .help("it is a text file with one statement per line and `;` at the end")
    };
    let size = std::fs::metadata(&options.workload).map_err(|error| bad(error.to_string()))?.len();
    if size > workload_file::FILE_BYTES_MAX {
        return Err(bad(format!("it is longer than {} MiB", workload_file::FILE_BYTES_MAX >> 20)));
    }
    std::fs::read_to_string(&options.workload).map_err(|error| bad(error.to_string()))
}

fn unreachable(config: &Config, error: &SideError) -> Problem {
    let host = config.get_hosts().first().map_or_else(String::new, |host| match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    Problem::new(301, format!("pgsonde cannot use PostgreSQL at {host}:{port}: {error}"))
        .help("check that the server runs there, and user, password and database of --url")
}

/// Predicates and expressions of existing indexes in the parser's normal text.
fn normalise(catalog: &mut Catalog, grammar: &Grammar) {
    for relation in catalog.relations.values_mut() {
        for index in &mut relation.indexes {
            if let Some(predicate) = &index.predicate {
                index.predicate_conjuncts = grammar.normal_conjuncts(predicate).unwrap_or_default();
            }
            for key in index.keys.iter_mut().filter(|key| key.column.is_none()) {
                key.normal = grammar.normal_expression(&key.text);
            }
        }
    }
}

fn powers(catalog: &Catalog) -> Vec<String> {
    let owns = catalog.relations.values().any(|relation| relation.owned);
    let mut notes = Vec::new();
    if catalog.database.role_is_superuser || owns {
        notes.push(format!(
            "the role {} could write here; pgsonde only reads (read-only transactions), but a role with SELECT alone is enough",
            catalog.database.role
        ));
    }
    let hidden: Vec<&str> = catalog
        .relations
        .values()
        .filter(|relation| !relation.readable)
        .map(|relation| relation.name.as_str())
        .collect();
    if !hidden.is_empty() {
        notes
            .push(format!("the role may not read {}: nothing is advised there", hidden.join(", ")));
    }
    notes
}

/// Names as the session's search_path resolves them.
struct CatalogNames<'a> {
    catalog: &'a Catalog,
    path: &'a [String],
}

impl Names for CatalogNames<'_> {
    fn columns(&self, schema: Option<&str>, relation: &str) -> Option<Vec<String>> {
        let found = self.catalog.find(schema, relation, self.path)?;
        Some(found.columns.iter().map(|column| column.name.clone()).collect())
    }

    fn view(&self, schema: Option<&str>, relation: &str) -> Option<String> {
        let found = self.catalog.find(schema, relation, self.path)?;
        found.view.clone().filter(|_| found.kind == 'v')
    }
}

/// The texts of one digest with their calls.
#[derive(Default)]
struct Group {
    redacted: String,
    texts: BTreeMap<String, f64>,
    calls: f64,
}

struct Session {
    side: Side,
    grammar: Grammar,
    catalog: Catalog,
    notes: Vec<String>,
}

impl Session {
    fn workload(&mut self, lines: &[Line]) -> Workload {
        let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
        let mut order: Vec<u64> = Vec::new();
        for line in lines {
            let info = text::read(line.text.as_bytes(), &Salt::new(0, 0));
            let Some(part) = info.parts.first() else { continue };
            let analysed = self.grammar.analyse(&part.parser_text);
            let key = analysed.map_or(part.shape, |analysed| analysed.fingerprint);
            let group = groups.entry(key).or_insert_with(|| {
                order.push(key);
                Group { redacted: part.redacted.clone(), ..Group::default() }
            });
            group.calls += line.calls;
            *group.texts.entry(line.text.clone()).or_insert(0.0) += line.calls;
        }
        let mut workload = Workload::default();
        for key in order {
            if let Some(group) = groups.remove(&key) {
                self.add_digest(&mut workload, key, &group);
            }
        }
        workload.writes.sort_by_key(|(oid, _)| *oid);
        for mut sample in advice::foreign_key_samples(&self.catalog, &workload) {
            let select = OneSelect::checked(&self.grammar, &sample.select);
            sample.base =
                select.and_then(|select| explain::base_plan(&mut self.side, &select).ok());
            workload.samples.push(sample);
        }
        workload
    }

    fn facts(&self, text: &str) -> Option<StatementFacts> {
        let names = CatalogNames { catalog: &self.catalog, path: &self.side.search_path };
        self.grammar.scans(text, &names)
    }

    fn add_digest(&mut self, workload: &mut Workload, key: u64, group: &Group) {
        let mut texts: Vec<(&String, f64)> =
            group.texts.iter().map(|(text, calls)| (text, *calls)).collect();
        texts.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(other.0)));
        let Some(facts) = texts.first().and_then(|(text, _)| self.facts(text)) else { return };
        if facts.operation == Operation::Other {
            return;
        }
        let digest = workload.digests.len();
        workload.digests.push(Digest {
            id: format!("{key:016x}"),
            text: group.redacted.clone(),
            calls: group.calls,
            operation: facts.operation,
            constants: self.constants(&texts, group.calls),
        });
        let samples = self.samples(&texts, digest, &group.redacted);
        let covered: f64 = samples.iter().map(|sample| sample.weight).sum();
        let rows =
            samples.first().and_then(|sample| sample.base.as_ref()).map_or(1.0, |plan| plan.rows);
        for mut sample in samples {
            sample.weight *= group.calls / covered.max(f64::MIN_POSITIVE);
            workload.samples.push(sample);
        }
        let values: f64 = texts.iter().take(TEXTS_MAX).map(|(_, calls)| calls).sum();
        for (text, calls) in texts.iter().take(TEXTS_MAX) {
            if let Some(facts) = self.facts(text) {
                let calls = calls * group.calls / values.max(1.0);
                workload.add_writes(&self.catalog, &facts, &self.side.search_path, calls, rows);
            }
        }
    }

    /// Share of calls by text of a conjunct.
    fn constants(&self, texts: &[(&String, f64)], calls: f64) -> Vec<(String, f64)> {
        let mut shares: BTreeMap<String, f64> = BTreeMap::new();
        for (text, count) in texts.iter().take(TEXTS_MAX) {
            let scans = self.facts(text).map(|facts| facts.scans).unwrap_or_default();
            for text in scans
                .iter()
                .flat_map(|scan| &scan.predicates)
                .filter_map(|predicate| predicate.text.as_ref())
            {
                *shares.entry(text.clone()).or_insert(0.0) += count / calls;
            }
        }
        shares.into_iter().collect()
    }

    /// The most frequent text, the costliest of the next, and one from the middle.
    fn samples(&mut self, texts: &[(&String, f64)], digest: usize, redacted: &str) -> Vec<Sample> {
        let mut found: Vec<Sample> = Vec::new();
        let mut tried: Vec<(&String, f64)> = texts.iter().take(TRIED_MAX - 1).copied().collect();
        if texts.len() >= TRIED_MAX {
            tried.push(texts[texts.len() / 2]);
        }
        for (text, calls) in tried {
            found.extend(self.sample(text, calls, digest, redacted));
        }
        if found.len() > SAMPLES_MAX {
            let last = found.pop();
            let rest = found.split_off(1);
            let cost = |sample: &Sample| sample.base.as_ref().map_or(0.0, |plan| plan.cost);
            let costliest = rest.into_iter().max_by(|one, other| cost(one).total_cmp(&cost(other)));
            found.extend(costliest.into_iter().chain(last));
        }
        found
    }

    fn sample(&mut self, text: &str, weight: f64, digest: usize, redacted: &str) -> Option<Sample> {
        let mut facts = self.facts(text)?;
        let mut text = text.to_owned();
        let assumed_values = facts.parameters;
        if assumed_values {
            let filled = values::filled(&self.catalog, &facts, &self.side.search_path, &text);
            let Some((filled, known)) =
                filled.and_then(|text| Some((text.clone(), self.facts(&text)?)))
            else {
                self.note(format!(
                    "`{redacted}` has parameters that nothing gives a value for: skipped"
                ));
                return None;
            };
            (text, facts) = (filled, known);
        }
        // nothing is read by INSERT … VALUES
        let select = OneSelect::checked(&self.grammar, &text)?;
        let scans = workload::bind(&self.catalog, &facts, &self.side.search_path);
        match explain::base_plan(&mut self.side, &select) {
            Ok(plan) => Some(Sample {
                digest,
                weight,
                select: select.into_text(),
                scans,
                base: Some(plan),
                foreign_key_of: None,
                assumed_values,
            }),
            Err(SideError::Server { code, .. }) => {
                self.note(format!(
                    "the server could not plan `{redacted}` (SQLSTATE {code}): skipped"
                ));
                None
            }
            Err(error) => {
                self.note(format!("`{redacted}` was not planned: {error}"));
                None
            }
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn report(&mut self, workload: &Workload, options: &Options) -> (Report, Vec<Fidelity>) {
        let budget = options.budget_bytes.unwrap_or_else(|| advice::default_budget(&self.catalog));
        let mut known = HashMap::new();
        let search_path = self.side.search_path.clone();
        let Self { side, grammar, catalog, .. } = self;
        let mut probes = Probes { side, grammar, catalog, workload, known: &mut known };
        let (specs, mut notes) = advice::gather(catalog, workload, &mut probes);
        let mut shadow = None;
        if options.verified && !specs.is_empty() {
            match Shadow::build(catalog, workload, &search_path, &place(options)) {
                Ok(built) => shadow = Some(built),
                Err(error) => notes.push(unverified(&error.why, &error.remedy)),
            }
        }
        let formula = Formula::new(catalog, workload, probes);
        let mut planner = Tiered::new(shadow, formula, catalog, workload, grammar, EXPLAINS_MAX);
        let mut report = advice::run(catalog, workload, &specs, &mut planner, budget);
        notes.extend(planner.lost.take().map(|why| unverified(&why, "")));
        report.notes = notes;
        (report, std::mem::take(&mut planner.fidelity))
    }
}

fn place(options: &Options) -> Place {
    Place {
        programs: options.shadow_bin_dir.clone(),
        folder: options.shadow_dir.clone(),
        user: options.shadow_user.clone(),
    }
}

fn unverified(why: &str, remedy: &str) -> String {
    let remedy = if remedy.is_empty() { String::new() } else { format!(" To verify: {remedy}.") };
    format!("the advice is estimated only, no planner has tried it: {why}.{remedy}")
}

/// How far the shadow's costs are those of the target; `None` where there was no shadow.
fn verification(workload: &Workload, fidelity: &[Fidelity]) -> Option<output::Verification> {
    if fidelity.is_empty() {
        return None;
    }
    let digest = |at: usize| &workload.digests[workload.samples[at].digest];
    let mut doubts: Vec<(String, String)> = Vec::new();
    for (at, found) in fidelity.iter().enumerate() {
        let doubt = found.doubt.clone().map(|doubt| (digest(at).text.clone(), doubt));
        doubts.extend(doubt.filter(|doubt| !doubts.contains(doubt)));
    }
    Some(output::Verification {
        statements: fidelity.len(),
        exact: fidelity.iter().filter(|found| found.is_exact()).count(),
        costs: fidelity.iter().map(|found| (found.live, found.shadow)).collect(),
        doubts,
    })
}
