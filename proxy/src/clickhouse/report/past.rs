//! The past in steps, for trends: everything together, and the costliest digests of each step.

use super::{minutes, rows};
use crate::clickhouse::client::{Client, Refusal};
use crate::export::TimeRange;
use pgsonde_analyzer::Sketch;
use pgsonde_analyzer::snapshot::{DigestPoint, HistoryStep, Point, STEP_DIGESTS_MAX, Snapshot};
use serde::Deserialize;
use std::sync::Arc;

/// Steps at most; of longer ranges each is longer.
const STEPS_MAX: u64 = 120;
const MINUTE_US: u64 = 60_000_000;

#[derive(Deserialize)]
struct StepFields {
    step: u64,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    db_name: String,
    /// Digests that ran, where the row is about all of them.
    #[serde(default)]
    ran: u64,
    n_calls: u64,
    n_errors: u64,
    n_rows: u64,
    total_us: u64,
    n_received: u64,
    n_sent: u64,
    bounds: Vec<u64>,
    counts: Vec<u64>,
}

impl StepFields {
    fn point(self) -> Point {
        let values = self.bounds.into_iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let sketch = Sketch { coarse: false, values: values.collect() };
        Point {
            calls: self.n_calls,
            errors: self.n_errors,
            rows: self.n_rows,
            total_us: self.total_us,
            received_bytes: self.n_received,
            sent_bytes: self.n_sent,
            p95_us: (sketch.samples() > 0).then(|| sketch.at(0.95)),
        }
    }
}

/// Puts the past into the snapshot. A step is a minute, or as many whole minutes as the range needs.
pub(super) fn add(
    client: &Client,
    range: TimeRange,
    snapshot: &mut Snapshot,
) -> Result<(), Refusal> {
    let length_us = range.to_us.saturating_sub(range.from_us);
    let step_us = length_us.div_ceil(MINUTE_US).div_ceil(STEPS_MAX).max(1) * MINUTE_US;
    let mut steps: Vec<HistoryStep> = (0..length_us.div_ceil(step_us))
        .map(|step| HistoryStep {
            begin_us: step * step_us,
            end_us: ((step + 1) * step_us).min(length_us),
            ..HistoryStep::default()
        })
        .collect();
    let all =
        format!("{} GROUP BY step", query("uniqExact(digest, db_name) AS ran", range, step_us));
    for fields in rows::<StepFields>(client, &all)? {
        if let Some(step) = steps.get_mut(fields.step as usize) {
            step.cut = fields.ran > STEP_DIGESTS_MAX as u64;
            step.all = fields.point();
        }
    }
    let each = format!(
        "{} GROUP BY step, digest, db_name ORDER BY step, total_us DESC, digest \
         LIMIT {STEP_DIGESTS_MAX} BY step",
        query("digest, db_name", range, step_us)
    );
    for fields in rows::<StepFields>(client, &each)? {
        let Ok(digest) = u64::from_str_radix(&fields.digest, 16) else { continue };
        if let Some(step) = steps.get_mut(fields.step as usize) {
            let database = fields.db_name.as_str().into();
            step.digests.push(DigestPoint { digest, database, point: fields.point() });
        }
    }
    let sorted = |mut step: HistoryStep| {
        step.digests.sort_by_cached_key(|row| (row.digest, row.database.clone()));
        Arc::new(step)
    };
    snapshot.history_step_us = step_us;
    snapshot.history = steps.into_iter().map(sorted).collect();
    Ok(())
}

fn query(who: &str, range: TimeRange, step_us: u64) -> String {
    let (from_s, step_s) = (range.from_us / 1_000_000, step_us / 1_000_000);
    format!(
        "SELECT intDiv(toUInt64(toUnixTimestamp(minute)) - {from_s}, {step_s}) AS step, {who}, \
         sumMerge(calls) AS n_calls, sumMerge(errors) AS n_errors, sumMerge(rows_sum) AS n_rows, \
         sumMerge(queue_us_sum) + sumMerge(first_row_us_sum) + sumMerge(transfer_us_sum) + \
         sumMerge(client_stall_us_sum) AS total_us, \
         sumMerge(received_bytes_sum) AS n_received, sumMerge(sent_bytes_sum) AS n_sent, \
         sumMapMerge(durations) AS d, d.1 AS bounds, d.2 AS counts \
         FROM pgsonde_minutes WHERE {}",
        minutes(range)
    )
}
