//! What of names and texts may leave: the one place where they are disguised, at the door of the analyzer.
//!
//! Everything downstream (findings, sentences, fixes, labels, events, snapshots) is made of what comes out of here, so
//! nothing of it has to be cleaned afterwards. A pseudonym is 40 bits of a keyed hash: equal names have equal
//! pseudonyms within one process, and without the key nobody can try names until one fits.

use crate::facts::{Relation, StatementFacts};
use crate::text::{MarkChange, Tags};
use crate::value::Salt;
use std::sync::Arc;

/// What is kept of texts, values and names (`profile.redact`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redaction {
    /// Texts without literals and comments; names as they are.
    #[default]
    Literals,
    /// No text; every name of the application is a pseudonym.
    AllText,
    /// As [`Self::Literals`]; events also hold texts, parameters and messages of errors as they were sent.
    Off,
}

impl Redaction {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Literals, Self::AllText, Self::Off];

    /// The word for it in the configuration and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Literals => "literals",
            Self::AllText => "all-text",
            Self::Off => "off",
        }
    }

    /// The level of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// What a name is the name of: begins its pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noun {
    Table,
    Column,
    Schema,
    Database,
    User,
    Service,
    Route,
    Mark,
    Code,
    TagKey,
    TagValue,
}

impl Noun {
    fn initial(self) -> &'static str {
        match self {
            Self::Table => "t",
            Self::Column => "c",
            Self::Schema => "n",
            Self::Database => "db",
            Self::User => "u",
            Self::Service => "s",
            Self::Route => "r",
            Self::Mark => "m",
            Self::Code => "f",
            Self::TagKey => "k",
            Self::TagValue => "v",
        }
    }
}

/// Letters of a pseudonym behind its initial, four bits each: 4,096 names are all different but for one start in
/// 100,000.
const LETTERS: u32 = 10;

/// Makes pseudonyms, or leaves names alone.
#[derive(Clone)]
pub(crate) struct Disguise {
    key: Option<Salt>,
}

impl Disguise {
    pub(crate) fn new(redaction: Redaction, salt: &Salt) -> Self {
        Self { key: (redaction == Redaction::AllText).then(|| salt.clone()) }
    }

    /// Whether names and texts are hidden.
    pub(crate) fn is_on(&self) -> bool {
        self.key.is_some()
    }

    /// What stands for a name; for an empty one, the empty one.
    pub(crate) fn name(&self, noun: Noun, name: &str) -> Option<String> {
        let key = self.key.as_ref().filter(|_| !name.is_empty())?;
        let number = key.pseudonym(name);
        // Letters only: digits in a name are taken for what changes from process to process.
        let letter = |at: u32| char::from(b'a' + (number >> (4 * at) & 15) as u8);
        let letters: String = (0..LETTERS).map(letter).collect();
        let pseudonym = format!("{}_{letters}", noun.initial());
        // Which column is a key decides which fix a loop needs.
        let is_key = noun == Noun::Column && name.len() > 1 && name.to_lowercase().ends_with("id");
        Some(if is_key { pseudonym + "_id" } else { pseudonym })
    }

    /// A label as it may be shown.
    pub(crate) fn label(&self, noun: Noun, name: Arc<str>) -> Arc<str> {
        self.name(noun, &name).map_or(name, Arc::from)
    }

    fn replace(&self, noun: Noun, name: &mut String) {
        if let Some(pseudonym) = self.name(noun, name) {
            *name = pseudonym;
        }
    }

    /// The names that the grammar found. Functions and operators stay: detectors know the server's own by name, and no
    /// output names any.
    pub(crate) fn facts(&self, facts: &mut StatementFacts) {
        if !self.is_on() {
            return;
        }
        facts.relations.iter_mut().for_each(|relation| self.relation(relation));
        for predicate in &mut facts.predicates {
            self.replace(Noun::Column, &mut predicate.column);
            if let Some((_, column)) = &mut predicate.join {
                self.replace(Noun::Column, column);
            }
        }
        for target in facts.target_columns.iter_mut().chain(&mut facts.order_by) {
            self.replace(Noun::Column, &mut target.column);
        }
        for (_, column) in facts.smells.iter_mut().filter_map(|smell| smell.column.as_mut()) {
            self.replace(Noun::Column, column);
        }
        if let Some(table) = facts.change.as_mut().and_then(|change| change.table.as_mut()) {
            self.relation(table);
        }
    }

    fn relation(&self, relation: &mut Relation) {
        self.replace(Noun::Table, &mut relation.name);
        let own =
            |schema: &&mut String| !matches!(schema.as_str(), "pg_catalog" | "information_schema");
        if let Some(schema) = relation.schema.as_mut().filter(own) {
            self.replace(Noun::Schema, schema);
        }
        if let Some(alias) = &mut relation.alias {
            self.replace(Noun::Table, alias);
        }
    }

    /// What the comments of a text say. The framework stays: it is shown only as one of the ORMs that we know.
    pub(crate) fn tags(&self, tags: &mut Tags) {
        let named = [
            (Noun::Route, &mut tags.route),
            (Noun::Service, &mut tags.service),
            (Noun::Mark, &mut tags.mark),
            (Noun::Code, &mut tags.code),
        ];
        for (noun, tag) in named {
            if let Some(name) = tag.take() {
                *tag = Some(self.label(noun, name));
            }
        }
        for (key, value) in &mut tags.others {
            *key = self.label(Noun::TagKey, key.clone());
            *value = self.label(Noun::TagValue, value.clone());
        }
        for (key, _) in &mut tags.keys {
            *key = self.label(Noun::TagKey, key.clone());
        }
    }

    /// What a statement calls its session.
    pub(crate) fn mark(&self, change: MarkChange) -> MarkChange {
        let label = |mark: Option<Arc<str>>| mark.map(|mark| self.label(Noun::Mark, mark));
        match change {
            MarkChange::Set(mark) => MarkChange::Set(label(mark)),
            MarkChange::SetLocal(mark) => MarkChange::SetLocal(label(mark)),
            MarkChange::Reset => MarkChange::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Predicate, PredicateClass, Smell, TableChange, TargetColumn};

    fn strict(key: u64) -> Disguise {
        Disguise::new(Redaction::AllText, &Salt::new(key, 7))
    }

    #[test]
    fn only_the_strict_level_disguises() {
        for (level, on) in
            [(Redaction::Literals, false), (Redaction::AllText, true), (Redaction::Off, false)]
        {
            let disguise = Disguise::new(level, &Salt::new(1, 2));
            let shown = disguise.label(Noun::Route, Arc::from("/orders"));
            assert_eq!((disguise.is_on(), &*shown == "/orders"), (on, !on), "{level:?}");
            assert_eq!(Redaction::named(level.name()), Some(level));
        }
    }

    #[test]
    fn pseudonyms_depend_on_name_and_key_and_say_what_they_name() {
        let (one, other) = (strict(1), strict(2));
        let of = |disguise: &Disguise, name: &str| disguise.name(Noun::Table, name).unwrap();
        assert_eq!(of(&one, "orders"), of(&one, "orders"));
        assert_ne!(of(&one, "orders"), of(&one, "order"));
        assert_ne!(of(&one, "orders"), of(&other, "orders"));
        assert_eq!(of(&one, "orders").len(), "t_abcdefghij".len());
        for (name, key) in [("order_id", true), ("customerId", true), ("id", true), ("name", false)]
        {
            let pseudonym = one.name(Noun::Column, name).unwrap();
            assert_eq!((&pseudonym[..2], pseudonym.ends_with("_id")), ("c_", key), "{name}");
        }
        assert_eq!(one.name(Noun::User, ""), None);
    }

    #[test]
    fn no_name_of_the_facts_is_left() {
        let table = || Relation {
            schema: Some("kanari".into()),
            name: "kanari".into(),
            alias: Some("kanari".into()),
        };
        let column = || TargetColumn { column: "kanari".into(), ..TargetColumn::default() };
        let mut facts = StatementFacts {
            relations: vec![table()],
            predicates: vec![Predicate {
                relation: 0,
                column: "kanari".into(),
                class: PredicateClass::Join,
                slots: Vec::new(),
                join: Some((0, "kanari".into())),
                top_level: true,
            }],
            target_columns: vec![column()],
            order_by: vec![column()],
            smells: vec![Smell { rule: "r", parser_offset: 0, column: Some((0, "kanari".into())) }],
            change: Some(Box::new(TableChange { table: Some(table()), ..TableChange::default() })),
            ..StatementFacts::default()
        };
        strict(1).facts(&mut facts);
        assert!(!format!("{facts:?}").contains("kanari"), "{facts:?}");
        let mut catalogue = StatementFacts {
            relations: vec![Relation {
                schema: Some("pg_catalog".into()),
                name: "x".into(),
                alias: None,
            }],
            ..StatementFacts::default()
        };
        strict(1).facts(&mut catalogue);
        assert_eq!(catalogue.relations[0].schema.as_deref(), Some("pg_catalog"));
    }
}
