//! Findings as log records: when they open, change notably, and go.

use super::{SCHEMA_URL, Source, any, number, query_text, scope, text};
use crate::export::{digest_text, finding_text};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use pgsonde_analyzer::finding::{Finding, Severity};
use pgsonde_analyzer::record::Micros;

/// What every such record is named.
const EVENT: &str = "pgsonde.finding";

impl Source {
    /// A request of records.
    pub(in crate::otlp) fn logs(&self, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        let scoped = ScopeLogs { scope: scope(), log_records, schema_url: SCHEMA_URL.to_owned() };
        let resource_logs = vec![ResourceLogs {
            resource: self.resource(),
            scope_logs: vec![scoped],
            schema_url: SCHEMA_URL.to_owned(),
        }];
        ExportLogsServiceRequest { resource_logs }
    }

    /// News of a finding.
    pub(in crate::otlp) fn finding(
        &self,
        state: &str,
        finding: &Finding,
        at_us: Micros,
    ) -> LogRecord {
        let mut attributes = self.common(&finding.database, &finding.service);
        attributes.extend([
            text("pgsonde.finding.id", &finding_text(finding.id)),
            text("pgsonde.finding.kind", finding.kind.name()),
            text("pgsonde.finding.state", state),
            text("pgsonde.finding.proof", finding.proof.name()),
            number("pgsonde.finding.sightings", finding.sightings),
            text("pgsonde.finding.fix", &finding.fix.text),
        ]);
        if let Some(child) = &finding.child {
            attributes.push(text("pgsonde.digest", &digest_text(child.digest)));
            attributes.push(query_text(&child.query_text));
        }
        attributes.extend(finding.route.iter().map(|route| text("pgsonde.route", route)));
        let (severity, name) = severity(finding.severity);
        LogRecord {
            severity_number: severity.into(),
            severity_text: name.to_owned(),
            body: any(Value::StringValue(finding.sentence.clone())),
            attributes,
            ..self.record(at_us)
        }
    }

    /// A finding is shown no more.
    pub(in crate::otlp) fn withdrawn(&self, id: u64, at_us: Micros) -> LogRecord {
        let (severity, name) = severity(Severity::Info);
        LogRecord {
            severity_number: severity.into(),
            severity_text: name.to_owned(),
            attributes: vec![
                text("pgsonde.finding.id", &finding_text(id)),
                text("pgsonde.finding.state", "withdrawn"),
            ],
            ..self.record(at_us)
        }
    }

    fn record(&self, at_us: Micros) -> LogRecord {
        LogRecord {
            time_unix_nano: self.unix_ns(at_us),
            observed_time_unix_nano: self.unix_ns(at_us),
            event_name: EVENT.to_owned(),
            ..LogRecord::default()
        }
    }
}

fn severity(severity: Severity) -> (SeverityNumber, &'static str) {
    match severity {
        Severity::Error => (SeverityNumber::Error, "ERROR"),
        Severity::Warning => (SeverityNumber::Warn, "WARN"),
        Severity::Info => (SeverityNumber::Info, "INFO"),
    }
}
