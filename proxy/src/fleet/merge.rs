//! `pgsonde merge`: snapshots of running proxies and of files, one after another, into one report.

use super::reader::{self, Saved};
use crate::capture::lasting;
use crate::export::formats::{self, Format};
use crate::export::shapes::fleet::ProxyFields;
use crate::export::shapes::{Report, UpstreamInfo};
use crate::export::{Build, Lifecycle, ProxyCounters, report, report_of, source};
use crate::problem::Problem;
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::merge::Merge;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Longest wait for its snapshot.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Code of snapshots that may not be added up.
const NOT_TWICE: u16 = 523;

/// What to merge and where to.
#[derive(Debug)]
pub(crate) struct Options {
    /// Admin URLs and snapshot files.
    pub(crate) sources: Vec<String>,
    /// Form of the report.
    pub(crate) format: Format,
    /// A file instead of stdout.
    pub(crate) output: Option<PathBuf>,
    /// Statements shown by themselves.
    pub(crate) top: usize,
    /// Go on without proxies that don't answer.
    pub(crate) skip_missing: bool,
}

/// Merges and writes the report.
///
/// # Errors
/// PGS0204, PGS0501, PGS0502 and PGS0521 to PGS0523 for sources, PGS0102 for the output.
pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    let mut fleet = Fleet::default();
    for source in &options.sources {
        match read(source).and_then(|saved| fleet.add(saved, source)) {
            Ok(()) => {}
            Err(problem) if options.skip_missing && problem.number() == 501 => {
                eprintln!("note: left out: {}", problem.what());
                fleet.missing.push(source.clone());
            }
            Err(problem) => return Err(problem),
        }
    }
    if fleet.merge.proxies() == 0 {
        return Err(Problem::new(501, "none of the proxies answered"));
    }
    let report = fleet.report(options.top);
    let name = format!("{} proxies", report.info.upstreams.len().max(options.sources.len()));
    let name = if options.sources.len() == 1 { options.sources[0].clone() } else { name };
    report::write(&formats::render(&report, &name, options.format), options.output.as_deref())
}

/// The report of one snapshot file.
///
/// # Errors
/// PGS0521, PGS0522.
pub(crate) fn report_of_file(path: &Path, top: usize) -> Result<Report, Problem> {
    let mut fleet = Fleet::default();
    let name = path.display().to_string();
    fleet.add(read(&name)?, &name)?;
    Ok(fleet.report(top))
}

fn read(source: &str) -> Result<Saved, Problem> {
    if source.contains("://") {
        return fetch(source);
    }
    let file = File::open(source).map_err(|error| {
        Problem::new(521, format!("cannot read {source}"))
            .note(error.to_string().split(" (os error").next().unwrap_or_default().to_owned())
            .help("a source is the admin URL of a proxy (http://host:9635) or a snapshot file")
    })?;
    reader::read(file, source)
}

fn fetch(text: &str) -> Result<Saved, Problem> {
    let mut url = source::base(text)?;
    let name = url.to_string();
    url.set_path("/api/v1/snapshot");
    let mut answer = source::asking(&url, ANSWER_TIMEOUT).call().map_err(|error| {
        let text = error.to_string();
        Problem::new(501, format!("cannot get a snapshot from {name}"))
            .note(text.split(" (os error").next().unwrap_or(&text).to_owned())
            .help("is the proxy running? --skip-missing goes on without it")
    })?;
    match answer.status().as_u16() {
        200 => reader::read(answer.body_mut().as_reader(), &name),
        401 => Err(Problem::new(502, format!("{name} wants a token"))
            .help("set PGSONDE_TOKEN to the token of the proxies (admin.token)")),
        status => Err(Problem::new(502, format!("{name} gives no snapshot"))
            .note(format!("{} answered with status {status}", url.path()))
            .help("a proxy of this version has one at /api/v1/snapshot of its admin port")),
    }
}

/// The sum so far.
#[derive(Default)]
struct Fleet {
    merge: Merge,
    seen: BTreeMap<String, String>,
    proxy: ProxyFields,
    upstreams: BTreeSet<(String, u16, String)>,
    versions: BTreeSet<String>,
    /// What the proxy that hides least hides.
    redaction: Option<Redaction>,
    missing: Vec<String>,
}

impl Fleet {
    fn add(&mut self, saved: Saved, source: &str) -> Result<(), Problem> {
        let head = saved.head;
        if let Some(first) = self.seen.insert(head.proxy_id.clone(), source.to_owned()) {
            return Err(Problem::new(
                NOT_TWICE,
                format!("{first} and {source} are snapshots of one start of one proxy"),
            )
            .note(format!("its id is {}; the later one contains the earlier one", head.proxy_id))
            .help("give one of them, the later one"));
        }
        self.versions.insert(head.version);
        let redaction = Redaction::named(&head.redact).unwrap_or_default();
        let hidden = |level: Redaction| match level {
            Redaction::Off => 0,
            Redaction::Literals => 1,
            Redaction::AllText => 2,
        };
        self.redaction = self.redaction.into_iter().chain([redaction]).min_by_key(|at| hidden(*at));
        let more = head.proxy;
        self.upstreams.insert((
            more.upstream_host.clone(),
            more.upstream_port,
            more.upstream_tls.clone(),
        ));
        self.add_proxy(&more);
        self.merge.add(saved.sketched, head.started_us);
        Ok(())
    }

    fn add_proxy(&mut self, more: &ProxyFields) {
        let sum = &mut self.proxy;
        sum.uptime_s = sum.uptime_s.max(more.uptime_s);
        let pairs = [
            (&mut sum.events, more.events),
            (&mut sum.dropped_queue_full, more.dropped_queue_full),
            (&mut sum.dropped_memory_limit, more.dropped_memory_limit),
            (&mut sum.dropped_sampled, more.dropped_sampled),
            (&mut sum.dropped_analyzer_restart, more.dropped_analyzer_restart),
            (&mut sum.opaque, more.opaque),
            (&mut sum.active, more.active),
            (&mut sum.idle, more.idle),
            (&mut sum.idle_in_transaction, more.idle_in_transaction),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
        sum.overhead_to_server.add(&more.overhead_to_server);
        sum.overhead_to_client.add(&more.overhead_to_client);
    }

    fn counters(&self) -> ProxyCounters {
        let of = &self.proxy;
        let versions: Vec<&str> = self.versions.iter().map(String::as_str).collect();
        let mut proxy = ProxyCounters {
            build: Build {
                version: lasting(&versions.join(", ")),
                revision: "unknown",
                rustc: "unknown",
            },
            uptime_s: of.uptime_s,
            lifecycle: Lifecycle::Ready,
            events: of.events,
            redaction: self.redaction.unwrap_or_default(),
            ..ProxyCounters::default()
        };
        proxy.dropped.queue_full = of.dropped_queue_full;
        proxy.dropped.memory_limit = of.dropped_memory_limit;
        proxy.dropped.sampled = of.dropped_sampled;
        proxy.dropped.analyzer_restart = of.dropped_analyzer_restart;
        proxy.opaque.unknown = of.opaque;
        proxy.client_connections.active = of.active;
        proxy.client_connections.idle = of.idle;
        proxy.client_connections.idle_in_transaction = of.idle_in_transaction;
        proxy.overhead.to_server = of.overhead_to_server;
        proxy.overhead.to_client = of.overhead_to_client;
        proxy
    }

    fn report(self, top: usize) -> Report {
        let proxy = self.counters();
        let (count, missing) = (self.merge.proxies(), self.missing);
        let (snapshot, origin_us) = self.merge.finish();
        let started = UNIX_EPOCH + Duration::from_micros(origin_us);
        let mut report = report_of(&snapshot, &proxy, started, top);
        let upstream = |(host, port, tls)| UpstreamInfo { host, port, tls, connect_ms: None };
        report.info.upstreams = self.upstreams.into_iter().map(upstream).collect();
        if count > 1 {
            report.notes.insert(
                0,
                format!("Merged from {count} proxies; times count from the earliest start."),
            );
        }
        for source in missing {
            report.notes.insert(0, format!("{source} did not answer and is not in here."));
        }
        report
    }
}
