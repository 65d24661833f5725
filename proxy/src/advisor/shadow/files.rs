//! Relation files as long as the target's, without their contents: the planner asks the file for its length.

use super::Unavailable;
use super::cluster::Owner;
use super::spine;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Blocks that the files of the shadow may really occupy, of 512 bytes: 1 GiB.
const REAL_BLOCKS_MAX: u64 = (1 << 30) / 512;
/// Largest apparent size of one relation, blocks of 8 KiB: 16 TiB.
const BLOCKS_MAX: u64 = 1 << 31;

/// One file of a relation and what it should become.
#[derive(Clone, Debug)]
pub(super) struct Length {
    /// Below the data folder, as `pg_relation_filepath` gives it.
    pub(super) path: String,
    /// Blocks of the whole relation.
    pub(super) blocks: u64,
    /// Levels above the leaves, for a btree.
    pub(super) height: Option<u32>,
}

/// Where files are and how they are cut.
pub(super) struct Files<'a> {
    pub(super) data: &'a Path,
    pub(super) owner: Owner,
    pub(super) block_size: u64,
    /// Blocks of a segment.
    pub(super) segment_blocks: u64,
}

impl Files<'_> {
    /// Makes every file as long as it should be, with holes. The server must not run.
    pub(super) fn extend(&self, lengths: &[Length]) -> Result<(), Unavailable> {
        self.check_limit()?;
        let mut real = 0;
        for length in lengths {
            let extended = self.extend_one(length);
            real += extended.map_err(|error| {
                Unavailable::new(
                    format!("cannot make the shadow's files as long as the target's: {error}"),
                    "name a folder in shadow_dir whose file system keeps holes (not a network drive)"
                        .to_owned(),
                )
            })?;
        }
        if real > REAL_BLOCKS_MAX {
            return Err(Unavailable::new(
                "the shadow's files would occupy more than 1 GiB: this file system fills holes"
                    .to_owned(),
                "name a folder on another file system in shadow_dir (tmpfs is best)".to_owned(),
            ));
        }
        Ok(())
    }

    /// Empties heaps again, so that indexes can be built without reading holes. The server must not run.
    pub(super) fn shorten(&self, paths: &[String]) -> std::io::Result<()> {
        for path in paths {
            let whole = self.data.join(path);
            File::options().write(true).open(&whole)?.set_len(0)?;
            for number in 1.. {
                let part = segment(&whole, number);
                if !part.exists() {
                    break;
                }
                std::fs::remove_file(part)?;
            }
        }
        Ok(())
    }

    /// A longer file than the process may write ends the process, so the limit is looked at before.
    fn check_limit(&self) -> Result<(), Unavailable> {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find(|line| line.starts_with("Max file size"));
        let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
        match soft {
            Some(bytes) if bytes < self.segment_blocks * self.block_size => Err(Unavailable::new(
                format!("this process may write files of {bytes} bytes only"),
                "raise the limit (ulimit -f, LimitFSIZE)".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Gives what the files really occupy, in units of 512 bytes.
    fn extend_one(&self, length: &Length) -> std::io::Result<u64> {
        let whole = self.data.join(&length.path);
        let mut left = length.blocks.min(BLOCKS_MAX);
        let mut real = 0;
        for number in 0.. {
            let part = left.min(self.segment_blocks);
            let path = if number == 0 { whole.clone() } else { segment(&whole, number) };
            let file = File::options()
                .read(true)
                .write(true)
                .create(number > 0)
                .truncate(false)
                .open(&path)?;
            // never shorter: an index keeps the pages that it was made with
            if file.metadata()?.len() < part * self.block_size {
                file.set_len(part * self.block_size)?;
            }
            if let (0, Some(height)) = (number, length.height) {
                spine::write(&file, height)?;
            }
            if let Some((user, group)) = self.owner {
                std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
            }
            real += file.metadata()?.blocks();
            left -= part;
            // a full segment has a next one, even if it is empty
            if part < self.segment_blocks {
                break;
            }
        }
        Ok(real)
    }
}

fn segment(whole: &Path, number: u32) -> PathBuf {
    let mut name = whole.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_long_and_empty() {
        let folder = std::env::temp_dir().join(format!("pgsonde-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let files = Files { data: &folder, owner: None, block_size: 8192, segment_blocks: 100 };
        let rows: [(u64, &[u64]); 5] =
            [(0, &[0]), (1, &[1]), (99, &[99]), (100, &[100, 0]), (250, &[100, 100, 50])];
        for (blocks, expected) in rows {
            let path = format!("t{blocks}");
            std::fs::write(folder.join(&path), []).expect("an empty file");
            let length = Length { path: path.clone(), blocks, height: None };
            files.extend(&[length]).expect("extended");
            let size = |number: usize| {
                let whole = folder.join(&path);
                let path = if number == 0 { whole } else { segment(&whole, number as u32) };
                std::fs::metadata(path).ok().map(|meta| meta.len() / 8192)
            };
            let found: Vec<u64> = (0..).map_while(size).collect();
            assert_eq!(found, expected, "{blocks}");
            files.shorten(std::slice::from_ref(&path)).expect("shortened");
            assert_eq!((0..).map_while(size).collect::<Vec<_>>(), [0], "{blocks}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
