//! What each key means, and whether a reload (SIGHUP) takes it over: for the sample file, the schema and the log.

/// Taken over by a reload.
const LIVE: bool = true;
/// Needs a restart.
const RESTART: bool = false;

/// What users read about a key.
pub(crate) struct Meaning {
    pub(crate) key: &'static str,
    /// Whether a reload takes it over.
    pub(crate) live: bool,
    /// One or two sentences.
    pub(crate) text: &'static str,
}

const fn of(key: &'static str, live: bool, text: &'static str) -> Meaning {
    Meaning { key, live, text }
}

/// The meaning of a key.
pub(crate) fn meaning(key: &str) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.key == key)
}

/// Whether a reload takes this key over.
pub(crate) fn is_live(key: &str) -> bool {
    meaning(key).is_some_and(|meaning| meaning.live)
}

/// One line per key.
#[rustfmt::skip]
pub(crate) const MEANINGS: &[Meaning] = &[
    of("proxy.listen", RESTART, "Where applications connect: host:port, unix:/path, or systemd (socket activation); one or a list. A plain address that other machines reach is warned about."),
    of("proxy.upstream", LIVE, "The server: postgresql://host[:port][,host2][?sslmode=&sslrootcert=&sslcert=&sslkey=&sslnegotiation=], without user and password. A change is for new sessions."),
    of("proxy.max_connections", LIVE, "Sessions at once; a client above it gets SQLSTATE 53300."),
    of("proxy.connect_timeout", LIVE, "For TCP and TLS to one host of the server."),
    of("proxy.startup_timeout", LIVE, "For a client's start-up and authentication."),
    of("proxy.startups_per_address", RESTART, "Connections of one address that aren't authenticated yet; loopback and Unix sockets are exempt."),
    of("proxy.idle_timeout", LIVE, "Sessions that are idle outside a transaction for this long are ended; 0s = never. For new sessions."),
    of("proxy.drain_timeout", LIVE, "After SIGTERM sessions get this long to come to an end by themselves; then they are told 57P01 and closed."),
    of("proxy.tcp_keepalive", LIVE, "A peer that is gone is noticed after this long, on both legs; 0s = off. For new sessions."),
    of("proxy.buffer", RESTART, "Read buffer that a worker lends to its sessions; larger messages stream through."),
    of("proxy.tls.cert", LIVE, "PEM file of the certificate shown to clients, with its chain; absent = the leg to the clients is plain."),
    of("proxy.tls.key", LIVE, "PEM file of its private key."),
    of("proxy.tls.client_ca", LIVE, "PEM file of the roots that client certificates must come from; absent = none are asked for."),
    of("proxy.tls.auth", RESTART, "SCRAM channel binding where both legs have TLS: passthrough (clients need channel_binding=disable), or same-certificate (pgsonde shows the server's own certificate, which is checked)."),
    of("proxy.tls.min_version", LIVE, "Lowest version of TLS towards clients."),
    of("proxy.tls.required", LIVE, "Refuse clients without TLS; Unix sockets are exempt."),
    of("proxy.tls.relay", LIVE, "Pass the clients' own TLS on to the server undecrypted; such sessions are not profiled."),
    of("admin.listen", RESTART, "Where page, API and metrics are served. An address that isn't loopback needs admin.token, or admin.api = false."),
    of("admin.token", LIVE, "Where the token is: env:NAME or file:PATH, at least 16 characters. Writes always need it (Authorization: Bearer), reads too where admin.listen isn't loopback; absent = a random one at each start, shown on a terminal only."),
    of("admin.api", RESTART, "false = only /live, /ready and /metrics are served."),
    of("admin.allowed_hosts", LIVE, "Names by which the admin listener may be asked, beside IP addresses and localhost; anything else in Host is refused, which stops DNS rebinding."),
    of("profile.mode", LIVE, "full; counters_only = no new texts, no findings; bypass = bytes are forwarded unseen. Sessions that were bypassed stay so until they end."),
    of("profile.redact", RESTART, "literals = texts without literals and comments; all-text = no texts, and pseudonyms (of a key drawn at each start) in place of every name of the application; off = events and captures also hold texts, parameters and messages of errors as they were sent."),
    of("profile.max_digests", RESTART, "Statement groups tracked; beyond it the cheapest are summed as `other`. An entry is about 8 KiB."),
    of("profile.memory_limit", RESTART, "Bytes of all that the analyzer holds, roughly. Beyond it older texts and examples go first, then what a proof was waiting for, then the cheapest statement groups (into `other`); if that is not enough, nothing but counters is kept until it is."),
    of("profile.queue_batches", RESTART, "Batches (64 statements or 32 KiB of text each) that wait for the analyzer; more are dropped and counted."),
    of("profile.max_statement_text", RESTART, "Longer texts are cut before they are looked at."),
    of("profile.unit_gap", LIVE, "A pause of this length ends a unit of work that has neither a trace id nor a transaction."),
    of("profile.tags", RESTART, "Keys of SQL comments whose values are kept; all others are dropped. Keys that mean nothing to pgsonde are kept as tags of a statement in events."),
    of("profile.history", RESTART, "How far back the history in memory reaches."),
    of("profile.history_step", RESTART, "Length of one step of the history."),
    of("findings.close_after", LIVE, "A finding that was not seen for this long is resolved."),
    of("findings.disable", LIVE, "Kinds of findings that are not reported."),
    of("findings.mutes", LIVE, "File in which mutes stand, and are written when they are made over the API."),
    of("findings.n_plus_one.min_repeats", LIVE, "Distinct values of one result that must come back as parameters."),
    of("findings.n_plus_one.result_rows", RESTART, "Rows of a result whose key-like cells are hashed, so that later statements can be traced to them."),
    of("findings.n_plus_one.result_ring", RESTART, "Results that are remembered per session for that."),
    of("findings.n_plus_one.require_proof", LIVE, "true = only loops whose values are proved to come from an earlier result; no looped_lookup."),
    of("findings.missing_index.enabled", LIVE, "Whether missing indexes are looked for; false also ends the side connection."),
    of("findings.missing_index.side_connection", LIVE, "Where the URL of a read-only role is: env:NAME or file:PATH. With it, suspects are checked against catalogue and planner: at most 2 EXPLAINs a second of at most 2 s, never ANALYZE; absent = suspects only, without DDL."),
    of("findings.missing_index.capture_values", LIVE, "Up to three sets of real values per statement, in memory only, for EXPLAIN; false = plans with common values of the statistics, and nothing is verified."),
    of("findings.missing_index.statistics_values", LIVE, "What is read of the server's statistics: with the values of tables that they hold (full), or counts, widths and frequencies alone (none: a shadow is not made, for it could prove nothing)."),
    of("findings.missing_index.what_if", LIVE, "Where candidate indexes are planned: in a private scratch server without rows (shadow), on the target by its extension HypoPG (hypopg), or nowhere (off: advice is estimated)."),
    of("findings.missing_index.shadow_bin_dir", LIVE, "Folder of initdb and postgres of the server's major version; absent = found by itself."),
    of("findings.missing_index.shadow_dir", LIVE, "Folder to make the scratch server in; absent = the runtime folder."),
    of("findings.missing_index.shadow_user", LIVE, "Account that the scratch server runs as where pgsonde runs as root."),
    of("findings.missing_index.budget_bytes", LIVE, "All advised indexes together; absent = a tenth of the tables, at least 256 MiB."),
    of("findings.missing_index.explains_max", LIVE, "EXPLAINs of one run in the scratch server."),
    of("findings.missing_index.allow_powerful_role", LIVE, "true = also use a role that is a superuser or owns tables."),
    of("findings.looped_lookup.executions_min", LIVE, "Executions of the look-up in a row."),
    of("findings.looped_lookup.think_max", LIVE, "Longest pause between two of them."),
    of("findings.looped_lookup.rows_max", LIVE, "Most rows that one of them returns."),
    of("findings.looped_lookup.warning_n_min", LIVE, "Executions from which it is a warning."),
    of("findings.write_loop.executions_min", LIVE, "Writes of one row each, in a row."),
    of("findings.write_loop.think_max", LIVE, "Longest pause between two of them outside a transaction."),
    of("findings.upsert_loop.iterations_min", LIVE, "Pairs of a read and the write that it decides."),
    of("findings.savepoint_loop.repeats_min", LIVE, "Statements in a savepoint of their own, in a row."),
    of("findings.duplicate_query.repeats_min", LIVE, "Equal reads with equal values in one unit of work."),
    of("findings.duplicate_query.warning_repeats_min", LIVE, "Repeats from which it is a warning."),
    of("findings.tiny_fetch.rows_max", LIVE, "Most rows that one fetch of the cursor brings."),
    of("findings.tiny_fetch.fetches_min", LIVE, "Fetches of that cursor."),
    of("findings.sequential_independent.reads_min", LIVE, "Reads one after another that don't depend on each other."),
    of("findings.sequential_independent.service_min", LIVE, "Shortest time of such a read at the server."),
    of("findings.sequential_independent.saved_min", LIVE, "Least time that running them at once would save."),
    of("findings.sequential_independent.think_max", LIVE, "Longest pause between two of them."),
    of("findings.count_every_page.sightings_min", LIVE, "Pages that were counted before they were read."),
    of("findings.count_every_page.service_min", LIVE, "Shortest time of such a count at the server."),
    of("findings.polling.executions_min", LIVE, "Executions at even intervals."),
    of("findings.polling.jitter_max", LIVE, "How far the intervals may differ from their median."),
    of("findings.polling.empty_min", LIVE, "Share of the executions that brought nothing."),
    of("findings.transactions.idle_warning", LIVE, "Idle inside a transaction: a warning from here on."),
    of("findings.transactions.idle_error", LIVE, "Idle inside a transaction: an error from here on."),
    of("findings.transactions.long_warning", LIVE, "Open transaction: a warning from here on."),
    of("findings.transactions.long_error", LIVE, "Open transaction: an error from here on."),
    of("findings.connection_churn.statements_median_max", LIVE, "Median of statements per connection of a client that connects too often."),
    of("findings.connection_churn.connects_per_min_min", LIVE, "Its connections per minute."),
    of("findings.tx_chatter.share_min", LIVE, "Share of round trips that only begin, end or set something."),
    of("findings.tx_chatter.round_trips_min", LIVE, "Round trips from which that is judged."),
    of("findings.tx_chatter.warning_time_share", LIVE, "Share of the time that makes it a warning."),
    of("findings.results.rows", LIVE, "Rows of an unbounded result."),
    of("findings.results.bytes", LIVE, "Bytes of an unbounded result."),
    of("findings.results.column_share", LIVE, "Share of a result's bytes that makes a column heavy."),
    of("findings.wide_fetch.bytes_min", LIVE, "Bytes of a result whose columns are judged."),
    of("findings.wide_fetch.sightings_min", LIVE, "Such results of one statement."),
    of("findings.deep_offset.offset_min", LIVE, "Rows skipped from which OFFSET is deep."),
    of("findings.deep_offset.rank_min", LIVE, "How clearly time must grow with the offset (rank correlation)."),
    of("findings.deep_offset.samples_min", LIVE, "Executions from which that is judged."),
    of("findings.cartesian_explosion.rows_min", LIVE, "Rows of a multiplied join."),
    of("findings.cartesian_explosion.blowup_min_percent", LIVE, "Rows returned in percent of the rows that carry information."),
    of("findings.cartesian_explosion.product_share_min", LIVE, "Share of the parents whose rows are the full product of their children."),
    of("findings.large_in_list.elements_min", LIVE, "Elements of a huge list."),
    of("findings.large_in_list.binds_min", LIVE, "Parameters of one statement; the protocol's limit is 65535."),
    of("findings.in_list_churn.texts_min", LIVE, "Texts of one statement that differ only in the length of a list."),
    of("findings.statement_churn.share_min", LIVE, "Share of executions whose text was never seen before."),
    of("findings.statement_churn.executions_min", LIVE, "Executions from which that is judged."),
    of("findings.lock_hazard.rows_min", LIVE, "Rows of a table, as far as seen, from which a lock on it is a risk."),
    of("findings.lock_hazard.held_error", LIVE, "A lock held for this long is an error."),
    of("findings.lock_hazard.held_warning", LIVE, "A lock held for this long is a warning."),
    of("findings.sql_smell.service_min", LIVE, "Shortest time at the server of a statement whose form is worth a word."),
    of("findings.sql_smell.per_hour_min", LIVE, "Or executions an hour."),
    of("metrics.pairs", RESTART, "(database, service) pairs with series of their own; more are summed as `other`."),
    of("metrics.statement_sets", RESTART, "(database, service, operation) sets with series of their own."),
    of("metrics.error_sets", RESTART, "(database, service, SQLSTATE class) sets with series of their own."),
    of("metrics.digests", RESTART, "Statement groups with series of their own."),
    of("metrics.digest_histograms", RESTART, "true = their times as histograms too, 11 series each."),
    of("metrics.routes", RESTART, "(service, route) pairs with series of their own."),
    of("metrics.findings", RESTART, "Findings with a series of their own, costliest first."),
    of("capture.dir", RESTART, "Folder of the capture files (.ndjson.zst, mode 0600); absent = no capture."),
    of("capture.flush_interval", LIVE, "Time after which what was captured is written as one frame; a crash loses at most this much."),
    of("capture.rotate", LIVE, "Size from which the next capture file is begun."),
    of("capture.max_size", LIVE, "Size of all capture files together; the oldest is deleted first. At least twice `capture.rotate`."),
    of("capture.level", LIVE, "Compression level of zstd."),
    of("capture.sample", LIVE, "Share of the units of work that are captured, whole ones; counters are never sampled."),
    of("capture.events", LIVE, "Kinds of lines that are captured; absent = all."),
    of("export.clickhouse.url", RESTART, "ClickHouse over HTTP: http(s)://[user@]host[:8123][/database]; absent = no export. `pgsonde clickhouse init` makes the tables."),
    of("export.clickhouse.password", RESTART, "Where its password is: env:NAME or file:PATH; absent = none."),
    of("export.clickhouse.spool", RESTART, "Folder of this proxy alone in which batches wait until the store has them, also over a restart."),
    of("export.clickhouse.spool_max", RESTART, "Size of all waiting batches; what comes beyond is dropped and counted."),
    of("export.clickhouse.batch_rows", RESTART, "Rows from which a batch leaves."),
    of("export.clickhouse.batch_interval", RESTART, "Time after which a smaller batch leaves."),
    of("export.clickhouse.sample", RESTART, "Share of the units of work that are exported, whole ones; counters are never sampled."),
    of("export.clickhouse.events", RESTART, "Kinds of lines that are exported; absent = all."),
    of("export.otlp.url", RESTART, "OpenTelemetry over HTTP, what v1/metrics, v1/traces and v1/logs are below: http(s)://host[:4318][/path]; absent = no export."),
    of("export.otlp.headers", RESTART, "Where headers of its requests are, name=value,name=value: env:NAME or file:PATH; absent = none."),
    of("export.otlp.interval", RESTART, "Time between two exports of the histograms; spans and logs leave after a second."),
    of("export.otlp.sample", RESTART, "Share of the units of work whose spans are exported, whole ones. Units with a traceparent follow its sampled flag instead."),
    of("export.otlp.slow", RESTART, "Units of work that take this long are exported in any case."),
    of("log.level", LIVE, "Least severe events of the log on stderr; PGSONDE_LOG sets a filter instead."),
    of("log.format", LIVE, "text, or json: one object per line."),
];

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn every_key_has_one_meaning_and_every_meaning_a_key() {
        for key in keys::all() {
            let meanings = MEANINGS.iter().filter(|meaning| meaning.key == key.name).count();
            assert_eq!(meanings, 1, "{} needs one line in MEANINGS", key.name);
        }
        for meaning in MEANINGS {
            assert!(keys::find(meaning.key).is_some(), "{} is no key", meaning.key);
            assert!(meaning.text.ends_with('.') && meaning.text.len() < 300, "{}", meaning.key);
        }
    }
}
