//! The server's programs: found where people and packages put them, of exactly the target's major version.

use super::Unavailable;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of `initdb` and `postgres` of that major version.
pub(super) fn find(major: u32, configured: Option<&Path>) -> Result<PathBuf, Unavailable> {
    if let Some(folder) = configured {
        return match version_in(folder) {
            Some(found) if found == major => Ok(folder.to_owned()),
            found => Err(wrong(major, &folder.display().to_string(), found)),
        };
    }
    let mut other = None;
    for folder in candidates(major) {
        match version_in(&folder) {
            Some(found) if found == major => return Ok(folder),
            Some(found) => other = other.or(Some((folder, found))),
            None => {}
        }
    }
    Err(match other {
        Some((folder, found)) => wrong(major, &folder.display().to_string(), Some(found)),
        None => Unavailable::new(
            format!("this machine has no server programs of PostgreSQL {major} (initdb, postgres)"),
            remedy(major),
        ),
    })
}

fn wrong(major: u32, folder: &str, found: Option<u32>) -> Unavailable {
    let what = found.map_or("no server programs".to_owned(), |found| format!("PostgreSQL {found}"));
    Unavailable::new(
        format!("the target is PostgreSQL {major}, and {folder} has {what}"),
        remedy(major),
    )
}

fn remedy(major: u32) -> String {
    format!(
        "install postgresql-{major} here (it need not run), or name its folder in shadow_bin_dir"
    )
}

/// PATH, what `pg_config` says, and where packages put the versions side by side.
fn candidates(major: u32) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
    found.extend(pg_config());
    let packaged = [
        format!("/usr/lib/postgresql/{major}/bin"),
        format!("/usr/pgsql-{major}/bin"),
        format!("/usr/lib/postgresql{major}/bin"),
        format!("/usr/libexec/postgresql{major}"),
        format!("/opt/homebrew/opt/postgresql@{major}/bin"),
        "/usr/local/pgsql/bin".to_owned(),
    ];
    found.extend(packaged.into_iter().map(PathBuf::from));
    found
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|folder| folder.is_absolute())
}

/// The major version of a folder that has both programs.
fn version_in(folder: &Path) -> Option<u32> {
    if !folder.join("initdb").is_file() || !folder.join("postgres").is_file() {
        return None;
    }
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    major_of(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.4 (Debian 15.4-1)` is 15; so are `16beta1` and `17devel`.
fn major_of(text: &str) -> Option<u32> {
    let version = text.split(") ").nth(1)?;
    let end = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let rows = [
            ("postgres (PostgreSQL) 15.4 (Debian 15.4-1.pgdg120+1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 17devel\n", Some(17)),
            ("postgres (EnterpriseDB) 13.2\n", Some(13)),
            ("bash: not found", None),
        ];
        for (text, expected) in rows {
            assert_eq!(major_of(text), expected, "{text}");
        }
    }

    #[test]
    fn says_what_is_missing_and_what_to_do() {
        let folder = Path::new("/nonexistent/bin");
        let problem = find(15, Some(folder)).expect_err("there is nothing");
        assert!(problem.why.contains("/nonexistent/bin"), "{problem:?}");
        assert!(problem.remedy.contains("postgresql-15"), "{problem:?}");
    }
}
