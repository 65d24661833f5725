//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests folder has a parent").to_path_buf()
}

/// `target`, or what `CARGO_TARGET_DIR` says.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => workspace().join("target"),
    }
}

/// The Python of the virtual environment that `scripts/setup.sh python` makes.
///
/// # Panics
/// If it isn't there.
pub fn python() -> PathBuf {
    let python = target().join("venv/bin/python");
    assert!(python.exists(), "{} is missing: run `scripts/setup.sh python`", python.display());
    python
}

/// The proxy binary: `PGSONDE_BIN`, else the one beside this test's executable.
///
/// # Panics
/// If it isn't there.
pub fn pgsonde() -> PathBuf {
    let binary = match std::env::var_os("PGSONDE_BIN") {
        Some(path) => workspace().join(path),
        None => {
            let test = std::env::current_exe().expect("a running program has a path");
            let profile = test.parent().and_then(Path::parent).expect("target/debug/deps/test");
            profile.join("pgsonde")
        }
    };
    assert!(binary.exists(), "{} is missing: run `cargo build -p pgsonde`", binary.display());
    binary
}

/// The folder with `initdb`, `postgres`, `psql` and `pgbench`.
///
/// # Panics
/// If there is none.
pub fn postgres_bin() -> PathBuf {
    let mut script = std::process::Command::new(workspace().join("scripts/pg-bin.sh"));
    let output = script.output().expect("scripts/pg-bin.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
