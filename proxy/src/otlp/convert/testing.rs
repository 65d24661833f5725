//! Statements as tests write them, made by a real analyzer.

use super::Source;
use crate::capture::Identity;
use crate::config::Endpoint;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::events::{Heard, StatementEvent};
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::{
    Event, NewText, Outcome, RecordBatch, SessionId, SessionOpened, Span, StatementRecord,
};
use pgsonde_analyzer::text::TraceContext;
use pgsonde_analyzer::value::{Salt, text_key};
use std::sync::{Arc, OnceLock};

const SQL: &str = "SELECT a FROM orders WHERE id = 4711";

/// One statement.
#[derive(Clone, Copy, Default)]
pub(in crate::otlp) struct Said {
    pub(in crate::otlp) unit: Option<u64>,
    pub(in crate::otlp) begin_us: u64,
    pub(in crate::otlp) us: u64,
    pub(in crate::otlp) failed: bool,
    pub(in crate::otlp) context: Option<TraceContext>,
}

fn sample() -> &'static StatementEvent {
    static SAMPLE: OnceLock<StatementEvent> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut analyzer = Analyzer::new(Limits::default(), Salt::new(1, 2));
        analyzer.listen(true);
        let text = text_key(SQL.as_bytes());
        let database = Span { start: SQL.len() as u32, len: 4 };
        let session = SessionId(3);
        let opened = SessionOpened { session, database, ..SessionOpened::default() };
        analyzer.ingest(&RecordBatch {
            bytes: format!("{SQL}shop").into_bytes(),
            texts: vec![NewText {
                key: text,
                bytes: Span { start: 0, len: SQL.len() as u32 },
                cut: false,
            }],
            events: vec![
                Event::Opened(opened),
                Event::Statement(StatementRecord { session, text, ..StatementRecord::default() }),
            ],
            ..RecordBatch::default()
        });
        let (heard, _) = analyzer.take_heard();
        let statement = heard.iter().find_map(|heard| match heard {
            Heard::Statement(event) => Some(StatementEvent::clone(event)),
            _ => None,
        });
        statement.expect("invariant: a statement was ingested just now")
    })
}

pub(in crate::otlp) fn statement(said: &Said) -> Arc<StatementEvent> {
    let mut event = sample().clone();
    event.unit_id = said.unit;
    event.context = said.context;
    event.seq = said.begin_us + 1;
    event.record.begin_us = said.begin_us;
    event.record.first_row_us = said.us;
    if said.failed {
        event.record.outcome = Outcome::Error;
        event.record.sqlstate = *b"23505";
    }
    Arc::new(event)
}

/// A proxy that started at one second after the epoch, in front of `db:5432`.
pub(in crate::otlp) fn source() -> Source {
    let identity = Identity::new(
        Arc::from("0123456789ab"),
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(1),
        1,
    );
    Source::new(identity, &[Endpoint::Tcp { host: "db".to_owned(), port: 5432 }])
}

/// The value of an attribute, empty without.
pub(in crate::otlp) fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
