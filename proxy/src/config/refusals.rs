//! Values that are refused, in words.

use super::Address;
use super::given::Origin;
use super::keys::{self, Key};
use crate::problem::Problem;

pub(super) fn refused(key: &Key, origin: &str, (code, rule): keys::Refusal) -> Problem {
    let name = key.name;
    let what = if origin.trim_matches('`') == name {
        format!("`{name}`")
    } else {
        format!("`{name}` ({origin})")
    };
    Problem::new(code, format!("{what}: {rule}"))
}

pub(super) fn unknown_variable(variable: &str, name: &str) -> Problem {
    let problem = Problem::new(201, format!("unknown environment variable {variable}"));
    let Some(near) = keys::suggestion(name) else {
        return problem.help("PGSONDE_SECTION__KEY sets `section.key` of the configuration file");
    };
    let near = match name.rsplit_once('.') {
        Some((section, _)) if !near.contains('.') => format!("{section}.{near}"),
        _ => near,
    };
    let spelled = near.to_ascii_uppercase().replace('.', "__");
    problem.help(format!("did you mean PGSONDE_{spelled}?"))
}

pub(super) fn missing_upstream() -> Problem {
    Problem::new(206, "the server's address is missing")
        .help("pgsonde proxy --upstream postgresql://host:5432")
}

/// How messages name the source of a value.
pub(super) fn source_words(name: &str, origin: &Origin) -> String {
    match origin {
        Origin::Default => "the default".to_owned(),
        Origin::File(..) => format!("`{name}`"),
        Origin::Environment(variable) => variable.clone(),
        Origin::Flag(flag) => (*flag).to_owned(),
    }
}

/// Statements and findings are for this machine's eyes, unless a token protects them.
pub(super) fn open_admin(source: &str, open: &Address) -> Problem {
    Problem::new(
        708,
        format!("{source}: the admin listener may not be open to others ({open}) without a token"),
    )
    .note("it shows statement texts and takes orders")
    .help("set admin.token (`env:NAME` or `file:PATH`), or admin.api = false for health and metrics alone, or use a loopback address such as 127.0.0.1:9635")
}
