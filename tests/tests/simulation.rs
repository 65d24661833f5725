//! The seeded simulation over many seeds, and twice over some: the same seed, the same records, to the byte.
//! `PGSONDE_SIMULATION_SEEDS=n` sets how many; `PGSONDE_SIMULATION_SEED=n` repeats one.

use pgsonde_tests::simulation::run;

const SEEDS: u64 = 3_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_seed_closes_each_exchange_once() {
    let seeds = match number("PGSONDE_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PGSONDE_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (mut expected, mut dropped) = (0, 0);
    for seed in seeds.clone() {
        let run = run(seed);
        expected += run.expected;
        dropped += run.dropped;
    }
    println!("{seeds:?}: {expected} statements, {dropped} of them dropped on purpose");
    assert!(expected > seeds.end - seeds.start, "the simulated clients say something");
}

#[test]
fn the_same_seed_gives_the_same_records() {
    for seed in 0..100 {
        assert!(run(seed) == run(seed), "seed {seed}");
    }
}
