//! Findings as the analyzer states them: kind, proof, evidence, cost, fix, life.

use crate::record::Micros;
use std::sync::Arc;

/// What kind of claim it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One parent result, many look-ups by its values.
    NPlusOne,
    /// The same look-up again and again, without a visible parent.
    LoopedLookup,
    /// Rows written one by one.
    WriteLoop,
    /// A look-up, then a write of what it asked for, again and again.
    UpsertLoop,
    /// A savepoint around every single statement.
    SavepointLoop,
    /// The same read with the same values in one unit of work.
    DuplicateQuery,
    /// A read without LIMIT that returns very much.
    UnboundedResult,
    /// Pages by a large OFFSET, slower the deeper they are.
    DeepOffset,
    /// A count of everything before each page.
    CountEveryPage,
    /// A join that multiplies independent branches.
    CartesianExplosion,
    /// One column that holds most of the bytes.
    WideFetch,
    /// A list of very many values.
    LargeInList,
    /// Texts that differ in the length of a list only.
    InListChurn,
    /// Texts that hardly ever repeat.
    StatementChurn,
    /// A cursor read in very small parts.
    TinyFetch,
    /// Reads one after another that might run at once.
    SequentialIndependent,
    /// A transaction left open while its client does something else.
    IdleInTransaction,
    /// A transaction open for long.
    LongTransaction,
    /// Sessions that live for a few statements only.
    ConnectionChurn,
    /// Transaction control around single reads.
    TxChatter,
    /// Pings and resets of a pool.
    PingOverhead,
    /// The same mostly empty read at a steady period.
    Polling,
    /// DDL that locks out others.
    LockHazard,
    /// A pattern in the text that servers can't run fast.
    SqlSmell,
    /// A predicate column that looks unindexed.
    MissingIndex,
}

impl Kind {
    /// Every kind, in the order of the catalogue.
    pub const ALL: [Self; 25] = [
        Self::NPlusOne,
        Self::LoopedLookup,
        Self::WriteLoop,
        Self::UpsertLoop,
        Self::SavepointLoop,
        Self::DuplicateQuery,
        Self::UnboundedResult,
        Self::DeepOffset,
        Self::CountEveryPage,
        Self::CartesianExplosion,
        Self::WideFetch,
        Self::LargeInList,
        Self::InListChurn,
        Self::StatementChurn,
        Self::TinyFetch,
        Self::SequentialIndependent,
        Self::IdleInTransaction,
        Self::LongTransaction,
        Self::ConnectionChurn,
        Self::TxChatter,
        Self::PingOverhead,
        Self::Polling,
        Self::LockHazard,
        Self::SqlSmell,
        Self::MissingIndex,
    ];

    /// The name that API, metrics, budgets and configuration use.
    pub fn name(self) -> &'static str {
        match self {
            Self::NPlusOne => "n_plus_one",
            Self::LoopedLookup => "looped_lookup",
            Self::WriteLoop => "write_loop",
            Self::UpsertLoop => "upsert_loop",
            Self::SavepointLoop => "savepoint_loop",
            Self::DuplicateQuery => "duplicate_query",
            Self::UnboundedResult => "unbounded_result",
            Self::DeepOffset => "deep_offset",
            Self::CountEveryPage => "count_every_page",
            Self::CartesianExplosion => "cartesian_explosion",
            Self::WideFetch => "wide_fetch",
            Self::LargeInList => "large_in_list",
            Self::InListChurn => "in_list_churn",
            Self::StatementChurn => "statement_churn",
            Self::TinyFetch => "tiny_fetch",
            Self::SequentialIndependent => "sequential_independent",
            Self::IdleInTransaction => "idle_in_transaction",
            Self::LongTransaction => "long_transaction",
            Self::ConnectionChurn => "connection_churn",
            Self::TxChatter => "tx_chatter",
            Self::PingOverhead => "ping_overhead",
            Self::Polling => "polling",
            Self::LockHazard => "lock_hazard",
            Self::SqlSmell => "sql_smell",
            Self::MissingIndex => "missing_index",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Grade of proof: what the evidence is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proof {
    /// The child's bind values were shown to be values of one column of one earlier result.
    Dataflow,
    /// The same digest ran with identical bind values in one unit of work, with no write to its tables in between.
    Duplicate,
    /// The wire shows it directly: a count, bytes, a duration, a transaction state.
    Observed,
    /// A planner with the target's statistics chose it.
    Plan,
    /// Order, timing and repetition speak for it.
    Sequence,
    /// Only the statement text (and its times) speak for it.
    Text,
}

impl Proof {
    /// The name in API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataflow => "dataflow",
            Self::Duplicate => "duplicate",
            Self::Observed => "observed",
            Self::Plan => "plan",
            Self::Sequence => "sequence",
            Self::Text => "text",
        }
    }

    /// The proof of that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Dataflow,
            Self::Duplicate,
            Self::Observed,
            Self::Plan,
            Self::Sequence,
            Self::Text,
        ];
        all.into_iter().find(|proof| proof.name() == name)
    }

    /// Whether the claim may be stated as a fact.
    pub fn is_proved(self) -> bool {
        matches!(self, Self::Dataflow | Self::Duplicate | Self::Observed | Self::Plan)
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Costs noticeable time.
    Warning,
    /// Costs much time, or grows without bound.
    Error,
}

impl Severity {
    /// The severity of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Error].into_iter().find(|one| one.name() == name)
    }

    /// The name in API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where a finding stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Seen and not gone.
    #[default]
    Open,
    /// Silenced by an operator: still counted, but in no severity total, alert or gate.
    Muted,
    /// Not seen for `close_after`, or clean for long enough.
    Resolved,
}

impl State {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Muted => "muted",
            Self::Resolved => "resolved",
        }
    }
}

/// The result that supplied the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// Table, if its name was learnt.
    pub table: Option<Arc<str>>,
    /// Column, if its name was learnt.
    pub column: Option<Arc<str>>,
    /// Digest of the parent statement.
    pub digest: u64,
    /// Its redacted text.
    pub query_text: Arc<str>,
    /// OID of the table as the wire gave it.
    pub table_oid: u32,
    /// Attribute number as the wire gave it.
    pub attnum: i16,
    /// Position of the column in the result, from 0.
    pub field: u16,
    /// Other columns that explain the same executions equally well ("table.column", or "field n").
    pub alternatives: Vec<Arc<str>>,
}

/// The repeated statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Table that it reads.
    pub table: Option<Arc<str>>,
    /// Predicate column of the slot.
    pub column: Option<Arc<str>>,
    /// Its digest.
    pub digest: u64,
    /// Its redacted text.
    pub query_text: Arc<str>,
    /// Parameter number, or ordinal of the literal.
    pub slot: u16,
}

/// What it costs. `None` = not known, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Least that a batched form saves per occurrence.
    pub saved_low_ms: f64,
    /// Most that it saves per occurrence.
    pub saved_high_ms: f64,
    /// The same per hour; `None` while the window is too short.
    pub saved_low_ms_per_hour: Option<f64>,
    /// Upper bound per hour.
    pub saved_high_ms_per_hour: Option<f64>,
    /// Occurrences per hour.
    pub occurrences_per_hour: Option<f64>,
    /// Round trips that the better form spares in the latest occurrence; 0 where it spares none.
    pub round_trips: u64,
    /// Round-trip floor of the session.
    pub rtt_ms: Option<f64>,
    /// Median service time of the child in the occurrence.
    pub service_p50_ms: f64,
    /// Time that the repeated statements really took in the latest occurrence.
    pub busy_ms: f64,
    /// Time that they took since start, over all occurrences.
    pub busy_total_ms: f64,
    /// Bytes that the latest occurrence moved in vain, where the kind is about bytes.
    pub bytes: Option<u64>,
}

/// What to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fix {
    /// "SQLAlchemy", "Django" …: a guess, worded as one.
    pub orm: Option<&'static str>,
    /// One sentence with the call to write.
    pub text: String,
    /// A replacement statement.
    pub sql: Option<String>,
}

/// One number or word of evidence that only this kind has.
#[derive(Clone, Debug, PartialEq)]
pub enum EvidenceValue {
    /// A whole number.
    Count(u64),
    /// A ratio or a duration.
    Number(f64),
    /// A word.
    Text(Arc<str>),
    /// Words.
    List(Vec<Arc<str>>),
}

/// One occurrence worth looking at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// When the parent's result ended.
    pub at_us: Micros,
    /// Session.
    pub session: u64,
    /// Executions.
    pub n: u64,
    /// Rows of the parent.
    pub rows: u64,
    /// First to last child.
    pub wall_us: u64,
}

/// Why and until when an operator silenced a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mute {
    /// Why; required of whoever mutes.
    pub reason: Arc<str>,
    /// Wall-clock end in Unix microseconds; `None` = until it is taken back.
    pub until_unix_us: Option<u64>,
}

/// What a rule of an operator silences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuteTarget {
    /// One finding, by its id.
    Finding(u64),
    /// Every finding of a parent and a child statement.
    Pair {
        /// Digest of the parent.
        parent: u64,
        /// Digest of the child.
        child: u64,
    },
    /// Findings seen on this route only; a `*` at the end stands for any rest.
    Route(Arc<str>),
}

impl Default for MuteTarget {
    fn default() -> Self {
        Self::Finding(0)
    }
}

/// A rule by which an operator silences findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MuteRule {
    /// Which.
    pub target: MuteTarget,
    /// Why.
    pub reason: Arc<str>,
    /// Wall-clock end in Unix microseconds, for people; `None` = until it is taken back.
    pub until_unix_us: Option<u64>,
    /// The same moment on the clock of the records; a moment before its start is 0.
    pub until_us: Option<Micros>,
}

/// A stable, explained claim.
#[derive(Clone, Debug)]
pub struct Finding {
    /// 48 bits; equal over restarts, environments and machines.
    pub id: u64,
    /// Kind.
    pub kind: Kind,
    /// `plain`, `aggregate`, `refresh`, `nested`.
    pub variant: Option<&'static str>,
    /// Severity.
    pub severity: Severity,
    /// Proof.
    pub proof: Proof,
    /// `scope`, `chain`, `burst`.
    pub gate: Option<&'static str>,
    /// Life.
    pub state: State,
    /// Times that it came back after being resolved.
    pub reopened: u32,
    /// Set while it is muted.
    pub mute: Option<Mute>,
    /// The proved finding that took its place (looped_lookup).
    pub superseded_by: Option<u64>,
    /// `sql_smell` and `lock_hazard`: which rule.
    pub rule: Option<&'static str>,
    /// Database.
    pub database: Arc<str>,
    /// Parent, where the kind has one.
    pub parent: Option<Parent>,
    /// The repeated or slow statement.
    pub child: Option<Child>,
    /// Executions in the latest occurrence, exact.
    pub n: Option<u64>,
    /// Median over occurrences.
    pub n_median: Option<u64>,
    /// Largest occurrence.
    pub n_max: Option<u64>,
    /// Median rows of the parent.
    pub rows_median: Option<u64>,
    /// Occurrences since start.
    pub sightings: u64,
    /// Occurrences / parent executions that could have led to one.
    pub ratio: Option<f64>,
    /// Median of distinct values used / kept.
    pub coverage: Option<f64>,
    /// Median of explained executions / all executions of the child in the scope.
    pub explained: Option<f64>,
    /// Median of the longest increasing run of row positions / explained executions.
    pub order: Option<f64>,
    /// Cost.
    pub cost: Cost,
    /// Costliest route.
    pub route: Option<Arc<str>>,
    /// Up to five routes with sightings.
    pub routes: Vec<(Arc<str>, u64)>,
    /// Marks that it was seen under with sightings, most first.
    pub marks: Vec<(Arc<str>, u64)>,
    /// Service.
    pub service: Arc<str>,
    /// `table.column` (missing_index: columns in role order, comma separated).
    pub column: Option<Arc<str>>,
    /// One sentence for people; says "candidate" where nothing is proved.
    pub sentence: String,
    /// Fix.
    pub fix: Fix,
    /// Numbers that only this kind has, names with units.
    pub evidence: Vec<(&'static str, EvidenceValue)>,
    /// First occurrence.
    pub first_seen_us: Micros,
    /// Latest occurrence.
    pub last_seen_us: Micros,
    /// Up to three occurrences.
    pub examples: Vec<Example>,
}

/// What the index advisor says of one index, laid over what the wire says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexVerdict {
    /// Id of the finding, 48 bits: that of the suspect where there was one.
    pub id: u64,
    /// `rejected`, `estimated`, `verified`, `helped`, `did_not_help`, `unclear`.
    pub variant: &'static str,
    /// [`Proof::Plan`] where a planner has chosen the index, [`Proof::Observed`] where it was built and measured.
    pub proof: Proof,
    /// At least this severe.
    pub severity: Severity,
    /// Resolved where nothing is left to do.
    pub state: State,
    /// Database.
    pub database: Arc<str>,
    /// Service that sends most of it; empty where it isn't known.
    pub service: Arc<str>,
    /// Table.
    pub table: Arc<str>,
    /// Its columns, `table.column` and comma separated.
    pub columns: Arc<str>,
    /// The statement that it helps most.
    pub digest: u64,
    /// Its redacted text.
    pub query_text: Arc<str>,
    /// One sentence for people.
    pub sentence: String,
    /// What to do.
    pub fix: Fix,
    /// Numbers and lists.
    pub evidence: Vec<(&'static str, EvidenceValue)>,
    /// What it would save, milliseconds per hour, if the traffic tells.
    pub saved_ms_per_hour: Option<f64>,
}
