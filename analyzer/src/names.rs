//! Names of columns, learnt from statements whose text and description say the same thing.
//!
//! The wire gives table OID and attribute number of a result column, not names, and the label of a field may
//! be an alias. A text whose target list holds plain columns, together with the description of its result,
//! tells which OID is which table.

use crate::Map;
use crate::digest::{Described, Statement};
use crate::facts::StatementFacts;
use crate::labels::DatabaseId;
use crate::snapshot::Operation;
use std::sync::Arc;

/// Table and column.
pub(crate) type Name = (Arc<str>, Arc<str>);

/// Names by (database, table OID, attribute number).
#[derive(Debug)]
pub(crate) struct Names {
    names: Map<(DatabaseId, u32, i16), Name>,
    max: usize,
}

impl Names {
    pub(crate) fn new(max: usize) -> Self {
        Self { names: Map::default(), max }
    }

    /// The name of a column, if it was learnt.
    pub(crate) fn find(&self, database: DatabaseId, table_oid: u32, attnum: i16) -> Option<&Name> {
        self.names.get(&(database, table_oid, attnum))
    }

    /// Learns what the description of a statement's result shows.
    pub(crate) fn learn(
        &mut self,
        database: DatabaseId,
        statement: &Statement,
        described: &Described,
    ) {
        let Some(facts) = &statement.facts else { return };
        let pairs = match facts.star_of {
            Some(relation) => star_columns(relation, described),
            None => target_columns(facts, described),
        };
        if !one_table_each(&pairs) {
            return;
        }
        for (relation, table_oid, attnum, column) in pairs {
            let Some(relation) = facts.relations.get(relation) else { continue };
            let key = (database, table_oid, attnum);
            if self.names.len() < self.max || self.names.contains_key(&key) {
                self.names.insert(key, (Arc::from(relation.name.as_str()), column));
            }
        }
    }

    /// Forgets a database's names when a statement may have changed them.
    pub(crate) fn after(&mut self, database: DatabaseId, statement: &Statement) {
        // CREATE makes new OIDs, so it can't make a learnt name wrong.
        let ddl = statement.operation == Operation::Ddl;
        if ddl && (statement.starts_with("ALTER") || statement.starts_with("DROP")) {
            self.names.retain(|(other, ..), _| *other != database);
        }
    }
}

/// Relation, OID, attribute number, column name.
type Pair = (usize, u32, i16, Arc<str>);

/// `SELECT * FROM t`: the labels are the names.
fn star_columns(relation: usize, described: &Described) -> Vec<Pair> {
    let fields = described.fields.iter().filter(|(table_oid, ..)| *table_oid != 0);
    fields.map(|(oid, attnum, label)| (relation, *oid, *attnum, label.clone())).collect()
}

fn target_columns(facts: &StatementFacts, described: &Described) -> Vec<Pair> {
    let pair = |target: &crate::facts::TargetColumn| {
        let (oid, attnum, _) = described.fields.get(target.position)?;
        (*oid != 0).then(|| (target.relation, *oid, *attnum, Arc::from(target.column.as_str())))
    };
    facts.target_columns.iter().filter_map(pair).collect()
}

/// A relation whose columns seem to come from two tables was misread (an expanded `*` shifts positions).
fn one_table_each(pairs: &[Pair]) -> bool {
    pairs.iter().all(|(relation, oid, ..)| {
        pairs.iter().all(|(other, other_oid, ..)| other != relation || other_oid == oid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Relation, TargetColumn};

    fn statement(star: bool, targets: &[(usize, usize, &str)]) -> Statement {
        let relation = |name: &str| Relation { name: name.into(), ..Relation::default() };
        Statement {
            facts: Some(StatementFacts {
                relations: vec![relation("orders"), relation("customers")],
                star_of: star.then_some(0),
                target_columns: targets
                    .iter()
                    .map(|(position, relation, column)| TargetColumn {
                        position: *position,
                        relation: *relation,
                        column: (*column).into(),
                    })
                    .collect(),
                ..StatementFacts::default()
            }),
            ..Statement::default()
        }
    }

    fn described(fields: &[(u32, i16, &str)]) -> Described {
        let fields = fields.iter().map(|(oid, attnum, label)| (*oid, *attnum, Arc::from(*label)));
        Described { fields: fields.collect(), types: Vec::new() }
    }

    fn names(statement: &Statement, fields: &[(u32, i16, &str)]) -> Names {
        let mut names = Names::new(10);
        names.learn(DatabaseId(1), statement, &described(fields));
        names
    }

    fn found(names: &Names, oid: u32, attnum: i16) -> Option<String> {
        names.find(DatabaseId(1), oid, attnum).map(|(table, column)| format!("{table}.{column}"))
    }

    #[test]
    fn names_come_from_the_text_not_from_the_alias() {
        let text = statement(false, &[(0, 0, "id"), (2, 1, "name")]);
        let names = names(&text, &[(10, 1, "orders_id"), (0, 0, "count"), (20, 2, "n")]);
        assert_eq!(found(&names, 10, 1).as_deref(), Some("orders.id"));
        assert_eq!(found(&names, 20, 2).as_deref(), Some("customers.name"));
        assert!(names.find(DatabaseId(2), 10, 1).is_none());
    }

    #[test]
    fn a_star_takes_the_labels() {
        let names = names(&statement(true, &[]), &[(10, 1, "id"), (10, 2, "customer_id")]);
        assert_eq!(found(&names, 10, 2).as_deref(), Some("orders.customer_id"));
    }

    #[test]
    fn contradictions_and_expressions_teach_nothing() {
        let text = statement(false, &[(0, 0, "id"), (1, 0, "customer_id")]);
        assert_eq!(found(&names(&text, &[(10, 1, "a"), (20, 1, "b")]), 10, 1), None);
        assert_eq!(found(&names(&text, &[(0, 0, "a"), (0, 0, "b")]), 0, 0), None);
    }

    #[test]
    fn the_limit_holds_and_ddl_clears() {
        let fields: Vec<_> = (1..=20).map(|n| (10, n, "c")).collect();
        let mut names = names(&statement(true, &[]), &fields);
        assert_eq!(names.names.len(), 10);
        let ddl = |text: &str| Statement {
            operation: Operation::Ddl,
            words: Arc::from(text),
            ..Statement::default()
        };
        names.after(DatabaseId(1), &ddl("CREATE TABLE x (a int)"));
        names.after(DatabaseId(2), &ddl("ALTER TABLE x RENAME TO y"));
        assert_eq!(names.names.len(), 10);
        names.after(DatabaseId(1), &ddl("alter table x rename to y"));
        assert_eq!(names.names.len(), 0);
    }
}
