//! The real proxy before a PostgreSQL.

use crate::guard::{Guard, Owner};
use crate::{Postgres, eventually, paths, process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time from start to the ready line.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for one answer of the admin listener.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Longest time until what was sent through shows up in the numbers.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// Three ticks of the analyzer, in which a number that still grows would have grown.
const REST: Duration = Duration::from_millis(1_500);

/// A running `pgsonde proxy`.
#[derive(Debug)]
pub struct Proxy {
    process: Guard,
    port: u16,
    admin: String,
}

/// One scrape: series with their labels as printed, and their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Proxy {
    /// Starts the proxy before `postgres`, on free ports, with more arguments.
    ///
    /// # Panics
    /// If it doesn't say that it is ready.
    pub fn start(postgres: &Postgres, more: &[&str]) -> Self {
        Self::with_upstream(&postgres.upstream(), more)
    }

    /// Starts the proxy before any upstream URL.
    ///
    /// # Panics
    /// If it doesn't say that it is ready.
    pub fn with_upstream(upstream: &str, more: &[&str]) -> Self {
        Self::listening("127.0.0.1:0", upstream, more)
    }

    /// Starts the proxy on chosen addresses, the first of them by TCP.
    ///
    /// # Panics
    /// If it doesn't say that it is ready.
    pub fn listening(listen: &str, upstream: &str, more: &[&str]) -> Self {
        let mut args =
            vec!["proxy", "--upstream", upstream, "--listen", listen, "--admin", "127.0.0.1:0"];
        args.extend_from_slice(more);
        Self::started(&paths::pgsonde(), &args)
    }

    /// Starts the proxy as a configuration file says, on TCP.
    ///
    /// # Panics
    /// If it doesn't say that it is ready.
    pub fn configured(file: &Path) -> Self {
        Self::started(&paths::pgsonde(), &["--config", &file.to_string_lossy(), "proxy"])
    }

    /// Starts a program that becomes the proxy.
    ///
    /// # Panics
    /// If it doesn't say that it is ready.
    pub fn started(program: &Path, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let process = Guard::start(program, &args, "TERM", None, Owner::default());
        let (port, admin) = eventually("the proxy is ready", READY_LIMIT, || {
            let lines = process.lines();
            let addresses = addresses(&lines);
            assert!(addresses.is_some() || process.is_running(), "the proxy ended: {lines:?}");
            addresses
        });
        Self { process, port, admin }
    }

    /// The port for applications, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Processor time that its threads of these names have taken, in seconds.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn processor_seconds(&self, threads: &[&str]) -> f64 {
        let tasks = format!("/proc/{}/task", self.pid());
        let tasks = std::fs::read_dir(tasks).expect("the proxy runs").flatten();
        let of = |task: std::fs::DirEntry| {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
            let name = read("comm")?;
            // The kernel keeps 15 letters of a name.
            let known = threads.iter().any(|known| known.starts_with(name.trim_end()));
            process::processor_seconds(&read("stat")?).filter(|_| known)
        };
        tasks.filter_map(of).sum()
    }

    /// What it wrote to standard error so far.
    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }

    /// Address of the admin listener, `http://host:port`.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// A connection URL for clients that want one.
    pub fn url(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Status code and body of any path of the admin listener.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn http(&self, path: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder();
        let config = config.http_status_as_error(false).timeout_global(Some(ANSWER_LIMIT)).build();
        let url = format!("{}{path}", self.admin);
        let mut answer = ureq::Agent::new_with_config(config)
            .get(&url)
            .call()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_string();
        (answer.status().as_u16(), body.unwrap_or_else(|error| panic!("{url}: {error}")))
    }

    /// Status code and body of an order with a token: `order("PUT", "mode", body, token)`.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn order(&self, method: &str, path: &str, body: &str, token: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let config = config.allow_non_standard_methods(true).timeout_global(Some(ANSWER_LIMIT));
        let agent = ureq::Agent::new_with_config(config.build());
        let url = format!("{}/api/v1/{path}", self.admin);
        let request = ureq::http::Request::builder().method(method).uri(&url);
        let request = request.header("Authorization", format!("Bearer {token}"));
        let request = request.body(body.to_owned()).expect("a request");
        let mut answer = agent.run(request).unwrap_or_else(|error| panic!("{url}: {error}"));
        let body = answer.body_mut().read_to_string();
        (answer.status().as_u16(), body.unwrap_or_else(|error| panic!("{url}: {error}")))
    }

    /// Sends it a signal ("HUP", "TERM").
    pub fn signal(&self, signal: &str) {
        crate::process::signal(signal, &self.pid().to_string());
    }

    /// Waits until a line of its standard error has all of `words`.
    ///
    /// # Panics
    /// If none comes.
    pub fn await_line(&self, words: &[&str]) -> String {
        eventually(&format!("a line with {words:?}"), READY_LIMIT, || {
            let lines = self.lines();
            lines.into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// The JSON of `/api/v1/{path}`.
    ///
    /// # Panics
    /// If the answer isn't 200 with JSON.
    pub fn api(&self, path: &str) -> Value {
        let (status, body) = self.http(&format!("/api/v1/{path}"));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// A scrape of `/metrics`.
    ///
    /// # Panics
    /// If the answer isn't 200.
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.http("/metrics");
        assert_eq!(status, 200, "{body}");
        Metrics::parse(&body)
    }

    /// The findings of one kind, worst first.
    pub fn findings(&self, kind: &str) -> Vec<Value> {
        let all = self.api("findings");
        let items = all["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().filter(|finding| finding["kind"] == kind).collect()
    }

    /// Waits until everything sent so far is counted: the books rest for three ticks of the analyzer (500 ms).
    ///
    /// # Panics
    /// If they don't come to rest.
    pub fn settle(&self) {
        let (mut last, mut since) = (Value::Null, Instant::now());
        eventually("the books rest", SETTLE_LIMIT, || {
            let now = self.books();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() >= REST).then_some(())
        });
    }

    /// The books of the summary: every statement in exactly one of `exact`, `bound`, `batch_members`, `empty`
    /// and `aborted`.
    pub fn books(&self) -> Value {
        self.api("summary")["books"].clone()
    }

    /// Calls and errors of all digests whose text contains `word`.
    ///
    /// # Panics
    /// If the answer has no list of statements.
    pub fn calls_and_errors(&self, word: &str) -> (u64, u64) {
        let answer = self.api("statements?limit=500");
        let items = answer["items"].as_array().expect("statements are a list");
        let about = items
            .iter()
            .filter(|item| item["query_text"].as_str().is_some_and(|text| has_word(text, word)));
        about.fold((0, 0), |(calls, errors), item| {
            (
                calls + item["calls"].as_u64().unwrap_or(0),
                errors + item["errors"].as_u64().unwrap_or(0),
            )
        })
    }

    /// Resident memory of its own, in bytes: without the pages of its program file, which come as code is first used.
    ///
    /// # Panics
    /// If it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the proxy runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon:"))
            .expect("a process has RssAnon");
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("RssAnon in kB");
        kib * 1024
    }

    /// Lets it drain (SIGTERM) and gives the exit code.
    ///
    /// # Panics
    /// If it doesn't end.
    pub fn stop(mut self) -> i32 {
        self.process.stop()
    }
}

impl Metrics {
    /// Reads the Prometheus text format.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// Sum over all series of a family, whatever their labels; 0 without any.
    pub fn sum(&self, family: &str) -> f64 {
        self.matching(family, &[])
    }

    /// Sum over the series of a family that carry all of `labels`, written as `name="value"`.
    pub fn matching(&self, family: &str, labels: &[&str]) -> f64 {
        let series = self.0.iter().filter(|(series, _)| {
            let name = series.split('{').next().unwrap_or_default();
            name == family && labels.iter().all(|label| series.contains(label))
        });
        series.map(|(_, value)| value).sum()
    }
}

/// Whether `word` stands in `text` as a whole identifier.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// Application port and admin address out of the lines that the proxy prints when it is ready.
fn addresses(lines: &[String]) -> Option<(u16, String)> {
    let word = |label: &str, scheme: &str| {
        let line = lines.iter().find(|line| line.trim_start().starts_with(label))?;
        line.split_whitespace().find(|word| word.starts_with(scheme)).map(str::to_owned)
    };
    let app = word("app ", "postgresql://")?;
    let report = word("report ", "http://")?;
    let port = app.rsplit(':').next()?.trim_end_matches('/').parse().ok()?;
    let admin = report.split('#').next()?.trim_end_matches('/').to_owned();
    Some((port, admin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_lines_give_the_addresses() {
        let text = "pgsonde 0.1.0 ready in 12 ms\n  app      postgresql://127.0.0.1:6435        plain\n  \
                    server   db:5432   plain\n  report   http://127.0.0.1:9635/#token=x   metrics on /metrics";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(addresses(&lines), Some((6435, "http://127.0.0.1:9635".to_owned())));
        assert_eq!(addresses(&lines[..2]), None, "not ready before the report line");
    }

    #[test]
    fn metrics_sum_over_labels() {
        let metrics =
            Metrics::parse("# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nab 9\n");
        assert_eq!(metrics.sum("a"), 7.0);
        assert_eq!(metrics.matching("a", &["y=\"3\""]), 4.0);
        assert_eq!(metrics.sum("none"), 0.0);
    }
}
