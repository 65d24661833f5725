//! `SET pgsonde.mark = '…'`: the only setting whose value is kept. It is a label that the application gives to what it
//! does (a test's name), as `application_name` is, and PostgreSQL takes it as it takes any name with a dot in it.

use super::lex::{Kind, Token, word};
use std::sync::Arc;

/// Longest mark, in bytes; longer ones are cut.
pub const MARK_BYTES_MAX: usize = 256;

/// What a statement does to the mark of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkChange {
    /// `SET [SESSION] pgsonde.mark = 'x'`; `None` for an empty value.
    Set(Option<Arc<str>>),
    /// `SET LOCAL pgsonde.mark = 'x'`: until the transaction ends.
    SetLocal(Option<Arc<str>>),
    /// `RESET pgsonde.mark`, `SET pgsonde.mark TO DEFAULT`, `RESET ALL`, `DISCARD ALL`: back to that of the start-up.
    Reset,
}

impl MarkChange {
    /// Whether the statement is about nothing else, so that it belongs to no unit of work. `RESET ALL` and
    /// `DISCARD ALL` do more.
    pub fn is_its_only_purpose(text: &str) -> bool {
        !text.trim_end().to_ascii_lowercase().ends_with(" all")
    }
}

/// What the statement of these tokens does to the mark, if anything.
pub(super) fn change_of(raw: &[u8], tokens: &[Token]) -> Option<MarkChange> {
    let first = tokens.first()?;
    if first.is(word(b"set")) {
        return set(raw, tokens.get(1..)?);
    }
    let rest = tokens.get(1..)?;
    let all = rest.len() == 1 && rest[0].is(word(b"all"));
    let resets = first.is(word(b"reset")) && (all || (rest.len() == 3 && names_mark(rest)));
    (resets || (first.is(word(b"discard")) && all)).then_some(MarkChange::Reset)
}

fn set(raw: &[u8], mut rest: &[Token]) -> Option<MarkChange> {
    let local = rest.first()?.is(word(b"local"));
    if local || rest.first()?.is(word(b"session")) {
        rest = rest.get(1..)?;
    }
    let [_, _, _, equals, value] = rest else { return None };
    if !names_mark(rest) || !(equals.is_mark(word(b"=")) || equals.is(word(b"to"))) {
        return None;
    }
    if value.is(word(b"default")) {
        return Some(MarkChange::Reset);
    }
    let mark = value_of(value.bytes(raw), value.kind)?;
    Some(if local { MarkChange::SetLocal(mark) } else { MarkChange::Set(mark) })
}

fn names_mark(tokens: &[Token]) -> bool {
    matches!(tokens, [space, dot, name, ..]
        if space.is(word(b"pgsonde")) && dot.is_mark(word(b".")) && name.is(word(b"mark")))
}

/// The value; nothing where it is spelled in a way that isn't decoded here.
fn value_of(bytes: &[u8], kind: Kind) -> Option<Option<Arc<str>>> {
    let text = String::from_utf8_lossy(bytes);
    let text = match kind {
        Kind::Str => text.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'"),
        Kind::Quoted => text.strip_prefix('"')?.strip_suffix('"')?.replace("\"\"", "\""),
        Kind::Word | Kind::Number => text.into_owned(),
        _ => return None,
    };
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    let mark = super::cut(&text, MARK_BYTES_MAX);
    Some((!mark.is_empty()).then(|| Arc::from(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::lex;

    fn change(text: &str) -> Option<MarkChange> {
        change_of(text.as_bytes(), &lex::tokens(text.as_bytes()).tokens)
    }

    #[test]
    fn only_this_setting_is_read() {
        let mark = |text: &str| Some(Arc::from(text));
        let set = |text: &str| Some(MarkChange::Set(mark(text)));
        let rows = [
            ("SET pgsonde.mark = 'test_checkout'", set("test_checkout")),
            ("set session PgSonde.Mark to 'it''s'", set("it's")),
            ("SET pgsonde.mark = plain", set("plain")),
            ("SET pgsonde.mark = \"Q x\"", set("Q x")),
            ("SET pgsonde.mark = 7", set("7")),
            ("SET LOCAL pgsonde.mark = 'l'", Some(MarkChange::SetLocal(mark("l")))),
            ("SET pgsonde.mark = ''", Some(MarkChange::Set(None))),
            ("SET pgsonde.mark TO DEFAULT", Some(MarkChange::Reset)),
            ("RESET pgsonde.mark", Some(MarkChange::Reset)),
            ("RESET ALL", Some(MarkChange::Reset)),
            ("DISCARD ALL", Some(MarkChange::Reset)),
            ("SET pgsonde.marks = 'x'", None),
            ("SET other.mark = 'secret'", None),
            ("SET application_name = 'x'", None),
            ("SET pgsonde.mark = 'a', 'b'", None),
            ("SET pgsonde.mark = E'a'", None),
            ("RESET pgsonde.mark extra", None),
            ("DISCARD PLANS", None),
            ("SELECT pgsonde.mark = 'x'", None),
            ("SET", None),
            ("", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(change(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_mark_is_short_and_plain() {
        let Some(MarkChange::Set(Some(mark))) =
            change(&format!("SET pgsonde.mark = 'a\n{}'", "ä".repeat(300)))
        else {
            panic!("a mark")
        };
        assert_eq!(mark.len(), 255);
        assert!(!mark.contains('\n'));
    }

    #[test]
    fn resets_of_everything_stay_statements() {
        for (text, only) in
            [("RESET pgsonde.mark", true), ("SET pgsonde.mark = ?", true), ("DISCARD ALL", false)]
        {
            assert_eq!(MarkChange::is_its_only_purpose(text), only, "{text}");
        }
    }
}
