//! Life, ratio and cost of findings.

use super::*;
use crate::limits::FlowLimits;

const HOUR_US: u64 = 3_600 * 1_000_000;
const PARENT: (DatabaseId, u64) = (DatabaseId(1), 11);

fn claim(id: u64) -> Claim {
    Claim {
        id,
        kind: Kind::NPlusOne,
        variant: None,
        proof: Proof::Dataflow,
        gate: Some("scope"),
        database: Arc::from("shop"),
        parent: None,
        child: None,
        service: Arc::from("web"),
        column: None,
        sentence: String::new(),
        fix: Fix::default(),
        evidence: Vec::new(),
        rule: None,
        severity_max: Severity::Error,
        severity_own: None,
        parent_key: Some(PARENT),
    }
}

fn sighting(at_us: Micros, n: u64) -> Sighting {
    let cost = OccurrenceCost {
        saved_low_us: 1_000,
        saved_high_us: 2_000,
        busy_us: 3_000,
        ..OccurrenceCost::default()
    };
    Sighting { at_us, times: 1, n: Some(n), rows: Some(n), cost, ..Sighting::default() }
}

fn parents(register: &mut Register, count: u64, route: Option<&str>) {
    for _ in 0..count {
        let (database, digest) = PARENT;
        register.parent_ended(ParentEnded { database, digest, route: route.map(Arc::from) });
    }
}

fn register() -> Register {
    Register::new(&Limits::default())
}

fn only(register: &Register, now: Micros) -> Finding {
    let findings = register.findings(now, &Costs::default());
    assert_eq!(findings.len(), 1);
    findings[0].clone()
}

#[test]
fn severity_waits_for_sightings_and_ratio() {
    for (name, sightings, others, severity) in [
        ("two sightings", 2, 0, Severity::Info),
        ("three sightings", 3, 0, Severity::Error),
        ("three in 150: two per cent", 3, 147, Severity::Error),
        ("three in 151", 3, 148, Severity::Info),
    ] {
        let mut register = register();
        for at in 0..sightings {
            parents(&mut register, 1, None);
            register.sighting(claim(1), sighting(at, 60));
        }
        parents(&mut register, others, None);
        assert_eq!(only(&register, 10).severity, severity, "{name}");
    }
}

#[test]
fn executions_on_other_routes_do_not_thin_the_ratio() {
    let mut register = register();
    parents(&mut register, 1, Some("/orders"));
    parents(&mut register, 99, Some("/other"));
    let routed = Sighting { route: Some(Arc::from("/orders")), ..sighting(5, 9) };
    register.sighting(claim(1), routed);
    let finding = only(&register, 10);
    assert_eq!(finding.ratio, Some(1.0));
    assert_eq!(finding.route.as_deref(), Some("/orders"));
    assert_eq!(finding.routes, [(Arc::from("/orders"), 1)]);
}

#[test]
fn coincidences_are_not_shown() {
    for (sightings, executions, shown) in [(5, 1_000, 1), (4, 1_000, 0), (1, 999, 1)] {
        let mut register = register();
        parents(&mut register, executions, None);
        (0..sightings).for_each(|at| register.sighting(claim(1), sighting(at, 9)));
        let findings = register.findings(10, &Costs::default());
        assert_eq!(findings.len(), shown, "{sightings} in {executions}");
    }
}

#[test]
fn life() {
    for (name, quiet_us, clean, state) in [
        ("a day less a moment", 24 * HOUR_US - 1, 0, State::Open),
        ("a day", 24 * HOUR_US, 0, State::Resolved),
        ("clean, but not for an hour", HOUR_US - 1, 50, State::Open),
        ("an hour, but too few clean ones", HOUR_US, 49, State::Open),
        ("clean for an hour", HOUR_US, 50, State::Resolved),
    ] {
        let mut register = register();
        parents(&mut register, 3, None);
        register.sighting(claim(1), sighting(7, 9));
        parents(&mut register, clean, None);
        register.tick(7 + quiet_us);
        assert_eq!(only(&register, 7 + quiet_us).state, state, "{name}");
        register.sighting(claim(1), sighting(8 + quiet_us, 9));
        let finding = only(&register, 8 + quiet_us);
        let reopened = u32::from(state == State::Resolved);
        assert_eq!((finding.state, finding.reopened), (State::Open, reopened), "{name}");
        assert_eq!(register.opened(), [(Kind::NPlusOne, 1 + u64::from(reopened))], "{name}");
    }
}

#[test]
fn at_the_limit_the_least_important_goes() {
    let limits = Limits {
        findings_max: 2,
        flow: FlowLimits { sightings_min: 1, ratio_min_ratio: 0.0, ..FlowLimits::default() },
        ..Limits::default()
    };
    let mut register = Register::new(&limits);
    register.sighting(claim(1), sighting(1, 60));
    register.sighting(claim(2), sighting(2, 3));
    register.sighting(claim(3), sighting(3, 60));
    let ids = |register: &Register| {
        let mut ids: Vec<u64> =
            register.findings(9, &Costs::default()).iter().map(|f| f.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!((ids(&register), register.overflowed), (vec![1, 3], 1), "info went");
    register.sighting(claim(4), sighting(4, 60));
    assert_eq!((ids(&register), register.overflowed), (vec![1, 3], 2), "errors stay");
}

#[test]
fn medians_extremes_and_examples() {
    let mut register = register();
    [10, 90, 20, 30, 25].into_iter().enumerate().for_each(|(at, n)| {
        register.sighting(claim(1), sighting(at as u64, n));
    });
    let finding = only(&register, 10);
    assert_eq!((finding.n, finding.n_median, finding.n_max), (Some(25), Some(25), Some(90)));
    assert_eq!((finding.sightings, finding.first_seen_us, finding.last_seen_us), (5, 0, 4));
    let examples: Vec<u64> = finding.examples.iter().map(|example| example.n).collect();
    assert_eq!(examples, [10, 90, 25], "first, largest, latest");
    assert_eq!(finding.cost.busy_total_ms, 15.0);
    assert_eq!(finding.cost.saved_high_ms_per_hour, None);
}

#[test]
fn names_once_learnt_stay() {
    let named = |table: Option<&str>| Claim {
        parent: Some(Parent { table: table.map(Arc::from), ..Parent::default() }),
        ..claim(1)
    };
    let mut register = register();
    for (table, expected) in
        [(None, None), (Some("orders"), Some("orders")), (None, Some("orders"))]
    {
        register.sighting(named(table), sighting(1, 9));
        let parent = only(&register, 1).parent;
        assert_eq!(parent.and_then(|parent| parent.table).as_deref(), expected);
    }
}
