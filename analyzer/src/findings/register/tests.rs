//! Life, ratio and cost of findings.

use super::*;
use crate::finding::{MuteRule, MuteTarget};
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

fn rule(target: MuteTarget, until_us: Option<Micros>) -> MuteRule {
    MuteRule { target, reason: Arc::from("known"), until_unix_us: until_us, until_us }
}

fn child(digest: u64, slot: u16) -> Child {
    Child { digest, slot, ..Child::default() }
}

#[test]
fn mutes_by_id_pair_and_route() {
    let pair = |parent, child| MuteTarget::Pair { parent, child };
    let route = |pattern: &str| MuteTarget::Route(Arc::from(pattern));
    for (name, rules, routes, is_muted) in [
        ("its id", vec![MuteTarget::Finding(1)], vec![None], true),
        ("another id", vec![MuteTarget::Finding(2)], vec![None], false),
        ("its pair", vec![pair(11, 12)], vec![None], true),
        ("half a pair", vec![pair(11, 13)], vec![None], false),
        ("its route", vec![route("/a")], vec![Some("/a")], true),
        ("one of its routes", vec![route("/a")], vec![Some("/a"), Some("/b")], false),
        ("both routes", vec![route("/a"), route("/b*")], vec![Some("/a"), Some("/b/1")], true),
        ("a route and none", vec![route("*")], vec![Some("/a"), None], false),
    ] {
        let mut register = register();
        rules.into_iter().for_each(|target| assert!(register.mute(rule(target, None))));
        for place in routes {
            let mut claim = claim(1);
            claim.parent = Some(Parent { digest: 11, ..Parent::default() });
            claim.child = Some(child(12, 1));
            let place = place.map(Arc::from);
            register.sighting(claim, Sighting { route: place, ..sighting(5, 60) });
        }
        let finding = only(&register, 10);
        assert_eq!(finding.state == State::Muted, is_muted, "{name}");
        assert_eq!(finding.mute.is_some(), is_muted, "{name}");
    }
}

#[test]
fn a_muted_finding_counts_on_and_wakes() {
    let mut register = register();
    register.mute(rule(MuteTarget::Finding(1), Some(100)));
    register.sighting(claim(1), sighting(5, 60));
    register.sighting(claim(1), sighting(6, 60));
    register.sighting(claim(2), sighting(6, 5));
    let findings = register.findings(99, &Costs::default());
    let of = |id: u64| findings.iter().find(|finding| finding.id == id).cloned().unwrap();
    assert_eq!((of(1).state, of(1).sightings), (State::Muted, 2));
    assert_eq!(
        of(1).mute,
        Some(crate::finding::Mute { reason: Arc::from("known"), until_unix_us: Some(100) })
    );
    assert_eq!(findings[0].id, 2, "open ones first, however much the muted one costs");
    assert!(register.findings(100, &Costs::default()).iter().all(|f| f.state == State::Open));
    assert!(register.unmute(&MuteTarget::Finding(1)));
}

#[test]
fn a_proved_loop_takes_the_place_of_the_looped_look_up() {
    for (name, loop_slot, proved_slot, superseded) in
        [("same slot", 2, 2, true), ("slot unknown", 0, 2, true), ("other slot", 1, 2, false)]
    {
        let mut register = register();
        let looped = |slot| Claim {
            kind: Kind::LoopedLookup,
            proof: Proof::Sequence,
            parent_key: None,
            child: Some(child(12, slot)),
            ..claim(1)
        };
        register.sighting(looped(loop_slot), sighting(5, 60));
        register
            .sighting(Claim { child: Some(child(12, proved_slot)), ..claim(2) }, sighting(6, 60));
        register.tick(10);
        register.sighting(looped(loop_slot), sighting(11, 60));
        let findings = register.findings(12, &Costs::default());
        let looped = findings.iter().find(|finding| finding.id == 1).cloned().unwrap();
        assert_eq!(looped.superseded_by, superseded.then_some(2), "{name}");
        assert_eq!(looped.state == State::Resolved, superseded, "{name}");
        assert_eq!(looped.sightings, 2, "{name}");
    }
}

#[test]
fn an_occurrence_that_goes_on_is_one() {
    let mut register = register();
    let of = |at_us, saved: u64| {
        let cost =
            OccurrenceCost { saved_high_us: saved, busy_us: saved, ..OccurrenceCost::default() };
        Sighting { at_us, session: 3, times: 1, cost, wall_us: saved, ..Sighting::default() }
    };
    register.sighting(claim(1), of(5, 1_000));
    register.sighting(claim(1), of(6, 50_000));
    register.lengthen(claim(1), &of(5, 1_000), of(9, 70_000));
    let finding = only(&register, 10);
    assert_eq!((finding.sightings, finding.last_seen_us), (2, 9));
    assert_eq!(finding.cost.saved_high_ms, 50.0, "median of 50 and 70");
    assert_eq!(finding.cost.busy_total_ms, 120.0);
    assert_eq!(finding.examples.iter().map(|e| e.wall_us).collect::<Vec<_>>(), [70_000, 50_000]);
}
