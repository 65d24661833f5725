//! Finds frames (tag, length, body) in a byte stream, whatever its chunking.
//!
//! The scanner hops from header to header. A frame that lies whole inside a chunk is shown without a copy;
//! of one that spans chunks, only as many body bytes are collected as the sink asked for. A 1 GiB frame
//! therefore costs what a 1 KiB frame costs.

use crate::limits::KEPT_BYTES_IDLE_MAX;
use crate::{Error, Micros};

/// Tag (1 byte) and length (4 bytes, counts itself).
const HEADER_BYTES: usize = 5;

/// One complete frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Message type.
    pub tag: u8,
    /// Size on the wire in bytes, tag included.
    pub size: u64,
    /// The first bytes of the body: all of them, or as many as [`FrameSink::wanted`] said.
    pub body: &'a [u8],
    /// Whether `body` is the whole body.
    pub whole: bool,
    /// Stamp of the read that held the first byte.
    pub first_us: Micros,
    /// Stamp of the read that held the last byte.
    pub last_us: Micros,
}

/// Receives frames.
pub trait FrameSink {
    /// How many body bytes of a frame with this tag should be shown, at most.
    fn wanted(&self, tag: u8) -> usize;

    /// A frame is complete.
    ///
    /// # Errors
    /// The stream can't be followed any more; scanning stops for good.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error>;
}

/// State between two chunks of one direction.
#[derive(Debug, Default)]
pub struct FrameScanner {
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Body bytes of the current frame still to come.
    missing: u64,
    /// Body bytes to collect in all.
    wanted: usize,
    kept: Vec<u8>,
    size: u64,
    first_us: Micros,
}

impl FrameScanner {
    /// Shows every frame that ends in `chunk`, which was read at `now`.
    ///
    /// # Errors
    /// An impossible length, or what the sink returned.
    pub fn feed(
        &mut self,
        mut chunk: &[u8],
        now: Micros,
        sink: &mut impl FrameSink,
    ) -> Result<(), Error> {
        while !chunk.is_empty() {
            chunk = if self.header_len == 0 {
                self.whole_frames(chunk, now, sink)?
            } else if self.header_len < HEADER_BYTES {
                self.fill_header(chunk, sink)?
            } else {
                self.fill_body(chunk)
            };
            if self.header_len == HEADER_BYTES && self.missing == 0 {
                self.finish(now, sink)?;
            }
        }
        Ok(())
    }

    /// Whether the stream stands between two frames.
    pub fn at_boundary(&self) -> bool {
        self.header_len == 0
    }

    /// Bytes held for an unfinished frame.
    pub fn held_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// Fast path: frames that lie whole in the chunk. Returns what is left (the begin of a frame, or nothing).
    fn whole_frames<'a>(
        &mut self,
        mut chunk: &'a [u8],
        now: Micros,
        sink: &mut impl FrameSink,
    ) -> Result<&'a [u8], Error> {
        while let Some((header, rest)) = chunk.split_first_chunk::<HEADER_BYTES>() {
            let body_len = body_len(*header)?;
            let Some((body, next)) = rest.split_at_checked(body_len) else { break };
            let shown = sink.wanted(header[0]).min(body_len);
            sink.frame(Frame {
                tag: header[0],
                size: (HEADER_BYTES + body_len) as u64,
                body: &body[..shown],
                whole: shown == body_len,
                first_us: now,
                last_us: now,
            })?;
            chunk = next;
        }
        if !chunk.is_empty() {
            self.first_us = now;
            chunk = self.fill_header(chunk, sink)?;
        }
        Ok(chunk)
    }

    fn fill_header<'a>(
        &mut self,
        chunk: &'a [u8],
        sink: &impl FrameSink,
    ) -> Result<&'a [u8], Error> {
        let take = chunk.len().min(HEADER_BYTES - self.header_len);
        self.header[self.header_len..self.header_len + take].copy_from_slice(&chunk[..take]);
        self.header_len += take;
        if self.header_len == HEADER_BYTES {
            let body_len = body_len(self.header)?;
            self.missing = body_len as u64;
            self.size = (HEADER_BYTES + body_len) as u64;
            self.wanted = sink.wanted(self.header[0]).min(body_len);
        }
        Ok(&chunk[take..])
    }

    fn fill_body<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let take = chunk.len().min(usize::try_from(self.missing).unwrap_or(usize::MAX));
        let keep = take.min(self.wanted - self.kept.len());
        self.kept.extend_from_slice(&chunk[..keep]);
        self.missing -= take as u64;
        &chunk[take..]
    }

    fn finish(&mut self, now: Micros, sink: &mut impl FrameSink) -> Result<(), Error> {
        let body_len = self.size - HEADER_BYTES as u64;
        let shown = sink.frame(Frame {
            tag: self.header[0],
            size: self.size,
            body: &self.kept,
            whole: self.kept.len() as u64 == body_len,
            first_us: self.first_us,
            last_us: now,
        });
        self.header_len = 0;
        self.kept.clear();
        if self.kept.capacity() > KEPT_BYTES_IDLE_MAX {
            self.kept = Vec::new();
        }
        shown
    }
}

/// Body length of a header, or an error where the length is below 4 or negative.
fn body_len(header: [u8; HEADER_BYTES]) -> Result<usize, Error> {
    let [tag, length @ ..] = header;
    let length = i32::from_be_bytes(length);
    usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_sub(4))
        .ok_or(Error::Length { tag: tag as char })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen {
        wanted: usize,
        frames: Vec<(u8, u64, Vec<u8>, bool, Micros, Micros)>,
    }

    impl FrameSink for Seen {
        fn wanted(&self, _tag: u8) -> usize {
            self.wanted
        }
        fn frame(&mut self, f: Frame<'_>) -> Result<(), Error> {
            self.frames.push((f.tag, f.size, f.body.to_vec(), f.whole, f.first_us, f.last_us));
            Ok(())
        }
    }

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn scan(stream: &[u8], cuts: &[usize], wanted: usize) -> Vec<(u8, u64, Vec<u8>, bool)> {
        let mut scanner = FrameScanner::default();
        let mut seen = Seen { wanted, ..Seen::default() };
        let mut from = 0;
        for &to in cuts.iter().chain([&stream.len()]) {
            scanner.feed(&stream[from..to], 7, &mut seen).unwrap();
            from = to;
        }
        assert!(scanner.at_boundary());
        seen.frames.into_iter().map(|(t, s, b, w, ..)| (t, s, b, w)).collect()
    }

    #[test]
    fn any_two_cuts_show_the_same_frames() {
        let mut stream = frame(b'Q', b"select 1\0");
        stream.extend(frame(b'S', b""));
        stream.extend(frame(b'D', &[0, 1, 0, 0, 0, 1, 65]));
        stream.extend(frame(b'Z', b"I"));
        for wanted in [0, 3, 100] {
            let whole = scan(&stream, &[], wanted);
            assert_eq!(whole.len(), 4);
            assert_eq!(whole[0].2.len(), 9.min(wanted));
            for a in 0..=stream.len() {
                for b in a..=stream.len() {
                    assert_eq!(scan(&stream, &[a, b], wanted), whole, "cuts {a} {b}");
                }
            }
        }
    }

    #[test]
    fn stamps_are_those_of_the_first_and_last_byte() {
        let mut scanner = FrameScanner::default();
        let mut seen = Seen { wanted: 9, ..Seen::default() };
        let bytes = frame(b'Q', b"select 1\0");
        scanner.feed(&bytes[..2], 10, &mut seen).unwrap();
        scanner.feed(&bytes[2..8], 20, &mut seen).unwrap();
        scanner.feed(&bytes[8..], 30, &mut seen).unwrap();
        assert_eq!((seen.frames[0].4, seen.frames[0].5), (10, 30));
    }

    #[test]
    fn impossible_lengths_are_refused_and_huge_ones_allocate_nothing() {
        for length in [0_i32, 1, 3, -1, i32::MIN] {
            let mut bytes = vec![b'Q'];
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.push(0);
            for cut in 0..bytes.len() {
                let mut scanner = FrameScanner::default();
                let mut seen = Seen::default();
                let first = scanner.feed(&bytes[..cut], 0, &mut seen);
                let result = first.and_then(|()| scanner.feed(&bytes[cut..], 0, &mut seen));
                assert_eq!(result, Err(Error::Length { tag: 'Q' }), "length {length} cut {cut}");
            }
        }
        let mut scanner = FrameScanner::default();
        let mut seen = Seen { wanted: 16, ..Seen::default() };
        let mut bytes = vec![b'd'];
        bytes.extend_from_slice(&i32::MAX.to_be_bytes());
        bytes.extend_from_slice(&[1; 60_000]);
        scanner.feed(&bytes, 0, &mut seen).unwrap();
        assert!(scanner.held_bytes() <= 64 && seen.frames.is_empty());
    }
}
