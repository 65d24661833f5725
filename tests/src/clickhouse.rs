//! A real ClickHouse, Debian's 18.16, on loopback and free ports, in a folder of its own; and a current engine.

use crate::guard::{Guard, Owner};
use crate::{eventually, free_port, paths, process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time from start to the first answer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Longest time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Where the package puts the program.
const PROGRAM: &str = "/usr/sbin/clickhouse-server";

/// A running ClickHouse; its data stays until the value is dropped, also over [`ClickHouse::stop`].
#[derive(Debug)]
pub struct ClickHouse {
    folder: tempfile::TempDir,
    http: u16,
    tcp: u16,
    password: String,
    process: Option<Guard>,
}

/// Whether it is installed; says so if not, and fails under `CI`.
///
/// # Panics
/// If it is missing while `CI` is set.
pub fn is_installed() -> bool {
    let there = Path::new(PROGRAM).exists();
    assert!(there || std::env::var_os("CI").is_none(), "clickhouse-server is missing");
    if !there {
        eprintln!("skipped: clickhouse-server");
    }
    there
}

/// Whether the current engine is installed; says so if not, and fails under `CI`.
///
/// # Panics
/// If it is missing while `CI` is set.
pub fn is_modern_installed() -> bool {
    let mut python = std::process::Command::new(paths::python());
    let there = python.args(["-c", "import chdb"]).output().is_ok_and(|out| out.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "chdb is missing");
    if !there {
        eprintln!("skipped: chdb");
    }
    there
}

impl ClickHouse {
    /// Starts a current engine behind the HTTP interface.
    ///
    /// # Panics
    /// If it doesn't answer.
    pub fn start_modern() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let http = free_port();
        let program = paths::workspace().join("tests/drivers/store.py");
        let args = [
            program.display().to_string(),
            http.to_string(),
            folder.path().join("data").display().to_string(),
        ];
        let process = Guard::start(&paths::python(), &args, "TERM", None, Owner::default());
        let store = Self { folder, http, tcp: 0, password: String::new(), process: Some(process) };
        eventually("the engine answers", READY_LIMIT, || {
            ureq::get(format!("{}/ping", store.url())).call().ok()
        });
        store
    }

    /// Starts one whose user `default` has this password, as member of the cluster `pair` of these TCP ports.
    ///
    /// # Panics
    /// If it doesn't answer.
    pub fn start(password: &str, ports: Option<(u16, [u16; 2])>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tcp = ports.map_or_else(free_port, |(own, _)| own);
        let mut clickhouse =
            Self { folder, http: free_port(), tcp, password: password.to_owned(), process: None };
        let shards = ports.map_or([tcp, tcp], |(_, pair)| pair);
        clickhouse.configure(shards);
        clickhouse.resume();
        clickhouse
    }

    fn configure(&self, shards: [u16; 2]) {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let shard = |port: u16| {
            format!(
                "<shard><replica><host>127.0.0.1</host><port>{port}</port><password>{}</password></replica></shard>",
                self.password
            )
        };
        let config = format!(
            "<yandex><logger><level>warning</level><console>1</console></logger>\
             <listen_host>127.0.0.1</listen_host><http_port>{}</http_port><tcp_port>{}</tcp_port>\
             <path>{}/</path><tmp_path>{}/</tmp_path><users_config>{}</users_config>\
             <default_profile>default</default_profile><default_database>default</default_database>\
             <mark_cache_size>16777216</mark_cache_size><timezone>UTC</timezone>\
             <remote_servers><pair>{}{}</pair></remote_servers></yandex>",
            self.http,
            self.tcp,
            at("data"),
            at("tmp"),
            at("users.xml"),
            shard(shards[0]),
            shard(shards[1]),
        );
        let users = format!(
            "<yandex><profiles><default><max_memory_usage>1000000000</max_memory_usage></default></profiles>\
             <users><default><password>{}</password><networks><ip>127.0.0.1</ip></networks>\
             <profile>default</profile><quota>default</quota></default></users>\
             <quotas><default></default></quotas></yandex>",
            self.password
        );
        std::fs::write(at("config.xml"), config).expect("the configuration is written");
        std::fs::write(at("users.xml"), users).expect("the users are written");
    }

    /// Starts it again on its data and its ports.
    ///
    /// # Panics
    /// If it doesn't answer.
    pub fn resume(&mut self) {
        let config: PathBuf = self.folder.path().join("config.xml");
        let args = [format!("--config-file={}", config.display())];
        let process = Guard::start(Path::new(PROGRAM), &args, "TERM", None, Owner::default());
        eventually("ClickHouse answers", READY_LIMIT, || {
            assert!(process.is_running(), "ClickHouse ended: {:?}", process.lines());
            ureq::get(format!("{}/ping", self.url())).call().ok()
        });
        self.process = Some(process);
    }

    /// Ends it; its data stays.
    pub fn stop(&mut self) {
        drop(self.process.take());
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The port of its HTTP interface.
    pub fn port(&self) -> u16 {
        self.http
    }

    /// Processor time that it has taken, in seconds.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn processor_seconds(&self) -> f64 {
        let pid = self.process.as_ref().expect("it runs").pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        process::processor_seconds(&stat).expect("the kernel's format")
    }

    /// What it answers to a statement, or its refusal.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn query(&self, sql: &str) -> String {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = ureq::Agent::new_with_config(config.timeout_global(Some(ANSWER_LIMIT)).build());
        let mut answer = agent
            .post(self.url())
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", &self.password)
            .send(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        answer.body_mut().read_to_string().expect("its answer").trim_end().to_owned()
    }

    /// A single number.
    ///
    /// # Panics
    /// If it is none.
    pub fn number(&self, sql: &str) -> u64 {
        let answer = self.query(sql);
        answer.parse().unwrap_or_else(|_| panic!("{sql}: {answer}"))
    }

    /// Rows as JSON.
    ///
    /// # Panics
    /// If the answer is none.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        let answer = self.query(&format!("{sql} FORMAT JSONEachRow"));
        let row = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{sql}: {error}: {answer}"))
        };
        answer.lines().map(row).collect()
    }
}
