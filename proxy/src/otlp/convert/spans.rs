//! Statements and units of work as spans.

use super::histograms::operation;
use super::{SCHEMA_URL, Source, number, query_text, scope, text};
use crate::otlp::units::{Chosen, Root, Unit};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use pgsonde_analyzer::events::StatementEvent;
use pgsonde_analyzer::record::Outcome;
use sha2::{Digest as _, Sha256};

/// Flag of a trace that is recorded.
const SAMPLED: u32 = 1;

impl Source {
    /// The spans of some statements and units.
    pub(in crate::otlp) fn spans(&self, chosen: &[Chosen]) -> ExportTraceServiceRequest {
        let span = |chosen: &Chosen| match chosen {
            Chosen::Statement(event, root) => self.statement(event, root),
            Chosen::Unit(unit) => self.unit(unit),
        };
        let spans = chosen.iter().map(span).collect();
        let scoped = ScopeSpans { scope: scope(), spans, schema_url: SCHEMA_URL.to_owned() };
        let resource_spans = vec![ResourceSpans {
            resource: self.resource(),
            scope_spans: vec![scoped],
            schema_url: SCHEMA_URL.to_owned(),
        }];
        ExportTraceServiceRequest { resource_spans }
    }

    /// An id that repeats itself for the same thing and for nothing else.
    fn id<const N: usize>(&self, kind: &str, words: [u64; 3]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(self.identity.proxy_id.as_bytes());
        hash.update(kind);
        words.iter().for_each(|word| hash.update(word.to_le_bytes()));
        hash.finalize()[..N].to_vec()
    }

    /// Trace and parent of what belongs to a unit.
    fn place(&self, root: &Root, event: Option<&StatementEvent>) -> (Vec<u8>, Vec<u8>) {
        if let Some(context) = event.and_then(|event| event.context).or(root.context) {
            let parent = (context.span_id != 0).then(|| context.span_id.to_be_bytes().to_vec());
            return (context.trace_id.to_be_bytes().to_vec(), parent.unwrap_or_default());
        }
        match (root.unit_id, event) {
            (Some(unit), _) => (self.id::<16>("trace", [unit, 0, 0]), self.unit_span(root)),
            (None, Some(event)) => {
                (self.id::<16>("alone", [event.record.session.0, event.seq, 0]), Vec::new())
            }
            (None, None) => (self.id::<16>("none", [root.begin_us, 0, 0]), Vec::new()),
        }
    }

    fn unit_span(&self, root: &Root) -> Vec<u8> {
        self.id::<8>("unit", [root.unit_id.unwrap_or(0), root.begin_us, 0])
    }

    fn statement(&self, event: &StatementEvent, root: &Root) -> Span {
        let record = &event.record;
        let (trace_id, parent_span_id) = self.place(root, Some(event));
        Span {
            trace_id,
            span_id: self.id::<8>("span", [record.session.0, event.seq, 0]),
            parent_span_id,
            flags: SAMPLED,
            name: event.executed.summary().to_owned(),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: self.unix_ns(record.begin_us),
            end_time_unix_nano: self.unix_ns(record.end_us()),
            attributes: self.statement_attributes(event),
            status: status(record.outcome != Outcome::Ok),
            ..Span::default()
        }
    }

    fn statement_attributes(&self, event: &StatementEvent) -> Vec<KeyValue> {
        let (record, executed) = (&event.record, &event.executed);
        let line = crate::capture::statement_line(&self.identity, event);
        let mut all = self.common(&event.who.database, &event.service);
        all.extend(operation(executed.operation()));
        all.push(text("db.query.summary", executed.summary()));
        all.push(query_text(executed.query_text()));
        if let [table] = executed.tables() {
            all.push(text("db.collection.name", table));
        }
        all.push(number("db.response.returned_rows", record.rows));
        if let Some(state) = &line.err_sqlstate {
            all.push(text("db.response.status_code", state));
            all.push(text("error.type", state));
        } else if record.outcome != Outcome::Ok {
            all.push(text("error.type", &line.outcome));
        }
        if record.batch_statements > 1 {
            let size = u64::from(record.batch_statements);
            all.push(number("db.operation.batch.size", size));
        }
        all.push(text("pgsonde.digest", &crate::export::digest_text(executed.digest())));
        let times = [
            ("pgsonde.queue_us", record.queue_us),
            ("pgsonde.first_row_us", record.first_row_us),
            ("pgsonde.transfer_us", record.transfer_us),
            ("pgsonde.client_stall_us", record.client_stall_us),
            ("pgsonde.wait_us", record.wait_us),
        ];
        all.extend(times.into_iter().filter(|(_, us)| *us > 0).map(|(key, us)| number(key, us)));
        all.extend(line.timing.iter().map(|timing| text("pgsonde.timing", timing)));
        all.extend(event.route.iter().map(|route| text("pgsonde.route", route)));
        all.extend(event.mark.iter().map(|mark| text("pgsonde.mark", mark)));
        all.extend(event.code.iter().flat_map(|code| place_in_code(code)));
        all
    }

    fn unit(&self, unit: &Unit) -> Span {
        let (first, root) = (&unit.first, &unit.root);
        let (trace_id, _) = self.place(root, None);
        let mut attributes = self.common(&first.who.database, &first.service);
        attributes.push(number("pgsonde.unit.statements", unit.statements));
        let left_out = unit.statements.saturating_sub(unit.spans);
        if left_out > 0 {
            attributes.push(number("pgsonde.unit.statements_without_span", left_out));
        }
        attributes.extend(first.route.iter().map(|route| text("pgsonde.route", route)));
        let name = first.route.as_deref().unwrap_or("unit of work");
        Span {
            trace_id,
            span_id: self.unit_span(root),
            flags: SAMPLED,
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.unix_ns(root.begin_us),
            end_time_unix_nano: self.unix_ns(unit.end_us),
            attributes,
            status: status(unit.failed),
            ..Span::default()
        }
    }
}

/// `file:line`
fn place_in_code(code: &str) -> Vec<KeyValue> {
    match code.rsplit_once(':').map(|(file, line)| (file, line.parse())) {
        Some((file, Ok(line))) => {
            vec![text("code.file.path", file), number("code.line.number", line)]
        }
        _ => vec![text("code.file.path", code)],
    }
}

fn status(failed: bool) -> Option<Status> {
    let code = if failed { StatusCode::Error } else { StatusCode::Unset };
    Some(Status { code: code.into(), ..Status::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::convert::testing::{Said, source, statement, value};
    use pgsonde_analyzer::text::TraceContext;

    fn root(context: Option<TraceContext>) -> Root {
        Root { unit_id: Some(9), begin_us: 5, context }
    }

    #[test]
    fn the_applications_trace_is_the_parent() {
        let context = Some(TraceContext { trace_id: 0xabc << 100, span_id: 0x77, sampled: true });
        let own = statement(&Said { context, us: 30, begin_us: 7, ..Said::default() });
        let span = source().statement(&own, &root(None));
        assert_eq!(span.trace_id, (0xabc_u128 << 100).to_be_bytes());
        assert_eq!(span.parent_span_id, [0, 0, 0, 0, 0, 0, 0, 0x77]);
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 30_000);
        assert_eq!(span.start_time_unix_nano, 1_000_007_000);
        // A statement without one, in a unit that has one, belongs there too.
        let other = statement(&Said::default());
        assert_eq!(source().statement(&other, &root(context)).parent_span_id, span.parent_span_id);
    }

    #[test]
    fn without_a_trace_the_units_span_is_the_parent() {
        let event = statement(&Said { unit: Some(9), ..Said::default() });
        let span = source().statement(&event, &root(None));
        let parent = source().unit_span(&root(None));
        assert_eq!((span.trace_id.len(), &span.parent_span_id), (16, &parent));
        assert_ne!(span.span_id, parent);
    }

    #[test]
    fn a_failure_has_its_sqlstate_and_no_literal_leaves() {
        let event = statement(&Said { failed: true, ..Said::default() });
        let span = source().statement(&event, &root(None));
        let said = |key: &str| value(&span.attributes, key);
        assert_eq!(said("error.type"), "23505");
        assert_eq!(said("db.response.status_code"), "23505");
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(2));
        assert_eq!(said("db.query.text"), "SELECT a FROM orders WHERE id = ?");
        assert_eq!(said("db.operation.name"), "SELECT");
        assert_eq!(said("db.collection.name"), "orders");
        assert_eq!((said("db.namespace"), said("server.port")), ("shop".into(), "5432".into()));
        assert!(!format!("{span:?}").contains("4711"));
    }

    #[test]
    fn code_has_a_file_and_a_line() {
        assert_eq!(place_in_code("a.py:12").len(), 2);
        assert_eq!(place_in_code("C:a").len(), 1);
    }
}
