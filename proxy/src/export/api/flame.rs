//! Where the time goes, as a tree: service, route, statement and phase, or the levels that were asked for.

use super::{View, float};
use crate::export::shapes::Flame;
use pgsonde_analyzer::service_of;
use pgsonde_analyzer::snapshot::{Phases, SourceRow};
use std::collections::BTreeMap;

/// What the flame calls time that belongs to no kept source of a digest.
const ELSEWHERE: &str = "other";
/// What the flame calls statements without a route.
const NO_ROUTE: &str = "none";

/// One level of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlameLevel {
    Service,
    Route,
    Statement,
    Phase,
}

impl FlameLevel {
    /// All of them, from the top.
    pub(crate) const ALL: [Self; 4] = [Self::Service, Self::Route, Self::Statement, Self::Phase];
    /// Their names.
    pub(crate) const WORDS: &str = "service, route, statement, phase";

    /// Names with commas between them; each once at most, and at least one.
    pub(crate) fn parse(text: &str) -> Option<Vec<Self>> {
        let mut levels = Vec::new();
        for name in text.split(',') {
            let at = Self::WORDS.split(", ").position(|word| word == name.trim())?;
            if levels.contains(&Self::ALL[at]) {
                return None;
            }
            levels.push(Self::ALL[at]);
        }
        Some(levels)
    }
}

/// Where some time was spent; the names of the levels.
struct Place<'a> {
    service: &'a str,
    route: &'a str,
    statement: &'a str,
}

#[derive(Default)]
struct Node {
    us: u64,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn add(&mut self, levels: &[FlameLevel], place: &Place<'_>, phases: &Phases) {
        let all = [
            ("queue", phases.queue_us),
            ("first_row", phases.first_row_us),
            ("transfer", phases.transfer_us),
            ("client_stall", phases.client_stall_us),
        ];
        for (phase, us) in all.into_iter().filter(|(_, us)| *us > 0) {
            let mut node = &mut *self;
            node.us += us;
            for level in levels {
                let name = match level {
                    FlameLevel::Service => place.service,
                    FlameLevel::Route => place.route,
                    FlameLevel::Statement => place.statement,
                    FlameLevel::Phase => phase,
                };
                node = node.children.entry(name.to_owned()).or_default();
                node.us += us;
            }
        }
    }

    /// The largest children first.
    fn shown(self, name: String) -> Flame {
        let children = self.children.into_iter();
        let mut children: Vec<Flame> = children.map(|(name, node)| node.shown(name)).collect();
        children
            .sort_by(|a, b| b.value_ms.total_cmp(&a.value_ms).then_with(|| a.name.cmp(&b.name)));
        Flame { name, value_ms: float(self.us) / 1e3, children }
    }
}

impl View<'_> {
    /// Statement time by the given levels, from the top.
    ///
    /// Phases are known per digest, not per source of a digest: each source gets its share of them. What the kept
    /// sources of a digest don't explain, and what no digest explains, is `other`.
    pub(crate) fn flame(&self, levels: &[FlameLevel]) -> Flame {
        let mut root = Node::default();
        let mut add = |service: &str, route: &str, statement: &str, phases: &Phases| {
            root.add(levels, &Place { service, route, statement }, phases);
        };
        for row in &self.snapshot.digests {
            let mut left = row.totals.phases;
            let whole = left;
            for source in &row.sources {
                let part = part_of(&whole, source.total_us, &mut left);
                add(&service_of(&source.application_name), route_of(source), &row.summary, &part);
            }
            add(ELSEWHERE, NO_ROUTE, &row.summary, &left);
        }
        add(ELSEWHERE, NO_ROUTE, "everything else", &self.snapshot.other.phases);
        let batches = &self.snapshot.indivisible_batches.phases;
        add(ELSEWHERE, NO_ROUTE, "batches of different statements", batches);
        root.shown("all".to_owned())
    }
}

fn route_of(source: &SourceRow) -> &str {
    if source.route.is_empty() { NO_ROUTE } else { &source.route }
}

/// The part of `whole` that belongs to `us` of it, taken out of `left`.
fn part_of(whole: &Phases, us: u64, left: &mut Phases) -> Phases {
    let all_us = whole.statement_us().max(1);
    let share = |phase: u64, left: &mut u64| {
        let scaled = u128::from(phase) * u128::from(us.min(all_us)) / u128::from(all_us);
        let part = u64::try_from(scaled).unwrap_or(u64::MAX).min(*left);
        *left -= part;
        part
    };
    Phases {
        queue_us: share(whole.queue_us, &mut left.queue_us),
        first_row_us: share(whole.first_row_us, &mut left.first_row_us),
        transfer_us: share(whole.transfer_us, &mut left.transfer_us),
        client_stall_us: share(whole.client_stall_us, &mut left.client_stall_us),
        ..Phases::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture;

    fn view_of<T>(check: impl FnOnce(&View<'_>) -> T) -> T {
        let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
        check(&View { snapshot: &snapshot, proxy: &proxy, clock: fixture::clock() })
    }

    #[test]
    fn the_flame_has_exactly_the_time_of_the_statements() {
        fn check(node: &Flame) {
            let sum: f64 = node.children.iter().map(|child| child.value_ms).sum();
            assert!(node.children.is_empty() || (sum - node.value_ms).abs() < 1e-6, "{node:?}");
            node.children.iter().for_each(check);
        }
        view_of(|view| {
            let flame = view.flame(&FlameLevel::ALL);
            assert_eq!(flame.value_ms, float(view.total_us()) / 1e3);
            check(&flame);
            let depth = flame.children[0].children[0].children[0].children.len();
            assert!(depth > 0, "service, route, statement, phase: {flame:?}");
        });
    }

    #[test]
    fn levels_stand_in_the_order_that_was_asked_for() {
        let levels = FlameLevel::parse("phase, service").expect("two levels");
        assert_eq!(levels, [FlameLevel::Phase, FlameLevel::Service]);
        for wrong in ["", "phase,phase", "tables", "service,,route"] {
            assert_eq!(FlameLevel::parse(wrong), None, "{wrong}");
        }
        view_of(|view| {
            let (flame, whole) = (view.flame(&levels), view.flame(&FlameLevel::ALL));
            assert_eq!(flame.value_ms, whole.value_ms);
            let names: Vec<&str> = flame.children.iter().map(|child| &*child.name).collect();
            assert!(names.contains(&"first_row") && !names.contains(&"web"), "{names:?}");
            let services: Vec<_> =
                flame.children.iter().flat_map(|child| &child.children).collect();
            assert!(services.iter().any(|child| child.name == "web"), "{services:?}");
            assert!(services.iter().all(|child| child.children.is_empty()));
        });
    }

    #[test]
    fn phases_of_sources_never_exceed_those_of_the_digest() {
        let whole = Phases { queue_us: 1, first_row_us: 10, transfer_us: 2, ..Phases::default() };
        let mut left = whole;
        let mut sum = Phases::default();
        for us in [6, 6, 900] {
            sum.add(&part_of(&whole, us, &mut left));
        }
        sum.add(&left);
        assert_eq!(sum, whole);
    }
}
