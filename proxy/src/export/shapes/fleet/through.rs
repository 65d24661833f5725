//! Forms of what serde doesn't know: shared text, ids as text, rows as tuples.

use pgsonde_analyzer::snapshot::{ColumnBytes, Operation, SourceRow, UnitStatement};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A form for what serde doesn't know, through one that it knows.
macro_rules! through {
    ($name:ident, $known:ty, $own:ty, $to:expr, $from:expr) => {
        pub(super) mod $name {
            #[allow(unused_imports)]
            use super::*;
            use serde::{Deserializer, Serializer};

            // serde hands out references.
            #[allow(clippy::ptr_arg, clippy::trivially_copy_pass_by_ref)]
            pub(in super::super) fn serialize<S: Serializer>(
                own: &$own,
                out: S,
            ) -> Result<S::Ok, S::Error> {
                let to: fn(&$own) -> $known = $to;
                to(own).serialize(out)
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<$own, D::Error> {
                let known = <$known>::deserialize(from)?;
                let make: fn($known) -> Option<$own> = $from;
                make(known).ok_or_else(|| serde::de::Error::custom(stringify!($name)))
            }
        }
    };
}

through!(shared, String, Arc<str>, |own| own.to_string(), |text| Some(Arc::from(text)));
through!(hex, String, u64, |own| format!("{own:016x}"), |text| u64::from_str_radix(&text, 16).ok());
through!(wide, String, u128, |own| own.to_string(), |text| text.parse().ok());
through!(
    hexes,
    Vec<String>,
    Vec<u64>,
    |own| own.iter().map(|id| format!("{id:016x}")).collect(),
    |texts| texts.iter().map(|text| u64::from_str_radix(text, 16).ok()).collect()
);
through!(operation, String, Operation, |own| own.name().to_owned(), |name| {
    Some(Operation::named(&name).unwrap_or_default())
});
through!(
    names,
    Vec<String>,
    Vec<Arc<str>>,
    |own| own.iter().map(ToString::to_string).collect(),
    |names| Some(names.into_iter().map(Arc::from).collect())
);
through!(
    states,
    Vec<(String, u64)>,
    Vec<([u8; 5], u64)>,
    |own| own.iter().map(|(state, n)| (state.escape_ascii().to_string(), *n)).collect(),
    |states| states
        .into_iter()
        .map(|(state, n)| Some((state.into_bytes().try_into().ok()?, n)))
        .collect()
);
through!(
    columns,
    Vec<(String, u64)>,
    Vec<ColumnBytes>,
    |own| own.iter().map(|column| (column.name.to_string(), column.bytes)).collect(),
    |columns| Some(
        columns.into_iter().map(|(name, bytes)| ColumnBytes { name: name.into(), bytes }).collect()
    )
);
through!(
    sources,
    Vec<(String, String, String, u64, u64)>,
    Vec<SourceRow>,
    |own| own
        .iter()
        .map(|row| {
            let names = (row.user.to_string(), row.application_name.to_string());
            (names.0, names.1, row.route.to_string(), row.calls, row.total_us)
        })
        .collect(),
    |rows| Some(
        rows.into_iter()
            .map(|(user, name, route, calls, total_us)| SourceRow {
                user: user.into(),
                application_name: name.into(),
                route: route.into(),
                calls,
                total_us,
            })
            .collect()
    )
);
through!(
    waterfall,
    Vec<[u64; 7]>,
    Vec<UnitStatement>,
    |own| own
        .iter()
        .map(|one| {
            let phases = [one.queue_us, one.first_row_us, one.transfer_us, one.client_stall_us];
            let [queue, first_row, transfer, stall] = phases;
            [one.offset_us, queue, first_row, transfer, stall, one.digest, one.rows]
        })
        .collect(),
    |rows| Some(
        rows.into_iter()
            .map(
                |[
                    offset_us,
                    queue_us,
                    first_row_us,
                    transfer_us,
                    client_stall_us,
                    digest,
                    rows,
                ]| {
                    UnitStatement {
                        offset_us,
                        queue_us,
                        first_row_us,
                        transfer_us,
                        client_stall_us,
                        digest,
                        rows,
                    }
                }
            )
            .collect()
    )
);
through!(
    pairs,
    Vec<u64>,
    Vec<(u64, u64)>,
    |own| {
        let mut before = 0;
        let pair =
            |(value, count): &(u64, u64)| [value - std::mem::replace(&mut before, *value), *count];
        own.iter().flat_map(pair).collect()
    },
    |flat| {
        let mut before = 0_u64;
        let pair = |pair: &[u64]| match pair {
            [distance, count] => {
                before = before.checked_add(*distance)?;
                Some((before, *count))
            }
            _ => None,
        };
        flat.chunks(2).map(pair).collect()
    }
);
