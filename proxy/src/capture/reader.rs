//! Reads captures line by line, however they ended.
//!
//! A file that is cut in the middle is read up to the cut, and a note says how far that was. Lines that are too long or
//! no JSON are left out with a note.

use super::files;
use super::finding_line::lasting;
use crate::export::clock::rfc3339_unix;
use crate::export::shapes::lines::{CaptureLine, LINE_BYTES_MAX, SCHEMA, head};
use crate::problem::Problem;
use pgsonde_analyzer::Redaction;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Code of a file that can't be read.
const UNREADABLE: u16 = 513;
/// Code of a file that is no capture.
const NO_CAPTURE: u16 = 511;
/// Code of a capture of a newer version.
const NEWER: u16 = 512;
/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the first line of a file says.
#[derive(Clone, Debug)]
pub(crate) struct FileHead {
    pub(crate) proxy_id: String,
    pub(crate) started_us: u64,
    pub(crate) opened_us: u64,
    pub(crate) unit_gap_us: u64,
    pub(crate) sample: f64,
    pub(crate) version: &'static str,
    pub(crate) statements: bool,
    pub(crate) redaction: Redaction,
}

/// What takes the lines.
pub(crate) trait Lines {
    /// A file begins.
    fn begin(&mut self, head: &FileHead, first: &[u8], notes: &mut Vec<String>);
    /// A line behind the first one, without its end; false where it can't be read.
    fn line(&mut self, ev: &str, line: &[u8]) -> bool;
}

/// Reads a file, or all captures of a folder in their order; what is strange about them becomes notes.
///
/// # Errors
/// PGS0511, PGS0512, PGS0513.
pub(crate) fn read(path: &Path, lines: &mut dyn Lines) -> Result<Vec<String>, Problem> {
    let mut notes = Vec::new();
    let meta = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !meta.is_dir() {
        read_file(path, lines, &mut notes)?;
        return Ok(notes);
    }
    let files = files::list(path).map_err(|error| unreadable(path, &error))?;
    if files.is_empty() {
        return Err(Problem::new(NO_CAPTURE, format!("{} holds no captures", path.display()))
            .note(format!("captures have names like <start>-<proxy_id>-<n>{}", files::SUFFIX)));
    }
    let mut read_any = None;
    for file in files {
        // One that holds nothing yet is no reason to refuse the others; one that can't be understood is.
        match read_file(&file.path, lines, &mut notes) {
            Ok(()) => read_any = Some(Ok(())),
            Err(problem) if problem.number() == NO_CAPTURE => {
                notes.push(problem.what().to_owned());
                read_any.get_or_insert(Err(problem));
            }
            Err(problem) => return Err(problem),
        }
    }
    read_any.unwrap_or(Ok(())).map(|()| notes)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(UNREADABLE, format!("cannot read {}", path.display())).note(super::reason(error))
}

fn no_capture(path: &Path, why: &str) -> Problem {
    Problem::new(NO_CAPTURE, format!("{} is not a capture: {why}", path.display()))
        .help("a capture is a file that `pgsonde proxy --capture DIR` wrote, or a folder of them")
}

/// Where a file was read to.
#[derive(Default)]
struct Progress {
    lines: u64,
    strange: u64,
    last_us: u64,
}

fn read_file(path: &Path, lines: &mut dyn Lines, notes: &mut Vec<String>) -> Result<(), Problem> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut opened = open(file).map_err(|error| unreadable(path, &error))?;
    let source = &mut *opened;
    let mut line = Vec::new();
    let first = next_line(source, &mut line);
    let head = match first {
        Ok(Some(true)) => read_head(path, &line)?,
        Ok(Some(false)) => return Err(no_capture(path, "its first line is too long")),
        Ok(None) => return Err(no_capture(path, "it holds no complete line")),
        Err(_) => return Err(no_capture(path, "its first line cannot be read")),
    };
    lines.begin(&head, &line, notes);
    let mut progress = Progress { last_us: head.opened_us, ..Progress::default() };
    let cut = loop {
        match next_line(source, &mut line) {
            Ok(Some(fits)) => progress.take(fits.then_some(&line), lines),
            Ok(None) => break (!line.is_empty()).then(|| "it ends within a line".to_owned()),
            Err(error) => break Some(super::reason(&error)),
        }
    };
    progress.tell(path, cut, notes);
    Ok(())
}

impl Progress {
    fn take(&mut self, line: Option<&Vec<u8>>, lines: &mut dyn Lines) {
        let Some(line) = line else {
            self.strange += 1;
            return;
        };
        if line.is_empty() {
            return;
        }
        let read = head(line).is_some_and(|head| {
            self.last_us = self.last_us.max(head.ts_us);
            lines.line(&head.ev, line)
        });
        self.lines += 1;
        self.strange += u64::from(!read);
    }

    fn tell(&self, path: &Path, cut: Option<String>, notes: &mut Vec<String>) {
        let name = path.display();
        if let Some(why) = cut {
            notes.push(format!(
                "{name} is cut off ({why}): read {} lines, up to {}",
                self.lines,
                rfc3339_unix(self.last_us)
            ));
        }
        if self.strange > 0 {
            notes
                .push(format!("{name}: {} lines could not be read and are left out", self.strange));
        }
    }
}

fn read_head(path: &Path, line: &[u8]) -> Result<FileHead, Problem> {
    let what = head(line).ok_or_else(|| no_capture(path, "its first line is no JSON object"))?;
    if what.ev != "capture" {
        return Err(no_capture(path, "its first line does not say `capture`"));
    }
    #[derive(serde::Deserialize)]
    struct Versions {
        schema: u32,
        #[serde(default)]
        version: String,
    }
    let versions: Versions = serde_json::from_slice(line)
        .map_err(|_| no_capture(path, "its first line names no schema"))?;
    if versions.schema > SCHEMA {
        return Err(newer(path, &versions.version, versions.schema));
    }
    let capture: CaptureLine<'_> = serde_json::from_slice(line)
        .map_err(|error| no_capture(path, &format!("its first line: {error}")))?;
    Ok(FileHead {
        proxy_id: capture.proxy_id.into_owned(),
        started_us: capture.started_us,
        opened_us: capture.ts_us,
        unit_gap_us: capture.unit_gap_us,
        sample: capture.sample,
        version: lasting(&capture.version),
        statements: capture.events.is_empty()
            || capture.events.iter().any(|kind| kind == "statement"),
        redaction: Redaction::named(&capture.redact).unwrap_or_default(),
    })
}

fn newer(path: &Path, version: &str, schema: u32) -> Problem {
    let shown = version.escape_debug();
    Problem::new(NEWER, format!("{} is of a newer pgsonde", path.display()))
        .note(format!(
            "pgsonde {shown} wrote it with schema {schema}; pgsonde {} reads up to schema {SCHEMA}",
            env!("CARGO_PKG_VERSION")
        ))
        .help("read it with that version or a newer one")
}

fn open(mut file: File) -> io::Result<Box<dyn BufRead>> {
    let mut magic = [0; 4];
    let packed = file.read_exact(&mut magic).is_ok() && magic == ZSTD_MAGIC;
    file.seek(SeekFrom::Start(0))?;
    if packed {
        Ok(Box::new(BufReader::new(zstd::stream::read::Decoder::new(file)?)))
    } else {
        Ok(Box::new(BufReader::new(file)))
    }
}

/// Reads one line without its end into `line`: nothing at the end of the file (then `line` holds what stands behind the
/// last end of a line), false for a line that is too long.
fn next_line(source: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let limit = LINE_BYTES_MAX as u64 + 1;
    Read::take(&mut *source, limit).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(true));
    }
    if (line.len() as u64) < limit {
        return Ok(None);
    }
    skip_line(source)?;
    Ok(Some(false))
}

fn skip_line(source: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        source.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Whether a path looks like a capture: a folder, or a file that begins like one.
pub(crate) fn is_capture(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut begin));
    path.is_dir()
        || path.to_string_lossy().ends_with(files::SUFFIX)
        || (read.is_ok() && (begin.starts_with(&ZSTD_MAGIC) || begin.starts_with(b"{\"ev\":")))
}
