//! The page with its data inside, as one file.

use serde_json::Value;
use std::collections::BTreeMap;

/// The page with data inside: `answers` maps an API path ("/api/v1/statements") to its JSON; `plain` is the HTML of the
/// tables for readers without JavaScript (already escaped); `title` is text.
pub(crate) fn one_file(answers: &BTreeMap<String, Value>, plain: &str, title: &str) -> String {
    let data = serde_json::to_string(answers).unwrap_or_default().replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><main>{plain}</main>\
         <script type=\"application/json\" id=\"data\">{data}</script></html>\n"
    )
}
