//! What a session knows about the parameters and columns of its prepared statements.

use hashbrown::HashMap;
use pgsonde_analyzer::value::SelectedColumns;

/// Plans remembered per session; at the limit the older half goes. A plan is about 250 bytes.
pub const PLANS_MAX: usize = 1_024;

/// Bind values looked at per execution (`binds_hashed_max`).
pub const BINDS_HASHED_MAX: usize = 32;

/// Whether a parameter of this type, compared with an integer column, makes the server cast the column.
pub fn is_wide(type_oid: u32) -> bool {
    const FLOAT4: u32 = 700;
    const FLOAT8: u32 = 701;
    const NUMERIC: u32 = 1_700;
    matches!(type_oid, FLOAT4 | FLOAT8 | NUMERIC)
}

/// Parameter types and key-like columns of one (text, parameter types) pair.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Types of the first parameters; 0 = unspecified.
    pub types: [u32; BINDS_HASHED_MAX],
    /// Columns worth hashing.
    pub columns: SelectedColumns,
    used: u64,
    /// Executions that ended since values are kept.
    ended: u64,
    /// Moving average of their time to the first row, microseconds.
    mean_us: u64,
}

/// The values of this many first executions of a statement are handed over …
const FIRST_EXECUTIONS: u64 = 3;
/// … then those of one in so many …
const EXECUTIONS_PER_SAMPLE: u64 = 64;
/// … and those of executions that took so many times the moving average.
const SLOW_FACTOR: u64 = 4;

impl Plan {
    /// Notes an execution; whether its values are worth handing over.
    pub fn wants_values(&mut self, first_row_us: u64) -> bool {
        let slow = first_row_us > self.mean_us.saturating_mul(SLOW_FACTOR);
        let wanted = self.ended < FIRST_EXECUTIONS
            || slow
            || self.ended.is_multiple_of(EXECUTIONS_PER_SAMPLE);
        self.mean_us = match self.ended {
            0 => first_row_us,
            _ => self.mean_us - self.mean_us / 8 + first_row_us / 8,
        };
        self.ended += 1;
        wanted
    }
}

/// The plans of one session. Keyed by text, not by name: a name may change its meaning, a text doesn't.
#[derive(Default)]
pub struct Plans {
    plans: HashMap<u64, Plan, foldhash::fast::FixedState>,
    clock: u64,
}

impl Plans {
    /// The plan under this key, made if absent.
    pub fn entry(&mut self, key: u64) -> &mut Plan {
        self.clock += 1;
        if self.plans.len() >= PLANS_MAX && !self.plans.contains_key(&key) {
            let older_half = self.clock - PLANS_MAX as u64 / 2;
            self.plans.retain(|_, plan| plan.used >= older_half);
        }
        let plan = self.plans.entry(key).or_default();
        plan.used = self.clock;
        plan
    }

    /// The plan under this key, to note executions.
    pub fn find_mut(&mut self, key: u64) -> Option<&mut Plan> {
        self.plans.get_mut(&key)
    }

    /// The plan under this key.
    pub fn find(&self, key: u64) -> Option<&Plan> {
        self.plans.get(&key)
    }
}

/// Which result columns come in binary: one bit per column, the last bit for all columns from there on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats(u64);

impl Formats {
    /// From Bind's result-format codes (big-endian Int16): none, one for all, or one per column.
    pub fn from_codes(codes: &[u8]) -> Self {
        match codes {
            [] => Self(0),
            [_, code] => Self(if *code == 1 { u64::MAX } else { 0 }),
            codes => Self::from_columns(codes.chunks_exact(2).map(|code| code == [0, 1])),
        }
    }

    /// From one flag per column.
    pub fn from_columns(columns: impl Iterator<Item = bool>) -> Self {
        Self(
            columns
                .take(64)
                .enumerate()
                .fold(0, |bits, (at, binary)| bits | u64::from(binary) << at),
        )
    }

    /// Whether this column is binary.
    pub fn is_binary(self, field: u16) -> bool {
        self.0 >> field.min(63) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_stay_within_their_limit_and_keep_the_latest() {
        let mut plans = Plans::default();
        for key in 0..10 * PLANS_MAX as u64 {
            plans.entry(key).types[0] = 23;
            assert!(plans.plans.len() <= PLANS_MAX);
        }
        assert!(plans.find(10 * PLANS_MAX as u64 - 1).is_some());
        assert!(plans.find(0).is_none());
    }

    #[test]
    fn values_are_wanted_of_the_first_the_slow_and_one_in_many() {
        let mut plan = Plan::default();
        let wanted: Vec<u64> = (0..200).filter(|_| plan.wants_values(1_000)).collect();
        assert_eq!(wanted, [0, 1, 2, 64, 128, 192]);
        assert!(plan.wants_values(4_100));
        assert!(!plan.wants_values(4_100), "the average has risen");
    }

    #[test]
    fn formats_answer_per_column() {
        let all = |formats: Formats| [0, 1, 2, 62, 63, 200].map(|field| formats.is_binary(field));
        assert_eq!(all(Formats::from_codes(&[])), [false; 6]);
        assert_eq!(all(Formats::from_codes(&[0, 0])), [false; 6]);
        assert_eq!(all(Formats::from_codes(&[0, 1])), [true; 6]);
        let mixed = [false, true, false, false, false, false];
        assert_eq!(all(Formats::from_codes(&[0, 0, 0, 1, 0, 0])), mixed);
        let many = Formats::from_columns((0..300).map(|at| at >= 63));
        assert_eq!(all(many), [false, false, false, false, true, true]);
    }
}
