//! `pgsonde export`: captures as plain files.

use crate::capture::{FileHead, Kinds, Lines, read_lines};
use crate::problem::{LOCAL_RESOURCE, Problem};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Columns of `--format csv`: those of statement lines, and what the digest line says.
const COLUMNS: [&str; 36] = [
    "ts_us",
    "proxy_id",
    "session",
    "seq",
    "round_trip",
    "transaction",
    "unit_id",
    "mark",
    "service",
    "route",
    "app",
    "db_name",
    "db_user",
    "client_addr",
    "digest",
    "db_operation",
    "summary",
    "query_text",
    "protocol",
    "prepare",
    "param_count",
    "in_transaction",
    "duration_us",
    "queue_us",
    "first_row_us",
    "transfer_us",
    "client_stall_us",
    "wait_us",
    "think_us",
    "timing",
    "rows",
    "received_bytes",
    "sent_bytes",
    "outcome",
    "err_sqlstate",
    "values_hash",
];

/// What to write where.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// A capture file, or a folder of them
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// ndjson: the lines as they are; csv: one row per statement
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Form,
    /// Kinds of lines: statement, transaction, connection, finding; all of them by default
    #[arg(long, value_name = "LIST", default_value = "")]
    events: String,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Ndjson,
    Csv,
}

/// Reads and writes.
///
/// # Errors
/// PGS0204 for kinds that aren't there, those of the reader, PGS0102 where it can't be written.
pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode, Problem> {
    let names: Vec<&str> =
        args.events.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let kinds = Kinds::named(names.iter().copied()).ok_or_else(|| {
        Problem::new(204, format!("--events: there are {}", Kinds::NAMES.join(", ")))
    })?;
    if args.format == Form::Csv && names.iter().any(|name| *name != "statement") {
        return Err(Problem::new(204, "--format csv writes statements only")
            .help("the other lines have columns of their own: take --format ndjson"));
    }
    let out: Box<dyn Write> = match &args.output {
        None => Box::new(std::io::stdout()),
        Some(path) => {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
            Box::new(file.map_err(|error| unwritable(args, &error))?)
        }
    };
    let mut export = Export {
        out: BufWriter::new(out),
        form: args.format,
        kinds,
        digests: Map::new(),
        failed: None,
    };
    if args.format == Form::Csv {
        export.write(format!("{}\n", COLUMNS.join(",")).as_bytes());
    }
    let notes = read_lines(&args.capture, &mut export)?;
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    let ended = export.out.flush();
    match export.failed.map_or(ended, Err) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(unwritable(args, &error)),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn unwritable(args: &ExportArgs, error: &std::io::Error) -> Problem {
    let target = args.output.as_ref().map_or("stdout".into(), |path| path.display().to_string());
    Problem::new(LOCAL_RESOURCE, format!("cannot write to {target}: {error}"))
}

struct Export<W: Write> {
    out: BufWriter<W>,
    form: Form,
    kinds: Kinds,
    /// Summary and text by digest.
    digests: Map<String, Value>,
    failed: Option<std::io::Error>,
}

impl<W: Write> Export<W> {
    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(bytes).err();
        }
    }

    fn wants(&self, ev: &str) -> bool {
        match ev {
            "statement" => self.kinds.statement,
            "digest" => self.kinds.statement || self.kinds.transaction,
            "transaction" => self.kinds.transaction,
            "connection" | "traffic" => self.kinds.connection,
            "finding" => self.kinds.finding,
            _ => true,
        }
    }

    fn row(&mut self, line: &[u8]) -> bool {
        let Ok(Value::Object(mut line)) = serde_json::from_slice(line) else { return false };
        let digest = line.get("digest").and_then(Value::as_str).unwrap_or_default();
        if let Some(Value::Object(known)) = self.digests.get(digest) {
            line.extend(known.clone());
        }
        let cells: Vec<String> =
            COLUMNS.iter().map(|name| line.get(*name).map_or(String::new(), cell)).collect();
        self.write(format!("{}\n", cells.join(",")).as_bytes());
        true
    }

    fn learn(&mut self, line: &[u8]) -> bool {
        let Ok(Value::Object(line)) = serde_json::from_slice::<Value>(line) else { return false };
        let Some(digest) = line.get("digest").and_then(Value::as_str) else { return false };
        let kept = ["summary", "query_text"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), line.get(*name)?.clone())));
        self.digests.insert(digest.to_owned(), Value::Object(kept.collect()));
        true
    }
}

impl<W: Write> Lines for Export<W> {
    fn begin(&mut self, _head: &FileHead, first: &[u8], _notes: &mut Vec<String>) {
        if self.form == Form::Ndjson {
            self.write(first);
            self.write(b"\n");
        }
    }

    fn line(&mut self, ev: &str, line: &[u8]) -> bool {
        match (self.form, ev) {
            (Form::Csv, "statement") => self.row(line),
            (Form::Csv, "digest") => self.learn(line),
            (Form::Csv, _) => true,
            (Form::Ndjson, _) => {
                if self.wants(ev) {
                    self.write(line);
                    self.write(b"\n");
                }
                true
            }
        }
    }
}

/// One cell (RFC 4180). A text that a spreadsheet would take for a formula gets a quotation mark before it.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => return other.to_string(),
    };
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (value, expected) in [
            (Value::from(5), "5"),
            (Value::from(true), "true"),
            (Value::from("a"), "a"),
            (Value::from("a,b"), "\"a,b\""),
            (Value::from("say \"x\""), "\"say \"\"x\"\"\""),
            (Value::from("=1+1"), "'=1+1"),
            (Value::from("@x,y"), "\"'@x,y\""),
        ] {
            assert_eq!(cell(&value), expected, "{value}");
        }
    }
}
