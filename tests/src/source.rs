//! A rough look at Rust sources, good enough for house rules: which lines are code that ships.

use std::path::{Path, PathBuf};

/// A source file without comments and without its test modules; line numbers stay.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the root of the repository.
    pub path: String,
    /// All lines as they stand.
    pub lines: Vec<String>,
    /// The same lines; those of comments and tests are empty.
    pub code: Vec<String>,
}

/// All Rust files under these folders of `root`, in order of their paths.
///
/// # Panics
/// If one can't be read.
pub fn sources(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| collect(&root.join(folder), &mut paths));
    paths.sort();
    let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("sources are readable");
    let texts: Vec<(String, String)> =
        paths.iter().map(|path| (relative(path), read(path))).collect();
    let tests: Vec<String> =
        texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let files = texts.iter().map(|(path, text)| {
        let is_test = tests.iter().any(|module| {
            path.strip_prefix(module).is_some_and(|rest| rest.starts_with(['.', '/']))
        });
        if is_test { Source::test(path, text) } else { Source::new(path, text) }
    });
    files.collect()
}

/// The modules in other files that `text` declares for tests only, as paths without ending.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let home = match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
        let name =
            pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')?;
        Some(format!("{home}/{name}"))
    });
    declared.collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

impl Source {
    /// Reads `text` as the file `path`. Files and folders named `tests` are tests as a whole.
    pub fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let all_tests =
            path.ends_with("/tests.rs") || path.split('/').skip(1).any(|part| part == "tests");
        let mut code =
            if all_tests { vec![String::new(); lines.len()] } else { without_comments(&lines) };
        blank_test_items(&mut code);
        Self { path: path.to_owned(), lines, code }
    }

    /// A file that is a test as a whole.
    fn test(path: &str, text: &str) -> Self {
        let source = Self::new(path, text);
        Self { code: vec![String::new(); source.lines.len()], ..source }
    }

    /// Lines of shipped code that contain `token` with no identifier character before it, as "path:line: text".
    pub fn uses(&self, token: &str) -> Vec<String> {
        let numbered = self.code.iter().enumerate();
        let hits = numbered.filter(|(_, line)| contains_token(line, token));
        hits.map(|(index, line)| format!("{}:{}: {}", self.path, index + 1, line.trim())).collect()
    }

    /// Functions with the number of lines from `fn` to the closing brace: (line, name, length).
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let starts = self
            .lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| Some((index, function_name(line)?)));
        let length = |start: usize| {
            let indent = indent(&self.lines[start]);
            let rest = self.lines[start..].iter();
            rest.take_while(|line| !ends_function(line, indent)).count() + 1
        };
        let one_line = |start: usize| {
            let line = self.lines[start].trim_end();
            line.ends_with(';') || line.ends_with('}')
        };
        starts
            .map(|(start, name)| (start + 1, name, if one_line(start) { 1 } else { length(start) }))
            .collect()
    }
}

fn without_comments(lines: &[String]) -> Vec<String> {
    let cut = |line: &String| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => line.split(" // ").next().unwrap_or_default().to_owned(),
    };
    lines.iter().map(cut).collect()
}

/// Empties each item under `#[cfg(test)]`: to the closing brace of its indent, or the line that ends in `;`.
fn blank_test_items(code: &mut [String]) {
    let mut index = 0;
    while index < code.len() {
        if code[index].trim() != "#[cfg(test)]" {
            index += 1;
            continue;
        }
        let close = indent(&code[index]);
        loop {
            let line = std::mem::take(&mut code[index]);
            index += 1;
            let is_short = line.trim_end().ends_with(';') && indent(&line) == close;
            if is_short || indent_is_close(&line, close) || index == code.len() {
                break;
            }
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn indent_is_close(line: &str, wanted: usize) -> bool {
    indent(line) == wanted && line.trim_start().starts_with('}')
}

/// The closing brace of a body, or the end of a signature without one.
fn ends_function(line: &str, wanted: usize) -> bool {
    let is_signature =
        indent(line) == wanted && line.trim_start().starts_with(')') && line.ends_with(';');
    is_signature || indent_is_close(line, wanted)
}

fn contains_token(line: &str, token: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts_word = token.starts_with(is_word);
    line.match_indices(token).any(|(at, _)| !starts_word || !line[..at].ends_with(is_word))
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| matches!(*word, "pub" | "const" | "async") || word.starts_with("pub("));
    (words.next()? == "fn").then_some(())?;
    let name = words.next()?;
    Some(name.split(['(', '<']).next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
use tokio::net; // std::fs in a comment
/// std::thread
pub fn one() -> u8 { 1 }
pub(crate) async fn two<T>(x: T) {
    mytokio();
    if x {
    }
}
#[cfg(test)]
mod helper;
fn three() {}
#[cfg(test)]
mod tests {
    fn four() { x.unwrap(); }
}
fn five() { y.unwrap(); }
trait T {
    fn six(
        x: u8,
    ) -> u8;
}
";

    #[test]
    fn only_shipped_code_is_searched() {
        let source = Source::new("a/src/b.rs", TEXT);
        assert_eq!(source.uses("tokio"), ["a/src/b.rs:1: use tokio::net;"]);
        assert_eq!(source.uses("std::fs"), [""; 0]);
        assert_eq!(source.uses("std::thread"), [""; 0]);
        assert_eq!(source.uses(".unwrap()"), ["a/src/b.rs:16: fn five() { y.unwrap(); }"]);
        assert_eq!(Source::new("a/src/tests.rs", TEXT).uses("tokio"), [""; 0]);
    }

    #[test]
    fn modules_for_tests_are_found() {
        assert_eq!(test_modules("a/src/mod.rs", TEXT), ["a/src/helper"]);
        assert_eq!(test_modules("a/src/b.rs", TEXT), ["a/src/b/helper"]);
    }

    #[test]
    fn functions_are_measured() {
        let lengths: Vec<(String, usize)> = Source::new("a", TEXT)
            .functions()
            .into_iter()
            .map(|(_, name, length)| (name, length))
            .collect();
        let expected = [("one", 1), ("two", 5), ("three", 1), ("four", 1), ("five", 1), ("six", 3)];
        assert_eq!(lengths, expected.map(|(name, length)| (name.to_owned(), length)));
    }
}
