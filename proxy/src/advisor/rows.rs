//! Rows of the simple protocol: every cell a text.

use serde_json::Value;
use std::str::FromStr;
use tokio_postgres::SimpleQueryRow;

/// Cells by name. What is missing or unreadable is the type's default: the catalogue is data.
pub(super) struct Cells<'a>(pub(super) &'a SimpleQueryRow);

impl Cells<'_> {
    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.0.try_get(name).ok().flatten()
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.optional(name).unwrap_or_default().to_owned()
    }

    pub(super) fn maybe(&self, name: &str) -> Option<String> {
        self.optional(name).map(str::to_owned)
    }

    pub(super) fn number<T: FromStr + Default>(&self, name: &str) -> T {
        self.parsed(name).unwrap_or_default()
    }

    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.optional(name)?.parse().ok()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.optional(name) == Some("t")
    }

    pub(super) fn letter(&self, name: &str) -> char {
        self.optional(name).and_then(|text| text.chars().next()).unwrap_or(' ')
    }

    pub(super) fn json(&self, name: &str) -> Value {
        self.optional(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
    }

    /// A JSON array of strings.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        strings(&self.json(name))
    }
}

pub(super) fn strings(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
