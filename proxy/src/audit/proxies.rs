//! The private proxies, one per distinct server.

use super::Options;
use super::connection_string::Place;
use super::environment::Leads;
use super::snapshot::SnapshotOrder;
use crate::capture::files;
use crate::clock;
use crate::config::{Address, Flags, Listen, Settings, TlsSettings};
use crate::export::report_of;
use crate::export::shapes::Report;
use crate::export::shapes::audit::Totals;
use crate::logging;
use crate::problem::Problem;
use crate::server::{self, Running};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time to reach a server.
const REACH_LIMIT: Duration = Duration::from_secs(5);
/// Time for sessions that are left when the grace is over.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// How often open sessions are counted.
const POLL: Duration = Duration::from_millis(20);
/// Records with a trace wait a moment for others of it before they count.
const SETTLE: Duration = Duration::from_millis(400);
/// Statements by themselves in the report.
const STATEMENTS_MAX: usize = 500;

/// A proxy and where it leads.
struct Proxy {
    upstream: String,
    shown: String,
    place: Place,
    running: Running,
    /// Where its events are written until it ends.
    events: Option<PathBuf>,
}

/// All of them.
pub(super) struct Proxies(Vec<Proxy>);

impl Proxies {
    /// Steps 3 and 4: a proxy before each server, which must be there.
    pub(super) fn start(options: &Options, leads: &Leads) -> Result<Self, Problem> {
        clock::start();
        let mut proxies = Vec::new();
        for (upstream, shown) in leads.upstreams() {
            let mut settings = settings(options, &upstream)?;
            let events = events_folder(&options.out, proxies.len());
            settings.capture.dir.clone_from(&events);
            // One file, if it isn't larger than all files of a proxy may be together.
            settings.capture.rotate_bytes = settings.capture.bytes_max;
            settings.capture.sample_millionths = 1_000_000;
            if proxies.is_empty() {
                logging::start(&settings.log);
            }
            let running = server::start(settings)?;
            if let Some(why) = running.upstream_error() {
                return Err(Problem::new(301, format!("PostgreSQL at {shown} can't be reached"))
                    .note(why)
                    .help("the command was not started; is the server running, and is this its address?"));
            }
            let place = place(options, &running);
            proxies.push(Proxy { upstream, shown, place, running, events });
        }
        Ok(Self(proxies))
    }

    /// Where a server's proxy listens.
    pub(super) fn place_of(&self, upstream: &str) -> Option<Place> {
        self.0.iter().find(|proxy| proxy.upstream == upstream).map(|proxy| proxy.place.clone())
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|proxy| format!("postgresql://{}:{}", proxy.place.host, proxy.place.port))
    }

    /// What SIGUSR1 asks for.
    pub(super) fn snapshot_order(&self, out: &Path) -> SnapshotOrder {
        let asked = self.0.iter().filter_map(|proxy| {
            let admin = proxy.running.admin.first()?;
            Some((format!("http://{admin}"), proxy.running.token.clone()))
        });
        SnapshotOrder { proxies: Arc::new(asked.collect()), out: out.to_owned() }
    }

    /// What the command is told besides.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let mut told = vec![("PGSONDE_AUDIT".to_owned(), "1".to_owned())];
        if let Some(Running { admin, token, .. }) = self.0.first().map(|proxy| &proxy.running) {
            // Marks are of the whole process: one address is enough.
            told.extend(
                admin.first().map(|at| ("PGSONDE_ADMIN".to_owned(), format!("http://{at}"))),
            );
            told.push(("PGSONDE_TOKEN".to_owned(), token.clone()));
        }
        told
    }

    /// Step 6: waits for open sessions, ends all, and gives what was seen.
    pub(super) fn stop(self, grace: Duration, ran: bool, out: &Path) -> (Vec<Report>, Totals) {
        let deadline = Instant::now() + grace;
        let open = || self.0.iter().map(|proxy| proxy.running.sessions_open()).sum::<u64>();
        while ran && open() > 0 && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        if ran {
            std::thread::sleep(SETTLE);
        }
        let mut totals = Totals::default();
        let mut reports = Vec::new();
        for (index, proxy) in self.0.into_iter().enumerate() {
            let (snapshot, counters) = proxy.running.stop();
            if let Some(events) = &proxy.events {
                keep_events(events, &out.join(numbered("capture", index, ".ndjson.zst")));
            }
            totals.connections += counters.connections.ok;
            totals.dropped_events += counters.dropped.total();
            totals.upstreams.push(proxy.shown);
            let report = report_of(&snapshot, &counters, clock::started_at(), STATEMENTS_MAX);
            totals.statements += report.summary.books.statements;
            let phases = &report.summary.phases_ms;
            totals.db_ms += phases.queue + phases.first_row + phases.transfer + phases.client_stall;
            totals.marks += report.marks.as_ref().map_or(0, |marks| marks.total);
            reports.push(report);
        }
        totals.errors = super::judge::errors(&reports);
        (reports, totals)
    }
}

/// `NAME.EXT` of the first proxy, `NAME-2.EXT` of the second.
pub(super) fn numbered(name: &str, index: usize, extension: &str) -> String {
    let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
    format!("{name}{number}{extension}")
}

/// A folder of its own for the events of a proxy, inside of `out`; none where nothing can be written, which is told
/// when the other artefacts fail.
fn events_folder(out: &Path, index: usize) -> Option<PathBuf> {
    let folder = out.join(format!(".events-{}-{index}", std::process::id()));
    std::fs::create_dir_all(&folder).ok().map(|()| folder)
}

/// The newest file of the folder becomes `target`; the folder goes.
fn keep_events(folder: &Path, target: &Path) {
    let newest = files::list(folder).ok().and_then(|mut found| found.pop());
    let kept = newest.map_or(Ok(()), |newest| std::fs::rename(newest.path, target));
    if let Err(error) = kept.and_then(|()| std::fs::remove_dir_all(folder)) {
        tracing::error!(%error, "cannot keep the events of the audit");
    }
}

fn settings(options: &Options, upstream: &str) -> Result<Settings, Problem> {
    let values = vec![
        ("proxy.upstream", "the connection string", upstream.to_owned()),
        ("proxy.listen", "audit", "127.0.0.1:0".to_owned()),
        ("admin.listen", "audit", "127.0.0.1:0".to_owned()),
        ("log.level", "audit", options.log_level.to_owned()),
    ];
    let mut settings = Settings::load(&Flags { config: options.config.clone(), values })?;
    if options.advertise.is_some() {
        let all = Address { host: "0.0.0.0".to_owned(), port: 0 };
        settings.proxy.listen = vec![Listen::Tcp(all)];
    }
    settings.proxy.tls = TlsSettings::default();
    settings.proxy.connect_timeout = settings.proxy.connect_timeout.min(REACH_LIMIT);
    settings.proxy.drain_timeout = DRAIN_LIMIT;
    Ok(settings)
}

fn place(options: &Options, running: &Running) -> Place {
    let url = running.app.first().map_or("", String::as_str);
    let port = url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
    let host = options.advertise.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
    Place { host, port: port.unwrap_or(0) }
}
