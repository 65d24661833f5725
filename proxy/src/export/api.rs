//! Snapshot and counters to the API's shapes. Page and report read the shapes, never the snapshot.

mod activity;
mod flame;
mod history;
mod query;
mod report;
mod units;

pub(crate) use flame::FlameLevel;
pub(crate) use query::{FindingQuery, Page, Sort, StatementQuery};
pub(crate) use units::{RouteSort, TransactionSort};

use super::clock::Clock;
use super::shapes::{
    Books, Bucket, Child, Connections, Cost, Example, ExportInfo, Finding, Fix, HASH_VERSION,
    Health, Info, List, Loss, MarkSightings, Other, OverheadInfo, OwnUseInfo, Parent, PhasesMs,
    Rest, RouteSightings, SCHEMA, SetupInfo, Severities, Source, SqlState, Statement,
    StatementDetail, Summary, UpstreamInfo, evidence_json,
};
use super::status::{Lifecycle, OVERHEAD_BUCKETS_NS, ProxyCounters, SETUP_BUCKETS_US};
use pgsonde_analyzer::finding;
use pgsonde_analyzer::snapshot::{
    Buckets, DigestRow, DigestTotals, Phases, ROW_BUCKETS_US, Snapshot, SourceRow,
};

/// One moment, ready to be rendered.
pub(crate) struct View<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) proxy: &'a ProxyCounters,
    pub(crate) clock: Clock,
}

/// A 64-bit digest as 16 hex.
pub(crate) fn digest_text(digest: u64) -> String {
    format!("{digest:016x}")
}

/// A 48-bit finding id as 12 hex.
pub(crate) fn finding_text(id: u64) -> String {
    format!("{:012x}", id & 0xffff_ffff_ffff)
}

#[allow(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}

fn ms(us: u64) -> f64 {
    float(us) / 1e3
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// `/live` and `/ready`; `reasons` is empty exactly where `/ready` says yes.
pub(crate) fn health(proxy: &ProxyCounters) -> Health {
    let mut reasons = Vec::new();
    if proxy.lifecycle != Lifecycle::Ready {
        reasons.push(proxy.lifecycle.name().to_owned());
    }
    if !proxy.upstream.ok {
        let why = proxy.upstream.last_error.as_deref().unwrap_or("not reached yet");
        reasons.push(format!("upstream {}:{}: {why}", proxy.upstream.host, proxy.upstream.port));
    }
    Health {
        state: proxy.lifecycle.name().to_owned(),
        mode: proxy.mode.name().to_owned(),
        upstream_ok: proxy.upstream.ok,
        reasons,
    }
}

/// How sure it is that an index is missing.
fn tier(finding: &finding::Finding) -> Option<&str> {
    let is_index = finding.kind == finding::Kind::MissingIndex;
    is_index.then(|| finding.variant.unwrap_or("suspect"))
}

/// The statements that build the index, if it is advised in this tier.
fn ddl_of(finding: &finding::Finding, tier: &str) -> Option<String> {
    let is_of = finding.kind == finding::Kind::MissingIndex && finding.variant == Some(tier);
    finding.fix.sql.clone().filter(|_| is_of)
}

impl View<'_> {
    pub(crate) fn loss(&self) -> Loss {
        Loss {
            events: self.proxy.events,
            dropped: self.proxy.dropped.total(),
            opaque_sessions: self.proxy.opaque.total(),
        }
    }

    pub(crate) fn info(&self) -> Info {
        let proxy = self.proxy;
        let upstream = UpstreamInfo {
            host: proxy.upstream.host.clone(),
            port: proxy.upstream.port,
            tls: proxy.upstream.tls.clone(),
            connect_ms: proxy.upstream.connect_us.map(ms),
        };
        Info {
            version: proxy.build.version.to_owned(),
            revision: proxy.build.revision.to_owned(),
            uptime_s: proxy.uptime_s,
            mode: proxy.mode.name().to_owned(),
            redact: proxy.redaction.name().to_owned(),
            schema: SCHEMA,
            hash_version: HASH_VERSION,
            upstreams: vec![upstream],
            limits: proxy.limits.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            overhead: OverheadInfo {
                p50_us: self.overhead_quantile_us(0.50),
                p99_us: self.overhead_quantile_us(0.99),
            },
            setup: self.setup(),
            own_use: proxy
                .own_use
                .map(|own| OwnUseInfo { cpu_s: own.cpu_s, resident_bytes: own.resident_bytes }),
            loss: self.loss(),
            exports: proxy.exports.iter().map(ExportInfo::from).collect(),
            advisor: (&proxy.advisor).into(),
        }
    }

    /// Stages that connections went through.
    fn setup(&self) -> Vec<SetupInfo> {
        let setup = &self.proxy.setup;
        let stages = [("tcp", &setup.tcp), ("tls", &setup.tls), ("auth", &setup.auth)];
        let went = stages.into_iter().filter(|(_, buckets)| buckets.count() > 0);
        let stage = |(stage, buckets): (&str, &Buckets<10>)| {
            let wanted = float(buckets.count()) * 0.95;
            let mut seen = 0;
            let mut bounds = SETUP_BUCKETS_US.iter().zip(&buckets.counts);
            let within = bounds.find(|(_, count)| {
                seen += **count;
                float(seen) >= wanted
            });
            SetupInfo {
                stage: stage.to_owned(),
                connections: buckets.count(),
                mean_ms: float(buckets.sum) / float(buckets.count()) / 1e3,
                p95_ms: within.map(|(bound, _)| ms(*bound)),
            }
        };
        went.map(stage).collect()
    }

    /// Upper bound of the bucket in which the quantile lies; unknown above the last bound.
    fn overhead_quantile_us(&self, quantile: f64) -> Option<f64> {
        let overhead = &self.proxy.overhead;
        let all = overhead.to_server.count() + overhead.to_client.count();
        let wanted = float(all) * quantile;
        let mut seen = 0;
        for (index, bound) in OVERHEAD_BUCKETS_NS.iter().enumerate() {
            seen += overhead.to_server.counts[index] + overhead.to_client.counts[index];
            if all > 0 && float(seen) >= wanted {
                return Some(float(*bound) / 1e3);
            }
        }
        None
    }

    pub(crate) fn summary(&self) -> Summary {
        let snapshot = self.snapshot;
        let wall_s = float(snapshot.at_us) / 1e6;
        let rate = |value: f64| if wall_s > 0.0 { value / wall_s } else { 0.0 };
        let phases = snapshot.phases;
        let active_us = phases.statement_us() + phases.think_in_transaction_us;
        let timed = snapshot.latency.count > 0;
        let known = |us: u64| timed.then(|| ms(us));
        Summary {
            from: self.clock.rfc3339(0),
            to: self.clock.rfc3339(snapshot.at_us),
            statements_per_s: rate(float(snapshot.books.statements)),
            error_share: self.error_share(),
            p50_ms: known(snapshot.latency.p50_us),
            p95_ms: known(snapshot.latency.p95_us),
            p99_ms: known(snapshot.latency.p99_us),
            active_statements: rate(float(active_us) / 1e6),
            phases_ms: phases_ms(&phases),
            avoidable_ms_per_day: self.avoidable_ms_per_day(),
            connections: Connections {
                active: self.proxy.client_connections.active,
                idle: self.proxy.client_connections.idle,
                idle_in_transaction: self.proxy.client_connections.idle_in_transaction,
            },
            findings: self.severities(),
            books: self.books(),
            routes: snapshot.routes.iter().map(|row| self.route(row)).collect(),
        }
    }

    fn error_share(&self) -> Option<f64> {
        let failed: u64 = self.snapshot.sets.iter().map(|s| s.outcomes[1] + s.outcomes[2]).sum();
        let all: u64 = self.snapshot.sets.iter().flat_map(|s| s.outcomes).sum();
        ratio(float(failed), float(all))
    }

    fn open_findings(&self) -> impl Iterator<Item = &finding::Finding> {
        self.snapshot.findings.iter().filter(|f| f.state == finding::State::Open)
    }

    /// Least that the proved, open findings cost a day; unknown while none of them has a rate.
    fn avoidable_ms_per_day(&self) -> Option<f64> {
        let proved: Vec<_> = self.open_findings().filter(|f| f.proof.is_proved()).collect();
        let known: Vec<f64> = proved.iter().filter_map(|f| f.cost.saved_low_ms_per_hour).collect();
        (proved.is_empty() || !known.is_empty()).then(|| known.iter().sum::<f64>() * 24.0)
    }

    fn severities(&self) -> Severities {
        let mut counts = Severities::default();
        for finding in self.open_findings() {
            match finding.severity {
                finding::Severity::Error => counts.error += 1,
                finding::Severity::Warning => counts.warning += 1,
                finding::Severity::Info => counts.info += 1,
            }
        }
        counts
    }

    fn books(&self) -> Books {
        let books = &self.snapshot.books;
        Books {
            statements: books.statements,
            exact: books.exact,
            bound: books.bound,
            batch_members: books.batch_members,
            empty: books.empty,
            aborted: books.aborted,
            untracked: books.untracked,
            other: books.other,
            skipped: books.skipped,
        }
    }

    /// One page of `rows`, rendered.
    fn paged<R, T>(&self, rows: Vec<R>, page: Page, shown: impl FnMut(R) -> T) -> List<T> {
        let total = rows.len();
        let items = rows.into_iter().skip(page.offset).take(page.limit).map(shown).collect();
        List { next_cursor: page.next(total), ..self.list(items, None, total) }
    }

    fn list<T>(&self, items: Vec<T>, other: Option<Other>, total: usize) -> List<T> {
        List {
            from: self.clock.rfc3339(0),
            to: self.clock.rfc3339(self.snapshot.at_us),
            items,
            other,
            total: total as u64,
            next_cursor: None,
            loss: self.loss(),
        }
    }

    /// Statement time of everything, to which all shares refer.
    fn total_us(&self) -> u64 {
        let digests: u64 =
            self.snapshot.digests.iter().map(|d| d.totals.phases.statement_us()).sum();
        digests
            + self.snapshot.other.phases.statement_us()
            + self.snapshot.indivisible_batches.phases.statement_us()
    }

    /// The costliest `limit` digests (of one database) in the given order; the rest is in `other`.
    pub(crate) fn statements(&self, query: &StatementQuery) -> List<Statement> {
        if let Some(range) = query.range {
            return self.statements_within(query, range);
        }
        let (rows, other, total) = self.chosen(query);
        let total_us = self.total_us();
        let items = rows.iter().map(|row| self.statement(row, total_us)).collect();
        List { next_cursor: query.page.next(total), ..self.list(items, Some(other), total) }
    }

    fn chosen(&self, query: &StatementQuery) -> (Vec<&DigestRow>, Other, usize) {
        let wanted = |row: &&DigestRow| query.wants(row);
        let mut rows: Vec<&DigestRow> = self.snapshot.digests.iter().filter(wanted).collect();
        let total = rows.len();
        // Stable: equal keys stay in the order of the snapshot, costliest first.
        rows.sort_by(|a, b| query.sort.key(b).total_cmp(&query.sort.key(a)));
        // Another database's rows are not this list's rest; what has no database is.
        let mut rest = self.snapshot.other;
        let inside = query.page.range(total);
        let left_out = rows.iter().enumerate().filter(|(at, _)| !inside.contains(at));
        left_out.for_each(|(_, row)| add(&mut rest, &row.totals));
        let total_us = self.total_us();
        let other = Other {
            digests: summed(&rest, total_us),
            indivisible_batches: summed(&self.snapshot.indivisible_batches, total_us),
        };
        (rows[inside].to_vec(), other, total)
    }

    /// The row of a digest, in one database or wherever it is costliest.
    pub(crate) fn digest(&self, digest: u64, database: Option<&str>) -> Option<&DigestRow> {
        self.snapshot.digests.iter().find(|row| {
            row.digest == digest && database.is_none_or(|database| *row.database == *database)
        })
    }

    pub(crate) fn statement_detail(
        &self,
        digest: u64,
        database: Option<&str>,
    ) -> Option<StatementDetail> {
        let row = self.digest(digest, database)?;
        Some(self.detail(row, self.statement(row, self.total_us())))
    }

    fn detail(&self, row: &DigestRow, item: Statement) -> StatementDetail {
        StatementDetail {
            item,
            histogram: histogram(row),
            phases_ms: phases_ms(&row.totals.phases),
            columns: activity::columns(row),
            routes: routes_of(row),
            hygiene: activity::hygiene_of(row),
            plan: self.known_plan(row),
            index_advice: self.index_advice(row),
        }
    }

    /// What the index advisor said of the statement's missing index, if it looked.
    fn index_advice(&self, row: &DigestRow) -> Option<serde_json::Value> {
        let advised = self.advised(row)?;
        let finding = self.finding(advised);
        Some(serde_json::json!({
            "finding": finding.id,
            "tier": finding.tier,
            "state": finding.state,
            "sentence": finding.sentence,
            "ddl": finding.ddl.or(finding.proposed_ddl),
        }))
    }

    /// The plan without the index, as far as the planner was asked for it.
    fn known_plan(&self, row: &DigestRow) -> Option<serde_json::Value> {
        let evidence = &self.advised(row)?.evidence;
        evidence
            .iter()
            .find(|(name, _)| *name == "plan_before")
            .map(|(_, plan)| evidence_json(plan))
    }

    fn advised(&self, row: &DigestRow) -> Option<&finding::Finding> {
        let of_row = |found: &&finding::Finding| {
            found.kind == finding::Kind::MissingIndex && row.findings.contains(&found.id)
        };
        self.snapshot.findings.iter().find(of_row)
    }

    fn statement(&self, row: &DigestRow, total_us: u64) -> Statement {
        let (totals, latency) = (&row.totals, &row.latency);
        let busy_us = totals.phases.statement_us();
        let timed = latency.count > 0;
        let known = |us: u64| timed.then(|| ms(us));
        let mean = mean_ms(row);
        let stddev = timed.then_some(latency.stddev_us / 1e3);
        Statement {
            digest: digest_text(row.digest),
            database: row.database.to_string(),
            summary: row.summary.to_string(),
            operation: row.operation.name().to_owned(),
            query_text: row.query_text.to_string(),
            query_text_cut: row.cut,
            parsed: row.parsed,
            query_id: row.query_id.map(|id| id.to_string()),
            tables: row.tables.iter().map(ToString::to_string).collect(),
            calls: totals.calls,
            calls_per_unit_max: row.calls_per_unit_max,
            batch_members: totals.batch_members,
            total_ms: ms(busy_us),
            share: ratio(float(busy_us), float(total_us)).unwrap_or(0.0),
            mean_ms: mean,
            min_ms: known(latency.min_us),
            p50_ms: known(latency.p50_us),
            p95_ms: known(latency.p95_us),
            p99_ms: known(latency.p99_us),
            max_ms: known(latency.max_us),
            stddev_ms: stddev,
            variance_to_mean: stddev.zip(mean).and_then(|(dev, mean)| ratio(dev * dev, mean)),
            first_row_p50_ms: known(row.first_row_p50_us),
            transfer_p50_ms: known(row.transfer_p50_us),
            rows: totals.rows,
            rows_per_call: ratio(float(totals.rows), float(totals.calls)),
            sent_bytes: totals.sent_bytes,
            received_bytes: totals.received_bytes,
            errors: totals.errors,
            sqlstates: row.sqlstates.iter().map(sqlstate).collect(),
            transfer_share: ratio(float(totals.phases.transfer_us), float(busy_us)),
            sources: row.sources.iter().map(source).collect(),
            findings: row.findings.iter().map(|id| finding_text(*id)).collect(),
            trend: self.trend(row, None),
            first_seen: self.clock.rfc3339(row.first_seen_us),
            last_seen: self.clock.rfc3339(row.last_seen_us),
        }
    }

    pub(crate) fn findings(&self, query: &FindingQuery) -> List<Finding> {
        let wanted = |f: &&finding::Finding| {
            let is = |want: &Option<String>, name: &str| want.as_deref().is_none_or(|w| w == name);
            let [first_us, last_us] =
                [f.first_seen_us, f.last_seen_us].map(|us| self.clock.unix_us(us));
            query.range.is_none_or(|range| range.meets(first_us, last_us))
                && is(&query.kind, f.kind.name())
                && is(&query.severity, f.severity.name())
                && is(&query.state, f.state.name())
        };
        let all: Vec<_> = self.snapshot.findings.iter().filter(wanted).collect();
        self.paged(all, query.page, |finding| self.finding(finding))
    }

    pub(crate) fn finding_by_id(&self, id: u64) -> Option<Finding> {
        self.snapshot.findings.iter().find(|finding| finding.id == id).map(|f| self.finding(f))
    }

    fn finding(&self, finding: &finding::Finding) -> Finding {
        let owned = |text: &str| text.to_owned();
        Finding {
            id: finding_text(finding.id),
            kind: owned(finding.kind.name()),
            variant: finding.variant.map(owned),
            severity: owned(finding.severity.name()),
            proof: owned(finding.proof.name()),
            gate: finding.gate.map(owned),
            state: owned(finding.state.name()),
            muted_until: finding
                .mute
                .as_ref()
                .and_then(|mute| mute.until_unix_us)
                .map(super::clock::rfc3339_unix),
            mute_reason: finding.mute.as_ref().map(|mute| mute.reason.to_string()),
            superseded_by: finding.superseded_by.map(finding_text),
            reopened: finding.reopened,
            sentence: finding.sentence.clone(),
            parent: finding.parent.as_ref().map(Parent::from),
            child: finding.child.as_ref().map(Child::from),
            n: finding.n,
            n_median: finding.n_median,
            n_max: finding.n_max,
            rows_median: finding.rows_median,
            sightings: finding.sightings,
            ratio: finding.ratio,
            coverage: finding.coverage,
            explained: finding.explained,
            order: finding.order,
            cost: Cost::from(&finding.cost),
            route: finding.route.as_deref().map(owned),
            routes: finding.routes.iter().map(RouteSightings::from).collect(),
            service: finding.service.to_string(),
            mark: finding.marks.first().map(|(mark, _)| mark.to_string()),
            marks: finding.marks.iter().map(MarkSightings::from).collect(),
            db_name: finding.database.to_string(),
            fix: Fix::from(&finding.fix),
            rule: finding.rule.map(owned),
            column: finding.column.as_deref().map(owned),
            tier: tier(finding).map(owned),
            ddl: ddl_of(finding, "verified"),
            proposed_ddl: ddl_of(finding, "estimated"),
            evidence: finding
                .evidence
                .iter()
                .map(|(name, value)| (owned(name), evidence_json(value)))
                .collect(),
            first_seen: self.clock.rfc3339(finding.first_seen_us),
            last_seen: self.clock.rfc3339(finding.last_seen_us),
            examples: finding.examples.iter().map(|example| self.example(example)).collect(),
        }
    }

    fn example(&self, example: &finding::Example) -> Example {
        Example {
            at: self.clock.rfc3339(example.at_us),
            session: example.session.to_string(),
            unit: None,
            n: example.n,
            rows: example.rows,
            wall_ms: ms(example.wall_us),
        }
    }
}

/// Of the timed executions; where all were members of batches, their total by their number.
fn mean_ms(row: &DigestRow) -> Option<f64> {
    if row.latency.count > 0 {
        return Some(row.latency.mean_us / 1e3);
    }
    let busy_us = row.totals.phases.statement_us();
    (busy_us > 0).then(|| ratio(ms(busy_us), float(row.totals.calls))).flatten()
}

fn phases_ms(phases: &Phases) -> PhasesMs {
    PhasesMs {
        queue: ms(phases.queue_us),
        first_row: ms(phases.first_row_us),
        transfer: ms(phases.transfer_us),
        client_stall: ms(phases.client_stall_us),
        think_in_transaction: ms(phases.think_in_transaction_us),
        think_idle: ms(phases.think_idle_us),
    }
}

fn add(sum: &mut DigestTotals, row: &DigestTotals) {
    sum.calls += row.calls;
    sum.errors += row.errors;
    sum.rows += row.rows;
    sum.received_bytes += row.received_bytes;
    sum.sent_bytes += row.sent_bytes;
    sum.batch_members += row.batch_members;
    sum.phases.queue_us += row.phases.queue_us;
    sum.phases.first_row_us += row.phases.first_row_us;
    sum.phases.transfer_us += row.phases.transfer_us;
    sum.phases.client_stall_us += row.phases.client_stall_us;
}

fn summed(totals: &DigestTotals, total_us: u64) -> Rest {
    let busy_us = totals.phases.statement_us();
    Rest {
        calls: totals.calls,
        total_ms: ms(busy_us),
        share: ratio(float(busy_us), float(total_us)).unwrap_or(0.0),
        rows: totals.rows,
        errors: totals.errors,
        sent_bytes: totals.sent_bytes,
        received_bytes: totals.received_bytes,
    }
}

fn histogram(row: &DigestRow) -> Vec<Bucket> {
    let bounds = ROW_BUCKETS_US.iter().map(|us| Some(ms(*us))).chain([None]);
    bounds.zip(row.buckets).map(|(le_ms, count)| Bucket { le_ms, count }).collect()
}

fn routes_of(row: &DigestRow) -> Vec<String> {
    let mut routes: Vec<String> = Vec::new();
    for source in row.sources.iter().filter(|source| !source.route.is_empty()) {
        if !routes.iter().any(|known| **known == *source.route) {
            routes.push(source.route.to_string());
        }
    }
    routes
}

fn sqlstate((code, count): &([u8; 5], u64)) -> SqlState {
    SqlState { sqlstate: code.escape_ascii().to_string(), count: *count }
}

fn source(row: &SourceRow) -> Source {
    Source {
        user: row.user.to_string(),
        application_name: row.application_name.to_string(),
        route: (!row.route.is_empty()).then(|| row.route.to_string()),
        calls: row.calls,
        total_ms: ms(row.total_us),
    }
}

#[cfg(test)]
mod tests;
