//! Capture files as a reader with tools of their own sees them.

use crate::run;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The files of a folder, oldest first.
///
/// # Panics
/// If there is no such folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// All lines of a folder, as `zstd -dc` gives them.
///
/// # Panics
/// If one is no JSON.
pub fn lines(folder: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in files(folder) {
        let output = run(Command::new("zstd").arg("-dcq").arg(&file), "", LIMIT);
        lines.extend(
            output.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")),
        );
    }
    lines
}

/// Those of one kind.
pub fn of<'a>(lines: &'a [Value], ev: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["ev"] == ev)
}
