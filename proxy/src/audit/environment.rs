//! Which variables lead to a database, and what the command gets instead.

use super::Options;
use super::connection_string::variables::{self, Variables};
use super::connection_string::{ConnectionString, Place, Refusal, Server};
use super::proxies::Proxies;
use crate::problem::{LOCAL_RESOURCE, Problem};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Code of a connection string that can't be found or read.
const NO_STRING: u16 = 602;
/// Largest service or pass file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The variable that is looked at first.
const USUAL: &str = "DATABASE_URL";

/// One way to a database.
pub(super) enum Lead {
    /// A variable with a connection string.
    Named(String, ConnectionString),
    /// libpq's variables.
    Variables(Variables),
}

/// All of them; none where the app is pointed at the proxy by hand.
pub(super) struct Leads {
    leads: Vec<Lead>,
    /// `--upstream`
    upstream: Option<String>,
}

impl Lead {
    /// The variable that is rewritten, or the first of them.
    fn name(&self) -> &str {
        match self {
            Self::Named(name, _) => name,
            Self::Variables(_) => "PGHOST",
        }
    }

    fn server(&self) -> &Server {
        match self {
            Self::Named(_, string) => &string.server,
            Self::Variables(variables) => &variables.server,
        }
    }
}

impl Leads {
    /// The upstream URL of each distinct server, and the server in words.
    pub(super) fn upstreams(&self) -> Vec<(String, String)> {
        if let Some(url) = &self.upstream {
            let shown = url.split("://").nth(1).unwrap_or(url);
            return vec![(url.clone(), shown.split(['/', '?']).next().unwrap_or(shown).to_owned())];
        }
        let mut found: Vec<(String, String)> = Vec::new();
        for server in self.leads.iter().map(Lead::server) {
            let url = server.upstream_url();
            if !found.iter().any(|(known, _)| *known == url) {
                found.push((url, server.shown()));
            }
        }
        found
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let of = |lead: &Lead| match lead {
            Lead::Named(_, string) => string.warnings.clone(),
            Lead::Variables(variables) => variables.warnings.clone(),
        };
        self.leads.iter().flat_map(of).collect()
    }

    /// The variables that are rewritten.
    pub(super) fn names(&self) -> Vec<&str> {
        self.leads.iter().map(Lead::name).collect()
    }
}

/// Step 2: finds the ways to a database.
pub(super) fn leads(
    options: &Options,
    environment: &BTreeMap<String, String>,
) -> Result<Leads, Problem> {
    if options.upstream.is_some() {
        return Ok(Leads { leads: Vec::new(), upstream: options.upstream.clone() });
    }
    let mut leads = Vec::new();
    let usual = [USUAL.to_owned()];
    let named: &[String] = match options.variables.is_empty() {
        false => &options.variables,
        true if environment.get(USUAL).is_some_and(|text| !text.trim().is_empty()) => &usual,
        true => &[],
    };
    for name in named {
        if matches!(name.as_str(), "PGHOST" | "PGSERVICE" | "PGPORT" | "PGHOSTADDR") {
            leads.push(Lead::Variables(of_variables(environment)?));
            continue;
        }
        let Some(text) = environment.get(name).filter(|text| !text.trim().is_empty()) else {
            return Err(Problem::new(
                NO_STRING,
                format!("the variable {name} is not set or empty"),
            )
            .help("give the name of the variable that the app reads its connection string from"));
        };
        let string = ConnectionString::read(text).map_err(|refusal| refused(name, refusal))?;
        leads.push(Lead::Named(name.clone(), string));
    }
    if named.is_empty() {
        if !variables::name_a_server(environment) {
            return Err(Problem::new(NO_STRING, "there is no connection string in the environment to rewrite")
                .note(format!("looked for {USUAL}, then PGHOST, PGHOSTADDR, PGPORT and PGSERVICE"))
                .help("name the variable with --env NAME, or use --upstream URL and point the app at the printed address"));
        }
        leads.push(Lead::Variables(of_variables(environment)?));
    }
    Ok(Leads { leads, upstream: None })
}

fn refused(name: &str, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Malformed(why) => {
            Problem::new(NO_STRING, format!("{name} is no connection string that is understood: {why}"))
                .note("URLs (also of drivers, Ecto, JDBC), libpq's key=value pairs and ADO.NET are understood")
        }
        Refusal::TargetSession(wanted) => Problem::new(
            603,
            format!("{name} asks for a server in a certain state ({})", wanted.escape_debug()),
        )
        .note("pgsonde takes the first server that answers, whatever its state")
        .help("name one server for the audit"),
    }
}

fn of_variables(environment: &BTreeMap<String, String>) -> Result<Variables, Problem> {
    let service = match environment.get("PGSERVICE") {
        None => BTreeMap::new(),
        Some(name) => service_files(environment)
            .iter()
            .filter_map(|path| small_file(path))
            .find_map(|text| variables::service(&text, name))
            .ok_or_else(|| {
                Problem::new(NO_STRING, format!("the service {} of PGSERVICE is in no service file", name.escape_debug()))
                    .note("looked into PGSERVICEFILE, ~/.pg_service.conf and pg_service.conf of PGSYSCONFDIR")
            })?,
    };
    Variables::read(environment, &service).map_err(|refusal| refused("PGHOST", refusal))
}

fn service_files(environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let own = environment
        .get("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(environment.get("HOME")?).join(".pg_service.conf")));
    let folder = environment.get("PGSYSCONFDIR").map_or("/etc/postgresql-common", String::as_str);
    own.into_iter().chain([Path::new(folder).join("pg_service.conf")]).collect()
}

fn small_file(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    (size <= FILE_BYTES_MAX).then(|| std::fs::read_to_string(path).ok()).flatten()
}

/// What the command gets.
pub(super) struct Changes {
    /// `None` = the variable goes.
    pub(super) variables: BTreeMap<String, Option<String>>,
    /// Before and after, for people.
    pub(super) lines: Vec<String>,
    pub(super) pass_file: Option<PassFile>,
}

/// A private copy of the pass file; gone with this value.
pub(super) struct PassFile(PathBuf);

impl Drop for PassFile {
    fn drop(&mut self) {
        // If it can't be removed, it is still readable for its owner alone.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Step 5's environment.
pub(super) fn changes(
    leads: &Leads,
    proxies: &Proxies,
    environment: &BTreeMap<String, String>,
) -> Result<Changes, Problem> {
    let mut changed = BTreeMap::new();
    let mut lines = Vec::new();
    let mut places: Vec<(Server, Place)> = Vec::new();
    for lead in &leads.leads {
        let Some(place) = proxies.place_of(&lead.server().upstream_url()) else { continue };
        places.push((lead.server().clone(), place.clone()));
        match lead {
            Lead::Named(name, string) => {
                let after = string.leading_to(&place);
                let shown =
                    ConnectionString::read(&after).map_or(String::new(), |after| after.masked());
                lines.push(format!("{name}  {} → {shown}", string.masked()));
                changed.insert(name.clone(), Some(after));
            }
            Lead::Variables(variables) => {
                let server = variables.server.shown();
                lines.push(format!("PGHOST  {server} → {}:{}", place.host, place.port));
                changed.extend(variables.leading_to(&place));
            }
        }
    }
    lines.extend(leads.warnings().into_iter().map(|warning| format!("warning: {warning}")));
    if leads.leads.is_empty() {
        lines.extend(proxies.addresses().map(|address| format!("point the app at {address}")));
    }
    for (name, value) in proxies.told() {
        changed.insert(name, Some(value));
    }
    let pass_file = pass_file(environment, &places)?;
    if let Some(file) = &pass_file {
        changed.insert("PGPASSFILE".to_owned(), Some(file.0.display().to_string()));
    }
    Ok(Changes { variables: changed, lines, pass_file })
}

/// libpq looks a password up by host and port, which are others now.
fn pass_file(
    environment: &BTreeMap<String, String>,
    places: &[(Server, Place)],
) -> Result<Option<PassFile>, Problem> {
    let path = environment
        .get("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(environment.get("HOME")?).join(".pgpass")));
    let Some(text) = path.as_deref().and_then(small_file).filter(|_| !places.is_empty()) else {
        return Ok(None);
    };
    let copy = variables::pass_file(&text, places);
    let failed = |error: std::io::Error| {
        Problem::new(
            LOCAL_RESOURCE,
            format!("cannot write a private copy of the pass file: {error}"),
        )
    };
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let unique = nanos.map_or(0, |since| since.as_nanos());
    let path = std::env::temp_dir().join(format!("pgsonde-pass-{}-{unique}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let kept = PassFile(path);
    file.write_all(copy.as_bytes()).map_err(failed)?;
    Ok(Some(kept))
}
