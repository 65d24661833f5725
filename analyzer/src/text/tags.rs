//! SQL-comment tags: sqlcommenter (`/*key='url%20encoded'*/`) and marginalia (`/*key:value,key:value*/`).
//!
//! Only known keys are read; everything else in a comment is forgotten.

use super::hash::StableHash;
use super::lex::{Token, Tokens, word};
use super::{Tags, TraceContext};
use std::sync::Arc;

/// Longest value of a tag, in bytes; longer ones are cut.
const VALUE_BYTES_MAX: usize = 256;
/// Longest comment that is read, in bytes.
const COMMENT_BYTES_MAX: usize = 4_096;
/// Keys that are remembered with a hash of their value.
const KEYS_MAX: usize = 8;
/// Longest key that is remembered, in bytes.
const KEY_BYTES_MAX: usize = 32;
/// Domain of trace ids among the uses of [`StableHash`].
const TRACE_DOMAIN: u64 = 0x74_7261_6365;

/// Keys that mean something here, as `profile.tags` spells them.
const KNOWN: [&str; 12] = [
    "application",
    "service.name",
    "dddbs",
    "framework",
    "route",
    "controller",
    "action",
    "job",
    "traceparent",
    "file",
    "line",
    "mark",
];
/// Values of other keys that are kept of one text.
const OTHERS_MAX: usize = 8;

/// Keys of SQL comments whose values are kept (`profile.tags`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagKeys {
    /// Bit n: the n-th of the known ones.
    known: u16,
    others: Vec<Arc<str>>,
}

impl Default for TagKeys {
    fn default() -> Self {
        Self::of(KNOWN)
    }
}

impl TagKeys {
    /// Those of these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys = Self { known: 0, others: Vec::new() };
        for name in names {
            match KNOWN.iter().position(|known| *known == name) {
                Some(at) => keys.known |= 1 << at,
                None => keys.others.push(Arc::from(name)),
            }
        }
        keys
    }

    /// Whether a comment could have such a key.
    pub fn may_be(name: &str) -> bool {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(&byte);
        (1..=KEY_BYTES_MAX).contains(&name.len()) && name.bytes().all(part)
    }

    fn keeps(&self, key: &[u8]) -> bool {
        let known = match key {
            b"service%2Ename" => "service.name",
            // The drivers' word for the same.
            b"db_driver" => "framework",
            key => std::str::from_utf8(key).unwrap_or(""),
        };
        KNOWN.iter().position(|name| *name == known).is_some_and(|at| self.known & (1 << at) != 0)
    }

    fn other(&self, key: &[u8]) -> Option<&Arc<str>> {
        self.others.iter().find(|name| name.as_bytes() == key)
    }
}

/// Tags of the comments before the first and after the last token.
pub(super) fn of(raw: &[u8], found: &Tokens, kept: &TagKeys) -> Tags {
    if found.comments.is_empty() {
        return Tags::default();
    }
    let mut tags = Found::default();
    let says_something = |token: &Token| !token.is_mark(word(b";"));
    let last = found.tokens.iter().rposition(says_something).map_or(0, |last| last + 1);
    for (start, end, before) in &found.comments {
        let trailing = *before as usize >= last;
        let content = raw.get(*start as usize + 2..(*end as usize).saturating_sub(2));
        if let Some(content) = content.filter(|_| *before == 0 || trailing) {
            tags.comment(content.get(..COMMENT_BYTES_MAX).unwrap_or(content), kept);
        }
    }
    tags.finish()
}

/// The keys that are kept, as they come; the first one of a kind wins.
#[derive(Debug, Default)]
struct Found {
    application: Option<String>,
    service_name: Option<String>,
    dddbs: Option<String>,
    framework: Option<String>,
    db_driver: Option<String>,
    route: Option<String>,
    controller: Option<String>,
    action: Option<String>,
    job: Option<String>,
    traceparent: Option<String>,
    mark: Option<String>,
    file: Option<String>,
    line: Option<String>,
    others: Vec<(Arc<str>, Arc<str>)>,
    keys: Vec<(Arc<str>, u64)>,
}

impl Found {
    fn comment(&mut self, mut rest: &[u8], kept: &TagKeys) {
        while !rest.is_empty() {
            let Some((key, value, after)) = pair(rest) else {
                // no pair here: go on behind the next comma
                let comma = rest.iter().position(|byte| *byte == b',');
                rest = comma.and_then(|at| rest.get(at + 1..)).unwrap_or(&[]);
                continue;
            };
            self.note(key, value);
            self.take_other(key, value, kept);
            if let Some(slot) = self.slot(key, kept).filter(|slot| slot.is_none()) {
                *slot = value.decoded().filter(|value| !value.is_empty());
            }
            rest = after;
        }
    }

    fn note(&mut self, key: &[u8], value: Value<'_>) {
        let (Value::Encoded(value) | Value::Plain(value)) = value;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(byte);
        if self.keys.len() < KEYS_MAX && key.len() <= KEY_BYTES_MAX && key.iter().all(plain) {
            let key = String::from_utf8_lossy(key);
            self.keys.push((Arc::from(key), crate::value::text_key(value).0));
        }
    }

    fn take_other(&mut self, key: &[u8], value: Value<'_>, kept: &TagKeys) {
        let Some(name) = kept.other(key).filter(|_| self.others.len() < OTHERS_MAX) else { return };
        let is_new = !self.others.iter().any(|(known, _)| known == name);
        if let Some(value) = value.decoded().filter(|value| is_new && !value.is_empty()) {
            self.others.push((name.clone(), Arc::from(value)));
        }
    }

    fn slot(&mut self, key: &[u8], kept: &TagKeys) -> Option<&mut Option<String>> {
        Some(match key {
            key if !kept.keeps(key) => return None,
            b"application" => &mut self.application,
            b"service.name" | b"service%2Ename" => &mut self.service_name,
            b"dddbs" => &mut self.dddbs,
            b"framework" => &mut self.framework,
            b"db_driver" => &mut self.db_driver,
            b"route" => &mut self.route,
            b"controller" => &mut self.controller,
            b"action" => &mut self.action,
            b"job" => &mut self.job,
            b"traceparent" => &mut self.traceparent,
            b"mark" => &mut self.mark,
            b"file" => &mut self.file,
            b"line" => &mut self.line,
            _ => return None,
        })
    }

    fn finish(self) -> Tags {
        let action = self.action;
        let handler = self.controller.map(|controller| match action {
            Some(action) => format!("{controller}#{action}"),
            None => controller,
        });
        let service = self.application.or(self.service_name).or(self.dddbs);
        let framework = self.framework.or(self.db_driver);
        let context = self.traceparent.as_deref().and_then(context);
        Tags {
            route: self.route.or(handler).or(self.job).map(Arc::from),
            service: service.map(Arc::from),
            trace: context.map(|context| hash_of(context.trace_id)),
            context,
            code: place(self.file, self.line).map(Arc::from),
            framework: framework.map(|name| Arc::from(name.to_lowercase())),
            mark: self.mark.map(Arc::from),
            others: self.others,
            keys: self.keys,
        }
    }
}

/// A value as the comment spells it.
#[derive(Clone, Copy)]
enum Value<'a> {
    /// Quoted, URL-encoded, with `\'` for a quote.
    Encoded(&'a [u8]),
    Plain(&'a [u8]),
}

impl Value<'_> {
    fn decoded(self) -> Option<String> {
        let bytes = match self {
            Self::Encoded(bytes) => url_decoded(bytes),
            Self::Plain(bytes) => bytes.to_vec(),
        };
        let text = String::from_utf8_lossy(&bytes);
        Some(super::cut(&text, VALUE_BYTES_MAX).to_owned())
    }
}

/// `key='value'` or `key:value` at the beginning, and what follows its comma.
fn pair(text: &[u8]) -> Option<(&[u8], Value<'_>, &[u8])> {
    let separator = text.iter().position(|byte| matches!(byte, b'=' | b':' | b','))?;
    let key = text.get(..separator)?.trim_ascii();
    let value = text.get(separator + 1..)?;
    match text.get(separator)? {
        b'=' => {
            let quoted = value.trim_ascii_start().strip_prefix(b"'")?;
            let end = closing_quote(quoted)?;
            let after = quoted.get(end + 1..)?;
            let comma = after.iter().position(|byte| *byte == b',');
            let rest = comma.and_then(|at| after.get(at + 1..)).unwrap_or(&[]);
            Some((key, Value::Encoded(quoted.get(..end)?), rest))
        }
        b':' => {
            let comma = value.iter().position(|byte| *byte == b',').unwrap_or(value.len());
            let rest = value.get(comma + 1..).unwrap_or(&[]);
            Some((key, Value::Plain(value.get(..comma)?.trim_ascii()), rest))
        }
        _ => None,
    }
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            b'\'' => return Some(at),
            _ => at += 1,
        }
    }
}

fn url_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let (byte, len) = match byte {
            b'%' => escape(text, at).map_or((b'%', 1), |byte| (byte, 3)),
            b'\\' => (text.get(at + 1).copied().unwrap_or(b'\\'), 2),
            byte => (*byte, 1),
        };
        decoded.push(byte);
        at += len;
    }
    decoded
}

fn escape(text: &[u8], at: usize) -> Option<u8> {
    let high = char::from(*text.get(at + 1)?).to_digit(16)?;
    let low = char::from(*text.get(at + 2)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// `file:line`; marginalia's `line` names the file itself.
fn place(file: Option<String>, line: Option<String>) -> Option<String> {
    match (file, line) {
        (Some(file), Some(line)) => Some(format!("{file}:{line}")),
        (Some(file), None) => Some(file),
        (None, line) => line.filter(|line| line.contains(':')),
    }
}

/// Reads `version-traceid-parentid-flags`; a trace id of zeros is none.
fn context(header: &str) -> Option<TraceContext> {
    let mut parts = header.split('-').skip(1);
    let trace_id = parts.next().filter(|id| id.len() == 32)?;
    let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?;
    let span_id = parts.next().filter(|id| id.len() == 16);
    let span_id = span_id.and_then(|id| u64::from_str_radix(id, 16).ok()).unwrap_or(0);
    let flags = parts.next().and_then(|flags| u8::from_str_radix(flags.get(..2)?, 16).ok());
    Some(TraceContext { trace_id, span_id, sampled: flags.is_some_and(|flags| flags & 1 == 1) })
}

fn hash_of(trace_id: u128) -> u64 {
    let mut hash = StableHash::new(TRACE_DOMAIN);
    hash.word((trace_id >> 64) as u64);
    hash.word(trace_id as u64);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::lex;

    fn read(text: &str) -> Tags {
        read_keeping(text, &TagKeys::default())
    }

    fn read_keeping(text: &str, kept: &TagKeys) -> Tags {
        of(text.as_bytes(), &lex::tokens(text.as_bytes()), kept)
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let text =
            "SELECT 1 /*route='%2Fr',job='j',application='a',request_id='7%3A1',tenant='t'*/";
        for (kept, route, service, others) in [
            (TagKeys::default(), Some("/r"), Some("a"), vec![]),
            (TagKeys::of(["job", "application"]), Some("j"), Some("a"), vec![]),
            (TagKeys::of(["request_id", "route"]), Some("/r"), None, vec![("request_id", "7:1")]),
            (TagKeys::of([]), None, None, vec![]),
        ] {
            let tags = read_keeping(text, &kept);
            let found: Vec<(&str, &str)> =
                tags.others.iter().map(|(key, value)| (&**key, &**value)).collect();
            assert_eq!(
                (tags.route.as_deref(), tags.service.as_deref()),
                (route, service),
                "{kept:?}"
            );
            assert_eq!(found, others, "{kept:?}");
        }
        assert!(TagKeys::may_be("x-request.id") && !TagKeys::may_be("a b") && !TagKeys::may_be(""));
    }

    fn spelled(text: &str) -> String {
        let tags = read(text);
        let word = |tag: &Option<Arc<str>>| tag.as_deref().unwrap_or("-").to_owned();
        let trace = if tags.trace.is_some() { "trace" } else { "-" };
        let words =
            [word(&tags.route), word(&tags.service), word(&tags.framework), word(&tags.mark)];
        format!("{} {trace}", words.join(" "))
    }

    #[test]
    fn tags_are_read_from_leading_and_trailing_comments() {
        let rows = [
            ("SELECT 1", "- - - - -"),
            (
                "SELECT 1 /*route='%2Forders%2F%3Cid%3E',framework='django%3A4.2'*/",
                "/orders/<id> - django:4.2 - -",
            ),
            ("/* application = 'Shop' , db_driver='PSYCOPG' */ SELECT 1;", "- Shop psycopg - -"),
            (
                "SELECT 1 /*application:Shop,controller:orders,action:index*/;",
                "orders#index Shop - - -",
            ),
            ("/*controller:api/orders*/ SELECT 1", "api/orders - - - -"),
            ("/*job:MailJob,action:x*/ SELECT 1", "MailJob - - - -"),
            ("SELECT 1 /*route='a\\'b'*/", "a'b - - - -"),
            ("SELECT 1 /*service.name='pay',mark='t1'*/", "- pay - t1 -"),
            ("SELECT 1 /*dddbs='db-svc',ddps='x'*/", "- db-svc - - -"),
            ("SELECT 1 /*secret='x',route='r'*/ /*mark='m'*/", "r - - m -"),
            ("SELECT /*route='middle'*/ 1", "- - - - -"),
            ("SELECT 1 -- route='line'\n", "- - - - -"),
            ("SELECT 1 /* plain words, and more */", "- - - - -"),
            ("SELECT 1 /*route='unclosed*/", "- - - - -"),
            ("SELECT 1 /*route=''*/", "- - - - -"),
            ("SELECT 1 /*route='%zz%4'*/", "%zz%4 - - - -"),
            (
                "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",
                "- - - - trace",
            ),
            (
                "SELECT 1 /*traceparent='00-00000000000000000000000000000000-00f067aa0ba902b7-01'*/",
                "- - - - -",
            ),
            ("SELECT 1 /*traceparent='junk'*/", "- - - - -"),
            ("/*route='lonely'*/", "lonely - - - -"),
        ];
        for (text, wanted) in rows {
            assert_eq!(spelled(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_trace_is_the_trace_id_alone() {
        let of = |id: &str, parent: &str| {
            read(&format!("/*traceparent='00-{id}-{parent}-01'*/ SELECT 1")).trace.unwrap()
        };
        let (one, two) = ("4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4737");
        assert_eq!(of(one, "00f067aa0ba902b7"), of(one, "00f067aa0ba902b8"));
        assert_ne!(of(one, "00f067aa0ba902b7"), of(two, "00f067aa0ba902b7"));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let text = format!("/*route='{}'*/ SELECT 1", "ä".repeat(300));
        let route = read(&text).route.unwrap();
        assert_eq!(route.len(), 256);
        let odd = format!("/*route='x{}'*/ SELECT 1", "ä".repeat(300));
        assert_eq!(read(&odd).route.unwrap().len(), 255);
    }

    #[test]
    fn trace_and_code_are_kept_as_they_are_spelled() {
        let table = [
            (
                "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",
                Some((0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7)),
                None,
            ),
            (
                "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736'*/",
                Some((0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0)),
                None,
            ),
            (
                "/*traceparent='00-00000000000000000000000000000000-00f067aa0ba902b7-01'*/",
                None,
                None,
            ),
            ("/*file='shop%2Fviews.py',line='12'*/", None, Some("shop/views.py:12")),
            ("/*file='shop%2Fviews.py'*/", None, Some("shop/views.py")),
            (
                "/*line:/app/models/order.rb:7:in total*/",
                None,
                Some("/app/models/order.rb:7:in total"),
            ),
            ("/*line='12'*/", None, None),
        ];
        for (comment, context, code) in table {
            let tags = read(&format!("SELECT 1 {comment}"));
            let seen = tags.context.map(|context| (context.trace_id, context.span_id));
            assert_eq!((seen, tags.code.as_deref()), (context, code), "{comment}");
        }
    }
}
