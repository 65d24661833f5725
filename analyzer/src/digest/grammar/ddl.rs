//! What a change of a table does to its other users (findings, section 4.3).

use super::node::{self, Tree, boxed, each};
use crate::facts::{Hazard, LockMode, Relation, TableChange};
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType as Action, ColumnDef, ConstrType, Constraint,
    DropStmt, IndexStmt, Node, ObjectType, RangeVar, ReindexObjectType, ReindexStmt, RenameStmt,
};

/// Functions of the server that give another value at each call, and so make ADD COLUMN rewrite the table.
const VOLATILE: [&str; 8] = [
    "random",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "nextval",
    "clock_timestamp",
    "timeofday",
    "statement_timestamp",
];
/// Functions whose value is the same for all rows of one statement: ADD COLUMN stores it once.
const STABLE: [&str; 12] = [
    "now",
    "transaction_timestamp",
    "current_setting",
    "lower",
    "upper",
    "length",
    "to_jsonb",
    "jsonb_build_object",
    "jsonb_build_array",
    "json_build_object",
    "make_interval",
    "timezone",
];

/// The change that a statement makes, if it is one.
pub(super) fn change(statement: &Tree) -> Option<TableChange> {
    Some(match statement {
        Tree::CreateStmt(create) => created(create.relation.as_ref(), create.if_not_exists),
        Tree::CreateTableAsStmt(create) => {
            let range = create.into.as_ref().and_then(|into| into.rel.as_ref());
            created(range, create.if_not_exists)
        }
        Tree::AlterTableStmt(alter) if alter.objtype() == ObjectType::ObjectTable => altered(alter),
        Tree::IndexStmt(index) => indexed(index),
        Tree::ReindexStmt(reindex) => reindexed(reindex)?,
        Tree::DropStmt(drop) => dropped(drop)?,
        Tree::RenameStmt(rename) => renamed(rename)?,
        _ => return None,
    })
}

fn relation(range: Option<&RangeVar>) -> Option<Relation> {
    let range = range?;
    let written = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Relation { schema: written(&range.schemaname), name: range.relname.clone(), alias: None })
}

fn created(range: Option<&RangeVar>, unless_there: bool) -> TableChange {
    const TEMPORARY: &str = "t";
    TableChange {
        table: relation(range),
        creates: !unless_there,
        temporary: range.is_some_and(|range| range.relpersistence == TEMPORARY),
        ..TableChange::default()
    }
}

fn one(rule: &'static str, lock: LockMode, table: Option<Relation>) -> TableChange {
    let hazards = vec![Hazard { rule, sure: true }];
    TableChange { table, hazards, lock, ..TableChange::default() }
}

fn indexed(index: &IndexStmt) -> TableChange {
    let table = relation(index.relation.as_ref());
    if index.concurrent {
        return TableChange { table, ..TableChange::default() };
    }
    one("index_not_concurrent", LockMode::Share, table)
}

fn reindexed(reindex: &ReindexStmt) -> Option<TableChange> {
    let concurrently = each(&reindex.params)
        .any(|param| matches!(param, Tree::DefElem(option) if option.defname == "concurrently"));
    let table = match reindex.kind() {
        ReindexObjectType::ReindexObjectTable => relation(reindex.relation.as_ref()),
        _ => None,
    };
    (!concurrently).then(|| one("index_not_concurrent", LockMode::AccessExclusive, table))
}

fn dropped(drop: &DropStmt) -> Option<TableChange> {
    match drop.remove_type() {
        ObjectType::ObjectIndex if !drop.concurrent => {
            Some(one("index_not_concurrent", LockMode::AccessExclusive, None))
        }
        ObjectType::ObjectTable => {
            let table = match drop.objects.first().and_then(|object| object.node.as_ref()) {
                Some(Tree::List(names)) => listed(&names.items),
                _ => None,
            };
            Some(one("drop", LockMode::AccessExclusive, table))
        }
        _ => None,
    }
}

/// `schema.name` of a DROP.
fn listed(names: &[Node]) -> Option<Relation> {
    let names: Vec<&str> = node::names(names).flatten().collect();
    let name = (*names.last()?).to_owned();
    let schema = names.len().checked_sub(2).map(|at| names[at].to_owned());
    Some(Relation { schema, name, alias: None })
}

fn renamed(rename: &RenameStmt) -> Option<TableChange> {
    let column = rename.rename_type() == ObjectType::ObjectColumn
        && rename.relation_type() == ObjectType::ObjectTable;
    let table = rename.rename_type() == ObjectType::ObjectTable;
    (column || table)
        .then(|| one("rename", LockMode::AccessExclusive, relation(rename.relation.as_ref())))
}

fn altered(alter: &AlterTableStmt) -> TableChange {
    let mut change =
        TableChange { table: relation(alter.relation.as_ref()), ..TableChange::default() };
    for command in each(&alter.cmds) {
        if let Tree::AlterTableCmd(command) = command {
            let (hazard, lock) = action(command);
            change.validates |= command.subtype() == Action::AtValidateConstraint;
            change.lock = stronger(change.lock, lock);
            let known = |hazard: &Hazard| change.hazards.iter().any(|of| of.rule == hazard.rule);
            change.hazards.extend(hazard.filter(|hazard| !known(hazard)));
        }
    }
    change
}

fn stronger(a: LockMode, b: LockMode) -> LockMode {
    if (a as u8) < (b as u8) { b } else { a }
}

fn hazard(rule: &'static str) -> Option<Hazard> {
    Some(Hazard { rule, sure: true })
}

fn unsure(rule: &'static str) -> Option<Hazard> {
    Some(Hazard { rule, sure: false })
}

fn action(command: &AlterTableCmd) -> (Option<Hazard>, LockMode) {
    let exclusive = LockMode::AccessExclusive;
    match (command.subtype(), boxed(&command.def)) {
        (Action::AtAddColumn, Some(Tree::ColumnDef(column))) => (added(column), exclusive),
        (Action::AtDropColumn, _) => (hazard("drop"), exclusive),
        // a validated CHECK makes it free, and the text doesn't say whether there is one
        (Action::AtSetNotNull, _) => (hazard("set_not_null"), exclusive),
        (Action::AtAlterColumnType, Some(Tree::ColumnDef(column))) => (retyped(column), exclusive),
        (Action::AtAddConstraint, Some(Tree::Constraint(constraint))) => constrained(constraint),
        (
            Action::AtValidateConstraint
            | Action::AtSetStatistics
            | Action::AtSetRelOptions
            | Action::AtResetRelOptions
            | Action::AtClusterOn
            | Action::AtAttachPartition,
            _,
        ) => (None, LockMode::Light),
        (Action::AtEnableTrig | Action::AtDisableTrig, _)
        | (Action::AtEnableTrigUser | Action::AtDisableTrigUser, _) => {
            (None, LockMode::ShareRowExclusive)
        }
        _ => (None, exclusive),
    }
}

fn constrained(constraint: &Constraint) -> (Option<Hazard>, LockMode) {
    let lock = LockMode::AccessExclusive;
    match constraint.contype() {
        ConstrType::ConstrForeign if constraint.skip_validation => {
            (None, LockMode::ShareRowExclusive)
        }
        ConstrType::ConstrForeign => (hazard("constraint_validates"), LockMode::ShareRowExclusive),
        ConstrType::ConstrCheck if constraint.skip_validation => (None, lock),
        ConstrType::ConstrCheck => (hazard("constraint_validates"), lock),
        ConstrType::ConstrUnique | ConstrType::ConstrPrimary | ConstrType::ConstrExclusion
            if constraint.indexname.is_empty() =>
        {
            (hazard("unique_builds_index"), lock)
        }
        _ => (None, lock),
    }
}

/// ADD COLUMN: a default that differs from row to row rewrites the table, a key builds an index.
fn added(column: &ColumnDef) -> Option<Hazard> {
    let serial = column.type_name.as_ref().map(|of| node::last_name(&of.names));
    if serial.is_some_and(|name| name.ends_with("serial") || name.starts_with("serial")) {
        return hazard("volatile_default");
    }
    each(&column.constraints).find_map(|constraint| {
        let Tree::Constraint(constraint) = constraint else { return None };
        match constraint.contype() {
            ConstrType::ConstrDefault => boxed(&constraint.raw_expr).and_then(volatile),
            ConstrType::ConstrIdentity | ConstrType::ConstrGenerated => hazard("volatile_default"),
            ConstrType::ConstrUnique | ConstrType::ConstrPrimary => hazard("unique_builds_index"),
            ConstrType::ConstrCheck => hazard("constraint_validates"),
            _ => None,
        }
    })
}

/// What a default's functions make of it; one that isn't known may be volatile.
fn volatile(default: &Tree) -> Option<Hazard> {
    let own = match default {
        Tree::FuncCall(call) => {
            let name = node::last_name(&call.funcname);
            if VOLATILE.contains(&name) || name.starts_with("uuid_generate") {
                return hazard("volatile_default");
            }
            if STABLE.contains(&name) { None } else { unsure("volatile_default") }
        }
        _ => None,
    };
    let mut worst = own;
    node::children(default, &mut |child| {
        if let Some(found) = volatile(child).filter(|found| found.sure || worst.is_none()) {
            worst = Some(found);
        }
    });
    worst
}

/// ALTER TYPE: to text or varchar is free from its kin, which the text doesn't tell; with USING it rewrites.
fn retyped(column: &ColumnDef) -> Option<Hazard> {
    let name = column.type_name.as_ref().map_or("", |of| node::last_name(&of.names));
    let kin = matches!(name, "text" | "varchar" | "numeric" | "varbit" | "citext" | "timestamptz");
    let converts = column.raw_default.is_some();
    if kin && !converts { unsure("type_change") } else { hazard("type_change") }
}
