//! The inner pages of a btree without rows: so many levels that a descent costs what it costs on the target.
//!
//! The planner charges for each level and reads the height from the index's first page. An index that was built over
//! an empty table has none, so we write one empty leaf and above it one page per level with a single, leftmost link
//! (layout: `nbtree.h`, version 4). A search finds its way down and finds nothing, as it should.

use std::fs::File;
use std::os::unix::fs::FileExt;

const PAGE: usize = 8192;
const HEADER: usize = 24;
const SPECIAL: usize = PAGE - 16;
const MAGIC: u32 = 0x0005_3162;
const VERSION: u32 = 4;
const LEAF: u16 = 1;
const ROOT: u16 = 2;
/// Size 8 with the bit of a tuple whose attributes were cut off, here all of them: less than any key.
const LINK_INFO: u16 = 0x2008;
/// Heights beyond this don't occur.
const HEIGHT_MAX: u32 = 8;

/// Gives an empty btree `height` levels above its leaves. `false` where the file isn't such an index.
pub(super) fn write(file: &File, height: u32) -> std::io::Result<bool> {
    let mut meta = [0; PAGE];
    file.read_exact_at(&mut meta, 0)?;
    let word = |at: usize| u32::from_le_bytes([meta[at], meta[at + 1], meta[at + 2], meta[at + 3]]);
    let is_empty = word(HEADER) == MAGIC && word(HEADER + 4) == VERSION && word(HEADER + 8) == 0;
    if !is_empty || height == 0 || height > HEIGHT_MAX {
        return Ok(height == 0);
    }
    let root = height + 1;
    for (at, value) in [(8, root), (12, height), (16, root), (20, height)] {
        meta[HEADER + at..HEADER + at + 4].copy_from_slice(&value.to_le_bytes());
    }
    for level in 0..=height {
        let page = page(level, level == height);
        file.write_all_at(&page, u64::from(level + 1) * PAGE as u64)?;
    }
    file.write_all_at(&meta, 0)?;
    Ok(true)
}

/// The only page of its level: an empty leaf, or one link to the page below.
fn page(level: u32, is_root: bool) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    let (mut lower, mut upper) = (HEADER, SPECIAL);
    if level > 0 {
        (lower, upper) = (HEADER + 4, SPECIAL - 8);
        // one line pointer: offset, in use, 8 bytes long
        let pointer = upper as u32 | 1 << 15 | 8 << 17;
        put(HEADER, &pointer.to_le_bytes());
        // the link: block number in two halves, no attributes
        put(upper, &[0, 0]);
        put(upper + 2, &(level as u16).to_le_bytes());
        put(upper + 6, &LINK_INFO.to_le_bytes());
    }
    put(12, &(lower as u16).to_le_bytes());
    put(14, &(upper as u16).to_le_bytes());
    put(16, &(SPECIAL as u16).to_le_bytes());
    put(18, &(PAGE as u16 | 4).to_le_bytes());
    put(SPECIAL + 8, &level.to_le_bytes());
    let flags = if level == 0 { LEAF } else { 0 } | if is_root { ROOT } else { 0 };
    put(SPECIAL + 12, &flags.to_le_bytes());
    page
}
