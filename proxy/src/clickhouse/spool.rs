//! Batches on disk between making and sending: one file each, in the order of their names.

use crate::exports::Counts;
use crate::problem::Problem;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What every batch's name ends with.
const SUFFIX: &str = ".ndjson.zst";

/// A folder of batches.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    counts: Arc<Counts>,
    /// Held while the folder is ours.
    _lock: File,
}

/// A batch in the spool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch {
    /// `<moment>-<proxy_id>-<n>-<rows>-<table>`: its name in the store as well.
    pub(super) token: String,
    pub(super) table: String,
    pub(super) rows: u64,
    /// Written by an earlier process: it may have been sent.
    pub(super) inherited: bool,
}

/// Why a batch found no place.
#[derive(Debug)]
pub(super) enum NoPlace {
    Full,
    Failed(String),
}

impl Spool {
    pub(super) fn open(
        folder: &Path,
        bytes_max: u64,
        counts: &Arc<Counts>,
    ) -> Result<Self, Problem> {
        let refused = |why: String| {
            Problem::new(113, format!("cannot use {} as the spool of an export", folder.display()))
                .note(why)
                .help("export.clickhouse.spool names a folder of this proxy alone that it may write to")
        };
        let reason = |error: io::Error| {
            let text = error.to_string();
            refused(text.split(" (os error").next().unwrap_or(&text).to_owned())
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(reason)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(folder.join("lock")).map_err(reason)?;
        if lock.try_lock().is_err() {
            return Err(refused("another process uses it".to_owned()));
        }
        let spool =
            Self { folder: folder.to_owned(), bytes_max, counts: Arc::clone(counts), _lock: lock };
        spool.count_bytes().map_err(reason)?;
        Ok(spool)
    }

    fn count_bytes(&self) -> io::Result<()> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "part") {
                // Nobody ever finished writing it.
                std::fs::remove_file(entry.path())?;
            } else {
                bytes += entry.metadata()?.len();
            }
        }
        self.counts.waiting_bytes.store(bytes, Relaxed);
        Ok(())
    }

    fn path(&self, token: &str) -> PathBuf {
        self.folder.join(format!("{token}{SUFFIX}"))
    }

    /// Puts a batch in; it is there as a whole or not at all.
    pub(super) fn put(&self, token: &str, packed: &[u8]) -> Result<(), NoPlace> {
        let bytes = packed.len() as u64;
        if self.counts.waiting_bytes.load(Relaxed) + bytes > self.bytes_max {
            return Err(NoPlace::Full);
        }
        let (part, path) = (self.folder.join(format!("{token}.part")), self.path(token));
        let mut options = OpenOptions::new();
        let written =
            options.create_new(true).write(true).mode(0o600).open(&part).and_then(|mut file| {
                file.write_all(packed)?;
                std::fs::rename(&part, &path)
            });
        if let Err(error) = written {
            let _gone = std::fs::remove_file(&part);
            let text = error.to_string();
            let reason = text.split(" (os error").next().unwrap_or(&text);
            return Err(NoPlace::Failed(format!("cannot write to the spool: {reason}")));
        }
        self.counts.waiting_bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// All batches, oldest first; those that `own` didn't write are inherited.
    pub(super) fn batches(&self, own: &str) -> io::Result<Vec<Batch>> {
        let mut batches = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let token = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            batches.extend(token.and_then(|token| batch(token, own)));
        }
        batches.sort();
        Ok(batches)
    }

    pub(super) fn read(&self, batch: &Batch) -> io::Result<Vec<u8>> {
        std::fs::read(self.path(&batch.token))
    }

    /// A batch is where it belongs, or given up.
    pub(super) fn remove(&self, batch: &Batch) {
        let path = self.path(&batch.token);
        let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        if std::fs::remove_file(&path).is_ok() {
            self.counts.waiting_bytes.fetch_sub(bytes, Relaxed);
        }
    }
}

fn batch(token: &str, own: &str) -> Option<Batch> {
    let mut parts = token.splitn(5, '-');
    let (_, proxy_id, _) = (parts.next()?, parts.next()?, parts.next()?);
    let rows = parts.next()?.parse().ok()?;
    let table = parts.next()?.to_owned();
    Some(Batch { token: token.to_owned(), table, rows, inherited: proxy_id != own })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_keeps_order_and_bounds_and_belongs_to_one() {
        let folder = std::env::temp_dir().join(format!("pgsonde-spool-{}", std::process::id()));
        let counts = Arc::new(Counts::of("test", &[]));
        let spool = Spool::open(&folder, 100, &counts).unwrap();
        assert_eq!(Spool::open(&folder, 100, &counts).unwrap_err().number(), 113);
        spool.put("2-aa-2-7-pgsonde_statements", &[1; 40]).unwrap();
        spool.put("1-bb-1-3-pgsonde_digests", &[2; 60]).unwrap();
        assert!(matches!(spool.put("3-aa-3-1-x", &[3]), Err(NoPlace::Full)));
        let batches = spool.batches("aa").unwrap();
        let told: Vec<_> =
            batches.iter().map(|b| (b.rows, b.table.as_str(), b.inherited)).collect();
        assert_eq!(told, [(3, "pgsonde_digests", true), (7, "pgsonde_statements", false)]);
        assert_eq!(spool.read(&batches[0]).unwrap(), [2; 60]);
        spool.remove(&batches[0]);
        spool.remove(&batches[0]);
        assert_eq!(counts.waiting_bytes.load(Relaxed), 40);
        drop(spool);
        let again = Spool::open(&folder, 100, &counts).unwrap();
        assert_eq!(
            (again.batches("cc").unwrap().len(), counts.waiting_bytes.load(Relaxed)),
            (1, 40)
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
