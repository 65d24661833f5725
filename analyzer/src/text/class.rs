//! What a statement does, after its first words and a few cheap facts about its tokens.

use super::Class;
use super::lex::{Kind, Token, word};
use crate::snapshot::Operation;

fn keyword(tokens: &[Token], at: usize, wanted: u64) -> bool {
    tokens.get(at).is_some_and(|token| token.is(wanted))
}

fn mark(tokens: &[Token], at: usize, wanted: u64) -> bool {
    tokens.get(at).is_some_and(|token| token.is_mark(wanted))
}

/// The first word, also within leading parentheses.
fn first(tokens: &[Token]) -> u64 {
    let token = tokens.iter().find(|token| !token.is_mark(word(b"(")));
    token.filter(|token| token.kind == Kind::Word).map_or(0, |token| token.word)
}

/// Whether literals of the statement may be predicates, so that the parser must see their slots.
pub(super) fn has_slots(tokens: &[Token]) -> bool {
    matches!(
        first(tokens),
        SELECT
            | WITH
            | VALUES
            | TABLE
            | INSERT
            | UPDATE
            | DELETE
            | MERGE
            | EXPLAIN
            | DECLARE
            | PREPARE
            | EXECUTE
            | CALL
    ) && !keyword(tokens, 1, word(b"transaction"))
}

/// Class and operation of one statement.
pub(super) fn of(raw: &[u8], tokens: &[Token]) -> (Class, Operation) {
    match first(tokens) {
        0 if tokens.is_empty() => (Class::Control, Operation::Other),
        SELECT | VALUES | TABLE => read(raw, tokens),
        WITH => with(raw, tokens),
        FETCH => (Class::Read, Operation::Select),
        INSERT => (Class::Write, Operation::Insert),
        UPDATE => (Class::Write, Operation::Update),
        DELETE => (Class::Write, Operation::Delete),
        MERGE => (Class::Write, Operation::Merge),
        COPY => (Class::Other, Operation::Copy),
        PREPARE if keyword(tokens, 1, word(b"transaction")) => {
            (Class::Control, Operation::Transaction)
        }
        other => utility(other),
    }
}

fn utility(first: u64) -> (Class, Operation) {
    let is = |words: &[u64]| words.contains(&first);
    if is(&TRANSACTION_WORDS) {
        (Class::Control, Operation::Transaction)
    } else if is(&CONTROL_WORDS) {
        (Class::Control, Operation::Utility)
    } else if is(&DDL_WORDS) {
        (Class::Other, Operation::Ddl)
    } else if is(&UTILITY_WORDS) {
        (Class::Other, Operation::Utility)
    } else {
        (Class::Other, Operation::Other)
    }
}

const SELECT: u64 = word(b"select");
const VALUES: u64 = word(b"values");
const TABLE: u64 = word(b"table");
const WITH: u64 = word(b"with");
const FETCH: u64 = word(b"fetch");
const INSERT: u64 = word(b"insert");
const UPDATE: u64 = word(b"update");
const DELETE: u64 = word(b"delete");
const MERGE: u64 = word(b"merge");
const COPY: u64 = word(b"copy");
const EXPLAIN: u64 = word(b"explain");
const DECLARE: u64 = word(b"declare");
const PREPARE: u64 = word(b"prepare");
const EXECUTE: u64 = word(b"execute");
const CALL: u64 = word(b"call");

const TRANSACTION_WORDS: [u64; 8] = [
    word(b"begin"),
    word(b"start"),
    word(b"commit"),
    word(b"end"),
    word(b"rollback"),
    word(b"abort"),
    word(b"savepoint"),
    word(b"release"),
];
const CONTROL_WORDS: [u64; 8] = [
    word(b"set"),
    word(b"show"),
    word(b"reset"),
    word(b"deallocate"),
    word(b"discard"),
    word(b"close"),
    word(b"listen"),
    word(b"unlisten"),
];
const DDL_WORDS: [u64; 11] = [
    word(b"create"),
    word(b"alter"),
    word(b"drop"),
    word(b"truncate"),
    word(b"comment"),
    word(b"grant"),
    word(b"revoke"),
    word(b"reindex"),
    word(b"refresh"),
    word(b"security"),
    word(b"import"),
];
const UTILITY_WORDS: [u64; 14] = [
    EXPLAIN,
    DECLARE,
    PREPARE,
    EXECUTE,
    CALL,
    word(b"move"),
    word(b"notify"),
    word(b"vacuum"),
    word(b"analyze"),
    word(b"cluster"),
    word(b"checkpoint"),
    word(b"lock"),
    word(b"do"),
    word(b"load"),
];

fn read(raw: &[u8], tokens: &[Token]) -> (Class, Operation) {
    let class = if is_ping(tokens) {
        Class::Control
    } else if selects_into(tokens) {
        Class::Write
    } else {
        catalogue_or_read(raw, tokens)
    };
    (class, Operation::Select)
}

fn catalogue_or_read(raw: &[u8], tokens: &[Token]) -> Class {
    let any = (0..tokens.len()).any(|at| names_catalogue(raw, tokens, at));
    if any { Class::Catalogue } else { Class::Read }
}

/// `SELECT … INTO table`, on the outermost level.
fn selects_into(tokens: &[Token]) -> bool {
    outermost(tokens).any(|(_, token)| token.is(word(b"into")))
}

fn outermost(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
    let mut depth = 0usize;
    tokens.iter().enumerate().filter(move |(_, token)| {
        if token.is_mark(word(b"(")) {
            depth += 1;
        } else if token.is_mark(word(b")")) {
            depth = depth.saturating_sub(1);
        }
        depth == 0
    })
}

/// WITH: the operation is the outermost statement's, and any part may write.
fn with(raw: &[u8], tokens: &[Token]) -> (Class, Operation) {
    let operation = outermost(tokens).skip(1).find_map(|(_, token)| operation_of(token));
    let writes = |(at, token): (usize, &Token)| {
        let begins = at > 0 && mark(tokens, at - 1, word(b"("));
        begins && operation_of(token).is_some_and(|operation| operation != Operation::Select)
    };
    let operation = operation.unwrap_or(Operation::Select);
    if operation != Operation::Select || tokens.iter().enumerate().any(writes) {
        (Class::Write, operation)
    } else {
        (catalogue_or_read(raw, tokens), operation)
    }
}

fn operation_of(token: &Token) -> Option<Operation> {
    match token.word {
        _ if token.kind != Kind::Word => None,
        SELECT | VALUES | TABLE => Some(Operation::Select),
        INSERT => Some(Operation::Insert),
        UPDATE => Some(Operation::Update),
        DELETE => Some(Operation::Delete),
        MERGE => Some(Operation::Merge),
        _ => None,
    }
}

/// A SELECT of nothing but constants and the questions that pools and drivers ask.
fn is_ping(tokens: &[Token]) -> bool {
    const QUESTIONS: [u64; 9] = [
        word(b"version"),
        word(b"current_schema"),
        word(b"current_database"),
        word(b"current_user"),
        word(b"session_user"),
        word(b"pg_advisory_unlock_all"),
        word(b"pg_is_in_recovery"),
        word(b"current_setting"),
        word(b"set_config"),
    ];
    let quiet = |(at, token): (usize, &Token)| match token.kind {
        Kind::Number | Kind::Str | Kind::Coded | Kind::Param => true,
        Kind::Word if keyword(tokens, at.wrapping_sub(1), word(b"as")) => true,
        Kind::Word => {
            let fixed = [word(b"as"), word(b"true"), word(b"false"), word(b"null")];
            let schema = token.is(PG_CATALOG) && mark(tokens, at + 1, word(b"."));
            QUESTIONS.contains(&token.word) || fixed.contains(&token.word) || schema
        }
        Kind::Quoted => keyword(tokens, at.wrapping_sub(1), word(b"as")),
        Kind::Mark => [word(b"("), word(b")"), word(b","), word(b".")].contains(&token.word),
        Kind::Operator => false,
    };
    tokens.len() > 1 && tokens.iter().enumerate().skip(1).all(quiet)
}

const PG_CATALOG: u64 = word(b"pg_catalog");

/// Whether a relation of the catalogue is named here. Functions, types, operators and collations that are
/// merely qualified by `pg_catalog` don't count: an application's own statements have them too.
fn names_catalogue(raw: &[u8], tokens: &[Token], at: usize) -> bool {
    let Some(token) = tokens.get(at).filter(|token| token.is_name()) else {
        return false;
    };
    let name = unquoted(token.bytes(raw));
    if name.eq_ignore_ascii_case(b"information_schema") {
        return mark(tokens, at + 1, word(b"."));
    }
    if !name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"pg_")) {
        return false;
    }
    if name.eq_ignore_ascii_case(b"pg_catalog") {
        let named = tokens.get(at + 2).is_some_and(Token::is_name);
        let called = mark(tokens, at + 3, word(b"("));
        return named && !called && !is_type_or_collation(tokens, at);
    }
    let called = mark(tokens, at + 1, word(b"("));
    let qualified = at > 0 && mark(tokens, at - 1, word(b"."));
    !called && !qualified && is_catalogue_relation(name)
}

fn is_type_or_collation(tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else {
        return false;
    };
    let as_type = keyword(tokens, before, word(b"as")) || keyword(tokens, before, word(b"collate"));
    as_type || mark(tokens, before, word(b"::"))
}

fn unquoted(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(name)
}

/// Relations that are found without a schema, as they are in every search path.
fn is_catalogue_relation(name: &[u8]) -> bool {
    const NAMES: [&str; 48] = [
        "aggregate",
        "am",
        "amop",
        "amproc",
        "attrdef",
        "attribute",
        "authid",
        "auth_members",
        "available_extensions",
        "cast",
        "class",
        "collation",
        "constraint",
        "conversion",
        "cursors",
        "database",
        "depend",
        "description",
        "enum",
        "extension",
        "foreign_server",
        "foreign_table",
        "group",
        "index",
        "indexes",
        "inherits",
        "language",
        "locks",
        "matviews",
        "namespace",
        "opclass",
        "operator",
        "partitioned_table",
        "policies",
        "prepared_statements",
        "proc",
        "publication",
        "range",
        "rewrite",
        "roles",
        "sequence",
        "sequences",
        "settings",
        "tables",
        "tablespace",
        "trigger",
        "type",
        "user",
    ];
    let short = name.get(3..).unwrap_or(&[]);
    let statistics = short.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"stat"));
    let views =
        short.eq_ignore_ascii_case(b"views") || short.eq_ignore_ascii_case(b"shdescription");
    statistics || views || NAMES.iter().any(|known| short.eq_ignore_ascii_case(known.as_bytes()))
}
