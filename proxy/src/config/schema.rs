//! The JSON Schema of the configuration file, written from the table of keys.

use super::keys::{self, Key, Kind};
use super::reference;
use super::units::{duration_text, size_text};
use crate::capture::Kinds;
use pgsonde_analyzer::finding::Kind as FindingKind;
use serde_json::{Map, Value, json};

/// Whole numbers above this are not exact in every reader of JSON.
const EXACT_MAX: u64 = 1 << 53;

/// The schema (`pgsonde config schema`), draft 2020-12.
pub(crate) fn schema() -> Value {
    let mut root = section();
    for key in keys::all() {
        place(&mut root, key);
    }
    root["properties"]["proxy"]["properties"]["tls"]["dependentRequired"] =
        json!({ "cert": ["key"], "key": ["cert"] });
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Configuration of pgsonde");
    root
}

fn section() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

fn place(root: &mut Value, key: &Key) {
    let (sections, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
    let mut at = root;
    for part in sections.split('.').filter(|part| !part.is_empty()) {
        let properties = &mut at["properties"];
        if properties.get(part).is_none() {
            properties[part] = section();
        }
        at = &mut properties[part];
    }
    at["properties"][name] = Value::Object(described(key));
}

fn described(key: &Key) -> Map<String, Value> {
    let mut schema = key.kind.schema();
    if let Some(meaning) = reference::meaning(key.name) {
        let when = if meaning.live { "a reload takes it over" } else { "needs a restart" };
        let bounds = key.kind.bounds().map_or(String::new(), |bounds| format!(" [{bounds}]"));
        schema.insert("description".into(), json!(format!("{}{bounds} ({when})", meaning.text)));
    }
    if !key.default.is_empty() {
        schema.insert("default".into(), key.kind.json(key.default));
    }
    schema
}

impl Kind {
    fn schema(self) -> Map<String, Value> {
        let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
        let list = |item: Value, max: usize| {
            json!({ "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": item, "minItems": 1, "maxItems": max },
            ]})
        };
        let schema = match self {
            Self::Url => text("^postgres(ql)?://"),
            Self::Web | Self::Receiver => text("^https?://"),
            Self::Address => text(":[0-9]+$"),
            Self::Listens => list(json!({ "type": "string", "minLength": 1 }), 8),
            Self::Path | Self::Name => json!({ "type": "string", "minLength": 1 }),
            Self::Count(low, high) if high <= EXACT_MAX => {
                json!({ "type": "integer", "minimum": low, "maximum": high })
            }
            Self::Count(low, _) => json!({ "type": "integer", "minimum": low }),
            Self::Duration(..) => text("^[0-9]+ *(us|ms|s|m|h|d)$"),
            Self::Size(..) => text("^[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB)$"),
            Self::Share => text("^[0-9]+(\\.[0-9]{1,4})? *%$"),
            Self::FindingKinds => {
                let names: Vec<_> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
                list(json!({ "enum": names }), 32)
            }
            Self::EventKinds => list(json!({ "enum": Kinds::NAMES }), Kinds::NAMES.len()),
            Self::Secret => text("^(env|file):."),
            Self::TagKeys => list(text("^[A-Za-z0-9._%-]{1,32}$"), 32),
            Self::Hosts => list(text("^[A-Za-z0-9._-]+$"), 32),
            Self::Bool => json!({ "type": "boolean" }),
            Self::Word(words) => json!({ "enum": words }),
        };
        match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// A default as a value of the file.
    fn json(self, default: &str) -> Value {
        match self {
            Self::Count(..) => default.parse::<u64>().map_or(Value::Null, Value::from),
            Self::Bool => Value::Bool(default == "true"),
            _ => Value::from(default),
        }
    }

    /// The bounds in words.
    pub(crate) fn bounds(self) -> Option<String> {
        let from = |low: String, high: Option<String>| match high {
            Some(high) => format!("{low} to {high}"),
            None => format!("at least {low}"),
        };
        match self {
            Self::Count(low, high) => {
                Some(from(low.to_string(), (high < u64::MAX).then(|| high.to_string())))
            }
            Self::Duration(low, high, zero) => {
                let zero = if zero && low > 0 { "0s, " } else { "" };
                Some(format!("{zero}{} to {}", duration_text(low), duration_text(high)))
            }
            Self::Size(low, high) => {
                Some(from(size_text(low), (high < u64::MAX).then(|| size_text(high))))
            }
            Self::Share => Some("0% to 100%".to_owned()),
            Self::Word(words) => Some(words.join(", ")),
            Self::Listens => Some("1 to 8".to_owned()),
            Self::EventKinds => Some(Kinds::NAMES.join(", ")),
            Self::FindingKinds | Self::Hosts | Self::TagKeys => Some("at most 32".to_owned()),
            Self::Url
            | Self::Web
            | Self::Receiver
            | Self::Address
            | Self::Path
            | Self::Name
            | Self::Secret
            | Self::Bool => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_described_and_nothing_else() {
        let schema = schema();
        for key in keys::all() {
            let pointer = key.name.replace('.', "/properties/");
            let of = schema.pointer(&format!("/properties/{pointer}")).unwrap();
            assert!(of["description"].as_str().is_some_and(|text| text.len() > 10), "{}", key.name);
            assert_eq!(of.get("default").is_none(), key.default.is_empty(), "{}", key.name);
        }
        let text = schema.to_string();
        let leaves = text.matches("\"description\":").count();
        assert_eq!(leaves, keys::all().count());
    }
}
