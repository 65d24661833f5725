//! Sums of parts against one analyzer that saw everything.

use super::*;
use crate::finding::{Cost, Fix, Kind};
use crate::finding::{Finding, Proof, Severity, State};

fn finding(id: u64) -> Finding {
    Finding {
        id,
        kind: Kind::NPlusOne,
        variant: None,
        severity: Severity::Warning,
        proof: Proof::Dataflow,
        gate: None,
        state: State::Open,
        reopened: 0,
        mute: None,
        superseded_by: None,
        rule: None,
        database: "shop".into(),
        parent: None,
        child: None,
        n: None,
        n_median: None,
        n_max: None,
        rows_median: None,
        sightings: 1,
        ratio: None,
        coverage: None,
        explained: None,
        order: None,
        cost: Cost::default(),
        route: None,
        routes: Vec::new(),
        marks: Vec::new(),
        service: "web".into(),
        column: None,
        sentence: String::new(),
        fix: Fix::default(),
        evidence: Vec::new(),
        first_seen_us: 0,
        last_seen_us: 0,
        examples: Vec::new(),
    }
}

fn folded(parts: Vec<Finding>) -> Finding {
    let mut merge = Merge::default();
    for (index, part) in parts.into_iter().enumerate() {
        let snapshot = Snapshot { findings: vec![part], at_us: 10, ..Snapshot::default() };
        merge.add(Sketched { snapshot, ..Sketched::default() }, 1_000 * (index as u64 + 1));
    }
    let (snapshot, origin_us) = merge.finish();
    assert_eq!((origin_us, snapshot.findings.len()), (1_000, 1));
    snapshot.findings[0].clone()
}

#[test]
fn a_finding_of_several_proxies_is_one_with_all_sightings() {
    let small =
        Finding { sightings: 3, n: Some(7), first_seen_us: 5, last_seen_us: 6, ..finding(9) };
    let large = Finding {
        sightings: 40,
        n: Some(12),
        severity: Severity::Error,
        state: State::Muted,
        first_seen_us: 1,
        last_seen_us: 2,
        ..finding(9)
    };
    for parts in [[small.clone(), large.clone()], [large.clone(), small.clone()]] {
        let sum = folded(parts.to_vec());
        assert_eq!((sum.sightings, sum.n, sum.severity), (43, Some(12), Severity::Error));
        assert_eq!(sum.state, State::Open, "open somewhere is open");
        assert!(sum.evidence.contains(&("proxies", crate::finding::EvidenceValue::Count(2))));
    }
    let proved = Finding { sightings: 1, proof: Proof::Dataflow, n: Some(5), ..finding(9) };
    let likely = Finding { sightings: 90, proof: Proof::Sequence, n: Some(6), ..finding(9) };
    assert_eq!(folded(vec![likely, proved]).n, Some(5), "the better proof speaks for all");
}

#[test]
fn moments_lie_on_one_clock() {
    let part = |seen| Finding { first_seen_us: seen, last_seen_us: seen, ..finding(9) };
    // The second proxy started 1,000 us later.
    let sum = folded(vec![part(5), part(3)]);
    assert_eq!((sum.first_seen_us, sum.last_seen_us), (5, 1_003));
}

#[test]
fn tables_are_bounded_and_say_so() {
    let mut merge = Merge::default();
    let errors = (0..MERGED_ROWS_MAX + 5).map(|index| ErrorRow {
        class: Arc::from(index.to_string()),
        count: 1,
        ..ErrorRow::default()
    });
    let digest = |index: u64| DigestRow {
        digest: index,
        totals: DigestTotals {
            calls: 1,
            phases: Phases { first_row_us: index, ..Phases::default() },
            ..DigestTotals::default()
        },
        ..DigestRow::default()
    };
    let rows = MERGED_DIGESTS_MAX as u64 + 3;
    let snapshot = Snapshot {
        errors: errors.collect(),
        digests: (0..rows).map(digest).collect(),
        ..Snapshot::default()
    };
    let digests = vec![DigestSketch::default(); snapshot.digests.len()];
    merge.add(Sketched { snapshot, digests, ..Sketched::default() }, 0);
    let (sum, _) = merge.finish();
    assert_eq!((sum.errors.len(), sum.digests.len()), (MERGED_ROWS_MAX, MERGED_DIGESTS_MAX));
    assert_eq!(sum.overflow, [("digests", 3), ("merged_rows", 5)]);
    // The three cheapest: 0, 1 and 2 microseconds.
    assert_eq!((sum.other.calls, sum.other.phases.first_row_us), (3, 3));
}
