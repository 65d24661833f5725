//! The fuzz bodies on a stable toolchain: over the committed corpus, over every transcript, and over a bounded
//! number of seeded mutations of both. `PGSONDE_FUZZ_CASES=n` sets how many per body, `PGSONDE_FUZZ_SEED=n` where
//! they begin. `make fuzz-smoke` runs the same bodies under cargo-fuzz.

use pgsonde_tests::fuzz::{BODIES, mutated, spelled};
use pgsonde_tests::paths;
use pgsonde_tests::random::Random;
use pgsonde_tests::transcript::Transcript;
use std::panic::catch_unwind;
use std::path::Path;

/// Seeded mutations per body.
const CASES: u64 = 3_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    names.sort();
    names.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

/// The committed inputs of a body; every transcript as well where the body takes conversations.
fn corpus(body: &str) -> Vec<Vec<u8>> {
    let mut inputs = files(&paths::workspace().join("tests/corpus").join(body));
    if matches!(body, "exchange" | "frames") {
        for text in files(&paths::workspace().join("tests/transcripts")) {
            let transcript = Transcript::parse(&String::from_utf8(text).expect("UTF-8"));
            inputs.push(match body {
                "exchange" => spelled(&transcript.chunks),
                _ => transcript.chunks.into_iter().flat_map(|chunk| chunk.bytes).collect(),
            });
        }
    }
    assert!(!inputs.is_empty(), "{body} has a corpus");
    inputs
}

/// Runs one input; a panic names the body and keeps the input where it can be found.
fn check(name: &str, body: fn(&[u8]), data: &[u8], what: &str) {
    if catch_unwind(|| body(data)).is_err() {
        let kept = std::env::temp_dir().join(format!("pgsonde-fuzz-{name}"));
        std::fs::write(&kept, data).expect("the temporary folder is writable");
        panic!("{name} failed on {what}; the input is in {}", kept.display());
    }
}

#[test]
fn the_corpus_passes() {
    for (name, body) in BODIES {
        for (number, data) in corpus(name).iter().enumerate() {
            check(name, body, data, &format!("corpus input {number}"));
        }
    }
}

#[test]
fn seeded_mutations_pass() {
    let (first, cases) = (number("PGSONDE_FUZZ_SEED", 1), number("PGSONDE_FUZZ_CASES", CASES));
    for (name, body) in BODIES {
        let corpus = corpus(name);
        for seed in first..first + cases {
            let data = mutated(&mut Random::new(seed), &corpus);
            check(name, body, &data, &format!("seed {seed}"));
        }
    }
}
