//! A private server: own folder of mode 0700, no TCP, gone with its value and with the process.
//!
//! Its programs are started by a small shell that waits for orders on a pipe which we hold. However this process ends,
//! a SIGKILL included, the pipe closes, and the shell ends the server and removes the folder. A signal on the parent's
//! death would need unsafe code, and a thread or a handler here dies with us.

use super::{Place, Unavailable};
use pgsonde_advisor::catalog::Catalog;
use std::fs::{DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SCRIPT: &str = include_str!("guard.sh");
/// Names of our folders.
const PREFIX: &str = "pgsonde-shadow-";
/// The file that a living owner keeps locked.
const MARKER: &str = "owner.lock";
/// Longest time that creating, starting or stopping may take.
const ORDER_LIMIT: Duration = Duration::from_secs(60);
/// Longest time that an end may keep us waiting; the shell goes on without us.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Longest path of a Unix socket, bytes.
const SOCKET_PATH_MAX: usize = 107;
/// Superuser of the shadow.
pub(super) const BUILDER: &str = "builder";

/// Who runs the programs: a user and a group, if not ourselves.
pub(super) type Owner = Option<(u32, u32)>;

/// The private server.
pub(super) struct Cluster {
    guard: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    pub(super) folder: PathBuf,
    pub(super) owner: Owner,
    _marker: File,
}

impl Cluster {
    /// Creates an empty cluster in the target's locale; `Ok(false)` beside it where this machine lacks the locale.
    pub(super) fn create(
        programs: &Path,
        place: &Place,
        catalog: &Catalog,
    ) -> Result<(Self, bool), Unavailable> {
        let owner = owner(&place.user)?;
        let parent = parent(place, owner);
        sweep(&parent, owner);
        match Self::try_create(programs, &parent, owner, &locale(catalog)) {
            Ok(cluster) => Ok((cluster, true)),
            Err(first) => {
                let plain =
                    [format!("--encoding={}", catalog.database.encoding), "--locale=C".to_owned()];
                Self::try_create(programs, &parent, owner, &plain)
                    .map(|cluster| (cluster, false))
                    .map_err(|_| first)
            }
        }
    }

    fn try_create(
        programs: &Path,
        parent: &Path,
        owner: Owner,
        locale: &[String],
    ) -> Result<Self, Unavailable> {
        let (folder, marker) = new_folder(parent, owner)?;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guard"]).arg(&folder).arg(programs).args(locale);
        command.args(["--no-sync", "--auth-local=trust", "--auth-host=reject", "-U", BUILDER]);
        command.args(["--lc-messages=C"]).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some((user, group)) = owner {
            command.uid(user).gid(group);
        }
        let mut guard = command.spawn().map_err(|error| failed("start a shell", &error))?;
        let (orders, answers) = (guard.stdin.take(), answers(&mut guard));
        let mut cluster = Self { guard, orders, answers, folder, owner, _marker: marker };
        match cluster.order("init")?.as_str() {
            "0" => cluster.configure().map(|()| cluster),
            _ => Err(cluster.init_failure()),
        }
    }

    fn init_failure(&self) -> Unavailable {
        let log = std::fs::read_to_string(self.folder.join("initdb.log")).unwrap_or_default();
        let line = log.lines().find(|line| line.contains("error")).or(log.lines().last());
        let line = line.unwrap_or("no word of it").trim().to_owned();
        Unavailable::new(
            format!("initdb could not make a cluster: {line}"),
            "check that the account named in shadow_user may run it, and that shadow_dir has space and lets it in"
                .to_owned(),
        )
    }

    fn configure(&self) -> Result<(), Unavailable> {
        let folder = self.folder.display().to_string().replace('\'', "''");
        let settings = format!(
            "listen_addresses = ''\nport = 5432\nunix_socket_directories = '{folder}'\n\
             unix_socket_permissions = 0700\nautovacuum = off\nfsync = off\nfull_page_writes = off\n\
             synchronous_commit = off\nwal_level = minimal\nmax_wal_senders = 0\nshared_buffers = 16MB\n\
             max_connections = 8\nshared_preload_libraries = ''\ncheckpoint_timeout = '1d'\n\
             log_min_error_statement = panic\nlog_min_messages = warning\nlog_statement = none\n\
             jit = off\n"
        );
        let path = self.folder.join("data/postgresql.conf");
        let mut file = File::options()
            .append(true)
            .open(path)
            .map_err(|error| failed("write to the shadow's folder", &error))?;
        file.write_all(settings.as_bytes())
            .map_err(|error| failed("write to the shadow's folder", &error))
    }

    pub(super) fn start(&mut self) -> Result<(), Unavailable> {
        self.order("start").map(|_| ())
    }

    /// Ends the server and waits until its files are complete.
    pub(super) fn stop(&mut self) -> Result<(), Unavailable> {
        self.order("stop").map(|_| ())
    }

    /// What the server said last, for errors: it logs no statements and no values.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        log.lines().rev().find(|line| line.contains("FATAL")).unwrap_or_default().to_owned()
    }

    fn order(&mut self, order: &str) -> Result<String, Unavailable> {
        let gone = || Unavailable::new("the shadow's guard ended".to_owned(), String::new());
        let orders = self.orders.as_mut().ok_or_else(gone)?;
        writeln!(orders, "{order}").map_err(|_| gone())?;
        self.answers.recv_timeout(ORDER_LIMIT).map_err(|_| {
            Unavailable::new(
                format!("the shadow's server did not {order} within {} s", ORDER_LIMIT.as_secs()),
                "try again when the machine is less busy".to_owned(),
            )
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.orders.take());
        let started = Instant::now();
        while started.elapsed() < END_LIMIT {
            if let Ok(Some(_)) = self.guard.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn failed(what: &str, error: &std::io::Error) -> Unavailable {
    Unavailable::new(
        format!("cannot {what}: {error}"),
        "name a folder with space in shadow_dir".to_owned(),
    )
}

/// Lines from the guard; the thread ends with it.
fn answers(guard: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(pipe) = guard.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// PostgreSQL refuses to run as root, so root lends it an account.
fn owner(user: &str) -> Result<Owner, Unavailable> {
    let own = std::fs::metadata("/proc/self").map_or(1, |meta| meta.uid());
    if own != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match ids(&users, user) {
        Some((0, _)) | None => Err(Unavailable::new(
            format!("PostgreSQL does not run as root, and there is no other account named {user}"),
            "name an account in shadow_user, or run pgsonde as another user".to_owned(),
        )),
        found => Ok(found),
    }
}

fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Where folders go. The runtime folder of a user lets no other account in.
fn parent(place: &Place, owner: Owner) -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|folder| owner.is_none() && folder.is_dir());
    place.folder.clone().or(runtime).unwrap_or_else(std::env::temp_dir)
}

fn new_folder(parent: &Path, owner: Owner) -> Result<(PathBuf, File), Unavailable> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let name = format!("{PREFIX}{}-{:08x}", std::process::id(), now as u32);
    let folder = parent.join(name);
    if folder.join(".s.PGSQL.5432").as_os_str().len() > SOCKET_PATH_MAX {
        return Err(Unavailable::new(
            format!("{} is too long for a Unix socket", folder.display()),
            "name a shorter folder in shadow_dir".to_owned(),
        ));
    }
    let make = || -> std::io::Result<File> {
        // fails if the name is taken: nobody can have put a link there
        DirBuilder::new().mode(0o700).create(&folder)?;
        let marker = File::create(folder.join(MARKER))?;
        marker.try_lock().map_err(std::io::Error::from)?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&folder, Some(user), Some(group))?;
        }
        Ok(marker)
    };
    make()
        .map(|marker| (folder.clone(), marker))
        .map_err(|error| failed(&format!("make the folder {}", folder.display()), &error))
}

/// Removes folders whose owner and guard both died: nobody holds the lock. Only folders of the account that ours
/// belong to: anybody may make one of that name in a common place.
fn sweep(parent: &Path, owner: Owner) {
    let own = owner.map_or_else(
        || std::fs::metadata("/proc/self").ok().map(|meta| meta.uid()),
        |ids| Some(ids.0),
    );
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && Some(meta.uid()) == own);
        let marker = File::open(entry.path().join(MARKER));
        if is_ours && marker.is_ok_and(|marker| marker.try_lock().is_ok()) {
            end_server(&entry.path());
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Ends a server that lost its guard, if the process is a server of that folder.
fn end_server(folder: &Path) {
    let data = folder.join("data");
    let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = pid.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
        return;
    };
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if command.contains(&data.display().to_string()) {
        let _ = Command::new("kill").args(["-QUIT", &pid.to_string()]).status();
    }
}

/// `initdb`'s arguments for the target's encoding and locale.
fn locale(catalog: &Catalog) -> Vec<String> {
    let database = &catalog.database;
    let mut found = vec![
        format!("--encoding={}", database.encoding),
        format!("--lc-collate={}", database.collate),
        format!("--lc-ctype={}", database.ctype),
    ];
    if let Some(locale) = &database.locale {
        match database.locale_provider.as_str() {
            "i" => {
                found
                    .extend(["--locale-provider=icu".to_owned(), format!("--icu-locale={locale}")]);
            }
            "b" => found.extend([
                "--locale-provider=builtin".to_owned(),
                format!("--builtin-locale={locale}"),
            ]),
            _ => {}
        }
    }
    if catalog.server_version >= 180_000 {
        found.push("--no-data-checksums".to_owned());
    }
    found
}
