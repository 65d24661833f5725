//! What was heard in the words of OpenTelemetry, after its conventions for database clients.

mod findings;
mod histograms;
mod spans;
#[cfg(test)]
pub(super) mod testing;

pub(super) use histograms::Histograms;

use crate::capture::Identity;
use crate::config::Endpoint;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use pgsonde_analyzer::record::Micros;

/// Version of the conventions that the names are from.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.33.0";
/// Bytes of a statement's text.
const TEXT_BYTES_MAX: usize = 2_048;

/// The proxy that tells, and the server that it stands in front of.
pub(super) struct Source {
    pub(super) identity: Identity,
    /// `server.address` and `server.port`; only where there is one server.
    server: Vec<KeyValue>,
}

impl Source {
    pub(super) fn new(identity: Identity, upstream: &[Endpoint]) -> Self {
        let server = match upstream {
            [Endpoint::Tcp { host, port }] => {
                vec![text("server.address", host), number("server.port", u64::from(*port))]
            }
            [Endpoint::Unix { folder, .. }] => vec![text("server.address", folder)],
            _ => Vec::new(),
        };
        Self { identity, server }
    }

    fn unix_ns(&self, at_us: Micros) -> u64 {
        self.identity.unix_us(at_us).saturating_mul(1_000)
    }

    fn resource(&self) -> Option<Resource> {
        let attributes = vec![
            text("service.name", "pgsonde"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &self.identity.proxy_id),
        ];
        Some(Resource { attributes, ..Resource::default() })
    }

    /// What is the same in everything about one service's work in one database.
    fn common(&self, database: &str, service: &str) -> Vec<KeyValue> {
        let mut all = vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", database),
            text("pgsonde.service", service),
        ];
        all.extend_from_slice(&self.server);
        all
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "pgsonde".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: any(value), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn query_text(query: &str) -> KeyValue {
    text("db.query.text", pgsonde_analyzer::text::cut(query, TEXT_BYTES_MAX))
}
