//! What must hold for any text: the lexer accepts it, and nothing that is data comes through.

use super::{read, read_cut};
use crate::value::Salt;
use proptest::prelude::*;

fn salt() -> Salt {
    Salt::new(1, 2)
}

/// Fragments that meet every rule of the lexer, some of them unclosed.
const FRAGMENTS: &[&str] = &[
    "SELECT",
    "IN",
    "(",
    ")",
    ",",
    ";",
    "VALUES",
    "ARRAY",
    "[",
    "]",
    "'",
    "''",
    "E'",
    "\\",
    "\"",
    "$$",
    "$t$",
    "$1",
    "/*",
    "*/",
    "--",
    "\n",
    "-",
    "+",
    "::",
    "varchar",
    "numeric",
    ".",
    "1",
    "2.5",
    "e",
    "LIKE",
    "LIMIT",
    "SET",
    "a",
    "=",
    "FETCH",
    "SAVEPOINT",
    "UESCAPE",
    "U&'",
    "NULL",
    "BEGIN ATOMIC",
    "END",
    "CASE",
    "WITH",
    " ",
    "ä",
    "\u{0}",
    "0x",
    "%",
    "DECLARE",
    "timestamp",
    "with time zone",
];

/// A canary, quoted in every way that SQL knows for data.
const CANARIES: &[&str] = &[
    "'kanari7'",
    "E'kanari7'",
    "e'\\'kanari7'",
    "$$kanari7$$",
    "$q$ kanari7 $q$",
    "U&'kanari7'",
    "/* kanari7 */",
    "-- kanari7\n",
    "'it''s kanari7'",
    "b'kanari7'",
    "9kanari7",
    "$1kanari7",
    "/*x='kanari7'*/",
    "n'kanari7'",
    "'a'\n'kanari7'",
    "'kanari7'::text",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_accepted(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let first = read(&bytes, &salt());
        prop_assert_eq!(&first, &read(&bytes, &salt()));
        read_cut(&bytes, &salt());
    }

    #[test]
    fn any_fragments_are_accepted(picks in prop::collection::vec(0..FRAGMENTS.len(), 0..40), spaces in any::<bool>()) {
        let words: Vec<&str> = picks.iter().map(|at| FRAGMENTS[*at]).collect();
        let text = words.join(if spaces { " " } else { "" });
        for info in [read(text.as_bytes(), &salt()), read_cut(text.as_bytes(), &salt())] {
            for part in info.parts {
                prop_assert!(part.literals.len() <= 32);
                prop_assert!(part.readable || part.redacted.is_empty());
            }
        }
    }

    #[test]
    fn no_canary_comes_through(
        picks in prop::collection::vec((0..FRAGMENTS.len() + 3 * CANARIES.len(), any::<bool>()), 0..30),
    ) {
        // only fragments that leave quoting as it was: else the canary is in fact an identifier
        let mut text = String::new();
        for (at, space) in picks {
            let piece = FRAGMENTS.get(at).copied().unwrap_or_else(|| CANARIES[at % CANARIES.len()]);
            let quote = ["'", "\"", "$$", "$t$", "E'", "U&'", "/*", "*/", "--", "''"].contains(&piece);
            if !quote {
                text.push_str(piece);
                text.push_str(if space { " " } else { "\n" });
            }
        }
        for info in [read(text.as_bytes(), &salt()), read_cut(text.as_bytes(), &salt())] {
            for part in info.parts {
                prop_assert!(!part.redacted.contains("kanari7"), "{text} -> {}", part.redacted);
                prop_assert!(!part.parser_text.contains("kanari7"), "{text} -> {}", part.parser_text);
            }
            let tags = format!("{:?}", info.tags);
            prop_assert!(!tags.contains("kanari7"), "tags");
        }
    }
}
