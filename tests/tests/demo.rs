//! The demo, end to end: the sample shop has its problems, and they are found.

use pgsonde_tests::{paths, run};
use std::process::Command;
use std::time::Duration;

#[test]
fn the_demo_finds_what_was_planted() {
    let mut demo = Command::new(paths::python());
    demo.arg(paths::workspace().join("deploy/demo/demo.py")).args([
        "--exit",
        "--seconds",
        "12",
        "--bin",
    ]);
    let output = run(demo.arg(paths::pgsonde()), "", Duration::from_secs(180));
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("found    N+1: orders.customer_id -> customers"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("found    missing index: items.sku"), "{}", output.stdout);
}
