//! Capture files in their folder: names, order, and which of them go when there are too many bytes.

use crate::export::clock::compact;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a capture's name ends.
pub(crate) const SUFFIX: &str = ".ndjson.zst";
/// Only the owner reads: texts and names of an application are in it.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// One file; the order is that of their writing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// `yyyymmddThhmmssZ`.
    pub(crate) started: String,
    pub(crate) proxy_id: String,
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

impl Found {
    /// Reads `<start>-<proxy_id>-<n>.ndjson.zst`.
    pub(crate) fn named(path: PathBuf, bytes: u64) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let mut parts = name.split('-');
        let (started, proxy_id, number) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = parts.next().is_none()
            && started.len() == 16
            && started.is_ascii()
            && digits(&started[..8])
            && digits(&started[9..15])
            && started.as_bytes()[8] == b'T'
            && started.ends_with('Z')
            && proxy_id.len() == 12
            && proxy_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = number.parse().ok()?;
        let (started, proxy_id) = (started.to_owned(), proxy_id.to_owned());
        fits.then_some(Self { started, proxy_id, number, path, bytes })
    }

    /// The name without its end.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}-{}", self.started, self.proxy_id, self.number)
    }
}

/// The captures of a folder, oldest first; whatever else lies there is none of ours.
///
/// # Errors
/// The folder can't be read.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            found.extend(Found::named(entry.path(), meta.len()));
        }
    }
    // Files of one start of a proxy belong together even if the wall clock was set back between them.
    let first = |file: &Found| {
        let same = found.iter().filter(|other| other.proxy_id == file.proxy_id);
        same.map(|other| other.started.clone()).min()
    };
    let mut keyed: Vec<_> = found
        .iter()
        .map(|file| ((first(file), file.proxy_id.clone(), file.number), file.clone()))
        .collect();
    keyed.sort();
    Ok(keyed.into_iter().map(|(_, file)| file).collect())
}

/// Makes the folder if its parent is there.
///
/// # Errors
/// It isn't there and can't be made.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(FOLDER_MODE).create(folder)
}

/// Whether files can be made in the folder.
///
/// # Errors
/// They can't.
pub(crate) fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".pgsonde-{}", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&path)?;
    std::fs::remove_file(path)
}

/// Makes the next file; a file of that name is never touched.
///
/// # Errors
/// It can't be made.
pub(crate) fn create(
    folder: &Path,
    unix_us: u64,
    proxy_id: &str,
    number: u64,
) -> io::Result<(PathBuf, File)> {
    let path = folder.join(format!("{}-{proxy_id}-{number}{SUFFIX}", compact(unix_us)));
    let file = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(&path)?;
    Ok((path, file))
}

/// Deletes the oldest files until all but `keep` have at most `bytes_max` together; says how many bytes are left.
///
/// # Errors
/// The folder can't be read, or a file can't be deleted.
pub(crate) fn make_room(folder: &Path, keep: Option<&Path>, bytes_max: u64) -> io::Result<u64> {
    let files = list(folder)?;
    let others: Vec<_> = files.iter().filter(|file| Some(&*file.path) != keep).collect();
    let mut total: u64 = others.iter().map(|file| file.bytes).sum();
    for file in others {
        if total <= bytes_max {
            break;
        }
        std::fs::remove_file(&file.path)?;
        total -= file.bytes;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let of = |name: &str| Found::named(PathBuf::from(name), 1).map(|found| found.id());
        let good = "20261123T010203Z-0123456789ab-12";
        assert_eq!(of(&format!("/x/{good}.ndjson.zst")).as_deref(), Some(good));
        for name in [
            "x.ndjson.zst",
            "20261123T010203Z-0123456789ab-12.ndjson",
            "20261123T010203Z-0123456789ab-.ndjson.zst",
            "20261123T010203Z-0123456789a-1.ndjson.zst",
            "2026112301020304-0123456789ab-1.ndjson.zst",
            "20261123T010203Z-0123456789ab-1-2.ndjson.zst",
            "ääääääää-0123456789ab-1.ndjson.zst",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn the_oldest_files_go_and_foreign_ones_stay() {
        let folder = std::env::temp_dir().join(format!("pgsonde-files-{}", std::process::id()));
        prepare(&folder).unwrap();
        probe(&folder).unwrap();
        let names = [
            "20260101T000000Z-00000000000a-9.ndjson.zst",
            "20260101T000000Z-00000000000a-10.ndjson.zst",
            "20260102T000000Z-000000000001-1.ndjson.zst",
            "notes.txt",
        ];
        for name in names {
            std::fs::write(folder.join(name), [0; 10]).unwrap();
        }
        let left = || list(&folder).unwrap().iter().map(Found::id).collect::<Vec<_>>();
        assert_eq!(left()[0], "20260101T000000Z-00000000000a-9");
        assert_eq!(make_room(&folder, None, 29).unwrap(), 20);
        assert_eq!(left()[0], "20260101T000000Z-00000000000a-10");
        let keep = folder.join(names[1]);
        assert_eq!(make_room(&folder, Some(&keep), 5).unwrap(), 0);
        assert_eq!(left(), ["20260101T000000Z-00000000000a-10"]);
        assert!(folder.join("notes.txt").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
