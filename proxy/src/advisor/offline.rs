//! `pgsonde advise`: a file of statements and a database; advice.

use super::run::{Session, Terms, WhatIf, normalise};
use super::shadow::Place;
use super::side::{Side, SideError};
use super::{image, workload_file};
use crate::config;
use crate::export::advice as output;
use crate::problem::Problem;
use pgsonde_advisor::catalog::Catalog;
use pgsonde_analyzer::digest::grammar::Grammar;
use std::path::PathBuf;
use tokio_postgres::Config;
use workload_file::Line;

/// Stack of the thread that parses, bytes: statements nest deeply.
const STACK_BYTES: usize = 16 << 20;
/// EXPLAINs in one run, on the target and in the shadow.
const EXPLAINS_MAX: usize = 3_000;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database, or `env:NAME` of a variable that holds its URL.
    pub url: String,
    /// The file of statements.
    pub workload: PathBuf,
    /// All new indexes together, bytes.
    pub budget_bytes: Option<u64>,
    /// Who plans candidates.
    pub what_if: config::WhatIf,
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
    let mut catalog = image::read(&mut side, true).map_err(|error| unreachable(&config, &error))?;
    normalise(&mut catalog, &grammar);
    let (lines, mut notes) = source.lines(&catalog.database.name, &grammar);
    notes.extend(powers(&catalog));
    let mut session = Session { side, grammar, catalog, notes, unverified: None };
    let workload = session.workload(&lines);
    let mut terms = terms(options);
    // one budget for both servers
    let asked = usize::try_from(session.side.explained).unwrap_or(usize::MAX);
    terms.explains_max = terms.explains_max.saturating_sub(asked);
    let (report, verification) = session.report(&workload, &terms);
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
        return Ok(Source::Capture(Box::new(crate::capture::replay(path, None)?)));
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

fn terms(options: &Options) -> Terms {
    let place = Place {
        programs: options.shadow_bin_dir.clone(),
        folder: options.shadow_dir.clone(),
        user: options.shadow_user.clone(),
    };
    Terms {
        budget_bytes: options.budget_bytes,
        what_if: match options.what_if {
            config::WhatIf::Off => WhatIf::Off,
            config::WhatIf::Shadow => WhatIf::Shadow(place),
            config::WhatIf::HypoPg => WhatIf::HypoPg,
        },
        explains_max: EXPLAINS_MAX,
    }
}
