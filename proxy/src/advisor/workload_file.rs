//! A file of statements: one per line, `;` at the end; a repeated line is one more call.

use pgsonde_analyzer::digest::grammar::Grammar;

/// Longest file that is read, bytes.
pub(super) const FILE_BYTES_MAX: u64 = 256 << 20;

/// A statement and the line where it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
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
                statements.push(Line { number: at + 1, text });
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
