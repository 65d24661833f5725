//! What one digest is: the part of a text that all its executions share.

use super::grammar::Grammar;
use crate::disguise::Disguise;
use crate::facts::{Smell, StatementFacts};
use crate::known::KnownText;
use crate::snapshot::Operation;
use crate::text::{Class, Part, StableHash, cut};
use std::sync::Arc;

/// Longest summary, in bytes.
const SUMMARY_BYTES_MAX: usize = 120;
/// What digests are hashed for that have no shape of their own.
const WHOLE_DOMAIN: u64 = 0x0077_686f_6c65;
const NAMED_DOMAIN: u64 = 0x6e61_6d65_6400;

/// One statement as a digest knows it.
#[derive(Debug, Default)]
pub(crate) struct Statement {
    /// Identity: fingerprint if the grammar knows it, else the shape.
    pub(crate) digest: u64,
    /// Class, refined by the grammar.
    pub(crate) class: Class,
    /// Operation.
    pub(crate) operation: Operation,
    /// Redacted text for display; empty where texts are hidden.
    pub(crate) text: Arc<str>,
    /// Redacted text for detectors: it may not leave.
    pub(crate) words: Arc<str>,
    /// Whether the text was cut.
    pub(crate) cut: bool,
    /// Whether the grammar understood it.
    pub(crate) parsed: bool,
    /// Operation and tables in a few words.
    pub(crate) summary: Arc<str>,
    /// Tables that it names.
    pub(crate) tables: Vec<Arc<str>>,
    /// What the grammar knows.
    pub(crate) facts: Option<StatementFacts>,
    /// Where its smells begin in the redacted text, in bytes.
    pub(crate) smell_offsets: Vec<Option<usize>>,
}

impl Statement {
    /// Asks the grammar about a part whose shape is new.
    pub(crate) fn of(
        part: &Part,
        grammar: &Grammar,
        disguise: &Disguise,
        cut_text: bool,
        text_bytes_max: usize,
    ) -> Self {
        let analysed = if part.readable { grammar.analyse(&part.parser_text) } else { None };
        let parsed = analysed.is_some();
        let digest = analysed.as_ref().map_or(part.shape, |analysed| analysed.fingerprint);
        let mut facts = analysed.and_then(|analysed| analysed.facts);
        let operation = match &facts {
            Some(facts) if facts.operation != Operation::Other => facts.operation,
            _ => part.operation,
        };
        let shown = cut(&part.redacted, text_bytes_max);
        let smell_offsets = facts.as_ref().map_or_else(Vec::new, |facts| {
            let offset =
                |smell: &Smell| shown_offset(&part.parser_text, smell.parser_offset, shown);
            let offset = |smell| offset(smell).filter(|_| !disguise.is_on());
            facts.smells.iter().map(offset).collect()
        });
        let class = class_of(part.class, facts.as_ref());
        facts.iter_mut().for_each(|facts| disguise.facts(facts));
        let tables: Vec<Arc<str>> = facts.as_ref().map(tables_of).unwrap_or_default();
        let words: Arc<str> = Arc::from(shown);
        let hidden = disguise.is_on();
        Self {
            digest,
            class,
            operation,
            cut: cut_text || shown.len() < part.redacted.len(),
            parsed,
            summary: summary_of(operation, &tables, if hidden { None } else { Some(shown) }),
            text: if hidden { Arc::from("") } else { words.clone() },
            words,
            tables,
            facts,
            smell_offsets,
        }
    }

    /// A text that is counted as a whole: several statements that can't be told apart.
    pub(crate) fn whole(parts: &[Arc<Self>], hidden: bool, text_bytes_max: usize) -> Self {
        let mut hash = StableHash::new(WHOLE_DOMAIN);
        for part in parts {
            hash.word(part.digest);
        }
        let text = parts.iter().map(|part| &*part.words).collect::<Vec<_>>().join("; ");
        let shown = cut(&text, text_bytes_max);
        Self {
            digest: hash.finish(),
            class: if parts.iter().all(|part| part.class == Class::Control) {
                Class::Control
            } else {
                Class::Other
            },
            cut: shown.len() < text.len(),
            summary: summary_of(Operation::Other, &[], (!hidden).then_some(shown)),
            text: if hidden { Arc::from("") } else { Arc::from(shown) },
            words: Arc::from(shown),
            ..Self::default()
        }
    }

    /// A digest without a text: `name` stands for it.
    pub(crate) fn named(name: &str, class: Class) -> Self {
        let mut hash = StableHash::new(NAMED_DOMAIN);
        hash.bytes(name.as_bytes());
        Self {
            digest: hash.finish(),
            class,
            summary: Arc::from(name),
            text: Arc::from(""),
            ..Self::default()
        }
    }

    /// A digest whose reading is known already.
    pub(crate) fn known(text: &KnownText) -> Self {
        Self {
            digest: text.digest,
            class: text.class,
            operation: text.operation,
            text: text.query_text.clone(),
            words: text.query_text.clone(),
            cut: text.cut,
            parsed: text.parsed,
            summary: text.summary.clone(),
            tables: text.tables.clone(),
            ..Self::default()
        }
    }

    /// Bytes that it keeps alive, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let predicates = self.facts.as_ref().map_or(0, |facts| {
            (facts.predicates.len() + facts.target_columns.len() + facts.relations.len()) * 64
        });
        256 + self.words.len() + self.summary.len() + predicates
    }

    /// Whether it may be the repeated statement of an N+1.
    pub(crate) fn may_be_child(&self) -> bool {
        self.class == Class::Read && self.facts.as_ref().is_some_and(|facts| facts.has_from)
    }

    /// Whether both are the same statement in the same words: `id = $1` and `id IN ($1)` share a digest, but one is
    /// a look-up and the other may be a batch of them.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        self.digest == other.digest && self.text == other.text
    }

    /// Whether its first words are those, in any case.
    pub(crate) fn starts_with(&self, words: &str) -> bool {
        self.words.get(..words.len()).is_some_and(|head| head.eq_ignore_ascii_case(words))
    }
}

/// Where a word of the parser's text stands in the text for display: they have the same words in the same order, but
/// for what is folded away in lists.
fn shown_offset(parser_text: &str, offset: usize, shown: &str) -> Option<usize> {
    let is_part = |byte: char| byte.is_alphanumeric() || matches!(byte, '_' | '$' | '"');
    let rest = parser_text.get(offset..)?;
    let word = rest.get(..rest.find(|c| !is_part(c)).unwrap_or(rest.len()))?;
    let whole = |text: &str, at: usize| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    };
    let places = |text: &str| -> Vec<usize> {
        let all = text.match_indices(word).map(|(at, _)| at);
        all.filter(|at| whole(text, *at)).collect()
    };
    let ordinal = places(parser_text).iter().position(|at| *at == offset)?;
    places(shown).get(ordinal).copied().filter(|_| !word.is_empty())
}

fn class_of(lexed: Class, facts: Option<&StatementFacts>) -> Class {
    let Some(facts) = facts else { return lexed };
    let catalogue = |schema: &Option<String>| {
        matches!(schema.as_deref(), Some("pg_catalog" | "information_schema"))
    };
    match lexed {
        Class::Read | Class::Write if facts.relations.iter().any(|r| catalogue(&r.schema)) => {
            Class::Catalogue
        }
        Class::Read if facts.writes => Class::Write,
        other => other,
    }
}

fn tables_of(facts: &StatementFacts) -> Vec<Arc<str>> {
    let mut tables: Vec<Arc<str>> = Vec::new();
    for relation in &facts.relations {
        let name: Arc<str> = match &relation.schema {
            Some(schema) => Arc::from(format!("{schema}.{}", relation.name)),
            None => Arc::from(relation.name.as_str()),
        };
        if !tables.contains(&name) {
            tables.push(name);
        }
    }
    tables
}

/// Without a text, what it does is all that is said of a statement that names no table.
fn summary_of(operation: Operation, tables: &[Arc<str>], text: Option<&str>) -> Arc<str> {
    let mut summary = if let Some(text) = text.filter(|_| tables.is_empty()) {
        first_words(text)
    } else {
        let mut words = operation.name().to_uppercase();
        for table in tables {
            words.push(' ');
            words.push_str(table);
        }
        words
    };
    summary.truncate(cut(&summary, SUMMARY_BYTES_MAX).len());
    Arc::from(summary)
}

fn first_words(text: &str) -> String {
    const WORDS: usize = 3;
    let words: Vec<&str> = text.split_whitespace().take(WORDS).collect();
    if words.is_empty() { "(empty)".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Relation;

    #[test]
    fn summaries_name_operation_and_tables() {
        let tables: Vec<Arc<str>> = vec![Arc::from("orders"), Arc::from("customers")];
        for (operation, tables, text, summary) in [
            (Operation::Select, &tables[..], "SELECT 1", "SELECT orders customers"),
            (Operation::Utility, &[][..], "SET search_path TO ?", "SET search_path TO"),
            (Operation::Other, &[][..], "", "(empty)"),
        ] {
            assert_eq!(&*summary_of(operation, tables, Some(text)), summary);
        }
        let long: Vec<Arc<str>> = (0..40).map(|n| Arc::from(format!("table_{n}"))).collect();
        assert_eq!(summary_of(Operation::Select, &long, None).len(), SUMMARY_BYTES_MAX);
    }

    #[test]
    fn the_grammar_refines_the_class() {
        let facts = |schema: Option<&str>, writes| StatementFacts {
            relations: vec![Relation { schema: schema.map(Into::into), ..Relation::default() }],
            writes,
            ..StatementFacts::default()
        };
        for (lexed, schema, writes, class) in [
            (Class::Read, None, false, Class::Read),
            (Class::Read, None, true, Class::Write),
            (Class::Read, Some("pg_catalog"), false, Class::Catalogue),
            (Class::Control, Some("pg_catalog"), false, Class::Control),
            (Class::Read, Some("shop"), false, Class::Read),
        ] {
            assert_eq!(class_of(lexed, Some(&facts(schema, writes))), class);
        }
    }
}
