//! `db.client.operation.duration`: sums since the start out of a snapshot.

use super::{SCHEMA_URL, Source, scope, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use pgsonde_analyzer::record::Micros;
use pgsonde_analyzer::snapshot::{Buckets, Operation, STATEMENT_BUCKETS_US, SetRow, Snapshot};

/// Bounds that the conventions ask for, in microseconds; all of them are among ours, so nothing is guessed.
const BOUNDS_US: [u64; 9] =
    [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000];

/// Makes the requests, and knows since when the sums are.
#[derive(Debug, Default)]
pub(in crate::otlp) struct Histograms {
    since_us: Micros,
    statements: u64,
    at_us: Micros,
}

impl Histograms {
    /// A request, and its number of points; nothing before the first statement.
    pub(in crate::otlp) fn request(
        &mut self,
        source: &Source,
        snapshot: &Snapshot,
    ) -> Option<(ExportMetricsServiceRequest, u64)> {
        if snapshot.books.statements < self.statements {
            // The capture was reset: other sums, from the last time on.
            self.since_us = self.at_us;
        }
        (self.statements, self.at_us) = (snapshot.books.statements, snapshot.at_us);
        if snapshot.sets.is_empty() {
            return None;
        }
        let span_ns = [source.unix_ns(self.since_us), source.unix_ns(self.at_us)];
        let metrics =
            vec![durations(source, snapshot, span_ns), outcomes(source, snapshot, span_ns)];
        let points = snapshot.sets.len() * 4;
        let scoped = ScopeMetrics { scope: scope(), metrics, schema_url: SCHEMA_URL.to_owned() };
        let resource_metrics = vec![ResourceMetrics {
            resource: source.resource(),
            scope_metrics: vec![scoped],
            schema_url: SCHEMA_URL.to_owned(),
        }];
        Some((ExportMetricsServiceRequest { resource_metrics }, points as u64))
    }
}

fn attributes(source: &Source, set: &SetRow) -> Vec<KeyValue> {
    let mut all = source.common(&set.database, &set.service);
    all.extend(operation(set.operation));
    all
}

/// The operation as SQL spells it; nothing for what is none.
pub(super) fn operation(operation: Operation) -> Option<KeyValue> {
    let name = operation.name().to_ascii_uppercase();
    (operation != Operation::Other).then(|| text("db.operation.name", &name))
}

fn durations(source: &Source, snapshot: &Snapshot, [start, end]: [u64; 2]) -> Metric {
    let point = |set: &SetRow| {
        let counts = merged(&set.duration);
        HistogramDataPoint {
            attributes: attributes(source, set),
            start_time_unix_nano: start,
            time_unix_nano: end,
            count: counts.iter().sum(),
            sum: Some(set.duration.sum as f64 / 1e6),
            bucket_counts: counts,
            explicit_bounds: BOUNDS_US.iter().map(|us| *us as f64 / 1e6).collect(),
            ..HistogramDataPoint::default()
        }
    };
    let histogram = Histogram {
        data_points: snapshot.sets.iter().map(point).collect(),
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
    };
    metric(
        "db.client.operation.duration",
        "Duration of database client operations, as the proxy sees them.",
        "s",
        Data::Histogram(histogram),
    )
}

/// Statements by outcome: a histogram holds only what was timed exactly.
fn outcomes(source: &Source, snapshot: &Snapshot, [start, end]: [u64; 2]) -> Metric {
    let mut data_points = Vec::new();
    for set in &snapshot.sets {
        for (outcome, value) in ["ok", "error", "cancelled"].iter().zip(set.outcomes) {
            let mut attributes = attributes(source, set);
            attributes.push(text("pgsonde.outcome", outcome));
            data_points.push(NumberDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: end,
                value: Some(Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
                ..NumberDataPoint::default()
            });
        }
    }
    let temporality = AggregationTemporality::Cumulative.into();
    let sum = Sum { data_points, aggregation_temporality: temporality, is_monotonic: true };
    metric("pgsonde.statements", "Statements by outcome.", "{statement}", Data::Sum(sum))
}

fn metric(name: &str, description: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// Our buckets by the bounds of the conventions; the last one lies above all bounds.
fn merged(buckets: &Buckets<16>) -> Vec<u64> {
    let mut counts = vec![0; BOUNDS_US.len() + 1];
    for (bound, count) in STATEMENT_BUCKETS_US.iter().zip(buckets.counts) {
        counts[BOUNDS_US.partition_point(|wider| wider < bound)] += count;
    }
    counts[BOUNDS_US.len()] += buckets.above;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::convert::testing::source;

    #[test]
    fn every_bound_of_the_conventions_is_one_of_ours() {
        assert!(BOUNDS_US.iter().all(|bound| STATEMENT_BUCKETS_US.contains(bound)));
    }

    #[test]
    fn observations_keep_their_side_of_each_bound() {
        for (at, bound) in BOUNDS_US.iter().enumerate() {
            let mut buckets = Buckets::<16>::default();
            buckets.observe(&STATEMENT_BUCKETS_US, *bound);
            buckets.observe(&STATEMENT_BUCKETS_US, bound + 1);
            let mut expected = vec![0; 10];
            expected[at] = 1;
            expected[at + 1] = 1;
            assert_eq!(merged(&buckets), expected, "{bound}");
        }
    }

    #[test]
    fn sums_begin_anew_after_a_reset() {
        let mut histograms = Histograms::default();
        let mut starts = Vec::new();
        for (at_us, statements) in [(10, 5), (20, 9), (30, 2), (40, 3)] {
            let mut snapshot =
                Snapshot { at_us, sets: vec![SetRow::default()], ..Snapshot::default() };
            snapshot.books.statements = statements;
            let (request, points) = histograms.request(&source(), &snapshot).unwrap();
            assert_eq!(points, 4);
            let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
            let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
            starts.push(histogram.data_points[0].start_time_unix_nano - 1_000_000_000);
        }
        assert_eq!(starts, [0, 0, 20_000, 20_000]);
        assert!(histograms.request(&source(), &Snapshot::default()).is_none());
    }
}
