//! The configuration file: found, read, and flattened into `section.key` entries that remember their place.

use crate::config::keys::{self, Raw};
use crate::problem::Problem;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file's name as the user knows it, and its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// One key of the file.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Raw,
    pub(crate) span: Range<usize>,
}

/// The one file that is read: the named one, else the first of the usual places that exists.
pub(crate) fn locate(named: Option<&Path>, env: &[(String, String)]) -> Option<PathBuf> {
    let variable = |name: &str| {
        env.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    };
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    if let Some(path) = variable("PGSONDE_CONFIG") {
        return Some(PathBuf::from(path));
    }
    let user = variable("XDG_CONFIG_HOME").map(|dir| Path::new(dir).join("pgsonde/pgsonde.toml"));
    let mut places = vec![PathBuf::from("pgsonde.toml")];
    places.extend(user);
    places.push(PathBuf::from("/etc/pgsonde/pgsonde.toml"));
    places.into_iter().find(|path| path.exists())
}

impl ConfigFile {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let unreadable = |why: String| {
            Problem::new(205, format!("cannot read the configuration file {name}: {why}"))
        };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { name, text })
    }

    /// Its keys in the order of their names; unknown ones are refused here.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Problem> {
        let table = DeTable::parse(&self.text).map_err(|error| {
            let what = format!("{} is not valid TOML", self.name);
            let span = error.span().unwrap_or(0..0);
            self.point(Problem::new(205, what), span, error.message().lines().next().unwrap_or(""))
        })?;
        let mut entries = Vec::new();
        self.walk("", table.get_ref(), &mut entries)?;
        Ok(entries)
    }

    fn walk(&self, prefix: &str, table: &DeTable<'_>, out: &mut Vec<Entry>) -> Result<(), Problem> {
        for (key, value) in table {
            let path = match prefix {
                "" => key.get_ref().to_string(),
                _ => format!("{prefix}.{}", key.get_ref()),
            };
            if keys::find(&path).is_some() {
                out.push(Entry { key: path, value: raw(value), span: value.span() });
            } else if !keys::is_section(&path) {
                return Err(self.unknown(prefix, key, &path));
            } else if let DeValue::Table(inner) = value.get_ref() {
                self.walk(&path, inner, out)?;
            } else {
                let problem = Problem::new(207, format!("`{path}` is a section, not a key"));
                return Err(self.point(
                    problem,
                    value.span(),
                    &format!("write [{path}] above its keys"),
                ));
            }
        }
        Ok(())
    }

    fn unknown(
        &self,
        prefix: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        path: &str,
    ) -> Problem {
        let name = key.get_ref().escape_debug();
        let what = match prefix {
            "" => format!("unknown key `{name}`"),
            _ => format!("unknown key `{name}` in [{prefix}]"),
        };
        let label = match keys::suggestion(path) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no key of this version has such a name".to_owned(),
        };
        self.point(Problem::new(201, what), key.span(), &label)
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text.get(..at.min(self.text.len())).unwrap_or("").matches('\n').count() + 1
    }

    /// Shows the place of the first key whose value, a path, the problem names.
    pub(crate) fn point_at_path(&self, problem: Problem) -> Problem {
        self.point_at(problem, |entry, what| match &entry.value {
            Raw::Text(path) => path.contains('/') && what.contains(path.as_str()),
            _ => false,
        })
    }

    /// Shows the place of a key.
    pub(crate) fn point_at_key(&self, problem: Problem, key: &str) -> Problem {
        self.point_at(problem, |entry, _| entry.key == key)
    }

    fn point_at(&self, problem: Problem, is_meant: impl Fn(&Entry, &str) -> bool) -> Problem {
        let entries = self.entries().unwrap_or_default();
        let named = entries.into_iter().find(|entry| is_meant(entry, problem.what()));
        match named {
            Some(entry) => self.point(problem, entry.span, "here"),
            None => problem,
        }
    }

    /// Shows the place. A line that may hold a password is named, not shown.
    pub(crate) fn point(&self, problem: Problem, span: Range<usize>, label: &str) -> Problem {
        let start = span.start.min(self.text.len());
        let head = self.text.get(..start).unwrap_or("");
        let line_start = head.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
        if line.contains('@') || line.to_ascii_lowercase().contains("password") {
            let number = head.matches('\n').count() + 1;
            return problem.note(format!("it stands in {}:{number} ({label})", self.name));
        }
        problem.at(&self.name, &self.text, span, label)
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Raw::Integer(number.as_str().to_owned())
        }
        DeValue::Integer(_) => Raw::Other("a number that is not decimal"),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Float(_) => Raw::Other("a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a section"),
        DeValue::Array(array) => {
            let texts = array.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map_or(Raw::Other("a mixed list"), Raw::List)
        }
    }
}
