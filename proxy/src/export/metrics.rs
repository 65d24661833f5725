//! `/metrics`: the catalogue in Prometheus text. The only file that knows the `prometheus` crate.

use super::catalogue::{self, CATALOGUE, Family, Sample, Type};
use super::status::{ProxyStatus, SnapshotSource};
use super::sticky::StickyDigests;
use crate::config::MetricSettings;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Registry, TextEncoder};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Content type of the answer.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const PREFIX: &str = "pgsonde_";

/// Renders the metrics of the moment at which it is asked.
pub struct Exporter {
    registry: Registry,
}

impl Exporter {
    /// Of what these two say, under these ceilings.
    ///
    /// # Errors
    /// A definition of the catalogue is wrong.
    pub fn new(
        snapshots: Arc<dyn SnapshotSource>,
        status: Arc<dyn ProxyStatus>,
        settings: MetricSettings,
    ) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        registry.register(Box::new(SnapshotCollector {
            descriptions: descriptions()?,
            snapshots,
            status,
            settings,
            digests: Mutex::new(StickyDigests::new(settings.digests)),
        }))?;
        Ok(Self { registry })
    }

    /// The whole answer.
    ///
    /// # Errors
    /// A family has no series or no name.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        // The count of series counts itself.
        let series: usize = families.iter().map(series_count).sum::<usize>() + 1;
        let help = "Series in this answer.";
        let rows = vec![number(MetricType::GAUGE, Vec::new(), series as f64)];
        families.push(family("pgsonde_exposed_series", help, MetricType::GAUGE, rows));
        TextEncoder::new().encode_to_string(&families)
    }
}

struct SnapshotCollector {
    descriptions: Vec<Desc>,
    snapshots: Arc<dyn SnapshotSource>,
    status: Arc<dyn ProxyStatus>,
    settings: MetricSettings,
    digests: Mutex<StickyDigests>,
}

impl Collector for SnapshotCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let proxy = self.status.proxy();
        // The snapshot is taken under the lock: two scrapes at once must not show the table older totals.
        let mut table = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshots.snapshot();
        let digests = table.update(&snapshot);
        drop(table);
        let families = catalogue::families(&snapshot, &proxy, &digests, &self.settings);
        families.into_iter().map(render).collect()
    }
}

fn descriptions() -> Result<Vec<Desc>, prometheus::Error> {
    let describe = |(name, _, labels, help): &catalogue::Definition| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(format!("{PREFIX}{name}"), (*help).to_owned(), labels, HashMap::new())
    };
    CATALOGUE.iter().map(describe).collect()
}

fn render(source: Family) -> MetricFamily {
    let (name, kind, label_names, help) = *source.definition;
    let kind = match kind {
        Type::Counter => MetricType::COUNTER,
        Type::Gauge => MetricType::GAUGE,
        Type::Histogram => MetricType::HISTOGRAM,
    };
    let rows = source.series.into_iter().map(|(values, sample)| {
        let labels =
            label_names.iter().zip(values).map(|(name, value)| label(name, &value)).collect();
        match sample {
            Sample::Number(value) => number(kind, labels, value),
            Sample::Histogram(buckets, above, sum) => histogram(labels, &buckets, above, sum),
        }
    });
    family(&format!("{PREFIX}{name}"), help, kind, rows.collect())
}

fn family(name: &str, help: &str, kind: MetricType, rows: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(rows);
    family
}

/// Names come from clients: control characters have no place in a label, the encoder escapes the rest.
fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(super::text::clean(value));
    pair
}

fn number(kind: MetricType, labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut metric = Metric::from_label(labels);
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn histogram(labels: Vec<LabelPair>, buckets: &[(f64, u64)], above: u64, sum: f64) -> Metric {
    let mut seen = 0;
    let rows = buckets.iter().map(|(bound, count)| {
        seen += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(seen);
        bucket
    });
    let rows = rows.collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(rows);
    histogram.set_sample_count(seen + above);
    histogram.set_sample_sum(sum);
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    metric
}

/// Lines of the answer that carry a value.
fn series_count(family: &MetricFamily) -> usize {
    let rows = family.get_metric();
    match family.get_field_type() {
        // The bucket of infinity, the sum and the count stand beside the bounds.
        MetricType::HISTOGRAM => {
            rows.iter().map(|row| row.get_histogram().get_bucket().len() + 3).sum()
        }
        _ => rows.len(),
    }
}

#[cfg(test)]
mod tests;
