//! The recent past in steps: of everything, of one digest, and all statements within a time range.

use super::{Sort, StatementQuery, View, digest_text, float, ms, ratio};
use crate::export::clock::TimeRange;
use crate::export::shapes::{List, Other, Rest, Series, SeriesPoint, Statement};
use pgsonde_analyzer::snapshot::{DigestRow, HistoryStep, Point};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps in the trend of a list's item.
const TREND_STEPS: usize = 30;

impl View<'_> {
    /// The recent past of everything, or of one digest.
    pub(crate) fn series(&self, digest: Option<&DigestRow>, range: Option<TimeRange>) -> Series {
        let steps = self.steps(range);
        let point = |step: &HistoryStep| match digest {
            Some(row) => step.point(row.digest, &row.database),
            None => Some(step.all),
        };
        let (from, to) = self.edges(steps);
        Series {
            from,
            to,
            step_s: ms(self.snapshot.history_step_us) / 1e3,
            points: steps.iter().map(|step| self.series_point(step, point(step))).collect(),
        }
    }

    fn series_point(&self, step: &HistoryStep, point: Option<Point>) -> SeriesPoint {
        SeriesPoint {
            ts: self.clock.rfc3339(step.begin_us),
            calls: point.map(|point| point.calls),
            errors: point.map(|point| point.errors),
            rows: point.map(|point| point.rows),
            total_ms: point.map(|point| ms(point.total_us)),
            sent_bytes: point.map(|point| point.sent_bytes),
            p95_ms: point.and_then(|point| point.p95_us).map(ms),
        }
    }

    /// Statement time in each of the latest steps, oldest first; what isn't known counts as none.
    pub(super) fn trend(&self, row: &DigestRow, range: Option<TimeRange>) -> Vec<f64> {
        let steps = self.steps(range);
        let latest = &steps[steps.len().saturating_sub(TREND_STEPS)..];
        let time = |step: &HistoryStep| step.point(row.digest, &row.database);
        latest.iter().map(|step| time(step).map_or(0.0, |point| ms(point.total_us))).collect()
    }

    /// The steps that lie in the range, or reach into it.
    fn steps(&self, range: Option<TimeRange>) -> &[Arc<HistoryStep>] {
        let steps = &*self.snapshot.history;
        let Some(range) = range else { return steps };
        // Edges as they are shown: whoever asks with one of them means this very edge.
        let at = |us: u64| self.clock.unix_us(us) / 1_000 * 1_000;
        let begin = steps.partition_point(|step| at(step.end_us) <= range.from_us);
        let end = steps.partition_point(|step| at(step.begin_us) < range.to_us);
        steps.get(begin..end).unwrap_or(&[])
    }

    /// Begin of the first and end of the last; now where there is none.
    fn edges(&self, steps: &[Arc<HistoryStep>]) -> (String, String) {
        let at = |us: Option<u64>| self.clock.rfc3339(us.unwrap_or(self.snapshot.at_us));
        (at(steps.first().map(|step| step.begin_us)), at(steps.last().map(|step| step.end_us)))
    }

    /// What each digest did in the steps of a range, by its sums there. A step keeps only its costliest digests:
    /// the rest of it, like what no digest has, is in `other`, so that the shares add up.
    pub(super) fn statements_within(
        &self,
        query: &StatementQuery,
        range: TimeRange,
    ) -> List<Statement> {
        let steps = self.steps(Some(range));
        let mut sums: BTreeMap<(u64, &str), Point> = BTreeMap::new();
        let mut all = Point::default();
        for step in steps {
            add(&mut all, &step.all);
            for row in &step.digests {
                add(sums.entry((row.digest, &row.database)).or_default(), &row.point);
            }
        }
        let mut rows: Vec<(&DigestRow, Point)> = self
            .snapshot
            .digests
            .iter()
            .filter(|row| query.wants(row))
            .filter_map(|row| Some((row, *sums.get(&(row.digest, &*row.database))?)))
            .collect();
        let key = |sums: &Point| query.sort.key_within(sums).or(Sort::Time.key_within(sums));
        let key = |sums: &Point| key(sums).unwrap_or_default();
        rows.sort_by(|(_, a), (_, b)| key(b).total_cmp(&key(a)));
        let (total, inside) = (rows.len(), query.page.range(rows.len()));
        let shown = &rows[inside];
        let rest = rest_of(&all, shown.iter().map(|(_, sums)| sums));
        let items = shown.iter().map(|(row, sums)| self.within(row, sums, &all, range)).collect();
        let (from, to) = self.edges(steps);
        let next_cursor = query.page.next(total);
        let other = Other { digests: rest, indivisible_batches: Rest::default() };
        List { from, to, next_cursor, ..self.list(items, Some(other), total) }
    }

    /// A statement by its sums within a range; what these don't say is null or 0.
    fn within(&self, row: &DigestRow, sums: &Point, all: &Point, range: TimeRange) -> Statement {
        let calls = float(sums.calls);
        Statement {
            digest: digest_text(row.digest),
            calls: sums.calls,
            calls_per_unit_max: 0,
            batch_members: 0,
            total_ms: ms(sums.total_us),
            share: ratio(float(sums.total_us), float(all.total_us)).unwrap_or(0.0),
            mean_ms: ratio(ms(sums.total_us), calls),
            p95_ms: sums.p95_us.map(ms),
            min_ms: None,
            p50_ms: None,
            p99_ms: None,
            max_ms: None,
            stddev_ms: None,
            variance_to_mean: None,
            first_row_p50_ms: None,
            transfer_p50_ms: None,
            rows: sums.rows,
            rows_per_call: ratio(float(sums.rows), calls),
            sent_bytes: sums.sent_bytes,
            received_bytes: sums.received_bytes,
            errors: sums.errors,
            transfer_share: None,
            trend: self.trend(row, Some(range)),
            ..self.statement(row, 0)
        }
    }
}

/// Sums add up; of the quantiles the largest stays.
fn add(sum: &mut Point, more: &Point) {
    sum.calls += more.calls;
    sum.errors += more.errors;
    sum.rows += more.rows;
    sum.total_us += more.total_us;
    sum.received_bytes += more.received_bytes;
    sum.sent_bytes += more.sent_bytes;
    sum.p95_us = sum.p95_us.max(more.p95_us);
}

/// Everything but what is shown.
fn rest_of<'a>(all: &Point, shown: impl Iterator<Item = &'a Point>) -> Rest {
    let mut known = Point::default();
    shown.for_each(|sums| add(&mut known, sums));
    let total_us = all.total_us.saturating_sub(known.total_us);
    Rest {
        calls: all.calls.saturating_sub(known.calls),
        total_ms: ms(total_us),
        share: ratio(float(total_us), float(all.total_us)).unwrap_or(0.0),
        rows: all.rows.saturating_sub(known.rows),
        errors: all.errors.saturating_sub(known.errors),
        sent_bytes: all.sent_bytes.saturating_sub(known.sent_bytes),
        received_bytes: all.received_bytes.saturating_sub(known.received_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::api::Page;
    use crate::export::fixture::{self, clock};
    use pgsonde_analyzer::snapshot::{DigestPoint, Snapshot};
    use serde_json::{Value, json, to_value};

    fn shown<T: serde::Serialize>(
        snapshot: &Snapshot,
        render: impl FnOnce(&View<'_>) -> T,
    ) -> Value {
        let view = View { snapshot, proxy: &fixture::counters(), clock: clock() };
        to_value(render(&view)).expect("plain data")
    }

    fn step(
        begin_us: u64,
        all_calls: u64,
        digests: Vec<DigestPoint>,
        cut: bool,
    ) -> Arc<HistoryStep> {
        let all = Point { calls: all_calls, ..Point::default() };
        Arc::new(HistoryStep { begin_us, end_us: begin_us + 5_000_000, all, digests, cut })
    }

    #[test]
    fn a_series_tells_nothing_from_not_known() {
        let point = Point { calls: 3, total_us: 4_000, p95_us: Some(1_500), ..Point::default() };
        let items = DigestPoint { digest: 0x9f2c_0000_0000_0001, database: "shop".into(), point };
        let mut snapshot = fixture::snapshot();
        snapshot.history_step_us = 5_000_000;
        snapshot.history = [
            step(0, 3, vec![items], false),
            step(5_000_000, 0, vec![], false),
            step(10_000_000, 9, vec![], true),
        ]
        .into();
        let one =
            shown(&snapshot, |view| view.series(view.digest(0x9f2c_0000_0000_0001, None), None));
        let points = one["points"].as_array().expect("points");
        let column =
            |name: &str| points.iter().map(|point| point[name].clone()).collect::<Vec<_>>();
        assert_eq!(column("calls"), [json!(3), json!(0), Value::Null]);
        assert_eq!(column("p95_ms"), [json!(1.5), Value::Null, Value::Null]);
        assert_eq!(one["step_s"], 5.0);
        let all = shown(&snapshot, |view| view.series(None, None));
        assert_eq!(all["points"][2]["calls"], 9);
        assert_eq!(all["to"], "2025-06-01T12:00:15.000Z");
        let trend = shown(&snapshot, |view| view.trend(&view.snapshot.digests[0], None));
        assert_eq!(trend, json!([4.0, 0.0, 0.0]));
    }

    #[test]
    fn a_time_range_adds_up_its_steps_and_no_others() {
        let point = |calls: u64, total_us: u64, p95_us: u64| {
            let p95_us = Some(p95_us);
            Point { calls, total_us, rows: calls * 2, sent_bytes: 10, p95_us, ..Point::default() }
        };
        let of = |digest: u64, point: Point| DigestPoint { digest, database: "shop".into(), point };
        let (items, logs) = (0x9f2c_0000_0000_0001, 2);
        let mut snapshot = fixture::snapshot();
        snapshot.history_step_us = 5_000_000;
        let mut steps = [
            (0, vec![of(items, point(100, 900_000, 9_000))]),
            (5, vec![of(logs, point(3, 1_000, 400)), of(items, point(4, 6_000, 2_000))]),
            (10, vec![of(items, point(6, 2_000, 1_000))]),
        ]
        .map(|(second, digests)| (*step(second * 1_000_000, 20, digests, true)).clone());
        steps.iter_mut().for_each(|step| step.all.total_us = 10_000);
        snapshot.history = steps.map(Arc::new).into_iter().collect();
        let from_us = clock().unix_us(5_000_000);
        let range = TimeRange { from_us, to_us: u64::MAX };
        let query = |limit| StatementQuery {
            range: Some(range),
            ..StatementQuery::costliest(Page::first(limit))
        };
        let list = shown(&snapshot, |view| view.statements(&query(9)));
        let first = &list["items"][0];
        assert_eq!((&first["calls"], &first["total_ms"]), (&json!(10), &json!(8.0)));
        assert_eq!((&first["mean_ms"], &first["p95_ms"]), (&json!(0.8), &json!(2.0)));
        assert_eq!((&first["p99_ms"], &first["sent_bytes"]), (&Value::Null, &json!(20)));
        assert_eq!((&first["share"], &first["trend"]), (&json!(0.4), &json!([6.0, 2.0])));
        assert_eq!(list["items"][1]["digest"], "0000000000000002");
        let rest = &list["other"]["digests"];
        assert_eq!((&rest["calls"], &rest["total_ms"]), (&json!(27), &json!(11.0)));
        assert_eq!(list["from"], "2025-06-01T12:00:05.000Z");
        let one = shown(&snapshot, |view| view.statements(&query(1)));
        assert_eq!((&one["total"], &one["other"]["digests"]["calls"]), (&json!(2), &json!(30)));
        let before = TimeRange { from_us: 0, to_us: clock().unix_us(5_000_000) };
        let series = shown(&snapshot, |view| view.series(None, Some(before)));
        assert_eq!(series["points"].as_array().map(Vec::len), Some(1));
        let none = TimeRange { from_us: from_us * 2, to_us: u64::MAX };
        let series = shown(&snapshot, |view| view.series(None, Some(none)));
        assert_eq!(series["points"], json!([]));
    }
}
