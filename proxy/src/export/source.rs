//! Where a report comes from: a running proxy, or a report that was saved as JSON.

use super::api::View;
use super::clock::{Clock, TimeRange};
use super::shapes::{Report, SCHEMA};
use crate::problem::Problem;
use std::path::Path;
use std::time::Duration;
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};
use url::Url;

/// Longest answer or file that is read, in bytes.
const REPORT_BYTES_MAX: u64 = 64 << 20;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the report of a source: an admin URL, a capture, a snapshot, or a file that `report --format json` wrote.
///
/// # Errors
/// PGS0204 for a bad URL, PGS0501 and PGS0502 for what cannot be read, PGS0503 for another version's report.
pub(crate) fn read(source: &str, top: usize) -> Result<Report, Problem> {
    within(source, None, top)
}

/// The same, of a time range only; that is what a capture can be asked for.
///
/// # Errors
/// Those, and PGS0504 for a source that can't be cut by time.
pub(crate) fn within(
    source: &str,
    range: Option<TimeRange>,
    top: usize,
) -> Result<Report, Problem> {
    let path = Path::new(source);
    let is_file = !source.contains("://") && path.exists();
    if is_file && !crate::fleet::is_snapshot(path) && crate::capture::is_capture(path) {
        return of_capture(path, range, top);
    }
    if range.is_some() {
        return Err(Problem::new(
            504,
            "this source has no history: its report covers all time since its start",
        )
        .note(
            "a running proxy, a snapshot and a saved report hold sums, which cannot be cut by time",
        )
        .help("leave --from and --to away, or report a capture or a clickhouse:// store"));
    }
    if !is_file {
        return fetch(source, top);
    }
    if crate::fleet::is_snapshot(path) {
        return crate::fleet::report_of_file(path, top);
    }
    let report = file(path)?;
    Ok(super::formats::html::folded(&report, top))
}

/// Of a capture: the same figures as the proxy had, by the same code.
fn of_capture(path: &Path, range: Option<TimeRange>, top: usize) -> Result<Report, Problem> {
    let replayed = crate::capture::replay(path, range)?;
    for note in &replayed.notes {
        eprintln!("note: {note}");
    }
    let clock = Clock::new(replayed.started);
    Ok(Report::of(&View { snapshot: &replayed.snapshot, proxy: &replayed.proxy, clock }, top))
}

fn file(path: &Path) -> Result<Report, Problem> {
    let name = path.display();
    let unreadable = |why: String| {
        Problem::new(501, format!("cannot read a report from {name}: {why}"))
            .help("a saved report is what `pgsonde report URL --format json -o FILE` writes")
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > REPORT_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {REPORT_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(&text).map_err(|problem| problem.note(format!("the file is {name}")))
}

/// Reads the document of a report.
fn parse(text: &str) -> Result<Report, Problem> {
    let report: Report = serde_json::from_str(text).map_err(|error| {
        Problem::new(503, "this is not a report that this version reads")
            .note(error.to_string())
            .help("proxy and command should be of the same version")
    })?;
    if report.info.schema > SCHEMA {
        let schema = report.info.schema;
        return Err(Problem::new(
            503,
            format!("the report has schema {schema}, this version reads {SCHEMA}"),
        )
        .help(format!("use the pgsonde that wrote it, version {}", report.info.version)));
    }
    Ok(report)
}

/// The request for a path of an admin listener, with the token of the environment.
pub(crate) fn asking(url: &Url, limit: Duration) -> RequestBuilder<WithoutBody> {
    let config = Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        // An admin URL is local; a company's HTTP proxy has no business with it.
        .proxy(None)
        .build();
    let agent: Agent = config.new_agent();
    let request = agent.get(url.as_str());
    // What a proxy on a foreign address wants, as in the environment of an audited command.
    match std::env::var("PGSONDE_TOKEN") {
        Ok(token) => request.header("Authorization", format!("Bearer {token}")),
        Err(_) => request,
    }
}

fn fetch(source: &str, top: usize) -> Result<Report, Problem> {
    let base = base(source)?;
    let mut url = base.clone();
    url.set_path("/api/v1/report");
    url.query_pairs_mut().append_pair("top", &top.to_string());
    let mut response =
        asking(&url, ANSWER_TIMEOUT).call().map_err(|error| unreachable(&base, &error))?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(REPORT_BYTES_MAX).read_to_string();
    let body = body.map_err(|error| unreachable(&base, &error))?;
    if status != 200 {
        return Err(foreign(&base, &format!("{} answered with status {status}", url.path())));
    }
    parse(&body).map_err(|problem| {
        if body.trim_start().starts_with('{') {
            problem.note(format!("it came from {base}"))
        } else {
            foreign(&base, &format!("{} is not what this version reads", url.path()))
        }
    })
}

fn unreachable(base: &Url, error: &ureq::Error) -> Problem {
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    match error {
        ureq::Error::Io(io) if matches!(io.kind(), ConnectionReset | UnexpectedEof) => {
            foreign(base, "it ended the connection without an answer")
        }
        ureq::Error::Protocol(_) => foreign(base, "its answer is not HTTP"),
        _ => Problem::new(501, format!("cannot read a report from {base}"))
            .note(reason(error))
            .help("is the proxy running? Its admin URL is what `pgsonde proxy` printed, usually http://127.0.0.1:9635"),
    }
}

fn foreign(base: &Url, why: &str) -> Problem {
    Problem::new(502, format!("{base} is not the admin listener of a pgsonde proxy"))
        .note(why)
        .help("the application's port speaks PostgreSQL; the admin port (usually 9635) speaks HTTP")
}

/// The cause in words, without the operating system's number for it.
fn reason(error: &ureq::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("io: ").unwrap_or(&text);
    text.split(" (os error").next().unwrap_or(text).to_owned()
}

pub(crate) fn base(source: &str) -> Result<Url, Problem> {
    let bad = |rule: &str| {
        Problem::new(
            204,
            format!("the source of a report is the admin URL of a running proxy or a saved report: {rule}"),
        )
        .help("pgsonde report http://127.0.0.1:9635")
    };
    let mut url = Url::parse(source).map_err(|_| bad("this is neither a file nor a URL"))?;
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
        let sources = [
            "",
            "x",
            "capture/",
            "https://h",
            "postgresql://h",
            "http://u:hunter2@h",
            "127.0.0.1:9635",
        ];
        for source in sources {
            let problem = read(source, 5).unwrap_err();
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
        let problem = read(&format!("http://{address}"), 5).unwrap_err();
        assert_eq!((problem.number(), problem.exit_code()), (501, 4));
        assert!(problem.what().contains(&address.to_string()));
    }

    #[test]
    fn files_that_are_no_report_are_told_apart() {
        let folder = std::env::temp_dir().join(format!("pgsonde-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (text, code) in [("{}", 503), ("nonsense", 503), ("", 503)] {
            let path = folder.join("r.json");
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(path.to_str().unwrap(), 5).unwrap_err().number(), code, "{text}");
        }
        assert_eq!(read(folder.to_str().unwrap(), 5).unwrap_err().number(), 511, "no captures");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
