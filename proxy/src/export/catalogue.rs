//! The metric catalogue: every family that this version can fill truthfully, as plain rows.
//!
//! Names, labels, units and buckets are a contract with dashboards and alert rules. Families whose data does not
//! exist yet are absent rather than always 0.

use super::api::{digest_text, finding_text};
use super::status::{Mode, OVERHEAD_BUCKETS_NS, ProxyCounters, SETUP_BUCKETS_US};
use super::sticky::{DIGEST_BUCKETS_US, DigestSeries, OTHER};
use crate::config::MetricSettings;
use pgsonde_analyzer::finding::{Kind as FindingKind, Severity, State};
use pgsonde_analyzer::snapshot::{
    Buckets, DigestRow, Phases, STATEMENT_BUCKETS_US, Snapshot, TRANSACTION_BUCKETS_US,
    UNIT_BUCKETS,
};
use std::collections::BTreeMap;
use std::collections::HashMap;

/// Kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Counter,
    Gauge,
    Histogram,
}

/// Name without the prefix, type, label names, help.
pub(crate) type Definition = (&'static str, Type, &'static [&'static str], &'static str);

/// One value of a family.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    Number(f64),
    /// Bounds, counts per bucket (not cumulative), count above, sum.
    Histogram(Vec<(f64, u64)>, u64, f64),
}

/// A family with its series by label values; a second row with the same labels adds up, since a duplicate
/// series would cost the reader the whole scrape.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) definition: &'static Definition,
    pub(crate) series: BTreeMap<Vec<String>, Sample>,
}

const SET: &[&str] = &["database", "service", "operation"];
const PAIR: &[&str] = &["database", "service"];
const DIGEST: &[&str] = &["database", "digest"];
const ROUTE: &[&str] = &["service", "route"];

use Type::{Counter, Gauge, Histogram};

/// The catalogue; the prefix `pgsonde_` is added where it is written.
#[rustfmt::skip]
pub(crate) const CATALOGUE: &[Definition] = &[
    ("statements_total", Counter, &["database", "service", "operation", "outcome"], "Statements by outcome."),
    ("statement_duration_seconds", Histogram, SET, "Time of one statement."),
    ("statement_phase_seconds_total", Counter, &["database", "service", "phase"], "Time of statements and of waiting clients by phase; the phases are disjoint."),
    ("rows_total", Counter, SET, "Rows returned or affected, from completion tags."),
    ("received_bytes_total", Counter, &["database", "side"], "Bytes read from clients and servers."),
    ("sent_bytes_total", Counter, &["database", "side"], "Bytes written to clients and servers."),
    ("errors_total", Counter, &["database", "service", "sqlstate_class"], "Errors by the first two characters of the SQLSTATE."),
    ("transactions_total", Counter, &["database", "service", "outcome"], "Transaction blocks by outcome."),
    ("transaction_duration_seconds", Histogram, PAIR, "Time from leaving idle until idle again."),
    ("prepares_total", Counter, &["database", "service", "kind"], "Parse messages: named, unnamed, or the same text again."),
    ("unit_statements", Histogram, &["service"], "Statements in one unit of work."),
    ("n_plus_one_bursts_total", Counter, &["service", "proof"], "Bursts of repeated look-ups by proof."),
    ("n_plus_one_statements_total", Counter, &["service"], "Statements of proved bursts that a batched form would not need."),
    ("n_plus_one_seconds_total", Counter, &["service"], "Time that the statements of proved bursts took."),
    ("digest_calls_total", Counter, DIGEST, "Executions of the costliest digests; the rest is other."),
    ("digest_errors_total", Counter, DIGEST, "Failed executions of the costliest digests."),
    ("digest_rows_total", Counter, DIGEST, "Rows of the costliest digests."),
    ("digest_seconds_total", Counter, &["database", "digest", "phase"], "Time of the costliest digests by phase."),
    ("digest_duration_seconds", Histogram, DIGEST, "Time of one statement of the costliest digests; with metrics.digest_histograms."),
    ("digest_info", Gauge, &["database", "digest", "operation", "summary", "pg_queryid"], "Names of the exported digests, for joins."),
    ("route_units_total", Counter, ROUTE, "Units of work by route."),
    ("route_statements_total", Counter, ROUTE, "Statements by route."),
    ("route_seconds_total", Counter, &["service", "route", "phase"], "Time of units of work by route and phase."),
    ("findings", Gauge, &["kind", "severity"], "Findings that are open now."),
    ("findings_opened_total", Counter, &["kind"], "Findings opened since start."),
    ("finding_info", Gauge, &["finding", "kind", "severity", "digest", "service", "route"], "Open findings, costliest first."),
    ("client_connections", Gauge, &["state"], "Client sessions now."),
    ("client_connections_max", Gauge, &[], "Limit of client sessions."),
    ("client_connections_total", Counter, &["result"], "Client connections by what became of them."),
    ("connection_setup_seconds", Histogram, &["stage"], "Time of connection set-up by stage."),
    ("cancel_requests_total", Counter, &[], "Cancel requests relayed."),
    ("opaque_sessions_total", Counter, &["reason"], "Sessions forwarded but no longer read."),
    ("proxy_overhead_seconds", Histogram, &["direction"], "Time that a batch of messages spent inside pgsonde."),
    ("events_total", Counter, &[], "Events made, dropped ones included."),
    ("events_dropped_total", Counter, &["reason"], "Events that never reached the statistics."),
    ("analyzer_queue_batches", Gauge, &[], "Batches waiting for the analyzer."),
    ("analyzer_queue_batches_max", Gauge, &[], "Limit of waiting batches."),
    ("analyzer_restarts_total", Counter, &[], "Restarts of the analyzer after a failure."),
    ("analyzer_memory_bytes", Gauge, &[], "Bytes that the analyzer holds, as it reckons."),
    ("analyzer_memory_bytes_max", Gauge, &[], "Limit of them (profile.memory_limit)."),
    ("analyzer_sheds_total", Counter, &[], "Times that the analyzer shed something to stay below that limit."),
    ("digests", Gauge, &[], "Digests tracked."),
    ("digests_max", Gauge, &[], "Limit of digests tracked."),
    ("label_overflow_total", Counter, &["table"], "Rows that a table had no room for."),
    ("profiling_mode", Gauge, &["mode"], "1 for the current mode."),
    ("config_last_reload_successful", Gauge, &[], "1 when the latest reload of the configuration was taken over; 1 before the first."),
    ("config_last_reload_success_timestamp_seconds", Gauge, &[], "When the configuration in force was read, in seconds since 1970."),
    ("capture_written_bytes_total", Counter, &[], "Bytes written to capture files, compressed."),
    ("capture_errors_total", Counter, &[], "Failures of capture files, and events that found the queue of the capture full."),
    ("export_rows_total", Counter, &["exporter"], "Rows that the other side of an export has."),
    ("export_bytes_total", Counter, &["exporter"], "Bytes sent to it, compressed."),
    ("export_failures_total", Counter, &["exporter"], "Attempts of an export that failed."),
    ("export_dropped_rows_total", Counter, &["exporter", "reason"], "Rows of an export that will never arrive."),
    ("export_spool_bytes", Gauge, &["exporter"], "Bytes of an export that wait: on disk, or in memory where there is no spool."),
    ("advisor_explains_total", Counter, &["outcome"], "EXPLAINs of the index advisor on the target by outcome."),
    ("advisor_skipped_total", Counter, &["reason"], "What the index advisor left out by reason."),
    ("build_info", Gauge, &["version", "revision", "rustc"], "What runs."),
];

/// All families of one moment; empty ones are left out.
pub(crate) fn families(
    snapshot: &Snapshot,
    proxy: &ProxyCounters,
    digests: &[DigestSeries],
    settings: &MetricSettings,
) -> Vec<Family> {
    let mut sheet = Sheet::default();
    sheet.sets(snapshot);
    sheet.pairs(snapshot);
    sheet.traffic(snapshot);
    sheet.services(snapshot);
    sheet.digests(snapshot, digests);
    sheet.routes(snapshot);
    if settings.digest_histograms {
        sheet.digest_histograms(digests);
    }
    sheet.findings(snapshot, settings.findings);
    sheet.connections(proxy);
    sheet.losses(proxy);
    sheet.analyzer(snapshot, proxy);
    sheet.identity(proxy);
    sheet.families()
}

#[derive(Default)]
struct Sheet {
    rows: HashMap<&'static str, BTreeMap<Vec<String>, Sample>>,
}

#[allow(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}

fn seconds(us: u64) -> f64 {
    float(us) / 1e6
}

impl Sheet {
    fn families(mut self) -> Vec<Family> {
        let filled = CATALOGUE.iter().filter_map(|definition| {
            let series = self.rows.remove(definition.0)?;
            Some(Family { definition, series })
        });
        filled.collect()
    }

    fn put(&mut self, name: &'static str, labels: &[&str], sample: Sample) {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let rows = self.rows.entry(name).or_default();
        match rows.get_mut(&labels) {
            Some(there) => there.add(sample),
            None => drop(rows.insert(labels, sample)),
        }
    }

    fn number(&mut self, name: &'static str, labels: &[&str], value: f64) {
        self.put(name, labels, Sample::Number(value));
    }

    fn count(&mut self, name: &'static str, labels: &[&str], value: u64) {
        self.number(name, labels, float(value));
    }

    /// `unit` is the number of the buckets' units in one exported unit.
    fn buckets<const N: usize>(
        &mut self,
        name: &'static str,
        labels: &[&str],
        bounds: &[u64; N],
        buckets: &Buckets<N>,
        unit: f64,
    ) {
        let counted =
            bounds.iter().zip(buckets.counts).map(|(bound, count)| (float(*bound) / unit, count));
        let sum = float(buckets.sum) / unit;
        self.put(name, labels, Sample::Histogram(counted.collect(), buckets.above, sum));
    }

    fn sets(&mut self, snapshot: &Snapshot) {
        for set in &snapshot.sets {
            let labels = [&*set.database, &*set.service, set.operation.name()];
            for (outcome, value) in ["ok", "error", "cancelled"].iter().zip(set.outcomes) {
                self.count("statements_total", &[labels[0], labels[1], labels[2], outcome], value);
            }
            self.count("rows_total", &labels, set.rows);
            self.buckets(
                "statement_duration_seconds",
                &labels,
                &STATEMENT_BUCKETS_US,
                &set.duration,
                1e6,
            );
        }
        for row in &snapshot.errors {
            self.count("errors_total", &[&row.database, &row.service, &row.class], row.count);
        }
    }

    fn pairs(&mut self, snapshot: &Snapshot) {
        for pair in &snapshot.pairs {
            let labels = [&*pair.database, &*pair.service];
            for (phase, us) in phases(&pair.phases) {
                self.number(
                    "statement_phase_seconds_total",
                    &[labels[0], labels[1], phase],
                    seconds(us),
                );
            }
            for (outcome, value) in ["commit", "rollback", "error"].iter().zip(pair.transactions) {
                self.count("transactions_total", &[labels[0], labels[1], outcome], value);
            }
            let duration = &pair.transaction_duration;
            self.buckets(
                "transaction_duration_seconds",
                &labels,
                &TRANSACTION_BUCKETS_US,
                duration,
                1e6,
            );
            for (kind, value) in ["named", "unnamed", "reparse"].iter().zip(pair.prepares) {
                self.count("prepares_total", &[labels[0], labels[1], kind], value);
            }
        }
    }

    fn traffic(&mut self, snapshot: &Snapshot) {
        for row in &snapshot.traffic {
            self.count("received_bytes_total", &[&row.database, "client"], row.client_received);
            self.count("received_bytes_total", &[&row.database, "server"], row.server_received);
            self.count("sent_bytes_total", &[&row.database, "client"], row.client_sent);
            self.count("sent_bytes_total", &[&row.database, "server"], row.server_sent);
        }
    }

    fn services(&mut self, snapshot: &Snapshot) {
        for (service, buckets) in &snapshot.unit_statements {
            self.buckets("unit_statements", &[service], &UNIT_BUCKETS, buckets, 1.0);
        }
        for row in &snapshot.n_plus_one {
            self.count("n_plus_one_bursts_total", &[&row.service, "dataflow"], row.bursts);
            self.count("n_plus_one_statements_total", &[&row.service], row.statements);
            self.number("n_plus_one_seconds_total", &[&row.service], seconds(row.busy_us));
        }
    }

    fn digests(&mut self, snapshot: &Snapshot, series: &[DigestSeries]) {
        let names: HashMap<(&str, u64), &DigestRow> =
            snapshot.digests.iter().map(|row| ((&*row.database, row.digest), row)).collect();
        for row in series {
            let database = &*row.database;
            let digest = row.digest.map_or_else(|| OTHER.to_owned(), digest_text);
            let named = row.digest.and_then(|digest| names.get(&(database, digest)));
            let (operation, summary) = named
                .map_or((OTHER, "everything else"), |row| (row.operation.name(), &*row.summary));
            let query_id = named.and_then(|row| row.query_id).map(|id| id.to_string());
            let labels = [database, &digest];
            self.count("digest_calls_total", &labels, row.counters.calls);
            self.count("digest_errors_total", &labels, row.counters.errors);
            self.count("digest_rows_total", &labels, row.counters.rows);
            let times =
                [("first_row", row.counters.first_row_us), ("transfer", row.counters.transfer_us)];
            for (phase, us) in times {
                self.number("digest_seconds_total", &[database, &digest, phase], seconds(us));
            }
            self.flag(
                "digest_info",
                &[database, &digest, operation, summary, &query_id.unwrap_or_default()],
            );
        }
    }

    /// Of residents only: not all times of `other` are known.
    fn digest_histograms(&mut self, series: &[DigestSeries]) {
        for row in series {
            let Some(digest) = row.digest.map(digest_text) else { continue };
            let (name, times) = ("digest_duration_seconds", &row.counters.durations);
            self.buckets(name, &[&row.database, &digest], &DIGEST_BUCKETS_US, times, 1e6);
        }
    }

    /// A gauge that is 1; twice the same labels is still 1.
    fn flag(&mut self, name: &'static str, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.rows.entry(name).or_default().insert(labels, Sample::Number(1.0));
    }

    fn routes(&mut self, snapshot: &Snapshot) {
        for row in &snapshot.routes {
            let labels = [&*row.service, &*row.route];
            self.count("route_units_total", &labels, row.units);
            self.count("route_statements_total", &labels, row.statements);
            let times = [
                ("first_row", row.first_row_us),
                ("transfer", row.transfer_us),
                ("think_in_transaction", row.think_in_transaction_us),
            ];
            for (phase, us) in times {
                self.number("route_seconds_total", &[labels[0], labels[1], phase], seconds(us));
            }
        }
    }

    fn findings(&mut self, snapshot: &Snapshot, findings_max: usize) {
        for kind in FindingKind::ALL {
            for severity in [Severity::Error, Severity::Warning, Severity::Info] {
                self.count("findings", &[kind.name(), severity.name()], 0);
            }
            self.count("findings_opened_total", &[kind.name()], 0);
        }
        for (kind, opened) in &snapshot.findings_opened {
            self.count("findings_opened_total", &[kind.name()], *opened);
        }
        let open = snapshot.findings.iter().filter(|finding| finding.state == State::Open);
        for (rank, finding) in open.enumerate() {
            let (kind, severity) = (finding.kind.name(), finding.severity.name());
            self.count("findings", &[kind, severity], 1);
            if rank < findings_max {
                let digest = finding.child.as_ref().map(|child| digest_text(child.digest));
                let (id, digest) = (finding_text(finding.id), digest.unwrap_or_default());
                let route = finding.route.as_deref().unwrap_or("none");
                self.flag("finding_info", &[&id, kind, severity, &digest, &finding.service, route]);
            }
        }
    }

    fn connections(&mut self, proxy: &ProxyCounters) {
        let now = proxy.client_connections;
        self.count("client_connections", &["active"], now.active);
        self.count("client_connections", &["idle"], now.idle);
        self.count("client_connections", &["idle_in_transaction"], now.idle_in_transaction);
        self.count("client_connections_max", &[], proxy.connections_max);
        let since = proxy.connections;
        let results = [
            ("ok", since.ok),
            ("auth_failed", since.auth_failed),
            ("upstream_refused", since.upstream_refused),
            ("upstream_timeout", since.upstream_timeout),
            ("tls_error", since.tls_error),
            ("limit", since.limit),
        ];
        for (result, value) in results {
            self.count("client_connections_total", &[result], value);
        }
        let setup = &proxy.setup;
        for (stage, buckets) in [("tcp", &setup.tcp), ("tls", &setup.tls), ("auth", &setup.auth)] {
            self.buckets("connection_setup_seconds", &[stage], &SETUP_BUCKETS_US, buckets, 1e6);
        }
        self.count("cancel_requests_total", &[], proxy.cancel_requests);
    }

    fn losses(&mut self, proxy: &ProxyCounters) {
        let opaque = [
            ("framing", proxy.opaque.framing),
            ("gss", proxy.opaque.gss),
            ("replication", proxy.opaque.replication),
            ("unknown", proxy.opaque.unknown),
            ("memory", proxy.opaque.memory),
            ("bypass", proxy.opaque.bypass),
        ];
        for (reason, value) in opaque {
            self.count("opaque_sessions_total", &[reason], value);
        }
        self.count("events_total", &[], proxy.events);
        let dropped = [
            ("queue_full", proxy.dropped.queue_full),
            ("memory_limit", proxy.dropped.memory_limit),
            ("sampled", proxy.dropped.sampled),
            ("analyzer_restart", proxy.dropped.analyzer_restart),
        ];
        for (reason, value) in dropped {
            self.count("events_dropped_total", &[reason], value);
        }
        let overhead = &proxy.overhead;
        let both = [("to_server", &overhead.to_server), ("to_client", &overhead.to_client)];
        for (direction, buckets) in both {
            self.buckets(
                "proxy_overhead_seconds",
                &[direction],
                &OVERHEAD_BUCKETS_NS,
                buckets,
                1e9,
            );
        }
    }

    fn analyzer(&mut self, snapshot: &Snapshot, proxy: &ProxyCounters) {
        self.count("analyzer_queue_batches", &[], proxy.queue_batches);
        self.count("analyzer_queue_batches_max", &[], proxy.queue_batches_max);
        self.count("analyzer_restarts_total", &[], proxy.analyzer_restarts);
        self.count("analyzer_memory_bytes", &[], snapshot.memory.held_bytes);
        self.count("analyzer_memory_bytes_max", &[], snapshot.memory.max_bytes);
        self.count("analyzer_sheds_total", &[], snapshot.memory.sheds);
        self.count("digests", &[], snapshot.digests_tracked as u64);
        self.count("digests_max", &[], snapshot.digests_max as u64);
        for (table, value) in &snapshot.overflow {
            self.count("label_overflow_total", &[table], *value);
        }
    }

    fn identity(&mut self, proxy: &ProxyCounters) {
        for mode in Mode::ALL {
            self.count("profiling_mode", &[mode.name()], u64::from(mode == proxy.mode));
        }
        let successful = u64::from(proxy.reload_successful);
        self.count("config_last_reload_successful", &[], successful);
        let at_s = proxy.reload_success_unix_s;
        self.count("config_last_reload_success_timestamp_seconds", &[], at_s);
        self.count("capture_written_bytes_total", &[], proxy.capture.written_bytes);
        self.count("capture_errors_total", &[], proxy.capture.errors);
        for of in &proxy.exports {
            self.count("export_rows_total", &[of.exporter], of.rows);
            self.count("export_bytes_total", &[of.exporter], of.bytes);
            self.count("export_failures_total", &[of.exporter], of.failures);
            self.count("export_spool_bytes", &[of.exporter], of.spool_bytes);
            for (reason, rows) in &of.dropped {
                self.count("export_dropped_rows_total", &[of.exporter, reason], *rows);
            }
        }
        for (outcome, count) in &proxy.advisor.explains {
            self.count("advisor_explains_total", &[outcome], *count);
        }
        for (reason, count) in &proxy.advisor.skipped {
            self.count("advisor_skipped_total", &[reason], *count);
        }
        let build = proxy.build;
        self.flag("build_info", &[build.version, build.revision, build.rustc]);
    }
}

impl Sample {
    fn add(&mut self, more: Self) {
        match (self, more) {
            (Self::Number(value), Self::Number(more)) => *value += more,
            (Self::Histogram(buckets, above, sum), Self::Histogram(more, more_above, more_sum)) => {
                for (bucket, extra) in buckets.iter_mut().zip(more) {
                    bucket.1 += extra.1;
                }
                *above += more_above;
                *sum += more_sum;
            }
            // One family has one kind of sample.
            _ => {}
        }
    }
}

fn phases(phases: &Phases) -> [(&'static str, u64); 6] {
    [
        ("queue", phases.queue_us),
        ("first_row", phases.first_row_us),
        ("transfer", phases.transfer_us),
        ("client_stall", phases.client_stall_us),
        ("think_in_transaction", phases.think_in_transaction_us),
        ("think_idle", phases.think_idle_us),
    ]
}
