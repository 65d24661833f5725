//! A private PostgreSQL: own folder, own port, gone with its value.

use crate::guard::{Guard, Owner};
use crate::process::{Output, run, run_ok};
use crate::{eventually, free_port, paths};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest time that a psql call without a limit of its own may take.
const PSQL_LIMIT: Duration = Duration::from_secs(60);
/// Longest time to create a cluster, and to start it.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How to set a cluster up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines of `pg_hba.conf` that come before "trust everyone on loopback".
    pub hba: Vec<&'static str>,
    /// Lines of `postgresql.conf`.
    pub settings: Vec<&'static str>,
    /// Files beside the data (name, content), for the server's eyes only: certificates and keys.
    pub files: Vec<(&'static str, String)>,
    /// Folder of the server's programs; `None` = the installed one.
    pub bin: Option<PathBuf>,
    /// The port; `None` = any free one.
    pub port: Option<u16>,
    /// SQL to run once it is up.
    pub sql: &'static str,
}

/// A running cluster; the superuser and the database are `postgres`.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Guard,
}

impl Postgres {
    /// A cluster that trusts everyone on loopback, with `pg_stat_statements`.
    ///
    /// # Panics
    /// If PostgreSQL can't be found or doesn't start.
    pub fn start() -> Self {
        Self::with(&Options::default())
    }

    /// A cluster as `options` say.
    ///
    /// # Panics
    /// If PostgreSQL can't be found or doesn't start.
    pub fn with(options: &Options) -> Self {
        let bin = paths::postgres_bin();
        let owner = server_owner();
        let folder = new_folder(owner);
        let server_bin = options.bin.as_ref().unwrap_or(&bin);
        init(server_bin, &folder, owner);
        let port = options.port.unwrap_or_else(free_port);
        configure(&folder, port, options);
        write_files(&folder.join("data"), &options.files, owner);
        let data = folder.join("data").display().to_string();
        let args = ["-D".to_owned(), data];
        let server = Guard::start(&server_bin.join("postgres"), &args, "INT", Some(&folder), owner);
        let postgres = Self { bin, folder, port, server };
        postgres.wait_until_ready();
        postgres.psql_ok(port, "create extension pg_stat_statements");
        if !options.sql.is_empty() {
            postgres.psql_ok(port, options.sql);
        }
        postgres
    }

    /// The port it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, with `log` and the Unix socket in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `pgsonde proxy --upstream` takes.
    pub fn upstream(&self) -> String {
        format!("postgresql://127.0.0.1:{}", self.port)
    }

    /// A client program of this PostgreSQL ("psql", "pgbench") that connects to `port` on loopback,
    /// to the server itself or to a proxy before it.
    pub fn client(&self, program: &str, port: u16) -> Command {
        let mut command = Command::new(self.bin.join(program));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string());
        command
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .env("PGCONNECT_TIMEOUT", "20");
        command
    }

    /// Runs `sql` by psql: unaligned, tuples only, stops at the first error.
    pub fn psql(&self, port: u16, sql: &str) -> Output {
        let mut psql = self.client("psql", port);
        run(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1"]), sql, PSQL_LIMIT)
    }

    /// As [`Self::psql`], for what must succeed; gives standard output without the last line end.
    ///
    /// # Panics
    /// If it fails.
    pub fn psql_ok(&self, port: u16, sql: &str) -> String {
        let output = self.psql(port, sql);
        assert!(output.is_ok(), "{sql}: {output:?}");
        output.stdout.trim_end().to_owned()
    }

    /// Whether the extension HypoPG can be made; says so if not, and fails under `CI` with the distribution's server.
    ///
    /// # Panics
    /// If it is missing there.
    pub fn has_hypopg(&self) -> bool {
        let sql = "select count(*) from pg_available_extensions where name = 'hypopg'";
        let there = self.psql_ok(self.port(), sql) == "1";
        let is_set = |name| std::env::var_os(name).is_some();
        assert!(there || !is_set("CI") || is_set("PGSONDE_PG_BIN"), "HypoPG is missing");
        if !there {
            eprintln!("skipped: HypoPG");
        }
        there
    }

    /// Runs pgbench against `port`.
    ///
    /// # Panics
    /// If it fails or runs longer than `limit`.
    pub fn pgbench(&self, port: u16, args: &[&str], limit: Duration) -> Output {
        run_ok(self.client("pgbench", port).args(args), "", limit)
    }

    fn wait_until_ready(&self) {
        eventually("PostgreSQL answers", START_LIMIT, || {
            assert!(self.server.is_running(), "PostgreSQL ended: {:?}", self.server.lines());
            self.psql(self.port, "select 1").is_ok().then_some(())
        });
    }
}

/// PostgreSQL refuses to run as root; root lends it the user that the package made, or nobody.
fn server_owner() -> Owner {
    let own = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let is_root = own
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !is_root {
        return Owner::default();
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("a Unix has /etc/passwd");
    let ids = ["postgres", "nobody"].iter().find_map(|name| user_ids(&users, name));
    Owner { ids: Some(ids.expect("root needs the user postgres or nobody for the server")) }
}

fn user_ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// A new folder under the system's temporary one, owned by the server's user.
fn new_folder(owner: Owner) -> PathBuf {
    let folder =
        tempfile::Builder::new().prefix("pgsonde-pg-").tempdir().expect("a temporary folder");
    let folder = folder.keep();
    if let Some((user, group)) = owner.ids {
        std::os::unix::fs::chown(&folder, Some(user), Some(group))
            .expect("root may give files away");
    }
    folder
}

fn init(bin: &Path, folder: &Path, owner: Owner) {
    let mut command = Command::new(bin.join("initdb"));
    command.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"]);
    command.arg(folder.join("data")).current_dir("/");
    if let Some((user, group)) = owner.ids {
        use std::os::unix::process::CommandExt;
        command.uid(user).gid(group);
    }
    run_ok(&mut command, "", START_LIMIT);
}

fn configure(folder: &Path, port: u16, options: &Options) {
    let data = folder.join("data");
    let mut settings = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
         fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_connections = 200\n\
         shared_buffers = 256MB\njit = off\nautovacuum = off\nmax_parallel_workers_per_gather = 0\n\
         shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = all\n",
        folder.display()
    );
    for line in &options.settings {
        settings.push_str(line);
        settings.push('\n');
    }
    let hba = format!(
        "{}\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n",
        options.hba.join("\n")
    );
    append(&data.join("postgresql.conf"), &settings);
    std::fs::write(data.join("pg_hba.conf"), hba).expect("the data folder is writable");
}

fn write_files(data: &Path, files: &[(&'static str, String)], owner: Owner) {
    use std::os::unix::fs::{PermissionsExt, chown};
    for (name, content) in files {
        let path = data.join(name);
        std::fs::write(&path, content).expect("the data folder is writable");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("the file is ours");
        if let Some((user, group)) = owner.ids {
            chown(&path, Some(user), Some(group)).expect("root may give files away");
        }
    }
}

fn append(path: &Path, text: &str) {
    let old = std::fs::read_to_string(path).expect("initdb wrote it");
    std::fs::write(path, old + text).expect("the data folder is writable");
}
