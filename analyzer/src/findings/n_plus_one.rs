//! `n_plus_one`: one result, and a look-up for each of its values.

use super::cost::{BATCH_KEYS_MAX, Repeated};
use super::fix::{Loop, Shape};
use super::identity::Identity;
use super::register::{Claim, Sighting};
use super::{Context, Detector, orm, rewrite, service_row};
use crate::facts::{StatementFacts, TargetColumn};
use crate::finding::{Child, EvidenceValue, Kind, Parent, Proof, Severity};
use crate::flow::{Occurrence, Source};
use crate::names::Name;
use std::sync::Arc;

/// Children of proved loops that are remembered for detectors that only suspect one.
const PROVED_CHILDREN_MAX: usize = 4_096;

/// Turns proved data flow into claims.
#[derive(Debug)]
pub(crate) struct NPlusOne;

impl Detector for NPlusOne {
    fn occurrence(&mut self, occurrence: &Occurrence, context: &mut Context<'_>) {
        let named = Named::of(occurrence, context);
        let n = occurrence.evidence.hits;
        let batched = if named.variant == "aggregate" { 1 } else { n.div_ceil(BATCH_KEYS_MAX) };
        let cost = Repeated {
            n,
            batched,
            busy_us: occurrence.busy_us,
            p50_us: occurrence.service_p50_us,
            rtt_us: occurrence.rtt_us,
            plan_floor_us: context.costs.plan_floor_us(occurrence.database, occurrence.last_us),
        }
        .cost();
        let service = context.labels.service_name(occurrence.sender.service);
        if !occurrence.in_progress {
            let sums = service_row(context.services, &service);
            sums.bursts += 1;
            sums.statements += n - batched.min(n);
            sums.busy_us += cost.saved_high_us;
        }
        let sighting = Sighting {
            at_us: occurrence.last_us,
            session: occurrence.session.0,
            times: 1,
            n: Some(n),
            rows: Some(occurrence.evidence.rows),
            coverage: Some(occurrence.evidence.coverage()),
            explained: Some(occurrence.evidence.explained()),
            order: Some(occurrence.evidence.order),
            cost,
            route: occurrence.sender.route.clone(),
            wall_us: occurrence.wall_us,
        };
        let claim = claim(occurrence, named, service, context);
        let key = (occurrence.database, occurrence.child.digest);
        if context.proved_children.len() < PROVED_CHILDREN_MAX
            || context.proved_children.contains_key(&key)
        {
            context.proved_children.insert(key, claim.id);
        }
        if occurrence.in_progress {
            context.register.progress(claim, sighting);
        } else {
            context.register.sighting(claim, sighting);
        }
    }
}

/// The names of both sides, as far as they are known, and what they make of it.
struct Named {
    parent: Option<Name>,
    child_table: Option<Arc<str>>,
    child_column: Option<Arc<str>>,
    variant: &'static str,
}

impl Named {
    fn of(occurrence: &Occurrence, context: &Context<'_>) -> Self {
        let parent = name_of(&occurrence.parent, occurrence, context);
        let predicate =
            occurrence.child.facts.as_ref().and_then(|facts| predicate(facts, occurrence.slot));
        let child_table = match &predicate {
            Some((table, _)) => Some(table.clone()),
            None => occurrence.child.tables.first().cloned(),
        };
        let child_column = predicate.map(|(_, column)| column);
        let own = parent.as_ref().is_some_and(|(table, column)| {
            Some(table) == child_table.as_ref() && Some(column) == child_column.as_ref()
        });
        let aggregate = occurrence.child.facts.as_ref().is_some_and(|facts| facts.aggregate);
        let variant = match (occurrence.nesting.is_some(), own, aggregate) {
            (true, ..) => "nested",
            (false, true, _) => "refresh",
            (false, false, true) => "aggregate",
            (false, false, false) => "plain",
        };
        Self { parent, child_table, child_column, variant }
    }
}

/// The predicate that a slot belongs to: table and column as the text names them.
fn predicate(facts: &StatementFacts, slot: u16) -> Option<Name> {
    let predicate = facts.predicates.iter().find(|predicate| predicate.slots.contains(&slot))?;
    let relation = facts.relations.get(predicate.relation)?;
    Some((Arc::from(relation.name.as_str()), Arc::from(predicate.column.as_str())))
}

/// The name of a parent's column: learnt for its OID, else as the parent's own text spells it.
fn name_of(source: &Source, occurrence: &Occurrence, context: &Context<'_>) -> Option<Name> {
    let learnt = context.names.find(occurrence.database, source.table_oid, source.attnum).cloned();
    learnt.or_else(|| {
        let facts = source.statement.facts.as_ref()?;
        let plain = |target: &&TargetColumn| target.position == usize::from(source.field);
        let target = facts.target_columns.iter().find(plain).filter(|_| source.table_oid != 0)?;
        let relation = facts.relations.get(target.relation)?;
        Some((Arc::from(relation.name.as_str()), Arc::from(target.column.as_str())))
    })
}

fn claim(occurrence: &Occurrence, named: Named, service: Arc<str>, context: &Context<'_>) -> Claim {
    let database = context.labels.database_name(occurrence.database);
    let alternatives: Vec<Arc<str>> =
        occurrence.alternatives.iter().map(|source| spelled(source, occurrence, context)).collect();
    let sender = &occurrence.sender;
    let orm = orm::guess(sender, &[&occurrence.child.words, &occurrence.parent.statement.words]);
    let shape = Shape::of(
        named.variant,
        named.parent.as_ref().map(|(_, column)| &**column),
        named.child_column.as_deref(),
    );
    let repeated = Loop {
        shape,
        parent_table: named.parent.as_ref().map(|(table, _)| &**table),
        child_table: named.child_table.as_deref(),
        child_column: named.child_column.as_deref(),
    };
    let sql = rewrite::batched(&occurrence.child, occurrence.slot);
    let column =
        named.parent.as_ref().map(|(table, column)| Arc::from(format!("{table}.{column}")));
    Claim {
        id: identity(&database, occurrence),
        kind: Kind::NPlusOne,
        variant: Some(named.variant),
        proof: Proof::Dataflow,
        gate: Some(occurrence.gate),
        sentence: sentence(occurrence, &named),
        fix: repeated.fix(orm, sql),
        evidence: evidence(occurrence, named.variant),
        rule: None,
        severity_max: Severity::Error,
        severity_own: None,
        parent_key: Some((occurrence.database, occurrence.parent.statement.digest)),
        column,
        service,
        child: Some(Child {
            table: named.child_table,
            column: named.child_column,
            digest: occurrence.child.digest,
            query_text: occurrence.child.text.clone(),
            slot: occurrence.slot,
        }),
        parent: Some(Parent {
            table: named.parent.as_ref().map(|(table, _)| table.clone()),
            column: named.parent.map(|(_, column)| column),
            digest: occurrence.parent.statement.digest,
            query_text: occurrence.parent.statement.text.clone(),
            table_oid: occurrence.parent.table_oid,
            attnum: occurrence.parent.attnum,
            field: occurrence.parent.field,
            alternatives,
        }),
        database,
    }
}

/// Without OIDs, hashes, routes and names: equal across restarts, environments and machines.
fn identity(database: &str, occurrence: &Occurrence) -> u64 {
    let mut hash = Identity::new();
    hash.text(Kind::NPlusOne.name());
    hash.text(database);
    hash.number(occurrence.parent.statement.digest);
    hash.number(occurrence.parent.field.into());
    hash.number(occurrence.child.digest);
    hash.number(occurrence.slot.into());
    hash.text("");
    hash.text("");
    hash.finish()
}

fn spelled(source: &Source, occurrence: &Occurrence, context: &Context<'_>) -> Arc<str> {
    match name_of(source, occurrence, context) {
        Some((table, column)) => Arc::from(format!("{table}.{column}")),
        None => Arc::from(format!("field {}", source.field)),
    }
}

fn sentence(occurrence: &Occurrence, named: &Named) -> String {
    let evidence = &occurrence.evidence;
    let n = evidence.hits;
    let child = named.child_table.as_deref().unwrap_or(&occurrence.child.summary);
    let by =
        named.child_column.as_ref().map(|column| format!(" by `{column}`")).unwrap_or_default();
    let (rows_of, values) = match &named.parent {
        Some((table, column)) => (format!("`{table}`"), format!("`{table}.{column}`")),
        None => {
            let summary = &occurrence.parent.statement.summary;
            let field = occurrence.parent.field + 1;
            (format!("the result of `{summary}`"), format!("column {field} of that result"))
        }
    };
    let every_row = n == evidence.rows && evidence.used as u64 == evidence.rows;
    let verb = verb(named.variant);
    if every_row {
        let rows = counted(n, "row");
        let statements = counted(n, "statement");
        return format!(
            "For each of {rows} of {rows_of}, `{child}` is {verb} once more{by}: values of {values} \
             were the parameters of {statements}."
        );
    }
    let rows = counted(evidence.rows, "row");
    let times = counted(n, "more time");
    let used = evidence.used as u64;
    let why = if used == n {
        format!("once for each distinct value of {values}")
    } else {
        format!("for {} of {values}", counted(used, "distinct value"))
    };
    format!("After a read of {rows} of {rows_of}, `{child}` is {verb} {times}{by}: {why}.")
}

fn verb(variant: &str) -> &'static str {
    match variant {
        "aggregate" => "summarised",
        _ => "read",
    }
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn evidence(occurrence: &Occurrence, variant: &str) -> Vec<(&'static str, EvidenceValue)> {
    let evidence = &occurrence.evidence;
    let yes_no = |yes: bool| EvidenceValue::Text(Arc::from(if yes { "yes" } else { "no" }));
    let mut all = vec![
        ("distinct_values_used", EvidenceValue::Count(evidence.used as u64)),
        ("distinct_values_kept", EvidenceValue::Count(evidence.kept as u64)),
        ("wall_ms", EvidenceValue::Number(occurrence.wall_us as f64 / 1_000.0)),
    ];
    if let Some(nesting) = &occurrence.nesting {
        all.push(("leaves", EvidenceValue::Count(nesting.leaves as u64)));
        all.push(("pairs_per_leaf", EvidenceValue::Number(nesting.pairs_per_leaf())));
        if let Some(digest) = nesting.root_digest {
            let digest = Arc::from(format!("{digest:016x}"));
            all.push(("root_digest", EvidenceValue::Text(digest)));
        }
    }
    if variant == "refresh" {
        all.push(("parent_is_returning", yes_no(occurrence.returned)));
        all.push(("commit_between", yes_no(occurrence.commit_between)));
    }
    if occurrence.in_progress {
        all.push(("in_progress", yes_no(true)));
    }
    all
}
