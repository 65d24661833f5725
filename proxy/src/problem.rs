//! What went wrong, in the words a person needs: `error[PGSnnnn]: what`, why, and what to do.
//!
//! One sentence each, no blame, no stack trace, no secret. The code decides the exit code, so that scripts can
//! tell a typing error from a server that is down.

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};
use std::fmt::{self, Display, Write as _};

/// A failure with a stable code (`PGS0101`), and where it helps the place in the configuration file.
#[derive(Debug)]
pub struct Problem {
    code: u16,
    what: String,
    notes: Vec<String>,
    help: Option<String>,
    place: Option<Box<Place>>,
}

#[derive(Debug)]
struct Place {
    source: NamedSource<String>,
    span: SourceSpan,
    label: String,
}

/// Code of a listener that cannot be opened: the one local resource that the user names on the command line.
pub const CANNOT_LISTEN: u16 = 101;
/// Code of any other failure of this machine's resources.
pub const LOCAL_RESOURCE: u16 = 102;
/// Code of a certificate or key that can't be used: a mistake in the configuration, whatever its range.
pub const UNUSABLE_FILE: u16 = 407;

impl Problem {
    /// A problem with its number (`101` is printed as `PGS0101`) and one sentence.
    pub fn new(code: u16, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), notes: Vec::new(), help: None, place: None }
    }

    /// Adds why it happened.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at bytes `span` of the file `name` with this `text`; `label` is printed beside the mark.
    #[must_use]
    pub fn at(
        mut self,
        name: &str,
        text: &str,
        span: std::ops::Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        let source = NamedSource::new(name, text.to_owned());
        let span = SourceSpan::from((span.start, span.len()));
        self.place = Some(Box::new(Place { source, span, label: label.into() }));
        self
    }

    /// The number of the code.
    pub fn number(&self) -> u16 {
        self.code
    }

    /// The code as printed, `PGS0101`.
    pub fn code_text(&self) -> String {
        format!("PGS{:04}", self.code)
    }

    /// The sentence without the code.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The help, if there is any.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The process's exit code: 2 usage or configuration, 3 server, 4 unreadable report source, 1 the rest.
    pub fn exit_code(&self) -> u8 {
        match self.code {
            CANNOT_LISTEN | 200..=299 | UNUSABLE_FILE | 600..=699 | 708 => 2,
            300..=499 | 800..=899 => 3,
            500..=599 => 4,
            _ => 1,
        }
    }

    /// The form for people, several lines, each ended by a newline.
    pub fn to_text(&self) -> String {
        let mut text = format!("error[{}]: {}\n", self.code_text(), self.what);
        if let Some(place) = &self.place {
            text.push_str(&place.to_text());
        }
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "  help: {help}");
        }
        text
    }

    /// The form for programs: one JSON document, ended by a newline.
    pub fn to_json(&self) -> String {
        let mut notes = self.notes.clone();
        if let Some(place) = &self.place {
            notes.insert(0, format!("at {}", place.position()));
        }
        let error = serde_json::json!({ "error": {
            "code": self.code_text(),
            "message": self.what,
            "notes": notes,
            "help": self.help,
        }});
        format!("{error}\n")
    }
}

impl Place {
    /// `file:line:column`, from 1.
    fn position(&self) -> String {
        match self.source.read_span(&self.span, 0, 0) {
            Ok(found) => {
                format!("{}:{}:{}", self.source.name(), found.line() + 1, found.column() + 1)
            }
            Err(_) => self.source.name().to_owned(),
        }
    }

    /// The line with a mark under the span.
    fn to_text(&self) -> String {
        let Ok(found) = self.source.read_span(&self.span, 0, 0) else {
            return format!("  --> {}\n", self.source.name());
        };
        let number = (found.line() + 1).to_string();
        let gutter = " ".repeat(number.len());
        let all = self.source.inner();
        let mut start = self.span.offset().min(all.len());
        while !all.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = all[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = all[line_start..].lines().next().unwrap_or("");
        let before = width(&all[line_start..start]);
        let marked = line.get(start - line_start..).unwrap_or("");
        let marks = width(marked.get(..self.span.len().min(marked.len())).unwrap_or(marked)).max(1);
        let (left, right) = ("─".repeat(marks / 2), "─".repeat(marks - marks / 2 - 1));
        format!(
            "{gutter} ╭─[{}]\n{number} │ {}\n{gutter} · {}{left}┬{right} {}\n",
            self.position(),
            line.replace('\t', " "),
            " ".repeat(before),
            self.label,
        )
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(self.code_text()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let label = LabeledSpan::new_with_span(Some(place.label.clone()), place.span);
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_why_and_help() {
        let problem = Problem::new(301, "PostgreSQL at db:5432 refused the connection")
            .note("tried 10.0.3.7:5432 (connection refused)")
            .help("check `listen_addresses`");
        assert_eq!(
            problem.to_text(),
            "error[PGS0301]: PostgreSQL at db:5432 refused the connection\n\
             \x20 note: tried 10.0.3.7:5432 (connection refused)\n\
             \x20 help: check `listen_addresses`\n"
        );
    }

    #[test]
    fn marks_the_place_in_the_file() {
        let text = "[profile]\nmax_digest = 5000\n";
        let problem = Problem::new(201, "unknown key `max_digest` in [profile]").at(
            "pgsonde.toml",
            text,
            10..20,
            "did you mean `max_digests`?",
        );
        assert_eq!(
            problem.to_text(),
            "error[PGS0201]: unknown key `max_digest` in [profile]\n\
             \x20 ╭─[pgsonde.toml:2:1]\n\
             2 │ max_digest = 5000\n\
             \x20 · ─────┬──── did you mean `max_digests`?\n"
        );
    }

    #[test]
    fn is_one_json_document() {
        let problem = Problem::new(501, "cannot \"read\"").at("a.toml", "x = 1", 4..5, "here");
        let value: serde_json::Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(value["error"]["code"], "PGS0501");
        assert_eq!(value["error"]["message"], "cannot \"read\"");
        assert_eq!(value["error"]["notes"][0], "at a.toml:1:5");
        assert!(value["error"]["help"].is_null());
    }

    #[test]
    fn code_decides_the_exit_code() {
        let rows = [
            (101, 2),
            (102, 1),
            (201, 2),
            (301, 3),
            (402, 3),
            (407, 2),
            (501, 4),
            (601, 2),
            (708, 2),
        ];
        for (code, exit) in rows {
            assert_eq!(Problem::new(code, "").exit_code(), exit, "PGS{code:04}");
        }
    }

    #[test]
    fn survives_spans_outside_the_file_and_inside_characters() {
        for span in [0..0, 3..900, 900..901, 1..2] {
            let text = Problem::new(205, "x").at("f", "é = \"ü\"\n", span.clone(), "l").to_text();
            assert!(text.starts_with("error[PGS0205]: x\n"), "{span:?}");
        }
    }
}
