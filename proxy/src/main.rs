//! The binary `pgsonde`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    pgsonde::cli::main()
}
