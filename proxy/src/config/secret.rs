//! Secrets: never written in a file or on a command line, only named there.

use crate::problem::Problem;
use std::fmt;
use std::path::Path;

/// Largest file that holds a secret, in bytes.
const FILE_BYTES_MAX: u64 = 4_096;
/// Shortest token, in bytes.
const TOKEN_BYTES_MIN: usize = 16;
/// Code of a secret that stands where it may be read.
const IN_THE_OPEN: u16 = 202;
/// Code of a secret that cannot be read.
const UNREADABLE: u16 = 205;
/// Code of a secret that is too weak, or cannot be sent.
const UNFIT: u16 = 204;

/// What stands in place of a secret wherever it could be shown.
pub(crate) const MASK: &str = "•••";

/// A secret as it was read; it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Secret {
    /// A secret that came from the environment of a command.
    pub(crate) fn given(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for comparing and sending.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Whether a text names a place (`env:NAME`, `file:PATH`) and isn't the secret itself.
pub(super) fn check_place(text: &str) -> Result<(), (u16, String)> {
    let named = ["env:", "file:"]
        .iter()
        .any(|kind| text.strip_prefix(kind).is_some_and(|place| !place.trim().is_empty()));
    let rule = "a secret doesn't stand here: write `env:NAME` or `file:PATH`";
    if named { Ok(()) } else { Err((IN_THE_OPEN, rule.to_owned())) }
}

/// Reads the token that `place` names; `variable` looks up the environment.
pub(super) fn read_token(
    place: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Secret, Problem> {
    let secret = read("admin.token", place, variable)?;
    let token = secret.expose();
    let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.len() < TOKEN_BYTES_MIN || !printable {
        let rule = format!("at least {TOKEN_BYTES_MIN} printable ASCII characters without spaces");
        return Err(Problem::new(UNFIT, format!("admin.token ({place}) is not {rule}"))
            .help("openssl rand -hex 32 makes a good one"));
    }
    Ok(secret)
}

/// What `place` names, an environment variable or a file; `what` is what should stand there.
fn text_at(
    key: &str,
    place: &str,
    what: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, Problem> {
    let unreadable = |why: &str| unreadable(key, place, what, why);
    match place.split_once(':') {
        Some(("env", name)) => {
            variable(name.trim()).ok_or_else(|| unreadable("the variable is not set"))
        }
        Some(("file", path)) => {
            read_file(Path::new(path.trim())).map_err(|error| unreadable(&error.to_string()))
        }
        _ => Err(unreadable("expected `env:NAME` or `file:PATH`")),
    }
}

fn unreadable(key: &str, place: &str, what: &str, why: &str) -> Problem {
    Problem::new(UNREADABLE, format!("{key}: {place}: {why}"))
        .help(format!("`env:NAME` names a variable, `file:PATH` a file whose first line is {what}"))
}

/// Reads the secret of a key from where `place` says it is.
pub(super) fn read(
    key: &str,
    place: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Secret, Problem> {
    let text = text_at(key, place, "the secret", variable)?;
    let secret = text.trim();
    if secret.contains(char::is_control) {
        return Err(unreadable(key, place, "the secret", "it has more than one line"));
    }
    Ok(Secret(secret.to_owned()))
}

/// Reads the URL of a connection that `place` names; `variable` looks up the environment. What it says is checked where
/// it is used.
pub(super) fn read_url(
    key: &str,
    place: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Secret, Problem> {
    let text = text_at(key, place, "the URL", variable)?;
    let known = text.trim().parse::<tokio_postgres::Config>();
    if !known.is_ok_and(|config| !config.get_hosts().is_empty()) {
        let what = format!("{key} ({place}) is not a URL that PostgreSQL clients know");
        return Err(Problem::new(UNFIT, what).help("postgresql://role:password@host:5432/database"));
    }
    Ok(Secret(text.trim().to_owned()))
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_not_written() {
        for (text, good) in [
            ("env:TOKEN", true),
            ("file:/run/credentials/pgsonde.service/token", true),
            ("0123456789abcdef0123456789abcdef", false),
            ("env:", false),
            ("", false),
        ] {
            assert_eq!(check_place(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn reads_what_is_named_and_refuses_what_is_weak() {
        let variable = |name: &str| match name {
            "GOOD" => Some(" 0123456789abcdef\n".to_owned()),
            "SHORT" => Some("0123456789abcde".to_owned()),
            "SPACED" => Some("01234567 89abcdef".to_owned()),
            _ => None,
        };
        let token = read_token("env:GOOD", variable).unwrap();
        assert_eq!(token.expose(), "0123456789abcdef");
        assert_eq!(format!("{token:?}"), MASK);
        for (place, code) in [
            ("env:SHORT", UNFIT),
            ("env:SPACED", UNFIT),
            ("env:ABSENT", UNREADABLE),
            ("file:/nonexistent/token", UNREADABLE),
        ] {
            let problem = read_token(place, variable).unwrap_err();
            assert_eq!((problem.number(), problem.exit_code()), (code, 2), "{place}");
            assert!(!problem.to_text().contains("01234567"), "{}", problem.to_text());
        }
    }
}
