//! A file of statements: one per line, `;` at the end; a repeated line is one more call.

use super::values;
use pgsonde_analyzer::digest::grammar::Grammar;
use pgsonde_analyzer::snapshot::Snapshot;

/// Longest file that is read, bytes.
pub(super) const FILE_BYTES_MAX: u64 = 256 << 20;

/// A statement and how often it ran.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) calls: f64,
}

/// The statements of one database in a profile, without values; and what was left out.
pub(super) fn of_snapshot(snapshot: &Snapshot, database: &str) -> (Vec<Line>, Vec<String>) {
    let (mut lines, mut cut, mut elsewhere) = (Vec::new(), 0, 0);
    for row in &snapshot.digests {
        if &*row.database != database && !row.database.is_empty() {
            elsewhere += row.totals.calls;
        } else if row.cut {
            cut += 1;
        } else {
            let (text, calls) = (values::numbered(&row.query_text), row.totals.calls as f64);
            lines.push(Line { text, calls });
        }
    }
    let mut notes = Vec::new();
    if cut > 0 {
        notes.push(format!(
            "{cut} of the statements are known in part only (their texts are too long): skipped"
        ));
    }
    if elsewhere > 0 {
        notes.push(format!("{elsewhere} calls went to other databases than {database}: skipped"));
    }
    notes.push(
        "a capture holds no values: statements were planned with common values of the statistics, so the advice is estimated"
            .to_owned(),
    );
    (lines, notes)
}

/// Statements, and the numbers of lines that are none.
pub(super) fn read(content: &str, grammar: &Grammar) -> (Vec<Line>, Vec<usize>) {
    let lines: Vec<&str> = content.lines().map(str::trim).collect();
    let (mut statements, mut failed) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < lines.len() {
        if is_blank(lines[at]) {
            at += 1;
            continue;
        }
        match statement(&lines[at..], grammar) {
            Some((text, taken)) => {
                statements.push(Line { text, calls: 1.0 });
                at += taken;
            }
            None => {
                failed.push(at + 1);
                at += 1;
            }
        }
    }
    (statements, failed)
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with("--") || (line.starts_with("/*") && line.ends_with("*/"))
}

/// The statement that begins here and how many lines it takes: one; more only where the line has no `;` at its end.
fn statement(lines: &[&str], grammar: &Grammar) -> Option<(String, usize)> {
    let first = lines[0];
    if grammar.is_statement(first) {
        return Some((first.trim_end_matches(';').to_owned(), 1));
    }
    if first.ends_with(';') {
        return None;
    }
    let end = lines.iter().position(|line| line.ends_with(';'))?;
    let text = lines[..=end].join("\n");
    grammar.is_statement(&text).then(|| (text.trim_end_matches(';').to_owned(), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let rows: [(&str, &[&str], &[usize]); 8] = [
            ("select 1;\nselect 1;\n", &["select 1", "select 1"], &[]),
            ("-- a\n\n/* b */\nselect 1;", &["select 1"], &[]),
            ("select 1", &["select 1"], &[]),
            ("selekt 1;\nselect 2;", &["select 2"], &[1]),
            ("select ';';\r\nselect 2;", &["select ';'", "select 2"], &[]),
            (
                "update t set a = 1\nwhere b = 2;\nselect 3;",
                &["update t set a = 1", "select 3"],
                &[2],
            ),
            ("select a,\n b\nfrom t;\nselect 2;", &["select a,\nb\nfrom t", "select 2"], &[]),
            ("", &[], &[]),
        ];
        for (content, expected, failed) in rows {
            let (found, bad) = read(content, &Grammar::new());
            let texts: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, expected, "{content:?}");
            assert_eq!(bad, failed, "{content:?}");
        }
    }
}
