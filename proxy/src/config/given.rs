//! Where each value comes from, and what a reload would change.

use super::file::ConfigFile;
use super::keys::{self, Kind, Raw};
use super::reference;
use super::secret::MASK;
use super::{AllGiven, Settings};
use crate::problem::Problem;
use std::fmt;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file, and the line.
    File(String, usize),
    /// This variable of the environment.
    Environment(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The value in force as it was written, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    pub(crate) raw: Raw,
    pub(crate) origin: Origin,
}

impl Raw {
    /// As TOML writes it.
    pub(crate) fn to_toml(&self) -> String {
        match self {
            Self::Text(text) => toml::Value::from(text.as_str()).to_string(),
            Self::Integer(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::List(list) => toml::Value::from(list.clone()).to_string(),
            Self::Other(name) => (*name).to_owned(),
        }
    }
}

/// A key in force.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) key: &'static str,
    /// As TOML; secrets are masked.
    pub(crate) value: String,
    pub(crate) origin: String,
}

impl Settings {
    /// Every key that has a value, in the order of the reference.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let of = |key: &'static keys::Key| {
            let given = self.given.get(key.name)?;
            let value = match key.kind {
                Kind::Secret => format!("\"{MASK}\""),
                kind => kind.spelled(&given.raw),
            };
            Some(Shown { key: key.name, value, origin: given.origin.to_string() })
        };
        keys::all().filter_map(of).collect()
    }

    /// Shows the place in the configuration file of the file that a problem names: a certificate that can't be read.
    pub(crate) fn point(&self, problem: Problem) -> Problem {
        let file = self.file.as_deref().and_then(|path| ConfigFile::read(path).ok());
        match file {
            Some(file) => file.point_at_path(problem),
            None => problem,
        }
    }

    /// What would run if `fresh` were taken over without a restart; with the names of the keys that change now,
    /// and of those that have to wait for a restart.
    ///
    /// # Errors
    /// The values contradict each other as long as some of them have to wait.
    pub(crate) fn reloaded(&self, fresh: &Self) -> Result<Reloaded, Problem> {
        let mut given = fresh.given.clone();
        let mut changed = changed_keys(&self.given, &fresh.given);
        let mut waiting = Vec::new();
        changed.retain(|name| {
            let live = reference::is_live(name);
            if !live {
                waiting.push(*name);
                match self.given.get(name) {
                    Some(old) => drop(given.insert(name, old.clone())),
                    None => drop(given.remove(name)),
                }
            }
            live
        });
        let mut settings = Self::from_given(given, fresh.log.filter.clone(), fresh.file.clone())?;
        settings.flags.clone_from(&self.flags);
        settings.admin.token.clone_from(&fresh.admin.token);
        settings.findings.mutes.clone_from(&fresh.findings.mutes);
        if self.admin.token != settings.admin.token && !changed.contains(&"admin.token") {
            changed.push("admin.token");
        }
        if self.findings.mutes != settings.findings.mutes && !changed.contains(&"findings.mutes") {
            changed.push("findings.mutes");
        }
        let moved = settings.take_side_connection(fresh, self);
        changed.extend(moved.filter(|key| !changed.contains(key)));
        Ok(Reloaded { settings, changed, waiting })
    }
}

/// What a reload does.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) settings: Settings,
    pub(crate) changed: Vec<&'static str>,
    pub(crate) waiting: Vec<&'static str>,
}

/// Keys whose values differ; `10s` and `10000ms` are the same.
fn changed_keys(old: &AllGiven, new: &AllGiven) -> Vec<&'static str> {
    let value = |given: &AllGiven, key: &keys::Key| {
        given.get(key.name).and_then(|given| key.check(&given.raw).ok())
    };
    keys::all().filter(|key| value(old, key) != value(new, key)).map(|key| key.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let head = "[proxy]\nupstream = 'postgresql://db'\n";
        Settings::parse(&format!("{head}{text}")).unwrap()
    }

    #[test]
    fn a_reload_takes_over_what_may_change_and_names_the_rest() {
        let old = settings("max_connections = 10\nlisten = '127.0.0.1:1'\n[log]\nlevel = 'info'\n");
        let new = settings(
            "max_connections = 20\nlisten = '127.0.0.1:2'\nidle_timeout = '5m'\n[log]\nlevel = 'debug'\n\
             [findings.write_loop]\nexecutions_min = 12\n[profile]\nmax_digests = 200\n",
        );
        let outcome = old.reloaded(&new).unwrap();
        assert_eq!(
            outcome.changed,
            [
                "proxy.max_connections",
                "proxy.idle_timeout",
                "log.level",
                "findings.write_loop.executions_min"
            ]
        );
        assert_eq!(outcome.waiting, ["proxy.listen", "profile.max_digests"]);
        let live = outcome.settings;
        assert_eq!((live.proxy.max_connections, live.profile.max_digests), (20, 5000));
        assert_eq!(live.proxy.listen, old.proxy.listen);
        assert_eq!(live.log.level, "debug");
        assert_eq!(live.limits().loops.write_executions_min, 12);
        let again = live.reloaded(&new).unwrap();
        assert!(again.changed.is_empty());
        assert_eq!(again.waiting, outcome.waiting, "what waits is named each time");
    }

    #[test]
    fn another_spelling_is_no_change() {
        let old = settings("connect_timeout = '10s'\n");
        let new = settings("connect_timeout = '10000ms'\nmax_connections = 1_000\n");
        let outcome = old.reloaded(&new).unwrap();
        assert!(outcome.changed.is_empty() && outcome.waiting.is_empty(), "{outcome:?}");
    }

    #[test]
    fn every_value_says_where_it_comes_from_and_no_secret() {
        let shown = settings("max_connections = 7\n[admin]\ntoken = 'env:SECRET_NAME'\n").shown();
        let of = |name: &str| {
            let shown = shown.iter().find(|shown| shown.key == name).unwrap();
            (shown.value.as_str(), shown.origin.as_str())
        };
        assert_eq!(of("proxy.max_connections"), ("7", "pgsonde.toml:3"));
        assert_eq!(of("proxy.connect_timeout"), ("\"10s\"", "default"));
        assert_eq!(of("admin.token"), ("\"•••\"", "pgsonde.toml:5"));
        assert_eq!(of("findings.missing_index.enabled"), ("true", "default"));
    }
}
