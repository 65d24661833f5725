//! `pgsonde report URL`: reads the API of a running proxy and prints its profile.

use super::api::{FindingQuery, Page, Sort, StatementQuery, View};
use super::clock::Clock;
use super::report_text;
use super::shapes::{Finding, List, Report, Statement, StatementDetail};
use crate::problem::{LOCAL_RESOURCE, Problem};
use serde::de::DeserializeOwned;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use ureq::Agent;
use url::Url;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What to print and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Admin URL of a running proxy.
    pub source: String,
    /// JSON instead of text.
    pub json: bool,
    /// A file instead of stdout.
    pub output: Option<PathBuf>,
    /// Statements shown, 1 to 500.
    pub top: usize,
}

/// Fetches, renders and writes the report.
///
/// # Errors
/// PGS0204 for a bad URL, PGS0501 and PGS0502 for a source that cannot be read, PGS0102 where the output cannot be written.
pub fn run(options: &Options) -> Result<(), Problem> {
    let report = fetch(&options.source, options.top)?;
    let text =
        if options.json { json(&report)? } else { report_text::render(&report, &options.source) };
    write(&text, options)
}

fn json(report: &Report) -> Result<String, Problem> {
    serde_json::to_string_pretty(report)
        .map(|text| text + "\n")
        .map_err(|error| Problem::new(LOCAL_RESOURCE, format!("cannot write the report: {error}")))
}

fn write(text: &str, options: &Options) -> Result<(), Problem> {
    let written = match &options.output {
        Some(path) => std::fs::write(path, text),
        None => std::io::stdout().lock().write_all(text.as_bytes()),
    };
    match written {
        // The reader had enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            let target =
                options.output.as_ref().map_or("stdout".into(), |path| path.display().to_string());
            Err(Problem::new(LOCAL_RESOURCE, format!("cannot write to {target}: {error}")))
        }
        Ok(()) => Ok(()),
    }
}

/// Of a capture: the same figures as the proxy had, by the same code.
fn of_capture(path: &std::path::Path, top: usize) -> Result<Report, Problem> {
    let replayed = crate::capture::replay(path)?;
    for note in &replayed.notes {
        eprintln!("note: {note}");
    }
    let view = View {
        snapshot: &replayed.snapshot,
        proxy: &replayed.proxy,
        clock: Clock::new(replayed.started),
    };
    let query = StatementQuery { sort: Sort::default(), database: None, page: Page::first(top) };
    let list = view.statements(&query);
    let detail = |item: Statement| {
        let digest = u64::from_str_radix(&item.digest, 16).ok()?;
        let detail = view.statement_detail(digest, Some(&item.database))?;
        Some(StatementDetail { item, ..detail })
    };
    Ok(Report {
        info: view.info(),
        summary: view.summary(),
        statements: List {
            items: list.items.into_iter().filter_map(detail).collect(),
            from: list.from,
            to: list.to,
            other: list.other,
            total: list.total,
            next_cursor: list.next_cursor,
            loss: list.loss,
        },
        findings: view.findings(&FindingQuery { page: Page::first(500), ..FindingQuery::default() }),
    })
}

fn fetch(source: &str, top: usize) -> Result<Report, Problem> {
    if let Some(path) = crate::capture::is_there(source) {
        return of_capture(&path, top);
    }
    let client = Client::new(source)?;
    let info = client.get("info", &[])?;
    let summary = client.get("summary", &[])?;
    let findings: List<Finding> = client.get("findings", &[("limit", "500")])?;
    let list: List<Statement> = client.get("statements", &[("limit", &top.to_string())])?;
    let statements = List {
        items: list.items.into_iter().map(|item| client.detail(item)).collect(),
        from: list.from,
        to: list.to,
        other: list.other,
        total: list.total,
        next_cursor: list.next_cursor,
        loss: list.loss,
    };
    Ok(Report { info, summary, statements, findings })
}

struct Client {
    base: Url,
    agent: Agent,
}

impl Client {
    fn new(source: &str) -> Result<Self, Problem> {
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            // An admin URL is local; a company's HTTP proxy has no business with it.
            .proxy(None)
            .build();
        Ok(Self { base: base(source)?, agent: config.new_agent() })
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Problem> {
        let mut url = self.base.clone();
        url.set_path(&format!("/api/v1/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut response =
            self.agent.get(url.as_str()).call().map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(self.foreign(&format!(
                "{} answered with status {}",
                url.path(),
                status.as_u16()
            )));
        }
        serde_json::from_str(&body).map_err(|error| {
            self.foreign(&format!("{} is not what this version reads: {error}", url.path()))
        })
    }

    /// The item as the list gave it (so that the shares fit together) with the detail's histogram.
    fn detail(&self, item: Statement) -> StatementDetail {
        let path = format!("statements/{}", item.digest);
        match self.get::<StatementDetail>(&path, &[("database", &item.database)]) {
            Ok(detail) => StatementDetail { item, ..detail },
            // Given up by the proxy between the two answers: its sums are still good.
            Err(_) => StatementDetail {
                item,
                histogram: Vec::new(),
                phases_ms: super::shapes::PhasesMs::default(),
                columns: Vec::new(),
                routes: Vec::new(),
                hygiene: None,
                plan: None,
                index_advice: None,
            },
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Problem {
        use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
        match error {
            ureq::Error::Io(io) if matches!(io.kind(), ConnectionReset | UnexpectedEof) => {
                self.foreign("it ended the connection without an answer")
            }
            ureq::Error::Protocol(_) => self.foreign("its answer is not HTTP"),
            _ => Problem::new(501, format!("cannot read a report from {}", self.base))
                .note(reason(error))
                .help("is the proxy running? Its admin URL is what `pgsonde proxy` printed, usually http://127.0.0.1:9635"),
        }
    }

    fn foreign(&self, why: &str) -> Problem {
        Problem::new(502, format!("{} is not the admin listener of a pgsonde proxy", self.base))
            .note(why)
            .help("the application's port speaks PostgreSQL; the admin port (usually 9635) speaks HTTP")
    }
}

/// The cause in words, without the operating system's number for it.
fn reason(error: &ureq::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("io: ").unwrap_or(&text);
    text.split(" (os error").next().unwrap_or(text).to_owned()
}

fn base(source: &str) -> Result<Url, Problem> {
    let bad = |rule: &str| {
        Problem::new(
            204,
            format!("the source of a report is the admin URL of a running proxy: {rule}"),
        )
        .help("pgsonde report http://127.0.0.1:9635")
    };
    let mut url = Url::parse(source).map_err(|_| bad("this is not a URL"))?;
    if url.scheme() != "http" {
        return Err(bad("it begins with http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it has no user and no password"));
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_sources_that_are_no_admin_url() {
        for source in [
            "",
            "x",
            "capture/",
            "https://h",
            "postgresql://h",
            "http://u:hunter2@h",
            "127.0.0.1:9635",
        ] {
            let problem = base(source).unwrap_err();
            assert_eq!((problem.number(), problem.exit_code()), (204, 2), "{source}");
            assert!(!problem.to_text().contains("hunter2"));
        }
        assert_eq!(
            base("http://127.0.0.1:9635/#token=x").unwrap().as_str(),
            "http://127.0.0.1:9635/"
        );
    }

    #[test]
    fn a_source_that_is_not_there_has_exit_code_4() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let options =
            Options { source: format!("http://{address}"), json: false, output: None, top: 5 };
        let problem = run(&options).unwrap_err();
        assert_eq!((problem.number(), problem.exit_code()), (501, 4));
        assert!(problem.what().contains(&address.to_string()));
    }
}
