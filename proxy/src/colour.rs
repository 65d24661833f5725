//! Whether a stream gets colours: as `--color` says, else where a terminal takes them.

use std::io::IsTerminal;
use std::sync::OnceLock;

/// What `--color` says.
static WANTED: OnceLock<bool> = OnceLock::new();

/// Takes over `always` or `never`; anything else leaves it to each stream.
pub(crate) fn choose(when: &str) {
    let wanted = match when {
        "always" => true,
        "never" => false,
        _ => return,
    };
    // Parsed once per process.
    let _ = WANTED.set(wanted);
}

/// The flag wins over `CLICOLOR_FORCE`, that over `NO_COLOR` (no-color.org), and all over what the stream is.
pub(crate) fn of(stream: &impl IsTerminal) -> bool {
    let environment = |name: &str| std::env::var(name).ok();
    WANTED.get().copied().unwrap_or_else(|| by_default(environment, stream.is_terminal()))
}

fn by_default(environment: impl Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
    let set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let dumb = environment("TERM").is_some_and(|term| term == "dumb");
    set("CLICOLOR_FORCE") || is_terminal && !set("NO_COLOR") && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_colours_unless_the_environment_says_no() {
        type Row<'a> = (&'a [(&'a str, &'a str)], bool, bool);
        let rows: [Row<'_>; 7] = [
            (&[], true, true),
            (&[], false, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "")], true, true),
            (&[("TERM", "dumb")], true, false),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, true),
        ];
        for (environment, is_terminal, wanted) in rows {
            let get = |name: &str| {
                let found = environment.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(by_default(get, is_terminal), wanted, "{environment:?} {is_terminal}");
        }
    }
}
