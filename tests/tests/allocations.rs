//! The observing side of the forwarding path allocates nothing once an exchange has become routine.

use pgsonde_tests::routine::{KINDS, Watched, clear};

/// Exchanges before the count begins: batches, queues and scratch space reach their size.
const WARM_UP: u64 = 2_000;
const COUNTED: u64 = 5_000;

#[test]
fn routine_exchanges_allocate_nothing() {
    let one = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(one.count_total, 1, "the counter counts");
    for kind in KINDS {
        let mut session = Watched::new(kind);
        (0..WARM_UP).for_each(|_| session.exchange(clear));
        let counted = allocation_counter::measure(|| {
            (0..COUNTED).for_each(|_| session.exchange(clear));
        });
        assert!(session.is_followed(), "{kind:?}: still followed");
        assert_eq!(
            counted.count_total, 0,
            "{kind:?}: allocations in {COUNTED} exchanges: {counted:?}"
        );
    }
}
