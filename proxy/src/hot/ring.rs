//! Bind values of executions on their way: kept only so that a planner can be asked with real ones.
//!
//! A ring per session that asks for it, made at its first Bind. Whether an execution's values are worth more is known
//! only when it ends; until then they lie here, and what the ring has overwritten meanwhile is simply not there.

/// Bytes of values that a session keeps of executions on their way (`value_ring_bytes`).
pub const VALUE_RING_BYTES: usize = 16 * 1024;

/// Bytes of one execution's values that are kept (`sample_bytes_max`); longer ones are left out.
pub const SAMPLE_BYTES_MAX: usize = 4 * 1024;

/// Length word of NULL.
const NULL: i32 = -1;

/// Where the values of one Bind lie; an empty one for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    start: u64,
    len: u16,
}

impl Kept {
    /// Whether nothing was kept.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// The values of the latest Binds of one session.
#[derive(Default)]
pub struct ValueRing {
    bytes: Vec<u8>,
    /// Absolute position behind the latest byte.
    head: u64,
    /// Where the Bind that is being written begins.
    begun: u64,
    too_long: bool,
}

impl ValueRing {
    /// A Bind begins.
    pub fn begin(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.resize(VALUE_RING_BYTES, 0);
        }
        (self.begun, self.too_long) = (self.head, false);
    }

    /// Adds its next value: format (1 = binary), length word (little-endian, -1 = NULL), bytes.
    pub fn add(&mut self, binary: bool, value: Option<&[u8]>) {
        let value_bytes = value.unwrap_or_default();
        let held = (self.head - self.begun) as usize;
        if self.too_long || held + value_bytes.len() + 5 > SAMPLE_BYTES_MAX {
            self.too_long = true;
            return;
        }
        // It fits into 4 KiB.
        let len = value.map_or(NULL, |value| value.len() as i32);
        self.write(&[u8::from(binary)]);
        self.write(&len.to_le_bytes());
        self.write(value_bytes);
    }

    /// The Bind is complete.
    pub fn end(&mut self) -> Kept {
        if self.too_long {
            // What was written of it stays counted: it has overwritten older values.
            return Kept::default();
        }
        Kept { start: self.begun, len: (self.head - self.begun) as u16 }
    }

    /// The bytes of a Bind in two halves; `None` where they were overwritten.
    pub fn read(&self, kept: Kept) -> Option<[&[u8]; 2]> {
        if kept.is_empty() || self.head - kept.start > VALUE_RING_BYTES as u64 {
            return None;
        }
        let start = kept.start as usize % VALUE_RING_BYTES;
        let len = usize::from(kept.len);
        let first = len.min(VALUE_RING_BYTES - start);
        Some([self.bytes.get(start..start + first)?, self.bytes.get(..len - first)?])
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn write(&mut self, bytes: &[u8]) {
        let start = self.head as usize % VALUE_RING_BYTES;
        let first = bytes.len().min(VALUE_RING_BYTES - start);
        self.bytes[start..start + first].copy_from_slice(&bytes[..first]);
        self.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.head += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(ring: &mut ValueRing, values: &[Option<&[u8]>]) -> Kept {
        ring.begin();
        values.iter().for_each(|value| ring.add(false, *value));
        ring.end()
    }

    fn joined(ring: &ValueRing, kept: Kept) -> Option<Vec<u8>> {
        ring.read(kept).map(|halves| halves.concat())
    }

    #[test]
    fn gives_back_what_was_bound_and_nothing_overwritten() {
        let mut ring = ValueRing::default();
        let mut latest = Vec::new();
        for round in 0_u8..=255 {
            let value = vec![round; 1_000];
            let kept = bind(&mut ring, &[Some(&value), None]);
            let expected =
                [&[0][..], &1_000_i32.to_le_bytes(), &value, &[0], &NULL.to_le_bytes()].concat();
            assert_eq!(joined(&ring, kept).unwrap(), expected, "round {round}");
            latest.push((kept, expected));
        }
        // 16 Binds of 1010 bytes fit, the others are gone.
        let there = latest.iter().filter(|(kept, bytes)| {
            let found = joined(&ring, *kept);
            assert!(found.as_ref().is_none_or(|found| found == bytes));
            found.is_some()
        });
        assert_eq!(there.count(), 16);
    }

    #[test]
    fn long_binds_are_left_out() {
        let mut ring = ValueRing::default();
        let (fits, long) = (vec![1; SAMPLE_BYTES_MAX - 5], vec![2; SAMPLE_BYTES_MAX - 4]);
        let kept = bind(&mut ring, &[Some(&fits)]);
        assert!(!kept.is_empty());
        assert!(bind(&mut ring, &[Some(&long)]).is_empty());
        assert!(bind(&mut ring, &[Some(&fits), Some(b"")]).is_empty());
        assert!(bind(&mut ring, &[]).is_empty());
        assert_eq!(joined(&ring, kept).unwrap().len(), SAMPLE_BYTES_MAX);
        // Each of these is given up after it was written in part: nothing older may be taken for whole.
        (0..4).for_each(|_| assert!(bind(&mut ring, &[Some(&fits), Some(b"")]).is_empty()));
        assert_eq!(joined(&ring, kept), None);
    }
}
