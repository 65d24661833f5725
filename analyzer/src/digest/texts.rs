//! Statement texts by key, in two generations.
//!
//! When the current generation is full it becomes the previous one and the epoch rises; senders that see a
//! new epoch send their texts again. A text that is found in the previous generation moves on to the current one,
//! because a prepared statement sends its text only once: what is in use is not forgotten.

use super::grammar::Grammar;
use super::statement::Statement;
use crate::Map;
use crate::Redaction;
use crate::disguise::{Disguise, Noun};
use crate::known::KnownText;
use crate::limits::Limits;
use crate::record::{BindCell, Field, NewText, RecordBatch, TextKey};
use crate::text::{
    Class, MarkChange, Part, SharedSlot, StableHash, TagKeys, Tags, TextInfo, read_tagged,
};
use crate::value::Salt;
use std::sync::Arc;

/// Columns of a description that are kept.
const DESCRIBED_FIELDS_MAX: usize = 256;
/// Bytes that an entry costs besides its literals and tags.
const ENTRY_BYTES: usize = 96;
/// Bytes of a place in a table of texts.
const SLOT_BYTES: usize = 24;

/// What one text means.
#[derive(Debug)]
pub(crate) struct TextEntry {
    parts: Vec<PartEntry>,
    whole: Option<Arc<Statement>>,
    /// Tags of its comments.
    pub(crate) tags: Tags,
    /// As it was sent, where that is kept.
    pub(crate) raw: Option<Arc<str>>,
}

#[derive(Debug)]
struct PartEntry {
    statement: Arc<Statement>,
    literals: Box<[BindCell]>,
    shared_slots: Box<[SharedSlot]>,
    list_elements: u32,
    code: u64,
    mark: Option<MarkChange>,
}

impl TextEntry {
    /// The statement at a position of the text; beyond its statements, the text as a whole.
    pub(crate) fn member(&self, member: u16) -> Option<&Arc<Statement>> {
        let part = self.parts.get(usize::from(member)).map(|part| &part.statement);
        part.or(self.whole.as_ref()).or_else(|| self.parts.last().map(|part| &part.statement))
    }

    /// The statement, if the text holds one alone.
    pub(crate) fn single(&self) -> Option<&Arc<Statement>> {
        self.parts.first().map(|part| &part.statement).filter(|_| self.parts.len() == 1)
    }

    /// The literals of the statement at a position, as bind cells.
    pub(crate) fn literals(&self, member: u16) -> &[BindCell] {
        self.parts.get(usize::from(member)).map_or(&[], |part| &part.literals)
    }

    /// Which parameters of the statement at a position count under another slot.
    pub(crate) fn shared_slots(&self, member: u16) -> &[SharedSlot] {
        self.parts.get(usize::from(member)).map_or(&[], |part| &part.shared_slots)
    }

    /// Elements of the longest list of the statement at a position.
    pub(crate) fn list_elements(&self, member: u16) -> u32 {
        self.parts.get(usize::from(member)).map_or(0, |part| part.list_elements)
    }

    /// Identity of the statement at a position, without white space and comments.
    pub(crate) fn code(&self, member: u16) -> u64 {
        self.parts.get(usize::from(member)).map_or(0, |part| part.code)
    }

    /// What the statement at a position does to the mark of its session.
    pub(crate) fn mark_change(&self, member: u16) -> Option<&MarkChange> {
        self.parts.get(usize::from(member)).and_then(|part| part.mark.as_ref())
    }

    fn bytes(&self) -> usize {
        let literals: usize = self
            .parts
            .iter()
            .map(|part| size_of_val(&*part.literals) + size_of_val(&*part.shared_slots))
            .sum();
        let tags = &self.tags;
        let tags = [&tags.route, &tags.service, &tags.framework, &tags.mark, &tags.code];
        let tags: usize = tags.into_iter().flatten().map(|tag| tag.len()).sum();
        let keys: usize = self.tags.keys.iter().map(|(key, _)| 40 + key.len()).sum();
        let others: usize =
            self.tags.others.iter().map(|(key, value)| 64 + key.len() + value.len()).sum();
        let raw = self.raw.as_ref().map_or(0, |raw| raw.len());
        ENTRY_BYTES
            + raw
            + literals
            + others
            + tags
            + keys
            + self.parts.len() * size_of::<PartEntry>()
    }
}

/// The columns of a text's result.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Table, attribute and label by position.
    pub(crate) fields: Vec<(u32, i16, Arc<str>)>,
    /// OIDs of their types.
    pub(crate) types: Vec<u32>,
}

#[derive(Debug, Default)]
struct Generation {
    texts: Map<TextKey, Arc<TextEntry>>,
    /// By arrangement.
    statements: Map<u64, Arc<Statement>>,
    /// With whether no execution has followed yet.
    described: Map<TextKey, (Arc<Described>, bool)>,
    /// Columns by their identity.
    columns: Map<u64, Arc<Described>>,
    wide: Map<TextKey, u32>,
    bytes: usize,
}

/// All texts that are remembered.
pub(crate) struct Texts {
    current: Generation,
    previous: Generation,
    epoch: u32,
    texts_max: usize,
    bytes_max: usize,
    query_text_bytes_max: usize,
    label_bytes_max: usize,
    grammar: Grammar,
    disguise: Disguise,
    keeps_raw: bool,
    tags: TagKeys,
    salt: Salt,
    empty: Arc<Statement>,
}

impl Texts {
    pub(crate) fn new(limits: &Limits, salt: Salt) -> Self {
        Self {
            current: Generation::default(),
            previous: Generation::default(),
            epoch: 0,
            texts_max: limits.texts_max.max(1),
            bytes_max: limits.text_bytes_max,
            query_text_bytes_max: limits.query_text_bytes_max,
            label_bytes_max: limits.label_bytes_max,
            grammar: Grammar::default(),
            disguise: Disguise::new(limits.redaction, &salt),
            keeps_raw: limits.redaction == Redaction::Off,
            tags: limits.tags.clone(),
            salt,
            empty: Arc::new(Statement::named("(empty)", Class::Control)),
        }
    }

    /// The generation that senders should believe in.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Texts and bytes held in both generations.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        (
            self.current.texts.len() + self.previous.texts.len(),
            self.current.bytes + self.previous.bytes,
        )
    }

    /// Reads a text that may be new.
    pub(crate) fn learn(&mut self, text: &NewText, batch: &RecordBatch) {
        if self.current.texts.contains_key(&text.key) {
            return;
        }
        self.make_room();
        let raw = text.bytes.of(&batch.bytes);
        let (current, previous) = (&self.current.statements, &self.previous.statements);
        let is_new = |arrangement: u64| {
            !current.contains_key(&arrangement) && !previous.contains_key(&arrangement)
        };
        let info = read_tagged(raw, &self.salt, &self.tags, text.cut, &is_new);
        let mut entry = self.entry(info, text.cut);
        entry.raw = self.keeps_raw.then(|| crate::labels::label(raw, self.query_text_bytes_max));
        self.current.bytes += entry.bytes();
        self.current.texts.insert(text.key, Arc::new(entry));
    }

    /// Takes over a text whose reading is known already.
    pub(crate) fn know(&mut self, text: KnownText) {
        self.make_room();
        let statement = Arc::new(Statement::known(&text));
        self.current.bytes += statement.bytes();
        let tags = Tags {
            route: text.route,
            service: text.service,
            trace: text.trace,
            mark: text.mark,
            ..Tags::default()
        };
        // That there were literals is known, not which.
        let literals = vec![BindCell::default(); usize::from(text.literals)];
        let part = PartEntry {
            statement,
            literals: literals.into_boxed_slice(),
            shared_slots: Box::default(),
            list_elements: 0,
            code: 0,
            // Marks come with each text, so that what the session's is doesn't matter.
            mark: text.changes_mark.then_some(MarkChange::Reset),
        };
        let entry = TextEntry { parts: vec![part], whole: None, tags, raw: None };
        self.current.bytes += entry.bytes();
        self.current.texts.insert(text.key, Arc::new(entry));
    }

    fn entry(&mut self, info: TextInfo, cut: bool) -> TextEntry {
        let parts: Vec<PartEntry> = info
            .parts
            .into_iter()
            .map(|part| PartEntry {
                statement: self.statement(&part, cut),
                literals: part.literals.into_boxed_slice(),
                shared_slots: part.shared_slots.into_boxed_slice(),
                list_elements: part.list_elements,
                code: part.code,
                mark: part.mark.map(|change| self.disguise.mark(change)),
            })
            .collect();
        let whole = match parts.len() {
            0 => Some(self.empty.clone()),
            1 => None,
            _ => {
                let statements: Vec<_> = parts.iter().map(|part| part.statement.clone()).collect();
                let hidden = self.disguise.is_on();
                Some(Arc::new(Statement::whole(&statements, hidden, self.query_text_bytes_max)))
            }
        };
        self.current.bytes += whole.as_ref().map_or(0, |whole| whole.bytes());
        let mut tags = info.tags;
        for tag in [&mut tags.route, &mut tags.service] {
            if let Some(text) = tag.as_mut().filter(|text| text.len() > self.label_bytes_max) {
                *text = Arc::from(crate::text::cut(text, self.label_bytes_max));
            }
        }
        self.disguise.tags(&mut tags);
        TextEntry { parts, whole, tags, raw: None }
    }

    /// The statement of an arrangement: the grammar is asked once for it as long as it is in use.
    fn statement(&mut self, part: &Part, cut: bool) -> Arc<Statement> {
        if let Some(known) = self.current.statements.get(&part.arrangement) {
            return known.clone();
        }
        let statement = match self.previous.statements.get(&part.arrangement) {
            Some(known) => known.clone(),
            None => {
                let (grammar, bytes_max) = (&self.grammar, self.query_text_bytes_max);
                Arc::new(Statement::of(part, grammar, &self.disguise, cut, bytes_max))
            }
        };
        self.current.bytes += statement.bytes();
        self.current.statements.insert(part.arrangement, statement.clone());
        statement
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let of = |generation: &Generation| {
            let entries =
                generation.texts.len() + generation.statements.len() + generation.wide.len();
            generation.bytes + entries * SLOT_BYTES
        };
        of(&self.current) + of(&self.previous)
    }

    /// Lets go of the older generation, and of the current one as far as nobody uses it.
    pub(crate) fn forget_previous(&mut self) {
        self.previous = std::mem::take(&mut self.current);
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn make_room(&mut self) {
        if self.current.texts.len() >= self.texts_max || self.current.bytes >= self.bytes_max {
            self.previous = std::mem::take(&mut self.current);
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// The text, if it is remembered; it stays so for another generation.
    pub(crate) fn find(&mut self, key: TextKey) -> Option<&Arc<TextEntry>> {
        if !self.current.texts.contains_key(&key)
            && let Some(entry) = self.previous.texts.remove(&key)
        {
            self.current.bytes += entry.bytes();
            self.current.texts.insert(key, entry);
        }
        self.current.texts.get(&key)
    }

    /// Keeps the columns of a text's result until [`Self::described`].
    pub(crate) fn describe(&mut self, key: TextKey, fields: &[Field], batch: &RecordBatch) {
        let fields = fields.get(..DESCRIBED_FIELDS_MAX).unwrap_or(fields);
        if fields.iter().any(|field| field.table_oid != 0) && self.find(key).is_some() {
            let columns = self.columns(fields, batch);
            self.current.described.insert(key, (columns, true));
        }
    }

    /// These columns; texts that differ by a literal share them.
    fn columns(&mut self, fields: &[Field], batch: &RecordBatch) -> Arc<Described> {
        let identity = identity_of(fields, batch);
        if let Some(known) = self.current.columns.get(&identity) {
            return known.clone();
        }
        let types = fields.iter().map(|field| field.type_oid).collect();
        let named = |field: &Field| {
            let name = crate::labels::label(field.label.of(&batch.bytes), self.label_bytes_max);
            (field.table_oid, field.attnum, self.disguise.label(Noun::Column, name))
        };
        let fields: Vec<_> = fields.iter().map(named).collect();
        self.current.bytes += fields.iter().map(|(.., name)| 48 + name.len()).sum::<usize>();
        let columns = Arc::new(Described { fields, types });
        self.current.columns.insert(identity, columns.clone());
        columns
    }

    /// What was said of the columns of a text's result. It is fresh once: for the first execution after it, whose
    /// database is the one that it was made in.
    pub(crate) fn described(&mut self, key: TextKey) -> Option<(Arc<Described>, bool)> {
        let current = &mut self.current.described;
        if !current.contains_key(&key)
            && let Some(known) = self.previous.described.remove(&key)
        {
            current.insert(key, known);
        }
        let (known, fresh) = current.get_mut(&key)?;
        Some((known.clone(), std::mem::take(fresh)))
    }

    /// Notes which parameters of a text were declared with a type wider than integers.
    pub(crate) fn widen(&mut self, key: TextKey, parameters: u32) {
        if self.current.wide.len() < self.texts_max {
            self.current.wide.insert(key, parameters);
        }
    }

    /// Bit n-1: parameter n was declared with a type wider than integers.
    pub(crate) fn wide_parameters(&self, key: TextKey) -> u32 {
        let known = |generation: &Generation| generation.wide.get(&key).copied();
        known(&self.current).or_else(|| known(&self.previous)).unwrap_or(0)
    }
}

/// Domain of columns among the uses of [`StableHash`].
const COLUMNS_DOMAIN: u64 = 0x636f_6c75_6d6e;

fn identity_of(fields: &[Field], batch: &RecordBatch) -> u64 {
    let mut hash = StableHash::new(COLUMNS_DOMAIN);
    for field in fields {
        hash.word(u64::from(field.table_oid) << 32 | u64::from(field.type_oid));
        hash.word(u64::from(field.attnum.cast_unsigned()));
        hash.bytes(field.label.of(&batch.bytes));
    }
    hash.finish()
}
