//! What is remembered of one digest: an hour of executions, value classes, and one point per day.

use super::target::Target;
use crate::digest::Statement;
use crate::labels::ServiceId;
use crate::latency::{median, nearest_rank};
use crate::record::Micros;
use crate::seen::Seen;
use crate::text::StableHash;
use std::sync::Arc;

const SLOT_US: u64 = 600 * 1_000_000;
const SLOTS: usize = 6;
/// Samples kept per slot; systematic replacement beyond.
const SLOT_SAMPLES_MAX: usize = 32;
/// Value classes told apart, besides the rest.
const CLASSES_MAX: usize = 8;
/// Latest times kept per class.
const CLASS_SAMPLES_MAX: usize = 16;
const DAY_US: u64 = 86_400 * 1_000_000;
const DAYS_MAX: usize = 14;
/// Samples kept of the current day.
const DAY_SAMPLES_MAX: usize = 64;

/// One execution.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) server_us: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Another transaction that wrote to the table was open.
    pub(crate) contended: bool,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    number: u64,
    calls: u64,
    server_us: u64,
    contended: u64,
    samples: Vec<Sample>,
}

/// Executions with one set of equality values.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueClass {
    hash: u64,
    pub(crate) calls: u64,
    rows: u64,
    times: Vec<u64>,
    next: usize,
}

impl ValueClass {
    /// Median server time of its latest executions.
    pub(crate) fn p50_us(&self) -> u64 {
        median(&self.times)
    }

    /// Mean rows.
    pub(crate) fn rows(&self) -> f64 {
        self.rows as f64 / self.calls.max(1) as f64
    }

    fn record(&mut self, sample: &Sample) {
        self.calls += 1;
        self.rows += sample.rows;
        if self.times.len() < CLASS_SAMPLES_MAX {
            self.times.push(sample.server_us);
        } else {
            self.times[self.next] = sample.server_us;
            self.next = (self.next + 1) % CLASS_SAMPLES_MAX;
        }
    }
}

/// Medians of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) number: u64,
    pub(crate) p50_us: u64,
    pub(crate) rows_p50: u64,
}

/// Figures over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) server_us: u64,
    pub(crate) contended: u64,
    pub(crate) p10_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) rows_p50: u64,
    pub(crate) rows_p95: u64,
    pub(crate) bytes_p50: u64,
}

/// One digest's memory.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) statement: Arc<Statement>,
    pub(crate) target: Target,
    pub(crate) baseline_us: u64,
    pub(crate) last_us: Micros,
    pub(crate) session: u64,
    pub(crate) service: ServiceId,
    pub(crate) route: Option<Arc<str>>,
    /// Executed since the rules were last evaluated.
    pub(crate) changed: bool,
    pub(crate) classes: Vec<ValueClass>,
    pub(crate) days: Vec<Day>,
    slots: [Slot; SLOTS],
    today: u64,
    today_calls: u64,
    today_samples: Vec<Sample>,
    fresh: (u64, u64),
}

impl Window {
    pub(crate) fn new(statement: Arc<Statement>, target: Target) -> Self {
        Self {
            statement,
            target,
            baseline_us: 0,
            last_us: 0,
            session: 0,
            service: ServiceId::default(),
            route: None,
            changed: false,
            classes: Vec::new(),
            days: Vec::new(),
            slots: Default::default(),
            today: 0,
            today_calls: 0,
            today_samples: Vec::new(),
            fresh: (0, 0),
        }
    }

    /// Adds one execution.
    pub(crate) fn record(&mut self, seen: &Seen<'_>, sample: Sample, baseline_us: u64) {
        self.baseline_us = baseline_us;
        self.session = seen.record.session.0;
        self.service = seen.service;
        self.route = seen.route.cloned();
        self.add(seen.record.end_us(), sample, self.class_of(seen));
    }

    /// The same without the labels; `class` is the hash of the equality values, if they are known.
    pub(crate) fn add(&mut self, at_us: Micros, sample: Sample, class: Option<u64>) {
        self.changed = true;
        self.last_us = self.last_us.max(at_us);
        self.fresh.0 += 1;
        self.fresh.1 += sample.server_us;
        self.add_to_slot(at_us, sample);
        self.add_to_day(at_us / DAY_US, sample);
        if let Some(class) = class {
            self.add_to_class(class, &sample);
        }
    }

    /// Executions and their server time since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.fresh)
    }

    fn class_of(&self, seen: &Seen<'_>) -> Option<u64> {
        let slots = &self.target.slots;
        let value = |slot: &u16| seen.binds().find(|cell| cell.slot == *slot).map(|cell| cell.hash);
        let mut hash = StableHash::new(0);
        for slot in slots {
            hash.word(value(slot)?.into());
        }
        (!slots.is_empty()).then(|| hash.finish())
    }

    fn add_to_slot(&mut self, at_us: Micros, sample: Sample) {
        let number = at_us / SLOT_US;
        let slot = &mut self.slots[number as usize % SLOTS];
        if slot.number > number {
            return;
        }
        if slot.number < number {
            *slot = Slot { number, samples: std::mem::take(&mut slot.samples), ..Slot::default() };
            slot.samples.clear();
        }
        slot.calls += 1;
        slot.server_us += sample.server_us;
        slot.contended += u64::from(sample.contended);
        keep(&mut slot.samples, slot.calls, SLOT_SAMPLES_MAX, sample);
    }

    fn add_to_day(&mut self, day: u64, sample: Sample) {
        if day > self.today {
            if !self.today_samples.is_empty() {
                let point = day_point(self.today, &self.today_samples);
                self.days.push(point);
                let excess = self.days.len().saturating_sub(DAYS_MAX);
                self.days.drain(..excess);
            }
            self.today = day;
            self.today_calls = 0;
            self.today_samples.clear();
        }
        self.today_calls += 1;
        keep(&mut self.today_samples, self.today_calls, DAY_SAMPLES_MAX, sample);
    }

    /// The heaviest classes stay: a new one takes the place of the lightest and inherits nothing.
    fn add_to_class(&mut self, hash: u64, sample: &Sample) {
        if let Some(class) = self.classes.iter_mut().find(|class| class.hash == hash) {
            class.record(sample);
            return;
        }
        let mut class = ValueClass { hash, ..ValueClass::default() };
        class.record(sample);
        if self.classes.len() < CLASSES_MAX {
            self.classes.push(class);
        } else if let Some(lightest) = self.classes.iter_mut().min_by_key(|class| class.calls) {
            // It has to be met again and again to stay, so a stream of single values drives nothing out.
            lightest.calls -= 1;
            if lightest.calls == 0 {
                *lightest = class;
            }
        }
    }

    /// Figures over the last 50 to 60 minutes.
    pub(crate) fn figures(&self, now: Micros) -> Figures {
        let current = now / SLOT_US;
        let live = self
            .slots
            .iter()
            .filter(|slot| slot.calls > 0 && slot.number + (SLOTS as u64) > current);
        let mut figures = Figures::default();
        let mut samples: Vec<Sample> = Vec::new();
        for slot in live {
            figures.calls += slot.calls;
            figures.server_us += slot.server_us;
            figures.contended += slot.contended;
            samples.extend(&slot.samples);
        }
        let at = |of: fn(&Sample) -> u64, quantile: f64| {
            let mut values: Vec<u64> = samples.iter().map(of).collect();
            values.sort_unstable();
            nearest_rank(&values, quantile)
        };
        figures.p10_us = at(|sample| sample.server_us, 0.1);
        figures.p50_us = at(|sample| sample.server_us, 0.5);
        figures.rows_p50 = at(|sample| sample.rows, 0.5);
        figures.rows_p95 = at(|sample| sample.rows, 0.95);
        figures.bytes_p50 = at(|sample| sample.bytes, 0.5);
        figures
    }

    /// Points of the days so far, with that of the current one.
    pub(crate) fn day_points(&self) -> Vec<Day> {
        let mut days = self.days.clone();
        if !self.today_samples.is_empty() {
            days.push(day_point(self.today, &self.today_samples));
        }
        days
    }
}

/// Keeps a spread of samples: every one of `count` has about the same chance, decided by its ordinal.
fn keep(samples: &mut Vec<Sample>, count: u64, max: usize, sample: Sample) {
    if samples.len() < max {
        samples.push(sample);
        return;
    }
    let mut ordinal = StableHash::new(0);
    ordinal.word(count);
    let index = ordinal.finish() % count;
    if let Some(old) = samples.get_mut(index as usize) {
        *old = sample;
    }
}

fn day_point(number: u64, samples: &[Sample]) -> Day {
    let of = |value: fn(&Sample) -> u64| median(&samples.iter().map(value).collect::<Vec<_>>());
    Day { number, p50_us: of(|sample| sample.server_us), rows_p50: of(|sample| sample.rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let target = Target { table: Arc::from("t"), columns: vec!["c".into()], slots: vec![1] };
        Window::new(Arc::new(Statement::default()), target)
    }

    fn sample(server_us: u64) -> Sample {
        Sample { server_us, rows: 1, bytes: 100, contended: false }
    }

    #[test]
    fn the_window_rolls() {
        let mut window = window();
        (0..8).for_each(|slot| window.add(slot * SLOT_US, sample(slot), None));
        let figures = window.figures(7 * SLOT_US);
        assert_eq!((figures.calls, figures.server_us), (6, 2 + 3 + 4 + 5 + 6 + 7));
        assert_eq!(window.figures(20 * SLOT_US), Figures::default());
        assert_eq!(window.take_fresh(), (8, 28));
        assert_eq!(window.take_fresh(), (0, 0));
    }

    #[test]
    fn many_samples_keep_a_fair_median() {
        let mut window = window();
        // The first half is fast: a median of the first or of the last samples alone would be wrong.
        (0..10_000).for_each(|n| window.add(0, sample(if n % 10 < 8 { 100 } else { 900 }), None));
        let figures = window.figures(0);
        assert_eq!(figures.calls, 10_000);
        assert_eq!(figures.p50_us, 100);
    }

    #[test]
    fn heavy_classes_stay() {
        let mut window = window();
        for n in 0..2_000u64 {
            window.add(0, sample(1), Some(1));
            window.add(0, sample(50), Some(2));
            window.add(0, sample(9), Some(1_000 + n));
        }
        assert!(window.classes.len() <= CLASSES_MAX);
        let calls = |hash| window.classes.iter().find(|class| class.hash == hash).map(|c| c.calls);
        assert!(calls(1).is_some_and(|calls| calls > 1_000), "{:?}", window.classes);
        assert!(calls(2).is_some_and(|calls| calls > 1_000));
    }

    #[test]
    fn a_point_per_day() {
        let mut window = window();
        (0..20).for_each(|day| window.add(day * DAY_US, sample(day), None));
        let days = window.day_points();
        assert_eq!(days.len(), DAYS_MAX + 1);
        assert_eq!(days[DAYS_MAX], Day { number: 19, p50_us: 19, rows_p50: 1 });
    }
}
