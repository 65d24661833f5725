//! Reads the budget file. Every mistake has its place in the file, as in the configuration.

use super::{Budget, Ignore, Limit, Rule, Scope, Unit, WHOLE_KEYS, finding_groups};
use crate::config::{ConfigFile, duration_us, nearest, size_bytes};
use crate::problem::Problem;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Code of everything about this file.
const BUDGET: u16 = 604;

type Value<'a> = Spanned<DeValue<'a>>;

pub(super) fn read(path: &Path) -> Result<Budget, Problem> {
    let file = ConfigFile::read(path).map_err(|problem| {
        let why = problem.what().rsplit(": ").next().unwrap_or("").to_owned();
        Problem::new(BUDGET, format!("cannot read the budget file {}: {why}", path.display()))
            .help("`pgsonde audit --init -- COMMAND` writes one from what a run measured")
    })?;
    Reader { file: &file }.budget()
}

struct Reader<'a> {
    file: &'a ConfigFile,
}

impl Reader<'_> {
    fn budget(&self) -> Result<Budget, Problem> {
        let table = DeTable::parse(&self.file.text).map_err(|error| {
            let what = format!("{} is not valid TOML", self.file.name);
            let label = error.message().lines().next().unwrap_or("").to_owned();
            self.file.point(Problem::new(BUDGET, what), error.span().unwrap_or(0..0), &label)
        })?;
        let mut budget = Budget::default();
        let mut version = false;
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "version" => {
                    version = true;
                    self.version(value)?;
                }
                "budget" => self.limits(self.table(value, "budget")?, &mut budget)?,
                "ignore" => {
                    for entry in self.list(value, "ignore")? {
                        budget.ignores.push(self.ignore(entry)?);
                    }
                }
                name => {
                    return Err(self.unknown(
                        name,
                        key.span(),
                        "",
                        &["version", "budget", "ignore"],
                    ));
                }
            }
        }
        if !version {
            let problem = Problem::new(BUDGET, format!("{} has no `version = 1`", self.file.name));
            return Err(problem.help("write `version = 1` as its first line"));
        }
        Ok(budget)
    }

    fn version(&self, value: &Value<'_>) -> Result<(), Problem> {
        match self.count(value, "version")? {
            1 => Ok(()),
            other => Err(self.wrong(
                value.span(),
                format!("version {other} is not known"),
                "this version reads 1",
            )),
        }
    }

    fn limits(&self, table: &DeTable<'_>, budget: &mut Budget) -> Result<(), Problem> {
        let mut known: Vec<&str> = WHOLE_KEYS.iter().map(|(key, _)| *key).collect();
        known.push("findings");
        known.extend(Scope::ALL.map(Scope::name));
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match name {
                "findings" => {
                    for (group, value) in self.table(value, "budget.findings")? {
                        let name = group.get_ref().as_ref();
                        let groups = finding_groups();
                        let Some(key) = groups.iter().find(|known| **known == name) else {
                            return Err(self.unknown(
                                name,
                                group.span(),
                                "budget.findings",
                                &groups,
                            ));
                        };
                        let most = self.count(value, name)?;
                        budget.findings.push(Limit { key, unit: Unit::Count, most });
                    }
                }
                _ if Scope::ALL.iter().any(|scope| scope.name() == name) => {
                    for scope in Scope::ALL.into_iter().filter(|scope| scope.name() == name) {
                        self.rules(value, scope, budget)?;
                    }
                }
                _ => match self.limit(name, value, &WHOLE_KEYS)? {
                    Some(limit) => budget.whole.push(limit),
                    None => return Err(self.unknown(name, key.span(), "budget", &known)),
                },
            }
        }
        let order = |limit: &Limit| WHOLE_KEYS.iter().position(|(key, _)| *key == limit.key);
        budget.whole.sort_by_key(order);
        Ok(())
    }

    fn rules(&self, value: &Value<'_>, of: Scope, budget: &mut Budget) -> Result<(), Problem> {
        let rules = match of {
            Scope::Route => &mut budget.routes,
            Scope::Mark => &mut budget.marks,
            Scope::Digest => &mut budget.digests,
        };
        for entry in self.list(value, of.name())? {
            rules.push(self.rule(entry, of)?);
        }
        Ok(())
    }

    fn rule(&self, entry: &Value<'_>, of: Scope) -> Result<Rule, Problem> {
        let section = format!("budget.{}", of.name());
        let mut rule = Rule::default();
        let mut named = false;
        for (key, value) in self.table(entry, &section)? {
            let name = key.get_ref().as_ref();
            if name == "match" {
                rule.pattern = self.text(value, name)?;
                named = true;
            } else if name == "service" && of == Scope::Route {
                rule.service = Some(self.text(value, name)?);
            } else if let Some(limit) = self.limit(name, value, of.keys())? {
                rule.limits.push(limit);
            } else {
                let mut known: Vec<&str> = of.keys().iter().map(|(key, _)| *key).collect();
                known.push("match");
                known.extend((of == Scope::Route).then_some("service"));
                return Err(self.unknown(name, key.span(), &section, &known));
            }
        }
        if !named {
            return Err(self.wrong(entry.span(), format!("[[{section}]] has no `match`"), "here"));
        }
        let order = |limit: &Limit| of.keys().iter().position(|(key, _)| *key == limit.key);
        rule.limits.sort_by_key(order);
        Ok(rule)
    }

    fn ignore(&self, entry: &Value<'_>) -> Result<Ignore, Problem> {
        const KEYS: [&str; 7] = ["kind", "digest", "route", "mark", "finding", "reason", "until"];
        let mut ignore = Ignore::default();
        for (key, value) in self.table(entry, "ignore")? {
            let name = key.get_ref().as_ref();
            let place = match name {
                "kind" => &mut ignore.kind,
                "digest" => &mut ignore.digest,
                "route" => &mut ignore.route,
                "mark" => &mut ignore.mark,
                "finding" => &mut ignore.finding,
                "until" => {
                    ignore.until = Some(self.day(value)?);
                    continue;
                }
                "reason" => {
                    ignore.reason = self.text(value, name)?;
                    continue;
                }
                _ => return Err(self.unknown(name, key.span(), "ignore", &KEYS)),
            };
            *place = Some(self.text(value, name)?);
        }
        let conditions =
            [&ignore.kind, &ignore.digest, &ignore.route, &ignore.mark, &ignore.finding];
        if conditions.into_iter().all(Option::is_none) {
            return Err(self.wrong(
                entry.span(),
                "[[ignore]] names nothing".to_owned(),
                "kind, digest, route, mark or finding",
            ));
        }
        if ignore.reason.trim().is_empty() {
            return Err(self.wrong(
                entry.span(),
                "[[ignore]] has no `reason`".to_owned(),
                "say why",
            ));
        }
        Ok(ignore)
    }

    fn limit(
        &self,
        name: &str,
        value: &Value<'_>,
        keys: &[(&'static str, Unit)],
    ) -> Result<Option<Limit>, Problem> {
        let Some((key, unit)) = keys.iter().find(|(key, _)| *key == name) else { return Ok(None) };
        let most = match unit {
            Unit::Count => self.count(value, name)?,
            Unit::Time => self.with_unit(value, name, "\"50ms\"", duration_us)?,
            Unit::Bytes => self.with_unit(value, name, "\"1MiB\"", size_bytes)?,
        };
        Ok(Some(Limit { key, unit: *unit, most }))
    }

    fn with_unit<E>(
        &self,
        value: &Value<'_>,
        name: &str,
        example: &str,
        read: fn(&str) -> Result<u64, E>,
    ) -> Result<u64, Problem> {
        let text = value.get_ref().as_str();
        let read = text.and_then(|text| read(text).ok());
        read.ok_or_else(|| {
            let what = format!("`{name}` is a whole number with its unit, in quotes");
            self.wrong(value.span(), what, &format!("as in {example}"))
        })
    }

    fn count(&self, value: &Value<'_>, name: &str) -> Result<u64, Problem> {
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => {
                number.as_str().replace('_', "").parse().ok()
            }
            _ => None,
        };
        number.ok_or_else(|| {
            self.wrong(value.span(), format!("`{name}` is a whole number, 0 or more"), "here")
        })
    }

    fn text(&self, value: &Value<'_>, name: &str) -> Result<String, Problem> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| {
            self.wrong(value.span(), format!("`{name}` is a text in quotes"), "here")
        })
    }

    fn day(&self, value: &Value<'_>) -> Result<String, Problem> {
        let day = match value.get_ref() {
            DeValue::Datetime(moment) if moment.time.is_none() => moment.date,
            _ => None,
        };
        let day = day.map(|day| format!("{:04}-{:02}-{:02}", day.year, day.month, day.day));
        day.ok_or_else(|| {
            self.wrong(value.span(), "`until` is a day".to_owned(), "as in 2027-01-31")
        })
    }

    fn table<'t>(&self, value: &'t Value<'t>, name: &str) -> Result<&'t DeTable<'t>, Problem> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.wrong(
                value.span(),
                format!("`{name}` is a section"),
                &format!("write [{name}]"),
            )),
        }
    }

    fn list<'t>(
        &self,
        value: &'t Value<'t>,
        name: &str,
    ) -> Result<impl Iterator<Item = &'t Value<'t>>, Problem> {
        match value.get_ref() {
            DeValue::Array(list) => Ok(list.iter()),
            _ => Err(self.wrong(
                value.span(),
                format!("`{name}` is a list of sections"),
                &format!("write [[{name}]]"),
            )),
        }
    }

    fn wrong(&self, span: Range<usize>, what: String, label: &str) -> Problem {
        self.file.point(Problem::new(BUDGET, what), span, label)
    }

    fn unknown(&self, name: &str, span: Range<usize>, section: &str, known: &[&str]) -> Problem {
        let shown = name.escape_debug();
        let what = match section {
            "" => format!("unknown key `{shown}`"),
            _ => format!("unknown key `{shown}` in [{section}]"),
        };
        let label = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        self.wrong(span, what, &label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Budget, Problem> {
        let file = ConfigFile { name: "pgsonde-budget.toml".to_owned(), text: text.to_owned() };
        Reader { file: &file }.budget()
    }

    #[test]
    fn reads_everything_of_the_documentation() {
        let budget = parse(
            r#"version = 1
[budget]
n_plus_one = 0
statements_per_unit = 30
idle_in_transaction = "500ms"
p95 = "50ms"
new_findings = 0
[budget.findings]
error = 0
warning = 10
missing_index = 3
[[budget.route]]
match = "/orders/*"
service = "web"
statements = 12
sent = "1MiB"
db_time = "80ms"
[[budget.mark]]
match = "test_*"
statements = 40
[[ignore]]
kind = "duplicate_query"
route = "/health"
reason = "probe, by design"
until = 2027-01-31
"#,
        )
        .unwrap();
        assert_eq!(budget.whole[0], Limit { key: "n_plus_one", unit: Unit::Count, most: 0 });
        assert!(budget.whole.contains(&Limit { key: "p95", unit: Unit::Time, most: 50_000 }));
        let keys: Vec<&str> = budget.findings.iter().map(|limit| limit.key).collect();
        assert_eq!(keys, ["error", "missing_index", "warning"]);
        assert_eq!(budget.routes[0].service.as_deref(), Some("web"));
        assert!(budget.routes[0].limits.contains(&Limit {
            key: "sent",
            unit: Unit::Bytes,
            most: 1 << 20
        }));
        assert_eq!(budget.marks[0].pattern, "test_*");
        assert_eq!(budget.ignores[0].until.as_deref(), Some("2027-01-31"));
    }

    #[test]
    fn mistakes_have_their_place() {
        let rows = [
            ("version = 1\n[budget]\nn_plus_on = 0\n", "3:1", "did you mean `n_plus_one`?"),
            ("version = 1\n[budget]\np95 = 50\n", "3:7", "as in \"50ms\""),
            ("version = 1\n[budget]\nerrors = -1\n", "3:10", "here"),
            ("version = 1\n[budget.findings]\nwarnings = 1\n", "3:1", "did you mean `warning`?"),
            ("version = 1\n[[budget.route]]\nstatments = 1\n", "3:1", "did you mean `statements`?"),
            ("version = 1\n[[budget.mark]]\nservice = \"x\"\n", "3:1", "there are"),
            ("version = 1\n[[budget.route]]\nstatements = 1\n", "2:1", "here"),
            ("version = 1\n[[ignore]]\nkind = \"x\"\n", "2:1", "say why"),
            ("version = 1\n[[ignore]]\nreason = \"x\"\n", "2:1", "kind, digest"),
            ("version = 2\n", "1:11", "this version reads 1"),
            ("version = 1\n[bugdet]\n", "2:2", "did you mean `budget`?"),
            ("version = \n", "1:", ""),
        ];
        for (text, place, label) in rows {
            let problem = parse(text).unwrap_err();
            assert_eq!((problem.number(), problem.exit_code()), (604, 2), "{text}");
            let shown = problem.to_text();
            assert!(shown.contains(&format!("pgsonde-budget.toml:{place}")), "{shown}");
            assert!(shown.contains(label), "{shown}");
        }
        assert!(parse("").unwrap_err().what().contains("version = 1"));
    }
}
