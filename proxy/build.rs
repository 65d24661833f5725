//! Embeds the built page of `dashboards/web` where it is there; without it the binary serves plain tables.

use std::path::Path;
use std::{env, fs};

const FOLDER: &str = "../dashboards/web/dist";

fn main() -> std::io::Result<()> {
    // The folder always exists (it keeps a .gitignore): a path that is absent would build the crate anew each time.
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = env::var("OUT_DIR").map_err(std::io::Error::other)?;
    let built = Path::new(FOLDER).join("index.html");
    let page = if built.exists() {
        fs::copy(&built, Path::new(&out).join("index.html"))?;
        r#"Some(include_str!(concat!(env!("OUT_DIR"), "/index.html")))"#
    } else {
        "None"
    };
    let source = format!("const BUILT: Option<&str> = {page};\n");
    fs::write(Path::new(&out).join("built.rs"), source)
}
