//! Instructions per routine exchange, counted by callgrind and held against the figures in `tests/instructions.txt`:
//! unlike times they hardly differ between two runs. They are those of the tests' build, so that they mean something
//! only beside one another. `PGSONDE_ACCEPT=1 cargo test --workspace --test instructions` writes them anew.

use pgsonde_tests::routine::KINDS;
use pgsonde_tests::{paths, run_ok};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// What is counted is the difference between a run of many exchanges and one of few: starting up is in both.
const FEW: u64 = 2_000;
const MANY: u64 = 4_000;
/// Growth that fails.
const GROWTH_MAX_RATIO: f64 = 1.05;
/// A figure that fell by as much is out of date.
const FALL_MAX_RATIO: f64 = 0.85;

fn instructions(piece: &str, kind: &str, exchanges: u64) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(env!("CARGO_BIN_EXE_routine")).args([piece, kind, &exchanges.to_string()]);
    let output = run_ok(&mut command, "", LIMIT);
    let collected = output.stderr.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.unwrap_or_else(|| panic!("callgrind said no count: {output:?}"));
    count.trim().parse().expect("a count")
}

fn counted() -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for piece in ["relay", "watch", "analyze"] {
        for kind in KINDS {
            let of = |exchanges| instructions(piece, kind.name, exchanges);
            let per_exchange = (of(MANY) - of(FEW)) / (MANY - FEW);
            counts.insert(format!("{piece} {}", kind.name), per_exchange);
        }
    }
    counts
}

fn written(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(what, count)| format!("{what} {count}\n")).collect()
}

fn read(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (what, count) = line.rsplit_once(' ').expect("a count");
        (what.to_owned(), count.parse().expect("a number"))
    };
    text.lines().map(line).collect()
}

#[test]
fn routine_exchanges_take_no_more_instructions_than_before() {
    let file = paths::workspace().join("tests/instructions.txt");
    let counts = counted();
    if std::env::var_os("PGSONDE_ACCEPT").is_some() {
        std::fs::write(&file, written(&counts)).expect("written");
    }
    let before = read(&std::fs::read_to_string(&file).expect("the figures"));
    assert!(before.keys().eq(counts.keys()), "accept the new set of figures: {counts:?}");
    let off: Vec<String> = counts
        .iter()
        .map(|(what, count)| (what, *count, before[what]))
        .filter(|(_, count, before)| {
            !(FALL_MAX_RATIO..=GROWTH_MAX_RATIO).contains(&(*count as f64 / *before as f64))
        })
        .map(|(what, count, before)| format!("{what}: {count} instead of {before}"))
        .collect();
    println!("{}", written(&counts));
    assert!(off.is_empty(), "instructions per exchange: {off:?}; accept them if there is a reason");
}
