//! C2: candidates that serve what two others would.

use crate::advice::share_of;
use crate::candidate;
use crate::catalog::Catalog;
use crate::planner::{CandidateSpec, Method};
use crate::size;

/// Most candidates that are unions of others, of either kind.
const UNIONS_MAX: usize = 50;

/// Where one candidate's keys are among another's, the other in an order that serves both.
pub(crate) fn merged(specs: &[CandidateSpec]) -> Vec<CandidateSpec> {
    let mut found = Vec::new();
    let plain = |spec: &&CandidateSpec| {
        spec.method == Method::Btree && spec.predicate.is_empty() && spec.include.is_empty()
    };
    for short in specs.iter().filter(plain) {
        for long in specs
            .iter()
            .filter(plain)
            .filter(|long| long.table == short.table && long.keys.len() > short.keys.len())
        {
            let within = short.keys.iter().all(|key| long.keys.contains(key));
            if within && !long.keys.starts_with(&short.keys) && found.len() < UNIONS_MAX {
                let rest = long.keys.iter().filter(|key| !short.keys.contains(key));
                let keys = short.keys.iter().chain(rest).cloned().collect();
                found.push(CandidateSpec { keys, ..long.clone() });
            }
        }
    }
    found
}

/// One covering index for what two with the same keys would cover.
pub(crate) fn widened(catalog: &Catalog, specs: &[CandidateSpec]) -> Vec<CandidateSpec> {
    let mut found: Vec<CandidateSpec> = Vec::new();
    for (at, one) in specs.iter().enumerate().filter(|(_, spec)| !spec.include.is_empty()) {
        let alike = |other: &&CandidateSpec| {
            other.table == one.table
                && other.keys == one.keys
                && other.predicate == one.predicate
                && !other.include.is_empty()
        };
        for other in specs[at + 1..].iter().filter(alike) {
            let mut include = one.include.clone();
            include.extend(
                other.include.iter().filter(|column| !one.include.contains(column)).cloned(),
            );
            include.sort_unstable();
            let wider = CandidateSpec { include, ..one.clone() };
            let new = wider.include.len() > one.include.len().max(other.include.len())
                && !found
                    .iter()
                    .any(|known| known.keys == wider.keys && known.include == wider.include);
            if new && found.len() < UNIONS_MAX && candidate::may_include(catalog, &wider) {
                let rows = catalog.pages_and_rows(wider.table).1 * share_of(catalog, one);
                let size_bytes = size::candidate_bytes(catalog, &wider, rows);
                found.push(CandidateSpec { size_bytes, ..wider });
            }
        }
    }
    found
}
