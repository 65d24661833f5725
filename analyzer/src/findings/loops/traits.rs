//! What a digest is to the rules of this family: found once per digest, for it needs a look at names.

use crate::digest::Statement;
use crate::facts::{PredicateClass, StatementFacts};
use crate::snapshot::Operation;
use crate::text::{Class, StableHash};

/// Slots of a look-up's key that are looked at.
const KEY_SLOTS_MAX: usize = 4;
/// Tables of a statement that are told apart; with more of them it touches every table.
const TABLES_MAX: usize = 4;
/// Functions kept by the grammar; at this number there may be more of them.
const FUNCTIONS_MAX: usize = 16;
const TABLE_DOMAIN: u64 = 0x7461_626c_6573;

/// What a statement does, as far as loops are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// SELECT and its like.
    Read,
    /// INSERT, UPDATE, DELETE.
    Write,
    /// FETCH from a cursor.
    Fetch,
    /// DECLARE of a cursor.
    Declare,
    Commit,
    Savepoint,
    /// RELEASE or ROLLBACK TO.
    Release,
    /// CLOSE of a cursor.
    CloseCursor,
    /// SET: what a text means may change.
    Setting,
    /// RESET, DISCARD: settings are taken back.
    Reset,
    /// Any other control or catalogue statement.
    Quiet,
    /// DDL, COPY, CALL, unknown: may change everything.
    #[default]
    Other,
}

impl Role {
    /// Whether it stands between others without breaking their row.
    pub(super) fn is_quiet(self) -> bool {
        !matches!(self, Self::Read | Self::Write | Self::Fetch | Self::Declare | Self::Other)
    }
}

/// Tables of a statement, by hash of their names without schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    hashes: [u32; TABLES_MAX],
    len: u8,
    /// More than are kept.
    any: bool,
    /// One bit per table, all of them if there are more.
    pub(super) mask: u64,
}

impl Tables {
    fn of(statement: &Statement) -> Self {
        let mut tables = Self::default();
        for name in &statement.tables {
            let mut hash = StableHash::new(TABLE_DOMAIN);
            hash.folded(name.rsplit('.').next().unwrap_or(name).as_bytes());
            match tables.hashes.get_mut(usize::from(tables.len)) {
                Some(place) => {
                    *place = hash.finish() as u32;
                    tables.len += 1;
                    tables.mask |= 1 << (*place % u64::BITS);
                }
                None => (tables.any, tables.mask) = (true, u64::MAX),
            }
        }
        tables
    }

    fn kept(&self) -> &[u32] {
        self.hashes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether both may name a table.
    pub(super) fn meet(&self, other: &Self) -> bool {
        if self.mask & other.mask == 0 {
            return false;
        }
        let shared = || self.kept().iter().any(|table| other.kept().contains(table));
        self.any || other.any || shared()
    }

    /// Whether the other one's first table is among these.
    pub(super) fn hold_first_of(&self, other: &Self) -> bool {
        other.kept().first().is_some_and(|table| self.kept().contains(table))
    }
}

/// What the rules ask about a digest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    pub(super) role: Role,
    pub(super) tables: Tables,
    /// A read by equality only.
    pub(super) lookup: bool,
    /// A read that gives the same result until its tables change.
    pub(super) repeatable: bool,
    /// `SELECT count(…)`.
    pub(super) count: bool,
    /// A read of some of many rows.
    pub(super) page: bool,
    /// INSERT or UPDATE: the second half of an upsert.
    pub(super) upserts: bool,
    /// INSERT: rows need no values of their own.
    pub(super) inserts: bool,
    /// FOR UPDATE, FOR SHARE.
    pub(super) locking: bool,
    /// Literals of the text, if every one of them can be told.
    pub(super) literals: Option<u16>,
    key_slots: [u16; KEY_SLOTS_MAX],
    key_slots_len: u8,
    /// A list among the keys: one value makes a look-up, several a batch.
    list: bool,
}

impl Traits {
    pub(super) fn of(statement: &Statement) -> Self {
        let role = role_of(statement);
        let mut traits = Self {
            role,
            tables: Tables::of(statement),
            literals: literals_of(&statement.words),
            upserts: role == Role::Write
                && matches!(statement.operation, Operation::Insert | Operation::Update),
            inserts: statement.operation == Operation::Insert,
            ..Self::default()
        };
        if let Some(facts) = statement.facts.as_ref().filter(|_| role == Role::Read) {
            traits.read(statement, facts);
        }
        traits
    }

    fn read(&mut self, statement: &Statement, facts: &StatementFacts) {
        self.take_keys(facts);
        let harmless = facts.functions.len() < FUNCTIONS_MAX
            && facts.functions.iter().all(|name| is_harmless(name));
        self.locking = facts.locking;
        self.lookup = facts.has_from
            && self.key_slots_len > 0
            && !facts.predicates.iter().any(is_other_than_equality);
        self.repeatable =
            facts.has_from && !facts.locking && harmless && !is_timed(&statement.words);
        self.count = facts.has_from
            && facts.aggregate
            && !facts.grouped
            && facts.functions.iter().any(|name| name == "count");
        self.page = facts.has_from && facts.limit_may_exceed_one && !facts.aggregate;
    }

    fn take_keys(&mut self, facts: &StatementFacts) {
        for predicate in &facts.predicates {
            let list = predicate.class == PredicateClass::In;
            if !list && predicate.class != PredicateClass::Eq {
                continue;
            }
            for slot in &predicate.slots {
                if let Some(place) = self.key_slots.get_mut(usize::from(self.key_slots_len)) {
                    *place = *slot;
                    self.key_slots_len += 1;
                    self.list |= list;
                }
            }
        }
    }

    /// Whether it names a table.
    pub(super) fn has_tables(&self) -> bool {
        self.tables.len > 0
    }

    /// Slots whose values say which row is meant.
    pub(super) fn key_slots(&self) -> &[u16] {
        self.key_slots.get(..usize::from(self.key_slots_len)).unwrap_or(&[])
    }

    /// Whether a list is among the keys.
    pub(super) fn has_list(&self) -> bool {
        self.list
    }
}

fn role_of(statement: &Statement) -> Role {
    let begins = |words: &[&str]| words.iter().any(|word| statement.starts_with(word));
    match statement.class {
        Class::Read if begins(&["FETCH"]) => Role::Fetch,
        Class::Read => Role::Read,
        Class::Write => match statement.operation {
            Operation::Insert | Operation::Update | Operation::Delete => Role::Write,
            _ => Role::Other,
        },
        Class::Other if begins(&["DECLARE"]) => Role::Declare,
        Class::Other => Role::Other,
        Class::Control if begins(&["COMMIT", "END"]) => Role::Commit,
        Class::Control if begins(&["SAVEPOINT"]) => Role::Savepoint,
        Class::Control if begins(&["RELEASE", "ROLLBACK TO"]) => Role::Release,
        Class::Control if begins(&["CLOSE"]) => Role::CloseCursor,
        Class::Control if begins(&["SET"]) => Role::Setting,
        Class::Control if begins(&["RESET", "DISCARD"]) => Role::Reset,
        Class::Control if contains(&statement.words, "set_config") => Role::Setting,
        Class::Control | Class::Catalogue => Role::Quiet,
    }
}

fn is_other_than_equality(predicate: &crate::facts::Predicate) -> bool {
    let equality =
        matches!(predicate.class, PredicateClass::Eq | PredicateClass::In | PredicateClass::Null);
    !equality && !predicate.slots.is_empty()
}

/// Functions whose result depends on their arguments alone; any other one may do or read anything.
fn is_harmless(name: &str) -> bool {
    const NAMES: [&str; 40] = [
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "array_agg",
        "string_agg",
        "json_agg",
        "jsonb_agg",
        "bool_and",
        "bool_or",
        "every",
        "json_object_agg",
        "jsonb_object_agg",
        "row_number",
        "rank",
        "dense_rank",
        "lag",
        "lead",
        "first_value",
        "last_value",
        "lower",
        "upper",
        "length",
        "trim",
        "btrim",
        "concat",
        "substring",
        "substr",
        "replace",
        "abs",
        "round",
        "floor",
        "ceil",
        "date_trunc",
        "date_part",
        "extract",
        "json_build_object",
        "jsonb_build_object",
        "unnest",
    ];
    NAMES.contains(&name)
}

/// Words of SQL that stand for the time or the session, without the look of a function.
fn is_timed(text: &str) -> bool {
    const WORDS: [&str; 6] =
        ["current_", "localtime", "session_user", "tablesample", "'now'", "'today'"];
    WORDS.iter().any(|word| contains(text, word))
}

fn contains(text: &str, lower: &str) -> bool {
    let (text, lower) = (text.as_bytes(), lower.as_bytes());
    text.windows(lower.len()).any(|part| part.eq_ignore_ascii_case(lower))
}

/// How many literals the redacted text stands for; unknown where a list was collapsed.
fn literals_of(text: &str) -> Option<u16> {
    let marks = text.bytes().filter(|byte| *byte == b'?').count();
    u16::try_from(marks).ok().filter(|_| !text.contains('…'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Redaction;
    use crate::digest::grammar::Grammar;
    use crate::disguise::Disguise;
    use crate::value::Salt;

    fn traits(sql: &str) -> Traits {
        let info = crate::text::read(sql.as_bytes(), &Salt::new(1, 2));
        let shown = Disguise::new(Redaction::Literals, &Salt::new(0, 0));
        Traits::of(&Statement::of(&info.parts[0], &Grammar::default(), &shown, false, 8_192))
    }

    #[test]
    fn roles() {
        for (sql, role) in [
            ("SELECT id FROM t WHERE id = 1", Role::Read),
            ("WITH x AS (INSERT INTO t VALUES (1) RETURNING id) SELECT id FROM x", Role::Other),
            ("INSERT INTO t VALUES (1)", Role::Write),
            ("UPDATE t SET a = 1", Role::Write),
            ("DELETE FROM t WHERE id = 1", Role::Write),
            ("COPY t FROM STDIN", Role::Other),
            ("FETCH FORWARD 5 FROM c_1", Role::Fetch),
            ("DECLARE c CURSOR FOR SELECT id FROM t", Role::Declare),
            ("CLOSE c", Role::CloseCursor),
            ("SAVEPOINT a", Role::Savepoint),
            ("RELEASE SAVEPOINT a", Role::Release),
            ("ROLLBACK TO SAVEPOINT a", Role::Release),
            ("ROLLBACK", Role::Quiet),
            ("COMMIT", Role::Commit),
            ("SET app.tenant = '5'", Role::Setting),
            ("SELECT set_config('app.tenant', '5', true)", Role::Setting),
            ("RESET ALL", Role::Reset),
            ("SELECT 1", Role::Quiet),
            ("SELECT relname FROM pg_class", Role::Quiet),
        ] {
            assert_eq!(traits(sql).role, role, "{sql}");
        }
    }

    #[test]
    fn reads() {
        for (sql, lookup, repeatable, count, page) in [
            ("SELECT id FROM t WHERE id = $1", true, true, false, false),
            ("SELECT id FROM t WHERE id = $1 AND up IS NULL", true, true, false, false),
            ("SELECT id FROM t WHERE id IN ($1)", true, true, false, false),
            ("SELECT id FROM t WHERE shop = $1 AND id > $2 ORDER BY id", false, true, false, false),
            ("SELECT id FROM t", false, true, false, false),
            ("SELECT id FROM t WHERE id = $1 FOR UPDATE", true, false, false, false),
            ("SELECT id FROM t WHERE at < now()", false, false, false, false),
            (
                "SELECT id FROM t WHERE at < CURRENT_TIMESTAMP AND id = $1",
                true,
                false,
                false,
                false,
            ),
            ("SELECT price(id) FROM t WHERE id = $1", true, false, false, false),
            ("SELECT lower(name) FROM t WHERE id = $1", true, true, false, false),
            ("SELECT count(*) FROM t WHERE shop = $1", true, true, true, false),
            ("SELECT max(id) FROM t", false, true, false, false),
            ("SELECT shop, count(*) FROM t GROUP BY shop", false, true, false, false),
            ("SELECT id FROM t ORDER BY id LIMIT $1 OFFSET $2", false, true, false, true),
            ("SELECT id FROM t WHERE id = $1 LIMIT 1", true, true, false, false),
            ("SELECT nextval('s')", false, false, false, false),
        ] {
            let of = traits(sql);
            assert_eq!(
                (of.lookup, of.repeatable, of.count, of.page),
                (lookup, repeatable, count, page),
                "{sql}"
            );
        }
    }

    #[test]
    fn tables_meet() {
        let tables = |sql: &str| traits(sql).tables;
        let orders = tables("SELECT o.id FROM shop.orders o JOIN items i ON i.order_id = o.id");
        assert!(orders.meet(&tables("UPDATE orders SET a = 1")));
        assert!(orders.meet(&tables("DELETE FROM items")));
        assert!(!orders.meet(&tables("DELETE FROM item")));
        assert!(orders.hold_first_of(&tables("INSERT INTO items SELECT id FROM x")));
        assert!(!orders.hold_first_of(&tables("INSERT INTO x SELECT id FROM items")));
        let many = tables("SELECT 1 FROM a, b, c, d, e");
        assert!(many.meet(&orders), "beyond the limit any table may be meant");
    }

    #[test]
    fn literals_that_can_be_counted() {
        for (sql, literals) in [
            ("SELECT id FROM t WHERE a = 1 AND b = 'x'", Some(2)),
            ("SELECT id FROM t WHERE a = $1", Some(0)),
            ("SELECT id FROM t WHERE a IN (1, 2, 3)", None),
        ] {
            assert_eq!(traits(sql).literals, literals, "{sql}");
        }
    }
}
