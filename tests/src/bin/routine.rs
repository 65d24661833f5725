//! `routine PIECE KIND EXCHANGES`: runs routine exchanges through a piece of the hot path, to be counted from outside.

use pgsonde_tests::routine::{Kind, analyze, relay, watch};

fn main() {
    let usage = "usage: routine watch|relay|analyze simple|unnamed|prepared EXCHANGES";
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [piece, kind, exchanges] = &args[..] else { panic!("{usage}") };
    let kind = Kind::named(kind).expect(usage);
    let exchanges = exchanges.parse().expect(usage);
    match &**piece {
        "watch" => watch(kind, exchanges),
        "relay" => relay(kind, exchanges),
        "analyze" => analyze(kind, exchanges),
        _ => panic!("{usage}"),
    }
}
