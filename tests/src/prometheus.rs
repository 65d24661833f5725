//! A real Prometheus that scrapes a real proxy.

use crate::guard::{Guard, Owner};
use crate::{Proxy, eventually, free_port, paths};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest time from start to the first answer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Longest time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A running Prometheus; its data is gone with it.
#[derive(Debug)]
pub struct Prometheus {
    _process: Guard,
    _folder: tempfile::TempDir,
    url: String,
}

impl Prometheus {
    /// Starts it with the job `pgsonde` on the proxy's admin address, scraped every second, and with the project's
    /// recording and alert rules.
    ///
    /// # Panics
    /// If it doesn't get ready, or doesn't scrape the proxy.
    pub fn start(proxy: &Proxy) -> Self {
        Self::start_before(&[proxy], None)
    }

    /// The same before several proxies, and before an exporter of `pg_stat_statements` at this address.
    ///
    /// # Panics
    /// If it doesn't get ready, or doesn't scrape all of them.
    pub fn start_before(proxies: &[&Proxy], server: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rules = paths::workspace().join("dashboards/prometheus");
        let target =
            |proxy: &&Proxy| format!("\"{}\"", proxy.admin().trim_start_matches("http://"));
        let targets: Vec<String> = proxies.iter().map(target).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{rules}/rules.yml, {rules}/alerts.yml]\n\
             scrape_configs:\n\
             - {{job_name: pgsonde, static_configs: [{{targets: [{targets}]}}]}}\n\
             - {{job_name: postgres, static_configs: [{{targets: [{server}]}}]}}\n",
            rules = rules.display(),
            targets = targets.join(", "),
            server = server.map_or_else(String::new, |address| format!("\"{address}\"")),
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("the configuration is written");
        let port = free_port();
        let args = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ];
        let process = Guard::start(Path::new("prometheus"), &args, "TERM", None, Owner::default());
        let url = format!("http://127.0.0.1:{port}");
        eventually("Prometheus is ready", READY_LIMIT, || {
            assert!(process.is_running(), "Prometheus ended: {:?}", process.lines());
            ureq::get(format!("{url}/-/ready")).call().ok()
        });
        let prometheus = Self { _process: process, _folder: folder, url };
        // It finds its targets seconds later. Counters must have been seen at 0: only then does what comes
        // afterwards count as an increase.
        eventually("the first scrape", READY_LIMIT, || {
            let up = prometheus.query("up{job=\"pgsonde\"} == 1").len();
            (up == proxies.len()).then_some(())
        });
        prometheus
    }

    /// The result of an instant query: one element per series.
    ///
    /// # Panics
    /// If Prometheus refuses the query.
    pub fn query(&self, promql: &str) -> Vec<Value> {
        let config = ureq::Agent::config_builder();
        let config = config.http_status_as_error(false).timeout_global(Some(ANSWER_LIMIT)).build();
        let mut answer = ureq::Agent::new_with_config(config)
            .get(format!("{}/api/v1/query", self.url))
            .query("query", promql)
            .call()
            .unwrap_or_else(|error| panic!("{promql}: {error}"));
        let body = answer.body_mut().read_to_string().unwrap_or_default();
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        assert_eq!(json["status"], "success", "{promql}: {body}");
        json["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

/// Whether Prometheus and promtool are installed; says so if not, and fails under `CI`.
///
/// # Panics
/// If they are missing while `CI` is set.
pub fn is_installed() -> bool {
    let version = Command::new("promtool").arg("--version").output();
    let there = version.is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "promtool is missing");
    if !there {
        eprintln!("skipped: prometheus");
    }
    there
}
