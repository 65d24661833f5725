//! Executions as they were sent, for events alone: nothing of it reaches statistics, findings or reports.

use crate::record::{StatementRecord, TextKey, ValuesRecord};
use crate::text::cut;
use std::sync::Arc;

/// Bytes of a parameter that are kept.
const PARAMETER_BYTES_MAX: usize = 1_024;
/// Bytes of all parameters of one execution that are kept.
const PARAMETERS_BYTES_MAX: usize = 16 * 1_024;

/// What an execution was sent as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsSent {
    /// The whole text, also of several statements.
    pub query: Option<Arc<str>>,
    /// Parameters in their order; `None` for NULL. Those that came binary are spelled as the server would spell them
    /// where their type is known, else as `\x…`.
    pub params: Vec<Option<String>>,
    /// What the server said of its error.
    pub error: Option<Arc<str>>,
}

/// What came of an execution whose record follows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coming {
    text: TextKey,
    binds_hash: u64,
    params: Vec<Option<String>>,
    message: Option<Arc<str>>,
}

impl Coming {
    pub(crate) fn values(&mut self, of: &ValuesRecord, bytes: &[u8]) {
        (self.text, self.binds_hash) = (of.text, of.binds_hash);
        self.params = parameters(usize::from(of.count), bytes);
    }

    pub(crate) fn message(&mut self, message: Arc<str>) {
        self.message = Some(message);
    }

    /// What belongs to this execution.
    pub(crate) fn of(&mut self, record: &StatementRecord, query: Option<Arc<str>>) -> AsSent {
        let is_its_own = self.text == record.text && self.binds_hash == record.binds_hash;
        let params = std::mem::take(&mut self.params);
        AsSent {
            query,
            params: if is_its_own { params } else { Vec::new() },
            error: self.message.take().filter(|_| record.sqlstate != [0; 5]),
        }
    }
}

/// Reads `count` types and values ([`ValuesRecord::values`]); what is broken ends the list.
fn parameters(count: usize, bytes: &[u8]) -> Vec<Option<String>> {
    let mut left = PARAMETERS_BYTES_MAX;
    let types =
        bytes.chunks_exact(4).take(count).map(|oid| oid.try_into().map_or(0, u32::from_le_bytes));
    let mut rest = bytes.get(4 * count..).unwrap_or(&[]);
    let mut all = Vec::new();
    for oid in types {
        let Some((head, after)) = rest.split_at_checked(5) else { break };
        let len = head[1..].try_into().map_or(-1, i32::from_le_bytes);
        let Ok(len) = usize::try_from(len) else {
            all.push(None);
            rest = after;
            continue;
        };
        let Some((value, after)) = after.split_at_checked(len) else { break };
        let spelled = if head[0] == 1 { binary(oid, value) } else { text(value) };
        let spelled = cut(&spelled, PARAMETER_BYTES_MAX.min(left));
        left -= spelled.len();
        all.push(Some(spelled.to_owned()));
        rest = after;
    }
    all
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn binary(oid: u32, value: &[u8]) -> String {
    let spelled = match (oid, value.len()) {
        (16, 1) => Some(if value[0] == 0 { "f" } else { "t" }.to_owned()),
        (21, 2) => value.try_into().ok().map(|bytes| i16::from_be_bytes(bytes).to_string()),
        (23 | 26, 4) => value.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).to_string()),
        (20, 8) => value.try_into().ok().map(|bytes| i64::from_be_bytes(bytes).to_string()),
        (700, 4) => value.try_into().ok().map(|bytes| f32::from_be_bytes(bytes).to_string()),
        (701, 8) => value.try_into().ok().map(|bytes| f64::from_be_bytes(bytes).to_string()),
        // name, text, json, bpchar, varchar
        (19 | 25 | 114 | 1_042 | 1_043, _) => Some(text(value)),
        _ => None,
    };
    spelled.unwrap_or_else(|| {
        let digits = value.iter().take(PARAMETER_BYTES_MAX / 2).map(|byte| format!("{byte:02x}"));
        format!("\\x{}", digits.collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(all: &[(u32, u8, Option<&[u8]>)]) -> Vec<u8> {
        let mut bytes: Vec<u8> = all.iter().flat_map(|(oid, ..)| oid.to_le_bytes()).collect();
        for (_, format, value) in all {
            bytes.push(*format);
            let len = value.map_or(-1, |value| value.len() as i32);
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(value.unwrap_or_default());
        }
        bytes
    }

    #[test]
    fn parameters_are_spelled_as_the_server_spells_them() {
        let all: [(u32, u8, Option<&[u8]>); 7] = [
            (25, 0, Some(b"plain")),
            (23, 1, Some(&[0xff, 0xff, 0xff, 0xfe])),
            (20, 1, Some(&[0, 0, 0, 0, 0, 0, 1, 0])),
            (16, 1, Some(&[1])),
            (0, 1, Some(&[0xde, 0xad])),
            (25, 1, None),
            (1_043, 1, Some("grün".as_bytes())),
        ];
        let wanted = ["plain", "-2", "256", "t", "\\xdead", "NULL", "grün"];
        let found = parameters(all.len(), &values(&all));
        let found: Vec<&str> = found.iter().map(|one| one.as_deref().unwrap_or("NULL")).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn long_and_broken_lists_are_cut() {
        let long = vec![b'x'; 5_000];
        let all: Vec<(u32, u8, Option<&[u8]>)> =
            (0..32).map(|_| (25, 0, Some(&long[..]))).collect();
        let bytes = values(&all);
        let found = parameters(32, &bytes);
        let kept: usize = found.iter().flatten().map(String::len).sum();
        assert_eq!((found[0].as_ref().map(String::len), kept), (Some(1_024), PARAMETERS_BYTES_MAX));
        for end in 0..400 {
            assert!(parameters(32, &bytes[..end]).len() <= 1, "{end}");
        }
    }
}
